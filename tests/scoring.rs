//! Likelihoods of texts over real llama.cpp: random weights, and what a plain token-by-token reading says as the truth.
#![cfg(feature = "llama")]

mod support;

use agent::engine::EngineError;
use agent::engine::backend::{Backend, LoadOptions};
use agent::engine::bridge::memory_trial;
use agent::engine::embedded::Embedded;
use agent::engine::llama::{Context, Decoded, Model, Parameters, Placed, Special, Token};
use agent::engine::score::Row;
use agent::protocol::message::Message;
use agent::protocol::turn::{Delta, Sampling, ScoreRequest, Scores, ToolChoice, TurnRequest};
use agent::units::Tokens;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::gguf::{Arch, CHATML, Gguf, Weights};

/// Architectures whose cache can go back.
const ABLE: [Arch; 4] = [Arch::Qwen2, Arch::Llama, Arch::Qwen3Moe, Arch::Gemma3];

/// A model, its engine, and the same model once more to ask it without one.
struct Loaded {
    engine: Embedded,
    model: Arc<Model>,
    context: Context,
    _folder: tempfile::TempDir,
}

/// Decided enough that every place in the conversation matters: logits spread over some units.
fn decided(arch: Arch) -> Gguf {
    Gguf::new(arch).template(CHATML).weights(Weights::F32).scale(0.3)
}

fn load(gguf: &Gguf, change: impl FnOnce(&mut LoadOptions)) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    gguf.write(&path);
    let options = LoadOptions { threads: Some(1), n_ctx: Some(2048), ..LoadOptions::of(&path) };
    let parameters = Parameters::new(&options, &[]).unwrap();
    let model = Arc::new(Model::load(&path, &parameters, &mut |_| {}).unwrap());
    let context = Context::new(&model, &parameters, &path).unwrap();
    let mut asked = options;
    change(&mut asked);
    Loaded { engine: Embedded::load(&asked, &mut |_| {}).unwrap(), model, context, _folder: folder }
}

impl Loaded {
    fn score(&mut self, request: &ScoreRequest) -> Scores {
        self.engine.score(request, &mut |_| {}, &AtomicBool::new(false)).unwrap().unwrap()
    }

    /// The same, one text at a time and one token at a time, on one sequence.
    fn truth(&mut self, request: &ScoreRequest) -> Vec<f64> {
        let never = AtomicBool::new(false);
        let text = self.engine.rendered(&turn_of(request)).unwrap().text;
        let prompt = self.model.tokenize(&text, Special::Prompt);
        let one = |text: &String| {
            self.context.forget();
            for piece in prompt.chunks(self.context.batch()) {
                assert_eq!(self.context.decode(piece, &never).unwrap(), Decoded::Done);
            }
            let mut sum = 0.0;
            for token in self.model.tokenize(text, Special::Plain) {
                sum += Row::of(self.context.logits(None).unwrap()).logprob(token.0 as usize);
                self.context.decode(&[token], &never).unwrap();
            }
            sum
        };
        request.continuations.iter().map(one).collect()
    }

    fn length(&self, texts: &[String]) -> u32 {
        texts.iter().map(|text| self.model.tokenize(text, Special::Plain).len() as u32).sum()
    }
}

fn turn_of(request: &ScoreRequest) -> TurnRequest {
    TurnRequest {
        messages: request.messages.clone(),
        tools: Vec::new(),
        sampling: Sampling { seed: Some(1), ..Sampling::default() },
        max_tokens: Tokens(12),
        thinking_budget: None,
        thinking: false,
        choice: ToolChoice::Auto,
        grounds: Vec::new(),
    }
}

/// Fifty changes of ten lines, as ranked repair asks for them.
fn fifty() -> Vec<String> {
    let change = |label| ["<=", ">", ">=", "==", "!="].map(|new| format!("{label}|`<` -> `{new}`"));
    (1..=10).flat_map(change).collect()
}

fn asking(text: &str, continuations: Vec<String>) -> ScoreRequest {
    ScoreRequest { messages: vec![Message::User { text: text.into() }], continuations }
}

fn issue() -> ScoreRequest {
    asking(&"The last element is missing.\n\nsrc/a.py\n1|for i in range(n):\n2|    return a < b\n".repeat(4), fifty())
}

fn alike(ours: &[f64], truth: &[f64], what: &str) {
    assert_eq!(ours.len(), truth.len(), "{what}");
    for (index, (a, b)) in ours.iter().zip(truth).enumerate() {
        assert!((a - b).abs() < 2e-3 * b.abs().max(1.0), "{what}, text {index}: {a} for {b}");
    }
}

#[test]
fn texts_score_together_as_they_do_alone() {
    for arch in ABLE {
        let mut loaded = load(&decided(arch), |_| {});
        let request = issue();
        let scores = loaded.score(&request);
        let truth = loaded.truth(&request);
        alike(&scores.logprobs, &truth, &format!("{arch:?}"));
        let (least, most) = truth.iter().fold((0.0_f64, f64::MIN), |(least, most), x| (least.min(*x), most.max(*x)));
        assert!(most - least > 1.0, "{arch:?}: a model that finds all alike shows nothing: {least} to {most}");
        let elsewhere = loaded.truth(&asking("Another issue.", fifty()));
        let apart = elsewhere.iter().zip(&truth).filter(|(a, b)| (*a - *b).abs() > 0.1).count();
        assert!(apart > 40, "{arch:?}: the conversation matters: {apart} of 50");
    }
}

#[test]
fn fifty_texts_cost_one_prefill_and_their_own_tokens() {
    for arch in ABLE {
        let mut loaded = load(&decided(arch), |_| {});
        let request = issue();
        let Scores { usage, scored, .. } = loaded.score(&request);
        assert_eq!((usage.prompt, usage.reused, usage.generated), (usage.prefilled, Tokens(0), Tokens(0)), "{arch:?}");
        let own = loaded.length(&request.continuations);
        assert!(usage.prefilled + scored <= usage.prompt + usage.prompt + Tokens(own), "{arch:?}: {usage:?}, {scored}");
        // Ten labels, and behind each a beginning that five share.
        assert!(scored.0 * 3 < own, "{arch:?}: {scored} of {own} tokens were processed");
        let again = loaded.score(&request);
        assert_eq!((again.usage.prefilled, again.scored), (Tokens(1), scored), "{arch:?}: the last token, for its logits");
        eprintln!("{arch:?}: prompt {}, texts {own}, processed {}", usage.prompt, usage.prefilled + scored);
    }
}

#[test]
fn the_next_turn_goes_on_from_the_conversation() {
    for arch in ABLE {
        let (mut scored, mut fresh) = (load(&decided(arch), |_| {}), load(&decided(arch), |_| {}));
        let request = issue();
        scored.score(&request);
        let turn = |loaded: &mut Loaded| loaded.engine.turn(&turn_of(&request), &mut |_| {}, &AtomicBool::new(false)).unwrap();
        let (ours, theirs) = (turn(&mut scored), turn(&mut fresh));
        assert_eq!(ours.usage.prefilled, Tokens(1), "{arch:?}: {:?}", ours.usage);
        assert_eq!(ours.text, theirs.text, "{arch:?}: no text that was scored is left in the cache");
        // And the other way round: a turn's own tokens are behind what is asked now.
        assert_eq!(scored.score(&request).usage.prefilled, Tokens(1), "{arch:?}");
    }
}

#[test]
fn a_running_state_says_nothing() {
    for arch in [Arch::Lfm2, Arch::Mamba] {
        let mut loaded = load(&decided(arch), |_| {});
        let mut deltas = 0;
        let scores = loaded.engine.score(&issue(), &mut |_| deltas += 1, &AtomicBool::new(false)).unwrap();
        assert_eq!((scores, deltas), (None, 0), "{arch:?}: it is known before anything is processed");
    }
}

#[test]
fn a_window_that_has_moved_on_is_scored_from() {
    let mut loaded = load(&decided(Arch::Gemma3), |_| {});
    // Nine times its window of 128 tokens.
    let request = asking(&"lorem ipsum dolor ".repeat(72), fifty());
    let scores = loaded.score(&request);
    assert!(scores.usage.prompt.0 > 9 * 128, "{:?}", scores.usage);
    let truth = loaded.truth(&request);
    alike(&scores.logprobs, &truth, "a long conversation");
    assert_eq!(loaded.score(&request).usage.prefilled, Tokens(1));
}

#[test]
fn room_and_limits_change_the_work_and_not_the_scores() {
    type Change = fn(&mut LoadOptions);
    let cases: [(&str, Change); 4] = [
        ("one output: no branches", |options| options.n_outputs = Some(1)),
        ("a batch that few sequences divide", |options| (options.n_ubatch, options.n_outputs) = (Some(35), Some(16))),
        ("a small batch", |options| options.n_batch = Some(8)),
        ("hardly room behind the conversation", |options| options.n_ctx = Some(512)),
    ];
    let request = issue();
    let mut plain = load(&decided(Arch::Qwen2), |_| {});
    let truth = plain.truth(&request);
    let usual = plain.score(&request).scored;
    for (what, change) in cases {
        let mut loaded = load(&decided(Arch::Qwen2), change);
        let scores = loaded.score(&request);
        alike(&scores.logprobs, &truth, what);
        eprintln!("{what}: {} tokens instead of {usual}", scores.scored);
        assert_eq!(loaded.score(&request).usage.prefilled, Tokens(1), "{what}");
    }
}

#[test]
fn empty_texts_are_certain_and_no_texts_are_no_error() {
    let mut loaded = load(&decided(Arch::Qwen2), |_| {});
    let texts = ["", "a", "", "ab", "ab"].map(str::to_owned).to_vec();
    let request = asking("x", texts);
    let scores = loaded.score(&request);
    let truth = loaded.truth(&request);
    alike(&scores.logprobs, &truth, "texts of no, one and two tokens");
    assert_eq!((scores.logprobs[0], scores.logprobs[3]), (0.0, scores.logprobs[4]));
    assert_eq!(scores.scored, Tokens(1), "`a`, before what follows it");
    assert_eq!(loaded.score(&asking("x", Vec::new())).logprobs, [0.0; 0]);
}

#[test]
fn what_does_not_fit_is_refused_and_the_next_is_served() {
    let mut loaded = load(&decided(Arch::Qwen2), |options| options.n_ctx = Some(512));
    for request in [asking("x", vec!["z".repeat(600)]), asking(&"y".repeat(600), vec!["z".into()])] {
        let error = loaded.engine.score(&request, &mut |_| {}, &AtomicBool::new(false)).unwrap_err();
        assert!(matches!(error, EngineError::Overflow { prompt, window: Tokens(512) } if prompt.0 > 512), "{error}");
    }
    loaded.score(&issue());
}

#[test]
fn a_cancel_is_heard_and_keeps_what_was_processed() {
    let long = asking(&"lorem ipsum dolor ".repeat(80), fifty());
    for arch in ABLE {
        // In the middle of the conversation, and when the texts begin.
        for whole in [false, true] {
            let mut loaded = load(&decided(arch), |_| {});
            let (cancel, mut since, mut known) = (AtomicBool::new(false), None, Tokens(0));
            let mut sink = |delta| {
                let Delta::Prefill { done, total } = delta else { panic!("{delta:?}") };
                if done.0 > 0 && (done == total || !whole) && since.is_none() {
                    (since, known) = (Some(Instant::now()), done);
                    cancel.store(true, Ordering::Relaxed);
                }
            };
            assert_eq!(loaded.engine.score(&long, &mut sink, &cancel).unwrap(), None, "{arch:?}");
            let took = since.expect("it was cancelled").elapsed();
            assert!(took < Duration::from_millis(300), "{arch:?}: {took:?}");
            let again = loaded.score(&long);
            assert_eq!(again.usage.reused, known - Tokens(u32::from(whole)), "{arch:?}: {:?}", again.usage);
            alike(&again.logprobs, &loaded.truth(&long), "after a cancel");
        }
    }
}

#[test]
fn branches_that_were_aborted_go_without_a_trace() {
    let Loaded { mut context, .. } = load(&decided(Arch::Qwen2), |_| {});
    let never = AtomicBool::new(false);
    let prompt: Vec<Token> = (10..60).map(Token).collect();
    context.decode(&prompt, &never).unwrap();
    assert_eq!((context.branches(), context.outputs()), (31, 32));
    let placed = |token, position, sequences| Placed { token: Token(token), position, sequences, logits: true };
    let batch = [placed(7, 50, 1..3), placed(8, 51, 1..2), placed(9, 51, 2..3)];
    for _ in 0..3 {
        context.branch(1..3, 50);
        assert_eq!(context.decode_placed(&batch, &AtomicBool::new(true)).unwrap(), Decoded::Cancelled);
        context.unbranch();
        assert_eq!(context.held(), 50);
        context.branch(1..3, 50);
        assert_eq!(context.decode_placed(&batch, &never).unwrap(), Decoded::Done);
        assert!(context.logits(Some(2)).is_some());
        context.unbranch();
        assert_eq!(context.held(), 50);
    }
    let nonsense = [placed(7, 50, 40..41), placed(-7, 50, 0..1), placed(7, 12, 0..1)];
    for one in nonsense {
        assert!(context.decode_placed(std::slice::from_ref(&one), &never).is_err(), "{one:?}");
        context.decode(&prompt, &never).unwrap();
    }
    assert_eq!(context.logits(Some(3)), None, "it was not kept");
}

#[test]
fn branches_take_no_memory_that_a_plan_would_have_to_know() {
    for arch in [Arch::Qwen2, Arch::Llama, Arch::Qwen3Moe] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        decided(arch).vocab(8000).write(&path);
        let trial = |sequences| {
            let parameters = Parameters::new(&LoadOptions::of(&path), &[]).unwrap();
            memory_trial(&path, &parameters.model, &parameters.context, sequences).unwrap()
        };
        assert_eq!(trial(32), trial(1), "{arch:?}");
    }
}

#[test]
fn a_vocabulary_of_152_000_is_scored() {
    let gguf = decided(Arch::Qwen2).layers(1).vocab(151_936).weights(Weights::Q8_0);
    let mut loaded = load(&gguf, |_| {});
    let request = issue();
    let scores = loaded.score(&request);
    let few = ScoreRequest { continuations: request.continuations[..6].to_vec(), ..request.clone() };
    let truth = loaded.truth(&few);
    // Eight bits of a token's activations are rounded otherwise in a batch than alone.
    for (a, b) in scores.logprobs.iter().zip(&truth) {
        assert!((a - b).abs() < 0.02 * b.abs(), "{a} for {b}");
    }
    let start = Instant::now();
    let alone: Tokens = request
        .continuations
        .iter()
        .map(|text| {
            let one = loaded.score(&ScoreRequest { continuations: vec![text.clone()], ..request.clone() });
            one.usage.prefilled + one.scored
        })
        .fold(Tokens(0), |sum, tokens| sum + tokens);
    let one_by_one = start.elapsed();
    let start = Instant::now();
    let together = loaded.score(&request);
    eprintln!(
        "together {} tokens in {:?}; one by one {alone} in {one_by_one:?}",
        together.usage.prefilled + together.scored,
        start.elapsed()
    );
    assert!((together.usage.prefilled + together.scored).0 * 3 < alone.0);
}
