//! The loop: decides what happens next (`run`, pure), and has it done (`drive`, the one performer).
//!
//! Front ends see two things: the task they hand in and the events that come out. Whoever folds those events (see
//! `sessions::fold::follow`) holds the conversation, which is why the session log is only one more reader of them.

pub mod approval;
pub mod beside;
mod changes;
pub mod drive;
mod intake;
pub mod limits;
pub mod nudges;
mod pending;
mod repeats;
pub mod run;
#[cfg(test)]
mod tests;
mod upkeep;

use crate::agent::approval::{Approve, ByPolicy, Policy};
use crate::agent::drive::Driver;
use crate::agent::limits::{Limits, Spent};
use crate::engine::Engine;
use crate::path::Root;
use crate::prompts::{self, Allowance};
use crate::protocol::event::{Event, Outcome};
use crate::protocol::message::{Call, Message};
use crate::protocol::tool::{Change, ToolAnswer, ToolFailure};
use crate::protocol::turn::{Sampling, ToolCard};
pub use crate::tools::checks::Checks;
use crate::tools::{CheckedCall, Mode, Toolbox, Workbench};
use crate::units::Tokens;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// An agent at work: an engine, its tools, and what stops it.
pub struct Agent<T = Toolbox> {
    pub engine: Box<dyn Engine>,
    /// Shared with the thread that a call runs on.
    pub toolbox: Arc<T>,
    pub cancel: CancellationToken,
}

/// What the loop needs of tools. `check` is pure; `perform` blocks and ends soon after `bench.cancel`.
pub trait Tools: Send + Sync + 'static {
    fn cards(&self, mode: Mode) -> Vec<ToolCard>;
    fn check(&self, call: &Call, mode: Mode) -> Result<CheckedCall, ToolFailure>;
    fn perform(&self, bench: &mut Workbench, call: &CheckedCall) -> ToolAnswer;
}

impl Tools for Toolbox {
    fn cards(&self, mode: Mode) -> Vec<ToolCard> {
        Self::cards(self, mode)
    }

    fn check(&self, call: &Call, mode: Mode) -> Result<CheckedCall, ToolFailure> {
        Self::check(self, call, mode)
    }

    fn perform(&self, bench: &mut Workbench, call: &CheckedCall) -> ToolAnswer {
        Self::perform(self, bench, call)
    }
}

/// One run of the loop.
#[derive(Clone, Debug)]
pub struct Task {
    pub root: Root,
    pub mode: Mode,
    /// The conversation so far: the system prompt, the environment, the person's words.
    pub opening: Vec<Message>,
    pub limits: Limits,
    pub generation: Generation,
    pub approval: Policy,
    /// Where whole logs of commands go.
    pub logs: PathBuf,
    /// Whether the project's checkers run after edits; they do not where commands are not allowed.
    pub checks: Checks,
    /// Holds calls to what is there. `None`: they name what they like.
    pub grounds: Option<Grounds>,
}

/// What calls are held to, beside the files that exist and the lines that were shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grounds {
    /// The commands that may be run.
    pub commands: Vec<String>,
}

impl Task {
    /// The task for a model of a few million parameters: the words alone, the tools and sizes that it was trained with, short
    /// turns, calls held to what is there. The test command is the only one that it may run.
    pub fn micro(self, words: &str, test: Option<&str>) -> Self {
        let text = prompts::micro_opening(words, test, &Allowance::MICRO);
        Self {
            mode: Mode::Micro,
            opening: vec![Message::User { text }],
            generation: self.generation.micro(),
            grounds: Some(Grounds { commands: test.map(str::to_owned).into_iter().collect() }),
            ..self
        }
    }
}

/// How each turn is generated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Generation {
    pub sampling: Sampling,
    /// The most tokens of one turn, thinking included. Also what is kept free for it in the window.
    pub max_tokens: Tokens,
    /// The most tokens of thinking in one turn. `None`: unbounded.
    pub thinking_budget: Option<Tokens>,
    pub thinking: bool,
}

impl Generation {
    /// A turn of a micro model is one call or one sentence, the likeliest unless the person wants it otherwise.
    fn micro(self) -> Self {
        let sampling = Sampling { temperature: self.sampling.temperature.or(Some(0.0)), ..self.sampling };
        Self { sampling, max_tokens: self.max_tokens.min(Tokens(160)), thinking_budget: None, thinking: false }
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    pub outcome: Outcome,
    pub steps: u32,
    pub tokens: Spent,
    /// Every file that was touched, once, with what became of it over the whole run.
    pub changes: Vec<Change>,
}

impl<T: Tools> Agent<T> {
    /// Runs the loop to its end; what `task.approval` does not allow is denied. Every event reaches `sink` in order and
    /// before the next step, the last is `Event::Done`.
    pub async fn work(&mut self, task: Task, sink: &mut (dyn FnMut(&Event) + Send)) -> Report {
        let mut policy = ByPolicy(task.approval);
        self.work_asking(task, &mut policy, sink).await
    }

    /// Runs the loop as [`Agent::work`] does, but asks `approver` about every call that has an effect.
    pub async fn work_asking(&mut self, task: Task, approver: &mut dyn Approve, sink: &mut (dyn FnMut(&Event) + Send)) -> Report {
        let engine = self.engine.as_mut();
        Driver { engine, tools: Arc::clone(&self.toolbox), approver, sink, cancel: &self.cancel }.work(task).await
    }
}
