//! Which lines the failing tests run: one more run of their command, watched by environment variables alone.
//!
//! Where interpreters say so themselves this costs about as much as trying one change, and spares trying those of lines that were
//! never reached. Compilers would have to build everything anew for it, so for Go and Rust it is not done.

mod idle;
mod node;
mod python;
#[cfg(test)]
mod tests;

pub(crate) use crate::fix::ranked::coverage::idle::{idle, idle_last};

use crate::fix::FixError;
use crate::fix::checks::{TestJob, Tests};
use crate::fix::flow::Before;
use crate::path::Root;
use crate::repair::suspects::Covered;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Of the time for ranked repair it may take one part in so many: as much as a few of the tries that it spares.
const SHARE: u32 = 10;
/// The most that it may take, whatever the time.
const LONGEST: Duration = Duration::from_secs(10);
/// How much longer the run is expected to take: before Python 3.12 every line of the project costs a call, while the start of the
/// interpreter, most of a short run, costs the same.
const SLOWER: u32 = 4;
/// What even the shortest run may take.
const SLACK: Duration = Duration::from_secs(2);

/// How long the watched run may take. `None`: the tests take too long to be run once more.
pub(crate) fn limit(time: Option<Duration>, took: Duration) -> Option<Duration> {
    let most = time.map_or(LONGEST, |time| (time / SHARE).min(LONGEST));
    let slower = took * SLOWER;
    (slower <= most).then(|| (slower + SLACK).min(most))
}

/// What runs the code that is tested, as far as it can be asked which lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interpreters {
    python: bool,
    node: bool,
}

impl Interpreters {
    /// Recognises them by a test command's words, and where those say nothing (`make test`) by what the tests printed. `None`:
    /// neither is at work.
    pub fn of(command: &str, output: &str) -> Option<Self> {
        const PYTHON: [&str; 3] = ["pytest", "py.test", "unittest"];
        const NODE: [&str; 9] = ["node", "nodejs", "npm", "npx", "pnpm", "yarn", "jest", "mocha", "vitest"];
        let words = || command.split(|c: char| c.is_whitespace() || "/'\"();&|=".contains(c));
        let python = words().any(|word| PYTHON.contains(&word) || word.starts_with("python"));
        let node = words().any(|word| NODE.contains(&word));
        let found = match (python, node) {
            (false, false) => Self {
                python: output.contains("Traceback (most recent call last)") || output.contains("short test summary info"),
                node: output.contains("(node:"),
            },
            (python, node) => Self { python, node },
        };
        (found.python || found.node).then_some(found)
    }
}

/// A run that is to be watched.
pub(crate) struct Watch<'a> {
    pub tests: &'a dyn Tests,
    pub root: &'a Root,
    pub before: &'a Before,
    pub interpreters: Interpreters,
    pub limit: Duration,
    pub cancel: CancellationToken,
}

impl Watch<'_> {
    /// Runs the test command once more. `None`: it ended otherwise than before, or nobody can say what it ran.
    pub async fn run(&self) -> Result<Option<Covered>, FixError> {
        let Some((folder, env)) = self.prepare() else { return Ok(None) };
        let job = TestJob {
            dir: self.root.as_path().to_owned(),
            command: self.before.command.clone(),
            env,
            limit: self.limit,
            log: "covered".into(),
            cancel: self.cancel.clone(),
        };
        let run = self.tests.run(job).await?;
        Ok(if run.code == self.before.run.code { self.read(folder.path()) } else { None })
    }

    /// A folder for what is written during the run, and the variables that have it written. Without room for one there is no run.
    fn prepare(&self) -> Option<(tempfile::TempDir, Vec<(OsString, OsString)>)> {
        let folder = tempfile::tempdir().ok()?;
        let mut env = Vec::new();
        if self.interpreters.python {
            env.extend(python::prepare(self.root, folder.path()).ok()?);
        }
        if self.interpreters.node {
            env.push((node::FOLDER.into(), folder.path().join("v8").into()));
        }
        Some((folder, env))
    }

    fn read(&self, folder: &Path) -> Option<Covered> {
        let mut covered = if self.interpreters.python { python::read(self.root, folder)? } else { Covered::default() };
        if self.interpreters.node {
            for (path, lines) in node::read(self.root, &folder.join("v8"))? {
                covered.all.entry(path.clone()).or_default().extend(&lines);
                covered.failing.entry(path).or_default().extend(lines);
            }
        }
        (!covered.all.is_empty()).then_some(covered)
    }
}
