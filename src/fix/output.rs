//! A fix's result in the contract's words: text for a person, a patch for git, JSON for scripts, a line for a benchmark.

use crate::agent::limits::Spent;
use crate::fix::flow::{Ending, Tally};
use crate::fix::issue::instance;
use crate::fix::ranked::report::Report;
use crate::fix::{FixError, FixOptions};
use crate::protocol::event::Outcome;
use crate::protocol::exit::Exit;
use crate::repo::git::Home;
use serde::Serialize;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Text,
    /// Only the patch; the user's tree is left alone.
    Patch,
    Json,
}

/// What a fix came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The test command failed before and passes now.
    Fixed,
    Unfixed,
    /// Something was changed and kept, and nothing proves that it helps.
    Unverified,
    Budget,
    Error,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Unfixed => "unfixed",
            Self::Unverified => "unverified",
            Self::Budget => "budget",
            Self::Error => "error",
        }
    }
}

/// The test command's exit codes, before and after. Without a run on the result, `after` is `before`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestReport {
    pub command: String,
    pub before: i32,
    pub after: i32,
}

/// A fix, ended. Serializes to the contract's JSON, keys in its order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FixResult {
    pub status: Status,
    pub summary: String,
    /// What the last attempt changed, kept or not, relative to the repository's root.
    pub patch: String,
    pub files: Vec<String>,
    pub test: Option<TestReport>,
    pub attempts: u32,
    pub steps: u32,
    pub tokens: Spent,
    pub seconds: f64,
    pub session: String,
    /// What ranked repair did, where it tried anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranked: Option<Report>,
    #[serde(skip)]
    exit: Exit,
    /// What this program has to say of it, without the model's words.
    #[serde(skip)]
    reason: String,
}

impl FixResult {
    pub(crate) fn new(ending: Ending, tally: &Tally, took: Duration, session: &str) -> Self {
        let words = [ending.reason.as_str(), ending.said.as_str()];
        let summary = words.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n");
        Self {
            status: ending.status,
            summary,
            patch: ending.patch,
            files: ending.files,
            test: ending.test,
            attempts: tally.attempts,
            steps: tally.steps,
            tokens: tally.tokens,
            seconds: (took.as_secs_f64() * 1e3).round() / 1e3,
            session: session.to_owned(),
            ranked: tally.ranked.clone(),
            exit: ending.exit,
            reason: ending.reason,
        }
    }

    /// Adds a failure that came after the end, without hiding a worse one.
    pub(crate) fn with_failure(mut self, error: &FixError) -> Self {
        let reason = Ending::failed(error).reason;
        self.summary = format!("{}\n\n{reason}", self.summary).trim().to_owned();
        self.reason = if self.reason.is_empty() { reason } else { format!("{}; {reason}", self.reason) };
        if self.exit == Exit::Done {
            self.exit = error.exit();
        }
        self
    }

    /// The exit status: 0 only when the test command failed before and passes now.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Why it is not simply fixed, in one line: "unfixed: the tests still fail". `None` when there is nothing to say.
    pub fn reason(&self) -> Option<String> {
        let line = self.reason.split_whitespace().collect::<Vec<_>>().join(" ");
        // What was fixed and could not be written down is an error, too.
        let status = if self.status == Status::Fixed { Status::Error } else { self.status };
        (!line.is_empty()).then(|| format!("{}: {line}", status.as_str()))
    }

    /// What the session is said to have come to.
    pub(crate) fn outcome(&self) -> Outcome {
        let reason = self.summary.clone();
        match (self.status, self.exit) {
            (Status::Fixed | Status::Unverified, _) => Outcome::Finished { text: reason },
            (Status::Budget, _) => Outcome::Budget { reason },
            (_, Exit::Engine) => Outcome::Engine { reason },
            (_, Exit::Denied) => Outcome::Denied { reason },
            (_, Exit::Interrupted) => Outcome::Interrupted,
            (Status::Unfixed | Status::Error, _) => Outcome::Failed { reason },
        }
    }

    /// Gives what goes to standard output. As a patch: nothing unless the result is worth keeping.
    pub fn render(&self, output: Output) -> String {
        match output {
            Output::Json => format!("{}\n", json!(self)),
            Output::Patch if matches!(self.status, Status::Fixed | Status::Unverified) => self.patch.clone(),
            Output::Patch => String::new(),
            Output::Text => self.text(),
        }
    }

    fn text(&self) -> String {
        let mut text = self.status.as_str().to_owned();
        if let Some(test) = &self.test {
            text.push_str(&format!(": `{}` ended with {} before, {} after", test.command, test.before, test.after));
        }
        let rivals = self.ranked.as_ref().map(Report::rivals).unwrap_or_default();
        for part in [self.files.join("\n"), self.summary.clone(), rivals] {
            if !part.is_empty() {
                text.push_str("\n\n");
                text.push_str(&part);
            }
        }
        text.push('\n');
        text
    }
}

/// Appends a prediction as SWE-bench reads it: one JSON object a line.
pub(crate) fn predict(path: &Path, result: &FixResult, options: &FixOptions) -> Result<(), FixError> {
    let dir = options.dir.canonicalize().unwrap_or_else(|_| options.dir.clone());
    let home = Home::discover(&dir);
    let root = home.as_ref().map_or(dir.as_path(), |home| &home.workdir);
    let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let origin = home.as_ref().and_then(Home::origin);
    let id = instance(options.issue_ref.as_deref(), origin.as_deref(), &name);
    let line = json!({"instance_id": id, "model_name_or_path": options.model, "model_patch": result.patch});
    let opened = OpenOptions::new().append(true).create(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.map_err(|source| FixError::Write { path: path.to_owned(), source })
}

/// Gives a commit its message: the issue's first line as the subject, then the model's account.
pub(crate) fn commit_message(reference: Option<&str>, issue: &str, said: &str) -> String {
    let first = issue.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("the issue");
    let subject: String = first.trim_start_matches(['#', ' ']).chars().take(66).collect();
    let link = reference.map(|reference| match reference.parse::<u64>() {
        Ok(number) => format!("\n\nFixes #{number}"),
        Err(_) => format!("\n\nFixes {reference}"),
    });
    let body = if said.is_empty() { String::new() } else { format!("\n\n{said}") };
    format!("Fix: {subject}{body}{}\n", link.unwrap_or_default())
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
