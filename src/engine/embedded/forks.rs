//! Several turns at once that begin alike: what they share is processed once, and their tokens are drawn side by side.
//!
//! Each turn is written on a branch of the cache. Every step is one batch with a token of each, which costs little more than
//! one token where memory, not arithmetic, sets the pace. What was written stays on its branch: the conversation's next turn
//! goes on there, until something else needs the cache.

use crate::engine::EngineError;
use crate::engine::bridge::{Prompt, Sampler};
use crate::engine::embedded::Embedded;
use crate::engine::embedded::lanes::{Place, common};
use crate::engine::embedded::prefill::Wanted;
use crate::engine::embedded::writing::{End, Pen, Stroke};
use crate::engine::llama::{Decoded, Placed, Token};
use crate::engine::splice::Stand;
use crate::protocol::turn::{Delta, Reply, Stop, TurnRequest, Usage};
use crate::units::Tokens;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Tokens that each turn must have room for beside the others. When all room is used, those that are not at their end go on
/// one after another.
const LEAST_EACH: usize = 64;
/// Tokens that each of several conversations should have room for where the window can grow: a step or two of an agent's.
const GOOD_EACH: usize = 2048;

/// A turn on its branch.
struct Lane<'a> {
    request: &'a TurnRequest,
    branch: usize,
    /// How many of the prompt's tokens the branch holds before anything is processed.
    known: usize,
    pen: Pen,
    /// The whole prompt, and the ends of the model's turns in it.
    prompt: Vec<Token>,
    turns: Vec<Stand>,
    usage: Usage,
    /// The row of the last batch that its next token is drawn from.
    row: Option<usize>,
    end: Option<End>,
}

/// How a stretch of work on the branches ended.
#[derive(PartialEq, Eq)]
enum Went {
    On,
    Cancelled,
    /// There is no room for another batch.
    Full,
}

/// Where the turns of a round begin.
struct Round {
    /// Those that go on in a lane.
    places: Vec<Option<Place>>,
    /// How many tokens the others begin with in common; 0 where there are none.
    stem: usize,
}

impl Embedded {
    /// How many turns can be written side by side; 0 where none can.
    pub(in crate::engine::embedded) fn forks(&self) -> usize {
        Some(self.context.branches().min(self.context.outputs())).filter(|most| *most > 1).unwrap_or(0)
    }

    /// See [`Backend::turns`](crate::engine::backend::Backend::turns). `None` where the cache cannot fork, or has no room
    /// for all of them: then they are to be taken one after another.
    pub(in crate::engine::embedded) fn forked(
        &mut self,
        requests: &[TurnRequest],
        sink: &mut dyn FnMut(Delta),
        cancel: &AtomicBool,
    ) -> Result<Option<Vec<Reply>>, EngineError> {
        if self.context.held() != self.cache.len() {
            self.lose();
        }
        let several = requests.len() > 1 || (requests.len() == 1 && !self.lanes.is_empty());
        if !several || requests.len() > self.forks() {
            return Ok(None);
        }
        let prompts = requests.iter().map(|request| self.prompt(request)).collect::<Result<Vec<_>, _>>()?;
        let Some(round) = self.round(&prompts, sink) else { return Ok(None) };
        let fresh = prompts.iter().zip(&round.places).find(|(_, place)| place.is_none());
        let stem = fresh.map(|((_, wanted), _)| {
            let opening = if wanted.opening <= round.stem { wanted.opening } else { 0 };
            Wanted { opening, ..Wanted::of(wanted.tokens[..round.stem].to_vec()) }
        });
        let mut lanes = self.lanes_of(requests, prompts, &round)?;
        let cancelled = match stem {
            Some(stem) => {
                let (paid, cancelled) = self.stemmed(&stem, sink, cancel)?;
                // The first one pays for what they share.
                if let Some(first) = lanes.iter_mut().find(|lane| lane.branch == 0) {
                    first.usage.prefilled += paid.prefilled;
                    first.usage.prefill_ms += paid.prefill_ms;
                }
                if !cancelled && !self.branch_off(&mut lanes) {
                    return Ok(None);
                }
                cancelled
            }
            None => false,
        };
        lanes.iter_mut().for_each(|lane| lane.usage.reused = lane.usage.prompt - lane.usage.prefilled);
        if !cancelled && self.side_by_side(&mut lanes, sink, cancel)? == Went::Full {
            self.part();
            for lane in lanes.iter_mut().filter(|lane| lane.end.is_none()) {
                self.alone(lane, cancel)?;
            }
        }
        Ok(Some(lanes.into_iter().map(|lane| self.gathered(lane)).collect()))
    }

    /// Finds where each turn begins, and makes room for all of them: lanes without a part in this round go where they are in
    /// the way. `None` where they begin with nothing in common, or there is no room.
    fn round(&mut self, prompts: &[(Prompt, Wanted)], sink: &mut dyn FnMut(Delta)) -> Option<Round> {
        let tokens: Vec<&[Token]> = prompts.iter().map(|(_, wanted)| wanted.tokens.as_slice()).collect();
        let places = self.lanes.places(&tokens, &self.cache);
        let fresh: Vec<&[Token]> = tokens.iter().zip(&places).filter(|(_, place)| place.is_none()).map(|(t, _)| *t).collect();
        let stem = shared(&fresh);
        if stem == 0 && !fresh.is_empty() {
            return None;
        }
        let going: Vec<Place> = places.iter().flatten().copied().collect();
        self.lanes.enter(&going);
        going.iter().for_each(|place| self.context.prune(place.branch..place.branch + 1, place.known));
        // Whoever begins here has the main sequence brought to the stem.
        let (main, kept) = match fresh.first() {
            Some(first) => (stem, common(&self.cache, &first[..stem])),
            None => (self.cache.len(), self.cache.len()),
        };
        let known = |place: &Option<Place>| place.map_or(stem, |place| place.known);
        let rest: usize = tokens.iter().zip(&places).map(|(tokens, place)| tokens.len() - known(place)).sum();
        if self.lanes.is_empty() {
            self.grow(main + rest + prompts.len() * GOOD_EACH, sink);
        }
        let needed = main + rest + prompts.len() * LEAST_EACH;
        while needed + self.lanes.cells(kept) > self.context.window() as usize {
            let idle = self.lanes.forget_idle()?;
            self.context.prune(idle..idle + 1, 0);
        }
        Some(Round { places, stem })
    }

    /// Brings the main sequence to what the turns begin with in common. Its logits are not needed.
    fn stemmed(&mut self, stem: &Wanted, sink: &mut dyn FnMut(Delta), cancel: &AtomicBool) -> Result<(Usage, bool), EngineError> {
        let length = stem.tokens.len();
        if self.cache.starts_with(&stem.tokens) && self.context.reaches(length) {
            self.park(length);
            if self.go_back(length) == length {
                return Ok((Usage::default(), false));
            }
        }
        self.prefilled(stem, sink, cancel)
    }

    /// Makes ready what the turns are written with. Those that begin in this round have no branch yet.
    fn lanes_of<'a>(
        &self,
        requests: &'a [TurnRequest],
        prompts: Vec<(Prompt, Wanted)>,
        round: &Round,
    ) -> Result<Vec<Lane<'a>>, EngineError> {
        let mut lanes = Vec::new();
        for ((request, (prompt, wanted)), place) in requests.iter().zip(prompts).zip(&round.places) {
            let Place { branch, known } = place.unwrap_or(Place { branch: 0, known: round.stem });
            let sampler = Sampler::open(&self.model, &prompt, request.sampling, request.thinking_budget)
                .map_err(|e| EngineError::Template { reason: e.to_string() })?;
            let limit = (request.max_tokens.0 as usize).min(self.context.window() as usize - wanted.tokens.len());
            let length = wanted.tokens.len();
            let usage = Usage { prompt: Tokens(length as u32), prefilled: Tokens((length - known) as u32), ..Usage::default() };
            let pen = Pen::new(prompt, sampler, limit).held_to(&request.grounds, self.script());
            let Wanted { tokens: prompt, turns, .. } = wanted;
            lanes.push(Lane { request, branch, known, pen, prompt, turns, usage, row: None, end: None });
        }
        Ok(lanes)
    }

    /// Gives each turn that begins in this round a branch behind the main sequence. False where that cannot be: the lanes that
    /// others go on in were lost with the main sequence.
    fn branch_off(&mut self, lanes: &mut [Lane<'_>]) -> bool {
        for lane in lanes.iter_mut() {
            if lane.branch > 0 {
                if self.lanes.tokens(lane.branch).len() != lane.known {
                    return false;
                }
                continue;
            }
            while self.lanes.free(self.forks()).is_none()
                && let Some(idle) = self.lanes.forget_idle()
            {
                self.context.prune(idle..idle + 1, 0);
            }
            let Some(branch) = self.lanes.begin(&self.cache, self.forks()) else { return false };
            self.context.branch(branch..branch + 1, self.cache.len());
            lane.branch = branch;
        }
        true
    }

    /// Processes what each prompt has of its own, and writes all turns to their ends, or until the cache is full.
    fn side_by_side(
        &mut self,
        lanes: &mut [Lane<'_>],
        sink: &mut dyn FnMut(Delta),
        cancel: &AtomicBool,
    ) -> Result<Went, EngineError> {
        let start = Instant::now();
        let mut went = self.lead_up(lanes, sink, cancel)?;
        let prefill = start.elapsed();
        while went == Went::On {
            let mut batch = Vec::new();
            for lane in lanes.iter_mut().filter(|lane| lane.end.is_none()) {
                let Some(token) = lane.pen.tokens.last() else { continue };
                let position = lane.prompt.len() + lane.pen.tokens.len() - 1;
                lane.row = Some(batch.len());
                batch.push(Placed { token: *token, position, sequences: lane.branch..lane.branch + 1, logits: true });
            }
            if batch.is_empty() {
                break;
            }
            went = self.lay(&batch, cancel)?;
            if went == Went::On {
                lanes.iter_mut().filter(|lane| lane.end.is_none()).for_each(|lane| self.stroke(lane));
            }
        }
        for lane in lanes {
            lane.usage.prefill_ms += prefill.as_secs_f64() * 1e3;
            lane.usage.decode_ms = (start.elapsed() - prefill).as_secs_f64() * 1e3;
        }
        Ok(went)
    }

    /// Processes the prompts' own ends, several in a batch, and draws each turn's first token.
    fn lead_up(&mut self, lanes: &mut [Lane<'_>], sink: &mut dyn FnMut(Delta), cancel: &AtomicBool) -> Result<Went, EngineError> {
        let mut placed = Vec::new();
        for lane in lanes.iter() {
            let (sequences, last) = (lane.branch..lane.branch + 1, lane.prompt.len() - 1);
            let place =
                |at: usize| Placed { token: lane.prompt[at], position: at, sequences: sequences.clone(), logits: at == last };
            placed.extend((lane.known..lane.prompt.len()).map(place));
        }
        let total = Tokens(placed.len() as u32);
        let mut done = 0;
        while done < placed.len() {
            sink(Delta::Prefill { done: Tokens(done as u32), total });
            let piece = &placed[done..placed.len().min(done + self.piece.max(1))];
            let start = Instant::now();
            let went = self.lay(piece, cancel)?;
            if went != Went::On {
                return Ok(went);
            }
            self.pace(piece.len(), start.elapsed());
            // Drawn at once: the next batch takes these logits' place.
            for (row, last) in piece.iter().enumerate().filter(|(_, placed)| placed.logits) {
                if let Some(lane) = lanes.iter_mut().find(|lane| last.sequences.contains(&lane.branch)) {
                    lane.row = Some(row);
                    self.stroke(lane);
                }
            }
            done += piece.len();
        }
        sink(Delta::Prefill { done: total, total });
        Ok(Went::On)
    }

    /// Processes a batch on the branches, where there is room for it. What is not processed whole leaves no trace.
    fn lay(&mut self, batch: &[Placed], cancel: &AtomicBool) -> Result<Went, EngineError> {
        if cancel.load(Ordering::Relaxed) {
            return Ok(Went::Cancelled);
        }
        let window = self.context.window() as usize;
        while self.cache.len() + self.lanes.cells(self.cache.len()) + batch.len() >= window {
            let Some(idle) = self.lanes.forget_idle() else { return Ok(Went::Full) };
            self.context.prune(idle..idle + 1, 0);
        }
        let decoded = self.context.decode_placed(batch, cancel)?;
        if decoded == Decoded::Done {
            batch.iter().for_each(|placed| self.lanes.push(placed.sequences.start, placed.token));
            return Ok(Went::On);
        }
        for (branch, length) in self.lanes.lengths() {
            self.context.prune(branch..branch + 1, length);
        }
        Ok(if decoded == Decoded::Full { Went::Full } else { Went::Cancelled })
    }

    /// Writes the rest of a turn that did not come to its end beside the others.
    fn alone(&mut self, lane: &mut Lane<'_>, cancel: &AtomicBool) -> Result<(), EngineError> {
        let start = Instant::now();
        let tokens = [lane.prompt.as_slice(), &lane.pen.tokens].concat();
        let (_, cancelled) = self.prefilled(&Wanted::of(tokens), &mut |_| {}, cancel)?;
        lane.end = Some(if cancelled { End::with(Stop::Cancelled) } else { self.write(&mut lane.pen, &mut |_| {}, cancel)? });
        lane.usage.decode_ms += start.elapsed().as_secs_f64() * 1e3;
        Ok(())
    }

    fn stroke(&mut self, lane: &mut Lane<'_>) {
        if let Stroke::Over(end) = lane.pen.draw(&self.model, &mut self.context, lane.row) {
            lane.end = Some(end);
        }
    }

    fn gathered(&mut self, lane: Lane<'_>) -> Reply {
        let end = lane.end.unwrap_or(End::with(Stop::Cancelled));
        let (reply, written) = lane.pen.finish(end, lane.request, lane.usage, &mut |_| {});
        if !written.is_empty() || end.stop != Stop::Cancelled {
            let prompt = Wanted { tokens: lane.prompt, opening: 0, turns: lane.turns };
            self.remember(prompt, written, end.token, lane.request, &reply);
        }
        reply
    }
}

/// How many tokens all prompts begin with in common; each keeps one of its own, for its logits.
fn shared(prompts: &[&[Token]]) -> usize {
    let Some(first) = prompts.first() else { return 0 };
    let all = prompts.iter().map(|prompt| common(first, prompt).min(prompt.len().saturating_sub(1)));
    all.min().unwrap_or(0)
}
