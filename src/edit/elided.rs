//! The rung for a search with `// ... existing code ...` in it whose replacement has as many: each piece between two marks is
//! an edit of its own, and what the marks stand for is not touched.
//!
//! A piece that changes must stand in one place only. What lies between two pieces must belong to the block that the first
//! began: else the second one is that of another block, and the model was wrong about this one.

use crate::edit::elision::is_mark;
use crate::edit::indent;
use crate::edit::page::Page;
use crate::edit::place::{Hit, Pair, WINDOWS, fit_end};
use crate::edit::windows;
use std::ops::Range;

/// What the rung found.
pub(crate) enum Found {
    /// One hit over all the pieces.
    Hit(Hit),
    /// A piece that changes stands in several places: the bytes that they begin at.
    Several(Vec<usize>),
    Nothing,
}

/// The pieces between the marks of a text, and none where it has no mark.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for line in text.split_inclusive('\n') {
        if is_mark(line) {
            pieces.push(String::new());
        } else if let Some(last) = pieces.last_mut() {
            last.push_str(line);
        }
    }
    pieces
}

/// A piece in its place.
struct Placed {
    lines: Range<usize>,
    hit: Option<Hit>,
}

/// Finds the pieces of a search with marks.
pub(crate) fn find(page: &Page, pair: &Pair) -> Found {
    let (search, replace) = (pieces(&pair.search), pieces(&pair.replace));
    if search.len() < 2 || search.len() != replace.len() {
        return Found::Nothing;
    }
    let mut placed: Vec<Placed> = Vec::new();
    for (search, replace) in search.into_iter().zip(replace) {
        let pair = Pair { search, replace };
        if pair.search.trim().is_empty() && pair.replace.trim().is_empty() {
            continue;
        }
        let after = placed.last().map_or(0, |placed| placed.lines.end);
        match piece(page, &pair, after) {
            Ok(piece) if piece.lines.start >= after => placed.push(piece),
            Ok(_) => return Found::Nothing,
            Err(found) => return found,
        }
    }
    if placed.windows(2).any(|pair| leaves_block(page, &pair[0].lines, &pair[1].lines)) {
        return Found::Nothing;
    }
    joined(page, &placed).map_or(Found::Nothing, Found::Hit)
}

/// Places one piece: on the strictest rung that finds it, and in one place if it changes.
fn piece(page: &Page, pair: &Pair, after: usize) -> Result<Placed, Found> {
    if pair.search.trim().is_empty() {
        return Err(Found::Nothing);
    }
    let unchanged = pair.search.trim_end() == pair.replace.trim_end();
    for (_, slack) in WINDOWS {
        let places = windows::places(page, &pair.search, slack);
        let next = if unchanged { places.iter().position(|lines| lines.start >= after) } else { Some(0) };
        match (places.len(), next) {
            (0, _) => {}
            (1, Some(at)) | (_, Some(at)) if unchanged || places.len() == 1 => {
                let lines = places[at].clone();
                if unchanged {
                    return Ok(Placed { lines, hit: None });
                }
                let hit = windows::hit(page, &lines, pair, slack).ok_or(Found::Nothing)?;
                return Ok(Placed { lines, hit: Some(fit_end(page.flat, hit)) });
            }
            (_, None) => return Err(Found::Nothing),
            _ => return Err(Found::Several(places.iter().map(|lines| page.start(lines.start)).collect())),
        }
    }
    Err(Found::Nothing)
}

/// Whether the lines between two pieces leave the block that the first one ends in.
fn leaves_block(page: &Page, first: &Range<usize>, second: &Range<usize>) -> bool {
    let wide = |line: &str| indent::of(line).chars().map(|c| if c == '\t' { 4 } else { 1 }).sum::<usize>();
    let solid = |line: &&&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let Some(last) = page.lines[first.clone()].iter().rev().find(solid) else { return false };
    let mut between = page.lines[first.end..second.start].iter().filter(solid);
    let opens = last.trim_end().ends_with(['{', ':', '(', '[']);
    between.any(|line| if opens { wide(line) <= wide(last) } else { wide(line) < wide(last) })
}

/// One hit from the first changed piece to the last.
fn joined(page: &Page, placed: &[Placed]) -> Option<Hit> {
    let mut hits = placed.iter().filter_map(|placed| placed.hit.as_ref());
    let first = hits.next()?;
    let mut whole = Hit { range: first.range.clone(), replacement: first.replacement.clone() };
    for hit in hits {
        whole.replacement.push_str(&page.flat[whole.range.end..hit.range.start]);
        whole.replacement.push_str(&hit.replacement);
        whole.range.end = hit.range.end;
    }
    Some(whole)
}
