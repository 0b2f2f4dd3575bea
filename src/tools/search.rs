//! `search`: lines that match, bounded, with totals that are always those of the whole search.

use crate::path::RepoPath;
use crate::protocol::tool::{ToolAnswer, ToolFailure};
use crate::repo::walk::{self, Glob};
use crate::text::clip;
use crate::tools::seen::Place;
use crate::tools::{Sizes, Work, Workbench, failure, seen};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkFinish, SinkMatch};
use serde::Deserialize;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Matches shown of one file, when more than one file is searched.
const PER_FILE: usize = 5;
/// Lines around a match, whatever was asked for.
const CONTEXT: usize = 10;
/// Larger files are not searched, unless they are named; then they are read piece by piece.
const LARGEST: u64 = 1 << 20;
/// A longer line ends the search of its file: a line is held in memory as a whole.
const LONGEST_LINE: usize = 32 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    pattern: String,
    path: Option<String>,
    glob: Option<String>,
    #[serde(default)]
    mode: Show,
    #[serde(default)]
    context: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Show {
    #[default]
    Content,
    Files,
    Count,
}

/// One file's share of the search.
struct FileHits {
    path: RepoPath,
    full: PathBuf,
    matches: usize,
    /// Line number, whether it matches, the line.
    lines: Vec<(u64, bool, String)>,
}

/// What a search came to, files in the order of their paths.
struct Tally {
    sizes: Sizes,
    hits: Vec<FileHits>,
    searched: usize,
    binary: Vec<String>,
    large: Vec<String>,
}

/// What there is to say of one file.
enum Seen {
    Matched { matches: usize },
    Binary,
    Large,
}

/// What became of reading a file.
enum Load {
    Whole,
    /// Nothing was read of it.
    Large(File),
}

/// What is searched, and how.
struct Search<'a> {
    bench: &'a Workbench,
    matcher: &'a RegexMatcher,
    glob: Option<Glob>,
    place: Place,
}

pub(crate) fn perform(bench: &mut Workbench, arguments: &Arguments) -> Work {
    let (matcher, literal) = matcher(&arguments.pattern)?;
    let place = seen::locate(bench, arguments.path.as_deref().unwrap_or("."))?;
    seen::open(bench, &place)?;
    let glob = arguments.glob.as_deref().filter(|g| !g.trim().is_empty());
    let glob = glob
        .map(|g| Glob::new(&bench.root, g))
        .transpose()
        .map_err(|e| failure("arguments", e.to_string(), "Try a glob like `*.rs`."))?;
    let search = Search { bench, matcher: &matcher, glob, place };
    let mut tally = search.count();
    if arguments.mode == Show::Content {
        search.show(&mut tally, arguments.context.min(CONTEXT));
    }
    if bench.cancel.is_cancelled() {
        return Err(failure("cancelled", "the search was cancelled", ""));
    }
    Ok(ToolAnswer::done(tally.words(arguments, literal)))
}

impl Search<'_> {
    /// Counts the matching lines of every file, on all cores. What is shown of the first few is found by a second look at them:
    /// lines need not be numbered where they are only counted, nor kept where nobody sees them.
    fn count(&self) -> Tally {
        let named = self.place.full.is_file();
        let state = || {
            let mut builder = SearcherBuilder::new();
            builder.binary_detection(BinaryDetection::quit(0)).heap_limit(Some(LONGEST_LINE)).line_number(false);
            // A matcher that is shared waits for itself.
            (builder.build(), self.matcher.clone(), Vec::new())
        };
        let searched = AtomicUsize::new(0);
        let files = walk::each(&self.bench.root, &self.place.full, state, |(searcher, matcher, text), full| {
            if self.bench.cancel.is_cancelled() {
                return ControlFlow::Break(());
            }
            if !self.wants(full) {
                return ControlFlow::Continue(None);
            }
            // A file that cannot be read is one that is not searched.
            let Some(read) = load(full, text) else { return ControlFlow::Continue(None) };
            let mut counter = Counter { matches: 0, binary: false };
            let _ = match read {
                Load::Whole => searcher.search_slice(&*matcher, text, &mut counter),
                Load::Large(file) if named => searcher.search_file(&*matcher, &file, &mut counter),
                Load::Large(_) => return ControlFlow::Continue(Some(Seen::Large)),
            };
            searched.fetch_add(1, Ordering::Relaxed);
            ControlFlow::Continue(match (counter.binary, counter.matches) {
                (true, _) => Some(Seen::Binary),
                (false, 0) => None,
                (false, matches) => Some(Seen::Matched { matches }),
            })
        });
        let (sizes, searched) = (self.bench.sizes, searched.into_inner());
        let mut tally = Tally { sizes, hits: Vec::new(), searched, binary: Vec::new(), large: Vec::new() };
        for (path, seen) in files {
            match seen {
                Seen::Large => tally.large.push(path.to_string()),
                Seen::Binary => tally.binary.push(path.to_string()),
                Seen::Matched { matches } => {
                    let full = self.bench.root.join(&path);
                    tally.hits.push(FileHits { path, full, matches, lines: Vec::new() });
                }
            }
        }
        tally
    }

    fn wants(&self, full: &Path) -> bool {
        let path = || self.bench.root.parse(full.to_str()?).ok();
        self.glob.as_ref().is_none_or(|glob| path().is_some_and(|path| glob.matches(&path)))
    }

    /// Finds the lines that have room in the answer.
    fn show(&self, tally: &mut Tally, context: usize) {
        let sizes = self.bench.sizes;
        let per_file = if self.place.full.is_file() { sizes.search_lines } else { PER_FILE };
        let mut searcher = SearcherBuilder::new()
            .binary_detection(BinaryDetection::quit(0))
            .heap_limit(Some(LONGEST_LINE))
            .before_context(context)
            .after_context(context)
            .build();
        let mut kept = 0;
        for hits in &mut tally.hits {
            if kept >= sizes.search_lines || self.bench.cancel.is_cancelled() {
                return;
            }
            let mut sink = Lines { lines: Vec::new(), matches: 0, per_file, sizes };
            // It was searched a moment ago; if it is gone now, its matches are counted and not shown.
            let _ = searcher.search_path(self.matcher, &hits.full, &mut sink);
            kept += sink.lines.len();
            hits.lines = sink.lines;
        }
    }
}

/// Reads a file into `text`, in one go: its size is known. One that is growing is read as far as it was.
fn load(full: &Path, text: &mut Vec<u8>) -> Option<Load> {
    let mut file = File::open(full).ok()?;
    let bytes = file.metadata().ok()?.len();
    if bytes > LARGEST {
        return Some(Load::Large(file));
    }
    // No `read_to_end`: it asks once more, to be told that this was all.
    text.resize(usize::try_from(bytes).ok()?, 0);
    let mut filled = 0;
    while filled < text.len() {
        match file.read(&mut text[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    text.truncate(filled);
    Some(Load::Whole)
}

/// The pattern as a regex, or as a literal when it is none.
fn matcher(pattern: &str) -> Result<(RegexMatcher, bool), ToolFailure> {
    let build = |literal| RegexMatcherBuilder::new().line_terminator(Some(b'\n')).fixed_strings(literal).build(pattern);
    match build(false) {
        Ok(matcher) => Ok((matcher, false)),
        Err(error) => match build(true) {
            Ok(matcher) => Ok((matcher, true)),
            Err(_) => Err(failure(
                "pattern",
                format!("the pattern cannot be searched for: {error}"),
                "Search looks at one line at a time.",
            )),
        },
    }
}

impl Tally {
    fn words(&self, arguments: &Arguments, literal: bool) -> String {
        let matches: usize = self.hits.iter().map(|h| h.matches).sum();
        let mut text = format!("{matches} matching lines in {} of {} files", self.hits.len(), self.searched);
        if literal {
            text.push_str("; the pattern is not a valid regex and was taken literally");
        }
        text.push('\n');
        let shown = match arguments.mode {
            Show::Content => content(&self.hits, self.sizes, &mut text),
            Show::Files => entries(self.hits.iter().map(|h| h.path.to_string()), self.sizes, &mut text),
            Show::Count => entries(self.hits.iter().map(|h| format!("{}: {}", h.path, h.matches)), self.sizes, &mut text),
        };
        let total = if arguments.mode == Show::Content { matches } else { self.hits.len() };
        if shown < total {
            let _ = writeln!(text, "[{shown} of {total} shown: narrow with path, glob or a longer pattern, or use mode files]");
        }
        let mut left_out = |what: &str, paths: &[String]| {
            if !paths.is_empty() && (self.hits.is_empty() || self.searched == 1) {
                let names = paths.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = if paths.len() > 3 { ", …" } else { "" };
                let _ = writeln!(text, "[not searched, {what}: {} ({names}{more})]", paths.len());
            }
        };
        left_out("binary", &self.binary);
        left_out("over 1 MiB", &self.large);
        text
    }
}

/// Writes matching lines under their files; gives the number of matches that had room.
fn content(hits: &[FileHits], sizes: Sizes, text: &mut String) -> usize {
    let (mut lines, mut matches) = (0, 0);
    for file in hits {
        if lines >= sizes.search_lines || text.len() >= sizes.search {
            break;
        }
        let _ = writeln!(text, "{}", file.path);
        let mut last = None;
        for (number, is_match, line) in &file.lines {
            if lines >= sizes.search_lines || text.len() + line.len() > sizes.search + sizes.search_line {
                break;
            }
            if file.lines.iter().any(|l| !l.1) && last.is_some_and(|last| last + 1 != *number) {
                text.push_str("--\n");
            }
            let _ = writeln!(text, "{number}{} {line}", if *is_match { ':' } else { '-' });
            last = Some(*number);
            lines += 1;
            matches += usize::from(*is_match);
        }
    }
    matches
}

fn entries(entries: impl Iterator<Item = String>, sizes: Sizes, text: &mut String) -> usize {
    let mut shown = 0;
    for entry in entries.take(sizes.search_lines) {
        if text.len() + entry.len() > sizes.search {
            break;
        }
        let _ = writeln!(text, "{entry}");
        shown += 1;
    }
    shown
}

/// Counts one file's matches.
struct Counter {
    matches: usize,
    binary: bool,
}

impl Sink for Counter {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, _: &SinkMatch<'_>) -> io::Result<bool> {
        self.matches += 1;
        Ok(true)
    }

    fn finish(&mut self, _: &Searcher, finish: &SinkFinish) -> io::Result<()> {
        self.binary = finish.binary_byte_offset().is_some();
        Ok(())
    }
}

/// Keeps one file's first matches.
struct Lines {
    lines: Vec<(u64, bool, String)>,
    matches: usize,
    per_file: usize,
    sizes: Sizes,
}

impl Lines {
    fn keep(&mut self, number: Option<u64>, is_match: bool, bytes: &[u8]) {
        let line = String::from_utf8_lossy(bytes);
        let line = clip::line(line.trim_end_matches(['\n', '\r']), self.sizes.search_line).into_owned();
        self.lines.push((number.unwrap_or_default(), is_match, line));
    }
}

impl Sink for Lines {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        self.matches += 1;
        // What is behind the last one that is shown, its context included, is the next one.
        if self.matches > self.per_file {
            return Ok(false);
        }
        self.keep(found.line_number(), true, found.bytes());
        Ok(true)
    }

    fn context(&mut self, _: &Searcher, context: &SinkContext<'_>) -> io::Result<bool> {
        if self.lines.len() < self.sizes.search_lines {
            self.keep(context.line_number(), false, context.bytes());
        }
        Ok(true)
    }
}
