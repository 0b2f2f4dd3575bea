//! The loop under models, servers and people that behave and that do not: a script goes in, a trace comes out.

mod algebra;
mod compaction;

mod fakes;
mod long;
mod real;

use crate::agent::approval::{Approve, Policy, Verdict};
use crate::agent::limits::Limits;
use crate::agent::tests::fakes::*;
use crate::engine::EngineError;
use crate::protocol::event::Event;
use crate::protocol::message::Message;
use crate::protocol::tool::{ChangeKind, ToolAnswer};
use crate::protocol::turn::Stop;
use crate::tools::{CheckedCall, Seen};
use crate::units::Tokens;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const WHOLE: &str = r#"{"path": "a"}"#;
const BROKEN: &str = r#"{"path": "src/li"#;

#[track_caller]
fn check(world: World, trace: &str) -> Ran {
    let ran = world.run();
    assert_eq!(ran.trace(), trace, "{:?}", ran.report.outcome);
    ran
}

fn lines(n: usize) -> String {
    (1..=n).map(|n| format!("{n}: word\n")).collect()
}

#[test]
fn a_task_is_worked_on_until_the_model_says_so() {
    let turns = [read("a"), call("edit", WHOLE), call("run", r#"{"command": "test"}"#), text("Fixed.")];
    let trace = "turn1 calling:read called:read:ok turn2 calling:edit called:edit:ok \
                 turn3 calling:run called:run:ok turn4 done:finished";
    let ran = check(World::new(turns), trace);
    assert_eq!((ran.reason(), ran.report.steps, ran.performed), ("Fixed.", 4, 3));
    assert_eq!(ran.report.changes.iter().map(|c| (c.path.as_str(), c.change)).collect::<Vec<_>>(), [("a", ChangeKind::Modified)]);
}

#[test]
fn the_prefix_of_the_conversation_never_changes() {
    let ran = World::new([read("a"), call("edit", WHOLE), text("Fixed.")]).run();
    for pair in ran.requests.windows(2) {
        assert_eq!(pair[1].messages[..pair[0].messages.len()], pair[0].messages);
        assert_eq!((&pair[1].tools, pair[1].sampling), (&pair[0].tools, pair[0].sampling));
    }
}

#[test]
fn a_cut_off_call_is_never_run_and_may_be_sent_again() {
    let ran = check(
        World::new([call("edit", BROKEN), call("edit", WHOLE), text("Fixed.")]),
        "turn1 called:edit:cut_off turn2 calling:edit called:edit:ok turn3 done:finished",
    );
    assert_eq!(ran.performed, 1);
    assert!(ran.answers()[0].contains("cut off") && ran.answers()[0].contains(BROKEN), "{}", ran.answers()[0]);
    let Message::Assistant { calls, .. } = &ran.requests[1].messages[2] else { panic!("the call stays in the conversation") };
    assert_eq!(calls[0].arguments, "{}", "templates parse what is in the conversation");
}

#[test]
fn a_call_that_the_limit_ended_is_not_run_even_when_it_parses() {
    let ran = check(
        World::new([cut(calls(&[("read", WHOLE), ("edit", WHOLE)])), text("Fixed.")]),
        "turn1 calling:read called:read:ok called:edit:cut_off turn2 done:finished",
    );
    assert_eq!(ran.performed, 1);
}

#[test]
fn three_turns_of_broken_calls_are_a_failure() {
    let turns = [call("edit", BROKEN), call("edit", "[1]"), call("open", WHOLE), text("Never asked.")];
    let ran = check(
        World::new(turns),
        "turn1 called:edit:cut_off turn2 called:edit:arguments turn3 called:open:unknown_tool done:failed",
    );
    assert_eq!(ran.performed, 0);
    assert!(ran.reason().contains("3 turns"), "{}", ran.reason());
}

#[test]
fn a_call_that_runs_forgives_the_broken_ones_before() {
    let bad = || call("edit", BROKEN);
    let ran = World::new([bad(), bad(), read("a"), bad(), bad(), text("Done.")]).run();
    assert_eq!(kind(&ran.report.outcome), "finished");
}

#[test]
fn nothing_behind_a_broken_call_is_run() {
    let ran = check(
        World::new([calls(&[("read", WHOLE), ("edit", BROKEN), ("run", r#"{"command": "rm"}"#)]), text("Done.")]),
        "turn1 calling:read called:read:ok called:edit:cut_off called:run:skipped turn2 done:finished",
    );
    assert!(ran.answers()[2].contains("`edit`"), "{}", ran.answers()[2]);
    assert_eq!(ran.performed, 1);
}

#[test]
fn what_a_check_says_of_a_call_reaches_the_model() {
    let ran = World::new([call("open_the_file", WHOLE), call("read", r#"{"file": "a"}"#), text("Done.")]).run();
    assert!(ran.answers()[0].contains("The tools are read, edit, run."), "{}", ran.answers()[0]);
    assert!(ran.answers()[1].contains("`path` is missing") && ran.answers()[1].contains("path (string)"), "{}", ran.answers()[1]);
}

#[test]
fn an_empty_answer_is_nudged_once_and_then_a_failure() {
    check(World::new([text(""), text("Done.")]), "turn1 nudge turn2 done:finished");
    check(World::new([text(" \n"), text(""), text("Never asked.")]), "turn1 nudge turn2 done:failed");
    check(
        World::new([text(""), read("a"), text(""), text("Done.")]),
        "turn1 nudge turn2 calling:read called:read:ok turn3 nudge turn4 done:finished",
    );
}

#[test]
fn thinking_alone_is_empty_and_is_asked_for_again_without_thinking() {
    let ran = check(
        World::new([thought("Hm."), read("a"), text("Done.")]),
        "turn1 nudge turn2 calling:read called:read:ok turn3 done:finished",
    );
    assert_eq!(ran.requests.iter().map(|request| request.thinking).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn a_nudge_never_stands_as_a_users_turn_behind_a_tool_or_a_user() {
    let ran = World::new([read("a"), text(""), text("Done.")]).run();
    let Message::Tool { text, .. } = ran.last_said() else { panic!("{:?}", ran.last_said()) };
    assert!(text.starts_with("read ") && text.contains("Your answer was empty"), "{text}");

    let ran = World::new([fakes::text(""), fakes::text("Done.")]).run();
    assert_eq!(ran.requests[1].messages.len(), ran.opening.len());
    let Message::User { text } = ran.last_said() else { panic!("{:?}", ran.last_said()) };
    assert!(text.starts_with("Fix it.\n\nYour answer was empty"), "{text}");

    let ran = World::new([stopped(Stop::Length, "So long"), fakes::text("Done.")]).run();
    assert!(matches!(ran.requests[1].messages[2..], [Message::Assistant { .. }, Message::User { .. }]));
}

#[test]
fn a_cut_off_text_is_to_go_on_once() {
    let cut = || stopped(Stop::Length, "So long");
    check(World::new([cut(), text("Done.")]), "turn1 nudge turn2 done:finished");
    let ran = check(World::new([cut(), cut()]), "turn1 nudge turn2 done:failed");
    assert!(ran.reason().contains("cut off"));
}

#[test]
fn repetition_is_nudged_once_and_then_a_failure() {
    let again = || stopped(Stop::Repetition, "again again");
    check(World::new([again(), text("Done.")]), "turn1 nudge turn2 done:finished");
    check(World::new([again(), again()]), "turn1 nudge turn2 done:failed");
}

#[test]
fn the_third_identical_call_is_refused_and_the_fifth_ends_the_run() {
    let ran = check(
        World::new((0..6).map(|_| read("a"))),
        "turn1 calling:read called:read:ok turn2 calling:read called:read:ok turn3 called:read:repeated \
         turn4 called:read:repeated turn5 called:read:repeated done:failed",
    );
    assert_eq!(ran.performed, 2);
    assert!(ran.reason().contains("`read` 5 times"), "{}", ran.reason());
}

#[test]
fn a_changed_result_or_an_edit_in_between_is_no_repetition() {
    let changing = World::new((0..6).map(|_| read("a")).chain([text("Done.")]));
    let ran = changing.act(|_, _, before| ToolAnswer::done(format!("version {before}"))).run();
    assert_eq!(ran.performed, 6);

    let turns = (0..3).flat_map(|_| [read("a"), read("a"), call("edit", WHOLE)]).chain([text("Done.")]);
    assert_eq!(World::new(turns).run().performed, 9);
}

#[test]
fn identical_calls_in_one_turn_count_too() {
    let ran = check(
        World::new([calls(&[("read", WHOLE); 6])]),
        "turn1 calling:read called:read:ok calling:read called:read:ok called:read:repeated called:read:repeated \
         called:read:repeated called:read:interrupted done:failed",
    );
    assert_eq!(ran.performed, 2);
}

#[test]
fn what_the_policy_denies_is_answered_and_not_run() {
    let run = || call("run", r#"{"command": "make"}"#);
    let world = World { approval: Policy::Edits, ..World::new([run(), text("I may not.")]) };
    let ran = check(world, "turn1 called:run:denied turn2 done:denied");
    assert_eq!(ran.performed, 0);
    assert!(ran.answers()[0].contains("not permitted") && ran.reason().contains("`run`"));

    let world = World { approval: Policy::Edits, ..World::new([run(), call("edit", WHOLE), text("Done otherwise.")]) };
    check(world, "turn1 called:run:denied turn2 calling:edit called:edit:ok turn3 done:finished");
}

#[test]
fn insisting_on_what_is_denied_ends_as_denied() {
    let edits = (0..6).map(|_| call("edit", WHOLE));
    let ran = World { approval: Policy::Reads, ..World::new(edits) }.run();
    assert_eq!((kind(&ran.report.outcome), ran.report.steps, ran.performed), ("denied", 5, 0));
}

#[test]
fn a_result_is_clipped_to_its_share_of_the_room() {
    let world = World::new([costing(1_000, 0, call("run", r#"{"command": "x"}"#)), text("Done.")]).window(4_000);
    let ran = world.act(|_, _, _| ToolAnswer::done(lines(5_000))).run();
    assert_eq!(kind(&ran.report.outcome), "finished");
    let answer = ran.answers()[0];
    // A third of what the window leaves beside the conversation (1,000) and the next answer (500).
    assert!(words(answer) <= Tokens(833) && words(answer) > Tokens(790), "{}", words(answer));
    assert!(answer.starts_with("1: word\n") && answer.ends_with("5000: word\n"));
    let notice = answer.lines().find(|line| line.starts_with('[')).unwrap();
    assert!(notice.contains("of 5000 cut") && notice.contains("ask for less"), "{notice}");
}

#[test]
fn a_clipped_reading_names_the_lines_of_the_file_to_ask_for() {
    let world = World::new([costing(1_000, 0, read("a")), text("Done.")]).window(4_000);
    let numbered = (101..=5_000).map(|n| format!("{n}: word\n")).collect::<String>();
    let ran = world.act(move |_, _, _| ToolAnswer::done(format!("a lines 101-5000 of 9000\n{numbered}"))).run();
    let mut around = ran.answers()[0].split('[');
    let (head, rest) = (around.next().unwrap(), around.next().unwrap());
    let number = |line: &str| line.split(':').next().unwrap().parse::<usize>().unwrap();
    let (last_kept, next_kept) = (number(head.lines().last().unwrap()), number(rest.lines().nth(1).unwrap()));
    let expected = format!(r#"read with "start": {}, "end": {}"#, last_kept + 1, next_kept - 1);
    assert!(rest.contains(&expected), "{expected}: {rest:.300}");
}

#[test]
fn a_clipped_reading_is_not_the_whole_file() {
    let seen = Seen { hash: 1, whole: true };
    let world = World::new([costing(1_000, 0, read("./a")), read("b"), text("Done.")]).window(4_000);
    let ran = world.act(move |call, bench, _| {
        let reads = bench.reads.as_mut().unwrap();
        if call.arguments["path"] == "b" {
            return ToolAnswer::done(format!("{:?}", reads.0["a"]));
        }
        reads.0.insert("a".into(), seen);
        std::fs::write(bench.root.as_path().join("a"), "it is there").unwrap();
        ToolAnswer::done(lines(5_000))
    });
    assert!(ran.run().answers()[1].contains("whole: false"));
}

#[test]
fn a_window_without_room_for_a_result_ends_the_run_with_both_numbers() {
    let world = World::new([costing(3_490, 0, read("a"))]).window(4_000);
    let ran = check(world, "turn1 window calling:read called:read:ok done:budget");
    assert!(ran.reason().contains("4000"), "{}", ran.reason());
}

#[test]
fn an_overflow_teaches_the_window_shortens_the_latest_result_and_tries_again() {
    let world = World::new([read("a"), overflow(6_000, 4_000), text("Done.")]);
    let world = world.act(|_, _, _| ToolAnswer::done(lines(2_500)));
    let ran = check(world, "turn1 calling:read called:read:ok compacted:latest turn2 done:finished");
    let Message::Tool { text, .. } = ran.last_said() else { panic!("{:?}", ran.last_said()) };
    // 6,000 and 500 for the answer are 2,500 over, and an eighth of that is the margin.
    assert!(words(text) <= Tokens(5_000 - 2_812) && words(text) > Tokens(2_100), "{}", words(text));
    assert_eq!(ran.requests[2].messages.len(), ran.requests[1].messages.len(), "nothing is dropped");
}

#[test]
fn an_overflow_without_numbers_halves_the_latest_result() {
    let world = World::new([read("a"), overflow(0, 0), text("Done.")]).act(|_, _, _| ToolAnswer::done(lines(1_000)));
    let ran = check(world, "turn1 calling:read called:read:ok compacted:latest turn2 done:finished");
    let Message::Tool { text, .. } = ran.last_said() else { panic!("{:?}", ran.last_said()) };
    assert!(words(text) <= Tokens(1_000) && words(text) > Tokens(900));
}

#[test]
fn an_overflow_that_stays_ends_the_run_with_both_numbers() {
    let world = World::new([read("a"), overflow(6_000, 4_000), overflow(5_000, 4_000)]);
    let ran = check(
        world.act(|_, _, _| ToolAnswer::done(lines(2_500))),
        "turn1 calling:read called:read:ok compacted:latest done:budget",
    );
    assert!(ran.reason().contains("5000") && ran.reason().contains("4000"), "{}", ran.reason());

    let ran = check(World::new([overflow(6_000, 4_000)]), "done:budget");
    assert!(ran.reason().contains("6000") && ran.reason().contains("4000"), "{}", ran.reason());
}

#[test]
fn a_full_window_is_not_taken_for_a_long_answer() {
    let ran = check(World::new([costing(3_900, 100, cut(text("So")))]).window(4_000), "turn1 window done:budget");
    assert!(ran.reason().contains("4000"), "{}", ran.reason());
    let ran = World::new([costing(3_900, 100, cut(call("edit", BROKEN)))]).window(4_000);
    check(ran, "turn1 window called:edit:cut_off done:budget");
}

#[test]
fn an_engine_that_is_lost_ends_the_run_as_such() {
    let lost = Turn::Error(EngineError::Lost { reason: "it was killed".into() });
    let ran = check(World::new([read("a"), lost]), "turn1 calling:read called:read:ok done:engine");
    assert!(ran.reason().contains("it was killed"));
}

#[test]
fn each_limit_ends_the_run_and_is_named() {
    let work = || World::new([costing(60, 40, read("a")), costing(60, 40, read("b")), text("Done.")]);
    let limited = |limits| World { limits, ..work() };
    let two = "turn1 calling:read called:read:ok turn2 calling:read called:read:ok done:budget";
    let ran = check(limited(Limits { steps: Some(2), ..Limits::default() }), two);
    assert!(ran.reason().contains("2 steps"));
    let ran = check(limited(Limits { tokens: Some(Tokens(200)), ..Limits::default() }), two);
    assert!(ran.reason().contains("200 tokens"));
    let ran = check(limited(Limits { time: Some(Duration::ZERO), ..Limits::default() }), "done:budget");
    assert!(ran.reason().contains("seconds"));
}

#[test]
fn the_limit_of_time_ends_a_turn_that_is_under_way() {
    let limits = Limits { time: Some(Duration::from_millis(5)), ..Limits::default() };
    check(World { limits, ..World::new([Turn::Wait(CancellationToken::new())]) }, "turn1 done:budget");
    check(World { limits, ..World::new([Turn::Hang]) }, "done:budget");
}

/// Runs a tool during which the person cancels, and says how long the end took.
fn cancelled_in(tool: impl Fn() + Send + Sync + 'static) -> (Ran, Duration) {
    let cancel = CancellationToken::new();
    let world = World { cancel: cancel.clone(), ..World::new([read("a"), text("Never asked.")]) };
    let since = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&since);
    let ran = world.act(move |_, bench, _| {
        *noted.lock().unwrap() = Some(Instant::now());
        cancel.cancel();
        assert!(bench.cancel.is_cancelled(), "the tool is told");
        tool();
        ToolAnswer::done("ended")
    });
    let ran = ran.run();
    let took = since.lock().unwrap().unwrap().elapsed();
    (ran, took)
}

#[test]
fn a_tool_that_hears_the_cancel_gives_its_answer() {
    let (ran, _) = cancelled_in(|| ());
    assert_eq!(ran.trace(), "turn1 calling:read called:read:ok done:interrupted");
}

#[test]
fn a_tool_that_does_not_hear_the_cancel_is_left_behind() {
    // The tool waits until the test has ended.
    let (gone, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let (ran, took) = cancelled_in(move || {
        let _ = wait.lock().unwrap().recv();
    });
    drop(gone);
    assert_eq!(ran.trace(), "turn1 calling:read called:read:interrupted done:interrupted");
    // Promised are 300 ms; the machine that tests may be busy.
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_cancelled_turn_keeps_what_was_said() {
    let cancel = CancellationToken::new();
    let world = World { cancel: cancel.clone(), ..World::new([read("a"), Turn::Wait(cancel)]) };
    let ran = check(world, "turn1 calling:read called:read:ok turn2 done:interrupted");
    assert!(ran.events.iter().any(|event| matches!(event, Event::Turn { text, .. } if text == "half a")));
}

/// A person who answers nothing and leaves.
struct Leaves(CancellationToken);

impl Approve for Leaves {
    fn ask<'a>(&'a mut self, _: &'a CheckedCall) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        self.0.cancel();
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_question_that_nobody_answers_ends_with_the_cancel() {
    let cancel = CancellationToken::new();
    let asked = Some(Box::new(Leaves(cancel.clone())) as Box<dyn Approve>);
    let ran = check(
        World { cancel, asked, ..World::new([calls(&[("read", WHOLE), ("edit", WHOLE)])]) },
        "turn1 calling:read called:read:ok called:edit:interrupted done:interrupted",
    );
    assert_eq!(ran.performed, 1);
}

#[test]
fn a_run_that_is_cancelled_before_it_began_asks_for_nothing() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let ran = check(World { cancel, ..World::new([text("Never asked.")]) }, "done:interrupted");
    assert!(ran.requests.is_empty());
}

#[test]
fn a_tool_that_panics_is_answered_and_the_run_goes_on() {
    let world = World::new([read("a"), text("Done.")]).act(|_, _, _| panic!("on purpose"));
    check(world, "turn1 calling:read called:read:crashed turn2 done:finished");
}

#[test]
fn news_of_the_background_come_between_two_steps_and_all_ends_with_the_task() {
    use crate::sandbox::process::{Command, Line};
    use rustix::process::{Pid, test_kill_process};
    let alive = |process: u32| test_kill_process(Pid::from_raw(process.cast_signed()).unwrap()).is_ok();
    let sleeper = Arc::new(Mutex::new(0));
    let started = Arc::clone(&sleeper);
    let world = World::new([call("run", r#"{"command": "serve"}"#), read("a"), text("Done.")]).act(move |call, bench, _| {
        if call.name == "run" {
            let start = |line: &str, log: &str| {
                let (line, limit) = (Line::Shell(line.into()), Duration::from_secs(20));
                let command = Command { line, dir: "/".into(), env: Vec::new(), limit, keep: 400, log: None };
                bench.jobs.as_ref().unwrap().start(&command, bench.logs.join(log)).unwrap().process
            };
            *started.lock().unwrap() = start("sleep 100", "1");
            let printer = start("echo ready", "2");
            let begun = Instant::now();
            while alive(printer) && begun.elapsed() < Duration::from_secs(20) {
                std::thread::yield_now();
            }
        }
        ToolAnswer::done("ok")
    });
    let ran = world.run();
    assert!(ran.trace().starts_with("turn1 calling:run called:run:ok nudge"), "{}", ran.trace());
    let Message::Tool { text, .. } = ran.requests[1].messages.last().unwrap() else { panic!("{:?}", ran.requests[1]) };
    assert!(text.starts_with("ok\n\n[job 2 printed: ready]"), "{text}");
    assert!(!alive(*sleeper.lock().unwrap()));
}
