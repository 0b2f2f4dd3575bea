//! States that outlive their time in the cache: another conversation's while it is somebody else's turn, and all of them when
//! the engine ends.
//!
//! A conversation that leaves the cache is copied to memory, which takes a hundredth of processing it again. Files are
//! written when there is nothing else to do.

use crate::engine::backend::LoadOptions;
use crate::engine::embedded::checkpoints::Checkpoints;
use crate::engine::embedded::lanes::common;
use crate::engine::embedded::{Embedded, PASTS};
use crate::engine::llama::{Part, Token};
use crate::engine::memory::Host;
use crate::engine::splice::Past;
use crate::engine::states::identity::identity;
use crate::engine::states::{Checkpoint, ROOM, Rewind, Saved, Shelf};
use crate::protocol::turn::Delta;
use std::path::Path;
use std::sync::Arc;

/// Tokens below which a state is not worth its file: they are processed in a moment.
const LEAST: usize = 64;
/// Tokens that have to be lost to the cache before they are copied to memory.
const PARKED: usize = 512;
/// States in memory may take this part of what the host has free.
const PARKED_PART: u64 = 4;
/// Checkpoints are written with a state up to this part of its size, or this many bytes.
const CHECKPOINTS_PART: u64 = 4;
const CHECKPOINTS_LEAST: u64 = 16 << 20;

impl Embedded {
    /// Keeps states in a directory, and finds those that earlier engines left there. Where the model's file cannot be read
    /// again nothing is kept.
    #[must_use]
    pub fn with_states(mut self, dir: &Path, options: &LoadOptions) -> Self {
        let Ok(identity) = identity(options, self.model.turns_long(self.context.window())) else { return self };
        let (shelf, pasts) = Shelf::open(dir, identity, ROOM);
        let known = pasts.into_iter().filter_map(|past| serde_json::from_value(past).ok());
        self.pasts = known.collect();
        let surplus = self.pasts.len().saturating_sub(PASTS);
        self.pasts.drain(..surplus);
        self.shelf = Some(shelf);
        self
    }

    /// Passes on what was to be told since the load, and what the shelf has to say.
    pub(in crate::engine::embedded) fn notices(&mut self, sink: &mut dyn FnMut(Delta)) {
        for text in self.told.drain(..).chain(self.shelf.iter_mut().flat_map(Shelf::notices)) {
            sink(Delta::Notice { text });
        }
    }

    /// Puts a saved state into the cache that has at least `least` of the first tokens in common with a prompt. False, and
    /// nothing is changed, where there is none.
    pub(in crate::engine::embedded) fn fetch(&mut self, tokens: &[Token], least: usize) -> bool {
        let rewind = if self.marks { Rewind::Checkpoints } else { Rewind::Anywhere };
        let numbers = numbers(tokens);
        let best = |shelf: &Shelf| shelf.best(&numbers, numbers.len().saturating_sub(1), rewind);
        let Some(found) = self.shelf.as_ref().and_then(best).filter(|found| found.length >= least) else { return false };
        let Some(saved) = self.shelf.as_mut().and_then(|shelf| shelf.load(found)) else { return false };
        self.park(0);
        if saved.tokens.len() > self.context.window() as usize
            || !self.context.restore(&saved.state, Part::Whole, saved.tokens.len())
        {
            self.lose();
            if let Some(shelf) = &mut self.shelf {
                shelf.discard(&saved.tokens);
            }
            return false;
        }
        self.opening = if saved.opening { saved.tokens.len() } else { 0 };
        self.cache = saved.tokens.into_iter().map(Token).collect();
        self.checkpoints = Checkpoints::of(&saved.checkpoints);
        true
    }

    /// Copies the cache's state to memory if more than a little of it is about to be lost: all behind `kept` tokens.
    pub(in crate::engine::embedded) fn park(&mut self, kept: usize) {
        if self.cache.len().saturating_sub(kept) < PARKED || !self.lacks(&self.cache) {
            return;
        }
        if self.context.state_size(Part::Whole) as u64 <= self.room_for_parked() {
            self.shelve();
        }
    }

    /// Copies a lane's state to memory if that has more than a little of its own.
    fn park_lane(&mut self, branch: usize) {
        let tokens = self.lanes.tokens(branch).to_vec();
        if tokens.len() - common(&tokens, &self.cache) < PARKED || !self.lacks(&tokens) {
            return;
        }
        if let Some(state) = self.context.save_branch(branch, self.room_for_parked()) {
            self.put(&tokens, state, Vec::new());
        }
    }

    /// Leaves side by side for good: whoever writes next has the cache to itself. The lane that begins most as its tokens do
    /// becomes the main sequence, where that gains anything.
    pub(in crate::engine::embedded) fn converge(&mut self, tokens: &[Token]) {
        let known = common(&self.cache, tokens);
        if let Some(place) = self.lanes.best(tokens).filter(|place| place.known > known) {
            let held = self.lanes.tokens(place.branch).to_vec();
            let kept = common(&self.cache, &held);
            self.park(kept);
            self.context.adopt(place.branch);
            self.cache = held;
            if self.opening > kept {
                self.opening = 0;
            }
        } else if !self.lanes.is_empty() {
            self.context.unbranch();
        }
        self.lanes.clear();
    }

    /// Leaves side by side because there is no room for it: each lane's state is copied to memory, where its conversation finds
    /// it again.
    pub(in crate::engine::embedded) fn part(&mut self) {
        let lanes: Vec<(usize, usize)> = self.lanes.lengths().collect();
        lanes.iter().for_each(|(branch, _)| self.park_lane(*branch));
        if !lanes.is_empty() {
            self.context.unbranch();
        }
        self.lanes.clear();
    }

    /// Whether states are kept, and none of these tokens is there.
    fn lacks(&self, tokens: &[Token]) -> bool {
        self.shelf.as_ref().is_some_and(|shelf| !shelf.has(&numbers(tokens)))
    }

    /// Bytes that one more state in memory may take.
    fn room_for_parked(&self) -> u64 {
        let free = Host::look().map_or(0, |host| host.available.0);
        let waiting = self.shelf.as_ref().map_or(0, Shelf::waiting);
        ((free + waiting) / PARKED_PART).saturating_sub(waiting)
    }

    /// Keeps the cache's state in memory, to be written later.
    fn shelve(&mut self) {
        let Some(state) = self.context.save(Part::Whole) else { return };
        let room = (state.len() as u64 / CHECKPOINTS_PART).max(CHECKPOINTS_LEAST);
        let (tokens, checkpoints) = (self.cache.clone(), self.checkpoints.newest(room));
        self.put(&tokens, state, checkpoints);
    }

    /// Puts a conversation's state on the shelf, with the past that it belongs to.
    fn put(&mut self, tokens: &[Token], state: Vec<u8>, checkpoints: Vec<Checkpoint>) {
        let Some(shelf) = &mut self.shelf else { return };
        let own = |past: &&Past| past.tokens.starts_with(tokens) || tokens.starts_with(&past.tokens);
        let past = self.pasts.iter().filter(own).max_by_key(|past| past.tokens.len());
        let past = past.and_then(|past| serde_json::to_value(past).ok());
        shelf.put(Saved { tokens: numbers(tokens), opening: false, checkpoints, state: Arc::new(state), past });
    }

    /// See [`Backend::rest`](crate::engine::backend::Backend::rest).
    pub(in crate::engine::embedded) fn keep(&mut self, interrupted: &mut dyn FnMut() -> bool) {
        if self.context.held() != self.cache.len() {
            self.lose();
        }
        let has = |shelf: &Option<Shelf>, tokens: &[Token]| shelf.as_ref().is_none_or(|shelf| shelf.has(&numbers(tokens)));
        if self.cache.len() >= LEAST && !has(&self.shelf, &self.cache) && !interrupted() {
            self.shelve();
        }
        let opening = &self.cache[..self.opening.min(self.cache.len())];
        if opening.len() >= LEAST && !has(&self.shelf, opening) && !interrupted() {
            self.shelve_opening();
        }
        if let Some(shelf) = &mut self.shelf {
            shelf.write(interrupted);
        }
    }

    /// Keeps the state that the opening alone would have, of a branch that is no more than it. Where there are none the cache
    /// goes back to it for a moment, and comes forward again.
    fn shelve_opening(&mut self) {
        if self.context.branches() > 0 {
            let Some(free) = self.lanes.free(self.context.branches()) else { return };
            self.context.branch(free..free + 1, self.opening);
            let state = self.context.save_branch(free, u64::MAX);
            self.context.prune(free..free + 1, 0);
            self.put_opening(state, numbers(&self.cache[..self.opening]));
            return;
        }
        let (opening, tokens) = (self.opening, self.cache.clone());
        let checkpoints = std::mem::take(&mut self.checkpoints);
        let Some(whole) = self.context.save(Part::Whole) else { return };
        self.checkpoints = Checkpoints::of(checkpoints.at(opening).map(std::slice::from_ref).unwrap_or_default());
        let reached = self.reach(opening) == opening && self.go_back(opening) == opening;
        let state = if reached { self.context.save(Part::Whole) } else { None };
        self.put_opening(state, numbers(&tokens[..opening]));
        if self.context.restore(&whole, Part::Whole, tokens.len()) {
            (self.cache, self.checkpoints, self.opening) = (tokens, checkpoints, opening);
        } else {
            self.lose();
        }
    }

    fn put_opening(&mut self, state: Option<Vec<u8>>, tokens: Vec<i32>) {
        if let (Some(state), Some(shelf)) = (state, &mut self.shelf) {
            shelf.put(Saved { tokens, opening: true, state: Arc::new(state), checkpoints: Vec::new(), past: None });
        }
    }
}

fn numbers(tokens: &[Token]) -> Vec<i32> {
    tokens.iter().map(|token| token.0).collect()
}
