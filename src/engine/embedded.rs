//! The embedded engine: one model, one window, the cache of what was said last, and the pasts of a few conversations.

mod checkpoints;
mod drafts;
mod elastic;
mod forks;
mod keeping;
mod lanes;
mod prefill;
mod probe;
mod scoring;
mod writing;

pub use crate::engine::embedded::writing::{Drafting, Holding};

use crate::engine::EngineError;
use crate::engine::backend::{Backend, LoadOptions, one_by_one};
use crate::engine::bridge::{Chat, Prompt, RenderRequest, Sampler};
use crate::engine::embedded::checkpoints::Checkpoints;
use crate::engine::embedded::drafts::Payoff;
use crate::engine::embedded::elastic::Elastic;
use crate::engine::embedded::lanes::{Lanes, common};
use crate::engine::embedded::prefill::{FIRST_PIECE, Wanted};
use crate::engine::embedded::writing::{Pen, Toll};
use crate::engine::grounding::script::Script;
use crate::engine::llama::{self, Context, Machine, Model, Part, Special, Token};
use crate::engine::splice::Past;
use crate::engine::states::Shelf;
use crate::engine::words;
use crate::protocol::message::Message;
use crate::protocol::turn::{Delta, EngineInfo, Rendered, Reply, ScoreRequest, Scores, Stop, TurnRequest};
use crate::units::Tokens;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Conversations whose tokens are remembered: forks each have their own. They are cheap (4 bytes a token, and their text).
const PASTS: usize = 32;
/// Prefill goes in pieces of about this long, half of it to twice of it, for the sake of progress.
const PIECE: Duration = Duration::from_millis(500);
/// The same where no abort reaches, so that a cancel is seen between two pieces.
const SHORT_PIECE: Duration = Duration::from_millis(100);
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
    /// What it holds beside them, on branches.
    lanes: Lanes,
    /// Whether the cache cannot go back by itself, and checkpoints are taken.
    marks: bool,
    checkpoints: Checkpoints,
    /// How many of the cache's tokens come before the person's first words; 0 where that is not known.
    opening: usize,
    pasts: Vec<Past>,
    shelf: Option<Shelf>,
    /// How long a piece of prefill should take.
    pace: Duration,
    /// Tokens that such a piece has, by the speed seen so far.
    piece: usize,
    drafting: Drafting,
    payoff: Payoff,
    drafted: (u64, u64),
    holding: Holding,
    toll: Toll,
    elastic: Elastic,
    /// What the next turn begins by saying.
    told: Vec<String>,
    /// Last, for the context and the model are on its devices.
    machine: Machine,
}

impl Embedded {
    /// Loads a model whose header was checked, exactly as the options say.
    pub fn load(options: &LoadOptions, progress: &mut dyn FnMut(f32)) -> Result<Self, EngineError> {
        Self::load_on(Machine::real(), options, progress)
    }

    /// The same on the accelerators of a machine: imaginary ones compute, too.
    pub fn load_on(machine: Machine, options: &LoadOptions, progress: &mut dyn FnMut(f32)) -> Result<Self, EngineError> {
        llama::echo_log();
        let path = options.model.clone();
        let parameters = machine.parameters(options)?;
        let model = Arc::new(Model::load(&path, &parameters, progress)?);
        let context = Context::new(&model, &parameters, &path)?;
        let chat = Chat::of(&model).map_err(|e| EngineError::Template { reason: e.to_string() })?;
        let info = EngineInfo {
            model: model.name(&path),
            window: Some(Tokens(context.window())),
            exact: true,
            thinks: chat.has_thinking_switch(),
            profile: model.profile(),
            grounds: chat.script().is_some(),
            forks: 0,
        };
        let abortable = !model.is_recurrent() && llama::devices().iter().all(|device| device.kind == "cpu");
        let slides = model.sliding_window() > 0 && options.swa_full != Some(true);
        let mut engine = Self {
            marks: model.is_recurrent() || slides,
            pace: if abortable { PIECE } else { SHORT_PIECE },
            piece: FIRST_PIECE.min(context.batch()),
            model,
            context,
            chat,
            info,
            cache: Vec::new(),
            lanes: Lanes::default(),
            checkpoints: Checkpoints::default(),
            opening: 0,
            pasts: Vec::new(),
            shelf: None,
            drafting: Drafting::default(),
            payoff: Payoff::default(),
            drafted: (0, 0),
            holding: Holding::default(),
            toll: Toll::default(),
            elastic: Elastic::new(options),
            told: Vec::new(),
            machine,
        };
        engine.info.forks = engine.forks() as u32;
        Ok(engine)
    }

    /// Says whether to hold calls. Without a word it does while that is cheap.
    pub fn set_holding(&mut self, holding: Holding) {
        self.holding = holding;
    }

    /// How the texts of a call are written. `None`: nobody can tell, or holding calls is too dear.
    fn script(&self) -> Option<&Script> {
        self.chat.script().filter(|_| self.holding == Holding::Always || !self.toll.is_dear())
    }

    /// Tokens in the model's vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.model.vocab_size()
    }

    /// The prompt of a request: a known past and what is new, or all of it rendered. A past that has outgrown the window
    /// is rendered anew: templates leave old thoughts out.
    fn prompt(&self, request: &TurnRequest) -> Result<(Prompt, Wanted), EngineError> {
        let known = self.pasts.iter().filter_map(|past| Some((past, past.leads_to(request)?)));
        let extended = known.max_by_key(|(_, stand)| stand.tokens).and_then(|(past, stand)| {
            let (prompt, tokens) = past.extend(stand, &self.chat, &self.model, request)?;
            Some((prompt, Wanted { tokens, opening: 0, turns: past.until(stand) }))
        });
        if let Some(extended) = extended.filter(|(_, wanted)| self.fits(&wanted.tokens)) {
            return Ok(extended);
        }
        let prompt = self.rendered(request)?;
        let tokens = self.model.tokenize(&prompt.text, Special::Prompt);
        let opening = self.opening_of(request, &tokens);
        Ok((prompt, Wanted { tokens, opening, turns: Vec::new() }))
    }

    /// How many tokens of a conversation's first prompt come before the person's words: what the next conversation will begin
    /// with too. 0 for a conversation that has gone on.
    fn opening_of(&self, request: &TurnRequest, tokens: &[Token]) -> usize {
        let begins = |m: &Message| matches!(m, Message::System { .. } | Message::User { .. });
        if self.shelf.is_none() && !self.marks || !request.messages.iter().all(begins) {
            return 0;
        }
        let Ok(prompt) = self.rendered(&words::masked(request)) else { return 0 };
        let before = self.model.tokenize(words::before(&prompt.text), Special::Prompt);
        common(&before, tokens).min(tokens.len().saturating_sub(1))
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

    /// Copies the cache's state out and back in, for measuring: says how many tokens that were, and how long coming back took.
    pub fn round_trip(&mut self) -> Option<(Tokens, Duration)> {
        let state = self.context.save(Part::Whole)?;
        let start = Instant::now();
        if !self.context.restore(&state, Part::Whole, self.cache.len()) {
            self.lose();
            return None;
        }
        Some((Tokens(self.cache.len() as u32), start.elapsed()))
    }

    /// Whether a prompt leaves room for an answer.
    fn fits(&self, tokens: &[Token]) -> bool {
        tokens.len() + LEAST_ANSWER <= self.context.window() as usize
    }

    fn overflow(&self, prompt: usize) -> EngineError {
        EngineError::Overflow { prompt: Tokens(prompt as u32), window: Tokens(self.context.window()) }
    }

    /// Remembers how the conversation stands, as tokens.
    fn remember(&mut self, prompt: Wanted, written: Vec<Token>, end: Option<Token>, request: &TurnRequest, reply: &Reply) {
        let Wanted { mut tokens, turns: earlier, .. } = prompt;
        tokens.extend(written);
        let Reply { text, thinking, calls, .. } = reply.clone();
        // What it went on from is part of it. What parted from it earlier is a conversation of its own.
        self.pasts.retain(|past| past.leads_to(request) != Some(past.last()));
        if self.pasts.len() >= PASTS {
            self.pasts.remove(0);
        }
        let reply = Message::Assistant { text, thinking, calls };
        // What the turn was held to is not what it was asked.
        let request = TurnRequest { grounds: Vec::new(), ..request.clone() };
        self.pasts.push(Past { tokens, end, request, reply, earlier });
    }
}

impl Backend for Embedded {
    fn info(&self) -> EngineInfo {
        self.info.clone()
    }

    fn turn(&mut self, request: &TurnRequest, sink: &mut dyn FnMut(Delta), cancel: &AtomicBool) -> Result<Reply, EngineError> {
        let (mut prompt, mut wanted) = self.prompt(request)?;
        self.converge(&wanted.tokens);
        let needed = wanted.tokens.len() + (request.max_tokens.0 as usize).max(LEAST_ANSWER);
        if self.grow(needed, sink) {
            (prompt, wanted) = self.prompt(request)?;
        }
        if !self.fits(&wanted.tokens) {
            return Err(self.overflow(wanted.tokens.len()));
        }
        let sampler = Sampler::open(&self.model, &prompt, request.sampling, request.thinking_budget)
            .map_err(|e| EngineError::Template { reason: e.to_string() })?;
        let (mut usage, cancelled) = self.prefilled(&wanted, sink, cancel)?;
        if cancelled {
            return Ok(Reply { stop: Stop::Cancelled, usage, ..Reply::default() });
        }
        let limit = (request.max_tokens.0 as usize).min(self.context.window() as usize - wanted.tokens.len());
        let start = Instant::now();
        let mut pen = Pen::new(prompt, sampler, limit).held_to(&request.grounds, self.script());
        let end = self.write(&mut pen, sink, cancel)?;
        usage.decode_ms = start.elapsed().as_secs_f64() * 1e3;
        self.toll.add(&pen, start.elapsed());
        let (reply, written) = pen.finish(end, request, usage, sink);
        self.remember(wanted, written, end.token, request, &reply);
        Ok(reply)
    }

    fn turns(
        &mut self,
        requests: &[TurnRequest],
        sink: &mut dyn FnMut(Delta),
        cancel: &AtomicBool,
    ) -> Result<Vec<Reply>, EngineError> {
        match self.forked(requests, sink, cancel)? {
            Some(replies) => Ok(replies),
            None => {
                self.part();
                one_by_one(self, requests, sink, cancel)
            }
        }
    }

    fn rest(&mut self, interrupted: &mut dyn FnMut() -> bool) {
        self.keep(interrupted);
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
