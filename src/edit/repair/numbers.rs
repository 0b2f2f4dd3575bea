//! Line numbers in front of the lines, as a listing or a search shows them.

use crate::edit::place::Pair;
use crate::edit::repair::Repaired;

/// The longest number of a line.
const DIGITS: usize = 7;

/// The number in front of a line, the sign behind it, and the rest of the line.
fn split(line: &str) -> Option<(usize, char, &str)> {
    let line = line.trim_start_matches(' ');
    let line = line.strip_prefix('L').unwrap_or(line);
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number = line.get(..digits).filter(|n| n.len() <= DIGITS)?.parse().ok()?;
    let rest = &line[digits..];
    let signed = rest.trim_start_matches(' ');
    let sign = if rest.starts_with('\t') { '\t' } else { signed.chars().next()? };
    let rest = if sign == '\t' { &rest[1..] } else { &signed[sign.len_utf8()..] };
    matches!(sign, '\t' | '|' | '│' | '┃' | '→' | ':' | '-').then_some((number, sign, rest))
}

/// What stands behind the numbers, when every line that is not blank has one and they grow.
struct Numbered<'a> {
    first: usize,
    sign: char,
    rests: Vec<&'a str>,
    /// Numbers that were there.
    count: usize,
}

fn numbered(text: &str) -> Option<Numbered<'_>> {
    let mut found = Numbered { first: 0, sign: '-', rests: Vec::new(), count: 0 };
    let mut last = 0;
    for line in text.lines() {
        if line.trim().is_empty() {
            found.rests.push("");
            continue;
        }
        let (number, sign, rest) = split(line)?;
        if number <= last {
            return None;
        }
        last = number;
        found.first = if found.count == 0 { number } else { found.first };
        // A search marks the lines around what it found with another sign.
        found.sign = if found.sign == '-' { sign } else { found.sign };
        found.count += 1;
        found.rests.push(rest);
    }
    (found.sign != '-').then_some(found)
}

impl Numbered<'_> {
    /// Whether a blank stands behind every sign, which may belong to it.
    fn is_spaced(&self) -> bool {
        self.rests.iter().all(|rest| rest.is_empty() || rest.starts_with(' '))
    }

    /// The text without its numbers: with and without one blank less, if they are spaced, the likelier first.
    fn texts(&self, like: &str, spaced: bool) -> Vec<String> {
        let tail = if like.ends_with('\n') { "\n" } else { "" };
        let with = |rests: Vec<&str>| rests.join("\n") + tail;
        let raw = with(self.rests.clone());
        if !spaced {
            return vec![raw];
        }
        let cut = with(self.rests.iter().map(|rest| rest.strip_prefix(' ').unwrap_or(rest)).collect());
        if matches!(self.sign, '\t' | '→') { vec![raw, cut] } else { vec![cut, raw] }
    }

    /// Whether the numbers alone say that they are no part of the text: one line with `3:` may be a key of a table.
    fn sure(&self) -> bool {
        self.count > 1 || matches!(self.sign, '→' | '│' | '┃' | '\t')
    }
}

/// Off the search, and off the replacement if it has them.
pub(super) fn off(pair: &Pair) -> Vec<Repaired> {
    let Some(search) = numbered(&pair.search) else { return Vec::new() };
    let line = (!search.sure()).then_some(search.first);
    let new = numbered(&pair.replace);
    let spaced = search.is_spaced() && new.as_ref().is_none_or(Numbered::is_spaced);
    let texts = search.texts(&pair.search, spaced).into_iter().enumerate();
    texts
        .map(|(at, text)| {
            let replace = new.as_ref().map(|new| new.texts(&pair.replace, spaced)).unwrap_or_default();
            let replace = replace.get(at).or(replace.first()).cloned().unwrap_or_else(|| pair.replace.clone());
            Repaired { pair: Pair { search: text, replace }, line }
        })
        .collect()
}

/// The replacement alone, where it repeats a line of the search behind a number.
pub(super) fn off_replacement(pair: &Pair) -> Option<String> {
    if numbered(&pair.search).is_some() {
        return None;
    }
    let new = numbered(&pair.replace).filter(|new| new.count > 1)?;
    let repeats = |text: &String| {
        let known = |line: &str| pair.search.lines().any(|old| old.trim_end() == line.trim_end());
        text.lines().any(|line| !line.trim().is_empty() && known(line))
    };
    new.texts(&pair.replace, new.is_spaced()).into_iter().find(repeats)
}
