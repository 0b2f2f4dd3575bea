//! A micro model in the engine: what it is sent, and that its calls cannot miss.
#![cfg(feature = "llama")]

mod support;

use agent::engine::backend::{Backend, LoadOptions};
use agent::engine::embedded::Embedded;
use agent::models::gguf::{Need, check};
use agent::protocol::message::{Call, Message};
use agent::protocol::turn::{Profile, Reply, Sampling, Stop, ToolCard, ToolChoice, TurnRequest};
use agent::tools::grounded::{Known, narrow};
use agent::tools::{Mode, Toolbox};
use agent::units::Tokens;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use support::gguf::favour::favour;
use support::gguf::{Gguf, Weights};

/// The template that the bundled model brings.
fn template() -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/micro/micro-q8_0.gguf");
    check(&file, Need::Weights).unwrap().chat_template().unwrap().to_owned()
}

/// Random weights in a micro model's clothes, which like to begin calls and to end strings.
fn random() -> (Embedded, tempfile::TempDir) {
    let gguf = Gguf::llama().layers(1).weights(Weights::F32).context(1_024).template(&template()).profile("micro").seed(7);
    let mut raw = gguf.raw();
    let ends = ["{", "\"", "}", "Ċ", "</tool_call>", "<|im_end|>"].map(|piece| (piece, 0.4));
    favour(&mut raw, &[[("<tool_call>", 0.25)].as_slice(), &ends].concat(), 64);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, raw.bytes()).unwrap();
    let options = LoadOptions { threads: Some(1), n_ctx: Some(1_024), ..LoadOptions::of(&path) };
    (Embedded::load(&options, &mut |_| {}).unwrap(), folder)
}

fn request(messages: Vec<Message>, tools: Vec<ToolCard>, seed: u32) -> TurnRequest {
    TurnRequest {
        messages,
        tools,
        sampling: Sampling { seed: Some(seed), temperature: Some(1.0), top_k: Some(0), top_p: Some(1.0), min_p: Some(0.0) },
        max_tokens: Tokens(300),
        thinking_budget: None,
        thinking: false,
        choice: ToolChoice::Required,
        grounds: Vec::new(),
    }
}

fn turn(engine: &mut Embedded, request: &TurnRequest) -> Reply {
    engine.turn(request, &mut |_| {}, &AtomicBool::new(false)).unwrap()
}

fn known() -> Known {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    Known {
        paths: vec!["shop/cart.py".into(), "src/größe.rs".into()],
        lines: vec![
            ("shop/cart.py".into(), lines(&["def total(items):", "if n < len(\"items\"):", "    n = 0\n    for i in items:"])),
            ("src/größe.rs".into(), lines(&["let größe = 'ä'; \\"])),
        ],
        commands: vec!["python3 -m pytest -q".into()],
    }
}

#[test]
fn its_prompt_is_the_conversation_and_nothing_of_the_tools() {
    let (engine, _folder) = random();
    assert_eq!(engine.info().profile, Profile::Micro);
    let call = Call { id: "call00001".into(), name: "read".into(), arguments: r#"{"path":"a.py","start":2}"#.into() };
    let messages = vec![
        Message::User { text: "It's < wrong & \"bad\".".into() },
        Message::Assistant { text: String::new(), thinking: String::new(), calls: vec![call.clone()] },
        Message::Tool { call: call.id, name: call.name, text: "a.py lines 2-2 of 2\n    x = 1\n".into() },
    ];
    let cards = narrow(&Toolbox::builtin().cards(Mode::Micro), &known());
    let prompt = engine.rendered(&request(messages, cards, 1)).unwrap();
    assert_eq!(
        prompt.text,
        "<|im_start|>user\nIt's < wrong & \"bad\".<|im_end|>\n<|im_start|>assistant\n<tool_call>\n\
         {\"name\": \"read\", \"arguments\": {\"path\": \"a.py\", \"start\": 2}}\n</tool_call><|im_end|>\n\
         <|im_start|>user\n<tool_response>\na.py lines 2-2 of 2\n    x = 1\n\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    );
    assert!(!prompt.facts.grammar.is_empty(), "its calls are constrained all the same");
}

/// The whole calls of many random turns with these tools, each with its arguments.
fn calls(engine: &mut Embedded, tools: &[ToolCard], seeds: std::ops::Range<u32>) -> Vec<(Call, Value)> {
    let mut found = Vec::new();
    for seed in seeds {
        let reply = turn(engine, &request(vec![Message::User { text: "Fix it.".into() }], tools.to_vec(), seed));
        // The last call of a turn that was cut may be half a call; all others are whole.
        let whole = if reply.stop == Stop::End { reply.calls.len() } else { reply.calls.len().saturating_sub(1) };
        found.extend(reply.calls.into_iter().take(whole).map(|call| {
            let arguments = serde_json::from_str(&call.arguments).unwrap_or_else(|e| panic!("{e}: {call:?}"));
            (call, arguments)
        }));
    }
    found
}

#[test]
fn random_weights_name_nothing_that_is_not_there() {
    let (mut engine, _folder) = random();
    let known = known();
    let (edit, others): (Vec<ToolCard>, Vec<ToolCard>) =
        narrow(&Toolbox::builtin().cards(Mode::Micro), &known).into_iter().partition(|card| card.name == "edit");
    let edits = calls(&mut engine, &edit, 0..60);
    let mut files = std::collections::BTreeSet::new();
    for (call, arguments) in &edits {
        let (path, lines) = known.lines.iter().find(|(path, _)| arguments["path"] == *path).unwrap_or_else(|| panic!("{call:?}"));
        assert!(lines.iter().any(|line| arguments["search"] == *line) && arguments["replace"].is_string(), "{call:?}");
        files.insert(path);
    }
    assert!(edits.len() >= 10 && files.len() == 2, "{} edits of {files:?}", edits.len());
    let others = calls(&mut engine, &others, 60..120);
    for (call, arguments) in &others {
        match call.name.as_str() {
            "read" => assert!(known.paths.iter().any(|path| arguments["path"] == *path), "{call:?}"),
            "run" => assert_eq!(arguments["command"], known.commands[0], "{call:?}"),
            other => assert_eq!(other, "search", "{call:?}"),
        }
    }
    assert!(others.len() >= 10, "{} other calls", others.len());
}
