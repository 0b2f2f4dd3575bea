//! Where an edit goes: a ladder of rungs, each tried only when the ones above found nothing.
//!
//! Exact substring; whole lines without their trailing blanks, then without their typography, then under one indentation map,
//! then both. Then the same for the edit without what the model wrapped it in (`repair`); then without regard to blank lines,
//! and piece by piece around marks for left-out code. A rung with more than one hit ends the climb: a looser rung must never
//! decide between places that a stricter one could not. Likeness never applies anything; it only words the refusal.

use crate::edit::blanks;
use crate::edit::elided;
use crate::edit::elision;
use crate::edit::exact;
use crate::edit::lines::{Lines, flatten};
use crate::edit::nearest::{self, Nearest};
use crate::edit::page::Page;
use crate::edit::repair;
use crate::edit::windows::{self, Slack};
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
    /// Quotes, dashes or blanks were of another kind; what the edit did not touch kept the file's.
    Typography,
    /// The replacement was given the file's indentation.
    Indentation,
    /// Blank lines were left out or added.
    BlankLines,
    /// Left-out code was found between its neighbours, and stays.
    Elision,
    /// A fence, line numbers, escapes or entities were taken off.
    Repaired,
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
    /// It changes lines that another edit of the same call changes too.
    Overlaps,
    Missing {
        nearest: Option<Nearest>,
    },
}

/// A search and its replacement, with `\n` ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) search: String,
    pub(crate) replace: String,
}

/// A place that a rung found: the range of the flat text to replace, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) range: Range<usize>,
    pub(crate) replacement: String,
}

/// The place of an edit, before anything is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) hit: Hit,
    pub(crate) how: How,
    /// The first line, from 1, that the edit touches.
    pub(crate) line: usize,
}

/// The rungs of whole lines, strictest first.
pub(crate) const WINDOWS: [(How, Slack); 4] = [
    (How::TrailingBlanks, Slack::Ends),
    (How::Typography, Slack::Typography),
    (How::Indentation, Slack::Indentation),
    (How::Indentation, Slack::Both),
];

/// Applies an edit to a text, or says why not. Line ends, byte order mark and a missing final newline stay as they are.
///
/// Cost: linear in the text for each rung that is tried, and a difference by lines of what is replaced.
pub fn place(text: &str, edit: &Edit) -> Result<Applied, Refusal> {
    let lines = Lines::parse(text);
    let Located { hit, how, line } = locate(&Page::new(lines.flat()), edit)?;
    Ok(Applied { text: lines.splice(hit.range, &hit.replacement), how, line })
}

/// Finds the place of an edit.
pub(crate) fn locate(page: &Page, edit: &Edit) -> Result<Located, Refusal> {
    let pair = Pair { search: flatten(&edit.search), replace: flatten(&edit.replace) };
    let empty = pair.search.trim().is_empty();
    if empty && !page.flat.trim().is_empty() {
        return Err(Refusal::Blank);
    }
    if pair.search == pair.replace || (empty && page.flat == pair.replace) {
        return Err(Refusal::NoChange);
    }
    if empty {
        // Nothing stands in the text: there is only one place.
        let hit = Hit { range: 0..page.flat.len(), replacement: pair.replace };
        return Ok(Located { hit, how: How::Exact, line: 1 });
    }
    let search = Search { page, occurrence: edit.occurrence };
    let mended = repair::replacement(page, &pair);
    let (pair, mended) = (mended.as_ref().unwrap_or(&pair), mended.is_some());
    if let Some(found) = search.climb(pair)? {
        return Ok(if mended { Located { how: How::Repaired, ..found } } else { found });
    }
    let repaired = repair::all(pair);
    for repaired in &repaired {
        let found = search.climb(&repaired.pair)?.filter(|found| repaired.line.is_none_or(|line| line == found.line));
        if let Some(found) = found {
            return Ok(Located { how: How::Repaired, ..found });
        }
    }
    for pair in std::iter::once(pair).chain(repaired.iter().map(|repaired| &repaired.pair)) {
        if let Some(found) = search.last_rungs(pair)? {
            return Ok(found);
        }
    }
    Err(search.missing(pair))
}

/// One search of a place.
struct Search<'a> {
    page: &'a Page<'a>,
    occurrence: Option<usize>,
}

impl Search<'_> {
    /// The exact rung and those of whole lines. `Ok(None)`: none of them found the search.
    fn climb(&self, pair: &Pair) -> Result<Option<Located>, Refusal> {
        let page = self.page;
        let (whole, cutting) = exact::places(page.flat, &pair.search);
        if !whole.is_empty() {
            let range = self.choose(whole)?;
            self.only_one_but_for_indentation(pair, &range)?;
            return self.settle(pair, How::Exact, exact::hit(page, range, pair)).map(Some);
        }
        for (how, slack) in WINDOWS {
            let places = windows::places(page, &pair.search, slack);
            if !places.is_empty() {
                let lines = self.choose_lines(places)?;
                match windows::hit(page, &lines, pair, slack) {
                    Some(hit) => return self.settle(pair, how, hit).map(Some),
                    // Another block with the same words: no looser rung may take it either.
                    None => return Ok(None),
                }
            }
            if slack == Slack::Typography {
                let inside = windows::folded_places(page, &pair.search);
                if !inside.is_empty() {
                    let range = self.choose(inside)?;
                    return self.settle(pair, how, windows::folded_hit(page, range, pair)).map(Some);
                }
            }
        }
        match cutting.first() {
            Some(range) => Err(Refusal::CutsWord { line: self.number(range.start) }),
            None => Ok(None),
        }
    }

    /// Refuses a hit that begins inside the indentation of its line, where other lines differ from it in nothing else.
    fn only_one_but_for_indentation(&self, pair: &Pair, range: &Range<usize>) -> Result<(), Refusal> {
        let start = self.page.start(self.page.line_at(range.start));
        let inside =
            pair.search.starts_with([' ', '\t']) && start < range.start && self.page.flat[start..range.start].trim().is_empty();
        if !inside || self.occurrence.is_some() {
            return Ok(());
        }
        let places = windows::places(self.page, &pair.search, Slack::Indentation);
        if places.len() > 1 { self.choose_lines(places).map(drop) } else { Ok(()) }
    }

    /// The rungs that look past lines.
    fn last_rungs(&self, pair: &Pair) -> Result<Option<Located>, Refusal> {
        let page = self.page;
        let places = blanks::places(page, &pair.search);
        if !places.is_empty() {
            let lines = self.choose_lines(places)?;
            return self.settle(pair, How::BlankLines, blanks::hit(page, &lines, pair)).map(Some);
        }
        match elided::find(page, pair) {
            elided::Found::Hit(hit) => self.settle(pair, How::Elision, hit).map(Some),
            elided::Found::Several(starts) => {
                Err(Refusal::Ambiguous { lines: starts.iter().map(|start| self.number(*start)).collect() })
            }
            elided::Found::Nothing => Ok(None),
        }
    }

    /// Why nothing was found.
    fn missing(&self, pair: &Pair) -> Refusal {
        let flat = self.page.flat;
        if let Some(mark) = elision::added(&pair.search, &pair.replace) {
            return Refusal::Elided { mark: mark.to_owned() };
        }
        match applied_before(flat, &pair.replace) {
            Some(at) => Refusal::AlreadyApplied { line: self.number(at) },
            None => Refusal::Missing { nearest: nearest::nearest(flat, &pair.search) },
        }
    }

    /// Refuses what may not be applied though its place is known, and fits the end.
    fn settle(&self, pair: &Pair, how: How, hit: Hit) -> Result<Located, Refusal> {
        let flat = self.page.flat;
        let line = self.number(hit.range.start);
        if how != How::Elision
            && let Some(mark) = elision::added(&pair.search, &pair.replace)
        {
            return Err(Refusal::Elided { mark: mark.to_owned() });
        }
        if resent(flat, &hit) {
            return Err(Refusal::AlreadyApplied { line });
        }
        let hit = fit_end(flat, fit_start(flat, hit));
        if flat[hit.range.clone()] == hit.replacement {
            return Err(Refusal::NoChange);
        }
        Ok(Located { hit, how, line })
    }

    /// Picks the place that is meant from those found, of which there is one at least, in the order of the text.
    fn choose(&self, mut places: Vec<Range<usize>>) -> Result<Range<usize>, Refusal> {
        let lines = || places.iter().map(|range| self.number(range.start)).collect();
        match self.occurrence {
            Some(asked) if asked == 0 || asked > places.len() => Err(Refusal::NoSuchOccurrence { asked, lines: lines() }),
            None if places.len() > 1 => Err(Refusal::Ambiguous { lines: lines() }),
            picked => Ok(places.swap_remove(picked.unwrap_or(1) - 1)),
        }
    }

    fn choose_lines(&self, places: Vec<Range<usize>>) -> Result<Range<usize>, Refusal> {
        let bytes = places.iter().map(|lines| self.page.bytes(lines)).collect();
        let chosen = self.choose(bytes)?;
        let wanted = self.page.line_at(chosen.start);
        Ok(places.into_iter().find(|lines| lines.start == wanted).unwrap_or(wanted..wanted + 1))
    }

    fn number(&self, byte: usize) -> usize {
        self.page.line_at(byte) + 1
    }
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
    !found.is_empty() && replacement.match_indices(found).any(|(at, _)| stands(at) == Some(true))
}

/// Leaves a newline in front of the search where it ends the line before, and the replacement has none.
fn fit_start(flat: &str, Hit { mut range, replacement }: Hit) -> Hit {
    let ends_line = range.start > 0 && !flat[..range.start].ends_with('\n');
    if ends_line && flat[range.clone()].starts_with('\n') && !replacement.starts_with('\n') && !replacement.is_empty() {
        range.start += 1;
    }
    Hit { range, replacement }
}

/// Makes the replacement end as the text that it replaces does: nothing is glued on, no blank line is left over.
pub(crate) fn fit_end(flat: &str, Hit { mut range, mut replacement }: Hit) -> Hit {
    let rest = &flat[range.end..];
    let at_end = rest.is_empty() || rest.starts_with('\n');
    if flat[range.clone()].ends_with('\n') {
        if !replacement.is_empty() && !replacement.ends_with('\n') {
            replacement.push('\n');
        }
    } else if at_end && replacement.ends_with('\n') {
        replacement.pop();
    } else if at_end && replacement.is_empty() {
        let start = flat[..range.start].rfind('\n').map_or(0, |at| at + 1);
        // Whole lines were deleted: their indentation and their last line end go with them.
        if flat[start..range.start].trim().is_empty() {
            range = start..range.end + usize::from(!rest.is_empty());
        }
    }
    Hit { range, replacement }
}

/// Where the replacement of a missing search stands already, if that is beyond doubt.
fn applied_before(flat: &str, replace: &str) -> Option<usize> {
    let wanted = replace.trim_end_matches('\n');
    if wanted.trim().len() < 8 {
        return None;
    }
    match exact::places(flat, wanted).0.as_slice() {
        [only] => Some(only.start),
        _ => None,
    }
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "defects_tests.rs"]
mod defects;
