//! Models of random weights with the chat templates of real families.
#![allow(dead_code, reason = "each test file uses some of it")]

use crate::support::gguf::favour::favour;
use crate::support::gguf::raw::Raw;
use crate::support::gguf::{GLM, Gguf, HARMONY, LLAMA3, MISTRAL, QWEN, Weights};
use agent::engine::backend::LoadOptions;
use agent::engine::embedded::Embedded;
use std::path::{Path, PathBuf};

/// A family's template, its special tokens, and the token that ends its turns.
pub struct Family {
    pub template: &'static str,
    pub special: &'static [&'static str],
    pub eos: &'static str,
}

/// Special tokens of DeepSeek V3 and later.
const DEEPSEEK: &[&str] = &[
    "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>",
    "<｜User｜>",
    "<｜Assistant｜>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁output▁begin｜>",
    "<｜tool▁output▁end｜>",
    "<think>",
    "</think>",
];

pub const FAMILIES: [Family; 8] = [
    Family { template: "Qwen-Qwen2.5-7B-Instruct", special: QWEN, eos: "<|im_end|>" },
    Family { template: "Qwen3-Coder", special: QWEN, eos: "<|im_end|>" },
    Family { template: "Qwen3.5-4B", special: QWEN, eos: "<|im_end|>" },
    Family { template: "meta-llama-Llama-3.1-8B-Instruct", special: LLAMA3, eos: "<|eot_id|>" },
    Family { template: "unsloth-mistral-Devstral-Small-2507", special: MISTRAL, eos: "</s>" },
    Family { template: "GLM-4.6", special: GLM, eos: "<|user|>" },
    Family { template: "openai-gpt-oss-120b", special: HARMONY, eos: "<|return|>" },
    Family { template: "deepseek-ai-DeepSeek-V3.1", special: DEEPSEEK, eos: "<｜end▁of▁sentence｜>" },
];

/// The shared folder with real templates. A test without it says so and passes.
pub fn templates() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/chat-templates");
    if !folder.is_dir() {
        eprintln!("SKIPPED: no chat templates at {}", folder.display());
        return None;
    }
    Some(folder)
}

pub struct Loaded {
    pub engine: Embedded,
    _folder: tempfile::TempDir,
}

pub fn load(raw: &Raw, change: impl FnOnce(&mut LoadOptions)) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, raw.bytes()).unwrap();
    let mut options = LoadOptions::of(&path);
    options.threads = Some(1);
    options.n_ctx = Some(8192);
    change(&mut options);
    let engine = Embedded::load(&options, &mut |_| {}).unwrap();
    Loaded { engine, _folder: folder }
}

/// A model of a family that begins calls and ends values often enough.
pub fn family(family: &Family, folder: &Path) -> Loaded {
    let template = std::fs::read_to_string(folder.join(format!("{}.jinja", family.template))).unwrap();
    let gguf = Gguf::llama().layers(1).embd(64).weights(Weights::F32).context(16_384).template(&template);
    // The ends of XML values as one token each: chance would not spell them out.
    let values = ["\n</parameter>\n", "</arg_value>\n"];
    // GLM's value end alone would appear inside values, where nothing can tell it from an end.
    let special: Vec<_> = family.special.iter().copied().filter(|s| *s != "</arg_value>").chain(values).collect();
    let mut raw = gguf.special(&special).eos(family.eos).seed(7).raw();
    let begins = ["<tool_call>", "[TOOL_CALLS]", "<｜tool▁calls▁begin｜>"].map(|p| (p, 0.25));
    let ends = ["{", "\"", "}", "Ċ", values[0], values[1], "</tool_call>", family.eos, "<|call|>"].map(|p| (p, 0.4));
    favour(&mut raw, &[begins.as_slice(), &ends].concat(), 64);
    load(&raw, |_| {})
}
