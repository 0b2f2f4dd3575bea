//! Attention: heads that divide, positions that rotate in pairs, projections as wide as the heads together.
//!
//! The graphs assert these when the first context is made, which ends the process. Found by changing every number and
//! every type in files of 20 architectures and computing with what was still accepted.

use crate::models::gguf::Fault;
use crate::models::gguf::error::shown;
use crate::models::gguf::header::Header;
use crate::models::gguf::hyper::bad;
use crate::models::gguf::value::Value;

/// Architectures that attend in every layer with plain projections, so that head counts of zero cannot be meant and the
/// projections' widths follow from them.
#[rustfmt::skip]
const PLAIN: &[&str] = &[
    "arcee", "cohere2", "command-r", "deepseek", "ernie4_5", "exaone", "exaone4", "gemma", "gemma2", "gemma3", "glm4",
    "glm4moe", "gpt-oss", "granite", "granitemoe", "hunyuan-dense", "hunyuan-moe", "internlm2", "llama", "minimax-m2",
    "mistral3", "olmo2", "phi3", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "seed_oss", "smollm3", "stablelm", "starcoder2",
];
/// Architectures whose graphs assert that all of a head is rotated, and that keys are as long as values.
#[rustfmt::skip]
const WHOLE: &[&str] = &[
    "apertus", "arcee", "baichuan", "cohere2moe", "dbrx", "deepseek", "dots1", "dream", "ernie4_5", "ernie4_5-moe",
    "exaone", "exaone-moe", "exaone4", "falcon", "granite", "granitemoe", "grok", "grovemoe", "hunyuan-dense",
    "hunyuan-moe", "internlm2", "llada", "llada-moe", "llama", "llama4", "maincoder", "mellum", "mistral3", "olmo",
    "olmo2", "olmoe", "orion", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "seed_oss",
    "smallthinker", "smollm3", "starcoder2", "xverse",
];
/// Further architectures whose graphs assert that keys are as long as values.
#[rustfmt::skip]
const SQUARE: &[&str] = &[
    "afmoe", "chatglm", "cohere2", "command-r", "glm4", "glm4moe", "gptneox", "granitehybrid", "laguna", "minimax-m2",
    "nemotron", "phi2", "phi3", "qwen", "qwen35", "qwen35moe", "qwen3next", "stablelm",
];
/// Hybrids that never finish computing when no dimension is rotated.
const ROTATING_HYBRIDS: &[&str] = &["granitehybrid", "qwen3next", "qwen35", "qwen35moe"];
/// `llama_rope_scaling_type`; any other word ends the process.
const SCALINGS: &[&str] = &["none", "linear", "yarn", "longrope"];

/// The lengths of a head in the first layer, which llama.cpp takes for all.
struct Head {
    key: u32,
    value: u32,
}

/// Checks heads, rotation and projections.
pub(in crate::models::gguf) fn check(header: &Header) -> Result<(), Fault> {
    scaling(header)?;
    let (heads, kv) = (header.heads(), header.kv_heads());
    counts(header, &heads, &kv)?;
    let first = heads.first().copied().unwrap_or(0);
    if first == 0 {
        return Ok(());
    }
    let length = |key: &str| header.of_arch(key).unwrap_or(header.embedding() / first);
    let head = Head { key: length("attention.key_length"), value: length("attention.value_length") };
    let arch = header.arch();
    if head.key != head.value && (WHOLE.contains(&arch) || SQUARE.contains(&arch)) {
        return Err(bad(header, "attention.key_length", format!("is {}, and values are {} long", head.key, head.value)));
    }
    rotation(header, &head)?;
    if PLAIN.contains(&arch) { projections(header, &head, &heads, &kv) } else { Ok(()) }
}

fn scaling(header: &Header) -> Result<(), Fault> {
    match header.keys.get(&header.arch_key("rope.scaling.type")) {
        None => Ok(()),
        Some(Value::Str(word)) if SCALINGS.contains(&word.as_str()) => Ok(()),
        Some(Value::Str(word)) => Err(bad(header, "rope.scaling.type", format!("is the unknown `{}`", shown(word)))),
        Some(other) => Err(bad(header, "rope.scaling.type", format!("is of type {}, not string", other.kind()))),
    }
}

fn counts(header: &Header, heads: &[u32], kv: &[u32]) -> Result<(), Fault> {
    if PLAIN.contains(&header.arch()) {
        if heads.first().is_none_or(|&n| n == 0) {
            return Err(bad(header, "attention.head_count", "is 0 or missing"));
        }
        if kv.first().is_none_or(|&n| n == 0) {
            return Err(bad(header, "attention.head_count_kv", "is 0"));
        }
    }
    match heads.iter().zip(kv).find(|&(&q, &k)| q > 0 && k > 0 && q % k != 0) {
        Some((q, k)) => Err(bad(header, "attention.head_count_kv", format!("is {k}, which does not divide {q} heads"))),
        None => Ok(()),
    }
}

fn rotation(header: &Header, head: &Head) -> Result<(), Fault> {
    let arch = header.arch();
    let whole = WHOLE.contains(&arch);
    let Some(rotated) = header.of_arch("rope.dimension_count") else {
        if whole && !head.key.is_multiple_of(2) {
            return Err(bad(header, "attention.head_count", format!("makes heads of {} dimensions, an odd number", head.key)));
        }
        return Ok(());
    };
    if whole && rotated != head.key {
        return Err(bad(header, "rope.dimension_count", format!("is {rotated}, and heads have {} dimensions", head.key)));
    }
    let none = rotated == 0 && (PLAIN.contains(&arch) || ROTATING_HYBRIDS.contains(&arch));
    if none || rotated > head.key || !rotated.is_multiple_of(2) {
        return Err(bad(header, "rope.dimension_count", format!("is {rotated}; it must be even and at most {}", head.key)));
    }
    Ok(())
}

/// The widths of the projections, in the layers that have them under these names.
fn projections(header: &Header, head: &Head, heads: &[u32], kv: &[u32]) -> Result<(), Fault> {
    let (key, value) = (u64::from(head.key), u64::from(head.value));
    for (layer, (&q, &k)) in heads.iter().zip(kv).enumerate() {
        let (q, k) = (u64::from(q), u64::from(k));
        let widths = [
            ("attn_q", 1, q * key),
            ("attn_k", 1, k * key),
            ("attn_v", 1, k * value),
            ("attn_qkv", 1, q * key + k * (key + value)),
            ("attn_output", 0, q * value),
        ];
        for (projection, dimension, expected) in widths {
            let name = format!("blk.{layer}.{projection}.weight");
            let found = header.tensor(&name).map(|t| t.dims.get(dimension).copied().unwrap_or(1));
            if let Some(found) = found.filter(|&f| f != expected) {
                return Err(Fault::Unusable(format!("tensor `{name}` is {found} wide, and the heads together {expected}")));
            }
        }
    }
    Ok(())
}
