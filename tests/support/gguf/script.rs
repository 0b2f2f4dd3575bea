//! Weights that are not random: a model that says what it was told to, token by token.
//!
//! Every token's embedding is a row of random signs, and the row of the output that belongs to a successor is the sum of its
//! predecessors' embeddings. Two rows of signs are nearly at right angles, so after the token `a` the token `b` is
//! certain, whatever came before. The blocks add next to nothing; they are computed all the same, cache included.

use super::layout::Random;
use super::raw::{Raw, Value};
use std::collections::HashSet;

/// ChatML with tools, as Qwen2.5 writes it. After a tool's answer the model's turn opens with a tab instead of a line end:
/// by it a scripted model tells where it stands.
pub const TEMPLATE: &str = include_str!("script.jinja");

/// Makes the model say each chain: from its first token on, every token is followed by the next one. A chain starts with
/// the last token of a prompt. The model needs an output of its own (Llama) and F32 weights.
pub fn follow(raw: &mut Raw, chains: &[Vec<String>]) {
    let pieces = vocabulary(raw);
    let place = |piece: &String| pieces.iter().position(|p| p == piece).unwrap_or_else(|| panic!("no token {piece:?}"));
    let width = raw.tensor("token_embd.weight").dims[0] as usize;
    let mut random = Random::new(11);
    let signs: Vec<f32> = (0..pieces.len() * width).map(|_| random.unit().signum()).collect();
    let mut output = vec![0.0_f32; signs.len()];
    let mut known = HashSet::new();
    for pair in chains.iter().flat_map(|chain| chain.windows(2)) {
        let (from, to) = (place(&pair[0]), place(&pair[1]));
        assert!(known.insert(from), "{:?} has two successors", pair[0]);
        for column in 0..width {
            output[to * width + column] += signs[from * width + column];
        }
    }
    let bytes = |floats: Vec<f32>| floats.into_iter().flat_map(f32::to_le_bytes).collect();
    raw.tensor("token_embd.weight").data = bytes(signs);
    raw.tensor("output.weight").data = bytes(output);
}

/// The first `n` tokens of the vocabulary that are a word with a blank before it.
pub fn words(raw: &Raw, n: usize) -> Vec<String> {
    let is_word = |piece: &String| {
        piece.strip_prefix('Ġ').is_some_and(|word| word.len() > 2 && word.bytes().all(|b| b.is_ascii_lowercase()))
    };
    let found: Vec<String> = vocabulary(raw).into_iter().filter(is_word).take(n).collect();
    assert_eq!(found.len(), n, "the vocabulary is too small");
    found
}

/// Words as a person reads them.
pub fn spoken(words: &[String]) -> String {
    words.concat().replace('Ġ', " ").trim().to_owned()
}

fn vocabulary(raw: &Raw) -> Vec<String> {
    match raw.keys.iter().find(|(key, _)| key == "tokenizer.ggml.tokens") {
        Some((_, Value::Strs(pieces))) => pieces.clone(),
        _ => panic!("a model has tokens"),
    }
}
