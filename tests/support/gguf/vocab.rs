//! A byte-level BPE vocabulary in GPT-2's notation: every text tokenizes, a few common words are one token.

use super::layout::Random;
use super::raw::{Raw, Value};
use std::collections::HashSet;

/// Words that get merges, so that tokenizing is not one token per byte throughout.
const WORDS: [&str; 12] = ["fn", " fn", "let", "name", "arguments", "the", " the", "return", "self", "path", "content", "user"];

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

pub struct Vocabulary {
    pub tokens: Vec<String>,
    types: Vec<i32>,
    merges: Vec<String>,
    eos: u32,
    bos: u32,
}

impl Vocabulary {
    pub fn store(self, raw: &mut Raw) {
        raw.set("tokenizer.ggml.model", Value::Str("gpt2".into()));
        raw.set("tokenizer.ggml.pre", Value::Str("qwen2".into()));
        raw.set("tokenizer.ggml.tokens", Value::Strs(self.tokens));
        raw.set("tokenizer.ggml.token_type", Value::I32s(self.types));
        raw.set("tokenizer.ggml.merges", Value::Strs(self.merges));
        raw.set("tokenizer.ggml.eos_token_id", Value::U32(self.eos));
        raw.set("tokenizer.ggml.bos_token_id", Value::U32(self.bos));
        raw.set("tokenizer.ggml.padding_token_id", Value::U32(self.bos));
        raw.set("tokenizer.ggml.add_bos_token", Value::Bool(false));
    }
}

/// Bytes, words, filler up to `size` tokens in all, then the special tokens; the first special token is the BOS.
pub fn byte_level(specials: &[String], eos: &str, size: usize, seed: u64) -> Vocabulary {
    let map = byte_map();
    let mut tokens: Vec<String> = map.iter().map(|c| c.to_string()).collect();
    let mut known: HashSet<String> = tokens.iter().chain(specials).cloned().collect();
    let mut merges = Vec::new();
    for word in WORDS {
        let mut left = String::new();
        for byte in word.bytes() {
            let right = map[usize::from(byte)].to_string();
            let joined = format!("{left}{right}");
            if known.insert(joined.clone()) {
                merges.push(format!("{left} {right}"));
                tokens.push(joined.clone());
            }
            left = joined;
        }
    }
    let mut random = Random::new(seed);
    while tokens.len() + specials.len() < size {
        let piece: String = filler(&mut random).bytes().map(|b| map[usize::from(b)]).collect();
        if known.insert(piece.clone()) {
            tokens.push(piece);
        }
    }
    let mut types = vec![NORMAL; tokens.len()];
    let first = tokens.len();
    types.extend(specials.iter().map(|s| special_type(s)));
    tokens.extend_from_slice(specials);
    let eos = specials.iter().position(|s| s == eos).expect("the caller added it");
    Vocabulary { tokens, types, merges, eos: (first + eos) as u32, bos: first as u32 }
}

fn special_type(token: &str) -> i32 {
    let between = |open: &str, close: &str| token.starts_with(open) && token.ends_with(close);
    if between("<|", "|>") || between("[", "]") || token == "<s>" || token == "</s>" { CONTROL } else { USER_DEFINED }
}

/// A piece of two to eight characters such as real vocabularies hold: words, symbols, now and then another script.
fn filler(random: &mut Random) -> String {
    const SYMBOLS: &[u8] = b"{}[]()<>\"':;,.=+-*/\\|&!?#@$%^~`_0123456789\n\t ";
    let other = random.below(16) == 0;
    let symbols = random.below(8) == 0;
    let space = random.below(2) == 0;
    let mut piece = String::from(if space { " " } else { "" });
    for _ in 0..2 + random.below(6) {
        piece.push(match (other, symbols) {
            (true, _) => char::from_u32(0x4E00 + random.below(0x5000) as u32).expect("below the surrogates"),
            (_, true) => char::from(SYMBOLS[random.below(SYMBOLS.len())]),
            _ => char::from(b'a' + random.below(26) as u8),
        });
    }
    piece
}

/// GPT-2's printable stand-in for every byte.
fn byte_map() -> Vec<char> {
    let mut shifted = 0;
    (0..=255u8)
        .map(|byte| match byte {
            b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
            _ => {
                shifted += 1;
                char::from_u32(255 + shifted).expect("a small number")
            }
        })
        .collect()
}
