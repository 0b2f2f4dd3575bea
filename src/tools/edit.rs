//! `edit`: replaces text that the session has read, all edits of a call or none.

use crate::edit::apply::{self, ApplyError};
use crate::edit::place::{Edit, How, Refusal};
use crate::edit::several;
use crate::path::RepoPath;
use crate::protocol::tool::{Change, ChangeKind, ToolAnswer, ToolFailure};
use crate::repo::syntax::{self, Language};
use crate::text::{clip, diff};
use crate::tools::{Sizes, Work, Workbench, checks, failure, seen};
use serde::Deserialize;
use serde_json::Value;

/// Bytes of the changes shown after an inexact match.
const SHOWN: usize = 1_600;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    path: String,
    search: Option<String>,
    replace: Option<String>,
    occurrence: Option<usize>,
    #[serde(default)]
    edits: Vec<Pair>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    search: String,
    replace: String,
}

/// Checks what the schema leaves open: either one search with its replacement, or a list of them.
pub(crate) fn combination(arguments: &Value) -> Result<(), String> {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str);
    let listed = arguments.get("edits").and_then(Value::as_array).is_some_and(|edits| !edits.is_empty());
    let alone = text("search").is_some_and(|s| !s.is_empty()) || text("replace").is_some_and(|r| !r.is_empty());
    match (listed, text("search"), text("replace")) {
        (true, ..) if alone => Err("it has both search/replace and edits; send one of them".into()),
        (true, ..) | (false, Some(_), Some(_)) => Ok(()),
        (false, Some(_), None) => Err("`replace` is missing".into()),
        (false, None, Some(_)) => Err("`search` is missing".into()),
        (false, None, None) => Err("`search` and `replace` are missing".into()),
    }
}

pub(crate) fn perform(bench: &mut Workbench, arguments: Arguments) -> Work {
    let place = seen::locate(bench, &arguments.path)?;
    let edits = edits(&arguments);
    if let ([only], false) = (edits.as_slice(), place.full.exists())
        && only.search.is_empty()
    {
        return create(bench, &arguments.path, &only.replace);
    }
    let file = seen::load(bench, &arguments.path)?;
    seen::current(bench, &file)?;
    let all = several::place_all(&file.text, &edits).map_err(|one| {
        let which = if edits.len() > 1 { format!("edit {} of {}: ", one.at + 1, edits.len()) } else { String::new() };
        refused(&file.path, &which, one.why, bench.sizes)
    })?;
    let text = all.text;
    seen::unchanged(bench, &file)?;
    apply::write(&bench.root, file.path.as_str(), text.as_bytes()).map_err(unwritten)?;
    if let Some(reads) = &mut bench.reads {
        reads.refresh(&file.path, &text);
    }
    let lines: Vec<usize> = all.places.iter().map(|(_, line)| *line).collect();
    let mut words = done(&file.path, &lines);
    if let Some((how, _)) = all.places.iter().find(|(how, _)| *how != How::Exact) {
        let changes = diff::hunks(&file.text, &text, 0);
        words.push_str(&format!("\nThe search did not match exactly{}. What changed:\n", fitted(*how)));
        words.push_str(&clip::middle(&changes, SHOWN));
    }
    words.push_str(&warning(&file.path, &file.text, &text));
    words.push_str(&checks::words(bench, [&file.path]));
    Ok(changed(words, &file.path, ChangeKind::Modified))
}

/// The call's edits; a model that repeats itself means one of them.
fn edits(arguments: &Arguments) -> Vec<Edit> {
    let whole = |search: &str, replace: &str, occurrence| Edit { search: search.into(), replace: replace.into(), occurrence };
    if arguments.edits.is_empty() {
        let (search, replace) =
            (arguments.search.as_deref().unwrap_or_default(), arguments.replace.as_deref().unwrap_or_default());
        return vec![whole(search, replace, arguments.occurrence)];
    }
    let first = |at: &usize| !arguments.edits[..*at].contains(&arguments.edits[*at]);
    (0..arguments.edits.len())
        .filter(first)
        .map(|at| whole(&arguments.edits[at].search, &arguments.edits[at].replace, None))
        .collect()
}

/// An empty search in a file that does not exist can only mean a new file.
fn create(bench: &mut Workbench, written: &str, content: &str) -> Work {
    let (path, kind) = apply::write(&bench.root, written, content.as_bytes()).map_err(unwritten)?;
    if let Some(reads) = &mut bench.reads {
        reads.note(&path, content, true);
    }
    let words = format!("created {path}{}{}", warning(&path, "", content), checks::words(bench, [&path]));
    Ok(changed(words, &path, kind))
}

fn done(path: &RepoPath, lines: &[usize]) -> String {
    match lines {
        [line] => format!("edited {path} at line {line}"),
        lines => format!("edited {path}: {} changes at lines {}", lines.len(), numbers(lines)),
    }
}

/// What was made to match.
fn fitted(how: How) -> &'static str {
    match how {
        How::Exact => "",
        How::TrailingBlanks => ": blanks at line ends differ",
        How::Typography => ": quotes, dashes or blanks are of another kind",
        How::Indentation => ": the indentation was fitted to the file",
        How::BlankLines => ": blank lines differ",
        How::Elision => ": what the marks stand for was kept",
        How::Repaired => ": a fence, line numbers or escapes were taken off",
    }
}

fn numbers(lines: &[usize]) -> String {
    let told: Vec<String> = lines.iter().take(12).map(ToString::to_string).collect();
    if lines.len() > 12 { format!("{} and {} more", told.join(", "), lines.len() - 12) } else { told.join(", ") }
}

/// What the model reads when the file's syntax was whole, or less broken, before. Empty otherwise.
pub(crate) fn warning(path: &RepoPath, before: &str, after: &str) -> String {
    match Language::of(path).and_then(|language| syntax::newly_broken(language, before, after)) {
        Some(line) => {
            let shown = clip::line(after.lines().nth(line - 1).unwrap_or_default(), 120);
            format!(
                "\nWarning: the change was made, but now there is a syntax error at line {line}: {shown}\nRead the lines around it and correct them."
            )
        }
        None => String::new(),
    }
}

pub(crate) fn changed(words: String, path: &RepoPath, change: ChangeKind) -> ToolAnswer {
    ToolAnswer { changes: vec![Change { path: path.as_str().to_owned(), change }], ..ToolAnswer::done(words) }
}

pub(crate) fn unwritten(error: ApplyError) -> ToolFailure {
    let kind = match &error {
        ApplyError::Path(_) | ApplyError::Git(_) => "outside",
        ApplyError::NotAFile(_) => "not_a_file",
        ApplyError::Io { .. } => "io",
    };
    let cause = std::error::Error::source(&error).map(|e| format!(": {e}")).unwrap_or_default();
    failure(kind, format!("{error}{cause}; nothing was changed"), "")
}

/// A refusal in words for the model.
pub(crate) fn refused(path: &RepoPath, which: &str, refusal: Refusal, sizes: Sizes) -> ToolFailure {
    let (kind, message, hint) = match refusal {
        Refusal::Blank => {
            ("empty_search", "the search is blank".into(), "Give the lines to replace, copied from the file.".into())
        }
        Refusal::NoChange => {
            ("no_change", "the replacement leaves the file as it is".into(), "Send what it should become.".into())
        }
        Refusal::Elided { mark } => (
            "elided",
            format!("the replacement holds `{mark}`, which would delete the code that it stands for"),
            "Write out everything, or search for less.".into(),
        ),
        Refusal::CutsWord { line } => (
            "cuts_word",
            format!("the search begins or ends inside a word or number at line {line}"),
            "Search for whole words, better whole lines.".into(),
        ),
        Refusal::Ambiguous { lines } => (
            "ambiguous",
            format!("the search stands in {} places, at lines {}", lines.len(), numbers(&lines)),
            "Add lines around it until it is unique, or give occurrence.".into(),
        ),
        Refusal::NoSuchOccurrence { asked, lines } => (
            "ambiguous",
            format!("there is no occurrence {asked}: the search stands at lines {}", numbers(&lines)),
            format!("Give occurrence from 1 to {}.", lines.len()),
        ),
        Refusal::AlreadyApplied { line } => (
            "already_applied",
            format!("the replacement stands there already, at line {line}"),
            "Go on with what is left to do.".into(),
        ),
        Refusal::Overlaps => {
            ("overlap", "it changes lines that another edit of this call changes too".into(), "Make one edit of the two.".into())
        }
        Refusal::Missing { nearest: Some(near) } => {
            let (first, last) = near.lines;
            let quote = format!("The nearest lines are {first}-{last}:\n{}", clip::middle(&near.text, sizes.quoted));
            ("not_found", "the search does not stand in the file".into(), quote)
        }
        Refusal::Missing { nearest: None } => (
            "not_found",
            "the search does not stand in the file, nor anything like it".into(),
            "Read the file again and copy from it.".into(),
        ),
    };
    failure(kind, format!("{which}{message} (`{path}`); nothing was changed"), hint)
}
