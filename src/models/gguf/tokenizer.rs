//! The tokenizer: what `llama_vocab::load` asserts, and what the first tokenization would.

use crate::models::gguf::error::shown;
use crate::models::gguf::header::{Header, split_strings};
use crate::models::gguf::value::{Kind, Value};
use crate::models::gguf::{Fault, Need};
use std::borrow::Cow;
use std::collections::HashSet;

/// Tokenizers that read merges, and the pre-tokenizer that does without.
const WITH_MERGES: &[&str] = &["gpt2", "gemma4", "hybriddna", "whitespace"];
const WITHOUT_MERGES: &str = "kimi-k2";
/// An id that converters write for `none`.
const NO_TOKEN: i64 = u32::MAX as i64;

/// Checks the vocabulary's arrays against each other and the special tokens against the vocabulary.
pub(in crate::models::gguf) fn check(header: &Header, need: Need) -> Result<(), Fault> {
    let model = match header.keys.get("tokenizer.ggml.model") {
        Some(Value::Str(model)) => model.as_str(),
        Some(other) => return Err(wrong_type("tokenizer.ggml.model", other, Kind::Str)),
        None => return Err(Fault::Tokenizer("the file has none (`tokenizer.ggml.model`)".into())),
    };
    if matches!(model, "none" | "no_vocab") {
        return Err(Fault::Tokenizer(format!("the file says that it has none (`{model}`)")));
    }
    let tokens = tokens(header)?;
    types(header)?;
    merges(header, model)?;
    specials(header, model, tokens)?;
    let raw = header.raw_strings("tokenizer.ggml.tokens")?;
    let words = words(&raw, tokens)?;
    bytes(model, &words)?;
    if need == Need::Weights { phi(header, &words) } else { Ok(()) }
}

/// The number of tokens; their scores and types must reach as far.
fn tokens(header: &Header) -> Result<u64, Fault> {
    let tokens = match header.keys.get("tokenizer.ggml.tokens") {
        None => return Err(Fault::Tokenizer("`tokenizer.ggml.tokens` is missing".into())),
        Some(Value::Array(a)) if a.kind == Kind::Str && a.len > 0 => a.len,
        Some(Value::Array(a)) => {
            return Err(Fault::Tokenizer(format!("`tokenizer.ggml.tokens` is an array of {} × {}", a.len, a.kind)));
        }
        Some(other) => return Err(wrong_type("tokenizer.ggml.tokens", other, Kind::Array)),
    };
    for (key, kinds) in
        [("tokenizer.ggml.scores", [Kind::F32, Kind::I32].as_slice()), ("tokenizer.ggml.token_type", &[Kind::I32])]
    {
        match header.keys.get(key) {
            None => {}
            Some(Value::Array(a)) if !kinds.contains(&a.kind) => {
                return Err(Fault::Tokenizer(format!("`{key}` is an array of {}", a.kind)));
            }
            Some(Value::Array(a)) if a.len < tokens => {
                return Err(Fault::Tokenizer(format!("`{key}` has {} entries for {tokens} tokens", a.len)));
            }
            Some(Value::Array(_)) => {}
            Some(other) => return Err(wrong_type(key, other, Kind::Array)),
        }
    }
    Ok(tokens)
}

fn types(header: &Header) -> Result<(), Fault> {
    const IDS: &[&str] =
        &["bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "mask", "fim_pre", "fim_suf", "fim_mid", "fim_pad"];
    let expect = |key: &str, want: Kind| match header.keys.get(key) {
        Some(value) if value.kind() != want => Err(wrong_type(key, value, want)),
        _ => Ok(()),
    };
    expect("tokenizer.ggml.pre", Kind::Str)?;
    expect("tokenizer.ggml.token_type_count", Kind::U32)?;
    for id in IDS {
        expect(&format!("tokenizer.ggml.{id}_token_id"), Kind::U32)?;
    }
    for flag in ["add_bos_token", "add_eos_token", "add_sep_token", "add_space_prefix", "remove_extra_whitespaces"] {
        expect(&format!("tokenizer.ggml.{flag}"), Kind::Bool)?;
    }
    Ok(())
}

fn merges(header: &Header, model: &str) -> Result<(), Fault> {
    if !WITH_MERGES.contains(&model) {
        return Ok(());
    }
    match header.keys.get("tokenizer.ggml.merges") {
        Some(Value::Array(a)) if a.kind == Kind::Str => Ok(()),
        Some(Value::Array(a)) => Err(Fault::Tokenizer(format!("`tokenizer.ggml.merges` is an array of {}", a.kind))),
        Some(other) => Err(wrong_type("tokenizer.ggml.merges", other, Kind::Array)),
        None if header.text("tokenizer.ggml.pre") == Some(WITHOUT_MERGES) => Ok(()),
        None => Err(Fault::Tokenizer("`tokenizer.ggml.merges` is missing".into())),
    }
}

/// Ids outside the vocabulary are replaced by llama.cpp's defaults, which name other tokens: a model whose end of turn is
/// lost never stops. A token that is to be added to every text and does not exist ends the process.
fn specials(header: &Header, model: &str, tokens: u64) -> Result<(), Fault> {
    let named = |token: &str| header.integer(&format!("tokenizer.ggml.{token}_token_id")).filter(|&id| id != NO_TOKEN);
    for token in ["bos", "eos", "eot", "eom"] {
        if let Some(id) = named(token).filter(|id| id.unsigned_abs() >= tokens) {
            return Err(Fault::Tokenizer(format!("`tokenizer.ggml.{token}_token_id` is {id}, and there are {tokens} tokens")));
        }
    }
    let (bos, eos) = match model {
        "llama" | "plamo2" => (Some(1), Some(2)),
        "bert" => (Some(101), None),
        "gpt2" | "hybriddna" | "whitespace" => (Some(11), Some(11)),
        "t5" => (None, Some(1)),
        _ => (None, None),
    };
    for (token, default) in [("bos", bos), ("eos", eos)] {
        let adds = header.keys.get(&format!("tokenizer.ggml.add_{token}_token")) == Some(&Value::Bool(true));
        let exists = named(token).is_some() || default.is_some_and(|id| id < tokens);
        if adds && !exists {
            return Err(Fault::Tokenizer(format!("every text is to get a {token} token, and there is none")));
        }
    }
    Ok(())
}

/// The vocabulary's words, as llama.cpp holds them.
type Words<'a> = HashSet<Cow<'a, [u8]>>;

/// Every token stands there once: llama.cpp counts them and ends the process when it misses one.
fn words(raw: &[u8], tokens: u64) -> Result<Words<'_>, Fault> {
    // The count is honest: each token took eight bytes at least. Room for all of a real one spares rehashing, half of the time.
    let mut words = Words::with_capacity(usize::try_from(tokens).unwrap_or(0).min(1 << 20));
    for (id, token) in split_strings(raw).enumerate() {
        // Up to the first NUL, and empty ones under a made-up name.
        let token = token.split(|&b| b == 0).next().unwrap_or_default();
        let token = if token.is_empty() { Cow::Owned(format!("[EMPTY_{id}]").into_bytes()) } else { Cow::Borrowed(token) };
        if let Some(twice) = words.replace(token) {
            return Err(Fault::Tokenizer(format!("token {id}, `{}`, appears twice", shown(&String::from_utf8_lossy(&twice)))));
        }
    }
    Ok(words)
}

/// SentencePiece falls back on a token per byte and ends the process where there is none. Bytes that no UTF-8 text
/// contains are not asked for.
fn bytes(model: &str, words: &Words<'_>) -> Result<(), Fault> {
    if model != "llama" {
        return Ok(());
    }
    let possible = (0..=0xBFu8).chain(0xC2..=0xF4);
    let missing = |&byte: &u8| !words.contains(format!("<0x{byte:02X}>").as_bytes()) && !words.contains([byte].as_slice());
    match possible.into_iter().find(missing) {
        Some(byte) => Err(Fault::Tokenizer(format!("it has no token for the byte 0x{byte:02X}"))),
        None => Ok(()),
    }
}

/// A name like this makes llama.cpp look tokens up without asking whether they are there.
fn phi(header: &Header, words: &Words<'_>) -> Result<(), Fault> {
    let name = header.text("general.name").unwrap_or_default().to_ascii_lowercase();
    if !name.contains("phi-3") && !name.contains("phi3") {
        return Ok(());
    }
    match ["</s>", "<unk>", "<s>", "<|endoftext|>"].iter().find(|word| !words.contains(word.as_bytes())) {
        Some(missing) => Err(Fault::Tokenizer(format!("a model named Phi-3 must have the token `{missing}`"))),
        None => Ok(()),
    }
}

fn wrong_type(key: &str, value: &Value, want: Kind) -> Fault {
    Fault::Tokenizer(format!("`{key}` is of type {}, not {want}", value.kind()))
}
