//! One connection to an engine whose model is loaded.

use crate::engine::wire::{LINE_LIMIT, Request, Response, VERSION};
use crate::engine::{EngineError, Sink};
use crate::protocol::turn::{Delta, Reply, Stop};
use crate::rpc::{self, Lines};
use std::future::pending;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long the engine is given to end a turn that was cancelled. It promises 200 ms; the person who pressed the key is
/// not to wait for an engine that hangs.
const CANCEL_PATIENCE: Duration = Duration::from_millis(280);

/// A connection, greeted.
pub struct Line {
    lines: Lines<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

/// What came of asking.
pub struct Heard {
    pub response: Response,
    /// Whether the engine said it: only then is there nothing more to come on this connection.
    pub whole: bool,
}

/// Why nothing came of asking.
#[derive(Debug)]
pub enum Trouble {
    /// The engine left of its own will.
    Left,
    /// The connection ended before the engine said a word: it died at once, or was just leaving.
    Unmet(String),
    /// The connection ended or broke, with what can be said of it.
    Died(String),
    Cancelled,
    Failed(EngineError),
}

impl Heard {
    /// A turn that was cancelled before the engine had anything to say.
    pub fn cancelled() -> Self {
        Self { response: Response::Reply(Reply { stop: Stop::Cancelled, ..Reply::default() }), whole: false }
    }
}

impl Line {
    /// Greets the engine and waits for its model, with the load's progress going to `sink`.
    pub async fn greet(stream: UnixStream, sink: Sink<'_>, cancel: &CancellationToken) -> Result<Self, Trouble> {
        let (reader, writer) = stream.into_split();
        let mut line = Self { lines: Lines::new(reader, LINE_LIMIT), writer };
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Trouble::Cancelled),
            greeted = line.settled(&Request::Hello { version: VERSION }, sink) => greeted.map_err(|trouble| match trouble {
                Trouble::Died(how) => Trouble::Unmet(how),
                other => other,
            })?,
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Trouble::Cancelled),
            ready = line.settled(&Request::Ready, sink) => ready?,
        }
        Ok(line)
    }

    /// Asks and hands out the deltas until the answer is there. Once `cancel` is set the engine is asked to end the turn;
    /// when it does not, the answer is a cancelled turn of what was streamed, and the connection is of no more use.
    pub async fn exchange(&mut self, request: &Request, sink: Sink<'_>, cancel: &CancellationToken) -> Result<Heard, Trouble> {
        let mut so_far = Reply { stop: Stop::Cancelled, ..Reply::default() };
        let mut deadline = None;
        self.send(request).await;
        loop {
            let patience = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = cancel.cancelled(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + CANCEL_PATIENCE);
                    self.send(&Request::Cancel).await;
                }
                response = self.hear() => match response? {
                    Response::Delta(delta) => {
                        match &delta {
                            Delta::Text { text } => so_far.text.push_str(text),
                            Delta::Thinking { text } => so_far.thinking.push_str(text),
                            _ => {}
                        }
                        sink(delta);
                    }
                    response => return Ok(Heard { response, whole: true }),
                },
                () = patience => return Ok(Heard { response: Response::Reply(so_far), whole: false }),
            }
        }
    }

    /// Asks what has no answer but that it is so.
    async fn settled(&mut self, request: &Request, sink: Sink<'_>) -> Result<(), Trouble> {
        self.send(request).await;
        loop {
            match self.hear().await? {
                Response::Delta(delta) => sink(delta),
                Response::Hello { .. } | Response::Ready(_) => return Ok(()),
                Response::Error(fault) => return Err(Trouble::Failed(fault.into())),
                other => return Err(Trouble::Died(format!("it answered {other:?}"))),
            }
        }
    }

    /// Says something. Whether it arrived is told by what is heard next: an engine that left said so before it closed.
    async fn send(&mut self, request: &Request) {
        let _ = rpc::write(&mut self.writer, request).await;
    }

    async fn hear(&mut self) -> Result<Response, Trouble> {
        match self.lines.next().await {
            Ok(Some(Response::Leaving)) => Err(Trouble::Left),
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(Trouble::Died("its connection closed".into())),
            Err(error) => Err(Trouble::Died(error.to_string())),
        }
    }
}
