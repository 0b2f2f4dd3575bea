//! Unified diffs, as `diff -u` and git write them. Counts in the headers are not believed.

use crate::edit::patch::{FileChange, Hunk, PatchError, Side, hunk_line};

/// Reads the changes of a diff.
pub(super) fn changes(lines: &[&str]) -> Result<Vec<FileChange>, PatchError> {
    let is_header = |at: usize| lines[at].starts_with("--- ") && lines.get(at + 1).is_some_and(|next| next.starts_with("+++ "));
    let headers: Vec<usize> = (0..lines.len()).filter(|at| is_header(*at)).collect();
    let git: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with("diff --git ")).collect();
    let mut starts: Vec<usize> = headers.clone();
    starts.extend(git.iter().filter(|section| {
        let end = git.iter().find(|next| next > section).copied().unwrap_or(lines.len());
        !headers.iter().any(|header| (**section..end).contains(header))
    }));
    starts.sort_unstable();
    let mut changes = Vec::new();
    for (at, start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).copied().unwrap_or(lines.len());
        let section = &lines[*start..end];
        changes.push(if headers.contains(start) { file(section)? } else { without_lines(section)? });
    }
    Ok(changes)
}

/// One file's part, from its two headers on.
fn file(section: &[&str]) -> Result<FileChange, PatchError> {
    // Where both say the same, what looks like a prefix is a folder.
    let same = section[0][4..] == section[1][4..];
    let (old, new) = (name(&section[0][4..], if same { "" } else { "a/" }), name(&section[1][4..], if same { "" } else { "b/" }));
    let body = section[2..].iter().take_while(|line| !line.starts_with("diff --git ") && line.trim_end() != "```");
    let mut hunks: Vec<Hunk> = Vec::new();
    body.for_each(|line| hunk_line(&mut hunks, line));
    let content = |side: Side| -> String { hunks.iter().map(|hunk| hunk.text(side)).collect() };
    Ok(match (old, new) {
        (None, Some(path)) => FileChange::Add { path, content: content(Side::New) },
        (Some(path), None) => FileChange::Delete { path, content: Some(content(Side::Old)) },
        (Some(path), Some(new)) => FileChange::Update { to: (new != path).then_some(new), path, hunks },
        (None, None) => return Err(PatchError::Stray(section[0].to_owned())),
    })
}

/// A part of git's that has no lines: a rename, an empty file that comes or goes.
fn without_lines(section: &[&str]) -> Result<FileChange, PatchError> {
    let value = |word: &str| section.iter().find_map(|line| line.strip_prefix(word)).map(str::to_owned);
    let paths = section[0].strip_prefix("diff --git a/").and_then(|paths| paths.split_once(" b/"));
    let binary = section.iter().any(|line| line.starts_with("Binary files ") || line.starts_with("GIT binary patch"));
    match (value("rename from "), value("rename to "), paths) {
        (Some(path), Some(to), _) => Ok(FileChange::Update { path, to: Some(to), hunks: Vec::new() }),
        (_, _, Some((_, path))) if !binary && value("new file mode ").is_some() => {
            Ok(FileChange::Add { path: path.to_owned(), content: String::new() })
        }
        (_, _, Some((path, _))) if !binary && value("deleted file mode ").is_some() => {
            Ok(FileChange::Delete { path: path.to_owned(), content: None })
        }
        _ => Err(PatchError::NoLines(section[0].to_owned())),
    }
}

/// The path of a file header, without its prefix and time; `None` for `/dev/null`.
fn name(written: &str, prefix: &str) -> Option<String> {
    let path = written.split('\t').next().unwrap_or_default().trim();
    (path != "/dev/null").then(|| path.strip_prefix(prefix).unwrap_or(path).to_owned())
}
