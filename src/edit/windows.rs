//! The rungs below the exact one: the search as whole lines, compared without what models get wrong in them.

use crate::edit::fold::{self, Typed, fold};
use crate::edit::indent::{self, IndentMap};
use crate::edit::page::{Page, lines_of, runs};
use crate::edit::place::{Hit, Pair};
use similar::{Algorithm, DiffTag, capture_diff_slices};
use std::borrow::Cow;
use std::ops::Range;

/// What two lines may differ in and still be the same. Blanks at their ends never matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slack {
    Ends,
    /// Also their typography.
    Typography,
    /// Also their indentation, if one map explains that of all.
    Indentation,
    Both,
}

impl Slack {
    fn folds(self) -> bool {
        matches!(self, Self::Typography | Self::Both)
    }

    fn shifts(self) -> bool {
        matches!(self, Self::Indentation | Self::Both)
    }

    /// The line as it is compared.
    fn key(self, line: &str) -> Cow<'_, str> {
        let line = if self.shifts() { line.trim() } else { line.trim_end() };
        if !self.folds() {
            return Cow::Borrowed(line);
        }
        // Hard blanks at an end become blanks by folding.
        match fold(line) {
            Cow::Borrowed(folded) => Cow::Borrowed(folded),
            Cow::Owned(folded) if self.shifts() => Cow::Owned(folded.trim().to_owned()),
            Cow::Owned(folded) => Cow::Owned(folded.trim_end().to_owned()),
        }
    }
}

/// The runs of lines that the search matches.
pub(crate) fn places(page: &Page, search: &str, slack: Slack) -> Vec<Range<usize>> {
    let wanted = lines_of(search);
    let keys = |lines: &[&str]| -> Vec<String> { lines.iter().map(|line| slack.key(line).into_owned()).collect() };
    let starts = runs(&keys(&page.lines), &keys(&wanted));
    starts.into_iter().map(|start| start..start + wanted.len()).collect()
}

/// The hit for a run of lines. `None`: its indentation is no one map of the search's, so it is another block.
pub(crate) fn hit(page: &Page, lines: &Range<usize>, pair: &Pair, slack: Slack) -> Option<Hit> {
    let (file, search) = (&page.lines[lines.clone()], lines_of(&pair.search));
    let mut range = page.bytes(lines);
    if pair.search.ends_with('\n') && range.end < page.flat.len() {
        range.end += 1;
    }
    let pairs: Vec<(&str, &str)> = search.iter().copied().zip(file.iter().copied()).collect();
    let map = if slack.shifts() { Some(IndentMap::read(&pairs, &pair.replace, page.unit())?) } else { None };
    let mut typed = Typed::new();
    if slack.folds() {
        pairs.iter().for_each(|(written, own)| fold::learn(&mut typed, own.trim(), written.trim()));
    }
    let new = |at: usize, line: &str, stands_for: Option<(&str, &str)>| {
        let line = match stands_for {
            Some((own, written)) if slack.folds() => {
                let content = fold::transfer(own.trim(), written.trim(), line.trim(), &typed);
                format!("{}{content}", indent::of(line))
            }
            _ => line.chars().map(|c| typed.get(&c).copied().unwrap_or(c)).collect(),
        };
        map.as_ref().map_or(line.clone(), |map| map.apply(at, &line))
    };
    Some(Hit { range, replacement: merged(file, &search, &pair.replace, slack, new) })
}

/// The replacement, in which the lines that it shares with the search are the file's own bytes.
fn merged(
    file: &[&str],
    search: &[&str],
    replace: &str,
    slack: Slack,
    new: impl Fn(usize, &str, Option<(&str, &str)>) -> String,
) -> String {
    let replacement: Vec<&str> = replace.lines().collect();
    // Indentation is compared as the model wrote it on both sides: a line that it moved is a changed line.
    let alike = if slack.folds() { Slack::Typography } else { Slack::Ends };
    let keys = |lines: &[&str]| -> Vec<String> { lines.iter().map(|line| alike.key(line).into_owned()).collect() };
    let mut kept = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &keys(search), &keys(&replacement)) {
        let (tag, old, added) = op.as_tag_tuple();
        match tag {
            DiffTag::Equal => kept.extend(file[old].iter().map(|line| (*line).to_owned())),
            _ => kept.extend(added.clone().map(|at| {
                let old = Some(old.start + at - added.start).filter(|at| *at < old.end);
                new(at, replacement[at], old.map(|old| (file[old], search[old])))
            })),
        }
    }
    let mut text = kept.join("\n");
    if replace.ends_with('\n') && !text.is_empty() {
        text.push('\n');
    }
    text
}

/// Where a search of one line stands inside a line, typography aside: whole words, in the bytes of the flat text.
pub(crate) fn folded_places(page: &Page, search: &str) -> Vec<Range<usize>> {
    if search.contains('\n') || (search.is_ascii() && page.flat.is_ascii()) {
        return Vec::new();
    }
    let wanted = fold(search);
    let mut found = Vec::new();
    for (at, line) in page.lines.iter().enumerate() {
        if fold(line).contains(wanted.as_ref()) {
            let start = page.start(at);
            found.extend(fold::places(line, search).into_iter().map(|range| start + range.start..start + range.end));
        }
    }
    found.retain(|range| !crate::edit::exact::cuts_word(page.flat, range));
    found
}

/// The hit inside a line.
pub(crate) fn folded_hit(page: &Page, range: Range<usize>, pair: &Pair) -> Hit {
    let mut typed = Typed::new();
    let own = &page.flat[range.clone()];
    fold::learn(&mut typed, own, &pair.search);
    let replacement = fold::transfer(own, &pair.search, &pair.replace, &typed);
    Hit { range, replacement }
}
