//! The embedded engine over real llama.cpp: random weights, real chat templates, real grammars.
#![cfg(feature = "llama")]

mod support;

use agent::engine::EngineError;
use agent::engine::backend::{Backend, LoadOptions};
use agent::engine::bridge::{Chat, RenderRequest};
use agent::engine::embedded::Embedded;
use agent::engine::llama::{Context, Decoded, Model, Parameters, Token};
use agent::protocol::message::{Call, Message};
use agent::protocol::turn::{Delta, Reply, Sampling, Stop, ToolCard, ToolChoice, TurnRequest};
use agent::units::Tokens;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::families::{FAMILIES, Loaded, family, load, templates};
use support::gguf::favour::favour;
use support::gguf::{Arch, Gguf, QWEN, Weights};

fn tools() -> Vec<ToolCard> {
    let parameters = json!({"type": "object", "properties": {
        "path": {"type": "string"},
        "line": {"type": "integer", "minimum": 1, "maximum": 99},
        "whole": {"type": "boolean"}
    }, "required": ["path", "line", "whole"], "additionalProperties": false});
    vec![ToolCard { name: "read".into(), description: "Reads a file.".into(), parameters }]
}

fn request(messages: Vec<Message>, seed: u32) -> TurnRequest {
    TurnRequest {
        messages,
        tools: tools(),
        sampling: Sampling { seed: Some(seed), temperature: Some(1.0), top_k: Some(0), top_p: Some(1.0), min_p: Some(0.0) },
        max_tokens: Tokens(400),
        thinking_budget: Some(Tokens(8)),
        thinking: false,
        choice: ToolChoice::Required,
        grounds: Vec::new(),
    }
}

fn opening() -> Vec<Message> {
    vec![Message::System { text: "You fix code.".into() }, Message::User { text: "Fix the bug in src/lib.rs.".into() }]
}

fn turn(engine: &mut Embedded, request: &TurnRequest) -> Reply {
    engine.turn(request, &mut |_: Delta| {}, &AtomicBool::new(false)).unwrap()
}

fn answer(reply: &Reply) -> Vec<Message> {
    let Reply { text, thinking, calls, .. } = reply.clone();
    let answers: Vec<_> = calls
        .iter()
        .map(|c| Message::Tool { call: c.id.clone(), name: c.name.clone(), text: "fn main() { let x = 1; }".into() })
        .collect();
    let mut said = vec![Message::Assistant { text, thinking, calls }];
    if answers.is_empty() {
        said.push(Message::User { text: "Go on.".into() });
    }
    said.extend(answers);
    said
}

#[test]
fn a_conversation_prefills_each_token_once() {
    let Some(folder) = templates() else { return };
    for one in &FAMILIES {
        let mut loaded = family(one, &folder);
        let mut messages = opening();
        let mut known = 0;
        for step in 0..10 {
            let reply = turn(&mut loaded.engine, &request(messages.clone(), step));
            let usage = reply.usage;
            assert_eq!(usage.prompt, usage.prefilled + usage.reused, "{} step {step}", one.template);
            assert_eq!(usage.reused.0, known, "{} step {step}: everything decoded before is reused: {reply:?}", one.template);
            assert!(step == 0 || usage.prefilled.0 < 200, "{} step {step}: only what is new: {usage:?}", one.template);
            // The token that ends a turn is not decoded until the next one.
            known = usage.prompt.0 + usage.generated.0 - u32::from(reply.stop == Stop::End);
            messages.extend(answer(&reply));
        }
    }
}

#[test]
fn constrained_calls_are_never_malformed() {
    let Some(folder) = templates() else { return };
    let schema = jsonschema::validator_for(&tools()[0].parameters).unwrap();
    let (mut whole, mut cut) = (0, 0);
    for one in &FAMILIES {
        let mut loaded = family(one, &folder);
        let before = (whole, cut);
        for seed in 0..130 {
            let reply = turn(&mut loaded.engine, &request(opening(), seed));
            // The last call of a turn that was cut may be half a call; all others are whole.
            let finished = reply.stop == Stop::End;
            cut += usize::from(!finished);
            assert!(!finished || !reply.calls.is_empty(), "{} seed {seed}: a call was required: {reply:?}", one.template);
            let sure = if finished { reply.calls.len() } else { reply.calls.len().saturating_sub(1) };
            for call in &reply.calls[..sure] {
                assert_eq!(call.name, "read", "{} seed {seed}: {reply:?}", one.template);
                let arguments = serde_json::from_str(&call.arguments)
                    .unwrap_or_else(|e| panic!("{} seed {seed}: {e}: {call:?}", one.template));
                assert!(schema.is_valid(&arguments), "{} seed {seed}: {call:?}", one.template);
                whole += 1;
            }
        }
        eprintln!("{}: {} whole, {} cut", one.template, whole - before.0, cut - before.1);
    }
    eprintln!("{whole} whole calls, {cut} turns cut at their limit, 0 malformed");
    assert!(whole >= 1_000, "{whole} calls, {cut} cut");
}

/// A model without favours: what it writes is noise, and ends at its limit.
fn plain(arch: Arch) -> Loaded {
    load(&Gguf::new(arch).template(support::gguf::CHATML).context(16_384).raw(), |_| {})
}

fn words(text: String) -> TurnRequest {
    TurnRequest {
        tools: Vec::new(),
        choice: ToolChoice::Auto,
        grounds: Vec::new(),
        max_tokens: Tokens(24),
        ..request(vec![Message::User { text }], 1)
    }
}

#[test]
fn every_architecture_continues_and_starts_anew() {
    for arch in Arch::ALL {
        let mut loaded = plain(arch);
        let first = words("one two three ".repeat(80));
        let reply = turn(&mut loaded.engine, &first);
        let mut next = first.clone();
        next.messages.extend([
            Message::Assistant { text: reply.text.clone(), thinking: reply.thinking.clone(), calls: Vec::new() },
            Message::User { text: "And now?".into() },
        ]);
        let usage = turn(&mut loaded.engine, &next).usage;
        assert_eq!(
            usage.reused,
            reply.usage.prompt + reply.usage.generated,
            "{arch:?}: the past is not processed again: {usage:?}"
        );
        // Going back is more than a recurrent or sliding-window cache can do: it starts anew and says so.
        let mut other = first.clone();
        other.messages[0] = Message::User { text: "one two three four".into() };
        let usage = turn(&mut loaded.engine, &other).usage;
        assert_eq!(usage.prompt, usage.prefilled + usage.reused, "{arch:?}");
        assert!(usage.prefilled.0 > 0, "{arch:?}: something is always processed, for its logits: {usage:?}");
        let fresh = turn(&mut plain(arch).engine, &other);
        assert_eq!(turn(&mut loaded.engine, &other).text, fresh.text, "{arch:?}: a reused cache answers as a fresh one");
    }
}

#[test]
fn cancel_keeps_what_was_processed() {
    for arch in Arch::ALL {
        let mut loaded = plain(arch);
        let long = words("lorem ipsum dolor ".repeat(150));
        let cancel = AtomicBool::new(false);
        let stop_early = &mut |delta: Delta| {
            if matches!(delta, Delta::Prefill { done, .. } if done.0 > 0) {
                cancel.store(true, Ordering::Relaxed);
            }
        };
        let reply = loaded.engine.turn(&long, stop_early, &cancel).unwrap();
        assert_eq!((reply.stop, reply.usage.generated), (Stop::Cancelled, Tokens(0)), "{arch:?}");
        assert!(reply.usage.prefilled.0 > 0 && reply.usage.prefilled < reply.usage.prompt, "{arch:?}: {:?}", reply.usage);
        let again = turn(&mut loaded.engine, &long);
        assert_eq!(again.usage.reused, reply.usage.prefilled, "{arch:?}: what was processed is not processed again");
        assert_eq!(again.text, turn(&mut plain(arch).engine, &long).text, "{arch:?}: the cache is what it says it is");
    }
}

/// A model of an architecture, and a context over it.
fn context(arch: Arch) -> (Context, Arc<Model>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    Gguf::new(arch).write(&path);
    let parameters = Parameters::new(&LoadOptions { threads: Some(1), ..LoadOptions::of(&path) }, &[]).unwrap();
    let model = Arc::new(Model::load(&path, &parameters, &mut |_| {}).unwrap());
    (Context::new(&model, &parameters, &path).unwrap(), model)
}

#[test]
fn a_batch_is_in_the_cache_or_it_is_not() {
    for arch in Arch::ALL {
        let (mut context, _model) = context(arch);
        let tokens: Vec<Token> = (0..128).map(Token).collect();
        assert_eq!(context.decode(&tokens, &AtomicBool::new(false)).unwrap(), Decoded::Done);
        // A recurrent state that was aborted in mid-batch could not go back, and llama.cpp would count the batch as whole.
        let held = match context.decode(&tokens, &AtomicBool::new(true)).unwrap() {
            Decoded::Done => 256,
            Decoded::Cancelled => 128,
            Decoded::Full => panic!("{arch:?}: there is room"),
        };
        assert_eq!(context.held(), held, "{arch:?}");
    }
}

#[test]
fn a_turn_cancelled_while_it_writes_can_be_gone_on_from() {
    let mut loaded = plain(Arch::Qwen2);
    let long = words("lorem ipsum dolor ".repeat(30));
    let cancel = AtomicBool::new(false);
    let at_first_word = &mut |delta: Delta| cancel.store(matches!(delta, Delta::Text { .. }), Ordering::Relaxed);
    let reply = loaded.engine.turn(&TurnRequest { max_tokens: Tokens(4000), ..long }, at_first_word, &cancel).unwrap();
    assert_eq!(reply.stop, Stop::Cancelled);
    assert!(reply.usage.generated.0 < 4000);
    let known = reply.usage.prompt + reply.usage.generated;
    let mut next = words(String::new());
    next.messages = [opening_of("lorem ipsum dolor ".repeat(30)), answer(&reply)].concat();
    let usage = turn(&mut loaded.engine, &next).usage;
    // The token under way when the cancel came may not have been processed.
    assert!(usage.reused + Tokens(1) >= known && usage.prefilled.0 < 60, "{usage:?} after {known}");
}

fn opening_of(text: String) -> Vec<Message> {
    vec![Message::User { text }]
}

#[test]
fn after_a_failed_batch_the_cache_is_empty_and_says_so() {
    for arch in Arch::ALL {
        let (mut context, _model) = context(arch);
        let never = AtomicBool::new(false);
        assert_eq!(context.decode(&[Token(5), Token(6)], &never).unwrap(), Decoded::Done, "{arch:?}");
        assert_eq!(context.held(), 2);
        assert!(!context.truncate(3), "{arch:?}: it cannot give more than it has");
        assert_eq!(context.held(), 0);
        context.decode(&[Token(5), Token(6)], &never).unwrap();
        assert!(context.decode(&[Token(7), Token(-9)], &never).is_err(), "{arch:?}: there is no such token");
        assert_eq!(context.held(), 0, "{arch:?}");
        assert_eq!(context.decode(&[Token(5)], &never).unwrap(), Decoded::Done, "{arch:?}: it goes on");
    }
}

#[test]
fn a_call_that_was_cut_off_is_gone_on_from_as_it_was_written() {
    let Some(folder) = templates() else { return };
    let mut loaded = family(&FAMILIES[3], &folder);
    let broken = |reply: &Reply| {
        let arguments = reply.calls.iter().map(|c| serde_json::from_str::<serde_json::Value>(&c.arguments));
        reply.stop == Stop::Length && arguments.map(|parsed| parsed.is_err()).eq([true])
    };
    let mut cut =
        (0..200).map(|seed| turn(&mut loaded.engine, &TurnRequest { max_tokens: Tokens(60), ..request(opening(), seed) }));
    let reply = cut.find(broken).expect("one of two hundred turns is cut within its call");
    // As the loop puts it into the conversation.
    let mut mended = reply.clone();
    mended.calls[0].arguments = "{}".into();
    let usage = turn(&mut loaded.engine, &request([opening(), answer(&mended)].concat(), 3)).usage;
    assert_eq!(usage.reused, reply.usage.prompt + reply.usage.generated, "{usage:?}");
}

#[test]
fn a_past_that_outgrew_the_window_is_rendered_anew_without_its_thoughts() {
    let Some(folder) = templates() else { return };
    let template = std::fs::read_to_string(folder.join("Qwen3.5-4B.jinja")).unwrap();
    let mut raw = Gguf::llama().weights(Weights::F32).template(&template).special(QWEN).eos("<|im_end|>").raw();
    // Thoughts go on until they are ended, and so does what follows.
    favour(&mut raw, &[("<|im_end|>", -1.0), ("<|endoftext|>", -1.0), ("</think>", -1.0)], 64);
    let mut loaded = load(&raw, |options| options.n_ctx = Some(1024));
    let thoughtful = |messages| TurnRequest {
        thinking: true,
        thinking_budget: Some(Tokens(500)),
        tools: Vec::new(),
        choice: ToolChoice::Auto,
        grounds: Vec::new(),
        max_tokens: Tokens(530),
        ..request(messages, 2)
    };
    let reply = turn(&mut loaded.engine, &thoughtful(opening()));
    assert!(reply.usage.generated.0 > 500, "{reply:?}");
    let mut messages = opening();
    messages.extend(answer(&reply).into_iter().take(1));
    messages.push(Message::User { text: "z".repeat(450) });
    let usage = turn(&mut loaded.engine, &thoughtful(messages)).usage;
    assert!(usage.prompt.0 < 1000 && usage.prompt.0 > 450, "{usage:?}");
}

#[test]
fn what_does_not_fit_is_refused_with_both_numbers() {
    let mut loaded = plain(Arch::Qwen2);
    let error = loaded.engine.turn(&words("word ".repeat(9000)), &mut |_| {}, &AtomicBool::new(false)).unwrap_err();
    let EngineError::Overflow { prompt, window } = error else { panic!("{error}") };
    assert!(prompt > window && window == Tokens(8192), "{prompt} in {window}");
    turn(&mut loaded.engine, &words("short".into()));
}

#[test]
fn a_thought_over_its_budget_is_ended_and_the_answer_begins() {
    let Some(folder) = templates() else { return };
    for one in FAMILIES.iter().filter(|f| ["Qwen3.5-4B", "deepseek-ai-DeepSeek-V3.1"].contains(&f.template)) {
        // Without favours: noise thinks on until it is stopped.
        let template = std::fs::read_to_string(folder.join(format!("{}.jinja", one.template))).unwrap();
        let mut loaded = load(&Gguf::qwen2().template(&template).special(one.special).eos(one.eos).raw(), |_| {});
        let budget = Tokens(12);
        let mut cut = 0;
        for seed in 0..10 {
            let auto = TurnRequest {
                thinking: true,
                choice: ToolChoice::Auto,
                grounds: Vec::new(),
                thinking_budget: Some(budget),
                ..request(opening(), seed)
            };
            let reply = turn(&mut loaded.engine, &auto);
            let thought = loaded.engine.count(&reply.thinking).unwrap();
            // The budget counts tokens as drawn: noise that is no UTF-8 comes back as up to three tokens for each. The turn
            // itself may have 400.
            assert!(thought.0 <= 3 * budget.0 + 4, "{}: {thought} tokens of {:?}", one.template, reply.thinking);
            cut += usize::from(thought >= budget && !reply.text.is_empty());
        }
        assert!(cut > 0, "{}: thoughts were ended and answers followed", one.template);
    }
}

#[test]
fn every_template_renders_tools_and_answers() {
    let Some(folder) = templates() else { return };
    let mut conversation = opening();
    let call =
        Call { id: "call_1".into(), name: "read".into(), arguments: r#"{"path":"src/lib.rs","line":1,"whole":true}"#.into() };
    conversation.push(Message::Assistant { text: String::new(), thinking: String::new(), calls: vec![call] });
    conversation.push(Message::Tool { call: "call_1".into(), name: "read".into(), text: "fn main() {}".into() });
    let (mut seen, mut free) = (0, Vec::new());
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let chat = Chat::from_source(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for messages in [&conversation[..2], &conversation] {
            let render = RenderRequest { messages, tools: &tools(), thinking: false, choice: ToolChoice::Auto };
            let prompt = chat.render(&render).unwrap_or_else(|e| panic!("{name}: {e}"));
            // Mistral Nemo's shows the system message only while the person has the last word; it stands in the cache by then.
            let parts = ["Fix the bug in src/lib.rs.", "Reads a file.", "You fix code."];
            for part in &parts[..if messages.len() > 2 { 2 } else { 3 }] {
                assert!(prompt.text.contains(part), "{name} says `{part}`: {}", prompt.text);
            }
            if messages.len() > 2 {
                assert!(prompt.text.contains("fn main() {}"), "{name}: {}", prompt.text);
                if prompt.facts.grammar.is_empty() {
                    free.push(name.clone());
                }
            }
        }
        seen += 1;
    }
    assert!(seen >= 70, "{seen} templates");
    free.sort();
    // Templates that cannot write a call, and one whose calls llama.cpp does not recognise: their calls are read as text.
    let known = [
        "HuggingFaceTB-SmolLM3-3B",
        "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
        "google-gemma-2-2b-it",
        "ibm-granite-granite-3.3-2B-Instruct",
        "llama-cpp-rwkv-world",
        "microsoft-Phi-3.5-mini-instruct",
    ];
    assert_eq!(free, known, "calls of these are not constrained");
}

#[test]
fn a_template_that_writes_calls_lends_its_own_as_the_example() {
    let Some(folder) = templates() else { return };
    for (name, example) in [
        (
            "deepseek-ai-DeepSeek-V3.1",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>read<｜tool▁sep｜>{\"path\": \"…\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        ),
        ("fireworks-ai-llama-3-firefunction-v2", "functools[{\"name\": \"read\", \"arguments\": {\"path\": \"…\"}}]"),
        ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>read\n"),
        ("microsoft-Phi-3.5-mini-instruct", "<tool_call>\n{\"name\":\"read\",\"arguments\":{\"path\":\"…\"}}\n</tool_call>"),
    ] {
        let chat = Chat::from_source(&std::fs::read_to_string(folder.join(format!("{name}.jinja"))).unwrap()).unwrap();
        let render = RenderRequest { messages: &opening(), tools: &tools(), thinking: false, choice: ToolChoice::Auto };
        let text = chat.render(&render).unwrap().text;
        assert!(text.contains(example), "{name}: {text}");
    }
}
