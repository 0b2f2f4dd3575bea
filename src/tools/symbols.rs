//! `symbols`: where things are defined and used, or the outline of a file.
//!
//! Parsing is a hundred times as dear as cutting a text into names, so every file is cut, and only those are parsed in which a
//! name stands that answers the query as well as any does.

mod told;

use crate::protocol::tool::{ToolAnswer, ToolFailure};
use crate::repo::map::words::identifiers;
use crate::repo::parallel;
use crate::repo::symbols::{Symbol, Tagger};
use crate::repo::syntax::Language;
use crate::repo::tests_of::is_test;
use crate::repo::walk::{self, Found};
use crate::tools::symbols::told::{outline_told, told, users_told};
use crate::tools::{Work, Workbench, failure, seen};
use nucleo_matcher::pattern::{AtomKind, CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Larger files are generated.
const LARGEST: u64 = 512 << 10;
/// Files looked at.
const FILES: usize = 60_000;
/// Bytes parsed for the definitions of an answer, and for its references: a few seconds at worst.
const PARSED: u64 = 16 << 20;
const PARSED_FOR_USES: u64 = 4 << 20;

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

/// What is looked for: `total`, or `total` of `Cart`.
struct Query {
    written: String,
    owner: Option<String>,
    /// In lower case.
    name: String,
    pattern: Pattern,
}

/// A file in a language that has symbols.
struct File {
    language: Language,
    found: Found,
}

/// A definition that answers.
struct Hit {
    how: Match,
    /// Of the right owner.
    owned: bool,
    score: u32,
    path: String,
    symbol: Symbol,
}

pub(crate) fn perform(bench: &mut Workbench, arguments: &Arguments) -> Work {
    let query = arguments.query.as_deref().and_then(Query::of);
    if query.is_none() && arguments.path.as_deref().is_none_or(|p| p.trim().is_empty()) {
        return Err(failure(
            "arguments",
            "`symbols` was not run: neither query nor path was given",
            "Send a name, a path, or both.",
        ));
    }
    let place = seen::locate(bench, arguments.path.as_deref().unwrap_or("."))?;
    seen::open(bench, &place)?;
    let files: Vec<File> = walk::gather(&bench.root, &place.full, FILES)
        .into_iter()
        .filter(|found| found.bytes <= LARGEST)
        .filter_map(|found| Some(File { language: Language::of(&found.path)?, found }))
        .filter(|file| file.language != Language::Json)
        .collect();
    if files.is_empty() {
        return Ok(ToolAnswer::done(format!(
            "no file at `{}` is in a language that symbols knows, or it is too large; use search",
            place.path
        )));
    }
    let hunt = Hunt { bench, files: &files, tagger: Tagger::default() };
    let place = place.path.to_string();
    Ok(ToolAnswer::done(match query {
        Some(query) => hunt.answer(&query, &place)?,
        None => hunt.outline(&place)?,
    }))
}

impl Query {
    /// `None`: nothing is asked.
    fn of(written: &str) -> Option<Self> {
        let written = written.trim().trim_end_matches("()");
        let mut parts = written.rsplit(['.', ':', '#', '>', '/']).map(|part| part.trim_matches('-').trim());
        let last = parts.next().filter(|part| !part.is_empty())?;
        let owner = parts.find(|part| !part.is_empty()).map(str::to_lowercase);
        // What CSS or a heading is called has signs of its own, and is looked for as it stands.
        let name = if owner.is_some() { last } else { written };
        let pattern = Pattern::new(name, CaseMatching::Ignore, Normalization::Smart, AtomKind::Fuzzy);
        Some(Self { written: written.to_owned(), owner, name: name.to_lowercase(), pattern })
    }

    fn matching(&self, name: &str, matcher: &mut Matcher, buffer: &mut Vec<char>) -> Option<(Match, u32)> {
        let score = self.pattern.score(Utf32Str::new(name, buffer), matcher)?;
        let lower = name.to_lowercase();
        let how = if lower == self.name {
            Match::Whole
        } else if lower.contains(&self.name) {
            Match::Part
        } else {
            Match::Letters
        };
        Some((how, score))
    }

    /// Whether a symbol stands inside of the owner that was named, or in a file that is called like it.
    fn owns(&self, symbol: &Symbol, all: &[Symbol], path: &str) -> bool {
        let Some(owner) = &self.owner else { return false };
        let around = |other: &Symbol| other.line < symbol.line && symbol.end <= other.end && other.name.to_lowercase() == *owner;
        let stem = path.rsplit('/').next().and_then(|name| name.split('.').next());
        all.iter().any(around)
            || symbol.signature.to_lowercase().contains(owner)
            || stem.is_some_and(|stem| stem.to_lowercase() == *owner)
    }
}

struct Hunt<'a> {
    bench: &'a Workbench,
    files: &'a [File],
    tagger: Tagger,
}

impl Hunt<'_> {
    fn answer(&self, query: &Query, place: &str) -> Result<String, ToolFailure> {
        let ways = self.ways(query)?;
        let among = |how| self.files.iter().zip(&ways).filter(move |(_, way)| **way == Some(how)).map(|(file, _)| file);
        let mut left = PARSED;
        let named: Vec<&File> = among(Match::Whole).chain(among(Match::Part)).collect();
        let mut hits = self.definitions(named, query, &mut left)?;
        // Only when no name contains the query may its letters stand apart.
        if hits.iter().all(|hit| hit.how == Match::Letters) {
            hits.extend(self.definitions(among(Match::Letters).collect(), query, &mut left)?);
        }
        hits.sort_by(|a, b| a.rank().cmp(&b.rank()).then_with(|| (&a.path, a.symbol.line).cmp(&(&b.path, b.symbol.line))));
        let mut text = told(&mut hits, query, place);
        if left == 0 {
            text.push_str("[not everything was looked at: give a path]\n");
        }
        if let Some(name) = hits.first().filter(|hit| hit.how == Match::Whole).map(|hit| hit.symbol.name.clone()) {
            text.push_str(&self.uses(&name)?);
        }
        Ok(text)
    }

    /// By file: the best way in which any of its names answers.
    fn ways(&self, query: &Query) -> Result<Vec<Option<Match>>, ToolFailure> {
        let state = || (Matcher::new(Config::DEFAULT), Vec::new());
        let ways = parallel::each(self.files, state, |(matcher, buffer), file| {
            if self.bench.cancel.is_cancelled() {
                return None;
            }
            let text = text(file)?;
            let named = identifiers(&text).filter_map(|name| query.matching(name, matcher, buffer)).map(|(how, _)| how).min();
            // Not every symbol is an identifier: a heading, a short name, a custom property.
            let whole = || text.to_lowercase().contains(&query.name).then_some(Match::Part);
            named.filter(|how| *how < Match::Letters).or_else(whole).or(named)
        });
        self.alive().map(|()| ways)
    }

    fn definitions(&self, mut files: Vec<&File>, query: &Query, left: &mut u64) -> Result<Vec<Hit>, ToolFailure> {
        let mut room = *left;
        files.retain(|file| {
            let fits = file.found.bytes <= room;
            room = if fits { room - file.found.bytes } else { 0 };
            fits
        });
        *left = room;
        let state = || (self.tagger.clone(), Matcher::new(Config::DEFAULT), Vec::new());
        let hits = parallel::each(&files, state, |(tagger, matcher, buffer), file| {
            let Some(text) = text(file).filter(|_| !self.bench.cancel.is_cancelled()) else { return Vec::new() };
            let symbols = tagger.symbols(file.language, &text);
            let answering = symbols.iter().filter_map(|symbol| {
                let (how, score) = query.matching(&symbol.name, matcher, buffer)?;
                let path = file.found.path.to_string();
                Some(Hit { how, owned: query.owns(symbol, &symbols, &path), score, path, symbol: symbol.clone() })
            });
            answering.collect::<Vec<Hit>>()
        });
        self.alive().map(|()| hits.into_iter().flatten().collect())
    }

    /// Where a name is used, as far as the grammars know.
    fn uses(&self, name: &str) -> Result<String, ToolFailure> {
        let mut left = PARSED_FOR_USES;
        let users = parallel::each(self.files, || (), |(), file| text(file).is_some_and(|text| text.contains(name)));
        let mut users: Vec<&File> = users.iter().zip(self.files).filter(|(uses, _)| **uses).map(|(_, file)| file).collect();
        let all = users.len();
        users.retain(|file| {
            let fits = file.found.bytes <= left;
            left = if fits { left - file.found.bytes } else { 0 };
            fits
        });
        let found = parallel::each(
            &users,
            || self.tagger.clone(),
            |tagger, file| {
                let Some(text) = text(file).filter(|_| !self.bench.cancel.is_cancelled()) else { return Vec::new() };
                let here = tagger.references(file.language, &text);
                here.into_iter().filter(|reference| reference.name == name).map(|reference| reference.line).collect()
            },
        );
        self.alive()?;
        let by_file: BTreeMap<String, Vec<usize>> = users
            .iter()
            .zip(found)
            .filter(|(_, lines)| !lines.is_empty())
            .map(|(file, lines)| (file.found.path.to_string(), lines))
            .collect();
        Ok(users_told(name, &by_file, all > users.len()))
    }

    fn outline(&self, place: &str) -> Result<String, ToolFailure> {
        let mut left = PARSED;
        let fitting: Vec<&File> = self
            .files
            .iter()
            .take_while(|file| {
                left = left.saturating_sub(file.found.bytes);
                left > 0
            })
            .collect();
        let found = parallel::each(
            &fitting,
            || self.tagger.clone(),
            |tagger, file| {
                let text = text(file).filter(|_| !self.bench.cancel.is_cancelled()).unwrap_or_default();
                let symbols = tagger.symbols(file.language, &text);
                symbols.into_iter().map(|symbol| (file.found.path.to_string(), symbol)).collect::<Vec<_>>()
            },
        );
        self.alive()?;
        let found: Vec<(String, Symbol)> = found.into_iter().flatten().collect();
        Ok(outline_told(&found, place, self.files.len() - fitting.len()))
    }

    fn alive(&self) -> Result<(), ToolFailure> {
        if self.bench.cancel.is_cancelled() {
            Err(failure("cancelled", "the search for symbols was cancelled", ""))
        } else {
            Ok(())
        }
    }
}

impl Hit {
    /// The least is the best.
    fn rank(&self) -> (Match, bool, bool, std::cmp::Reverse<u32>) {
        (self.how, !self.owned, is_test(&self.path), std::cmp::Reverse(self.score))
    }
}

/// A file that cannot be read as text has no symbols.
fn text(file: &File) -> Option<String> {
    std::fs::read_to_string(&file.found.full).ok()
}
