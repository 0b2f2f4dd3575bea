//! Where an edit goes: a ladder of three rungs, each tried only when the one above found nothing.
//!
//! Exact substring, then whole lines without their trailing blanks, then whole lines under one indentation map. A rung
//! with more than one hit ends the climb: a looser rung must never decide between places that a stricter one could not.

use crate::edit::elision;
use crate::edit::indent::{self, IndentMap};
use crate::edit::lines::{Lines, flatten};
use crate::edit::nearest::{self, Nearest};
use similar::{Algorithm, DiffTag, capture_diff_slices};
use std::ops::Range;

/// One replacement in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub search: String,
    pub replace: String,
    /// Which of several places, from 1. `None`: there must be only one.
    pub occurrence: Option<usize>,
}

/// How the search was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Exact,
    TrailingBlanks,
    /// The replacement was given the file's indentation.
    Indentation,
}

/// An edit that has its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The whole text after the edit.
    pub text: String,
    pub how: How,
    /// The first line, from 1, that the edit touched.
    pub line: usize,
}

/// Why an edit was not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The search is empty or only blanks.
    Blank,
    /// The text would stay as it is.
    NoChange,
    /// The replacement holds a mark for left-out code.
    Elided {
        mark: String,
    },
    /// The search begins or ends inside a word or number of the text.
    CutsWord {
        line: usize,
    },
    Ambiguous {
        lines: Vec<usize>,
    },
    NoSuchOccurrence {
        asked: usize,
        lines: Vec<usize>,
    },
    /// The replacement stands in the text already.
    AlreadyApplied {
        line: usize,
    },
    Missing {
        nearest: Option<Nearest>,
    },
}

/// A place that a rung found: the range of the flat text to replace, and by what.
struct Hit {
    range: Range<usize>,
    replacement: String,
}

/// Applies an edit to a text, or says why not. Line ends, byte order mark and a missing final newline stay as they are.
pub fn place(text: &str, edit: &Edit) -> Result<Applied, Refusal> {
    let (search, replace) = (flatten(&edit.search), flatten(&edit.replace));
    if search.trim().is_empty() && !text.trim().is_empty() {
        return Err(Refusal::Blank);
    }
    if search == replace {
        return Err(Refusal::NoChange);
    }
    if search.trim().is_empty() {
        // Nothing stands in the text: there is only one place.
        let applied = Applied { text: edit.replace.clone(), how: How::Exact, line: 1 };
        return if text == edit.replace { Err(Refusal::NoChange) } else { Ok(applied) };
    }
    if let Some(mark) = elision::added(&search, &replace) {
        return Err(Refusal::Elided { mark: mark.to_owned() });
    }
    let lines = Lines::parse(text);
    let flat = lines.flat();
    let (whole, cutting): (Vec<_>, Vec<_>) = occurrences(flat, &search).into_iter().partition(|range| !cuts_word(flat, range));
    if !whole.is_empty() {
        let range = choose(flat, whole, |range| range.start, edit.occurrence)?;
        return apply(text, &lines, How::Exact, exact_hit(flat, range, &search, &replace));
    }
    for (how, fit) in [(How::TrailingBlanks, trailing as Fit), (How::Indentation, indented)] {
        let hits = line_hits(flat, &search, &replace, fit);
        if !hits.is_empty() {
            let hit = choose(flat, hits, |hit| hit.range.start, edit.occurrence)?;
            return apply(text, &lines, how, hit);
        }
    }
    if let Some(range) = cutting.first() {
        return Err(Refusal::CutsWord { line: lines.number(range.start) });
    }
    match applied_before(flat, &replace) {
        Some(at) => Err(Refusal::AlreadyApplied { line: lines.number(at) }),
        None => Err(Refusal::Missing { nearest: nearest::nearest(flat, &search) }),
    }
}

/// Picks the place that is meant from those found, of which there is one at least, in the order of the text.
fn choose<T>(flat: &str, mut hits: Vec<T>, start: impl Fn(&T) -> usize, occurrence: Option<usize>) -> Result<T, Refusal> {
    let lines = || {
        // Each newline is counted once: a search for `}` has a hit on every other line.
        let (mut line, mut counted) = (1, 0);
        let numbers = hits.iter().map(start).map(|at| {
            line += flat[counted..at].matches('\n').count();
            counted = at;
            line
        });
        numbers.collect()
    };
    match occurrence {
        Some(asked) if asked == 0 || asked > hits.len() => Err(Refusal::NoSuchOccurrence { asked, lines: lines() }),
        None if hits.len() > 1 => Err(Refusal::Ambiguous { lines: lines() }),
        picked => Ok(hits.swap_remove(picked.unwrap_or(1) - 1)),
    }
}

fn apply(text: &str, lines: &Lines, how: How, hit: Hit) -> Result<Applied, Refusal> {
    let flat = lines.flat();
    let line = lines.number(hit.range.start);
    if resent(flat, &hit) {
        return Err(Refusal::AlreadyApplied { line });
    }
    let (range, replacement) = fit_end(flat, hit);
    let after = lines.splice(range, &replacement);
    if after == text { Err(Refusal::NoChange) } else { Ok(Applied { text: after, how, line }) }
}

/// A call that is sent twice finds its search again where the replacement, which stands there already, contains it.
fn resent(flat: &str, hit: &Hit) -> bool {
    let replacement = hit.replacement.trim_end_matches('\n');
    let found = flat[hit.range.clone()].trim_end_matches('\n');
    let stands = |at: usize| {
        let start = hit.range.start.checked_sub(at)?;
        let rest = flat.get(start..)?.strip_prefix(replacement)?;
        Some(rest.is_empty() || !found.contains('\n') || rest.starts_with('\n'))
    };
    replacement.match_indices(found).any(|(at, _)| stands(at) == Some(true))
}

/// Makes the replacement end as the text that it replaces does: nothing is glued on, no blank line is left over.
fn fit_end(flat: &str, Hit { mut range, mut replacement }: Hit) -> (Range<usize>, String) {
    let rest = &flat[range.end..];
    let at_end = rest.is_empty() || rest.starts_with('\n');
    if flat[range.clone()].ends_with('\n') {
        if !replacement.is_empty() && !replacement.ends_with('\n') {
            replacement.push('\n');
        }
    } else if at_end && replacement.ends_with('\n') {
        replacement.pop();
    } else if at_end && replacement.is_empty() && !rest.is_empty() && (range.start == 0 || flat[..range.start].ends_with('\n')) {
        // Whole lines were deleted: their last line end goes with them.
        range.end += 1;
    }
    (range, replacement)
}

/// Every occurrence, overlapping ones too: `}}` stands twice in `}}}`.
fn occurrences(flat: &str, search: &str) -> Vec<Range<usize>> {
    let step = search.chars().next().map_or(1, char::len_utf8);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = flat.get(from..).and_then(|rest| rest.find(search)) {
        found.push(from + at..from + at + search.len());
        from += at + step;
    }
    found
}

/// Letters, digits and `_` of scripts that put blanks between words.
fn in_word(c: char) -> bool {
    c == '_' || (c.is_alphanumeric() && !matches!(c, '\u{2e80}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..))
}

/// Whether one end of the range lies inside a word, or between a number and its decimals.
fn cuts_word(flat: &str, range: &Range<usize>) -> bool {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let joined = |at: usize| {
        let (mut before, mut after) = (flat[..at].chars().rev(), flat[at..].chars());
        let (b, a) = (before.next(), after.next());
        let word = b.is_some_and(in_word) && a.is_some_and(in_word);
        let decimals =
            (digit(b) && a == Some('.') && digit(after.next())) || (b == Some('.') && digit(a) && digit(before.next()));
        word || decimals
    };
    joined(range.start) || joined(range.end)
}

/// Where the replacement of a missing search stands already, if that is beyond doubt.
fn applied_before(flat: &str, replace: &str) -> Option<usize> {
    let wanted = replace.trim_end_matches('\n');
    if wanted.trim().len() < 8 {
        return None;
    }
    match occurrences(flat, wanted).as_slice() {
        [only] if !cuts_word(flat, only) => Some(only.start),
        _ => None,
    }
}

/// The exact hit; a one-line search that left out its line's indentation gives its new lines that indentation.
fn exact_hit(flat: &str, range: Range<usize>, search: &str, replace: &str) -> Hit {
    let plain = Hit { range: range.clone(), replacement: replace.to_owned() };
    let start = flat[..range.start].rfind('\n').map_or(0, |at| at + 1);
    let end = flat[range.start..].find('\n').map_or(flat.len(), |at| range.start + at);
    let line = &flat[start..end];
    let one_line = search.trim_end_matches('\n');
    let bare =
        indent::of(line).len() == range.start - start && range.start > start && one_line == line.trim_start_matches([' ', '\t']);
    // A blank line in the replacement may mean that what follows is really outside.
    let flush = replace.trim_end().lines().skip(1).any(|l| indent::of(l).is_empty()) && !replace.trim_end().contains("\n\n");
    if !bare || !flush || !indent::of(replace).is_empty() {
        return plain;
    }
    match IndentMap::read(&[(one_line, line)], replace) {
        Some(map) => Hit { range: start..range.end, replacement: join(replace.lines().map(|l| map.apply(l)), replace) },
        None => plain,
    }
}

/// Gives the new lines for a window of the file's lines, when the search's lines match it.
type Fit = fn(&[&str], &[&str], &str) -> Option<Vec<String>>;

/// Tries the search as whole lines at every line of the text.
fn line_hits(flat: &str, search: &str, replace: &str, fit: Fit) -> Vec<Hit> {
    let wanted: Vec<&str> = search.strip_suffix('\n').unwrap_or(search).split('\n').collect();
    let file: Vec<&str> = flat.strip_suffix('\n').unwrap_or(flat).split('\n').collect();
    let mut hits = Vec::new();
    let mut start = 0;
    for (at, window) in file.windows(wanted.len()).enumerate() {
        if let Some(new) = fit(window, &wanted, replace) {
            let length = window.iter().map(|l| l.len() + 1).sum::<usize>();
            let content = (start + length - 1).min(flat.len());
            let end = if search.ends_with('\n') { (content + 1).min(flat.len()) } else { content };
            hits.push(Hit { range: start..end, replacement: join(new.into_iter(), replace) });
        }
        start += file[at].len() + 1;
    }
    hits
}

fn join(lines: impl Iterator<Item = String>, like: &str) -> String {
    let mut text = lines.collect::<Vec<_>>().join("\n");
    if like.ends_with('\n') && !text.is_empty() {
        text.push('\n');
    }
    text
}

fn trailing(file: &[&str], search: &[&str], replace: &str) -> Option<Vec<String>> {
    let same = file.iter().zip(search).all(|(f, s)| f.trim_end() == s.trim_end());
    same.then(|| keep(file, search, replace, |line| line.to_owned()))
}

fn indented(file: &[&str], search: &[&str], replace: &str) -> Option<Vec<String>> {
    if !file.iter().zip(search).all(|(f, s)| f.trim() == s.trim()) {
        return None;
    }
    let pairs: Vec<(&str, &str)> = search.iter().copied().zip(file.iter().copied()).collect();
    let map = IndentMap::read(&pairs, replace)?;
    Some(keep(file, search, replace, |line| map.apply(line)))
}

/// The replacement's lines, where those that it shares with the search are the file's own bytes.
fn keep(file: &[&str], search: &[&str], replace: &str, new: impl Fn(&str) -> String) -> Vec<String> {
    let replacement: Vec<&str> = replace.lines().collect();
    let bare = |lines: &[&str]| lines.iter().map(|l| l.trim_end().to_owned()).collect::<Vec<_>>();
    let mut kept = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &bare(search), &bare(&replacement)) {
        let (tag, old_range, new_range) = op.as_tag_tuple();
        match tag {
            DiffTag::Equal => kept.extend(file[old_range].iter().map(|l| (*l).to_owned())),
            _ => kept.extend(replacement[new_range].iter().map(|l| new(l))),
        }
    }
    kept
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
