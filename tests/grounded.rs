//! Calls that cannot miss: a model of random weights edits real files, in the dialects of real families.
#![cfg(feature = "llama")]

mod support;

use agent::engine::backend::Backend;
use agent::engine::embedded::Holding;
use agent::path::Root;
use agent::protocol::message::{Call, Message};
use agent::protocol::turn::{Delta, Sampling, ToolCard, ToolChoice, TurnRequest};
use agent::tools::checks::Checks;
use agent::tools::grounded::{grounds, held};
use agent::tools::{Mode, Reads, Sizes, Toolbox, Workbench};
use agent::units::Tokens;
use serde_json::json;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use support::families::{FAMILIES, family, templates};
use tokio_util::sync::CancellationToken;

/// Turns of each family. With 220 more than 1,000 edits come of it, in minutes.
const SEEDS: u32 = 36;
/// A few of this project's own files, of all kinds.
const FILES: [&str; 8] = [
    "src/units.rs",
    "src/hint.rs",
    "src/path.rs",
    "Cargo.toml",
    "README.md",
    "tools/edit.toml",
    "models/micro/fit.py",
    "src/engine/bridge.cpp",
];

struct Project {
    _folder: tempfile::TempDir,
    root: Root,
    reads: Reads,
    read: Vec<Message>,
}

fn bench(root: &Root, reads: Reads) -> Workbench {
    let logs = root.as_path().join("logs");
    let cancel = CancellationToken::new();
    Workbench {
        root: root.clone(),
        sizes: Sizes::FULL,
        reads: Some(reads),
        logs,
        max_seconds: 5,
        cancel,
        jobs: None,
        checks: Checks::Off,
    }
}

fn call(name: &str, arguments: &serde_json::Value) -> Call {
    Call { id: "c00000001".into(), name: name.into(), arguments: arguments.to_string() }
}

/// A copy of the files, all of which were read.
fn project(toolbox: &Toolbox) -> Project {
    let folder = tempfile::tempdir().unwrap();
    for file in FILES {
        let to = folder.path().join(file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), to).unwrap();
    }
    let root = Root::open(folder.path()).unwrap();
    let (mut reads, mut read) = (Reads::default(), Vec::new());
    for file in FILES {
        let call = call("read", &json!({"path": file}));
        let mut bench = bench(&root, reads);
        let answer = toolbox.perform(&mut bench, &toolbox.check(&call, Mode::Chat).unwrap());
        reads = bench.reads.unwrap();
        read.push(Message::Tool { call: call.id.clone(), name: "read".into(), text: answer.text });
    }
    Project { _folder: folder, root, reads, read }
}

/// The edit alone. A replacement by noise would never end: dialects with schemas bound it.
fn cards(toolbox: &Toolbox) -> Vec<ToolCard> {
    let mut cards: Vec<ToolCard> = held(toolbox.cards(Mode::Chat)).into_iter().filter(|card| card.name == "edit").collect();
    cards[0].parameters["properties"]["replace"]["maxLength"] = json!(24);
    cards
}

#[test]
fn every_edit_of_a_model_of_noise_applies() {
    let Some(folder) = templates() else { return };
    let toolbox = Toolbox::builtin();
    let project = project(&toolbox);
    let grounds = grounds(&project.root, &project.reads, &project.read);
    let (mut applied, mut cut) = (0, 0);
    for one in &FAMILIES {
        let mut model = family(one, &folder);
        model.engine.set_holding(Holding::Always);
        assert!(model.engine.info().grounds, "{}", one.template);
        let before = applied;
        for seed in 0..SEEDS {
            let request = TurnRequest {
                messages: vec![Message::User { text: format!("Change something, number {seed}.") }],
                tools: cards(&toolbox),
                sampling: Sampling {
                    seed: Some(seed),
                    temperature: Some(1.0),
                    top_k: Some(0),
                    top_p: Some(1.0),
                    min_p: Some(0.0),
                },
                max_tokens: Tokens(600),
                thinking_budget: Some(Tokens(8)),
                thinking: false,
                choice: ToolChoice::Required,
                grounds: grounds.clone(),
            };
            let reply = model.engine.turn(&request, &mut |_: Delta| {}, &AtomicBool::new(false)).unwrap();
            for call in reply.calls.iter().take(1) {
                let Ok(checked) = toolbox.check(call, Mode::Chat) else {
                    cut += 1;
                    continue;
                };
                let path = checked.arguments["path"].as_str().unwrap().to_owned();
                let full = project.root.as_path().join(&path);
                let text = std::fs::read(&full).unwrap_or_else(|e| panic!("{}: {} {e}", one.template, call.arguments));
                let answer = toolbox.perform(&mut bench(&project.root, project.reads.clone()), &checked);
                assert!(answer.ok, "{}: {}\n{}", one.template, call.arguments, answer.text);
                assert_ne!(std::fs::read(&full).unwrap(), text, "{}", call.arguments);
                std::fs::write(&full, text).unwrap();
                applied += 1;
            }
        }
        eprintln!("{}: {} edits", one.template, applied - before);
    }
    eprintln!("{applied} edits applied, {cut} turns cut at their limit");
    assert!(applied >= 150, "{applied} applied, {cut} cut");
}
