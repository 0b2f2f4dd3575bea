//! `read`: a file's lines as they stand, so that an edit can copy them, or a directory's names.

use crate::protocol::tool::ToolAnswer;
use crate::repo::walk::{self, Found, Kind};
use crate::text::clip;
use crate::tools::{Work, Workbench, failure, seen};
use serde::Deserialize;
use std::fmt::Write;

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
    let file = seen::load(bench, &arguments.path)?;
    let lines: Vec<&str> = file.text.lines().collect();
    let (path, total) = (&file.path, lines.len());
    let start = arguments.start.unwrap_or(1);
    let end = arguments.end.unwrap_or(total).min(total);
    if total > 0 && (start > total || start > end) {
        return Err(failure(
            "range",
            format!("`{path}` has {total} lines: {start} to {} is no part of it", arguments.end.unwrap_or(total)),
            format!("Give a start from 1 to {total} and an end that is not below it."),
        ));
    }
    let sizes = bench.sizes;
    let mut body = String::new();
    let mut last = start - 1;
    let mut clipped = false;
    for line in lines.iter().take(end).skip(start - 1).take(sizes.read_lines) {
        let shown = clip::line(line, sizes.read_line);
        if last >= start && body.len() + shown.len() > sizes.read {
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
