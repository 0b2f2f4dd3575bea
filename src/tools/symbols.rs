//! `symbols`: where things are defined, or the outline of a file.

use crate::protocol::tool::ToolAnswer;
use crate::repo::symbols::{Symbol, Tagger};
use crate::repo::syntax::Language;
use crate::repo::walk::{self, Found};
use crate::text::clip;
use crate::tools::{Work, Workbench, failure, seen};
use serde::Deserialize;
use std::fmt::Write;

/// Definitions in an answer.
const SHOWN: usize = 60;
/// Characters of a signature.
const SIGNATURE: usize = 120;
/// Larger files are generated.
const LARGEST: u64 = 512 << 10;
/// Bytes parsed for one answer: a few seconds at worst.
const PARSED: u64 = 16 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    query: Option<String>,
    path: Option<String>,
}

/// How a name answers a query; in order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    Whole,
    Part,
    Letters,
}

pub(crate) fn perform(bench: &mut Workbench, arguments: &Arguments) -> Work {
    let query = arguments.query.as_deref().map(str::trim).filter(|q| !q.is_empty()).map(str::to_lowercase);
    if query.is_none() && arguments.path.as_deref().is_none_or(|p| p.trim().is_empty()) {
        return Err(failure(
            "arguments",
            "`symbols` was not run: neither query nor path was given",
            "Send a name, a path, or both.",
        ));
    }
    let place = seen::locate(bench, arguments.path.as_deref().unwrap_or("."))?;
    seen::open(bench, &place)?;
    let files: Vec<(Language, Found)> = walk::files(&bench.root, &place.full)
        .filter(|found| found.bytes <= LARGEST)
        .filter_map(|found| Some((Language::of(&found.path)?, found)))
        .collect();
    if files.is_empty() {
        return Ok(ToolAnswer::done(format!(
            "no file at `{}` is in a language that symbols knows, or it is too large; use search",
            place.path
        )));
    }
    let mut hunt = Hunt { tagger: Tagger::default(), left: PARSED, found: Vec::new(), cut: 0 };
    let mut without = Vec::new();
    for (language, file) in &files {
        if bench.cancel.is_cancelled() {
            return Err(failure("cancelled", "the search for symbols was cancelled", ""));
        }
        // A file that cannot be read as text has no symbols.
        let Ok(text) = std::fs::read_to_string(&file.full) else { continue };
        // Parsing is a hundred times as dear as looking.
        if query.as_deref().is_some_and(|q| !text.to_lowercase().contains(q)) {
            without.push((*language, file));
        } else {
            hunt.file(*language, file, &text, query.as_deref());
        }
    }
    // Only when no name contains the query may its letters stand apart.
    if hunt.found.is_empty() {
        for (language, file) in without.into_iter().take_while(|_| !bench.cancel.is_cancelled()) {
            let text = std::fs::read_to_string(&file.full).unwrap_or_default();
            hunt.file(language, file, &text, query.as_deref());
        }
    }
    Ok(ToolAnswer::done(hunt.words(query.as_deref(), place.path.to_string().as_str())))
}

struct Hunt {
    tagger: Tagger,
    /// Bytes that may still be parsed.
    left: u64,
    found: Vec<(Match, String, Symbol)>,
    /// Files that were not parsed for want of room.
    cut: usize,
}

impl Hunt {
    fn file(&mut self, language: Language, file: &Found, text: &str, query: Option<&str>) {
        if self.left < file.bytes {
            self.cut += 1;
            return;
        }
        self.left -= file.bytes;
        for symbol in self.tagger.symbols(language, text) {
            let how = query.map_or(Some(Match::Whole), |q| matching(q, &symbol.name.to_lowercase()));
            if let Some(how) = how {
                self.found.push((how, file.path.to_string(), symbol));
            }
        }
    }

    fn words(mut self, query: Option<&str>, place: &str) -> String {
        // Scattered letters only count when nothing better was found.
        if self.found.iter().any(|(how, ..)| *how < Match::Letters) {
            self.found.retain(|(how, ..)| *how < Match::Letters);
        }
        self.found.sort_by_key(|(how, ..)| *how);
        let total = self.found.len();
        let of = query.map(|q| format!(" matching `{q}`")).unwrap_or_default();
        let mut text = format!("{total} definitions{of} in {place}\n");
        for (_, path, symbol) in self.found.iter().take(SHOWN) {
            let signature = clip::prefix(&symbol.signature, SIGNATURE);
            let _ = writeln!(text, "{path}:{} {} {}: {signature}", symbol.line, symbol.kind, symbol.name);
        }
        if total == 0 {
            text.push_str("[nothing is defined by that name here: use search]\n");
        }
        if total > SHOWN {
            let _ = writeln!(text, "[{SHOWN} of {total} shown: narrow with a longer query or a path]");
        }
        if self.cut > 0 {
            let _ = writeln!(text, "[{} files were not looked at: give a path]", self.cut);
        }
        text
    }
}

/// Both in lower case: equal, contained, or its letters in order.
fn matching(query: &str, name: &str) -> Option<Match> {
    if name == query {
        return Some(Match::Whole);
    }
    if name.contains(query) {
        return Some(Match::Part);
    }
    let mut letters = name.chars();
    query.chars().all(|q| letters.any(|c| c == q)).then_some(Match::Letters)
}
