//! Symbols in words: as many as help, and how many there are.

use crate::repo::symbols::Symbol;
use crate::repo::tests_of::is_test;
use crate::text::clip;
use crate::tools::symbols::{Hit, Match, Query};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Definitions in an answer, where the letters of a query merely stand in their order, and else.
const RESEMBLING: usize = 15;
const SHOWN: usize = 60;
/// Bytes of an answer: about 2,000 tokens.
const BYTES: usize = 6_000;
/// Characters of a signature.
const SIGNATURE: usize = 120;
/// Files whose references are shown, and lines of each.
const USERS: usize = 12;
const LINES: usize = 8;

/// All definitions at a place. `cut` files were not looked at.
pub(crate) fn outline_told(found: &[(String, Symbol)], place: &str, cut: usize) -> String {
    let mut text = format!("{} definitions in {place}\n", found.len());
    let shown = lines(&mut text, found.iter().map(|(path, symbol)| (path.as_str(), symbol)), SHOWN);
    bound(&mut text, shown, found.len(), "narrow with a query or a path");
    if cut > 0 {
        let _ = writeln!(text, "[{cut} files were not looked at: give a path]");
    }
    text
}

/// The definitions that answer a query, best first. Letters in their order count only where nothing better was found.
pub(crate) fn told(hits: &mut Vec<Hit>, query: &Query, place: &str) -> String {
    let resembling = hits.first().is_some_and(|hit| hit.how == Match::Letters);
    let most = if resembling { RESEMBLING } else { SHOWN };
    if !resembling {
        hits.retain(|hit| hit.how < Match::Letters);
    }
    let total = hits.len();
    let how = if resembling { "resembling" } else { "matching" };
    let mut text = format!("{total} definitions {how} `{}` in {place}\n", query.written);
    let shown = lines(&mut text, hits.iter().map(|hit| (hit.path.as_str(), &hit.symbol)), most);
    bound(&mut text, shown, total, "narrow with a longer query or a path");
    if total == 0 {
        text.push_str("[nothing is defined by that name here: use search]\n");
    }
    text
}

fn lines<'h>(text: &mut String, found: impl Iterator<Item = (&'h str, &'h Symbol)>, most: usize) -> usize {
    let mut shown = 0;
    for (path, symbol) in found.take(most) {
        let signature = clip::prefix(&symbol.signature, SIGNATURE);
        let line = format!("{path}:{} {} {}: {signature}\n", symbol.line, symbol.kind, symbol.name);
        if text.len() + line.len() > BYTES {
            break;
        }
        text.push_str(&line);
        shown += 1;
    }
    shown
}

fn bound(text: &mut String, shown: usize, total: usize, advice: &str) {
    if shown < total {
        let _ = writeln!(text, "[{shown} of {total} shown: {advice}]");
    }
}

/// Where a name is used; nothing where nobody knows. `cut`: not every file was looked at.
pub(crate) fn users_told(name: &str, by_file: &BTreeMap<String, Vec<usize>>, cut: bool) -> String {
    let total: usize = by_file.values().map(Vec::len).sum();
    if total == 0 {
        return String::new();
    }
    let least = if cut { "at least " } else { "" };
    let mut text = format!("`{name}` is used in {least}{total} places, {} files\n", by_file.len());
    // Where it is used most is where it is learned how.
    let mut files: Vec<(&String, &Vec<usize>)> = by_file.iter().collect();
    files.sort_by_key(|(path, lines)| (is_test(path), std::cmp::Reverse(lines.len())));
    for (path, lines) in files.iter().take(USERS) {
        let numbers: Vec<String> = lines.iter().take(LINES).map(ToString::to_string).collect();
        let more = if lines.len() > LINES { ", …" } else { "" };
        let _ = writeln!(text, "{path}: {}{more}", numbers.join(", "));
    }
    bound(&mut text, files.len().min(USERS), files.len(), "search for it in a path");
    text
}
