//! One task without a terminal: the words go in, the events come out, the session is kept, a report is given.
//!
//! Knows the agent's handle and the events. What is shown, and where, is the caller's business.

use crate::agent::approval::Policy;
use crate::agent::limits::{Limits, Spent};
use crate::agent::{Agent, Checks, Generation, Report, Task};
use crate::context::environment;
use crate::hint::Hint;
use crate::path::{Places, Root};
use crate::prompts::{self, Allowance, Purpose};
use crate::protocol::event::{Event, Outcome};
use crate::protocol::exit::Exit;
use crate::protocol::message::Message;
use crate::protocol::turn::Profile;
use crate::sessions::SessionError;
use crate::sessions::log::{Head, SessionLog, fresh_id};
use crate::tools::Mode;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// What is to be done, and what it may cost.
#[derive(Clone, Debug)]
pub struct Errand {
    /// The person's words.
    pub words: String,
    pub root: Root,
    /// The test command, where the settings name one.
    pub test: Option<String>,
    pub limits: Limits,
    pub generation: Generation,
    pub approval: Policy,
    pub checks: Checks,
}

/// What it came to, and where it is written down.
#[derive(Clone, Debug)]
pub struct Finished {
    pub report: Report,
    /// The session's id; empty when it ended before there was one.
    pub session: String,
}

/// Runs one errand to its end. Every event reaches `sink` in order, the last is `Event::Done`; each is in the session's log
/// before the next step begins. Errors only when the session cannot be written: then nothing is done.
pub async fn run(
    agent: &mut Agent,
    places: &Places,
    errand: Errand,
    sink: &mut (dyn FnMut(&Event) + Send),
) -> Result<Finished, SessionError> {
    // The front of the conversation depends on the window, and the session is named after the model: so it is loaded first.
    let ready = agent.engine.ready(&mut |delta| sink(&Event::Delta(delta)), &agent.cancel).await;
    let info = match ready {
        Ok(info) => info,
        Err(error) => {
            let outcome =
                if agent.cancel.is_cancelled() { Outcome::Interrupted } else { Outcome::Engine { reason: error.told() } };
            sink(&Event::Done { outcome: outcome.clone() });
            let report = Report { outcome, steps: 0, tokens: Spent::default(), changes: Vec::new() };
            return Ok(Finished { report, session: String::new() });
        }
    };
    let here = environment::look(&errand.root, errand.root.as_path(), errand.test.clone());
    let front = prompts::front(Purpose::Chat, &here, &Allowance::of_window(info.window.map(|tokens| tokens.0)));
    let opening = vec![Message::System { text: front }, Message::User { text: errand.words.clone() }];

    let subject = Subject { root: errand.root.as_path().to_owned(), model: info.model, mode: "run" };
    let mut recorder = Recorder::begin(places, subject, agent.cancel.clone())?;
    let task = Task {
        root: errand.root,
        mode: Mode::Chat,
        opening,
        limits: errand.limits,
        generation: errand.generation,
        approval: errand.approval,
        logs: places.state.join("logs").join(recorder.id()),
        checks: errand.checks,
        grounds: None,
    };
    let task = if info.profile == Profile::Micro { task.micro(&errand.words, errand.test.as_deref()) } else { task };
    task.opening.iter().for_each(|message| recorder.message(message));
    let mut both = |event: &Event| {
        recorder.on(event);
        sink(event);
    };
    let report = agent.work(task, &mut both).await;
    Ok(Finished { report, session: recorder.end()? })
}

/// What a session is about.
#[derive(Clone, Debug)]
pub struct Subject {
    pub root: PathBuf,
    pub model: String,
    /// The command that began it.
    pub mode: &'static str,
}

/// Writes a run down as it happens. What cannot be written down must not go on: the first failure cancels the run, and
/// [`Recorder::end`] tells of it.
pub struct Recorder {
    id: String,
    log: SessionLog,
    broken: Option<SessionError>,
    cancel: CancellationToken,
}

impl Recorder {
    /// Starts a session.
    pub fn begin(places: &Places, subject: Subject, cancel: CancellationToken) -> Result<Self, SessionError> {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let id = fresh_id(started);
        let head = Head {
            id: id.clone(),
            started,
            // JSON has no other bytes; it is only shown.
            root: subject.root.to_string_lossy().into_owned().into(),
            model: subject.model,
            mode: subject.mode.into(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let log = SessionLog::create(&places.state.join("sessions"), &head)?;
        Ok(Self { id, log, broken: None, cancel })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Writes down what no event says: the words that a run begins with.
    pub fn message(&mut self, message: &Message) {
        self.message_of(None, message);
    }

    /// The same of one of several attempts at once.
    pub fn message_of(&mut self, attempt: Option<u32>, message: &Message) {
        let written = self.log.message_of(attempt, message);
        self.note(written);
    }

    /// Writes down what happened.
    pub fn on(&mut self, event: &Event) {
        self.on_of(None, event);
    }

    /// The same of one of several attempts at once.
    pub fn on_of(&mut self, attempt: Option<u32>, event: &Event) {
        if self.broken.is_none() {
            let written = self.log.record_of(attempt, event);
            self.note(written);
        }
    }

    /// Ends the session and gives its id.
    pub fn end(self) -> Result<String, SessionError> {
        self.broken.map_or(Ok(self.id), Err)
    }

    fn note(&mut self, written: Result<(), SessionError>) {
        if let Err(error) = written {
            self.broken.get_or_insert(error);
            self.cancel.cancel();
        }
    }
}

/// The exit code of an outcome.
pub fn exit(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Finished { .. } => Exit::Done,
        Outcome::Failed { .. } => Exit::Failed,
        Outcome::Budget { .. } => Exit::Budget,
        Outcome::Engine { .. } => Exit::Engine,
        Outcome::Denied { .. } => Exit::Denied,
        Outcome::Interrupted => Exit::Interrupted,
    }
}
