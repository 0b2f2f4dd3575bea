//! `cargo bench --bench attempts`: several conversations of an agent's kind, side by side and one after another, on a random
//! model of 896 dimensions and 8 layers. Says how many tokens were processed for prompts and written, and how long both took.
//!
//! All begin with the same prompt, draw differently, and go through some steps, each with a tool's result to read. One after
//! another, a conversation finds the prompt in the cache.

#[path = "../tests/support/mod.rs"]
mod support;

#[cfg(feature = "llama")]
use support::gguf::{CHATML, Gguf};

/// How often each is measured.
#[cfg(feature = "llama")]
const ROUNDS: usize = 3;

#[cfg(not(feature = "llama"))]
fn main() {
    eprintln!("SKIPPED: built without llama.cpp");
}

#[cfg(feature = "llama")]
fn main() {
    let folder = tempfile::tempdir().expect("a folder for the model");
    let model = folder.path().join("model.gguf");
    Gguf::qwen2().layers(8).embd(896).heads(14, 2).ffn(4864).vocab(32_000).context(32_768).template(CHATML).write(&model);
    println!("{:<14} {:>10} {:>10} {:>10} {:>10} {:>10}", "", "prefilled", "reused", "generated", "prefill s", "decode s");
    // Alternating, so that whatever else the machine does hits both.
    for count in [4, 8] {
        for way in [measured::Way::OneByOne, measured::Way::SideBySide].repeat(ROUNDS) {
            measured::report(&model, count, way);
        }
    }
}

#[cfg(feature = "llama")]
mod measured {
    use agent::engine::backend::{Backend, LoadOptions};
    use agent::engine::embedded::{Drafting, Embedded};
    use agent::protocol::message::Message;
    use agent::protocol::turn::{Reply, Sampling, ToolChoice, TurnRequest};
    use agent::units::Tokens;
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    const STEPS: usize = 4;
    /// Words of the shared prompt, and of each result; a random vocabulary makes more tokens of them.
    const PROMPT: usize = 1_000;
    const RESULT: usize = 100;

    #[derive(Clone, Copy, Debug)]
    pub enum Way {
        OneByOne,
        SideBySide,
    }

    /// Measures one way and prints its line. The model is loaded anew, so that nothing is in the cache.
    pub fn report(model: &Path, count: usize, way: Way) {
        let options = LoadOptions { n_ctx: Some(32_768), ..LoadOptions::of(model) };
        let mut engine = Embedded::load(&options, &mut |_| {}).expect("the model loads");
        // A random model repeats itself, which drafts would take for copying.
        engine.set_drafting(Drafting::Never);
        let mut asked: Vec<TurnRequest> = (0..count as u32).map(request).collect();
        let (mut replies, mut prefill, mut decode) = (Vec::new(), 0.0, 0.0);
        let together = match way {
            Way::OneByOne => 1,
            Way::SideBySide => count,
        };
        for asked in asked.chunks_mut(together) {
            for step in 0..STEPS {
                let together = advance(&mut engine, asked, step);
                // Turns side by side take their time together.
                let longest = |part: fn(&Reply) -> f64| together.iter().map(part).fold(0.0, f64::max) / 1e3;
                prefill += longest(|reply| reply.usage.prefill_ms);
                decode += longest(|reply| reply.usage.decode_ms);
                replies.extend(together);
            }
        }
        let sum = |part: fn(&Reply) -> Tokens| replies.iter().map(part).sum::<Tokens>().0;
        println!(
            "{count} {:<12} {:>10} {:>10} {:>10} {prefill:>10.2} {decode:>10.2}",
            format!("{way:?}"),
            sum(|reply| reply.usage.prefilled),
            sum(|reply| reply.usage.reused),
            sum(|reply| reply.usage.generated),
        );
    }

    /// Has each conversation make a turn, and gives it something to read.
    fn advance(engine: &mut Embedded, asked: &mut [TurnRequest], step: usize) -> Vec<Reply> {
        let replies = engine.turns(asked, &mut |_| {}, &AtomicBool::new(false)).expect("turns");
        for (at, (asked, reply)) in asked.iter_mut().zip(&replies).enumerate() {
            let turn = Message::Assistant { text: reply.text.clone(), thinking: String::new(), calls: Vec::new() };
            asked.messages.extend([turn, Message::User { text: words(1 + at + step * 97, RESULT) }]);
        }
        replies
    }

    fn request(seed: u32) -> TurnRequest {
        TurnRequest {
            messages: vec![Message::User { text: words(0, PROMPT) }],
            tools: Vec::new(),
            sampling: Sampling { seed: Some(seed), ..Sampling::default() },
            max_tokens: Tokens(48),
            thinking_budget: None,
            thinking: false,
            choice: ToolChoice::Auto,
            grounds: Vec::new(),
        }
    }

    fn words(seed: usize, count: usize) -> String {
        const WORDS: [&str; 8] = ["fn", "return", "the", "self", "let", "path", "if", "match"];
        (0..count).map(|at| WORDS[(seed * 31 + at * at * 7 + at / 3) % 8]).collect::<Vec<_>>().join(" ")
    }
}
