//! The format that opens with `*** Begin Patch`.

use crate::edit::patch::{FileChange, PatchError, hunk_line};

const FILES: [&str; 3] = ["Add File:", "Delete File:", "Update File:"];

/// The word of a marker line: `*** Update File: a` gives `Update File: a`.
fn marker(line: &str) -> Option<&str> {
    line.trim().strip_prefix("*** ")
}

fn names_file(line: &str) -> bool {
    marker(line).is_some_and(|marker| FILES.iter().any(|word| marker.starts_with(word)))
}

/// Whether the body names its files as this format does.
pub(super) fn has_files(body: &[&str]) -> bool {
    body.iter().any(|line| names_file(line))
}

/// The lines between the markers, of all patches in the text. `None`: it is not of this format.
pub(super) fn body<'a>(lines: &[&'a str]) -> Result<Option<Vec<&'a str>>, PatchError> {
    let is = |line: &str, word: &str| marker(line).is_some_and(|marker| marker.trim() == word);
    let mut body = Vec::new();
    let mut rest = lines;
    while let Some(begin) = rest.iter().position(|line| is(line, "Begin Patch")) {
        let inside = &rest[begin + 1..];
        let end = inside.iter().position(|line| is(line, "End Patch")).ok_or(PatchError::CutOff)?;
        body.extend_from_slice(&inside[..end]);
        rest = &inside[end + 1..];
    }
    if !body.is_empty() || rest.len() < lines.len() {
        return Ok(Some(body));
    }
    // The markers around it were left out: what names a file begins it.
    let Some(begin) = lines.iter().position(|line| names_file(line)) else { return Ok(None) };
    let ends = |line: &&&str| is(line, "End Patch") || line.trim() == "```" || line.trim() == "EOF";
    let end = lines[begin..].iter().position(|line| ends(&line)).map_or(lines.len(), |end| begin + end);
    Ok(Some(lines[begin..end].to_vec()))
}

/// Reads the changes of a body.
pub(super) fn changes(lines: &[&str]) -> Result<Vec<FileChange>, PatchError> {
    let mut changes: Vec<FileChange> = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        let named = |word: &str| marker(line)?.strip_prefix(word).map(|path| path.trim().to_owned());
        if let Some(path) = named("Add File:") {
            let end = at + lines[at..].iter().position(|line| names_file(line)).unwrap_or(lines.len() - at);
            changes.push(FileChange::Add { path, content: content(&lines[at..end]) });
            at = end;
        } else if let Some(path) = named("Delete File:") {
            changes.push(FileChange::Delete { path, content: None });
        } else if let Some(path) = named("Update File:") {
            changes.push(FileChange::Update { path, to: None, hunks: Vec::new() });
        } else {
            match (changes.last_mut(), named("Move to:")) {
                (Some(FileChange::Update { to, .. }), Some(path)) => *to = Some(path),
                (Some(FileChange::Update { hunks, .. }), None) => {
                    let next = lines.get(at).copied().unwrap_or_default();
                    if named("End of File").is_some() {
                        hunks.iter_mut().next_back().into_iter().for_each(|hunk| hunk.at_end = true);
                    } else if hunks.is_empty() && is_header(line, next) {
                        // Headers of the other format say nothing that the marker did not say.
                        at += usize::from(line.starts_with("--- "));
                    } else {
                        hunk_line(hunks, line);
                    }
                }
                _ if line.trim().is_empty() => {}
                _ => return Err(PatchError::Stray((*line).to_owned())),
            }
        }
    }
    Ok(changes)
}

/// Whether a line is a file header of a unified diff.
fn is_header(line: &str, next: &str) -> bool {
    let git = ["diff --git ", "index ", "new file mode ", "deleted file mode ", "old mode ", "new mode "];
    (line.starts_with("--- ") && next.starts_with("+++ ")) || git.iter().any(|word| line.starts_with(word))
}

/// The content of a new file: lines behind `+`; also such as lost it, but no blank ones at the end.
fn content(lines: &[&str]) -> String {
    let headers = lines.iter().take_while(|line| !line.starts_with('+') || line.starts_with("+++ ")).count();
    let from = if lines[..headers].iter().any(|line| line.starts_with("--- ") || line.starts_with("@@")) { headers } else { 0 };
    let mut lines = &lines[from..];
    while let Some((_, rest)) = lines.split_last().filter(|(last, _)| last.trim().is_empty() || **last == "*** End of File") {
        lines = rest;
    }
    lines.iter().flat_map(|line| [line.strip_prefix('+').unwrap_or(line), "\n"]).collect()
}
