//! What holds however replies, verdicts, answers and failures come.

use crate::agent::Generation;
use crate::agent::approval::Verdict;
use crate::agent::limits::Limits;
use crate::agent::run::{Admitted, Run, Start, Step};
use crate::agent::tests::fakes::{cards, checked};
use crate::engine::EngineError;
use crate::protocol::event::Event;
use crate::protocol::message::{Call, Message};
use crate::protocol::tool::ToolAnswer;
use crate::protocol::turn::{Reply, Sampling, Stop, Usage};
use crate::sessions::fold::follow;
use crate::units::Tokens;
use proptest::prelude::*;
use std::collections::HashSet;

fn some_call() -> impl Strategy<Value = Call> {
    let id = prop_oneof![Just(""), Just("a"), Just("b"), Just("call00001")];
    let name = prop_oneof![4 => Just("read"), 2 => Just("edit"), 2 => Just("run"), 1 => Just("open"), 1 => Just("")];
    let arguments = prop_oneof![
        Just(""),
        Just("{}"),
        Just("null"),
        Just(r#"{"path": "a", "command": "x"}"#),
        Just(r#"{"path": "b", "command": "y"}"#),
        Just(r#"{"path": "a"#),
    ];
    (id, name, arguments).prop_map(|(id, name, arguments)| Call { id: id.into(), name: name.into(), arguments: arguments.into() })
}

fn some_reply() -> impl Strategy<Value = Reply> {
    let text = prop_oneof![Just(""), Just("So be it.")];
    let thinking = prop_oneof![Just(""), Just("Hm.")];
    let stop =
        prop_oneof![12 => Just(Stop::End), 2 => Just(Stop::Length), 2 => Just(Stop::Repetition), 1 => Just(Stop::Cancelled)];
    let usage = (0u32..4_000).prop_map(|prompt| Usage { prompt: Tokens(prompt), generated: Tokens(9), ..Usage::default() });
    let calls = prop_oneof![1 => Just(0usize), 6 => 1usize..4].prop_flat_map(|n| prop::collection::vec(some_call(), n));
    (text, thinking, calls, stop, usage).prop_map(|(text, thinking, calls, stop, usage)| Reply {
        text: text.into(),
        thinking: thinking.into(),
        calls,
        stop,
        usage,
    })
}

#[derive(Clone, Debug)]
enum Happening {
    Reply(Reply),
    Overflow,
    Lost,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![20 => some_reply().prop_map(Happening::Reply), 1 => Just(Happening::Overflow), 1 => Just(Happening::Lost)]
}

/// Chances for everything that is not the model: verdicts, answers, halts.
type Dice = Vec<u8>;

fn opening() -> Vec<Message> {
    vec![Message::System { text: "Be good.".into() }, Message::User { text: "Fix it.".into() }]
}

/// Plays a run to its end.
fn play(happenings: Vec<Happening>, dice: Dice) -> (Run, Vec<Event>) {
    let generation = Generation { sampling: Sampling::default(), max_tokens: Tokens(500), thinking_budget: None, thinking: true };
    let limits = Limits { steps: Some(40), ..Limits::default() };
    let mut run =
        Run::new(Start { opening: opening(), cards: cards(), generation, limits, window: Some(Tokens(4_096)), front: None });
    let (mut happenings, mut dice) = (happenings.into_iter(), dice.into_iter().cycle());
    let mut roll = || dice.next().unwrap_or_default();
    let mut events = Vec::new();
    loop {
        let step = run.step();
        events.extend(run.events());
        if roll() == 255 && !matches!(step, Step::Done(_)) {
            run.on_halt();
            continue;
        }
        match step {
            Step::Infer(request) => {
                assert_eq!(request.messages, run.messages());
                match happenings.next() {
                    Some(Happening::Reply(reply)) => run.on_reply(reply, checked),
                    Some(Happening::Overflow) => {
                        run.on_engine_error(&EngineError::Overflow { prompt: Tokens(5_000), window: Tokens(4_096) });
                    }
                    Some(Happening::Lost) | None => run.on_engine_error(&EngineError::Lost { reason: "gone".into() }),
                }
            }
            Step::Ask(_) => run.on_permission(if roll() % 4 == 0 { Verdict::Denied } else { Verdict::Allowed }),
            Step::Perform(_) => {
                let text = ["one", "two"][usize::from(roll() % 2)];
                let answer = if roll() % 3 == 0 { ToolAnswer::failed("not_found", text, "") } else { ToolAnswer::done(text) };
                run.on_answer(answer, Admitted { text: text.into(), tokens: Tokens(1) });
            }
            // The smaller a count, the less there is to gain.
            Step::Weigh(texts) => run.on_weighed(&texts.iter().map(|_| Tokens(roll().into())).collect::<Vec<_>>()),
            Step::Summarize(request) => {
                assert!(request.messages.len() >= run.messages().len() && request.tools == cards());
                run.on_summary(match happenings.next() {
                    Some(Happening::Reply(reply)) => Some(reply),
                    _ => None,
                });
            }
            Step::Fit(fit) if roll() % 4 == 0 => run.on_no_room(fit.excess.unwrap_or_default()),
            Step::Fit(fit) => run.on_fit(fit.results.iter().map(|r| (r.at, r.text.clone())).collect(), Tokens(1)),
            Step::Done(_) => return (run, events),
        }
    }
}

/// Every call is answered exactly once, in order, directly behind the turn that made it; ids are unique; arguments are
/// objects; nobody speaks out of turn.
fn well_formed(messages: &[Message]) -> Result<(), TestCaseError> {
    let (mut ids, mut waiting) = (HashSet::new(), Vec::new());
    let mut before: Option<&Message> = None;
    for message in messages {
        match message {
            Message::Tool { call, name, .. } => {
                prop_assert!(!waiting.is_empty(), "an answer without a call");
                let made: &Call = waiting.remove(0);
                prop_assert_eq!((&made.id, &made.name), (call, name));
            }
            Message::Assistant { calls, text, .. } => {
                prop_assert!(waiting.is_empty());
                prop_assert!(!calls.is_empty() || !text.trim().is_empty());
                waiting = calls.iter().collect();
                for call in calls {
                    prop_assert!(!call.id.is_empty() && ids.insert(&call.id), "the id {} is not unique", call.id);
                    let arguments: serde_json::Value = serde_json::from_str(&call.arguments).unwrap();
                    prop_assert!(arguments.is_object());
                }
            }
            Message::User { .. } => {
                let out_of_turn = matches!(before, Some(Message::Tool { .. } | Message::User { .. }));
                prop_assert!(waiting.is_empty() && !out_of_turn);
            }
            Message::System { .. } => prop_assert!(before.is_none()),
        }
        before = Some(message);
    }
    prop_assert!(waiting.is_empty(), "calls without an answer");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_conversation_is_well_formed(
        happenings in prop::collection::vec(happening(), 0..25),
        dice in prop::collection::vec(any::<u8>(), 1..50),
    ) {
        let (run, events) = play(happenings, dice);
        well_formed(run.messages())?;

        let mut folded = opening();
        events.iter().for_each(|event| follow(&mut folded, event));
        prop_assert_eq!(&folded[..], run.messages(), "the conversation is the fold of the events");

        let done = events.iter().filter(|event| matches!(event, Event::Done { .. })).count();
        let last = matches!(events.last(), Some(Event::Done { .. }));
        prop_assert!(done == 1 && last);
        prop_assert!(run.cost().steps <= 40);
    }

    #[test]
    fn only_whole_calls_run_and_each_is_announced_directly_before(
        happenings in prop::collection::vec(happening(), 0..25),
        dice in prop::collection::vec(any::<u8>(), 1..50),
    ) {
        let (_, events) = play(happenings, dice);
        for pair in events.windows(2) {
            if let Event::Calling { call } = &pair[0] {
                let answered = matches!(&pair[1], Event::Called { id, .. } if *id == call.id);
                prop_assert!(answered);
                prop_assert!(checked(call).is_ok());
            }
        }
    }
}
