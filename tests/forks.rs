//! Turns side by side, and tokens ahead of time: what is written is what one turn and one token at a time would write.
#![cfg(feature = "llama")]

mod support;

use agent::engine::backend::{Backend, LoadOptions};
use agent::engine::embedded::{Drafting, Embedded};
use agent::protocol::message::Message;
use agent::protocol::turn::{Delta, Reply, Sampling, Stop, ToolChoice, TurnRequest};
use agent::units::Tokens;
use std::sync::atomic::{AtomicBool, Ordering};
use support::gguf::raw::Raw;
use support::gguf::script::{follow, spoken, words};
use support::gguf::{Arch, CHATML, Gguf, Weights};

/// Decided enough that the order of sums does not change what is likeliest.
fn decided(arch: Arch) -> Gguf {
    Gguf::new(arch).template(CHATML).weights(Weights::F32).scale(0.3).context(16_384)
}

/// A mixture of random experts: which of them are asked flips with the last bit of a sum, and with it all that follows, also
/// when one turn is merely asked twice.
const CHAOTIC: Arch = Arch::Qwen3Moe;

fn load(raw: &Raw, window: u32) -> Embedded {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, raw.bytes()).unwrap();
    // Keys in full: where batches part depends on the machine's speed, and halves would be rounded otherwise.
    let full = || Some("f32".to_owned());
    let options = LoadOptions { threads: Some(1), n_ctx: Some(window), type_k: full(), type_v: full(), ..LoadOptions::of(&path) };
    Embedded::load(&options, &mut |_| {}).unwrap()
}

fn request(text: &str, sampling: Sampling) -> TurnRequest {
    TurnRequest {
        messages: vec![Message::User { text: text.into() }],
        tools: Vec::new(),
        sampling,
        max_tokens: Tokens(60),
        thinking_budget: None,
        thinking: false,
        choice: ToolChoice::Auto,
        grounds: Vec::new(),
    }
}

fn greedy() -> Sampling {
    Sampling { temperature: Some(0.0), ..Sampling::default() }
}

fn seeded(seed: u32) -> Sampling {
    Sampling { seed: Some(seed), ..Sampling::default() }
}

fn alone(engine: &mut Embedded, request: &TurnRequest) -> Reply {
    engine.turn(request, &mut |_| {}, &AtomicBool::new(false)).unwrap()
}

fn together(engine: &mut Embedded, requests: &[TurnRequest]) -> Vec<Reply> {
    engine.turns(requests, &mut |_| {}, &AtomicBool::new(false)).unwrap()
}

#[test]
fn forks_write_what_single_turns_write_and_share_their_prefix() {
    for arch in Arch::ALL {
        let raw = decided(arch).raw();
        let task = "fix the bug in the file ".repeat(4);
        // Some alike, some that part in their last words.
        let tasks: Vec<String> = (0..8).map(|n| if n < 4 { task.clone() } else { format!("{task}{n}") }).collect();
        let requests: Vec<_> = tasks.iter().map(|text| request(text, greedy())).collect();
        let replies = together(&mut load(&raw, 8192), &requests);
        assert_eq!(replies.len(), 8);
        for (asked, reply) in requests.iter().zip(&replies) {
            let single = alone(&mut load(&raw, 8192), asked);
            assert_eq!(reply.usage.prompt, reply.usage.prefilled + reply.usage.reused, "{arch:?}");
            assert_eq!(reply.usage.prompt, single.usage.prompt, "{arch:?}");
            if arch != CHAOTIC {
                assert_eq!((&reply.text, reply.stop), (&single.text, single.stop), "{arch:?}");
                assert_eq!(reply.usage.generated, single.usage.generated, "{arch:?}");
            }
        }
        let prefilled: u32 = replies.iter().map(|reply| reply.usage.prefilled.0).sum();
        let prompt = replies[0].usage.prompt.0;
        if [Arch::Qwen2, Arch::Llama, Arch::Qwen3Moe].contains(&arch) {
            assert!(prefilled < prompt + 8 * 24, "{arch:?}: {prefilled} for prompts of {prompt}");
        }
    }
}

#[test]
fn forks_go_on_as_conversations_of_their_own() {
    let mut engine = load(&decided(Arch::Qwen2).raw(), 8192);
    let task = "one two three ".repeat(60);
    let requests: Vec<_> = (0..4).map(|seed| request(&task, seeded(seed))).collect();
    let replies = together(&mut engine, &requests);
    assert!(replies.windows(2).any(|pair| pair[0].text != pair[1].text), "seeds differ");
    let next: Vec<_> = requests
        .into_iter()
        .zip(&replies)
        .map(|(mut asked, reply)| {
            let turn = Message::Assistant { text: reply.text.clone(), thinking: String::new(), calls: Vec::new() };
            asked.messages.extend([turn, Message::User { text: "And now?".into() }]);
            asked
        })
        .collect();
    let again = together(&mut engine, &next);
    for (first, second) in replies.iter().zip(&again) {
        let known = first.usage.prompt.0 + first.usage.generated.0 - u32::from(first.stop == Stop::End);
        assert!(second.usage.prompt.0 > known, "it goes on from the very tokens");
        // What the forks share stands in the cache; what each wrote is processed once more.
        assert!(second.usage.prefilled.0 < 60 + 40, "{:?}", second.usage);
    }
}

#[test]
fn forks_without_room_beside_each_other_end_one_after_another() {
    let raw = decided(Arch::Qwen2).raw();
    let requests: Vec<_> = (0..4)
        .map(|seed| TurnRequest { max_tokens: Tokens(300), ..request(&"one two three ".repeat(10), seeded(seed)) })
        .collect();
    let replies = together(&mut load(&raw, 512), &requests);
    let room = 512 - replies[0].usage.prompt.0;
    let generated: u32 = replies.iter().map(|reply| reply.usage.generated.0).sum();
    assert!(generated > room, "more than fits side by side: {generated} in {room}");
    for reply in &replies {
        assert!(reply.stop != Stop::Length || reply.usage.generated == Tokens(300), "none is cut before its time: {reply:?}");
    }
}

#[test]
fn forks_that_are_cancelled_end_with_what_they_have() {
    for after in [0, 1] {
        let mut engine = load(&decided(Arch::Qwen2).raw(), 8192);
        let cancel = AtomicBool::new(false);
        let mut pieces = 0;
        let sink = &mut |delta: Delta| {
            assert!(!delta.is_written(), "turns side by side are not streamed");
            pieces += 1;
            cancel.store(
                pieces > after * 1000 || matches!(delta, Delta::Prefill { done, total } if done == total),
                Ordering::Relaxed,
            );
        };
        let requests: Vec<_> = (0..4).map(|seed| request(&"a b c ".repeat(200), seeded(seed))).collect();
        let replies = engine.turns(&requests, sink, &cancel).unwrap();
        assert!(replies.iter().all(|reply| reply.stop == Stop::Cancelled), "{replies:?}");
        let whole = together(&mut engine, &requests);
        assert!(whole.iter().all(|reply| reply.stop != Stop::Cancelled));
    }
}

#[test]
fn a_draft_never_changes_what_is_written() {
    let mut drawn = 0;
    for arch in Arch::ALL {
        let raw = decided(arch).raw();
        for sampling in [greedy(), seeded(1), seeded(2)] {
            let asked = TurnRequest { max_tokens: Tokens(300), ..request(&"let x = a + b; ".repeat(4), sampling) };
            let write = |drafting| {
                let mut engine = load(&raw, 8192);
                engine.set_drafting(drafting);
                let first = alone(&mut engine, &asked);
                let turn = Message::Assistant { text: first.text.clone(), thinking: String::new(), calls: Vec::new() };
                let mut next = asked.clone();
                next.messages.extend([turn, Message::User { text: "go on".into() }]);
                let second = alone(&mut engine, &next);
                assert_eq!(
                    second.usage.reused,
                    first.usage.prompt + first.usage.generated - Tokens(u32::from(first.stop == Stop::End))
                );
                (first.text, first.stop, second.text, engine.drafted())
            };
            let (plain, drafted) = (write(Drafting::Never), write(Drafting::Always));
            if arch != CHAOTIC {
                assert_eq!((&plain.0, plain.1, &plain.2), (&drafted.0, drafted.1, &drafted.2), "{arch:?}");
            }
            assert_eq!(plain.3, (0, 0));
            drawn += drafted.3.1;
        }
    }
    assert!(drawn > 0, "some drafts were right");
}

/// A model that says these words whatever came before.
fn copier(count: usize) -> (Raw, String) {
    let mut raw = Gguf::llama().layers(1).weights(Weights::F32).context(16_384).template(CHATML).vocab(1_000 + 3 * count).raw();
    let said = words(&raw, count);
    let chain: Vec<String> = ["Ċ".to_owned()].into_iter().chain(said.iter().cloned()).chain(["<|im_end|>".to_owned()]).collect();
    follow(&mut raw, &[chain]);
    (raw, spoken(&said))
}

#[test]
fn what_was_said_before_is_drafted_nearly_whole() {
    let (raw, text) = copier(300);
    let mut asked = TurnRequest { max_tokens: Tokens(400), ..request("say it", greedy()) };
    let mut engine = load(&raw, 4096);
    engine.set_drafting(Drafting::Always);
    let first = alone(&mut engine, &asked);
    assert_eq!(first.text.trim(), text);
    assert_eq!(engine.drafted(), (0, 0), "there is nothing to draft from");
    let said = Message::Assistant { text: first.text, thinking: String::new(), calls: Vec::new() };
    asked.messages.extend([said, Message::User { text: "say it again".into() }]);
    let second = alone(&mut engine, &asked);
    let (drafted, drawn) = engine.drafted();
    eprintln!("{drafted} tokens drafted, {drawn} drawn of {}", second.usage.generated);
    assert_eq!(second.text.trim(), text);
    assert!(drawn >= 250 && drafted - drawn < 60, "{drawn} of {drafted}");
}
