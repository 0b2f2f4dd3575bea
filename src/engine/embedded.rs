//! The embedded engine: one model, one window, the cache of what was said last, and the pasts of a few conversations.

mod scoring;

use crate::engine::EngineError;
use crate::engine::backend::{Backend, LoadOptions};
use crate::engine::bridge::{Chat, Extent, Prompt, RenderRequest, Sampler};
use crate::engine::call_ids::CallIds;
use crate::engine::llama::{self, Context, Decoded, Model, Parameters, Special, Token};
use crate::engine::repetition::Repetition;
use crate::engine::splice::Past;
use crate::engine::stream::TurnText;
use crate::engine::words;
use crate::protocol::message::Message;
use crate::protocol::turn::{Delta, EngineInfo, Rendered, Reply, ScoreRequest, Scores, Stop, TurnRequest, Usage};
use crate::units::Tokens;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Conversations whose tokens are remembered. They are cheap (4 bytes a token); the cache itself holds one.
const PASTS: usize = 8;
/// Prefill goes in pieces of about this long, half of it to twice of it, for the sake of progress.
const PIECE: Duration = Duration::from_millis(500);
/// The same where no abort reaches, so that a cancel is seen between two pieces.
const SHORT_PIECE: Duration = Duration::from_millis(100);
const FIRST_PIECE: usize = 128;
const SMALLEST_PIECE: usize = 32;
/// A turn needs room for at least this much of an answer.
const LEAST_ANSWER: usize = 16;

/// A loaded model.
pub struct Embedded {
    model: Arc<Model>,
    context: Context,
    chat: Chat,
    info: EngineInfo,
    /// The tokens that the KV cache holds, in order.
    cache: Vec<Token>,
    pasts: Vec<Past>,
    /// How long a piece of prefill should take.
    pace: Duration,
    /// Tokens that such a piece has, by the speed seen so far.
    piece: usize,
}

impl Embedded {
    /// Loads a model whose header was checked, exactly as the options say.
    pub fn load(options: &LoadOptions, progress: &mut dyn FnMut(f32)) -> Result<Self, EngineError> {
        llama::echo_log();
        let path = options.model.clone();
        let parameters = Parameters::new(options, &[])?;
        let model = Arc::new(Model::load(&path, &parameters, progress)?);
        let context = Context::new(&model, &parameters, &path)?;
        let chat = Chat::of(&model).map_err(|e| EngineError::Template { reason: e.to_string() })?;
        let info = EngineInfo {
            model: model.name(&path),
            window: Some(Tokens(context.window())),
            exact: true,
            thinks: chat.has_thinking_switch(),
            profile: model.profile(),
        };
        let abortable = !model.is_recurrent() && llama::devices().iter().all(|device| device.kind == "cpu");
        let pace = if abortable { PIECE } else { SHORT_PIECE };
        let piece = FIRST_PIECE.min(context.batch());
        Ok(Self { model, context, chat, info, cache: Vec::new(), pasts: Vec::new(), pace, piece })
    }

    /// Tokens in the model's vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.model.vocab_size()
    }

    /// The prompt of a request: a known past and what is new, or all of it rendered. A past that has outgrown the window
    /// is rendered anew: templates leave old thoughts out.
    fn prompt(&self, request: &TurnRequest) -> Result<(Prompt, Vec<Token>), EngineError> {
        let past = self.pasts.iter().filter(|p| p.leads_to(request)).max_by_key(|p| p.tokens.len());
        let extended = past.and_then(|p| p.extend(&self.chat, &self.model, request));
        if let Some(extended) = extended.filter(|(_, tokens)| self.fits(tokens)) {
            return Ok(extended);
        }
        let prompt = self.rendered(request)?;
        let tokens = self.model.tokenize(&prompt.text, Special::Prompt);
        Ok((prompt, tokens))
    }

    /// All of a request as the template renders it.
    pub fn rendered(&self, request: &TurnRequest) -> Result<Prompt, EngineError> {
        let render = RenderRequest {
            messages: &request.messages,
            tools: &request.tools,
            thinking: request.thinking,
            choice: request.choice,
        };
        self.chat.render(&render).map_err(|e| EngineError::Template { reason: e.to_string() })
    }

    /// Brings the cache to exactly `tokens`, processing only what it lacks. Returns what it had, and whether it was
    /// cancelled before it was done.
    fn prefill(
        &mut self,
        tokens: &[Token],
        sink: &mut dyn FnMut(Delta),
        cancel: &AtomicBool,
    ) -> Result<(usize, bool), EngineError> {
        let common = self.cache.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        // The last token is processed anew when all of them are there: its logits are needed.
        let wanted = common.min(tokens.len().saturating_sub(1));
        let reused = if self.context.truncate(wanted, self.model.sliding_window()) { wanted } else { 0 };
        self.cache.truncate(reused);
        let total = Tokens((tokens.len() - reused) as u32);
        let mut done = reused;
        while done < tokens.len() {
            sink(Delta::Prefill { done: Tokens((done - reused) as u32), total });
            let piece = self.piece.min(tokens.len() - done);
            let start = Instant::now();
            let decoded = self.context.decode(&tokens[done..done + piece], cancel)?;
            let held = self.context.held();
            self.cache.extend_from_slice(&tokens[self.cache.len()..held.clamp(self.cache.len(), tokens.len())]);
            match decoded {
                Decoded::Done => done += piece,
                Decoded::Cancelled => return Ok((reused, true)),
                Decoded::Full => return Err(self.overflow(tokens.len())),
            }
            if cancel.load(Ordering::Relaxed) && done < tokens.len() {
                return Ok((reused, true));
            }
            self.pace(piece, start.elapsed());
        }
        sink(Delta::Prefill { done: total, total });
        Ok((reused, false))
    }

    /// Prefills, and says what it cost.
    fn prefilled(
        &mut self,
        tokens: &[Token],
        sink: &mut dyn FnMut(Delta),
        cancel: &AtomicBool,
    ) -> Result<(Usage, bool), EngineError> {
        let start = Instant::now();
        let (reused, cancelled) = self.prefill(tokens, sink, cancel)?;
        let usage = Usage {
            prompt: Tokens(tokens.len() as u32),
            prefilled: Tokens(self.cache.len().saturating_sub(reused) as u32),
            reused: Tokens(reused as u32),
            prefill_ms: start.elapsed().as_secs_f64() * 1e3,
            ..Usage::default()
        };
        Ok((usage, cancelled))
    }

    /// Sets the next piece's size by the speed of the last, doubling or halving it.
    fn pace(&mut self, piece: usize, took: Duration) {
        if piece == self.piece && took * 2 < self.pace {
            self.piece = (piece * 2).min(self.context.batch());
        } else if took > self.pace * 2 {
            self.piece = (piece / 2).max(SMALLEST_PIECE).min(self.context.batch());
        }
    }

    /// Whether a prompt leaves room for an answer.
    fn fits(&self, tokens: &[Token]) -> bool {
        tokens.len() + LEAST_ANSWER <= self.context.window() as usize
    }

    fn overflow(&self, prompt: usize) -> EngineError {
        EngineError::Overflow { prompt: Tokens(prompt as u32), window: Tokens(self.context.window()) }
    }

    /// Writes the model's turn, token by token.
    fn generate(&mut self, job: &mut Job<'_>, sink: &mut dyn FnMut(Delta), cancel: &AtomicBool) -> Result<Written, EngineError> {
        let mut text = TurnText::new();
        let mut repetition = Repetition::default();
        let (mut tokens, mut piece) = (Vec::new(), Vec::new());
        let (stop, end) = loop {
            if cancel.load(Ordering::Relaxed) {
                break (Stop::Cancelled, None);
            }
            if tokens.len() >= job.limit {
                break (Stop::Length, None);
            }
            // The grammar has come to a dead end (bytes that are no character, say): the turn is cut there, and what of it
            // is not whole will not be run.
            let Ok(token) = job.sampler.next(&mut self.context) else { break (Stop::Length, None) };
            if self.model.is_end(token) {
                break (Stop::End, Some(token));
            }
            tokens.push(token);
            piece.clear();
            self.model.piece(token, job.sampler.preserves(token), &mut piece);
            let known = text.length();
            let repeats = repetition.push(text.push(&piece));
            if text.stops(&job.prompt.facts.stops, known) {
                break (Stop::End, None);
            }
            if repeats {
                break (Stop::Repetition, None);
            }
            text.show(job.prompt, sink);
            match self.context.decode(&[token], cancel)? {
                Decoded::Done => self.cache.push(token),
                Decoded::Cancelled => break (Stop::Cancelled, None),
                Decoded::Full => break (Stop::Length, None),
            }
        };
        Ok(Written { text, tokens, stop, end })
    }

    /// Remembers how the conversation stands, as tokens.
    fn remember(
        &mut self,
        mut tokens: Vec<Token>,
        written: Vec<Token>,
        end: Option<Token>,
        request: &TurnRequest,
        reply: &Reply,
    ) {
        tokens.extend(written);
        let Reply { text, thinking, calls, .. } = reply.clone();
        self.pasts.retain(|p| !p.leads_to(request));
        if self.pasts.len() >= PASTS {
            self.pasts.remove(0);
        }
        self.pasts.push(Past { tokens, end, request: request.clone(), reply: Message::Assistant { text, thinking, calls } });
    }
}

/// What one turn is written with.
struct Job<'a> {
    prompt: &'a Prompt,
    sampler: Sampler,
    limit: usize,
}

/// What the model wrote.
struct Written {
    text: TurnText,
    tokens: Vec<Token>,
    stop: Stop,
    end: Option<Token>,
}

impl Backend for Embedded {
    fn info(&self) -> EngineInfo {
        self.info.clone()
    }

    fn turn(&mut self, request: &TurnRequest, sink: &mut dyn FnMut(Delta), cancel: &AtomicBool) -> Result<Reply, EngineError> {
        let (prompt, tokens) = self.prompt(request)?;
        if !self.fits(&tokens) {
            return Err(self.overflow(tokens.len()));
        }
        let sampler = Sampler::open(&self.model, &prompt, request.sampling, request.thinking_budget)
            .map_err(|e| EngineError::Template { reason: e.to_string() })?;
        let (mut usage, cancelled) = self.prefilled(&tokens, sink, cancel)?;
        if cancelled {
            return Ok(Reply { stop: Stop::Cancelled, usage, ..Reply::default() });
        }
        let limit = (request.max_tokens.0 as usize).min(self.context.window() as usize - tokens.len());
        let start = Instant::now();
        let Written { text, tokens: written, stop, end } =
            self.generate(&mut Job { prompt: &prompt, sampler, limit }, sink, cancel)?;
        usage.decode_ms = start.elapsed().as_secs_f64() * 1e3;
        usage.generated = Tokens(written.len() as u32 + u32::from(end.is_some()));
        let extent = if stop == Stop::End { Extent::Whole } else { Extent::Partial };
        let parsed = text.finish(&prompt, extent, &request.tools, sink);
        let mut reply = Reply { text: parsed.text, thinking: parsed.thinking, calls: parsed.calls, stop, usage };
        let mut ids = CallIds::of(&request.messages);
        for call in &mut reply.calls {
            call.id = ids.take(&call.id);
        }
        self.remember(tokens, written, end, request, &reply);
        Ok(reply)
    }

    fn count(&mut self, text: &str) -> Result<Tokens, EngineError> {
        Ok(Tokens(self.model.tokenize(text, Special::Plain).len() as u32))
    }

    fn render(&mut self, request: &TurnRequest) -> Result<Option<Rendered>, EngineError> {
        render(&self.chat, &self.model, request).map(Some)
    }

    fn score(
        &mut self,
        request: &ScoreRequest,
        sink: &mut dyn FnMut(Delta),
        cancel: &AtomicBool,
    ) -> Result<Option<Scores>, EngineError> {
        self.scores(request, sink, cancel)
    }
}

/// Renders a request up to the person's words, with a tokenizer alone.
pub fn render(chat: &Chat, model: &Model, request: &TurnRequest) -> Result<Rendered, EngineError> {
    let request = words::masked(request);
    let render =
        RenderRequest { messages: &request.messages, tools: &request.tools, thinking: request.thinking, choice: request.choice };
    let prompt = chat.render(&render).map_err(|e| EngineError::Template { reason: e.to_string() })?;
    let text = words::before(&prompt.text).to_owned();
    let tokens = Tokens(model.tokenize(&text, Special::Prompt).len() as u32);
    Ok(Rendered { text, tokens })
}
