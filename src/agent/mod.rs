//! The loop: decides what happens next (`run`, pure), and has it done (`drive`, the one performer).
//!
//! Front ends see two things: the task they hand in and the events that come out.

use crate::engine::Engine;
use crate::path::Root;
use crate::protocol::event::{Event, Outcome};
use crate::protocol::message::Message;
use crate::protocol::tool::Change;
use crate::tools::{Mode, Toolbox};
use crate::units::Tokens;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// An agent at work: an engine, its tools, and where it writes down what was said.
pub struct Agent {
    pub engine: Box<dyn Engine>,
    pub toolbox: Toolbox,
    pub cancel: CancellationToken,
}

/// One run of the loop.
#[derive(Clone, Debug)]
pub struct Task {
    pub root: Root,
    pub mode: Mode,
    /// The conversation so far: the system prompt, the environment, the person's words.
    pub opening: Vec<Message>,
    pub limits: Limits,
    /// Where whole logs of commands go.
    pub logs: PathBuf,
}

/// What a run may cost. `None`: unbounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub steps: Option<u32>,
    pub time: Option<Duration>,
    /// Prompt tokens that were processed plus tokens generated.
    pub tokens: Option<Tokens>,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    pub outcome: Outcome,
    pub steps: u32,
    pub tokens: Spent,
    pub changes: Vec<Change>,
}

/// Tokens over a whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Spent {
    pub prompt: Tokens,
    pub prefilled: Tokens,
    pub reused: Tokens,
    pub generated: Tokens,
}

impl Agent {
    /// Runs the loop to its end. Every event reaches `sink` in order; the session log is written before the next step.
    pub async fn work(&mut self, _task: Task, _sink: &mut (dyn FnMut(&Event) + Send)) -> Report {
        todo!()
    }
}
