//! `agent fix`: an issue in, a verified patch out.

use crate::boot::{self, Choice, Ground, Local, Otherwise};
use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::cli::globals::{Costs, Globals, KeyFlag};
use crate::cli::interrupt::block_on;
use crate::cli::progress::Progress;
use crate::fix::{self, FixOptions, FixResult, Told, resolve_issue};
use crate::headless::{Recorder, Subject};
use crate::models::bundled;
use crate::protocol::exit::Exit;
use crate::protocol::message::Message;
use crate::repair;
use crate::units::Bytes;
use clap::ValueEnum;
use std::path::PathBuf;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

#[derive(Debug, clap::Args)]
pub struct Fix {
    /// The issue: its text, @FILE, - for stdin, or a number or URL that `gh` can view
    #[arg(long, value_name = "TEXT|@FILE|-|NUMBER|URL")]
    issue: String,
    /// The command that fails now and must pass; detected when not given
    #[arg(long, value_name = "CMD")]
    test: Option<String>,
    /// How to go about it
    #[arg(long, value_name = "NAME", default_value = "auto")]
    strategy: Strategy,
    /// In which order repair tries changes: for measurements
    #[arg(long, value_name = "NAME", default_value = "ranked", hide = true)]
    order: Order,
    /// How often the loop tries, each time from the start: side by side where the engine can, else with the lesson of the last one
    #[arg(long, value_name = "N")]
    attempts: Option<u32>,
    #[command(flatten)]
    costs: Costs,
    /// Work in the tree itself instead of a copy
    #[arg(long)]
    in_place: bool,
    /// Put the result on a new branch
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Commit the result
    #[arg(long)]
    commit: bool,
    /// What to print
    #[arg(long, value_name = "FORM", default_value = "text")]
    output: Output,
    /// Append the patch to this file, as SWE-bench reads it
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Strategy {
    /// First repair, where it is cheap, then loop
    Auto,
    /// The model looks, edits and tests step by step
    Loop,
    /// Small changes of suspected lines are tried, in the order in which the model finds them likely
    Repair,
}

impl From<Strategy> for fix::Strategy {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Auto => Self::Auto,
            Strategy::Loop => Self::Loop,
            Strategy::Repair => Self::Repair,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    Ranked,
    Modelless,
    Blind,
}

impl From<Order> for repair::order::Order {
    fn from(order: Order) -> Self {
        match order {
            Order::Ranked => Self::Ranked,
            Order::Modelless => Self::Modelless,
            Order::Blind => Self::Blind(1),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// What was done, for a person
    Text,
    /// Only a patch that `git apply` takes; the tree is left alone
    Patch,
    /// One object
    Json,
}

impl From<Output> for fix::Output {
    fn from(output: Output) -> Self {
        match output {
            Output::Text => Self::Text,
            Output::Patch => Self::Patch,
            Output::Json => Self::Json,
        }
    }
}

impl Fix {
    /// Fixes the issue; the exit code is the result's.
    pub fn run(self, globals: Globals) -> Result<Exit, Failure> {
        let ground = globals.ground(self.costs.and([
            KeyFlag::text("--test", "fix.test", self.test),
            KeyFlag::number("--attempts", "fix.attempts", self.attempts),
        ]))?;
        let issue = resolve_issue(&self.issue, ground.root.as_path()).map_err(|e| Failure::of(e.exit(), e))?;
        let cancel = CancellationToken::new();
        let choice = boot::choose(&ground, Otherwise::Bundled).map_err(|e| Failure::of(e.exit(), e))?;
        say_if_bundled(&ground, &choice);
        let model = choice.model_name();
        let mut agent = boot::agent(&ground, choice, cancel.clone()).map_err(|e| Failure::of(e.exit(), e))?;

        let (settings, output) = (&ground.resolved.settings, fix::Output::from(self.output));
        let subject = Subject { root: ground.root.as_path().to_owned(), model: model.clone(), mode: "fix" };
        let mut recorder = Recorder::begin(&ground.places, subject, cancel.clone()).map_err(|e| Failure::of(Exit::Failed, e))?;
        recorder.message(&Message::User { text: issue.text.clone() });
        let options = FixOptions {
            dir: ground.root.as_path().to_owned(),
            issue: issue.text,
            issue_ref: issue.reference,
            test: settings.fix.test.clone(),
            strategy: self.strategy.into(),
            order: self.order.into(),
            attempts: settings.fix.attempts,
            limits: boot::limits(settings),
            in_place: self.in_place,
            branch: self.branch,
            commit: self.commit,
            output,
            predictions: self.predictions,
            session: recorder.id().to_owned(),
            model,
            generation: boot::generation(settings),
        };
        let mut progress = Progress::stderr();
        let result: FixResult = block_on(&cancel, async {
            let mut sink = |told: Told<'_>| match told {
                Told::Opening(words) => words.iter().for_each(|message| recorder.message(message)),
                Told::Event(event) => {
                    recorder.on(event);
                    progress.on(event, Instant::now());
                }
                Told::OpeningOf(attempt, words) => {
                    words.iter().for_each(|message| recorder.message_of(Some(attempt), message));
                }
                Told::EventOf(attempt, event) => {
                    recorder.on_of(Some(attempt), event);
                    progress.on_one(attempt, event, Instant::now());
                }
            };
            Ok(fix::fix(&mut agent, &options, &ground.places, &mut sink).await)
        })?;
        // The text says it already; from the others a person would not learn it.
        if let Some(reason) = result.reason().filter(|_| output != fix::Output::Text) {
            answer::aside(reason);
        }
        answer::text(&result.render(output))?;
        recorder.end().map_err(|e| Failure::of(Exit::Failed, e))?;
        Ok(result.exit())
    }
}

/// Says so where the model inside this program stands in for one that is not there.
fn say_if_bundled(ground: &Ground, choice: &Choice) {
    if matches!(choice, Choice::Llama { model: Local::Bundled }) && ground.resolved.settings.model.is_none() {
        let size = bundled::size().unwrap_or(Bytes::ZERO).spoken();
        let models = ground.places.models.display();
        answer::aside(format!(
            "no model installed: using the bundled micro model ({size}, a first taste: it ranks small one-line repairs); \
             for a real one put a GGUF file into `{models}`, or name it with --model PATH.gguf"
        ));
    }
}
