//! Engines: whatever turns a conversation into the model's next turn.
//!
//! Three stand behind one trait: the embedded llama.cpp (a process of its own, reached by `client`), any
//! OpenAI-compatible server (`endpoint`), and recorded turns (`replay`). Nothing here knows tools, prompts or the loop.

pub mod backend;
#[cfg(feature = "llama")]
pub mod bench;
#[cfg(feature = "llama")]
pub mod bridge;
pub mod call_ids;
pub mod client;
#[cfg(feature = "llama")]
pub mod dialect;
#[cfg(feature = "llama")]
pub mod embedded;
pub mod endpoint;
pub mod estimate;
pub mod grounding;
#[cfg(feature = "llama")]
mod habit;
#[cfg(feature = "llama")]
pub mod llama;
pub mod memory;
pub mod recover;
pub mod repetition;
pub mod replay;
mod runtime;
pub mod score;
pub mod seats;
#[cfg(feature = "llama")]
mod splice;
pub mod states;
#[cfg(feature = "llama")]
mod stream;
#[cfg(feature = "llama")]
pub mod tokenizer;
mod wire;
mod words;
pub mod worker;

use crate::hint::Hint;
use crate::protocol::turn::{Delta, EngineInfo, Rendered, Reply, ScoreRequest, Scores, TurnRequest};
use crate::units::Tokens;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use tokio_util::sync::CancellationToken;

/// A future that borrows the engine.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, EngineError>> + Send + 'a>>;

/// Where the pieces of a turn go while it streams.
pub type Sink<'a> = &'a mut (dyn FnMut(Delta) + Send);

/// An engine. After an error the engine stays usable: the next call may succeed (a lost process is restarted, a server
/// asked again), unless the error says otherwise.
pub trait Engine: Send {
    /// Makes the engine ready (starts, loads, connects) and says what it is. Cheap when it is ready already.
    fn ready<'a>(&'a mut self, sink: Sink<'a>, cancel: &'a CancellationToken) -> Answer<'a, EngineInfo>;

    /// Generates one turn. A cancel ends it within 300 ms with `Stop::Cancelled` and keeps the cache.
    fn turn<'a>(&'a mut self, request: &'a TurnRequest, sink: Sink<'a>, cancel: &'a CancellationToken) -> Answer<'a, Reply>;

    /// Generates several turns that begin alike (attempts at one task, say); the replies come in the order of the requests. The
    /// embedded engine processes the common beginning once and writes the turns side by side where its cache can, and what each
    /// adds stays in the cache for its conversation's next turn among several; the others take one after another. The sink hears of loading and prefill, not of what is written. A cancel ends all of them as it
    /// ends one; an error is for all of them.
    fn turns<'a>(
        &'a mut self,
        requests: &'a [TurnRequest],
        sink: Sink<'a>,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Vec<Reply>> {
        Box::pin(async move {
            let mut replies = Vec::with_capacity(requests.len());
            for request in requests {
                let mut unwritten = |delta: Delta| {
                    if !delta.is_written() {
                        sink(delta);
                    }
                };
                replies.push(self.turn(request, &mut unwritten, cancel).await?);
            }
            Ok(replies)
        })
    }

    /// Counts the tokens of a text that would stand inside a message. Exact where [`EngineInfo::exact`].
    fn count<'a>(&'a mut self, text: &'a str) -> Answer<'a, Tokens>;

    /// Renders the prompt of a request, up to where the last user message's own words begin, without generating.
    /// Engines that cannot see the template return `None`.
    fn render<'a>(&'a mut self, request: &'a TurnRequest) -> Answer<'a, Option<Rendered>>;

    /// Says how likely texts are as the model's answer, thinking off. The conversation is processed once, whatever the number of
    /// texts, and stays in the cache. Engines that do not show probabilities return `None`, and so does a score that was
    /// cancelled, within 300 ms.
    fn score<'a>(
        &'a mut self,
        _request: &'a ScoreRequest,
        _sink: Sink<'a>,
        _cancel: &'a CancellationToken,
    ) -> Answer<'a, Option<Scores>> {
        Box::pin(async { Ok(None) })
    }
}

/// Why an engine could not do it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The conversation does not fit the window. `window` is the true one where the engine says it.
    #[error("the conversation ({prompt} tokens) does not fit the window ({window} tokens)")]
    Overflow { prompt: Tokens, window: Tokens },
    #[error("cannot load `{}`: {reason}", path.display())]
    Load { path: PathBuf, reason: String },
    /// The process or the connection ended in the middle of it; a retry may succeed.
    #[error("the engine was lost: {reason}")]
    Lost { reason: String },
    #[error("cannot reach `{url}`: {reason}")]
    Unreachable { url: String, reason: String },
    /// The server understood and refused; a retry will not help.
    #[error("the server refused ({status}): {reason}")]
    Refused { status: u16, reason: String },
    /// The chat template cannot render this conversation, or the model has none.
    #[error("the model's chat template failed: {reason}")]
    Template { reason: String },
    /// Recorded turns ran out.
    #[error("the replay `{}` has no turn {turn}", path.display())]
    Exhausted { path: PathBuf, turn: usize },
    #[error("the replay `{}` is not readable, line {line}: {reason}", path.display())]
    Replay { path: PathBuf, line: usize, reason: String },
    #[error("{0}")]
    Unavailable(String),
}

impl Hint for EngineError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Overflow { .. } => "give it a larger window or a shorter task".into(),
            Self::Load { .. } => "check the file with `agent model show`, or name another with --model".into(),
            Self::Unreachable { url, .. } => format!("start the server, or correct --endpoint (now {url})"),
            _ => return None,
        })
    }
}
