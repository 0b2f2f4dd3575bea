//! A window that fills up: what becomes of the conversation, stage by stage.

use crate::agent::limits::Limits;
use crate::agent::tests::fakes::*;
use crate::protocol::event::{Compacted, Event, Stage};
use crate::protocol::message::Message;
use crate::protocol::tool::ToolAnswer;
use crate::protocol::turn::{Reply, Usage};
use crate::sessions::fold::follow;
use crate::tools::Seen;
use crate::units::Tokens;

const RUN: &str = r#"{"command": "test"}"#;

/// Words that say nothing, so many tokens of them.
fn said(tokens: usize) -> String {
    "word ".repeat(tokens)
}

/// A result of 900 tokens to each call but edits.
fn wordy(world: World) -> World {
    world.act(|call, _, before| match call.name.as_str() {
        "edit" => edited(call.arguments["path"].as_str().unwrap()),
        "read" => {
            let path = call.arguments["path"].as_str().unwrap();
            ToolAnswer::done(format!("{path} lines 1-9 of 9\n{}", said(900)))
        }
        _ => ToolAnswer::done(format!("exit code 1\n{}failure {before}", said(900))),
    })
}

fn reply(turn: Turn, text: &str) -> Turn {
    let Turn::Reply(reply) = turn else { panic!("only replies have a text") };
    Turn::Reply(Reply { text: text.into(), ..reply })
}

/// Four calls, each costing what the conversation would by then, and a fifth turn before which the window is full.
fn full(last: impl IntoIterator<Item = Turn>) -> World {
    let turns = [
        costing(100, 10, read("a")),
        costing(1_040, 10, call("run", RUN)),
        costing(2_000, 10, read("b")),
        costing(3_700, 10, call("run", r#"{"command": "other"}"#)),
    ];
    wordy(World::new(turns.into_iter().chain(last)).window(4_600))
}

fn compacted(ran: &Ran) -> &Compacted {
    let found = ran.events.iter().find_map(|event| match event {
        Event::Compacted(compacted) => Some(compacted),
        _ => None,
    });
    found.expect("nothing was compacted")
}

#[track_caller]
fn folds(ran: &Ran) {
    let mut folded = ran.opening.clone();
    let mut last = 0;
    for event in &ran.events {
        follow(&mut folded, event);
        if matches!(event, Event::Compacted(_)) {
            last = folded.len();
        }
    }
    let request = ran.requests.last().unwrap();
    assert_eq!(folded[..last], request.messages[..last], "the log gives the conversation that the model saw");
}

#[test]
fn old_results_become_one_line_each_and_the_last_step_stays() {
    // Readings that are not pinned, because there is no room for them: nothing but old results has to go.
    let ran = full([text("Done.")]).run();
    let compacted = compacted(&ran);
    assert_eq!((compacted.stage, ran.requests.len()), (Stage::Results, 5), "{}", ran.trace());
    assert!(compacted.after.0 * 2 <= compacted.before.0, "{compacted:?}");
    let texts: Vec<&str> = ran.requests[4].messages.iter().filter_map(result).collect();
    assert_eq!(texts.len(), 4);
    assert!(texts[0].starts_with("[removed: read a lines 1-9 of 9 #") && texts[0].len() < 50, "{}", texts[0]);
    assert!(texts[1].starts_with("[removed: run test: exit code 1 #"), "{}", texts[1]);
    assert!(texts[2].starts_with("[removed: read b lines 1-9 of 9 #"), "{}", texts[2]);
    assert!(texts[3].starts_with("exit code 1\nword word"));
    folds(&ran);
}

fn result(message: &Message) -> Option<&str> {
    match message {
        Message::Tool { text, .. } => Some(text),
        _ => None,
    }
}

/// Turns whose own words fill the window, so that their results are not enough.
fn talkative(last: impl IntoIterator<Item = Turn>) -> World {
    let plan = "1. find it\n2. fix it\n";
    let turns = [
        costing(100, 910, reply(read("a"), &(plan.to_owned() + &said(900)))),
        costing(1_100, 910, reply(call("edit", r#"{"path": "a"}"#), &said(900))),
        costing(2_050, 910, reply(call("run", RUN), &said(900))),
        costing(3_900, 10, call("edit", r#"{"path": "b"}"#)),
    ];
    let short = |name: &str, path: &str| match name {
        "edit" => ToolAnswer { text: format!("edited {path} at line 1"), ..edited(path) },
        "read" => ToolAnswer::done(format!("{path} lines 1-2 of 2\nthe text of {path}")),
        _ => ToolAnswer::done(format!("exit code 1\n{}", said(900))),
    };
    World::new(turns.into_iter().chain(last))
        .window(4_600)
        .act(move |call, _, _| short(&call.name, call.arguments["path"].as_str().unwrap_or_default()))
}

#[test]
fn the_model_sums_up_its_older_steps_behind_the_same_prefix() {
    let usage = Usage { prompt: Tokens(3_960), generated: Tokens(9), ..Usage::default() };
    let summary = Turn::Reply(Reply { text: "It is in a, at the end.".into(), usage, ..Reply::default() });
    let ran = talkative([summary, text("Done.")]).run();
    let compacted = compacted(&ran);
    assert_eq!((compacted.stage, compacted.usage), (Stage::Summary, usage), "{}", ran.trace());

    let (asked, before, after) = (&ran.requests[4], &ran.requests[3], &ran.requests[5]);
    assert_eq!(asked.messages[..before.messages.len()], before.messages, "the prefix is the same");
    assert_eq!((&asked.tools, asked.thinking), (&before.tools, before.thinking));
    assert!(asked.max_tokens <= Tokens(150) && result(asked.messages.last().unwrap()).unwrap().contains("Sum them up"));

    let Message::User { text } = &after.messages[1] else { panic!("{:?}", after.messages[1]) };
    assert!(text.starts_with("Fix it.\n\n<so-far>") && text.contains("1. find it\n2. fix it"), "the task and the plan: {text}");
    assert!(text.contains("It is in a, at the end."), "{text}");
    assert!(!ran.trace().contains("delta"), "the summary is no part of what is said");
    assert_eq!(ran.report.steps, 5, "and no step of the work");
    assert_eq!(ran.report.tokens.generated, Tokens(910 * 3 + 10 + 9), "but it is paid for");
    folds(&ran);
}

#[test]
fn a_summary_that_is_none_is_made_without_the_model() {
    let lost = Turn::Error(crate::engine::EngineError::Lost { reason: "it was killed".into() });
    for bad in [text(" "), read("c"), cut(text("And so on")), lost] {
        let ran = talkative([bad, text("Done.")]).run();
        let compacted = compacted(&ran);
        assert_eq!((compacted.stage, ran.reason()), (Stage::Facts, "Done."), "{}", ran.trace());
        let Message::User { text } = &ran.requests.last().unwrap().messages[1] else { panic!() };
        let expected =
            ["1. find it\n2. fix it\n", "changed b +", "changed a +", "last error: ", "ran test: exit code 1", "read a 1-2"];
        assert!(expected.iter().all(|fact| text.contains(fact)), "{text}");
        folds(&ran);
    }
}

#[test]
fn near_the_end_of_a_limit_no_turn_is_spent_on_a_summary() {
    let world = talkative([text("Done.")]);
    let ran = World { limits: Limits { steps: Some(5), ..Limits::default() }, ..world }.run();
    assert_eq!((compacted(&ran).stage, ran.reason()), (Stage::Facts, "Done."), "{}", ran.trace());
}

#[test]
fn the_files_worked_on_stay_as_they_were_read() {
    let ran = talkative([text("It is in a."), text("Done.")]).run();
    let after = &ran.requests[5].messages;
    let kept: Vec<&str> = after.iter().filter_map(result).collect();
    assert_eq!(kept[..2], ["a lines 1-2 of 2\nthe text of a", "edited a at line 1"], "{kept:?}");
    assert!(after.iter().all(|message| !matches!(message, Message::Tool { text, .. } if text.starts_with("exit code"))));
}

#[test]
fn calls_whose_results_would_not_fit_are_made_room_for_in_the_middle_of_a_step() {
    let turns = [
        costing(100, 10, read("a")),
        costing(1_040, 10, call("run", RUN)),
        costing(2_000, 10, read("b")),
        costing(2_950, 1_140, reply(call("edit", r#"{"path": "a"}"#), &said(20))),
        text("Done."),
    ];
    let ran = wordy(World::new(turns).window(4_600)).run();
    assert!(ran.trace().contains("turn4 compacted:results calling:edit called:edit:ok turn5"), "{}", ran.trace());
    folds(&ran);
}

#[test]
fn a_conversation_that_an_engine_refuses_is_compacted_before_its_results_are_cut() {
    let turns =
        [read("a"), call("run", RUN), read("b"), call("run", r#"{"command": "other"}"#), overflow(4_700, 4_600), text("Done.")];
    let ran = wordy(World::new(turns)).run();
    assert!(ran.trace().ends_with("compacted:results turn5 done:finished"), "{}", ran.trace());
    folds(&ran);
}

#[test]
fn what_was_removed_may_be_asked_for_again_and_may_not_be_overwritten() {
    let told = |call: &str, bench: &mut crate::tools::Workbench| {
        let reads = bench.reads.as_mut().unwrap();
        if call == "seen" {
            return ToolAnswer::done(format!("{:?}", reads.0["a"]));
        }
        reads.0.insert("a".into(), Seen { hash: 1, whole: true });
        ToolAnswer::done(format!("{call} lines 1-9 of 9\n{}", said(900)))
    };
    let turns = [
        costing(100, 10, read("a")),
        costing(1_040, 10, read("x")),
        costing(2_000, 10, read("y")),
        costing(3_700, 10, read("z")),
        costing(300, 10, read("seen")),
        text("Done."),
    ];
    let world = World::new(turns).window(4_600);
    let ran = world.act(move |call, bench, _| told(call.arguments["path"].as_str().unwrap(), bench)).run();
    assert_eq!(compacted(&ran).stage, Stage::Results, "{}", ran.trace());
    assert!(ran.answers()[4].contains("whole: false"), "{}", ran.answers()[4]);
}

#[test]
fn a_window_is_told_of_once_with_its_parts() {
    let ran = World::new([costing(700, 10, read("a")), costing(800, 10, text("Done."))]).window(4_096).run();
    let told: Vec<_> =
        ran.events.iter().filter_map(|event| if let Event::Window(shares) = event { Some(shares) } else { None }).collect();
    let [shares] = told[..] else { panic!("{told:?}") };
    assert_eq!((shares.window, shares.system.used, shares.conversation.used), (Tokens(4_096), Tokens(2), Tokens(2)));
    assert_eq!(shares.tools.used, Tokens(700 - 4), "what has no text of its own");
}
