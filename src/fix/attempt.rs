//! One attempt: the loop, from an opening to its end. The seam where tests put a scripted model.

use crate::agent::approval::Policy;
use crate::agent::beside::Member;
use crate::agent::limits::Limits;
use crate::agent::{Agent, Checks, Generation, Report, Task};
use crate::context::environment;
use crate::fix::FixError;
use crate::fix::checks::Pending;
use crate::hint::Hint;
use crate::path::Root;
use crate::prompts::{self, Allowance, FixLesson, FixOpening, Purpose, TestOutcome};
use crate::protocol::event::{Event, Outcome};
use crate::protocol::message::Message;
use crate::protocol::turn::{EngineInfo, Profile, Reply, ScoreRequest, Scores, TurnRequest};
use crate::repo::git::FileChange;
use crate::repo::scratch::Workspace;
use crate::tools::Mode;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// What a fix tells of, in order.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// The words that an attempt begins with, which no event says.
    Opening(&'a [Message]),
    Event(&'a Event),
    /// The same of one of several attempts at once, by its number.
    OpeningOf(u32, &'a [Message]),
    EventOf(u32, &'a Event),
}

/// Where it goes.
pub type Sink<'a> = &'a mut (dyn FnMut(Told<'_>) + Send);

/// How likely texts are, where that can be known; an error is told as a line.
pub type Scored = Result<Option<Scores>, String>;

/// Whoever does the work between two test runs.
pub trait Work {
    /// Makes the model ready and says what it is.
    fn ready<'a>(&'a mut self, sink: Sink<'a>) -> Pending<'a, Result<EngineInfo, String>>;

    /// Works on a task to its end.
    fn work<'a>(&'a mut self, task: Task, sink: Sink<'a>) -> Pending<'a, Report>;

    /// Works on several tasks that begin alike at the same time; see [`Agent::work_beside`].
    fn beside<'a>(
        &'a mut self,
        members: Vec<Member>,
        sink: &'a mut (dyn FnMut(usize, &Event) + Send),
        ended: &'a mut (dyn FnMut(usize, Report) + Send),
    ) -> Pending<'a, ()>;

    /// Says how likely texts are as the model's answer. `None`: this engine does not show it.
    fn score<'a>(&'a mut self, request: &'a ScoreRequest, stop: &'a CancellationToken, sink: Sink<'a>) -> Pending<'a, Scored>;

    /// Has the model say something once, outside of the loop.
    fn turn<'a>(
        &'a mut self,
        request: &'a TurnRequest,
        stop: &'a CancellationToken,
        sink: Sink<'a>,
    ) -> Pending<'a, Result<Reply, String>>;

    /// What stops it.
    fn cancel(&self) -> CancellationToken;
}

impl Work for Agent {
    fn ready<'a>(&'a mut self, sink: Sink<'a>) -> Pending<'a, Result<EngineInfo, String>> {
        Box::pin(async move {
            let mut forward = |delta| sink(Told::Event(&Event::Delta(delta)));
            self.engine.ready(&mut forward, &self.cancel).await.map_err(|error| error.told())
        })
    }

    fn score<'a>(&'a mut self, request: &'a ScoreRequest, stop: &'a CancellationToken, sink: Sink<'a>) -> Pending<'a, Scored> {
        Box::pin(async move {
            let mut forward = |delta| sink(Told::Event(&Event::Delta(delta)));
            self.engine.score(request, &mut forward, stop).await.map_err(|error| error.told())
        })
    }

    fn turn<'a>(
        &'a mut self,
        request: &'a TurnRequest,
        stop: &'a CancellationToken,
        sink: Sink<'a>,
    ) -> Pending<'a, Result<Reply, String>> {
        Box::pin(async move {
            let mut forward = |delta| sink(Told::Event(&Event::Delta(delta)));
            self.engine.turn(request, &mut forward, stop).await.map_err(|error| error.told())
        })
    }

    fn work<'a>(&'a mut self, task: Task, sink: Sink<'a>) -> Pending<'a, Report> {
        Box::pin(async move { Agent::work(self, task, &mut |event: &Event| sink(Told::Event(event))).await })
    }

    fn beside<'a>(
        &'a mut self,
        members: Vec<Member>,
        sink: &'a mut (dyn FnMut(usize, &Event) + Send),
        ended: &'a mut (dyn FnMut(usize, Report) + Send),
    ) -> Pending<'a, ()> {
        Box::pin(self.work_beside(members, sink, ended))
    }

    fn cancel(&self) -> CancellationToken {
        self.cancel.clone()
    }
}

/// What an attempt is given besides the issue.
pub struct Setting<'a> {
    /// The project as the user knows it, and as this attempt does.
    pub known_as: &'a Path,
    pub project: PathBuf,
    pub window: Option<u32>,
    pub profile: Profile,
    pub limits: Limits,
    pub generation: Generation,
    pub logs: PathBuf,
}

/// Puts the task together. Everything may be done without asking: it happens in a place apart, inside its root.
pub fn task(setting: Setting<'_>, opening: &FixOpening) -> Result<Task, FixError> {
    let root = Root::open(&setting.project)?;
    let allowance = Allowance::of_window(setting.window);
    let test = opening.test.as_ref().map(|test| test.command.as_str());
    let here = environment::look(&root, setting.known_as, test.map(str::to_owned));
    let words = vec![
        Message::System { text: prompts::front(Purpose::Fix, &here, &allowance) },
        Message::User { text: prompts::fix_opening(opening, &allowance) },
    ];
    let (limits, generation, logs) = (setting.limits, setting.generation, setting.logs);
    let task = Task {
        root,
        mode: Mode::Fix,
        opening: words,
        limits,
        generation,
        approval: Policy::All,
        logs,
        checks: Checks::Off,
        grounds: None,
    };
    Ok(if setting.profile == Profile::Micro { task.micro(&opening.issue, test) } else { task })
}

/// Puts an attempt that failed into words for the next one. `test` is how the test command ended on its result.
pub fn learn(workspace: &Workspace, changes: &[FileChange], outcome: &Outcome, test: Option<TestOutcome>) -> FixLesson {
    let name = |change: &FileChange| match workspace.lines(change) {
        Ok((added, deleted)) => format!("{} (+{added} -{deleted})", change.path),
        Err(_) => change.path.clone(),
    };
    let said = match outcome {
        Outcome::Finished { text } => text.clone(),
        Outcome::Failed { reason } => reason.clone(),
        _ => String::new(),
    };
    FixLesson { changed: changes.iter().map(name).collect(), test, said }
}
