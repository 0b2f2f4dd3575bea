//! Patches over several files, in two formats: `*** Begin Patch` and unified diff. Parsing only; `place` finds the places.
//!
//! Line numbers are a hint at most: models count badly. They decide only between places that match equally well.

use crate::edit::lines::flatten;
use crate::edit::place::{Applied, Edit, Refusal, place};

/// What a patch does to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChange {
    Add { path: String, content: String },
    Delete { path: String },
    Update { path: String, to: Option<String>, hunks: Vec<Hunk> },
}

/// One replacement in a file, in the order in which the patch tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hunk {
    /// Lines that stand above the place, outermost first: `@@ class A`, `@@ def f`.
    pub scope: Vec<String>,
    /// Where the place is after all hunks before it, from 1.
    pub line: Option<usize>,
    pub search: String,
    pub replace: String,
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
    #[error("`{0}` changes no lines: renames alone, modes and binary files are not applied")]
    NoLines(String),
    #[error("the change of `{0}` is empty")]
    Empty(String),
}

/// Reads a patch in either format, with or without a code fence around it.
pub fn parse(text: &str) -> Result<Vec<FileChange>, PatchError> {
    let text = flatten(text);
    let lines: Vec<&str> = text.lines().collect();
    let changes = match lines.iter().position(|l| l.trim() == "*** Begin Patch") {
        Some(begin) => {
            let end =
                lines.iter().position(|l| l.trim() == "*** End Patch").filter(|end| *end > begin).ok_or(PatchError::CutOff)?;
            begin_patch(&lines[begin + 1..end])?
        }
        None => unified(&lines)?,
    };
    match changes.iter().find(|change| is_empty(change)) {
        Some(FileChange::Update { path, .. }) => Err(PatchError::Empty(path.clone())),
        _ if changes.is_empty() => Err(PatchError::NoPatch),
        _ => Ok(changes),
    }
}

fn is_empty(change: &FileChange) -> bool {
    matches!(change, FileChange::Update { to: None, hunks, .. } if hunks.iter().all(|h| h.search.is_empty() && h.replace.is_empty()))
}

fn begin_patch(lines: &[&str]) -> Result<Vec<FileChange>, PatchError> {
    let mut changes: Vec<FileChange> = Vec::new();
    for line in lines {
        let marker = line.trim().strip_prefix("*** ");
        let named = |word: &str| marker.and_then(|m| m.strip_prefix(word)).map(|path| path.trim().to_owned());
        if let Some(path) = named("Add File:") {
            changes.push(FileChange::Add { path, content: String::new() });
        } else if let Some(path) = named("Delete File:") {
            changes.push(FileChange::Delete { path });
        } else if let Some(path) = named("Update File:") {
            changes.push(FileChange::Update { path, to: None, hunks: Vec::new() });
        } else if marker == Some("End of File") {
            // Says where the hunk is; its lines say so as well.
        } else {
            match (changes.last_mut(), named("Move to:")) {
                (Some(FileChange::Update { to, .. }), Some(path)) => *to = Some(path),
                (Some(FileChange::Update { hunks, .. }), None) => hunk_line(hunks, line),
                (Some(FileChange::Add { content, .. }), None) => {
                    content.push_str(line.strip_prefix('+').unwrap_or(line));
                    content.push('\n');
                }
                _ if line.trim().is_empty() => {}
                _ => return Err(PatchError::Stray((*line).to_owned())),
            }
        }
    }
    Ok(changes)
}

fn unified(lines: &[&str]) -> Result<Vec<FileChange>, PatchError> {
    let headers: Vec<usize> = (0..lines.len().saturating_sub(1))
        .filter(|&i| lines[i].starts_with("--- ") && lines[i + 1].starts_with("+++ "))
        .collect();
    let git: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].starts_with("diff --git ")).collect();
    for (at, &section) in git.iter().enumerate() {
        let end = git.get(at + 1).copied().unwrap_or(lines.len());
        if !headers.iter().any(|header| (section..end).contains(header)) {
            return Err(PatchError::NoLines(lines[section].to_owned()));
        }
    }
    let mut changes = Vec::new();
    for (at, &header) in headers.iter().enumerate() {
        let (old, new) = (file_name(&lines[header][4..], "a/"), file_name(&lines[header + 1][4..], "b/"));
        let end = headers.get(at + 1).copied().unwrap_or(lines.len());
        let body = lines[header + 2..end].iter().take_while(|l| !l.starts_with("diff --git ") && l.trim_end() != "```");
        let mut hunks = Vec::new();
        body.for_each(|line| hunk_line(&mut hunks, line));
        changes.push(match (old, new) {
            (None, Some(path)) => FileChange::Add { path, content: hunks.into_iter().map(|h| h.replace).collect() },
            (Some(path), None) => FileChange::Delete { path },
            (Some(path), Some(new)) => FileChange::Update { to: (new != path).then_some(new), path, hunks },
            (None, None) => return Err(PatchError::Stray(lines[header].to_owned())),
        });
    }
    Ok(changes)
}

/// The path of a file header, without its prefix and time; `None` for `/dev/null`.
fn file_name(written: &str, prefix: &str) -> Option<String> {
    let path = written.split('\t').next().unwrap_or_default().trim();
    (path != "/dev/null").then(|| path.strip_prefix(prefix).unwrap_or(path).to_owned())
}

/// Takes one line of an update's body into its hunks.
fn hunk_line(hunks: &mut Vec<Hunk>, line: &str) {
    if let Some(header) = line.strip_prefix("@@") {
        hunk_header(hunks, header);
        return;
    }
    if line.starts_with('\\') {
        return;
    }
    if hunks.is_empty() {
        hunks.push(Hunk::default());
    }
    let Some(hunk) = hunks.last_mut() else { return };
    let mut put = |content: &str, old: bool, new: bool| {
        for side in [old.then_some(&mut hunk.search), new.then_some(&mut hunk.replace)].into_iter().flatten() {
            side.push_str(content);
            side.push('\n');
        }
    };
    match line.chars().next() {
        Some('+') => put(&line[1..], false, true),
        Some('-') => put(&line[1..], true, false),
        Some(' ') => put(&line[1..], true, true),
        // A context line that lost its leading blank.
        _ => put(line, true, true),
    }
}

/// `@@`, `@@ -1,2 +3,4 @@`, `@@ ... @@` begin a hunk; `@@ def f():` does too, or narrows the header before it.
fn hunk_header(hunks: &mut Vec<Hunk>, header: &str) {
    let inner = header.trim().trim_end_matches("@@").trim();
    let numbers = inner.split_once("@@").map_or(inner, |(numbers, _)| numbers);
    let line = numbers.split_whitespace().find_map(|n| n.strip_prefix('+')).and_then(|n| n.split(',').next()?.parse().ok());
    let scope = if line.is_some() || inner.trim_matches(['.', ' ']).is_empty() { None } else { Some(inner.to_owned()) };
    match (hunks.last_mut(), scope) {
        (Some(last), Some(scope)) if last.search.is_empty() && last.replace.is_empty() => last.scope.push(scope),
        (_, scope) => hunks.push(Hunk { scope: scope.into_iter().collect(), line, ..Hunk::default() }),
    }
}

/// Applies one hunk to a text. The scope and the line number decide between places that match equally well.
pub fn apply(text: &str, hunk: &Hunk) -> Result<Applied, Refusal> {
    let above = scope(text, &hunk.scope)?;
    if hunk.search.trim().is_empty() {
        // A bare addition belongs right below the line that its header names.
        let Some((_, header)) = above else { return Err(Refusal::Blank) };
        let edit = Edit { search: format!("{header}\n"), replace: format!("{header}\n{}", hunk.replace), occurrence: None };
        return place(text, &edit);
    }
    let edit = Edit { search: hunk.search.clone(), replace: hunk.replace.clone(), occurrence: None };
    match place(text, &edit) {
        Err(Refusal::Ambiguous { lines }) => {
            let below = above.and_then(|(line, _)| lines.iter().position(|&l| l >= line));
            let stated = hunk.line.and_then(|line| lines.iter().position(|&l| l == line));
            match below.or(stated) {
                Some(at) => place(text, &Edit { occurrence: Some(at + 1), ..edit }),
                None => Err(Refusal::Ambiguous { lines }),
            }
        }
        result => result,
    }
}

/// The number and text of the innermost scope line. Each must be the only one of its kind below the one before it, or the first of several equals inside.
fn scope<'a>(text: &'a str, scope: &[String]) -> Result<Option<(usize, &'a str)>, Refusal> {
    let mut found: Option<(usize, &str)> = None;
    for wanted in scope {
        let from = found.map_or(0, |(line, _)| line);
        let mut places =
            text.lines().enumerate().skip(from).filter(|(_, l)| l.trim().starts_with(wanted.as_str())).map(|(i, l)| (i + 1, l));
        let first = places.next().ok_or(Refusal::Missing { nearest: None })?;
        let more: Vec<usize> = places.map(|(line, _)| line).collect();
        if found.is_none() && !more.is_empty() {
            return Err(Refusal::Ambiguous { lines: [vec![first.0], more].concat() });
        }
        found = Some(first);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use crate::edit::patch::{FileChange, Hunk, PatchError, apply, parse};
    use crate::edit::place::Refusal;

    #[test]
    fn both_formats_say_the_same() {
        let hunk = Hunk { search: "a\nb\n".into(), replace: "a\nc\n".into(), ..Hunk::default() };
        let update = |hunk| vec![FileChange::Update { path: "x.rs".into(), to: None, hunks: vec![hunk] }];
        assert_eq!(parse("*** Begin Patch\n*** Update File: x.rs\n@@\n a\n-b\n+c\n*** End Patch"), Ok(update(hunk.clone())));
        let unified = parse(
            "```diff\n--- a/x.rs\t2026-01-01\n+++ b/x.rs\n@@ -7,2 +8,2 @@ fn f() {\n a\n-b\n+c\n\\ No newline at end of file\n```\n",
        );
        assert_eq!(unified, Ok(update(Hunk { line: Some(8), ..hunk })));
    }

    #[test]
    fn files_are_added_deleted_and_moved() {
        let expected = vec![
            FileChange::Add { path: "n".into(), content: "one\n\n".into() },
            FileChange::Delete { path: "d".into() },
            FileChange::Update { path: "m".into(), to: Some("k".into()), hunks: Vec::new() },
        ];
        let text =
            "*** Begin Patch\n*** Add File: n\n+one\n+\n*** Delete File: d\n*** Update File: m\n*** Move to: k\n*** End Patch\n";
        assert_eq!(parse(text), Ok(expected.clone()));
        let text =
            "--- /dev/null\n+++ b/n\n@@ -0,0 +1,2 @@\n+one\n+\n--- a/d\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n--- a/m\n+++ b/k\n";
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn what_is_no_whole_patch_is_refused() {
        assert_eq!(parse("please change x"), Err(PatchError::NoPatch));
        assert_eq!(parse("*** Begin Patch\n*** Update File: x\n@@\n-a\n+"), Err(PatchError::CutOff));
        let renamed =
            "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\ndiff --git a/m b/k\nsimilarity index 100%\nrename from m\nrename to k\n";
        assert_eq!(parse(renamed), Err(PatchError::NoLines("diff --git a/m b/k".into())));
        assert_eq!(parse("*** Begin Patch\n-a\n*** End Patch"), Err(PatchError::Stray("-a".into())));
        assert_eq!(parse("*** Begin Patch\n*** Update File: x\n*** End Patch"), Err(PatchError::Empty("x".into())));
    }

    #[test]
    fn scope_and_line_decide_between_equals() {
        let text = "class A:\n    def f():\n        return 1\nclass B:\n    def f():\n        return 1\n";
        let hunk = Hunk { search: "        return 1\n".into(), replace: "        return 2\n".into(), ..Hunk::default() };
        let line = |hunk: &Hunk| apply(text, hunk).map(|a| a.line);
        assert_eq!(line(&hunk), Err(Refusal::Ambiguous { lines: vec![3, 6] }));
        assert_eq!(line(&Hunk { line: Some(6), ..hunk.clone() }), Ok(6));
        assert_eq!(line(&Hunk { line: Some(5), ..hunk.clone() }), Err(Refusal::Ambiguous { lines: vec![3, 6] }));
        assert_eq!(line(&Hunk { scope: vec!["class B:".into(), "def f():".into()], ..hunk.clone() }), Ok(6));
        assert_eq!(line(&Hunk { scope: vec!["class C:".into()], ..hunk }), Err(Refusal::Missing { nearest: None }));
    }
}
