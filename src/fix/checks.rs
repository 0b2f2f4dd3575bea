//! Runs the test command, and asks small questions of the machine.

use crate::sandbox::process::{Command, Line, SpawnError, run};
use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How a test command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// 124 when the time limit ended it, 128 + N for signal N: as a shell would say it.
    pub code: i32,
    pub output: String,
}

/// One run of a test command.
#[derive(Clone, Debug)]
pub struct TestJob {
    pub dir: PathBuf,
    pub command: String,
    /// On top of the inherited environment.
    pub env: Vec<(OsString, OsString)>,
    pub limit: Duration,
    /// What its log is called: runs at the same time have one each.
    pub log: String,
    pub cancel: CancellationToken,
}

/// A future that borrows its maker, for the thread that it was made on.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Runs test commands, several at once if asked. A cancelled run may end with any code: the caller asks its token.
pub trait Tests {
    fn run(&self, job: TestJob) -> Pending<'_, Result<TestRun, SpawnError>>;
}

/// Runs them for real, whole logs below `logs`.
pub struct Shell {
    pub logs: PathBuf,
}

/// Bytes of output kept: more than any prompt shows.
const KEPT: usize = 64 << 10;

impl Tests for Shell {
    fn run(&self, job: TestJob) -> Pending<'_, Result<TestRun, SpawnError>> {
        let log = self.logs.join(format!("{}.log", job.log));
        // On a thread of its own: the runtime must stay free to hear an interrupt.
        let running = tokio::task::spawn_blocking(move || run_test(job, log));
        Box::pin(async { running.await.expect("a test run does not panic") })
    }
}

fn run_test(job: TestJob, log: PathBuf) -> Result<TestRun, SpawnError> {
    let TestJob { dir, command, env, limit, cancel, .. } = job;
    let command = Command { line: Line::Shell(command), dir, env, limit, keep: KEPT, log: Some(log) };
    let done = run(&command, &cancel)?;
    let mut output = done.output.text();
    if done.timed_out {
        output.push_str(&format!("\n[ended after {limit:?}]"));
    }
    let code = if done.timed_out { 124 } else { done.code.or(done.signal.map(|signal| 128 + signal)).unwrap_or(1) };
    Ok(TestRun { code, output })
}

/// Whether a shell line succeeds in a directory, within a few seconds.
pub fn succeeds(dir: &Path, line: &str) -> bool {
    let limit = Duration::from_secs(10);
    let command = Command { line: Line::Shell(line.into()), dir: dir.to_owned(), env: Vec::new(), limit, keep: 1024, log: None };
    run(&command, &CancellationToken::new()).is_ok_and(|done| done.code == Some(0))
}

#[cfg(test)]
mod tests {
    use crate::fix::checks::{Shell, TestJob, Tests, succeeds};
    use std::path::Path;
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn codes_are_those_of_a_shell() {
        let held = tempfile::tempdir().unwrap();
        let shell = Shell { logs: held.path().join("logs") };
        for (command, limit, code, output) in [
            ("echo red; exit 3", 60_000, 3, "red\n"),
            ("true", 60_000, 0, ""),
            ("kill -9 $$", 60_000, 137, ""),
            ("echo slow; sleep 60", 300, 124, "slow\n\n[ended after 300ms]"),
        ] {
            let cancel = CancellationToken::new();
            let (dir, limit, log) = (held.path().into(), Duration::from_millis(limit), "test".into());
            let job = TestJob { dir, command: command.into(), env: Vec::new(), limit, log, cancel };
            let run = shell.run(job).await.unwrap();
            assert_eq!((run.code, run.output.as_str()), (code, output), "{command}");
        }
    }

    #[test]
    fn a_question_is_answered_by_the_exit_code() {
        assert!(succeeds(Path::new("/"), "test -d /"));
        assert!(!succeeds(Path::new("/"), "no-such-program-at-all"));
    }
}
