//! The project in which an episode plays: a file with the bug, files beside it, and a test command that fails until the bug is gone.

use crate::chance::Chance;
use agent::path::Root;
use agent::repair::Passage;
use agent::repo::syntax::Language;
use anyhow::Result;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a test command's script stands, and how it is called.
const COMMANDS: &[(&str, &str)] = &[
    ("test.sh", "sh test.sh"),
    ("tests/run.sh", "sh tests/run.sh"),
    ("check.sh", "sh check.sh"),
    ("run_tests.sh", "sh run_tests.sh"),
    ("scripts/test", "sh scripts/test"),
];

/// What there is besides the case.
pub struct Decor {
    /// Functions of other people's, each for the file that it stands in: the case's own, or another.
    pub others: Vec<Passage>,
    /// The case's passage that holds the bug, and the line in it, from 0.
    pub target: (usize, usize),
    pub function: String,
}

/// A project on disk, gone with this value.
pub struct Stage {
    held: tempfile::TempDir,
    pub root: Root,
    pub path: String,
    /// The line of that file with the bug, from 1.
    pub line: usize,
    pub command: &'static str,
}

impl Stage {
    /// Writes a project. `mended`: the line as it should be.
    pub fn set(passages: &[Passage], decor: &Decor, mended: &str, chance: &mut Chance) -> Result<Self> {
        let held = tempfile::tempdir()?;
        let dir = held.path().join("project");
        let target = &passages[decor.target.0];
        let path = target.path.as_str().to_owned();
        let mut files: BTreeMap<&str, Vec<&Passage>> = BTreeMap::new();
        for passage in passages.iter().chain(&decor.others) {
            files.entry(passage.path.as_str()).or_default().push(passage);
        }
        let mut line = 0;
        for (name, mut parts) in files {
            parts.sort_by_key(|passage| passage.first);
            let (text, at) = file(&parts, target);
            if name == path {
                line = at + decor.target.1;
                let mut lines: Vec<&str> = text.lines().collect();
                lines[line - 1] = mended;
                fs::write(held.path().join("want"), lines.join("\n") + "\n")?;
            }
            put(&dir.join(name), &text)?;
        }
        let (script, command) = *chance.pick(COMMANDS);
        put(&dir.join(script), &words(&path, &decor.function, chance))?;
        Ok(Self { root: Root::open(&dir)?, held, path, line, command })
    }

    pub fn text(&self) -> Result<String> {
        Ok(fs::read_to_string(self.root.as_path().join(&self.path))?)
    }

    pub fn is_mended(&self) -> bool {
        fs::read_to_string(self.held.path().join("want")).is_ok_and(|want| self.text().is_ok_and(|text| text == want))
    }

    pub fn logs(&self) -> PathBuf {
        self.held.path().join("logs")
    }
}

fn put(path: &Path, text: &str) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    Ok(fs::write(path, text)?)
}

/// A file of functions, and the line, from 1, that the target begins at. A method stands in a class.
fn file(parts: &[&Passage], target: &Passage) -> (String, usize) {
    let mut lines: Vec<String> = Vec::new();
    let mut first = 0;
    for part in parts {
        let inside = part.lines.first().is_some_and(|line| line.starts_with(' '));
        let (opening, closing) = match (inside, part.language) {
            (false, _) => (None, None),
            (true, Language::Python) => (Some("class Part:"), None),
            (true, Language::Rust) => (Some("impl Part {"), Some("}")),
            (true, _) => (Some("class Part {"), Some("}")),
        };
        lines.extend(opening.map(str::to_owned));
        if std::ptr::eq(*part, target) {
            first = lines.len() + 1;
        }
        lines.extend(part.lines.iter().cloned());
        lines.extend(closing.map(str::to_owned));
        lines.push(String::new());
    }
    lines.pop();
    (lines.join("\n") + "\n", first)
}

/// A script that fails, in one of the ways in which tests do, unless the file is as it should be.
fn words(path: &str, function: &str, chance: &mut Chance) -> String {
    let (got, want, count) = (chance.below(90), chance.below(90) + 100, chance.below(40) + 2);
    let (failed, passed) = match chance.below(5) {
        0 => (
            format!("E       assert {got} == {want}\nFAILED tests/test_{function}.py::test_{function}\n1 failed, {count} passed"),
            format!("{} passed", count + 1),
        ),
        1 => (
            format!("test {function} ... FAILED\n  left: {got}\n right: {want}\ntest result: FAILED. {count} passed; 1 failed"),
            format!("test result: ok. {} passed; 0 failed", count + 1),
        ),
        2 => (format!("--- FAIL: {function}\n    got {got}, want {want}\nFAIL"), format!("ok  {count} tests")),
        3 => (format!("not ok {count} - {function}\n  expected: {want}\n  actual: {got}"), format!("ok {count} - {function}")),
        _ => (format!("AssertionError: {got} != {want}"), "OK".to_owned()),
    };
    format!("if cmp -s {path} ../want; then\ncat <<'END'\n{passed}\nEND\nelse\ncat <<'END'\n{failed}\nEND\nexit 1\nfi\n")
}
