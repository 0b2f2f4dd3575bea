//! One shot: an issue in, a verified patch out.
//!
//! Knows the agent's handle, prompts and the repository; neither engines nor tools. The order is always: see the test command
//! fail, try small changes or let the loop work, on copies, see the command again, judge, and only then touch the user's tree.

pub mod attempt;
mod bent;
pub mod checks;
pub mod detect;
mod examine;
mod flow;
pub mod issue;
pub mod keep;
pub mod output;
mod purse;
mod ranked;
mod round;
#[cfg(test)]
mod tests;
pub mod verdict;

pub use crate::fix::attempt::Told;
pub use crate::fix::issue::{IssueText, resolve_issue};
pub use crate::fix::output::{FixResult, Output, Status, TestReport};
pub use crate::fix::ranked::report::Report as RankedReport;

use crate::agent::limits::Limits;
use crate::agent::{Agent, Generation};
use crate::edit::apply::ApplyError;
use crate::fix::attempt::{Sink, Work};
use crate::fix::checks::{Shell, Tests};
use crate::fix::flow::{Ending, Flow, Tally};
use crate::hint::Hint;
use crate::path::{PathError, Places};
use crate::protocol::event::Event;
use crate::protocol::exit::Exit;
use crate::repair::order::Order;
use crate::repo::git::GitError;
use crate::repo::scratch::ScratchError;
use crate::sandbox::process::SpawnError;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

/// How a fix is gone about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Ranked repair where it is cheap, then the loop.
    ///
    /// Cheap: at most 8 tries, in a twentieth of the time and of the tokens that the person allows. Several changes that pass
    /// the tests, and that the issue does not tell apart, are left to the loop. A micro model is made for ranked repair: it
    /// may take all that is left, and its choice among several stands, unverified.
    Auto,
    Loop,
    /// Ranked repair alone.
    Repair,
}

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct FixOptions {
    /// The project.
    pub dir: PathBuf,
    pub issue: String,
    /// The number or URL that the issue was named by.
    pub issue_ref: Option<String>,
    /// The test command; detected when absent.
    pub test: Option<String>,
    pub strategy: Strategy,
    /// In which order ranked repair tries.
    pub order: Order,
    /// Of the loop; at least one is made where it comes to that.
    pub attempts: u32,
    /// For all attempts together.
    pub limits: Limits,
    pub in_place: bool,
    pub branch: Option<String>,
    pub commit: bool,
    pub output: Output,
    pub predictions: Option<PathBuf>,
    /// The session's name.
    pub session: String,
    /// The model's name, for predictions.
    pub model: String,
    pub generation: Generation,
}

/// Why a fix could not be carried out. A fix that was carried out and failed is a [`FixResult`].
#[derive(Debug, thiserror::Error)]
pub enum FixError {
    #[error("the issue is empty")]
    EmptyIssue,
    #[error("cannot read the issue from `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`gh` is not installed, and only it can read issues from GitHub")]
    NoGh,
    #[error("cannot read issue `{reference}` from GitHub: {reason}")]
    GitHub { reference: String, reason: String },
    #[error("`--output patch` leaves the tree alone, and `--commit` changes it")]
    PatchAndCommit,
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Engine(String),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    #[error("cannot try a change in a copy")]
    Trial(#[source] ApplyError),
    #[error("cannot run the test command")]
    Tests(#[from] SpawnError),
}

impl FixError {
    /// The exit status that tells of it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::EmptyIssue | Self::Read { .. } | Self::NoGh | Self::GitHub { .. } | Self::PatchAndCommit => Exit::Usage,
            Self::Scratch(
                ScratchError::NoRepository(_) | ScratchError::Git(GitError::BranchName(_) | GitError::BranchExists(_)),
            ) => Exit::Usage,
            Self::Engine(_) => Exit::Engine,
            _ => Exit::Failed,
        }
    }
}

impl Hint for FixError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::EmptyIssue => "say what is wrong: --issue TEXT, @FILE, - or a number".into(),
            Self::Read { .. } => "--issue @FILE reads a file, --issue TEXT is the text itself".into(),
            Self::Write { .. } | Self::Scratch(ScratchError::Io { .. }) => {
                "make room there, or set AGENT_HOME to a directory that can be written".into()
            }
            Self::NoGh => "install it (https://cli.github.com), or give the issue's text: --issue @FILE".into(),
            Self::GitHub { .. } => "try `gh auth status`, or give the issue's text: --issue @FILE".into(),
            Self::PatchAndCommit => "use `--branch NAME` to have the patch printed and committed elsewhere".into(),
            Self::Scratch(ScratchError::Git(GitError::NoIdentity)) => {
                "git config user.name and user.email, or leave --commit out".into()
            }
            Self::Scratch(ScratchError::Git(GitError::Uncommitted(_))) => {
                "commit or stash first, or leave --commit and --branch out".into()
            }
            Self::Scratch(ScratchError::Git(GitError::Unborn)) => {
                "make a first commit, or leave --commit and --branch out".into()
            }
            Self::Scratch(ScratchError::TooMany { .. }) => "name the project's directory with -C".into(),
            _ => return None,
        })
    }
}

/// Fixes an issue. Never fails silently: whatever happens is in the result, and `exit()` tells it to scripts.
///
/// The user's tree changes only when the result is kept; with `in_place` it is the place of work and is put back otherwise. The
/// last thing that `sink` is told is `Event::Done` with what the whole came to; those before it are the attempts'.
pub async fn fix(agent: &mut Agent, options: &FixOptions, places: &Places, sink: Sink<'_>) -> FixResult {
    let shell = Shell { logs: places.state.join("logs").join(&options.session) };
    run(agent, &shell, Wish { options, places }, sink).await
}

/// What is wanted, and where the program keeps its own.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub options: &'a FixOptions,
    pub places: &'a Places,
}

/// Fixes with any worker and any runner of tests.
pub(crate) async fn run(work: &mut dyn Work, tests: &dyn Tests, wish: Wish<'_>, sink: Sink<'_>) -> FixResult {
    let started = Instant::now();
    let mut flow = Flow { work, tests, wish, sink, started, tally: Tally::default() };
    let ending = flow.go().await.unwrap_or_else(|error| Ending::failed(&error));
    let result = FixResult::new(ending, &flow.tally, started.elapsed(), &wish.options.session);
    let result = match wish.options.predictions.as_deref().map(|path| output::predict(path, &result, wish.options)) {
        Some(Err(error)) => result.with_failure(&error),
        _ => result,
    };
    (flow.sink)(Told::Event(&Event::Done { outcome: result.outcome() }));
    result
}
