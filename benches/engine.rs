//! `cargo bench --bench engine`: `agent bench` on a random model of 896 dimensions and a vocabulary of 151,936, as
//! Qwen2.5-0.5B has, but with 8 of its 24 layers. What a grammar or a sampler costs weighs three times what it would there:
//! a real model's ratio is better than the one that is shown.

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::Command;
use support::gguf::{CHATML_TOOLS, Gguf};

fn main() {
    if !cfg!(feature = "llama") {
        return eprintln!("SKIPPED: built without llama.cpp");
    }
    let folder = tempfile::tempdir().expect("a folder for the model");
    let model = folder.path().join("third-of-qwen2.5-0.5b.gguf");
    Gguf::qwen2().layers(8).embd(896).heads(14, 2).ffn(4864).vocab(151_936).context(32_768).template(CHATML_TOOLS).write(&model);
    let status = Command::new(env!("CARGO_BIN_EXE_agent"))
        .env("AGENT_HOME", folder.path())
        .args(["-c", "plan.n_ctx=8192", "bench", "--model"])
        .arg(&model)
        .args(std::env::args().skip(1).filter(|a| a != "--bench"))
        .status()
        .expect("the binary runs");
    assert!(status.success(), "agent bench ended with {status}");
}
