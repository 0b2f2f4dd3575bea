//! The first rung: the search as it is written. Refuses to cut words; gives lost indentation back to what it replaces.

use crate::edit::indent::{self, IndentMap};
use crate::edit::page::{Page, runs};
use crate::edit::place::{Hit, Pair};
use similar::{Algorithm, DiffTag, capture_diff_slices};
use std::ops::Range;

/// Every occurrence, overlapping ones too: `}}` stands twice in `}}}`. Those that cut a word or number are apart.
pub(crate) fn places(flat: &str, search: &str) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
    if !flat.contains(search) {
        return (Vec::new(), Vec::new());
    }
    let starts = runs(flat.as_bytes(), search.as_bytes());
    starts.into_iter().map(|at| at..at + search.len()).partition(|range| !cuts_word(flat, range))
}

/// Letters, digits and `_` of scripts that put blanks between words.
fn in_word(c: char) -> bool {
    c == '_' || (c.is_alphanumeric() && !matches!(c, '\u{2e80}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..))
}

/// Whether one end of the range lies inside a word, or between a number and its decimals.
pub(crate) fn cuts_word(flat: &str, range: &Range<usize>) -> bool {
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

/// The hit for an occurrence. Indentation in front of it that the search left out is given to the new lines as well.
pub(crate) fn hit(page: &Page, range: Range<usize>, pair: &Pair) -> Hit {
    let plain = Hit { range: range.clone(), replacement: restyled(page, &pair.search, &pair.replace) };
    let first = page.line_at(range.start);
    let start = page.start(first);
    let line = page.lines[first];
    let file = indent::of(line);
    let left_out = range.start > start && range.start - start <= file.len();
    if !left_out || pair.replace.trim().is_empty() {
        return plain;
    }
    let (written, new) = (indent::of(&pair.search), indent::of(&pair.replace));
    if new == file {
        // The replacement has the indentation that the search lost.
        return Hit { range: start..range.end, replacement: pair.replace.clone() };
    }
    let lines: Vec<(&str, &str)> = pair.search.lines().zip(page.lines[first..].iter().copied()).collect();
    let relative = lines.len() > 1 || (new == written && is_relative(file, pair));
    if !relative {
        return Hit { replacement: aligned(file, &pair.replace), ..plain };
    }
    match IndentMap::read(&lines, &pair.replace, page.unit()) {
        Some(map) => Hit { range: start..range.end, replacement: map.apply_all(&pair.replace) },
        None => plain,
    }
}

/// Whether the later lines of a one-line search's replacement are indented as its first line is written, so that all of them
/// lack the same; else they stand as they should.
fn is_relative(file: &str, pair: &Pair) -> bool {
    let mut lines = pair.replace.trim_end().lines();
    let first = lines.next().unwrap_or_default();
    let later: Vec<&str> = lines.collect();
    let written = indent::of(first).len();
    let depths = || later.iter().filter(|line| !line.trim().is_empty()).map(|line| indent::of(line).len());
    let Some(shallowest) = depths().min() else { return false };
    if shallowest <= written {
        return !leaves_block(first, &later);
    }
    let wide = |indent: &str| indent.chars().map(|c| if c == '\t' { 4 } else { 1 }).sum::<usize>();
    let next = later.iter().find(|line| !line.trim().is_empty()).map_or(0, |line| wide(indent::of(line)));
    let opens = first.trim_end().ends_with([':', '{', '(', '[', '>']) || first.trim_end().ends_with(" do");
    // A body cannot stand at the depth of its head, nor a line outside of the block that was searched in.
    if opens { next <= wide(file) } else { next < wide(file) }
}

/// Words that begin a definition: flush behind a blank line, it stands outside of what was searched in.
const DEFINES: [&str; 19] = [
    "def ",
    "class ",
    "fn ",
    "pub ",
    "func ",
    "function ",
    "export ",
    "import ",
    "struct ",
    "enum ",
    "impl ",
    "interface ",
    "static ",
    "public ",
    "private ",
    "if __name__",
    "@",
    "#[",
    "type ",
];

/// Whether flush lines of the replacement stand outside of the block of its first line: it closes more than it opens, or goes on
/// with a definition after a blank line.
fn leaves_block(first: &str, later: &[&str]) -> bool {
    let mut depth = 0_i64;
    let mut blank = false;
    for line in std::iter::once(&first).chain(later) {
        let flush = indent::of(line).is_empty();
        if blank && flush && DEFINES.iter().any(|word| line.starts_with(word)) {
            return true;
        }
        blank = line.trim().is_empty();
        for c in line.chars() {
            depth += i64::from("{([".contains(c)) - i64::from("})]".contains(c));
            if depth < 0 {
                return true;
            }
        }
    }
    false
}

/// The replacement with blanks for tabs made right, where the lines below its first are indented as the file is but for that.
fn aligned(file: &str, replace: &str) -> String {
    let mut later = replace.lines().skip(1).filter(|line| !line.trim().is_empty()).map(indent::of);
    let shallowest = later.clone().min_by_key(|indent| indent.len()).unwrap_or_default();
    let other = |indent: &str| if file.contains('\t') { indent.contains(' ') } else { indent.contains('\t') };
    if shallowest.is_empty() || file.is_empty() || !later.all(other) {
        return replace.to_owned();
    }
    let (first, rest) = replace.split_once('\n').unwrap_or((replace, ""));
    match IndentMap::read(&[(&format!("{shallowest}x"), &format!("{file}x"))], rest, None) {
        Some(map) => format!("{first}\n{}", map.apply_all(rest)),
        None => replace.to_owned(),
    }
}

/// The replacement in the indentation of the search, where it repeats lines of it with blanks for tabs or tabs for blanks
/// throughout. A replacement that only differs in that is wanted so.
fn restyled(page: &Page, search: &str, replace: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (search.lines().collect(), replace.lines().collect());
    let tabs = |line: &&str| indent::of(line).contains('\t');
    let (old_tabs, new_tabs) = (old.iter().any(tabs), new.iter().any(tabs));
    let (old_blanks, new_blanks) = (old.iter().any(|l| l.starts_with(' ')), new.iter().any(|l| l.starts_with(' ')));
    if !(old_tabs && !old_blanks && new_blanks && !new_tabs || old_blanks && !old_tabs && new_tabs && !new_blanks) {
        return replace.to_owned();
    }
    let bare = |lines: &[&str]| lines.iter().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    let (mut same, mut changed) = (Vec::new(), false);
    for op in capture_diff_slices(Algorithm::Myers, &bare(&old), &bare(&new)) {
        let (tag, old_range, new_range) = op.as_tag_tuple();
        match tag {
            DiffTag::Equal => same.extend(new[new_range].iter().copied().zip(old[old_range].iter().copied())),
            _ => changed = true,
        }
    }
    let indented = same.iter().any(|(written, _)| !indent::of(written).is_empty());
    match IndentMap::read(&same, replace, page.unit()).filter(|_| changed && indented) {
        Some(map) => map.apply_all(replace),
        None => replace.to_owned(),
    }
}
