//! The model's turn, token by token: what it is written with, and the loop that draws and processes.

use crate::engine::EngineError;
use crate::engine::bridge::{BridgeError, Extent, Prompt, Sampler};
use crate::engine::call_ids::CallIds;
use crate::engine::embedded::Embedded;
use crate::engine::embedded::drafts::{Index, LONG};
use crate::engine::grounding::Hold;
use crate::engine::grounding::script::Script;
use crate::engine::llama::{Context, Decoded, Model, Placed, Token};
use crate::engine::repetition::Repetition;
use crate::engine::stream::TurnText;
use crate::protocol::grounds::Ground;
use crate::protocol::turn::{Delta, Reply, Stop, TurnRequest, Usage};
use crate::units::Tokens;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Whether the engine drafts tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drafting {
    /// Where the cache can take wrong ones back, and while they pay.
    #[default]
    WherePaid,
    /// Wherever there is something to draft from, whatever it costs.
    Always,
    Never,
}

/// Whether calls are held to what they may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holding {
    /// While it takes little time beside the writing.
    #[default]
    WhereCheap,
    Always,
}

/// What holding costs more than this part of the writing's time for, it is not worth.
const DEAR: f64 = 0.05;
/// Time spent on holding after which that is judged.
const JUDGED: Duration = Duration::from_secs(1);

/// How much time holding took, and how much writing altogether.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine::embedded) struct Toll {
    holding: Duration,
    writing: Duration,
}

impl Toll {
    pub fn is_dear(&self) -> bool {
        self.holding > JUDGED && self.holding > self.writing.mul_f64(DEAR)
    }

    pub fn add(&mut self, pen: &Pen, writing: Duration) {
        self.holding += pen.holding;
        self.writing += writing;
    }
}

/// One turn as it is written.
pub(in crate::engine::embedded) struct Pen {
    prompt: Prompt,
    sampler: Sampler,
    limit: usize,
    text: TurnText,
    repetition: Repetition,
    pub tokens: Vec<Token>,
    piece: Vec<u8>,
    /// `None` where calls may say what they like.
    hold: Option<Hold>,
    /// Time that this took.
    holding: Duration,
}

/// How often another token is drawn in place of one that would go astray, before it is reckoned which ones do not.
const REDRAWN: usize = 3;
/// How often altogether. Whoever is still astray then is let go: a grammar and a hold that have nothing in common must not hang.
const MOST_REDRAWN: usize = 32;

/// What came of drawing a token.
pub(in crate::engine::embedded) enum Stroke {
    /// The turn goes on with it.
    On(Token),
    /// The turn is over.
    Over(End),
}

/// How a turn ended, and the token that ended it.
#[derive(Clone, Copy)]
pub(in crate::engine::embedded) struct End {
    pub stop: Stop,
    pub token: Option<Token>,
}

impl End {
    pub fn with(stop: Stop) -> Self {
        Self { stop, token: None }
    }
}

impl Pen {
    pub fn new(prompt: Prompt, sampler: Sampler, limit: usize) -> Self {
        let (text, repetition) = (TurnText::new(), Repetition::default());
        Self {
            prompt,
            sampler,
            limit,
            text,
            repetition,
            tokens: Vec::new(),
            piece: Vec::new(),
            hold: None,
            holding: Duration::ZERO,
        }
    }

    /// Holds calls to what they may name.
    pub fn held_to(self, grounds: &[Ground], script: Option<&Script>) -> Self {
        let hold = script.filter(|_| !grounds.is_empty()).map(|script| Hold::new(grounds, script));
        Self { hold, ..self }
    }

    /// Draws the next token from a row of the last batch's logits.
    pub fn draw(&mut self, model: &Model, context: &mut Context, row: Option<usize>) -> Stroke {
        if self.tokens.len() >= self.limit {
            return Stroke::Over(End::with(Stop::Length));
        }
        // The grammar has come to a dead end (bytes that are no character, say): the turn is cut there, and what of it is not
        // whole will not be run.
        let Ok(token) = self.next(model, context, row) else { return Stroke::Over(End::with(Stop::Length)) };
        if model.is_end(token) {
            return Stroke::Over(End { stop: Stop::End, token: Some(token) });
        }
        self.tokens.push(token);
        let known = self.text.length();
        let repeats = self.repetition.push(self.text.push(&self.piece));
        if self.text.stops(&self.prompt.facts.stops, known) {
            Stroke::Over(End::with(Stop::End))
        } else if repeats {
            Stroke::Over(End::with(Stop::Repetition))
        } else {
            Stroke::On(token)
        }
    }

    /// Draws a token with which no call goes astray, and takes it. Its text is left in `piece`.
    fn next(&mut self, model: &Model, context: &mut Context, row: Option<usize>) -> Result<Token, BridgeError> {
        let (mut drawn, mut since) = (0, None);
        let mut logits: Option<Vec<f32>> = None;
        loop {
            let token = self.sampler.draw(context, row)?;
            // The first one had to be drawn anyway.
            let start = *since.get_or_insert_with(Instant::now);
            self.piece.clear();
            model.piece(token, self.sampler.preserves(token), &mut self.piece);
            let Some(hold) = self.hold.as_mut().filter(|_| drawn < MOST_REDRAWN) else {
                let Some(logits) = logits.take() else { return self.sampler.accept(token).map(|()| token) };
                self.hold = None;
                context.put_back(row, &logits);
                continue;
            };
            let read = |text: &str| self.prompt.parse(text, Extent::Partial).ok()?.calls.pop();
            if let Some(stand) = hold.after(&self.piece, &read) {
                hold.take(&self.piece, stand);
                self.holding += start.elapsed();
                return self.sampler.accept(token).map(|()| token);
            }
            logits = logits.or_else(|| context.logits(row).map(<[f32]>::to_vec));
            match if drawn == REDRAWN { hold.next(model.pieces()) } else { None } {
                Some(next) => context.allow(row, &next),
                None => context.forbid(row, token),
            }
            drawn += 1;
        }
    }

    /// Hands out what is new, if it is time to look.
    pub fn show(&mut self, sink: &mut dyn FnMut(Delta)) {
        self.text.show(&self.prompt, sink);
    }

    /// Reads the whole turn and hands out the rest. Gives the reply, and the tokens that were written.
    pub fn finish(self, end: End, request: &TurnRequest, usage: Usage, sink: &mut dyn FnMut(Delta)) -> (Reply, Vec<Token>) {
        let extent = if end.stop == Stop::End { Extent::Whole } else { Extent::Partial };
        let parsed = self.text.finish(&self.prompt, extent, &request.tools, sink);
        let generated = Tokens(self.tokens.len() as u32 + u32::from(end.token.is_some()));
        let usage = Usage { generated, ..usage };
        let mut reply = Reply { text: parsed.text, thinking: parsed.thinking, calls: parsed.calls, stop: end.stop, usage };
        let mut ids = CallIds::of(&request.messages);
        for call in &mut reply.calls {
            call.id = ids.take(&call.id);
        }
        (reply, self.tokens)
    }
}

/// What was processed ahead of the sampler.
#[derive(Default)]
struct Ahead {
    /// Guesses that stand in the cache behind what was drawn.
    guesses: VecDeque<Token>,
    /// The row of logits to draw from next.
    row: Option<usize>,
    /// How many there were, and how many the sampler drew.
    length: usize,
    accepted: usize,
}

impl Embedded {
    /// Says whether to draft. Without a word it does where it pays.
    pub fn set_drafting(&mut self, drafting: Drafting) {
        self.drafting = drafting;
    }

    /// Tokens of drafts that were processed and that the sampler drew, since the model was loaded.
    pub fn drafted(&self) -> (u64, u64) {
        self.drafted
    }

    /// Writes the model's turn behind what the cache holds.
    pub(in crate::engine::embedded) fn write(
        &mut self,
        pen: &mut Pen,
        sink: &mut dyn FnMut(Delta),
        cancel: &AtomicBool,
    ) -> Result<End, EngineError> {
        let drafts = self.drafting != Drafting::Never && !self.model.is_recurrent() && self.context.outputs() > LONG;
        let mut index = if drafts { Index::of(&self.cache) } else { Index::default() };
        let (mut payoff, mut ahead) = (std::mem::take(&mut self.payoff), Ahead::default());
        payoff.begin();
        let mut since = Instant::now();
        let mut processed = false;
        let end = loop {
            if cancel.load(Ordering::Relaxed) {
                break Ok(End::with(Stop::Cancelled));
            }
            let token = match pen.draw(&self.model, &mut self.context, ahead.row) {
                Stroke::On(token) => token,
                Stroke::Over(end) => break Ok(end),
            };
            pen.show(sink);
            if drafts {
                index.push(token);
            }
            if ahead.guesses.front() == Some(&token) {
                ahead.guesses.pop_front();
                ahead.accepted += 1;
                ahead.row = ahead.row.map(|row| row + 1);
                self.cache.push(token);
                continue;
            }
            let took = since.elapsed();
            match ahead.length {
                0 if processed => payoff.alone(took),
                0 => {}
                length => {
                    payoff.drafted(length, ahead.accepted, took);
                    self.drafted.0 += length as u64;
                    self.drafted.1 += ahead.accepted as u64;
                }
            }
            self.settle();
            since = Instant::now();
            processed = true;
            let most = match self.drafting {
                _ if !drafts => 0,
                Drafting::Always => LONG,
                _ => payoff.length(&index),
            };
            let room = (self.context.window() as usize).saturating_sub(self.cache.len() + 1);
            ahead = Ahead { guesses: index.follow(most.min(room)).iter().copied().collect(), ..Ahead::default() };
            match self.advance(token, &mut ahead, cancel) {
                Ok(Decoded::Done) => self.cache.push(token),
                Ok(Decoded::Cancelled) => break Ok(End::with(Stop::Cancelled)),
                Ok(Decoded::Full) => break Ok(End::with(Stop::Length)),
                Err(error) => break Err(error),
            }
        };
        self.payoff = payoff;
        self.settle();
        end
    }

    /// Processes a token, and guesses at those behind it in the same batch.
    fn advance(&mut self, token: Token, ahead: &mut Ahead, cancel: &AtomicBool) -> Result<Decoded, EngineError> {
        if ahead.guesses.is_empty() {
            return self.context.decode(&[token], cancel);
        }
        (ahead.length, ahead.row) = (ahead.guesses.len(), Some(0));
        let all = [token].into_iter().chain(ahead.guesses.iter().copied()).enumerate();
        let place = |(at, token)| Placed { token, position: self.cache.len() + at, sequences: 0..1, logits: true };
        let placed: Vec<Placed> = all.map(place).collect();
        self.context.decode_placed(&placed, cancel)
    }

    /// Takes out of the cache what was guessed and not drawn.
    fn settle(&mut self) {
        if self.context.held() > self.cache.len() && !self.context.truncate(self.cache.len()) {
            self.lose();
        }
    }
}
