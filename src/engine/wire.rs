//! What a front end and the engine process say to each other: one JSON value a line, over a Unix socket.
//!
//! A connection begins with `hello`. After it a client has at most one piece of work open (`ready`, `turn`, `turns`,
//! `score`, `count`, `render`), answered by any number of deltas and then exactly one other response; `cancel`, `status` and `stop` may be
//! said at any time. There are no request numbers: a client that gives up on an answer closes its connection.

use crate::engine::EngineError;
use crate::protocol::turn::{Delta, EngineInfo, Rendered, Reply, ScoreRequest, Scores, TurnRequest};
use crate::units::{Bytes, Tokens};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The version of this language. Raised with every change that an older peer would misunderstand.
pub const VERSION: u32 = 1;

/// The longest line in bytes. The largest is a whole conversation: some 4 bytes a token, a million tokens, and escapes.
pub const LINE_LIMIT: usize = 64 << 20;

/// The line on the engine's standard output that says: the socket answers.
pub const READY_LINE: &str = "agent engine ready";

/// What a client says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    Hello {
        version: u32,
    },
    /// Answered with `ready` as soon as the model is loaded, even while another client's turn runs.
    Ready,
    Turn(TurnRequest),
    Turns {
        requests: Vec<TurnRequest>,
    },
    Score(ScoreRequest),
    Count {
        text: String,
    },
    Render(TurnRequest),
    /// Ends this client's turns or score; without one it means nothing.
    Cancel,
    Status,
    /// Ends the process; the connection closes when the model's memory is free.
    Stop,
}

/// What the engine says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    Hello {
        version: u32,
        pid: u32,
    },
    Delta(Delta),
    Ready(EngineInfo),
    /// Also what a score or several turns are answered with that were cancelled before they began.
    Reply(Reply),
    Replies {
        replies: Vec<Reply>,
    },
    Scores {
        scores: Option<Scores>,
    },
    Count {
        tokens: Tokens,
    },
    Rendered {
        rendered: Option<Rendered>,
    },
    Status(Status),
    Stopping,
    /// The engine leaves of its own will; whatever this client asked and was not answered may be asked of the next one.
    Leaving,
    Error(Fault),
}

/// What an engine process is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub model: String,
    pub path: PathBuf,
    pub window: Option<Tokens>,
    pub pid: u32,
    pub uptime_seconds: u64,
    /// Turns, scores, counts and renderings that were begun.
    pub requests: u64,
    pub state: State,
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// Resident memory of the process, where the system tells it.
    pub rss: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    Loading { fraction: f32 },
    Idle,
    Busy,
    Failed,
}

/// An [`EngineError`] on its way between the processes. Paths are text here: a name that is not UTF-8 loses those bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    Overflow { prompt: Tokens, window: Tokens },
    Load { path: String, reason: String },
    Lost { reason: String },
    Unreachable { url: String, reason: String },
    Refused { status: u16, reason: String },
    Template { reason: String },
    Exhausted { path: String, turn: usize },
    Replay { path: String, line: usize, reason: String },
    Unavailable { reason: String },
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        match error {
            EngineError::Overflow { prompt, window } => Self::Overflow { prompt, window },
            EngineError::Load { path, reason } => Self::Load { path: text(path), reason },
            EngineError::Lost { reason } => Self::Lost { reason },
            EngineError::Unreachable { url, reason } => Self::Unreachable { url, reason },
            EngineError::Refused { status, reason } => Self::Refused { status, reason },
            EngineError::Template { reason } => Self::Template { reason },
            EngineError::Exhausted { path, turn } => Self::Exhausted { path: text(path), turn },
            EngineError::Replay { path, line, reason } => Self::Replay { path: text(path), line, reason },
            EngineError::Unavailable(reason) => Self::Unavailable { reason },
        }
    }
}

impl From<Fault> for EngineError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Overflow { prompt, window } => Self::Overflow { prompt, window },
            Fault::Load { path, reason } => Self::Load { path: path.into(), reason },
            Fault::Lost { reason } => Self::Lost { reason },
            Fault::Unreachable { url, reason } => Self::Unreachable { url, reason },
            Fault::Refused { status, reason } => Self::Refused { status, reason },
            Fault::Template { reason } => Self::Template { reason },
            Fault::Exhausted { path, turn } => Self::Exhausted { path: path.into(), turn },
            Fault::Replay { path, line, reason } => Self::Replay { path: path.into(), line, reason },
            Fault::Unavailable { reason } => Self::Unavailable(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::EngineError;
    use crate::engine::wire::{Fault, Request, Response};
    use crate::protocol::message::{Call, Message};
    use crate::protocol::turn::{Delta, Reply, Sampling, ScoreRequest, Scores, Stop, ToolChoice, TurnRequest, Usage};
    use crate::units::Tokens;

    fn travels<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(value: T) {
        let line = serde_json::to_string(&value).unwrap();
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(serde_json::from_str::<T>(&line).unwrap(), value, "{line}");
    }

    #[test]
    fn what_is_said_arrives() {
        let call = Call { id: "1".into(), name: "run".into(), arguments: "{\"command\":\"a\nb".into() };
        let sampling = Sampling { temperature: Some(0.7), top_k: Some(-1), seed: Some(u32::MAX), ..Sampling::default() };
        travels(Request::Turn(TurnRequest {
            messages: vec![
                Message::System { text: "be\nbrief".into() },
                Message::Assistant { text: String::new(), thinking: "hm".into(), calls: vec![call.clone()] },
                Message::Tool { call: "1".into(), name: "run".into(), text: "\u{2028}ok".into() },
            ],
            tools: Vec::new(),
            sampling,
            max_tokens: Tokens(5),
            thinking_budget: None,
            thinking: true,
            choice: ToolChoice::Auto,
            grounds: Vec::new(),
        }));
        travels(Request::Stop);
        travels(Response::Delta(Delta::Load { fraction: 0.25 }));
        travels(Response::Delta(Delta::Call { name: "run".into() }));
        let usage = Usage { prompt: Tokens(9), prefill_ms: 1.5, ..Usage::default() };
        travels(Response::Reply(Reply { calls: vec![call], stop: Stop::Length, usage, ..Reply::default() }));
        travels(Response::Rendered { rendered: None });
        let messages = vec![Message::User { text: "3|a\n4|b".into() }];
        travels(Request::Score(ScoreRequest { messages, continuations: vec!["3|`<` -> `<=`".into(), String::new()] }));
        let scores = Scores { logprobs: vec![-12.345_678_901_234_567, 0.0, -1e9], usage, scored: Tokens(7) };
        travels(Response::Scores { scores: Some(scores) });
        travels(Response::Scores { scores: None });
    }

    #[test]
    fn every_error_survives_the_trip() {
        let path = || "/m/x.gguf".into();
        let reason = || "why".to_owned();
        for error in [
            EngineError::Overflow { prompt: Tokens(9), window: Tokens(4) },
            EngineError::Load { path: path(), reason: reason() },
            EngineError::Lost { reason: reason() },
            EngineError::Unreachable { url: "http://x".into(), reason: reason() },
            EngineError::Refused { status: 400, reason: reason() },
            EngineError::Template { reason: reason() },
            EngineError::Exhausted { path: path(), turn: 3 },
            EngineError::Replay { path: path(), line: 2, reason: reason() },
            EngineError::Unavailable(reason()),
        ] {
            let before = format!("{error:?}");
            let line = serde_json::to_string(&Response::Error(error.into())).unwrap();
            let Response::Error(fault) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
            assert_eq!(format!("{:?}", EngineError::from(fault)), before);
        }
        travels(Response::Error(Fault::Lost { reason: reason() }));
    }
}
