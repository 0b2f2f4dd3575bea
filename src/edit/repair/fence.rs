//! A code fence around the text.

use crate::edit::page::Page;
use crate::edit::place::Pair;
use crate::edit::repair::Repaired;
use std::collections::HashSet;

/// The longest word behind an opening fence that is one.
const INFO: usize = 40;

/// The fence that a line opens or closes with.
fn marks(line: &str) -> Option<&str> {
    let line = line.trim();
    ['`', '~'].iter().find_map(|mark| {
        let length = line.len() - line.trim_start_matches(*mark).len();
        (length >= 3).then(|| &line[..length])
    })
}

/// The text inside a fence that stands around all of it. `None`: there is none, or there are several.
fn inside(text: &str) -> Option<String> {
    let body = text.trim_matches('\n');
    let (first, rest) = body.split_once('\n')?;
    let fence = marks(first)?;
    let info = first.trim().trim_start_matches(fence.chars().next()?);
    let (inner, last) = rest.rsplit_once('\n').unwrap_or(("", rest));
    let closes = last.trim() == fence;
    if !closes || info.len() > INFO || inner.lines().any(|line| marks(line).is_some()) {
        return None;
    }
    Some(format!("{inner}\n"))
}

/// The text without a fence that only opens above it or only closes below it.
fn without_half(text: &str) -> Option<String> {
    let mut lines: Vec<&str> = text.trim_matches('\n').lines().collect();
    let fences: Vec<usize> = (0..lines.len()).filter(|at| marks(lines[*at]).is_some()).collect();
    match fences.as_slice() {
        [only] if lines.len() > 1 && (*only == 0 || *only == lines.len() - 1) => lines.remove(*only),
        _ => return None,
    };
    Some(lines.join("\n") + "\n")
}

/// Off the search, and off the replacement if it has one.
pub(super) fn off(pair: &Pair) -> Vec<Repaired> {
    let bare = |text: &str| inside(text).or_else(|| without_half(text));
    let Some(search) = bare(&pair.search) else { return Vec::new() };
    let replace = bare(&pair.replace).unwrap_or_else(|| pair.replace.clone());
    vec![Repaired { pair: Pair { search, replace }, line: None }]
}

/// The replacement alone, where it is code that says the search anew: in prose, or in a file that has fences of its own, and around
/// the very text that was there, one could be meant.
pub(super) fn off_replacement(page: &Page, pair: &Pair) -> Option<String> {
    let fenced = |text: &str| text.lines().any(|line| marks(line).is_some());
    let mut inner = inside(&pair.replace)?;
    let says_anew = inner.trim() != pair.search.trim() && repeats(&inner, &pair.search);
    if !says_anew || is_prose(page) || fenced(&pair.search) || fenced(page.flat) {
        return None;
    }
    if !pair.search.ends_with('\n') {
        inner.pop();
    }
    Some(inner)
}

/// Whether at least half of the words of `old` stand in `new`.
fn repeats(new: &str, old: &str) -> bool {
    let words = |text: &str| -> HashSet<String> {
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let (new, old) = (words(new), words(old));
    !old.is_empty() && 2 * old.intersection(&new).count() >= old.len()
}

/// Whether a file has headings and lists of Markdown.
fn is_prose(page: &Page) -> bool {
    let any = |starts: &[&str]| page.lines.iter().any(|line| starts.iter().any(|start| line.starts_with(start)));
    any(&["# ", "## "]) && any(&["- ", "* ", "## ", "1. "])
}
