//! What the engine costs over llama.cpp itself, measured in one run on one machine.
//!
//! Rounds alternate between the bare calls and ours, so that whatever else the machine does hits both; a figure is the
//! median of the rounds. The prompt of each round differs from its first word on: nothing is reused.

use crate::engine::EngineError;
use crate::engine::backend::{Backend, LoadOptions, one_by_one};
use crate::engine::embedded::{Drafting, Embedded};
use crate::engine::llama::bare::Bare;
use crate::protocol::message::Message;
use crate::protocol::turn::{Reply, Sampling, ScoreRequest, ToolCard, ToolChoice, TurnRequest};
use crate::units::Tokens;
use serde::Serialize;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Words of the prompt; most tokenizers make 1 to 2 tokens of each.
    pub words: usize,
    /// Tokens generated in each run.
    pub generate: u32,
    pub rounds: u32,
}

/// Texts that are scored in a round.
const TEXTS: u32 = 16;
/// Turns that are written side by side.
const FORKS: u32 = 8;
/// Words whose state is restored, some 4,000 tokens, and how often.
const RESTORED: usize = 3_600;
const RESTORES: usize = 5;

/// The figures, in tokens per second.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    pub model: String,
    pub vocabulary: usize,
    pub rounds: u32,
    pub prefill: Compared,
    pub decode: Compared,
    /// Decode with the tools' grammar waiting for its trigger, against decode without tools.
    pub grammar_waiting: Compared,
    /// Decode with the grammar checking every token, against decode without tools.
    pub grammar_checking: Compared,
    /// Texts scored in a second, all of them at once against one after the other; the conversation stands in the cache for
    /// both. `None` where the model cannot.
    pub scoring: Option<Compared>,
    /// Tokens of a state that is restored in a second, against processing them, for about 4,000 of them or as many as the window
    /// has room for. The state comes from memory; reading a file takes what the disk takes.
    pub restoring: Option<Compared>,
    /// Decode of a text that stands in the prompt, with drafts against without.
    pub copying: Compared,
    /// Tokens a second of eight turns with one prompt in all, side by side against one after another, the prompt included.
    pub forks: Compared,
}

/// Ours against its baseline of the same run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Compared {
    pub ours: f64,
    pub baseline: f64,
    /// `ours / baseline`: 1 is no cost.
    pub ratio: f64,
    /// The lowest and the highest ratio of one round.
    pub spread: [f64; 2],
}

/// Speeds of both sides, round by round.
#[derive(Default)]
struct Rounds {
    ours: Vec<f64>,
    baseline: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, ours: f64, baseline: f64) {
        self.ours.push(ours);
        self.baseline.push(baseline);
    }

    fn compared(self) -> Compared {
        let ratios: Vec<f64> = self.ours.iter().zip(&self.baseline).map(|(a, b)| a / b).collect();
        let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = ratios.iter().copied().fold(0.0, f64::max);
        Compared { ours: median(self.ours), baseline: median(self.baseline), ratio: median(ratios), spread: [lowest, highest] }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// Measures a model. Loads it twice: memory for both is needed. `say` hears of each round.
pub fn bench(
    options: &LoadOptions,
    tools: &[ToolCard],
    extent: Extent,
    say: &mut dyn FnMut(&str),
) -> Result<Figures, EngineError> {
    let mut engine = Embedded::load(options, &mut |_| {})?;
    // Bare calls draft nothing, and a model that repeats itself would be drafted: only what measures drafts has them.
    engine.set_drafting(Drafting::Never);
    let info = engine.info();
    let bare = Bare::load(options, info.window.unwrap_or_default().0)?;
    let (mut prefill, mut decode) = (Rounds::default(), Rounds::default());
    let (mut waiting, mut checking, mut scoring) = (Rounds::default(), Rounds::default(), Rounds::default());
    let (mut copying, mut forks) = (Rounds::default(), Rounds::default());
    let listed = serde_json::to_string(tools).unwrap_or_default();
    // One round more than asked for: the first warms caches and finds the size of a prefill piece.
    for round in 0..=extent.rounds {
        let words = prompt(round, extent.words);
        // The very same tokens on both sides.
        let rendered = engine.rendered(&request(words.clone(), &[], ToolChoice::Auto, extent, round))?;
        let bared = bare.run(&rendered.text, extent.generate as usize, round)?;
        let mut run = |text: String, tools: &[ToolCard], choice| {
            let request = request(text, tools, choice, extent, round);
            engine.turn(&request, &mut |_| {}, &AtomicBool::new(false))
        };
        let plain = run(words.clone(), &[], ToolChoice::Auto)?;
        // No tools, but as deep in the window as with them.
        let deep = run(format!("{round} {listed} {words}"), &[], ToolChoice::Auto)?;
        let auto = run(format!("auto {words}"), tools, ToolChoice::Auto)?;
        let required = run(format!("required {words}"), tools, ToolChoice::Required)?;
        let copied = copied(&mut engine, &words, extent, round)?;
        let forked = forked(&mut engine, &words, extent)?;
        let scored = scored(&mut engine, words)?;
        if round == 0 {
            continue;
        }
        prefill.add(prefill_speed(&plain), bared.prompt as f64 / bared.prefill.as_secs_f64());
        decode.add(decode_speed(&plain), bared.generated as f64 / bared.decode.as_secs_f64());
        waiting.add(decode_speed(&auto), decode_speed(&deep));
        checking.add(decode_speed(&required), decode_speed(&deep));
        copying.add(copied[0], copied[1]);
        forks.add(forked[0], forked[1]);
        if let Some([together, alone]) = scored {
            scoring.add(f64::from(TEXTS) / together.as_secs_f64(), f64::from(TEXTS) / alone.as_secs_f64());
        }
        say(&format!("round {round} of {}", extent.rounds));
    }
    let restoring = restored(&mut engine, extent)?;
    Ok(Figures {
        model: info.model,
        vocabulary: engine.vocabulary(),
        rounds: extent.rounds,
        prefill: prefill.compared(),
        decode: decode.compared(),
        grammar_waiting: waiting.compared(),
        grammar_checking: checking.compared(),
        scoring: (!scoring.ours.is_empty()).then(|| scoring.compared()),
        restoring: (!restoring.ours.is_empty()).then(|| restoring.compared()),
        copying: copying.compared(),
        forks: forks.compared(),
    })
}

/// How long it takes to score texts behind a prompt, together and one after the other.
fn scored(engine: &mut Embedded, words: String) -> Result<Option<[Duration; 2]>, EngineError> {
    let change = |n| format!("{}|`path` -> `{}`", n % 4 + 1, ["self", "let", "match", "return"][n / 4 % 4]);
    let texts: Vec<String> = (0..TEXTS as usize).map(change).collect();
    let messages = vec![Message::User { text: words }];
    let mut score = |texts: &[String]| {
        let request = ScoreRequest { messages: messages.clone(), continuations: texts.to_vec() };
        let start = Instant::now();
        Ok(engine.score(&request, &mut |_| {}, &AtomicBool::new(false))?.map(|_| start.elapsed()))
    };
    // The first has the prompt to process.
    if score(&[])?.is_none() {
        return Ok(None);
    }
    let together = score(&texts)?;
    let alone = texts.chunks(1).map(score).sum::<Result<Option<Duration>, EngineError>>()?;
    Ok(together.zip(alone).map(|(together, alone)| [together, alone]))
}

/// The speed of decoding what stands in the prompt, with drafts and without.
fn copied(engine: &mut Embedded, words: &str, extent: Extent, round: u32) -> Result<[f64; 2], EngineError> {
    let text = format!("Repeat these words exactly, and say nothing else:\n{words}");
    let mut speeds = [0.0; 2];
    for (speed, drafting) in speeds.iter_mut().zip([Drafting::WherePaid, Drafting::Never]) {
        engine.set_drafting(drafting);
        let asked = request(text.clone(), &[], ToolChoice::Auto, extent, round);
        // Greedy, so that both write the same.
        let greedy = TurnRequest { sampling: Sampling { temperature: Some(0.0), ..asked.sampling }, ..asked };
        *speed = decode_speed(&engine.turn(&greedy, &mut |_| {}, &AtomicBool::new(false))?);
    }
    Ok(speeds)
}

/// The speed of several turns with one prompt, side by side and one after another.
fn forked(engine: &mut Embedded, words: &str, extent: Extent) -> Result<[f64; 2], EngineError> {
    let asked = |way: &str| -> Vec<TurnRequest> {
        (0..FORKS).map(|seed| request(format!("{way} {words}"), &[], ToolChoice::Auto, extent, seed)).collect()
    };
    let never = AtomicBool::new(false);
    let speed = |replies: &[Reply], start: Instant| {
        replies.iter().map(|reply| f64::from(reply.usage.generated.0)).sum::<f64>() / start.elapsed().as_secs_f64()
    };
    let start = Instant::now();
    let together = speed(&engine.turns(&asked("together"), &mut |_| {}, &never)?, start);
    let start = Instant::now();
    let alone = one_by_one(engine, &asked("alone"), &mut |_| {}, &never)?;
    Ok([together, speed(&alone, start)])
}

/// The speed of restoring a long state, against processing it.
fn restored(engine: &mut Embedded, extent: Extent) -> Result<Rounds, EngineError> {
    let window = engine.info().window.unwrap_or_default().0 as usize;
    let mut rounds = Rounds::default();
    let text = prompt(u32::MAX, RESTORED.min(window / 3));
    let short = Extent { generate: 1, ..extent };
    let reply = engine.turn(&request(text, &[], ToolChoice::Auto, short, 0), &mut |_| {}, &AtomicBool::new(false))?;
    for _ in 0..RESTORES {
        let Some((tokens, took)) = engine.round_trip() else { break };
        rounds.add(f64::from(tokens.0) / took.as_secs_f64(), prefill_speed(&reply));
    }
    Ok(rounds)
}

fn prefill_speed(reply: &Reply) -> f64 {
    f64::from(reply.usage.prefilled.0) / reply.usage.prefill_ms * 1e3
}

fn decode_speed(reply: &Reply) -> f64 {
    f64::from(reply.usage.generated.0) / reply.usage.decode_ms * 1e3
}

/// Text that no two rounds share a beginning of.
fn prompt(round: u32, words: usize) -> String {
    const WORDS: [&str; 8] = ["fn", "return", "the", "self", "let", "path", "if", "match"];
    // A linear congruence is random enough to keep the words from repeating in a short period.
    let mut state = round.wrapping_mul(747_796_405).wrapping_add(1);
    let mut text = format!("{round}");
    for _ in 0..words {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push(' ');
        text.push_str(WORDS[(state >> 29) as usize]);
    }
    text
}

fn request(text: String, tools: &[ToolCard], choice: ToolChoice, extent: Extent, seed: u32) -> TurnRequest {
    TurnRequest {
        messages: vec![Message::User { text }],
        tools: tools.to_vec(),
        sampling: Sampling { seed: Some(seed), ..Sampling::default() },
        max_tokens: Tokens(extent.generate),
        thinking_budget: None,
        thinking: false,
        choice,
        grounds: Vec::new(),
    }
}
