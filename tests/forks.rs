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

/// The conversation a step further: what was replied, and new words.
fn further(asked: &TurnRequest, reply: &Reply, words: &str) -> TurnRequest {
    let mut asked = asked.clone();
    let turn = Message::Assistant { text: reply.text.clone(), thinking: String::new(), calls: Vec::new() };
    asked.messages.extend([turn, Message::User { text: words.into() }]);
    asked
}

/// Tokens of a conversation behind a turn that the cache has: prompt and turn, less what ended it or was never processed.
fn held(reply: &Reply) -> u32 {
    reply.usage.prompt.0 + reply.usage.generated.0 - 1
}

/// Whether a step processed no more than what is new in it. The token that was drawn last, and the one that ended the turn, are new.
#[track_caller]
fn check_step(before: &Reply, now: &Reply) {
    assert_eq!(now.usage.prompt, now.usage.prefilled + now.usage.reused);
    let new = now.usage.prompt.0 - held(before);
    assert!(new > 2 && (now.usage.prefilled.0 == new || now.usage.prefilled.0 == new - 1), "{new}: {:?}", now.usage);
}

#[test]
fn each_step_of_several_conversations_costs_its_new_tokens() {
    for arch in [Arch::Qwen2, Arch::Llama] {
        let raw = decided(arch).raw();
        let mut engine = load(&raw, 8192);
        assert!(engine.info().forks >= 4);
        let mut asked: Vec<_> = (0..4).map(|seed| request(&"one two three ".repeat(60), seeded(seed))).collect();
        let mut replies = together(&mut engine, &asked);
        assert!(replies.windows(2).any(|pair| pair[0].text != pair[1].text), "seeds differ");
        for step in 0..3 {
            let words = |fork: usize| format!("And now{}? It is step {step}.", " more".repeat(fork * 9));
            asked = asked.iter().zip(&replies).enumerate().map(|(fork, (a, reply))| further(a, reply, &words(fork))).collect();
            if step == 1 {
                // The order in which they ask makes no difference.
                asked.rotate_left(1);
                replies.rotate_left(1);
            }
            let next = together(&mut engine, &asked);
            replies.iter().zip(&next).for_each(|(before, now)| check_step(before, now));
            replies = next;
        }
        // The last of them goes on alone, where it was left.
        let last = further(&asked[2], &replies[2], "And then?");
        let reply = alone(&mut engine, &last);
        check_step(&replies[2], &reply);
        check_step(&reply, &alone(&mut engine, &further(&last, &reply, "Is that all?")));
    }
}

#[test]
fn steps_on_lanes_write_what_steps_alone_write() {
    for arch in [Arch::Qwen2, Arch::Llama] {
        let raw = decided(arch).raw();
        let task = "fix the bug in the file ".repeat(4);
        let mut side_by_side = load(&raw, 8192);
        let mut asked: Vec<_> = (0..4).map(|n| request(&format!("{task}{n}"), greedy())).collect();
        let mut apart: Vec<_> = (0..4).map(|_| load(&raw, 8192)).collect();
        for step in 0..3 {
            let replies = together(&mut side_by_side, &asked);
            for (engine, (asked, reply)) in apart.iter_mut().zip(asked.iter().zip(&replies)) {
                let single = alone(engine, asked);
                assert_eq!((&reply.text, reply.stop), (&single.text, single.stop), "{arch:?}, step {step}");
                assert_eq!(reply.usage.prompt, single.usage.prompt);
            }
            asked = asked.iter().zip(&replies).map(|(asked, reply)| further(asked, reply, "go on, please")).collect();
        }
    }
}

#[test]
fn a_lane_without_a_part_in_a_round_waits_for_the_next_one() {
    let mut engine = load(&decided(Arch::Qwen2).raw(), 8192);
    let asked: Vec<_> = (0..3).map(|seed| request(&"one two three ".repeat(60), seeded(seed))).collect();
    let first = together(&mut engine, &asked);
    let next: Vec<_> = asked.iter().zip(&first).map(|(asked, reply)| further(asked, reply, "And now?")).collect();
    let alone_in_it = together(&mut engine, &next[1..2]);
    check_step(&first[1], &alone_in_it[0]);
    // One that comes late begins behind what all share.
    let late = request(&"one two three ".repeat(60), seeded(9));
    let second = together(&mut engine, &[next[0].clone(), late, next[2].clone()]);
    check_step(&first[0], &second[0]);
    check_step(&first[2], &second[2]);
    assert_eq!(second[1].usage.prefilled, Tokens(1), "all but the token that its first one is drawn from");
    let third = together(&mut engine, &[further(&next[1], &alone_in_it[0], "And then?"), further(&next[0], &second[0], "Then?")]);
    check_step(&alone_in_it[0], &third[0]);
    check_step(&second[0], &third[1]);
}

#[test]
fn lanes_go_where_the_cache_is_wanted_and_are_written_anew() {
    let mut engine = load(&decided(Arch::Qwen2).raw(), 8192);
    let asked: Vec<_> = (0..3).map(|seed| request(&"one two three ".repeat(60), seeded(seed))).collect();
    let first = together(&mut engine, &asked);
    alone(&mut engine, &request("something else entirely", greedy()));
    let next: Vec<_> = asked.iter().zip(&first).map(|(asked, reply)| further(asked, reply, "And now?")).collect();
    let second = together(&mut engine, &next);
    let prefilled: u32 = second.iter().map(|reply| reply.usage.prefilled.0).sum();
    let tails: u32 = second.iter().map(|reply| reply.usage.prompt.0 - first[0].usage.prompt.0).sum();
    assert!(prefilled >= first[0].usage.prompt.0 && prefilled <= first[0].usage.prompt.0 + tails + 3, "{prefilled}, {tails}");
    assert!(second.iter().all(|reply| reply.stop != Stop::Cancelled));
}

#[test]
fn conversations_that_outgrow_the_window_beside_each_other_are_parked_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, decided(Arch::Qwen2).raw().bytes()).unwrap();
    let options = LoadOptions { threads: Some(1), n_ctx: Some(4096), ..LoadOptions::of(&path) };
    let mut engine = Embedded::load(&options, &mut |_| {}).unwrap().with_states(&folder.path().join("kv"), &options);
    let mut asked: Vec<_> = (0..3).map(|seed| request(&"one two three ".repeat(40), seeded(seed))).collect();
    let mut replies = together(&mut engine, &asked);
    let mut beyond = 0;
    for _ in 0..5 {
        let words = "let x = a + b; ".repeat(28);
        asked = asked.iter().zip(&replies).map(|(asked, reply)| further(asked, reply, &words)).collect();
        let next = together(&mut engine, &asked);
        replies.iter().zip(&next).for_each(|(before, now)| check_step(before, now));
        replies = next;
        beyond += u32::from(replies.iter().map(|reply| reply.usage.prompt.0).sum::<u32>() > 4096);
    }
    assert!(beyond >= 2, "{:?}", replies[0].usage);
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
