//! Looks at what was done to a tree: what changed, how the tests end there, and what that proves.
//!
//! Reads and runs, and changes nothing for good: results can be examined while other attempts are still being worked on.

use crate::agent::limits::Limits;
use crate::fix::FixError;
use crate::fix::bent::bent_tests;
use crate::fix::checks::{TestJob, TestRun, Tests};
use crate::fix::flow::Before;
use crate::fix::keep::{self, Side};
use crate::fix::verdict::{Evidence, Rivalled, Verdict, judge};
use crate::protocol::event::Outcome;
use crate::repo::git::FileChange;
use crate::repo::scratch::{Tree, Workspace};
use crate::repo::tests_of::is_test;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A test run may take this long where no limit of the user's says less.
const TEST_LIMIT: Duration = Duration::from_secs(1_800);
/// The run that verifies gets at least this long, also when the time is up: the work before it would else be lost.
const LAST_WORD: Duration = Duration::from_secs(120);

/// What an examination goes by.
#[derive(Clone)]
pub(crate) struct Examiner<'a> {
    pub tests: &'a dyn Tests,
    pub limits: Limits,
    pub started: Instant,
    pub cancel: CancellationToken,
}

/// What an attempt came to.
pub(crate) struct Tried {
    pub outcome: Outcome,
    pub changes: Vec<FileChange>,
    pub after: Option<TestRun>,
    pub verdict: Verdict,
}

impl Examiner<'_> {
    /// Looks at what was done to a tree, runs the tests there, and judges.
    pub async fn examine(
        &self,
        (workspace, tree): (&Workspace, &Tree),
        before: Option<&Before>,
        outcome: Outcome,
        rivalled: Rivalled,
    ) -> Result<Tried, FixError> {
        let changes = workspace.changes(tree)?;
        let mut tried = Tried { outcome, changes, after: None, verdict: Verdict::Unfixed("nothing was changed") };
        let stopped = matches!(tried.outcome, Outcome::Interrupted | Outcome::Engine { .. } | Outcome::Denied { .. });
        if stopped || tried.changes.is_empty() || self.cancel.is_cancelled() {
            return Ok(tried);
        }
        let mut old_tests = None;
        if let Some(before) = before {
            let after = self.verify(tree, &before.command).await?;
            if after.code == 0 && before.run.code != 0 {
                old_tests = self.with_old_tests(workspace, tree, &tried.changes, &before.command).await?;
            }
            tried.after = Some(after);
        }
        tried.verdict = judge(&Evidence {
            before: before.map(|before| before.run.code),
            after: tried.after.as_ref().map(|run| run.code),
            old_tests,
            changed: tried.changes.len(),
            tests: tried.changes.iter().filter(|change| is_test(&change.path)).count(),
            rivalled,
        });
        Ok(tried)
    }

    /// Runs a command once, for as long as is left.
    pub async fn first(&self, project: &Path, command: &str) -> Result<TestRun, FixError> {
        self.test(project, command, self.left().unwrap_or(TEST_LIMIT).min(TEST_LIMIT)).await
    }

    async fn verify(&self, tree: &Tree, command: &str) -> Result<TestRun, FixError> {
        let limit = self.left().map_or(TEST_LIMIT, |left| left.clamp(LAST_WORD, TEST_LIMIT));
        self.test(&tree.project(), command, limit).await
    }

    async fn test(&self, project: &Path, command: &str, limit: Duration) -> Result<TestRun, FixError> {
        let (dir, command, log) = (project.to_owned(), command.to_owned(), "test".into());
        Ok(self.tests.run(TestJob { dir, command, env: Vec::new(), limit, log, cancel: self.cancel.clone() }).await?)
    }

    fn left(&self) -> Option<Duration> {
        self.limits.time.map(|time| time.saturating_sub(self.started.elapsed()))
    }

    /// Runs the command once more with the tests as they were, when the attempt changed some along with other files.
    async fn with_old_tests(
        &self,
        workspace: &Workspace,
        tree: &Tree,
        changes: &[FileChange],
        command: &str,
    ) -> Result<Option<i32>, FixError> {
        let bent = bent_tests(workspace, changes)?;
        if bent.is_empty() || changes.iter().all(|change| is_test(&change.path)) {
            return Ok(None);
        }
        // Tests that cannot be put back, or not as the attempt left them, vouch for nothing.
        if keep::put(workspace, tree.root(), &bent, Side::Before).is_err() {
            return Ok(Some(1));
        }
        let run = self.verify(tree, command).await;
        let back = keep::put(workspace, tree.root(), &bent, Side::After);
        let code = run?.code;
        Ok(Some(if back.is_ok() { code } else { 1 }))
    }
}
