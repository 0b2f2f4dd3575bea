//! What was processed once stays processed: across turns, conversations, and engines, for caches of every kind.
#![cfg(feature = "llama")]

mod support;

use agent::engine::backend::{Backend, LoadOptions};
use agent::engine::embedded::Embedded;
use agent::engine::llama::{Context, Model, Parameters, Part, Special, Token};
use agent::engine::states::identity::identity;
use agent::engine::states::{ROOM, Saved, Shelf};
use agent::protocol::message::Message;
use agent::protocol::turn::{Delta, Reply, Sampling, Stop, ToolChoice, TurnRequest, Usage};
use agent::units::Tokens;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::gguf::{Arch, Gguf, Weights};

/// ChatML that has models think before each answer, and forgets what they thought.
const THINKING: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n\
                        {% if m.reasoning_content and loop.last %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}\
                        {{ m.content }}<|im_end|>\n{% endfor %}\
                        {% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking %}<think>\n{% endif %}{% endif %}";

/// A machine with one model and a place for states.
struct Machine {
    folder: tempfile::TempDir,
    options: LoadOptions,
}

impl Machine {
    fn with(gguf: &Gguf, window: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        gguf.write(&path);
        // Keys in full: where batches part depends on the machine's speed, and halves would be rounded otherwise.
        let full = || Some("f32".to_owned());
        let options =
            LoadOptions { threads: Some(1), n_ctx: Some(window), type_k: full(), type_v: full(), ..LoadOptions::of(&path) };
        Self { folder, options }
    }

    fn of(arch: Arch) -> Self {
        Self::with(&decided(arch).context(32_768), 8192)
    }

    fn states(&self) -> PathBuf {
        self.folder.path().join("cache/kv")
    }

    fn files(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.states()).map_or(Vec::new(), |dir| dir.map(|entry| entry.unwrap().path()).collect())
    }

    fn bare(&self) -> Embedded {
        Embedded::load(&self.options, &mut |_| {}).unwrap()
    }

    /// An engine as the process has it.
    fn engine(&self) -> Embedded {
        self.bare().with_states(&self.states(), &self.options)
    }
}

/// Decided enough that the order of sums does not change what is likeliest.
fn decided(arch: Arch) -> Gguf {
    Gguf::new(arch).template(THINKING).weights(Weights::F32).scale(0.3)
}

fn request(messages: &[Message], seed: u32) -> TurnRequest {
    TurnRequest {
        messages: messages.to_vec(),
        tools: Vec::new(),
        sampling: Sampling { seed: Some(seed), temperature: Some(0.0), ..Sampling::default() },
        max_tokens: Tokens(40),
        thinking_budget: Some(Tokens(12)),
        thinking: true,
        choice: ToolChoice::Auto,
        grounds: Vec::new(),
    }
}

fn system(words: usize) -> Message {
    Message::System { text: (0..words).map(|n| format!("rule {n} ")).collect() }
}

fn user(text: &str) -> Message {
    Message::User { text: text.into() }
}

/// Some 200 tokens that no other number has.
fn long(number: usize) -> Message {
    user(&(0..30).map(|n| format!("{} ", number * 7919 + n * 104_729)).collect::<String>())
}

fn said(reply: &Reply) -> Message {
    Message::Assistant { text: reply.text.clone(), thinking: reply.thinking.clone(), calls: Vec::new() }
}

fn turn(engine: &mut Embedded, request: &TurnRequest) -> Reply {
    heard(engine, request).0
}

/// A turn and its notices.
fn heard(engine: &mut Embedded, request: &TurnRequest) -> (Reply, Vec<String>) {
    let mut notices = Vec::new();
    let mut sink = |delta| {
        if let Delta::Notice { text } = delta {
            notices.push(text);
        }
    };
    let reply = engine.turn(request, &mut sink, &AtomicBool::new(false)).unwrap();
    (reply, notices)
}

/// A mixture of random experts: which of them are asked flips with the last bit of a sum, and with it all that follows.
const CHAOTIC: Arch = Arch::Qwen3Moe;

/// Whether two turns say the same.
#[track_caller]
fn same(arch: Arch, one: &Reply, other: &Reply) {
    if arch != CHAOTIC {
        assert_eq!((&one.text, &one.thinking), (&other.text, &other.thinking), "{arch:?}");
    }
}

/// Tokens that the cache holds after a turn: the one that ended it is not processed until the next.
fn known(reply: &Reply) -> u32 {
    reply.usage.prompt.0 + reply.usage.generated.0 - u32::from(reply.stop == Stop::End)
}

#[test]
fn twenty_turns_with_thinking_process_each_token_once_also_when_turns_are_asked_again() {
    for arch in Arch::ALL {
        // Noise, so that there are thoughts: a model whose output is its input says one thing for ever.
        let mut engine = Machine::with(&Gguf::new(arch).template(THINKING).context(32_768), 8192).bare();
        let mut messages = vec![system(60)];
        let (mut had, mut reused, mut before, mut thoughts) = (0, 0, 0, 0);
        for step in 0..20 {
            messages.push(long(step));
            let noise = Sampling { seed: Some(step as u32), temperature: Some(1.0), ..Sampling::default() };
            let asked = TurnRequest { sampling: noise, ..request(&messages, 0) };
            let reply = turn(&mut engine, &asked);
            (had, reused) = (had + before, reused + reply.usage.reused.0);
            thoughts += usize::from(!reply.thinking.is_empty());
            before = known(&reply);
            if step % 5 == 4 {
                // The same turn once more: the model's answer to it goes, and all before it stays.
                let again = turn(&mut engine, &asked);
                if [Arch::Lfm2, Arch::Mamba].contains(&arch) {
                    // Batches parted at the checkpoint the first time too, and cells stand where they stood: every bit is the same.
                    assert_eq!((&again.text, &again.thinking), (&reply.text, &reply.thinking), "{arch:?}: as the first time");
                }
                assert!(again.usage.prefilled.0 <= 64, "{arch:?} step {step}: {:?}", again.usage);
                (had, reused) = (had + reply.usage.prompt.0, reused + again.usage.reused.0);
            }
            messages.push(said(&reply));
        }
        assert!(thoughts >= 15, "{arch:?}: {thoughts}");
        let ratio = f64::from(reused) / f64::from(had);
        eprintln!("{arch:?}: {reused} of {had} tokens reused, {:.2} %", ratio * 100.0);
        assert!(ratio >= 0.99, "{arch:?}: {ratio}");
    }
}

#[test]
fn going_back_to_the_start_of_a_turn_restores_and_is_exact() {
    for arch in Arch::ALL {
        let machine = Machine::of(arch);
        let mut engine = machine.bare();
        let first = [system(60), long(1)];
        let reply = turn(&mut engine, &request(&first, 1));
        let second = [&first[..], &[said(&reply), long(2)]].concat();
        turn(&mut engine, &request(&second, 2));
        // Other words in place of the second message: back to where the turn began.
        let other = [&first[..], &[said(&reply), long(3)]].concat();
        let back = turn(&mut engine, &request(&other, 3));
        assert!(back.usage.reused.0 + 64 >= known(&reply), "{arch:?}: {:?} after {}", back.usage, known(&reply));
        let mut fresh = machine.bare();
        turn(&mut fresh, &request(&first, 1));
        let straight = turn(&mut fresh, &request(&other, 3));
        same(arch, &back, &straight);
    }
}

#[test]
fn a_restored_state_gives_the_same_logits() {
    for arch in Arch::ALL {
        let machine = Machine::with(&decided(arch).context(32_768), 2048);
        let tokens: Vec<Token> = (0..700).map(|n| Token(n * n % 251)).collect();
        let never = AtomicBool::new(false);
        // Straight on, and back from 600 to 400.
        let logits = |part: Option<Part>| {
            let (mut context, _) = context(&machine);
            for piece in tokens[..400].chunks(100) {
                context.decode(piece, &never).unwrap();
            }
            if let Some(part) = part {
                let state = context.save(part).unwrap();
                assert_eq!(context.state_size(part), state.len());
                (0..200).for_each(|n| _ = context.decode(&[Token(n)], &never).unwrap());
                assert!(context.restore(&state, part, 400), "{arch:?}");
                assert_eq!(context.held(), 400);
            }
            context.decode(&tokens[400..450], &never).unwrap();
            context.logits(None).unwrap().to_vec()
        };
        let straight = logits(None);
        let spread = straight.iter().copied().fold(f32::MIN, f32::max) - straight.iter().copied().fold(f32::MAX, f32::min);
        for part in [Part::Whole, Part::Running] {
            let back = logits(Some(part));
            let off = straight.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < spread / 1000.0, "{arch:?} {part:?}: {off} of {spread}");
        }
    }
}

#[test]
fn a_new_session_in_a_known_project_processes_little_more_than_its_words() {
    for arch in Arch::ALL {
        let machine = Machine::of(arch);
        let mut first = machine.engine();
        let reply = turn(&mut first, &request(&[system(200), long(1)], 1));
        assert!(reply.usage.prefilled.0 > 1000, "{arch:?}: {:?}", reply.usage);
        first.rest(&mut || false);
        drop(first);
        let asked = request(&[system(200), user("Something else altogether.")], 2);
        let (reply, notices) = heard(&mut machine.engine(), &asked);
        assert!(reply.usage.prefilled.0 <= 200, "{arch:?}: {:?}", reply.usage);
        assert_eq!(notices, Vec::<String>::new(), "{arch:?}");
        same(arch, &reply, &turn(&mut machine.bare(), &asked));
    }
}

#[test]
fn a_conversation_goes_on_in_another_engine_as_if_nothing_had_happened() {
    for arch in Arch::ALL {
        let machine = Machine::of(arch);
        let mut engine = machine.engine();
        let mut messages = vec![system(60)];
        let mut last = 0;
        for step in 0..4 {
            messages.push(long(step));
            let reply = turn(&mut engine, &request(&messages, step as u32));
            last = known(&reply);
            messages.push(said(&reply));
        }
        engine.rest(&mut || false);
        messages.push(long(9));
        let stayed = turn(&mut engine, &request(&messages, 9));
        drop(engine);
        let came = turn(&mut machine.engine(), &request(&messages, 9));
        assert_eq!(came.usage.reused.0, last, "{arch:?}: thoughts and all, {:?}", came.usage);
        same(arch, &came, &stayed);
    }
}

#[test]
fn sixteen_thousand_tokens_are_resumed_without_prefill() {
    let machine = Machine::with(&Gguf::qwen2().template(THINKING).context(32_768), 20_480);
    let mut engine = machine.engine();
    let mut messages = vec![system(400), user(&"lorem ipsum ".repeat(1200))];
    let reply = turn(&mut engine, &request(&messages, 1));
    assert!(reply.usage.prompt.0 > 14_000, "{:?}", reply.usage);
    engine.rest(&mut || false);
    drop(engine);
    messages.extend([said(&reply), user("And now?")]);
    let usage = turn(&mut machine.engine(), &request(&messages, 2)).usage;
    assert!(usage.reused.0 == known(&reply) && usage.prefilled.0 < 40, "{usage:?}");
}

#[test]
fn conversations_that_take_turns_keep_their_states() {
    for arch in Arch::ALL {
        let machine = Machine::of(arch);
        let mut engine = machine.engine();
        let mut talks = [vec![user("left"), long(1), long(2), long(3)], vec![user("right"), long(4), long(5), long(6)]];
        let mut known_of = [0, 0];
        for step in 0..3 {
            for (talk, before) in talks.iter_mut().zip(&mut known_of) {
                let reply = turn(&mut engine, &request(talk, step));
                // The first words of any conversation are the template's.
                assert!(reply.usage.reused.0 == *before || step == 0, "{arch:?} step {step}: {:?}", reply.usage);
                *before = known(&reply);
                talk.extend([said(&reply), long(10 + step as usize)]);
            }
        }
    }
}

#[test]
fn a_cancelled_prefill_is_gone_on_from_in_every_cache() {
    for arch in Arch::ALL {
        let machine = Machine::of(arch);
        let mut engine = machine.engine();
        let asked = request(&[system(200), long(1), long(2)], 1);
        let cancel = AtomicBool::new(false);
        let stop = &mut |delta: Delta| {
            if matches!(delta, Delta::Prefill { done, .. } if done.0 > 300) {
                cancel.store(true, Ordering::Relaxed);
            }
        };
        let cut = engine.turn(&asked, stop, &cancel).unwrap();
        assert_eq!(cut.stop, Stop::Cancelled, "{arch:?}");
        assert!(cut.usage.prefilled.0 > 300, "{arch:?}: {:?}", cut.usage);
        engine.rest(&mut || false);
        drop(engine);
        let usage = turn(&mut machine.engine(), &asked).usage;
        assert_eq!(usage.reused, cut.usage.prefilled, "{arch:?}: in another engine, too");
    }
}

/// What a turn says and costs with whatever stands in the directory.
fn with_files(machine: &Machine, asked: &TurnRequest) -> (String, Usage, Vec<String>) {
    let (reply, notices) = heard(&mut machine.engine(), asked);
    (reply.text, reply.usage, notices)
}

#[test]
fn damaged_files_are_told_of_and_processed_around() {
    let machine = Machine::of(Arch::Lfm2);
    let asked = request(&[system(200), long(1)], 1);
    let mut engine = machine.engine();
    let expected = turn(&mut engine, &asked).text;
    engine.rest(&mut || false);
    drop(engine);
    let files = machine.files();
    assert_eq!(files.len(), 2, "the opening and the conversation");
    for file in &files {
        let whole = std::fs::read(file).unwrap();
        for broken in [whole[..whole.len() / 2].to_vec(), flipped(&whole, whole.len() - 9), flipped(&whole, 100), Vec::new()] {
            std::fs::write(file, broken).unwrap();
            let (text, _, notices) = with_files(&machine, &asked);
            assert_eq!(text, expected);
            assert!(notices.len() <= 1 && notices.iter().all(|n| n.contains("is of no use")), "{notices:?}");
            std::fs::write(file, &whole).unwrap();
        }
    }
    for file in files {
        std::fs::write(file, "junk").unwrap();
    }
    let (text, usage, notices) = with_files(&machine, &asked);
    assert_eq!((text, usage.reused, notices.len()), (expected, Tokens(0), 2), "{notices:?}");
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[test]
fn another_models_state_is_refused_however_well_it_is_dressed() {
    for arch in Arch::ALL {
        let machine = Machine::of(arch);
        let asked = request(&[system(100), long(1)], 1);
        let expected = turn(&mut machine.bare(), &asked).text;
        let tokens = tokens(&machine, &asked);
        let own = identity(&machine.options, false).unwrap();
        for state in [vec![0; 5000], vec![0xff; 333], foreign(arch, tokens.len())] {
            let (mut shelf, _) = Shelf::open(&machine.states(), own.clone(), ROOM);
            shelf.put(Saved { tokens: tokens.clone(), state: Arc::new(state), ..Saved::default() });
            shelf.write(&mut || false);
            let (text, usage, _) = with_files(&machine, &asked);
            assert!(usage.reused == Tokens(0) && (text == expected || arch == CHAOTIC), "{arch:?}: {text}");
            assert_eq!(machine.files(), Vec::<PathBuf>::new(), "{arch:?}: it is not tried again");
        }
    }
}

/// A state of a model that is of the same kind and of another size.
fn foreign(arch: Arch, length: usize) -> Vec<u8> {
    let gguf = decided(arch).layers(4).context(32_768);
    let machine = Machine::with(&gguf, 8192);
    let (mut context, _) = context(&machine);
    let all: Vec<_> = (0..length as i32).map(|n| Token(n % 256)).collect();
    for piece in all.chunks(context.batch()) {
        context.decode(piece, &AtomicBool::new(false)).unwrap();
    }
    context.save(Part::Whole).unwrap()
}

fn context(machine: &Machine) -> (Context, Arc<Model>) {
    let parameters = Parameters::new(&machine.options, &[]).unwrap();
    let model = Arc::new(Model::load(&machine.options.model, &parameters, &mut |_| {}).unwrap());
    (Context::new(&model, &parameters, &machine.options.model).unwrap(), model)
}

/// A prompt's tokens, but for the last one.
fn tokens(machine: &Machine, asked: &TurnRequest) -> Vec<i32> {
    let text = machine.bare().rendered(asked).unwrap().text;
    let model = Model::vocabulary(&machine.options.model).unwrap();
    let mut tokens: Vec<i32> = model.tokenize(&text, Special::Prompt).into_iter().map(|token| token.0).collect();
    tokens.pop();
    tokens
}

#[test]
fn other_settings_find_nothing() {
    let machine = Machine::with(&decided(Arch::Qwen2).embd(128).context(32_768), 8192);
    let asked = request(&[system(100), long(1)], 1);
    let mut engine = machine.engine();
    turn(&mut engine, &asked);
    engine.rest(&mut || false);
    drop(engine);
    let mut options = LoadOptions { type_k: Some("q8_0".into()), ..machine.options.clone() };
    let reused = |options: &LoadOptions| {
        let engine = Embedded::load(options, &mut |_| {}).unwrap().with_states(&machine.states(), options);
        heard(&mut { engine }, &asked).0.usage.reused.0
    };
    assert_eq!(reused(&options), 0, "keys of another type");
    options = LoadOptions { n_ctx: Some(16_384), ..machine.options.clone() };
    assert!(reused(&options) > 500, "a larger window is all the same");
}

#[test]
fn a_window_grows_where_it_may_and_takes_the_cache_along() {
    for arch in Arch::ALL {
        let gguf = decided(arch).context(16_384);
        let mut machine = Machine::with(&gguf, 1024);
        let mut messages = vec![system(20), long(1)];
        let mut fixed = machine.bare();
        machine.options.grow_to = Some(u32::MAX);
        let mut engine = machine.bare();
        let reply = turn(&mut engine, &request(&messages, 1));
        same(arch, &reply, &turn(&mut fixed, &request(&messages, 1)));
        messages.push(said(&reply));
        messages.extend((2..9).map(long));
        let asked = request(&messages, 2);
        assert!(fixed.turn(&asked, &mut |_| {}, &AtomicBool::new(false)).is_err(), "{arch:?}: it does not fit");
        let (grown, notices) = heard(&mut engine, &asked);
        assert_eq!(grown.usage.reused.0, known(&reply), "{arch:?}: {:?}", grown.usage);
        let window = engine.info().window.unwrap().0;
        assert!((2048..=16_384).contains(&window), "{arch:?}: {window}");
        assert!(notices.len() == 1 && notices[0].contains(&window.to_string()), "{notices:?}");
        // As in a window that was large from the start.
        machine.options.n_ctx = Some(window);
        let mut large = machine.bare();
        turn(&mut large, &request(&messages[..2], 1));
        same(arch, &grown, &turn(&mut large, &asked));
    }
}

#[test]
fn a_place_that_is_not_private_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::of(Arch::Qwen2);
    let open: &Path = &machine.states();
    std::fs::create_dir_all(open).unwrap();
    std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut engine = machine.engine();
    let (_, notices) = heard(&mut engine, &request(&[system(100), long(1)], 1));
    assert!(notices.len() == 1 && notices[0].starts_with("nothing is kept"), "{notices:?}");
    engine.rest(&mut || false);
    assert_eq!(machine.files(), Vec::<PathBuf>::new());
}
