//! `write`: makes a file. An existing one is replaced only when the session has read all of it as it is now.

use crate::edit::{apply, elision};
use crate::protocol::tool::{ChangeKind, ToolFailure};
use crate::tools::edit::{changed, unwritten, warning};
use crate::tools::seen::{self, File, Place};
use crate::tools::{Work, Workbench, checks, failure};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    path: String,
    content: String,
}

pub(crate) fn perform(bench: &mut Workbench, arguments: &Arguments) -> Work {
    let place = seen::locate(bench, &arguments.path)?;
    let before = if place.full.exists() { existing(bench, &place, arguments)? } else { String::new() };
    let (path, change) = apply::write(&bench.root, &arguments.path, arguments.content.as_bytes()).map_err(unwritten)?;
    if let Some(reads) = &mut bench.reads {
        reads.note(&place.path, &arguments.content, true);
    }
    let done = if change == ChangeKind::Added { "created" } else { "replaced" };
    let lines = arguments.content.lines().count();
    let broken = warning(&path, &before, &arguments.content);
    let words = format!("{done} {path}, {lines} lines{broken}{}", checks::words(bench, [&path]));
    Ok(changed(words, &path, change))
}

/// The text of the file that is about to be replaced, if it may be.
fn existing(bench: &Workbench, place: &Place, arguments: &Arguments) -> Result<String, ToolFailure> {
    if place.full.is_dir() {
        return Err(failure("directory", format!("`{}` is a directory", place.path), "Name a file in it."));
    }
    let path = &place.path;
    let file = match (seen::load(bench, &arguments.path), &bench.reads) {
        (Ok(file), _) => file,
        // The caller is the user: what is no text is replaced all the same.
        (Err(_), None) => return Ok(String::new()),
        (Err(failure), Some(_)) => return Err(failure),
    };
    if file.text == arguments.content {
        return Err(failure(
            "no_change",
            format!("`{path}` has this content already; nothing was changed"),
            "Go on with what is left to do.",
        ));
    }
    whole(bench, &file)?;
    if let Some(mark) = elision::added(&file.text, &arguments.content) {
        let message =
            format!("the content holds `{mark}`, which would delete the code that it stands for; `{path}` was not changed");
        return Err(failure("elided", message, "Change parts of a file with edit."));
    }
    Ok(file.text)
}

fn whole(bench: &Workbench, file: &File) -> Result<(), ToolFailure> {
    let Some(reads) = &bench.reads else { return Ok(()) };
    let seen = reads.0.get(file.path.as_str());
    if seen.is_some_and(|s| s.whole && s.hash == seen::hash(&file.text)) {
        return Ok(());
    }
    let message = format!("`{}` exists and has not been read whole, as it is now; nothing was changed", file.path);
    Err(failure("exists", message, "Change it with edit, or read all of it first."))
}
