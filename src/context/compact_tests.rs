//! Conversations of any kind, made shorter in every way.

use crate::context::chronicle::Chronicle;
use crate::context::compact::{Draft, Weighed};
use crate::prompts::compaction::{notes_in, without_notes};
use crate::protocol::event::Compacted;
use crate::protocol::message::{Call, Message};
use crate::protocol::turn::Usage;
use crate::units::Tokens;
use proptest::prelude::*;

/// One step: what the model said, and its calls with their answers.
type Step = (String, Vec<(&'static str, &'static str, String)>);

fn some_step() -> impl Strategy<Value = Step> {
    let call =
        (prop_oneof![Just("read"), Just("edit"), Just("run")], prop_oneof![Just("a"), Just("b"), Just("c")], "[a-z ]{0,300}");
    ("[a-z ]{0,40}", prop::collection::vec(call, 0..3))
}

fn conversation(words: &[String], steps: &[Step]) -> Vec<Message> {
    let mut messages = vec![Message::System { text: "Be good.".into() }];
    for (at, said) in words.iter().enumerate() {
        if at > 0 {
            messages.push(Message::Assistant { text: "Done.".into(), thinking: String::new(), calls: Vec::new() });
        }
        messages.push(Message::User { text: said.clone() });
    }
    for (step, (text, made)) in steps.iter().enumerate() {
        let id = |at: usize| format!("{step}.{at}");
        let call = |(at, (name, path, _)): (usize, &(&str, &str, String))| Call {
            id: id(at),
            name: (*name).into(),
            arguments: format!(r#"{{"path":"{path}"}}"#),
        };
        let calls = made.iter().enumerate().map(call).collect();
        messages.push(Message::Assistant { text: text.clone(), thinking: String::new(), calls });
        for (at, (name, path, answer)) in made.iter().enumerate() {
            let text = match *name {
                "read" => format!("{path} lines 1-9 of 9\n{answer}"),
                "edit" => format!("edited {path} at line 3"),
                _ => format!("exit code 0\n{answer}"),
            };
            messages.push(Message::Tool { call: id(at), name: (*name).into(), text });
        }
    }
    messages
}

fn tokens(text: &str) -> Tokens {
    Tokens(text.len().div_ceil(4) as u32)
}

fn weighed(messages: &[Message], opening: usize, room: u32) -> Option<Weighed> {
    let draft = Draft::of(messages, opening, &Chronicle::of(messages), Tokens(64))?;
    let counts: Vec<Tokens> = draft.texts().iter().map(|text| tokens(text)).collect();
    Some(draft.weigh(&counts, |_| Tokens(room)))
}

fn apply(messages: &[Message], compacted: &Compacted) -> Vec<Message> {
    let kept = messages.len() - compacted.replaced;
    [&messages[..kept], &compacted.messages].concat()
}

fn size(messages: &[Message]) -> Tokens {
    let text = |message: &Message| match message {
        Message::System { text } | Message::User { text } | Message::Tool { text, .. } => text.len(),
        Message::Assistant { text, calls, .. } => {
            text.len() + calls.iter().map(|c| c.name.len() + c.arguments.len() + 2).sum::<usize>()
        }
    };
    Tokens((messages.iter().map(text).sum::<usize>() / 4) as u32)
}

fn is_answered(messages: &[Message]) -> bool {
    let mut waiting: Vec<&str> = Vec::new();
    messages.iter().all(|message| match message {
        Message::Assistant { calls, .. } => {
            let answered = waiting.is_empty();
            waiting = calls.iter().rev().map(|call| call.id.as_str()).collect();
            answered
        }
        Message::Tool { call, .. } => waiting.pop() == Some(call),
        Message::System { .. } | Message::User { .. } => waiting.is_empty(),
    }) && waiting.is_empty()
}

proptest! {
    #[test]
    fn every_way_keeps_what_it_must(
        words in prop::collection::vec("[a-z]{1,20}", 1..4),
        steps in prop::collection::vec(some_step(), 0..12),
        room in 0u32..2_000,
    ) {
        let messages = conversation(&words, &steps);
        let opening = words.len() * 2;
        let Some(weighed) = weighed(&messages, opening, room) else {
            prop_assert!(words.len() == 1 && steps.len() < 2);
            return Ok(());
        };
        let summary = Usage { generated: Tokens(5), ..Usage::default() };
        for compacted in [weighed.stubbed(), weighed.summarized("It is in a.", summary), weighed.listed()] {
            let shorter = apply(&messages, &compacted);
            prop_assert!(is_answered(&shorter), "{shorter:?}");
            prop_assert_eq!(&shorter[0], &messages[0]);
            let Message::User { text } = &shorter[1] else { panic!("{:?}", shorter[1]) };
            let said = without_notes(text);
            prop_assert!(said.starts_with(&words[0]), "{said}");
            let last = steps.len().checked_sub(1).map_or(messages.len(), |last| {
                messages.len() - 1 - steps[last].1.len()
            });
            prop_assert!(shorter.ends_with(&messages[last..]), "the last step stays");
            // The words that are dropped count as freed; frames and joints are a token each at most.
            let freed = compacted.before - compacted.after;
            let slack = Tokens(messages.len() as u32 * 2 + 40);
            prop_assert!(size(&shorter) <= size(&messages) - freed + slack, "{compacted:?}");
        }
    }

    #[test]
    fn a_file_that_is_edited_stays_as_it_was_read_with_all_edits_since(steps in prop::collection::vec(some_step(), 2..12)) {
        let messages = conversation(&["Fix it.".to_owned()], &steps);
        // So much room that all of it may stay, but the last steps no more than they must.
        let listed = weighed(&messages, 2, 100_000).expect("there are two steps").listed();
        for path in ["a", "b", "c"] {
            let reading = format!("{path} lines");
            let about = |messages: &[Message]| -> Vec<String> {
                let texts = messages.iter().filter_map(|message| match message {
                    Message::Tool { text, .. } if text.starts_with(&reading) || *text == format!("edited {path} at line 3") => Some(text.clone()),
                    _ => None,
                });
                let texts: Vec<String> = texts.collect();
                let from = texts.iter().rposition(|text| text.starts_with(&reading)).unwrap_or(0);
                texts[from..].to_vec()
            };
            prop_assert_eq!(about(&listed.messages), about(&messages), "{}", path);
        }
    }
}

#[test]
fn notes_replace_the_notes_before_them() {
    let steps = |n: usize| -> Vec<Step> {
        (0..n).map(|at| (String::new(), vec![("run", "a", format!("{at} {}", "x".repeat(400)))])).collect()
    };
    let first = conversation(&["Fix it.".to_owned()], &steps(4));
    let once = apply(&first, &weighed(&first, 2, 400).unwrap().summarized("It is in a.", Usage::default()));
    let more = [once.clone(), conversation(&[], &steps(4))[1..].to_vec()].concat();
    let twice = apply(&more, &weighed(&more, 2, 400).unwrap().listed());
    let Message::User { text } = &twice[1] else { panic!() };
    assert_eq!((text.matches("<so-far>").count(), without_notes(text).as_str()), (1, "Fix it."));
    assert!(notes_in(text).unwrap().contains("It is in a."), "what was summed up before is not lost: {text}");
}

#[test]
fn nothing_older_than_the_last_step_is_nothing_to_compact() {
    let one: Vec<Step> = vec![(String::new(), vec![("run", "a", "x".into())])];
    assert!(weighed(&conversation(&["Fix it.".to_owned()], &one), 2, 100).is_none());
    assert!(weighed(&conversation(&["Fix it.".to_owned()], &[]), 2, 100).is_none());
}
