//! `read`: a file's lines as they stand, so that an edit can copy them, or a directory's names.
//!
//! Of a file that does not fit, its beginning and what the rest defines: so that the next call can ask for the right lines.

use crate::path::RepoPath;
use crate::protocol::tool::{ToolAnswer, ToolFailure};
use crate::repo::symbols::Tagger;
use crate::repo::syntax::Language;
use crate::repo::walk::{self, Found, Kind};
use crate::text::clip;
use crate::tools::excerpt::{Room, excerpt};
use crate::tools::{Work, Workbench, failure, seen};
use serde::Deserialize;
use std::fmt::Write;

/// Characters of a definition in an outline.
const SIGNATURE: usize = 100;
/// Larger files are generated: their outline would take long and help nobody.
const LARGEST_OUTLINED: usize = 512 << 10;
/// The largest file of which a range is read.
const LARGEST_STREAMED: u64 = 1 << 30;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    path: String,
    start: Option<usize>,
    end: Option<usize>,
}

pub(crate) fn perform(bench: &mut Workbench, arguments: &Arguments) -> Work {
    let place = seen::locate(bench, &arguments.path)?;
    if place.full.is_dir() {
        seen::open(bench, &place)?;
        return Ok(listing(bench, &place));
    }
    let ranged = arguments.start.is_some() || arguments.end.is_some();
    let file = match seen::load(bench, &arguments.path) {
        Err(failure) if failure.kind == "too_large" && ranged => return streamed(bench, arguments, failure),
        file => file?,
    };
    let lines: Vec<&str> = file.text.lines().collect();
    let (path, total) = (&file.path, lines.len());
    let (start, end) = range(path, arguments, total)?;
    let sizes = bench.sizes;
    let outline = if ranged { String::new() } else { outline(path, &file.text, sizes.outline) };
    let mut body = String::new();
    let mut last = start - 1;
    let mut clipped = false;
    let fits = file.text.len() <= sizes.read && total <= sizes.read_lines;
    // What the outline takes is taken from the lines.
    let room = if fits { sizes.read } else { sizes.read - outline.len().min(sizes.read / 2) };
    for line in lines.iter().take(end).skip(start - 1).take(sizes.read_lines) {
        let shown = clip::line(line, sizes.read_line);
        if last >= start && body.len() + shown.len() > room {
            break;
        }
        clipped |= shown.len() != line.len();
        body.push_str(&shown);
        body.push('\n');
        last += 1;
    }
    if let Some(reads) = &mut bench.reads {
        reads.note(path, &file.text, start == 1 && last == total && !clipped);
    }
    if total == 0 {
        return Ok(ToolAnswer::done(format!("{path} is empty")));
    }
    let mut text = format!("{path} lines {start}-{last} of {total}\n{body}");
    if last < end {
        let _ = write!(text, "[cut here: read on with start {}]", last + 1);
        text.push_str(&below(&outline, last));
    }
    Ok(ToolAnswer::done(text))
}

/// The lines that are asked for, of those that there are.
fn range(path: &RepoPath, arguments: &Arguments, total: usize) -> Result<(usize, usize), ToolFailure> {
    let start = arguments.start.unwrap_or(1);
    let end = arguments.end.unwrap_or(total).min(total);
    if total > 0 && (start > total || start > end) {
        return Err(failure(
            "range",
            format!("`{path}` has {total} lines: {start} to {} is no part of it", arguments.end.unwrap_or(total)),
            format!("Give a start from 1 to {total} and an end that is not below it."),
        ));
    }
    Ok((start, end))
}

/// What a text defines, a line each: its number and how it begins.
fn outline(path: &RepoPath, text: &str, most: usize) -> String {
    let Some(language) = Language::of(path).filter(|_| most > 0 && text.len() <= LARGEST_OUTLINED) else { return String::new() };
    let symbols = Tagger::default().symbols(language, text);
    let step = symbols.len().div_ceil(most).max(1);
    let mut outline = String::new();
    let mut last = 0;
    for symbol in symbols.iter().step_by(step).filter(|symbol| symbol.line > std::mem::replace(&mut last, symbol.line)) {
        let _ = writeln!(outline, "{}: {}", symbol.line, clip::prefix(&symbol.signature, SIGNATURE));
    }
    outline
}

/// The part of an outline behind a line, under its heading.
fn below(outline: &str, last: usize) -> String {
    let number = |line: &&str| line.split_once(':').and_then(|(number, _)| number.parse::<usize>().ok());
    let lines: Vec<&str> = outline.lines().filter(|line| number(line).is_some_and(|number| number > last)).collect();
    if lines.is_empty() { String::new() } else { format!("\n[defined below, by line:]\n{}", lines.join("\n")) }
}

/// A range of a file that is too large to load.
fn streamed(bench: &Workbench, arguments: &Arguments, too_large: ToolFailure) -> Work {
    let (path, file, bytes) = seen::open_any(bench, &arguments.path)?;
    if bytes > LARGEST_STREAMED {
        return Err(too_large);
    }
    let sizes = bench.sizes;
    let room = Room { bytes: sizes.read, line: sizes.read_line };
    let wanted = arguments.start.unwrap_or(1)..=arguments.end.unwrap_or(usize::MAX);
    let found = excerpt(file, &wanted, room, || !bench.cancel.is_cancelled());
    let found = found.map_err(|e| failure("io", format!("cannot read `{path}`: {e}"), ""))?;
    let Some(found) = found else { return Err(failure("cancelled", "the reading was cancelled", "")) };
    let (start, end) = range(&path, arguments, found.total)?;
    if found.lines.iter().any(|line| line.contains(&0)) {
        return Err(failure("binary", format!("`{path}` is a binary file of {bytes} bytes and is not shown or edited"), ""));
    }
    let last = start + found.lines.len() - 1;
    let mut text = format!("{path} lines {start}-{last} of {}\n", found.total);
    for line in &found.lines {
        let cut = if line.len() < sizes.read_line { "" } else { "… [cut]" };
        let _ = writeln!(text, "{}{cut}", String::from_utf8_lossy(line));
    }
    if last < end {
        let _ = write!(text, "[cut here: read on with start {}]", last + 1);
    }
    Ok(ToolAnswer::done(text))
}

fn listing(bench: &Workbench, place: &seen::Place) -> ToolAnswer {
    // As the path is shown: a newline in it is no new line.
    let name = |found: &Found| found.path.to_string().rsplit('/').next().unwrap_or_default().to_owned();
    let names: Vec<String> = walk::list(&bench.root, &place.full)
        .map(|found| match found.kind {
            Kind::Directory => format!("{}/", name(&found)),
            Kind::File | Kind::Symlink => name(&found),
        })
        .collect();
    let most = bench.sizes.entries;
    let mut text = format!("{} has {} entries, ignored files left out\n", place.path, names.len());
    for name in names.iter().take(most) {
        let _ = writeln!(text, "{name}");
    }
    if names.len() > most {
        let _ = write!(text, "[{} more: use search with mode files and a glob]", names.len() - most);
    }
    ToolAnswer::done(text)
}
