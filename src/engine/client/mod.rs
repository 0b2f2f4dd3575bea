//! The embedded engine as a front end sees it: a process that is there when it is needed.
//!
//! It is started by the first front end that wants its model, shared by the others, and started again when it died: a
//! turn carries its whole conversation, so it can simply be asked again. What the process runs is not known here.

mod line;
mod running;
pub mod start;

#[cfg(test)]
mod tests;

pub use crate::engine::client::running::{StatusOrStale, status, stop};
pub use crate::engine::wire::{State, Status};

use crate::engine::backend::LoadOptions;
use crate::engine::client::line::{Heard, Line, Trouble};
use crate::engine::client::start::Process;
use crate::engine::runtime::{identity, private_dir, sockets_dir, start_lock};
use crate::engine::wire::{Request, Response};
use crate::engine::{Answer, Engine, EngineError, Sink};
use crate::protocol::turn::{Delta, EngineInfo, Rendered, Reply, ScoreRequest, Scores, TurnRequest};
use crate::units::Tokens;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// How often an engine that leaves by itself just when it is wanted is followed by another.
const SUCCESSORS: usize = 3;

/// How a front end reaches its engine.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The program that is started with `engine --socket PATH --options JSON --idle-seconds N --states DIR`: this one.
    pub program: PathBuf,
    pub options: LoadOptions,
    /// The directory of the sockets.
    pub runtime: PathBuf,
    /// How long the process stays without work.
    pub idle: Duration,
    /// Where the engine keeps states of its cache, for the next one.
    pub states: PathBuf,
    /// The directory of the engines' logs: this run's and the last one's of each.
    pub log: PathBuf,
    /// Looks at the model's file before a process is started for it; says what is wrong with it.
    pub validate: fn(&Path) -> Result<(), String>,
}

/// The engine process of one model.
pub struct LlamaEngine {
    settings: ClientSettings,
    line: Option<Line>,
    /// The process, when it was this front end that started it.
    process: Option<Process>,
}

/// A connection to the process, and whether it was there already.
enum Found {
    There(UnixStream),
    Started(UnixStream),
}

impl LlamaEngine {
    /// Touches nothing yet: the process is sought with the first call.
    pub fn new(settings: ClientSettings) -> Self {
        Self { settings, line: None, process: None }
    }

    /// Asks, and asks again: once after the process died, and whenever it had merely left.
    async fn ask(&mut self, request: &Request, sink: Sink<'_>, cancel: &CancellationToken) -> Result<Heard, EngineError> {
        let mut died = false;
        let mut left = 0;
        loop {
            // The line is out of `self` until the answer is whole: a call that is given up closes its connection, and so
            // ends its work.
            let mut line = match self.line.take() {
                Some(line) => line,
                None => match self.open(sink, cancel).await {
                    Err(Trouble::Cancelled) => return Ok(Heard::cancelled()),
                    Err(Trouble::Failed(error)) => return Err(error),
                    Err(Trouble::Left | Trouble::Unmet(_) | Trouble::Died(_)) => return Err(lost("it left again and again")),
                    Ok(line) => line,
                },
            };
            match line.exchange(request, sink, cancel).await {
                Ok(heard) => {
                    self.line = heard.whole.then_some(line);
                    return Ok(heard);
                }
                Err(Trouble::Left) if left < SUCCESSORS => left += 1,
                Err(Trouble::Left) => return Err(lost("it left again and again")),
                Err(Trouble::Cancelled) => return Ok(Heard::cancelled()),
                Err(Trouble::Failed(error)) => return Err(error),
                Err(Trouble::Died(how) | Trouble::Unmet(how)) => {
                    let why = self.post_mortem(how).await;
                    if died {
                        return Err(lost(&format!("it died twice: {why}")));
                    }
                    died = true;
                    sink(Delta::Notice { text: format!("the engine died ({why}); starting it again") });
                }
            }
        }
    }

    /// Finds the process or starts it, and waits until its model is loaded.
    async fn open(&mut self, sink: Sink<'_>, cancel: &CancellationToken) -> Result<Line, Trouble> {
        let mut left = 0;
        loop {
            let found = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(Trouble::Cancelled),
                found = self.reach() => found.map_err(Trouble::Failed)?,
            };
            let (stream, is_new) = match found {
                Found::There(stream) => (stream, false),
                Found::Started(stream) => (stream, true),
            };
            match Line::greet(stream, sink, cancel).await {
                Ok(line) => return Ok(line),
                Err(Trouble::Unmet(_)) if !is_new && left < SUCCESSORS => left += 1,
                Err(Trouble::Left) if left < SUCCESSORS => left += 1,
                Err(Trouble::Died(how) | Trouble::Unmet(how)) => return Err(Trouble::Failed(self.died_loading(how).await)),
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Connects to the process; starts it where there is none. Front ends that want it at the same time start one.
    async fn reach(&mut self) -> Result<Found, EngineError> {
        // One that has ended is not the one that will be met: its end says nothing of the other's.
        self.process.take_if(|process| process.is_over());
        let place = start::Place::of(&self.settings)?;
        private_dir(&place.dir)?;
        if let Ok(stream) = UnixStream::connect(&place.socket).await {
            return Ok(Found::There(stream));
        }
        let _lock = start_lock(&place.dir).await?;
        if let Ok(stream) = UnixStream::connect(&place.socket).await {
            return Ok(Found::There(stream));
        }
        let model = &self.settings.options.model;
        (self.settings.validate)(model).map_err(|reason| EngineError::Load { path: model.clone(), reason })?;
        let started = start::start(&self.settings, &place).await;
        // Where the start failed another may have been faster: a front end that was given up while it held the lock.
        match (started, UnixStream::connect(&place.socket).await) {
            (Ok(process), connected) => {
                self.process = Some(process);
                match connected {
                    Ok(stream) => Ok(Found::Started(stream)),
                    Err(error) => Err(self.died_loading(format!("cannot connect to it: {error}")).await),
                }
            }
            (Err(_), Ok(stream)) => Ok(Found::There(stream)),
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// A death before the model was loaded is the model's fault: what died of it would die of it again.
    async fn died_loading(&mut self, how: String) -> EngineError {
        let reason = format!("the engine died while loading it ({})", self.post_mortem(how).await);
        EngineError::Load { path: self.settings.options.model.clone(), reason }
    }

    /// Says what the process died of, as far as can be known: how it ended when it was ours, and its log's last line.
    async fn post_mortem(&mut self, how: String) -> String {
        let end = match self.process.take() {
            Some(process) => process.end().await.unwrap_or(how),
            None => how,
        };
        let words = start::Place::of(&self.settings).ok().and_then(|place| place.last_words());
        words.map_or(end.clone(), |words| format!("{end}; its last words: {words}"))
    }
}

impl Engine for LlamaEngine {
    /// A cancel while the model loads is [`EngineError::Unavailable`]; the load goes on and serves the next call.
    fn ready<'a>(&'a mut self, sink: Sink<'a>, cancel: &'a CancellationToken) -> Answer<'a, EngineInfo> {
        Box::pin(async move {
            let heard = self.ask(&Request::Ready, sink, cancel).await?;
            match heard.response {
                Response::Ready(info) => Ok(info),
                Response::Reply(_) => Err(EngineError::Unavailable("interrupted while the model was loading".into())),
                other => Err(unexpected(other)),
            }
        })
    }

    fn turn<'a>(&'a mut self, request: &'a TurnRequest, sink: Sink<'a>, cancel: &'a CancellationToken) -> Answer<'a, Reply> {
        Box::pin(async move {
            match self.ask(&Request::Turn(request.clone()), sink, cancel).await?.response {
                Response::Reply(reply) => Ok(reply),
                other => Err(unexpected(other)),
            }
        })
    }

    fn turns<'a>(
        &'a mut self,
        requests: &'a [TurnRequest],
        sink: Sink<'a>,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Vec<Reply>> {
        Box::pin(async move {
            match self.ask(&Request::Turns { requests: requests.to_vec() }, sink, cancel).await?.response {
                Response::Replies { replies } => Ok(replies),
                // What is cancelled is answered with an empty turn, whatever it was.
                Response::Reply(reply) => Ok(vec![reply; requests.len()]),
                other => Err(unexpected(other)),
            }
        })
    }

    fn score<'a>(
        &'a mut self,
        request: &'a ScoreRequest,
        sink: Sink<'a>,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Option<Scores>> {
        Box::pin(async move {
            match self.ask(&Request::Score(request.clone()), sink, cancel).await?.response {
                Response::Scores { scores } => Ok(scores),
                // What is cancelled is answered with an empty turn, whatever it was.
                Response::Reply(_) => Ok(None),
                other => Err(unexpected(other)),
            }
        })
    }

    fn count<'a>(&'a mut self, text: &'a str) -> Answer<'a, Tokens> {
        Box::pin(async move {
            let request = Request::Count { text: text.to_owned() };
            match self.ask(&request, &mut |_| {}, &CancellationToken::new()).await?.response {
                Response::Count { tokens } => Ok(tokens),
                other => Err(unexpected(other)),
            }
        })
    }

    fn render<'a>(&'a mut self, request: &'a TurnRequest) -> Answer<'a, Option<Rendered>> {
        Box::pin(async move {
            match self.ask(&Request::Render(request.clone()), &mut |_| {}, &CancellationToken::new()).await?.response {
                Response::Rendered { rendered } => Ok(rendered),
                other => Err(unexpected(other)),
            }
        })
    }
}

fn unexpected(response: Response) -> EngineError {
    match response {
        Response::Error(fault) => fault.into(),
        _ => lost("it answered something else"),
    }
}

fn lost(reason: &str) -> EngineError {
    EngineError::Lost { reason: reason.into() }
}
