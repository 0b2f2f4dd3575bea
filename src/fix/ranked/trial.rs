//! The trial: changes are tried in their order, several at once, each in a tree of its own, until enough is known.

use crate::fix::FixError;
use crate::fix::checks::{TestJob, Tests};
use crate::fix::ranked::spot::Edit;
use crate::path::Root;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Where changes are tried, and how.
pub(crate) struct Bench<'a> {
    pub tests: &'a dyn Tests,
    /// Copies of the project, one for each run at the same time.
    pub roots: Vec<Root>,
    pub command: &'a str,
    /// For one run.
    pub limit: Duration,
    /// No run begins after it, and none goes on.
    pub deadline: Option<Instant>,
    pub cancel: CancellationToken,
}

/// How one change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    /// Its place among the changes, from 0.
    pub rank: usize,
    /// How the test command ended.
    pub code: i32,
}

/// Tries changes in their order: at most `tries` until one passes, then a few more, for a second that passes shows that the
/// tests do not say which is right. Gives those that were tried, in the order of their ranks; every tree is as it was.
pub(crate) async fn trial(bench: &Bench<'_>, edits: &[Edit<'_>], tries: usize) -> Result<Vec<Tried>, FixError> {
    // What still runs when an error ends this must not outlive its tree.
    let stop = bench.cancel.child_token();
    let _stopped_at_the_end = stop.clone().drop_guard();
    let mut course = Course::new(edits.len(), tries);
    let mut idle: Vec<usize> = (0..bench.roots.len()).rev().collect();
    let mut running = FuturesUnordered::new();
    let mut tried = Vec::new();
    loop {
        while !bench.is_over()
            && let Some(worker) = idle.pop()
        {
            let Some(rank) = course.next() else { break };
            let stop = stop.clone();
            running.push(async move { (worker, rank, bench.run(worker, &edits[rank], stop).await) });
        }
        let Some((worker, rank, code)) = running.next().await else { break };
        idle.push(worker);
        if let Some(code) = code? {
            tried.push(Tried { rank, code });
            course.note(code);
        }
    }
    tried.sort_unstable_by_key(|tried| tried.rank);
    Ok(tried)
}

impl Bench<'_> {
    fn is_over(&self) -> bool {
        self.cancel.is_cancelled() || self.left().is_some_and(|left| left.is_zero())
    }

    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Tries one change. `None`: it cannot be made there.
    async fn run(&self, worker: usize, edit: &Edit<'_>, cancel: CancellationToken) -> Result<Option<i32>, FixError> {
        let root = &self.roots[worker];
        let Some(text) = edit.put(root).map_err(FixError::Trial)? else { return Ok(None) };
        let job = TestJob {
            dir: root.as_path().to_owned(),
            command: self.command.to_owned(),
            env: Vec::new(),
            limit: self.left().map_or(self.limit, |left| left.min(self.limit)),
            log: format!("trial-{worker}"),
            cancel,
        };
        let run = self.tests.run(job).await;
        edit.take_back(root, &text).map_err(FixError::Trial)?;
        Ok(Some(run?.code))
    }
}

/// What is tried next: decides, and performs nothing.
struct Course {
    all: usize,
    /// No change of this rank or a later one is tried.
    end: usize,
    begun: usize,
    passed: bool,
}

/// After the first change that passed, as many again as were begun are tried for a second, within these bounds.
const FURTHER: (usize, usize) = (3, 8);

impl Course {
    fn new(all: usize, tries: usize) -> Self {
        Self { all, end: all.min(tries), begun: 0, passed: false }
    }

    fn next(&mut self) -> Option<usize> {
        (self.begun < self.end).then(|| {
            self.begun += 1;
            self.begun - 1
        })
    }

    fn note(&mut self, code: i32) {
        if code == 0 && !self.passed {
            self.passed = true;
            self.end = self.all.min(self.begun + self.begun.clamp(FURTHER.0, FURTHER.1));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fix::checks::Shell;
    use crate::fix::ranked::spot::Edit;
    use crate::fix::ranked::trial::{Bench, Course, Tried, trial};
    use crate::path::Root;
    use std::fs;
    use std::time::{Duration, Instant};
    use tokio_util::sync::CancellationToken;

    /// Ends runs in the order in which they began, `workers` at a time, and gives how many there were.
    fn check(all: usize, tries: usize, workers: usize, passes: usize) -> usize {
        let mut course = Course::new(all, tries);
        let mut running = std::collections::VecDeque::new();
        let mut ended = 0;
        loop {
            while running.len() < workers
                && let Some(rank) = course.next()
            {
                running.push_back(rank);
            }
            let Some(rank) = running.pop_front() else { return ended };
            ended += 1;
            course.note(i32::from(rank != passes));
        }
    }

    #[test]
    fn it_looks_on_a_little_after_the_first_that_passes() {
        assert_eq!(check(100, 32, 1, 0), 1 + 3);
        assert_eq!(check(100, 32, 4, 0), 4 + 4, "those under way count as tried");
        assert_eq!(check(100, 32, 1, 5), 6 + 6);
        assert_eq!(check(100, 32, 1, 30), 31 + 8);
        assert_eq!(check(7, 32, 1, 5), 7);
        assert_eq!(check(100, 32, 4, 99), 32, "none passed");
        assert_eq!(check(5, 32, 2, 99), 5);
        assert_eq!(check(0, 32, 2, 0), 0);
    }

    #[tokio::test]
    async fn a_change_that_never_ends_is_cut_off_and_every_tree_left_as_it_was() {
        let held = tempfile::tempdir().unwrap();
        let roots: Vec<Root> = ["a", "b"]
            .iter()
            .map(|name| {
                let dir = held.path().join(name);
                fs::create_dir(&dir).unwrap();
                fs::write(dir.join("n"), "0\r\n").unwrap();
                Root::open(&dir).unwrap()
            })
            .collect();
        let path = roots[0].parse("n").unwrap();
        let edit = |old, new| Edit { path: &path, line: 1, old, new };
        let edits = [edit("0", "9"), edit("0", "1"), edit("moved", "2"), edit("0", "2")];
        let shell = Shell { logs: held.path().join("logs") };
        let mut bench = Bench {
            tests: &shell,
            roots: roots.clone(),
            command: "grep -q 9 n && sleep 600; grep -q 2 n",
            limit: Duration::from_millis(500),
            deadline: None,
            cancel: CancellationToken::new(),
        };
        let tried = |rank, code| Tried { rank, code };
        assert_eq!(trial(&bench, &edits, 32).await.unwrap(), [tried(0, 124), tried(1, 1), tried(3, 0)]);
        for root in &roots {
            assert_eq!(fs::read_to_string(root.join(&path)).unwrap(), "0\r\n");
        }
        bench.deadline = Some(Instant::now());
        assert_eq!(trial(&bench, &edits, 32).await.unwrap(), [], "nothing begins when the time is up");
    }
}
