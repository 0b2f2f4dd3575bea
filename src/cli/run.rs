//! `agent run`: one task without a terminal.

use crate::boot::{self, Otherwise};
use crate::cli::answer::{self, Reader};
use crate::cli::failure::Failure;
use crate::cli::globals::{Costs, Globals, KeyFlag};
use crate::cli::interrupt::block_on;
use crate::cli::progress::Progress;
use crate::config::ApprovalWord;
use crate::headless::{self, Errand, Finished};
use crate::protocol::event::{Event, Outcome};
use crate::protocol::exit::Exit;
use clap::ValueEnum;
use serde_json::json;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

#[derive(Debug, clap::Args)]
pub struct Run {
    /// What to do
    task: String,
    /// What to print
    #[arg(long, value_name = "FORM", default_value = "text")]
    output: Output,
    /// What may be done without asking: there is nobody to ask, the rest is refused
    #[arg(long, value_name = "WHAT")]
    approve: Option<ApprovalWord>,
    #[command(flatten)]
    costs: Costs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The model's last words
    Text,
    /// One object: outcome, changes, tokens, session
    Json,
    /// Every event as one line of JSON, as it happens
    Events,
}

impl Run {
    /// Runs the task; the exit code is the outcome's.
    pub fn run(self, globals: Globals) -> Result<Exit, Failure> {
        let approval = self.approve.and_then(|word| Some(word.to_possible_value()?.get_name().to_owned()));
        let ground = globals.ground(self.costs.and([KeyFlag::text("--approve", "approval", approval)]))?;
        let cancel = CancellationToken::new();
        let choice = boot::choose(&ground, Otherwise::Nothing).map_err(|e| Failure::of(e.exit(), e))?;
        let mut agent = boot::agent(&ground, choice, cancel.clone()).map_err(|e| Failure::of(e.exit(), e))?;
        let settings = &ground.resolved.settings;
        let errand = Errand {
            words: self.task,
            root: ground.root.clone(),
            test: settings.fix.test.clone(),
            limits: boot::limits(settings),
            generation: boot::generation(settings),
            approval: boot::approval(settings),
            checks: boot::checks(settings),
        };
        let started = Instant::now();
        let mut progress = Progress::stderr();
        let mut read = Ok(Reader::There);
        let finished = block_on(&cancel, async {
            let mut sink = |event: &Event| {
                progress.on(event, Instant::now());
                if self.output == Output::Events && matches!(read, Ok(Reader::There)) {
                    read = event_line(event);
                    // Nobody reads the events any more, so nobody wants the work.
                    if !matches!(read, Ok(Reader::There)) {
                        cancel.cancel();
                    }
                }
            };
            headless::run(&mut agent, &ground.places, errand, &mut sink).await.map_err(|e| Failure::of(Exit::Failed, e))
        })?;
        read?;
        self.output.answer(&finished, started)?;
        Ok(headless::exit(&finished.report.outcome))
    }
}

impl Output {
    fn answer(self, finished: &Finished, started: Instant) -> Result<Reader, Failure> {
        let report = &finished.report;
        if let Some(reason) = reason(&report.outcome) {
            answer::aside(format!("error: {reason}"));
        }
        match self {
            Self::Events => Ok(Reader::There),
            Self::Text => match &report.outcome {
                Outcome::Finished { text } => answer::line(text),
                _ => Ok(Reader::There),
            },
            Self::Json => {
                let mut object = serde_json::to_value(&report.outcome).map_err(Failure::failed)?;
                for (name, value) in [
                    ("changes", json!(report.changes)),
                    ("steps", json!(report.steps)),
                    ("tokens", json!(report.tokens)),
                    ("seconds", json!(started.elapsed().as_secs_f64())),
                    ("session", json!(finished.session)),
                ] {
                    object[name] = value;
                }
                answer::json(&object)
            }
        }
    }
}

/// Writes one event as one line.
fn event_line(event: &Event) -> Result<Reader, Failure> {
    answer::line(&serde_json::to_string(event).map_err(Failure::failed)?)
}

/// Why a run did not finish, for stderr.
fn reason(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Finished { .. } => None,
        Outcome::Failed { reason } | Outcome::Budget { reason } | Outcome::Engine { reason } | Outcome::Denied { reason } => {
            Some(reason)
        }
        Outcome::Interrupted => Some("interrupted"),
    }
}
