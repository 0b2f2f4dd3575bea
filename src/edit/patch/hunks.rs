//! The places of a file's hunks: by their lines, then by what stands above them, then by the stated number.

use crate::edit::indent;
use crate::edit::page::Page;
use crate::edit::patch::{Hunk, Line, Side};
use crate::edit::place::{Applied, Edit, Hit, How, Located, Refusal, locate};
use crate::edit::several::{OneRefused, apply_all};
use std::collections::HashSet;
use std::ops::Range;

/// Applies all hunks of a file, or none. They mean the file as it was; a hunk that is not found there may mean what those before
/// it leave.
pub fn apply(text: &str, hunks: &[Hunk]) -> Result<String, OneRefused> {
    let changing: Vec<usize> = (0..hunks.len()).filter(|at| !is_context(&hunks[*at])).collect();
    let Some(first) = changing.first() else {
        return match hunks.len() {
            0 => Ok(text.to_owned()),
            _ => Err(OneRefused { at: 0, why: Refusal::NoChange }),
        };
    };
    let only_ends = |at: &usize| hunks[*at].search() == hunks[*at].replace() && ending(&hunks[*at]).is_some();
    let placed: Vec<usize> = changing.iter().copied().filter(|at| !only_ends(at)).collect();
    let find = |page: &Page, at: usize| find(page, &hunks[placed[at]], |stated| stated.0);
    let then = |text: &str, at: usize| {
        let lines = crate::edit::lines::Lines::parse(text);
        let located = self::find(&Page::new(lines.flat()), &hunks[placed[at]], |stated| stated.1)?;
        Ok(Applied { text: lines.splice(located.hit.range, &located.hit.replacement), how: located.how, line: located.line })
    };
    let applied = apply_all(text, placed.len(), find, then).map_err(|one| OneRefused { at: placed[one.at], ..one })?;
    let mut text = applied.text;
    for at in &changing {
        if let Some(newline) = ending(&hunks[*at]) {
            text =
                with_end(text, &hunks[*at], newline).ok_or(OneRefused { at: *first, why: Refusal::Missing { nearest: None } })?;
        }
    }
    Ok(text)
}

/// Shows lines and changes none.
fn is_context(hunk: &Hunk) -> bool {
    hunk.lines.iter().all(|line| line.side == Side::Both)
}

/// Whether the file is to end with a newline, where a hunk changes that.
fn ending(hunk: &Hunk) -> Option<bool> {
    let (old, new) = hunk.bare_ends;
    (old != new).then_some(!new)
}

/// The text with or without its last newline. `None`: it does not end as the hunk does.
fn with_end(text: String, hunk: &Hunk, newline: bool) -> Option<String> {
    let bare = text.trim_end_matches(['\r', '\n']);
    let last = hunk.replace();
    let ends = bare.lines().next_back().unwrap_or_default().trim_end() == last.lines().next_back().unwrap_or_default().trim_end();
    let crlf = text.contains("\r\n");
    ends.then(|| match (newline, crlf) {
        (true, _) if text.ends_with('\n') => text.clone(),
        (true, true) => format!("{text}\r\n"),
        (true, false) => format!("{text}\n"),
        (false, _) => text.strip_suffix('\n').map_or(text.as_str(), |text| text.trim_end_matches('\r')).to_owned(),
    })
}

/// Finds one hunk. `number` picks of the stated numbers the one that counts lines as this text does.
fn find(page: &Page, hunk: &Hunk, number: impl Fn((usize, usize)) -> usize) -> Result<Located, Refusal> {
    let scopes = scopes(page, &hunk.scope)?;
    if hunk.search().trim().is_empty() {
        return addition(page, hunk, &scopes);
    }
    let found = narrowed(page, hunk, &scopes, &number);
    match found {
        Err(Refusal::Missing { .. }) => match restored(page, hunk) {
            Some(restored) => narrowed(page, &restored, &scopes, &number).or(found),
            None => found,
        },
        found => found,
    }
}

/// Finds a hunk by its lines. The scope and the stated number decide between places that match equally well.
fn narrowed(
    page: &Page,
    hunk: &Hunk,
    scopes: &[Range<usize>],
    number: impl Fn((usize, usize)) -> usize,
) -> Result<Located, Refusal> {
    let edit = |occurrence| Edit { search: hunk.search(), replace: hunk.replace(), occurrence };
    match locate(page, &edit(None)) {
        Ok(found) if !scopes.is_empty() && scopes.iter().all(|scope| found.line <= scope.start) => {
            Err(Refusal::Missing { nearest: None })
        }
        Err(Refusal::Ambiguous { lines }) => {
            let of = |fits: &dyn Fn(usize) -> bool| -> Vec<usize> { (0..lines.len()).filter(|at| fits(lines[*at])).collect() };
            let inside = of(&|line| scopes.iter().any(|scope| scope.contains(&(line - 1))));
            let stated = of(&|line| hunk.stated.is_some_and(|stated| number(stated) == line));
            let last = page.lines.len() + 1 - hunk.search().lines().count().min(page.lines.len());
            let at_end = of(&|line| hunk.at_end && line == last);
            match [inside, stated, at_end].iter().find(|places| places.len() == 1) {
                Some(places) => locate(page, &edit(Some(places[0] + 1))),
                None => Err(Refusal::Ambiguous { lines }),
            }
        }
        found => found,
    }
}

/// The blocks that begin with the innermost scope line. Several lines may answer to it; each further one stands inside the one
/// before it.
fn scopes(page: &Page, scope: &[String]) -> Result<Vec<Range<usize>>, Refusal> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (depth, wanted) in scope.iter().enumerate() {
        let within = |line: &usize| depth == 0 || found.iter().any(|block| block.contains(line));
        let wanted = wanted.trim();
        let fits: [&dyn Fn(&str) -> bool; 3] = [&|l| l == wanted, &|l| l.starts_with(wanted), &|l| l.contains(wanted)];
        let by = |fits: &dyn Fn(&str) -> bool| -> Vec<usize> {
            (0..page.lines.len()).filter(|at| fits(page.lines[*at].trim())).filter(within).collect()
        };
        let lines = fits.into_iter().map(by).find(|lines| !lines.is_empty()).ok_or(Refusal::Missing { nearest: None })?;
        found = lines.into_iter().map(|line| block(page, line)).collect();
    }
    Ok(found)
}

/// The lines from one to the end of its block: up to the next that is no deeper.
fn block(page: &Page, first: usize) -> Range<usize> {
    let wide = |line: &str| indent::of(line).chars().map(|c| if c == '\t' { 4 } else { 1 }).sum::<usize>();
    let own = wide(page.lines[first]);
    let ends =
        |line: &&str| !line.trim().is_empty() && wide(line) <= own && !line.trim_start().starts_with(['{', '}', ')', ']', '#']);
    let length = page.lines[first + 1..].iter().position(ends).unwrap_or(page.lines.len() - first - 1);
    first..first + 1 + length
}

/// A bare addition belongs right below the line that its header names, or to the end, if it says so.
fn addition(page: &Page, hunk: &Hunk, scopes: &[Range<usize>]) -> Result<Located, Refusal> {
    let added = hunk.replace();
    let end = page.flat.len();
    let (at, glue) = match scopes {
        [scope] => {
            let end = page.bytes(&(scope.start..scope.start + 1)).end;
            (if end < page.flat.len() { end + 1 } else { end }, end == page.flat.len())
        }
        [] if hunk.at_end || page.flat.trim().is_empty() => (end, !page.flat.is_empty() && !page.flat.ends_with('\n')),
        [] => return Err(Refusal::Blank),
        several => return Err(Refusal::Ambiguous { lines: several.iter().map(|scope| scope.start + 1).collect() }),
    };
    // A file without a final newline keeps it so.
    let replacement = if glue { format!("\n{}", added.trim_end_matches('\n')) } else { added };
    Ok(Located { hit: Hit { range: at..at, replacement }, how: How::Exact, line: page.line_at(at) + 1 })
}

/// The hunk with blanks that its lines lost or gained in front, as the file's own lines show: a context line that lost the blank
/// that marks it, changed lines with one behind their sign. `None`: nothing of that kind.
fn restored(page: &Page, hunk: &Hunk) -> Option<Hunk> {
    let known: HashSet<&str> = page.lines.iter().map(|line| line.trim_end()).collect();
    let stands = |text: &str| known.contains(text.trim_end());
    let shifted = |line: &Line| line.side == Side::Old && !stands(&line.text) && line.text.strip_prefix(' ').is_some_and(stands);
    let signs = hunk.lines.iter().any(shifted);
    let lines: Vec<Line> = hunk
        .lines
        .iter()
        .map(|line| {
            let longer = format!(" {}", line.text);
            let text = match line.side {
                Side::Both if !stands(&line.text) && stands(&longer) => longer,
                Side::Old | Side::New if signs => line.text.strip_prefix(' ').unwrap_or(&line.text).to_owned(),
                _ => line.text.clone(),
            };
            Line { text, ..line.clone() }
        })
        .collect();
    (lines != hunk.lines).then(|| Hunk { lines, ..hunk.clone() })
}
