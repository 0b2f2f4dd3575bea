//! Weights that lean: some tokens likelier than all others, whatever came before.

use super::raw::{Raw, Value};

/// Makes some pieces likelier than the rest: the first dimension is the same for every token, and only their rows of the
/// output look at it. Random weights would otherwise hardly ever begin a call or end a string.
pub fn favour(raw: &mut Raw, pieces: &[(&str, f32)], width: usize) {
    let Some(Value::Strs(tokens)) = raw.keys.iter().find(|(k, _)| k == "tokenizer.ggml.tokens").map(|(_, v)| v) else {
        panic!("a model has tokens")
    };
    let count = tokens.len();
    let rows: Vec<_> = pieces.iter().filter_map(|(p, by)| Some((tokens.iter().position(|t| t == p)?, *by))).collect();
    let set = |data: &mut [u8], row: usize, value: f32| data[row * width * 4..][..4].copy_from_slice(&value.to_le_bytes());
    for row in 0..count {
        set(&mut raw.tensor("token_embd.weight").data, row, 1.0);
        set(&mut raw.tensor("output.weight").data, row, rows.iter().find(|(r, _)| *r == row).map_or(0.0, |(_, by)| *by));
    }
}
