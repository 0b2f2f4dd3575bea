//! Several turns at once that begin alike: what they share is processed once, and their tokens are drawn side by side.
//!
//! Each turn is written on a branch of the cache. Every step is one batch with a token of each, which costs little more than
//! one token where memory, not arithmetic, sets the pace.

use crate::engine::EngineError;
use crate::engine::bridge::Sampler;
use crate::engine::embedded::Embedded;
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

/// A turn on its branch.
struct Lane<'a> {
    request: &'a TurnRequest,
    pen: Pen,
    /// The whole prompt, and the ends of the model's turns in it.
    prompt: Vec<Token>,
    turns: Vec<Stand>,
    usage: Usage,
    /// The row of the last batch that its next token is drawn from.
    row: Option<usize>,
    end: Option<End>,
}

impl Embedded {
    /// See [`Backend::turns`](crate::engine::backend::Backend::turns). `None` where the cache cannot fork, or has no room
    /// for all of them: then they are to be taken one after another.
    pub(in crate::engine::embedded) fn forked(
        &mut self,
        requests: &[TurnRequest],
        sink: &mut dyn FnMut(Delta),
        cancel: &AtomicBool,
    ) -> Result<Option<Vec<Reply>>, EngineError> {
        if requests.len() < 2 || requests.len() > self.context.branches().min(self.context.outputs()) {
            return Ok(None);
        }
        let prompts = requests.iter().map(|request| self.prompt(request)).collect::<Result<Vec<_>, _>>()?;
        let shared = shared(prompts.iter().map(|(_, wanted)| wanted.tokens.as_slice()));
        let rest: usize = prompts.iter().map(|(_, wanted)| wanted.tokens.len() - shared).sum();
        let window = self.context.window() as usize;
        if shared == 0 || shared + rest + requests.len() * LEAST_EACH > window {
            return Ok(None);
        }
        let opening = prompts[0].1.opening;
        let mut lanes = Vec::new();
        for (request, (prompt, wanted)) in requests.iter().zip(prompts) {
            let sampler = Sampler::open(&self.model, &prompt, request.sampling, request.thinking_budget)
                .map_err(|e| EngineError::Template { reason: e.to_string() })?;
            let limit = (request.max_tokens.0 as usize).min(window - wanted.tokens.len());
            let pen = Pen::new(prompt, sampler, limit).held_to(&request.grounds, self.chat.script());
            let usage = Usage { prompt: Tokens(wanted.tokens.len() as u32), ..Usage::default() };
            lanes.push(Lane { request, pen, prompt: wanted.tokens, turns: wanted.turns, usage, row: None, end: None });
        }
        let opening = if opening <= shared { opening } else { 0 };
        let stem = Wanted { opening, ..Wanted::of(lanes[0].prompt[..shared].to_vec()) };
        let (usage, cancelled) = self.prefilled(&stem, sink, cancel)?;
        for (index, lane) in lanes.iter_mut().enumerate() {
            let own = Tokens((lane.prompt.len() - shared) as u32);
            // The first one pays for what they share.
            let paid = if index == 0 { usage.prefilled } else { Tokens::ZERO };
            lane.usage = Usage { prefilled: own + paid, prefill_ms: usage.prefill_ms, ..lane.usage };
            lane.usage.reused = Tokens(lane.usage.prompt.0 - lane.usage.prefilled.0);
        }
        if !cancelled {
            self.context.branch(lanes.len());
            let written = self.side_by_side(&mut lanes, shared, cancel);
            self.context.unbranch();
            written?;
            for lane in lanes.iter_mut().filter(|lane| lane.end.is_none()) {
                self.alone(lane, cancel)?;
            }
        }
        Ok(Some(lanes.into_iter().map(|lane| self.gathered(lane)).collect()))
    }

    /// Processes what each prompt has behind the shared beginning, and writes all turns to their ends, or until the cache is
    /// full.
    fn side_by_side(&mut self, lanes: &mut [Lane<'_>], shared: usize, cancel: &AtomicBool) -> Result<(), EngineError> {
        let start = Instant::now();
        for (index, lane) in lanes.iter_mut().enumerate() {
            if !self.lead_up(index, lane, shared, cancel)? {
                return Ok(());
            }
            // Drawn at once: the next lane's batch takes these logits' place.
            self.stroke(lane);
        }
        let prefill = start.elapsed();
        let rest: usize = lanes.iter().map(|lane| lane.prompt.len() - shared).sum();
        let mut room = self.context.window() as usize - shared - rest;
        while !cancel.load(Ordering::Relaxed) {
            let mut batch = Vec::new();
            for (index, lane) in lanes.iter_mut().enumerate().filter(|(_, lane)| lane.end.is_none()) {
                let Some(token) = lane.pen.tokens.last() else { continue };
                let position = lane.prompt.len() + lane.pen.tokens.len() - 1;
                lane.row = Some(batch.len());
                batch.push(Placed { token: *token, position, sequences: index + 1..index + 2, logits: true });
            }
            room = room.saturating_sub(batch.len());
            if batch.is_empty() || room == 0 {
                break;
            }
            match self.context.decode_placed(&batch, cancel)? {
                Decoded::Done => {}
                Decoded::Cancelled | Decoded::Full => break,
            }
            lanes.iter_mut().filter(|lane| lane.end.is_none()).for_each(|lane| self.stroke(lane));
        }
        for lane in lanes {
            lane.usage.prefill_ms += prefill.as_secs_f64() * 1e3;
            lane.usage.decode_ms = (start.elapsed() - prefill).as_secs_f64() * 1e3;
        }
        Ok(())
    }

    /// Processes a prompt's own end on its branch. False where it was cancelled.
    fn lead_up(&mut self, index: usize, lane: &mut Lane<'_>, shared: usize, cancel: &AtomicBool) -> Result<bool, EngineError> {
        let sequences = index + 1..index + 2;
        let last = lane.prompt.len() - 1;
        let place = |at: usize| Placed { token: lane.prompt[at], position: at, sequences: sequences.clone(), logits: at == last };
        let placed: Vec<Placed> = (shared..lane.prompt.len()).map(place).collect();
        for piece in placed.chunks(self.piece.max(1)) {
            lane.row = Some(piece.len() - 1);
            match self.context.decode_placed(piece, cancel)? {
                Decoded::Done if !cancel.load(Ordering::Relaxed) => {}
                Decoded::Done | Decoded::Cancelled => return Ok(false),
                Decoded::Full => return Err(self.overflow(lane.prompt.len())),
            }
        }
        Ok(true)
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
fn shared<'a>(mut prompts: impl Iterator<Item = &'a [Token]>) -> usize {
    let Some(first) = prompts.next() else { return 0 };
    let least = first.len().saturating_sub(1);
    prompts.fold(least, |shared, prompt| {
        let common = first.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        shared.min(common).min(prompt.len().saturating_sub(1))
    })
}
