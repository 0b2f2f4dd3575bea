//! Patches over several files, in two formats: `*** Begin Patch` and unified diff.
//!
//! `parse` reads either into the same changes, `hunks` finds the places of a file's. Line numbers are a hint at most: models
//! count badly. They decide only between places that match equally well.

mod begin;
mod hunks;
#[cfg(test)]
mod tests;
mod unified;

pub use crate::edit::patch::hunks::apply;

use crate::edit::lines::flatten;
use crate::edit::repair;

/// What a patch does to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChange {
    Add {
        path: String,
        content: String,
    },
    /// With the lines that the file must have, where the patch shows them.
    Delete {
        path: String,
        content: Option<String>,
    },
    Update {
        path: String,
        to: Option<String>,
        hunks: Vec<Hunk>,
    },
}

/// One replacement in a file, in the order in which the patch tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hunk {
    /// Lines that stand above the place, outermost first: `@@ class A`, `@@ def f`.
    pub scope: Vec<String>,
    /// The line, from 1, that it begins at in the file as it was, and in the file after all hunks before it.
    pub stated: Option<(usize, usize)>,
    pub lines: Vec<Line>,
    /// It is said to reach to the end of the file.
    pub at_end: bool,
    /// The old and the new side are said to end without a newline.
    pub bare_ends: (bool, bool),
}

/// One line of a hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub side: Side,
    pub text: String,
}

/// On which side of a change a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Both,
    Old,
    New,
}

impl Hunk {
    /// The text on one side.
    fn text(&self, side: Side) -> String {
        let lines = self.lines.iter().filter(|line| line.side == side || line.side == Side::Both);
        lines.flat_map(|line| [line.text.as_str(), "\n"]).collect()
    }

    /// The text to look for.
    pub fn search(&self) -> String {
        self.text(Side::Old)
    }

    /// The text that takes its place.
    pub fn replace(&self) -> String {
        self.text(Side::New)
    }
}

/// Why a text is no patch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    #[error("there is neither `*** Begin Patch` nor `--- `")]
    NoPatch,
    #[error("`*** End Patch` is missing: the patch was cut off")]
    CutOff,
    #[error("line `{0}` belongs to no file")]
    Stray(String),
    #[error("`{0}` changes no lines: modes and binary files are not applied")]
    NoLines(String),
    #[error("the change of `{0}` is empty")]
    Empty(String),
}

/// Reads a patch in either format, with or without a code fence around it.
pub fn parse(text: &str) -> Result<Vec<FileChange>, PatchError> {
    let text = flatten(text);
    match read(&text) {
        // One layer of escapes too many makes one line of it.
        Err(PatchError::NoPatch) if text.contains("\\n") => read(&repair::unescaped(&text)),
        result => result,
    }
}

fn read(text: &str) -> Result<Vec<FileChange>, PatchError> {
    let lines: Vec<&str> = text.lines().collect();
    let changes = match begin::body(&lines)? {
        Some(body) if begin::has_files(&body) => begin::changes(&body)?,
        Some(body) => unified::changes(&body)?,
        None => unified::changes(&lines)?,
    };
    match changes.iter().find(|change| is_empty(change)) {
        Some(FileChange::Update { path, .. }) => Err(PatchError::Empty(path.clone())),
        _ if changes.is_empty() => Err(PatchError::NoPatch),
        _ => Ok(changes),
    }
}

fn is_empty(change: &FileChange) -> bool {
    matches!(change, FileChange::Update { to: None, hunks, .. } if hunks.iter().all(|hunk| hunk.lines.is_empty()))
}

/// Takes one line of an update's body into its hunks.
fn hunk_line(hunks: &mut Vec<Hunk>, line: &str) {
    if let Some(header) = line.strip_prefix("@@") {
        hunk_header(hunks, header);
        return;
    }
    if hunks.is_empty() {
        hunks.push(Hunk::default());
    }
    let Some(hunk) = hunks.last_mut() else { return };
    if line.starts_with('\\') {
        match hunk.lines.last().map(|line| line.side) {
            Some(Side::Old) => hunk.bare_ends.0 = true,
            Some(Side::New) => hunk.bare_ends.1 = true,
            Some(Side::Both) => hunk.bare_ends = (true, true),
            None => {}
        }
        return;
    }
    let (side, text) = match line.chars().next() {
        Some('+') => (Side::New, &line[1..]),
        Some('-') => (Side::Old, &line[1..]),
        Some(' ') => (Side::Both, &line[1..]),
        // A context line that lost its leading blank.
        _ => (Side::Both, line),
    };
    hunk.lines.push(Line { side, text: text.to_owned() });
}

/// `@@`, `@@ -1,2 +3,4 @@`, `@@ ... @@` begin a hunk; `@@ def f():` does too, or narrows the header before it.
fn hunk_header(hunks: &mut Vec<Hunk>, header: &str) {
    let inner = header.trim().trim_end_matches("@@").trim();
    let numbers = inner.split_once("@@").map_or(inner, |(numbers, _)| numbers);
    let number = |sign: char| {
        let written = numbers.split_whitespace().find_map(|n| n.strip_prefix(sign))?;
        written.split(',').next()?.parse::<usize>().ok()
    };
    let stated = number('-').zip(number('+'));
    let scope = if stated.is_some() || inner.trim_matches(['.', ' ']).is_empty() { None } else { Some(inner.to_owned()) };
    match (hunks.last_mut(), scope) {
        (Some(last), Some(scope)) if last.lines.is_empty() => last.scope.push(scope),
        (_, scope) => hunks.push(Hunk { scope: scope.into_iter().collect(), stated, ..Hunk::default() }),
    }
}
