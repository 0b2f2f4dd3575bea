//! A code fence around the text.

use crate::edit::page::Page;
use crate::edit::place::Pair;
use crate::edit::repair::Repaired;

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

/// Off the search, and off the replacement if it has one.
pub(super) fn off(pair: &Pair) -> Vec<Repaired> {
    let Some(search) = inside(&pair.search) else { return Vec::new() };
    let replace = inside(&pair.replace).unwrap_or_else(|| pair.replace.clone());
    vec![Repaired { pair: Pair { search, replace }, line: None }]
}

/// The replacement alone, in a file that has no fences of its own: there one could be meant.
pub(super) fn off_replacement(page: &Page, pair: &Pair) -> Option<String> {
    let fenced = |text: &str| text.lines().any(|line| marks(line).is_some());
    let prose = page.lines.iter().any(|line| line.starts_with("# ") && !line.starts_with("# !"))
        && page.lines.iter().any(|l| l.starts_with("- ") || l.starts_with("## "));
    if prose || fenced(&pair.search) || fenced(page.flat) {
        return None;
    }
    let mut inner = inside(&pair.replace)?;
    if !pair.search.ends_with('\n') {
        inner.pop();
    }
    Some(inner)
}
