//! Watched runs of real interpreters on small projects. Where one is not installed its tests say so and pass.

use crate::fix::checks::{Shell, TestJob, TestRun, Tests, succeeds};
use crate::fix::flow::Before;
use crate::fix::ranked::coverage::{Interpreters, Watch, limit};
use crate::path::Root;
use crate::repair::suspects::{Covered, Lines};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A project of `=== PATH` and the file's text.
fn project(files: &str) -> tempfile::TempDir {
    let held = tempfile::tempdir().unwrap();
    for file in files.split("=== ").skip(1) {
        let (path, text) = file.split_once('\n').unwrap();
        let path = held.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    held
}

async fn watch(dir: &Path, command: &str) -> (TestRun, Option<Covered>) {
    let logs = tempfile::tempdir().unwrap();
    let tests = Shell { logs: logs.path().into() };
    let (limit, cancel) = (Duration::from_secs(60), CancellationToken::new());
    let root = Root::open(dir).unwrap();
    let job = TestJob {
        dir: root.as_path().into(),
        command: command.into(),
        env: Vec::new(),
        limit,
        log: "test".into(),
        cancel: cancel.clone(),
    };
    let run = tests.run(job).await.unwrap();
    let before = Before { command: command.into(), run: run.clone(), took: Duration::ZERO };
    let interpreters = Interpreters::of(command, &run.output).expect("an interpreter is named");
    let watch = Watch { tests: &tests, root: &root, before: &before, interpreters, limit, cancel };
    (run, watch.run().await.unwrap())
}

/// The lines of one file, separated by spaces.
fn told(lines: &Lines, path: &str) -> String {
    let found = lines.iter().find(|(known, _)| known.as_str() == path).map(|(_, lines)| lines);
    found.into_iter().flatten().map(usize::to_string).collect::<Vec<_>>().join(" ")
}

fn installed(question: &str) -> bool {
    let there = succeeds(Path::new("/"), question);
    if !there {
        eprintln!("left out: `{question}` fails here");
    }
    there
}

/// The interpreters of Python that are there, old and new: they are watched in two ways.
fn pythons() -> Vec<&'static str> {
    ["python3", "python3.12", "python3.13"].into_iter().filter(|python| installed(&format!("{python} -c ''"))).collect()
}

const PYTHON: &str = "=== calc.py
LIMIT = 3


def low(x):
    if x < LIMIT:
        return min(x,
                   LIMIT)
    return x


def high(x):
    return x + 1


def shared(x):
    return x
=== tests/test_calc.py
import unittest
import calc


class Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.x = calc.shared(1)

    def test_low(self):
        self.assertEqual(calc.low(1), 2)

    def test_high(self):
        self.assertEqual(calc.high(1), 2)
";

#[tokio::test]
async fn unittest_tells_the_lines_of_failing_tests() {
    for python in pythons() {
        let held = project(PYTHON);
        let (run, covered) = watch(held.path(), &format!("{python} -m unittest discover -s tests")).await;
        let covered = covered.unwrap_or_else(|| panic!("{python}: {run:?}"));
        assert_eq!(told(&covered.all, "calc.py"), "1 4 5 6 7 11 12 15 16", "{python}");
        assert_eq!(told(&covered.failing, "calc.py"), "1 4 5 6 7 11 15 16", "{python}");
    }
}

#[tokio::test]
async fn pytest_tells_them_too_and_fixtures_belong_to_all() {
    let question = "python3 -m pytest --version";
    let python = if installed(question) { "python3" } else { "/usr/bin/python3" };
    if !installed(&question.replace("python3", python)) {
        return;
    }
    let tests = "=== test_calc.py
import pytest
import calc


@pytest.fixture(scope='module')
def given():
    return calc.shared(1)


def test_high(given):
    assert calc.high(given) == 2


def test_low(given):
    assert calc.low(given) == 2
";
    let held = project(&format!("{}{tests}", PYTHON.split("=== tests").next().unwrap()));
    let (run, covered) = watch(held.path(), &format!("{python} -m pytest -q -p no:cacheprovider")).await;
    let covered = covered.unwrap_or_else(|| panic!("{run:?}"));
    assert_eq!(told(&covered.all, "calc.py"), "1 4 5 6 7 11 12 15 16");
    assert_eq!(told(&covered.failing, "calc.py"), "1 4 5 6 7 11 15 16");
}

#[tokio::test]
async fn workers_and_other_processes_tell_as_well() {
    for python in pythons() {
        let held = project(&format!(
            "{PYTHON}=== check.py
import multiprocessing, subprocess, sys
import calc
if __name__ == '__main__':
    with multiprocessing.get_context('fork').Pool(1) as pool:
        pool.map(calc.low, [1])
        pool.close()
        pool.join()
    subprocess.run([sys.executable, '-c', 'import calc; calc.high(1)'])
    sys.exit(3)
"
        ));
        let (run, covered) = watch(held.path(), &format!("{python} check.py")).await;
        let covered = covered.unwrap_or_else(|| panic!("{python}: {run:?}"));
        assert_eq!(told(&covered.failing, "calc.py"), "1 4 5 6 7 11 12 15", "{python}");
        assert_eq!(covered.failing, covered.all, "no test is known to fail");
    }
}

#[tokio::test]
async fn a_process_that_ends_without_a_word_leaves_nothing_known() {
    for python in pythons() {
        let held = project(PYTHON);
        let (_, covered) = watch(held.path(), &format!("{python} -c 'import calc, os; calc.low(1); os._exit(1)'")).await;
        assert_eq!(covered, None, "{python}");
        let (_, covered) = watch(held.path(), &format!("{python} -c 'raise SystemExit(1)'")).await;
        assert_eq!(covered, None, "{python}: nothing of the project ran");
    }
}

#[tokio::test]
async fn a_run_that_ends_otherwise_is_not_believed() {
    let Some(python) = pythons().pop() else { return };
    let held = project(PYTHON);
    let (_, covered) = watch(held.path(), &format!("mkdir once || exit 2; {python} -c 'import calc; calc.low(1); 1 / 0'")).await;
    assert_eq!(covered, None);
}

#[tokio::test]
async fn the_tests_meet_what_they_would_have_met() {
    for python in pythons() {
        let held = project(&format!(
            "{PYTHON}=== site/sitecustomize.py
import builtins
builtins.mine = 1
=== check.py
import calc, sys, sitecustomize
print(mine, sitecustomize.__file__.endswith('site/sitecustomize.py'), [entry for entry in sys.path if 'tmp' in entry])
sys.exit(1)
"
        ));
        // Of two folders the later one stands for what the environment held before.
        let script = format!("PYTHONPATH=${{PYTHONPATH:+$PYTHONPATH:}}{}/site {python} check.py", held.path().display());
        let output = held.path().join("output");
        let (run, covered) = watch(held.path(), &format!("{script} | tee -a {}; exit 1", output.display())).await;
        assert!(run.output.starts_with("1 True"), "{python}: {}", run.output);
        assert_eq!(fs::read_to_string(&output).unwrap(), run.output.repeat(2), "{python}: the same in both runs");
        assert_eq!(told(&covered.unwrap().all, "calc.py"), "1 4 11 15", "{python}");
    }
}

#[tokio::test]
async fn node_tells_lines() {
    if !installed("node --version") {
        return;
    }
    let held = project(
        "=== a b/calc.js
// \u{e9}
function low(x) {
  if (x < 3) {
    return [x].map((y) => y);
  } else if (x < 9) {
    return 9;
  }
  return x;
}
function high(x) {
  return x;
}
module.exports = { low, high };
=== a.test.mjs
import calc from './a b/calc.js';
import test from 'node:test';
import assert from 'node:assert';
test('low', () => assert.equal(calc.low(1), 2));
test('never', { skip: true }, () => {
  calc.high(1);
});
",
    );
    let (run, covered) = watch(held.path(), "node --test").await;
    let covered = covered.unwrap_or_else(|| panic!("{run:?}"));
    assert_eq!(told(&covered.failing, "a b/calc.js"), "1 2 3 4 13");
    assert_eq!(told(&covered.all, "a.test.mjs"), "1 2 3 4 5");
}

#[test]
fn only_interpreters_that_tell_are_asked() {
    let told = |command, output| Interpreters::of(command, output).map(|found| (found.python, found.node));
    for command in ["python3 -m unittest", "venv/bin/python -m pytest -q", "(pytest)", "PYTHONPATH=src python3.12 x.py"] {
        assert_eq!(told(command, ""), Some((true, false)), "{command}");
    }
    for command in ["node --test", "CI=true npm test", "./node_modules/.bin/mocha", "yarn test"] {
        assert_eq!(told(command, ""), Some((false, true)), "{command}");
    }
    for command in ["GOPROXY=off go test ./...", "cargo test", "make test", "grep -q x calc.py"] {
        assert_eq!(told(command, "red"), None, "{command}");
    }
    assert_eq!(told("make test", "Traceback (most recent call last):\n"), Some((true, false)));
    assert_eq!(told("make test", "    at Test.run (node:internal/test_runner/test:1:1)"), Some((false, true)));
}

#[test]
fn it_costs_a_small_part_of_the_time() {
    let check =
        |time: Option<u64>, took| limit(time.map(Duration::from_secs), Duration::from_millis(took)).map(|l| l.as_millis());
    assert_eq!(check(None, 200), Some(2_800));
    assert_eq!(check(None, 2_500), Some(10_000));
    assert_eq!(check(None, 2_501), None);
    assert_eq!(check(Some(60), 1_500), Some(6_000));
    assert_eq!(check(Some(60), 1_501), None);
    assert_eq!(check(Some(10), 200), Some(1_000));
}
