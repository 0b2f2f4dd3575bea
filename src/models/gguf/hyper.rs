//! Hyperparameters: what `load_hparams` asserts, and what the first computation would divide by.

use crate::models::gguf::Fault;
use crate::models::gguf::error::shown;
use crate::models::gguf::header::Header;
use crate::models::gguf::value::{Kind, Value};

/// `LLAMA_MAX_LAYERS`.
const MOST_LAYERS: u32 = 512;

/// Numbers that some graph divides by.
const DIVISORS: &[&str] =
    &["full_attention_interval", "wkv.head_size", "ssm.time_step_rank", "ssm.inner_size", "ssm.conv_kernel"];

/// Checks the numbers that shape the model.
pub(in crate::models::gguf) fn check(header: &Header) -> Result<(), Fault> {
    types(header)?;
    let layers = positive(header, "block_count")?;
    if layers > MOST_LAYERS {
        return Err(bad(header, "block_count", format!("is {layers}; {MOST_LAYERS} is the most that can be loaded")));
    }
    positive(header, "context_length")?;
    positive(header, "embedding_length")?;
    let drafts = header.of_arch("nextn_predict_layers").unwrap_or(0);
    if drafts >= layers {
        return Err(bad(header, "nextn_predict_layers", format!("is {drafts}, which leaves none of {layers} layers")));
    }
    for key in DIVISORS {
        if header.of_arch(key) == Some(0) {
            return Err(bad(header, key, "is 0"));
        }
    }
    epsilons(header)?;
    recurrence(header)?;
    embeddings(header)
}

/// Types that llama.cpp insists on for every architecture.
fn types(header: &Header) -> Result<(), Fault> {
    const NUMBERS: &[&str] = &[
        "block_count",
        "context_length",
        "embedding_length",
        "embedding_length_out",
        "nextn_predict_layers",
        "expert_count",
        "expert_group_count",
        "expert_group_used_count",
        "rope.scaling.original_context_length",
    ];
    const PER_LAYER: &[&str] = &["attention.head_count", "attention.head_count_kv", "feed_forward_length", "expert_used_count"];
    const FLOATS: &[&str] = &["rope.freq_base", "rope.scaling.factor", "rope.scaling.attn_factor"];
    let expect = |key: &str, want: Kind| match header.keys.get(key) {
        Some(value) if value.kind() != want => {
            Err(Fault::Unusable(format!("`{}` is of type {}, not {want}", shown(key), value.kind())))
        }
        _ => Ok(()),
    };
    expect("general.name", Kind::Str)?;
    expect("general.file_type", Kind::U32)?;
    for key in NUMBERS {
        expect(&header.arch_key(key), Kind::U32)?;
    }
    for key in FLOATS {
        expect(&header.arch_key(key), Kind::F32)?;
    }
    for key in PER_LAYER {
        per_layer(header, key)?;
    }
    Ok(())
}

/// One u32, or an array of 32-bit integers as long as there are layers.
fn per_layer(header: &Header, key: &str) -> Result<(), Fault> {
    let layers = header.of_arch("block_count").unwrap_or(0);
    match header.keys.get(&header.arch_key(key)) {
        None | Some(Value::Int(Kind::U32, _)) => Ok(()),
        Some(Value::Array(a)) if !matches!(a.kind, Kind::U32 | Kind::I32) => {
            Err(bad(header, key, format!("is an array of {}", a.kind)))
        }
        Some(Value::Array(a)) if a.len != u64::from(layers) => {
            Err(bad(header, key, format!("has {} numbers for {layers} layers", a.len)))
        }
        Some(Value::Array(_)) if header.per_layer(key).is_none() => Err(bad(header, key, "has a negative number")),
        Some(Value::Array(_)) => Ok(()),
        Some(other) => Err(bad(header, key, format!("is of type {}, not u32", other.kind()))),
    }
}

fn positive(header: &Header, key: &str) -> Result<u32, Fault> {
    match header.of_arch(key) {
        Some(0) => Err(bad(header, key, "is 0")),
        Some(n) => Ok(n),
        None => Err(bad(header, key, "is missing")),
    }
}

/// The norms assert that epsilon is not negative; NaN fails the same assertion.
fn epsilons(header: &Header) -> Result<(), Fault> {
    for key in ["attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"] {
        match header.keys.get(&header.arch_key(key)) {
            None => {}
            Some(Value::Float(Kind::F32, eps)) if *eps >= 0.0 && eps.is_finite() => {}
            Some(Value::Float(Kind::F32, eps)) => return Err(bad(header, key, format!("is {eps}"))),
            Some(other) => return Err(bad(header, key, format!("is of type {}, not f32", other.kind()))),
        }
    }
    Ok(())
}

/// The sizes of state-space layers that loaders assert or graphs divide by.
fn recurrence(header: &Header) -> Result<(), Fault> {
    let Some(inner) = header.of_arch("ssm.inner_size") else { return Ok(()) };
    let size = |key: &str| header.of_arch(key).unwrap_or(0);
    let (heads, groups, state) = (size("ssm.time_step_rank"), size("ssm.group_count"), size("ssm.state_size"));
    let expected = match header.arch() {
        "granitehybrid" | "jamba" => header.embedding().saturating_mul(2),
        "qwen3next" | "qwen35" | "qwen35moe" => heads.saturating_mul(state),
        _ => inner,
    };
    if inner != expected {
        return Err(bad(header, "ssm.inner_size", format!("is {inner} and should be {expected}")));
    }
    let delta_net = matches!(header.arch(), "qwen3next" | "qwen35" | "qwen35moe");
    if delta_net && (groups == 0 || !heads.is_multiple_of(groups)) {
        return Err(bad(header, "ssm.group_count", format!("is {groups}, which does not divide {heads} heads")));
    }
    Ok(())
}

/// The embedding has the model's width and a row for every token.
fn embeddings(header: &Header) -> Result<(), Fault> {
    let Some(tensor) = header.tensor("token_embd.weight") else {
        return Err(Fault::Unusable("tensor `token_embd.weight` is missing".into()));
    };
    let (width, tokens) = (u64::from(header.embedding()), u64::from(header.vocabulary().0));
    let dim = |i: usize| tensor.dims.get(i).copied().unwrap_or(1);
    if dim(0) != width {
        return Err(Fault::Unusable(format!("tensor `token_embd.weight` is {} wide, and the model {width}", dim(0))));
    }
    if dim(1) != tokens {
        return Err(Fault::Unusable(format!("tensor `token_embd.weight` has {} rows for {tokens} tokens", dim(1))));
    }
    Ok(())
}

/// A sentence about one of the architecture's keys.
pub(in crate::models::gguf) fn bad(header: &Header, key: &str, what: impl AsRef<str>) -> Fault {
    Fault::Unusable(format!("`{}` {}", shown(&header.arch_key(key)), what.as_ref()))
}
