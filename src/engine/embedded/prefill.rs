//! Bringing the cache to a prompt's tokens: what it has stays, what was saved is fetched, the rest is processed.
//!
//! The cache, the list of its tokens and its checkpoints always say the same; where llama.cpp says otherwise, all of it is
//! forgotten.

use crate::engine::EngineError;
use crate::engine::embedded::Embedded;
use crate::engine::embedded::checkpoints::Checkpoints;
use crate::engine::embedded::lanes::common;
use crate::engine::llama::{Decoded, Part, Token};
use crate::engine::memory::Host;
use crate::engine::splice::Stand;
use crate::protocol::turn::{Delta, Usage};
use crate::units::Tokens;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(in crate::engine::embedded) const FIRST_PIECE: usize = 128;
const SMALLEST_PIECE: usize = 32;
/// Tokens that a saved state has to save over what the cache has: below it, processing is as quick as restoring.
const WORTHWHILE: usize = 64;
/// Checkpoints may take this part of the host's memory that is free, their own included.
const CHECKPOINTS_PART: u64 = 8;
/// The same where the system does not say how much is free.
const UNKNOWN_ROOM: u64 = 256 << 20;

/// A prompt in tokens.
pub(in crate::engine::embedded) struct Wanted {
    pub tokens: Vec<Token>,
    /// How many of them come before the person's first words; 0 where that is not known.
    pub opening: usize,
    /// The ends of the model's turns among them.
    pub turns: Vec<Stand>,
}

impl Wanted {
    /// Tokens of which nothing else is known.
    pub fn of(tokens: Vec<Token>) -> Self {
        Self { tokens, opening: 0, turns: Vec::new() }
    }
}

impl Embedded {
    /// Brings the cache to exactly these tokens, processing only what it lacks; says what it cost, and whether it was
    /// cancelled before it was done.
    pub(in crate::engine::embedded) fn prefilled(
        &mut self,
        wanted: &Wanted,
        sink: &mut dyn FnMut(Delta),
        cancel: &AtomicBool,
    ) -> Result<(Usage, bool), EngineError> {
        let start = Instant::now();
        let reused = self.recall(&wanted.tokens);
        self.notices(sink);
        let cancelled = self.process(wanted, reused, sink, cancel)?;
        let usage = Usage {
            prompt: Tokens(wanted.tokens.len() as u32),
            prefilled: Tokens(self.cache.len().saturating_sub(reused) as u32),
            reused: Tokens(reused as u32),
            prefill_ms: start.elapsed().as_secs_f64() * 1e3,
            ..Usage::default()
        };
        Ok((usage, cancelled))
    }

    /// Brings the cache to as many of the first tokens as can be had without processing any, and says how many. The last
    /// token is never among them: its logits are needed.
    fn recall(&mut self, tokens: &[Token]) -> usize {
        if self.context.held() != self.cache.len() {
            self.lose();
        }
        let most = tokens.len().saturating_sub(1);
        let own = self.reach(common(&self.cache, tokens).min(most));
        // A state has no room beside lanes.
        if self.lanes.is_empty() && self.fetch(tokens, own + WORTHWHILE) {
            return self.go_back(self.reach(common(&self.cache, tokens).min(most)));
        }
        self.park(own);
        self.go_back(own)
    }

    /// How far before or at `length` the cache can be brought back.
    pub(in crate::engine::embedded) fn reach(&self, length: usize) -> usize {
        if self.context.reaches(length) { length } else { self.checkpoints.nearest(length).map_or(0, |one| one.length) }
    }

    /// Brings the cache back to a length that it reaches. Gives that, or 0 where it could not after all.
    pub(in crate::engine::embedded) fn go_back(&mut self, length: usize) -> usize {
        let back = match self.checkpoints.at(length) {
            _ if self.context.reaches(length) => self.context.truncate(length),
            Some(one) => self.context.restore(&one.state, Part::Running, length),
            None => false,
        };
        if !back {
            self.lose();
            return 0;
        }
        self.cache.truncate(length);
        self.lanes.main_went_back(length);
        self.checkpoints.truncate(length);
        if self.opening > length {
            self.opening = 0;
        }
        length
    }

    /// Forgets what the cache holds, and all that was known of it.
    pub(in crate::engine::embedded) fn lose(&mut self) {
        self.context.forget();
        self.cache.clear();
        self.lanes.clear();
        self.checkpoints = Checkpoints::default();
        self.opening = 0;
    }

    /// Processes what comes behind the cache's tokens. True where it was cancelled.
    fn process(
        &mut self,
        wanted: &Wanted,
        reused: usize,
        sink: &mut dyn FnMut(Delta),
        cancel: &AtomicBool,
    ) -> Result<bool, EngineError> {
        let Wanted { tokens, opening, .. } = wanted;
        let total = Tokens((tokens.len() - reused) as u32);
        let mut done = reused;
        self.check(done);
        while done < tokens.len() {
            sink(Delta::Prefill { done: Tokens((done - reused) as u32), total });
            // Pieces end where a checkpoint is to be: behind the opening, and before the last token, from where the same turn
            // can be asked for again.
            let wanted = |mark: &usize| self.marks && *mark > done && self.checkpoints.wants(*mark);
            let mark = [*opening, tokens.len() - 1].into_iter().find(wanted);
            let piece = self.piece.min(mark.unwrap_or(tokens.len()) - done);
            let start = Instant::now();
            let decoded = self.context.decode(&tokens[done..done + piece], cancel)?;
            let held = self.context.held();
            self.cache.extend_from_slice(&tokens[self.cache.len()..held.clamp(self.cache.len(), tokens.len())]);
            match decoded {
                Decoded::Done => done += piece,
                Decoded::Cancelled => return Ok(true),
                Decoded::Full => return Err(self.overflow(tokens.len())),
            }
            if mark == Some(done) {
                self.check(done);
            }
            if cancel.load(Ordering::Relaxed) && done < tokens.len() {
                return Ok(true);
            }
            self.pace(piece, start.elapsed());
        }
        if *opening > 0 {
            self.opening = *opening;
        }
        sink(Delta::Prefill { done: total, total });
        Ok(false)
    }

    /// Takes a checkpoint where the cache stands, if one is of use there.
    fn check(&mut self, length: usize) {
        if !self.marks || !self.checkpoints.wants(length) || self.context.held() != length {
            return;
        }
        let own = self.checkpoints.bytes();
        let free = Host::look().map_or(UNKNOWN_ROOM * CHECKPOINTS_PART, |host| host.available.0);
        let room = (free + own) / CHECKPOINTS_PART;
        if self.context.state_size(Part::Running) as u64 <= room
            && let Some(state) = self.context.save(Part::Running)
        {
            self.checkpoints.add(length, state, room);
        }
    }

    /// Sets the next piece's size by the speed of the last, doubling or halving it.
    pub(in crate::engine::embedded) fn pace(&mut self, piece: usize, took: Duration) {
        if piece == self.piece && took * 2 < self.pace {
            self.piece = (piece * 2).min(self.context.batch());
        } else if took > self.pace * 2 {
            self.piece = (piece / 2).max(SMALLEST_PIECE).min(self.context.batch());
        }
    }
}
