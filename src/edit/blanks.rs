//! The rung for blank lines that a model added or left out: the other lines must be the file's, in one piece.
//!
//! Between lines that both sides of the edit share, the file's own blank lines stay.

use crate::edit::page::{Page, runs};
use crate::edit::place::{Hit, Pair};
use similar::{Algorithm, DiffTag, capture_diff_slices};
use std::ops::Range;

/// A line that is not blank, and how many blank ones stand before it.
#[derive(Clone, Copy)]
struct Spaced<'a> {
    at: usize,
    gap: usize,
    line: &'a str,
}

fn spaced<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Spaced<'a>> {
    let (mut found, mut gap) = (Vec::new(), 0);
    for (at, line) in lines.enumerate() {
        if line.trim().is_empty() {
            gap += 1;
        } else {
            found.push(Spaced { at, gap: std::mem::take(&mut gap), line });
        }
    }
    found
}

fn keys<'a>(lines: &[Spaced<'a>]) -> Vec<&'a str> {
    lines.iter().map(|spaced| spaced.line.trim_end()).collect()
}

/// The runs of lines that the search matches but for blank ones. Two lines at least: one alone needs no such rung.
pub(crate) fn places(page: &Page, search: &str) -> Vec<Range<usize>> {
    let (file, wanted) = (spaced(page.lines.iter().copied()), spaced(search.lines()));
    if wanted.len() < 2 {
        return Vec::new();
    }
    let starts = runs(&keys(&file), &keys(&wanted));
    starts.into_iter().map(|start| file[start].at..file[start + wanted.len() - 1].at + 1).collect()
}

/// The hit for a run of lines.
pub(crate) fn hit(page: &Page, lines: &Range<usize>, pair: &Pair) -> Hit {
    let file = spaced(page.lines[lines.clone()].iter().copied());
    let (search, new) = (spaced(pair.search.lines()), spaced(pair.replace.lines()));
    // A search that was written with a blank line between any two has one too many everywhere.
    let doubled = search.iter().zip(&file).skip(1).all(|(theirs, ours)| theirs.gap > ours.gap);
    let mut kept: Vec<&str> = Vec::new();
    let mut last = None;
    for op in capture_diff_slices(Algorithm::Myers, &keys(&search), &keys(&new)) {
        let (tag, old, added) = op.as_tag_tuple();
        for (offset, at) in added.clone().enumerate() {
            let stands_for = (tag != DiffTag::Insert).then_some(old.start + offset).filter(|at| *at < old.end);
            let follows = stands_for.is_some_and(|at| at == 0 || last == Some(at - 1));
            let as_before = stands_for.filter(|old| follows && search[*old].gap == new[at].gap);
            let gap = match as_before {
                _ if kept.is_empty() => 0,
                Some(old) => file[old].gap,
                None => new[at].gap.saturating_sub(usize::from(doubled)),
            };
            kept.extend(std::iter::repeat_n("", gap));
            kept.push(if tag == DiffTag::Equal { file[old.start + offset].line } else { new[at].line });
            last = stands_for;
        }
    }
    let mut range = page.bytes(lines);
    let ends = range.end < page.flat.len();
    range.end += usize::from(ends);
    let mut replacement = kept.join("\n");
    if ends && !replacement.is_empty() {
        replacement.push('\n');
    }
    Hit { range, replacement }
}

#[cfg(test)]
mod tests {
    use crate::edit::blanks::{hit, places};
    use crate::edit::page::Page;
    use crate::edit::place::Pair;

    fn check(file: &str, search: &str, replace: &str, expected: &str) {
        let page = Page::new(file);
        let pair = Pair { search: search.into(), replace: replace.into() };
        let places = places(&page, search);
        assert_eq!(places.len(), 1, "{search:?}");
        let hit = hit(&page, &places[0], &pair);
        assert_eq!([&file[..hit.range.start], &hit.replacement, &file[hit.range.end..]].concat(), expected);
    }

    #[test]
    fn blank_lines_of_the_file_stay() {
        check("a\n\n\n\nb\n", "a\n\nb\n", "a\n\nB\n", "a\n\n\n\nB\n");
        check("x\na\n\nb\ny\n", "a\nb\n", "A\nb\n", "x\nA\n\nb\ny\n");
        check("a\nb\nc\n", "a\n\nb\n\nc\n", "a\n\nx\n\nc\n", "a\nx\nc\n");
    }

    #[test]
    fn blank_lines_that_are_new_are_written() {
        check("a\n\n\nb\n", "a\n\nb\n", "a\n\nnew\n\nb\n", "a\n\nnew\n\nb\n");
        check("a\n\n\nb", "a\n\nb", "a\n\nb\n\nnew", "a\n\n\nb\n\nnew");
    }
}
