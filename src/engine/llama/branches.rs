//! Several continuations of what the cache holds, side by side: each token is processed once for all that share it.
//!
//! llama.cpp lets a cell of its unified cache belong to many sequences. A branch is a sequence beside the main one; it has
//! the main one's cells and its own behind them, and goes without a trace.

use crate::engine::EngineError;
use crate::engine::llama::{Context, Decoded, SEQUENCE, Token};
use llama_cpp_sys_2 as sys;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

/// A token at a place in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub token: Token,
    pub position: usize,
    /// The sequences that it belongs to: 0 is the main one, branches count from 1.
    pub sequences: Range<usize>,
    /// Whether its logits are kept.
    pub logits: bool,
}

impl Context {
    /// How many branches there can be; 0 for a cache that only has its main sequence.
    pub fn branches(&self) -> usize {
        // SAFETY: the context is live.
        unsafe { sys::llama_n_seq_max(self.raw.as_ptr()) }.saturating_sub(1) as usize
    }

    /// The most tokens of one batch whose logits can be kept.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Begins branches, counted from 1, with the first tokens of the main sequence. Costs no memory, and some 200 ns a token and
    /// branch.
    pub fn branch(&mut self, branches: Range<usize>, length: usize) {
        for branch in self.within(branches) {
            // SAFETY: the context is live; the branch is one of its sequences.
            unsafe { sys::llama_memory_seq_cp(self.memory(), SEQUENCE, branch, 0, length as sys::llama_pos) };
        }
    }

    /// Takes branches back to the first tokens of them.
    pub fn prune(&mut self, branches: Range<usize>, length: usize) {
        for branch in self.within(branches) {
            // SAFETY: as above. A cache with branches can always go back.
            unsafe { sys::llama_memory_seq_rm(self.memory(), branch, length as sys::llama_pos, -1) };
        }
    }

    /// Makes what a branch holds the main sequence, and forgets all branches.
    pub fn adopt(&mut self, branch: usize) {
        for branch in self.within(branch..branch + 1) {
            // SAFETY: as above.
            unsafe {
                sys::llama_memory_seq_rm(self.memory(), SEQUENCE, -1, -1);
                sys::llama_memory_seq_cp(self.memory(), branch, SEQUENCE, -1, -1);
            }
        }
        self.unbranch();
    }

    /// Forgets all branches.
    pub fn unbranch(&mut self) {
        // SAFETY: the context is live.
        unsafe { sys::llama_memory_seq_keep(self.memory(), SEQUENCE) }
    }

    fn within(&self, branches: Range<usize>) -> Range<sys::llama_seq_id> {
        let end = branches.end.min(self.branches() + 1);
        branches.start.clamp(1, end.max(1)) as sys::llama_seq_id..end as sys::llama_seq_id
    }

    /// Processes up to [`batch`](Self::batch) tokens where they are placed, up to [`outputs`](Self::outputs) of them with
    /// logits; each must follow what its sequences hold, and those that share a token must be alike until it. After an error
    /// the cache is empty. After a cancel branches hold any part of the batch.
    pub fn decode_placed(&mut self, tokens: &[Placed], cancel: &AtomicBool) -> Result<Decoded, EngineError> {
        let kept = |end: &usize| tokens[..*end].iter().filter(|placed| placed.logits).count() <= self.outputs;
        let most = tokens.len().min(self.batch());
        let tokens = &tokens[..(0..=most).rev().find(kept).unwrap_or(0)];
        if tokens.is_empty() {
            return Ok(Decoded::Done);
        }
        let sequences: Vec<Vec<sys::llama_seq_id>> = tokens
            .iter()
            .map(|placed| placed.sequences.clone().map(|sequence| sequence as sys::llama_seq_id).collect())
            .collect();
        let mut ids: Vec<sys::llama_token> = tokens.iter().map(|placed| placed.token.0).collect();
        let mut positions: Vec<sys::llama_pos> = tokens.iter().map(|placed| placed.position as sys::llama_pos).collect();
        let mut counts: Vec<i32> = sequences.iter().map(|sequences| sequences.len() as i32).collect();
        let mut lists: Vec<*mut sys::llama_seq_id> = sequences.iter().map(|list| list.as_ptr().cast_mut()).collect();
        let mut logits: Vec<i8> = tokens.iter().map(|placed| i8::from(placed.logits)).collect();
        let batch = sys::llama_batch {
            n_tokens: tokens.len() as i32,
            token: ids.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: positions.as_mut_ptr(),
            n_seq_id: counts.as_mut_ptr(),
            seq_id: lists.as_mut_ptr(),
            logits: logits.as_mut_ptr(),
        };
        // SAFETY: the arrays have a row for each token, outlive the call and are not written to; llama.cpp refuses tokens,
        // sequences and positions that it cannot have.
        unsafe { self.process(batch, cancel) }
    }

    /// The logits of the last batch's token at `index`, or of its last one. `None` where they were not kept.
    pub fn logits(&mut self, index: Option<usize>) -> Option<&[f32]> {
        let index = index.map_or(Some(-1), |index| i32::try_from(index).ok())?;
        // SAFETY: the context is live; a row has as many numbers as the vocabulary has tokens, until the next batch.
        unsafe {
            let row = sys::llama_get_logits_ith(self.raw.as_ptr(), index);
            (!row.is_null()).then(|| std::slice::from_raw_parts(row, self.model.vocab_size()))
        }
    }

    /// Makes a token impossible in a row of the last batch's logits.
    pub fn forbid(&mut self, index: Option<usize>, token: Token) {
        self.reckon(index, |row| {
            if let Some(logit) = usize::try_from(token.0).ok().and_then(|at| row.get_mut(at)) {
                *logit = f32::NEG_INFINITY;
            }
        });
    }

    /// Makes all tokens but these impossible in a row of the last batch's logits.
    pub fn allow(&mut self, index: Option<usize>, tokens: &[Token]) {
        self.reckon(index, |row| {
            let kept: Vec<(usize, f32)> = tokens
                .iter()
                .filter_map(|token| usize::try_from(token.0).ok())
                .filter_map(|at| Some((at, *row.get(at)?)))
                .collect();
            row.fill(f32::NEG_INFINITY);
            kept.into_iter().for_each(|(at, logit)| row[at] = logit);
        });
    }

    /// Puts a row of logits back as it was.
    pub fn put_back(&mut self, index: Option<usize>, logits: &[f32]) {
        self.reckon(index, |row| row.copy_from_slice(logits));
    }

    fn reckon(&mut self, index: Option<usize>, change: impl FnOnce(&mut [f32])) {
        let Some(index) = index.map_or(Some(-1), |index| i32::try_from(index).ok()) else { return };
        // SAFETY: as above; llama.cpp copies a batch's logits into this buffer and reads them from nowhere else.
        unsafe {
            let row = sys::llama_get_logits_ith(self.raw.as_ptr(), index);
            if !row.is_null() {
                change(std::slice::from_raw_parts_mut(row, self.model.vocab_size()));
            }
        }
    }
}
