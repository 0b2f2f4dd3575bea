//! `search`: lines that match, bounded, with totals that are always those of the whole search.

use crate::path::RepoPath;
use crate::protocol::tool::{ToolAnswer, ToolFailure};
use crate::repo::walk::{self, Found, Glob};
use crate::text::clip;
use crate::tools::{Sizes, Work, Workbench, failure, seen};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkFinish, SinkMatch};
use serde::Deserialize;
use std::fmt::Write;
use std::io;

/// Matches shown of one file, when more than one file is searched.
const PER_FILE: usize = 5;
/// Lines around a match, whatever was asked for.
const CONTEXT: usize = 10;
/// Larger files are not searched.
const LARGEST: u64 = 1 << 20;

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
    matches: usize,
    /// Line number, whether it matches, the line.
    lines: Vec<(u64, bool, String)>,
}

struct Tally {
    sizes: Sizes,
    hits: Vec<FileHits>,
    /// Lines of them.
    kept: usize,
    searched: usize,
    binary: Vec<String>,
    large: Vec<String>,
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
    let sizes = bench.sizes;
    let per_file = if place.full.is_file() { sizes.search_lines } else { PER_FILE };
    let mut searcher = SearcherBuilder::new()
        .binary_detection(BinaryDetection::quit(0))
        .before_context(arguments.context.min(CONTEXT))
        .after_context(arguments.context.min(CONTEXT))
        .build();
    let mut tally = Tally { sizes, hits: Vec::new(), kept: 0, searched: 0, binary: Vec::new(), large: Vec::new() };
    for found in walk::files(&bench.root, &place.full) {
        if bench.cancel.is_cancelled() {
            return Err(failure("cancelled", "the search was cancelled", ""));
        }
        if glob.as_ref().is_none_or(|g| g.matches(&found.path)) {
            // What has no room in the answer is counted only.
            let kept = if arguments.mode == Show::Content && tally.kept < sizes.search_lines { per_file } else { 0 };
            tally.file(&mut searcher, &matcher, &found, kept);
        }
    }
    Ok(ToolAnswer::done(tally.words(arguments, literal)))
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
    fn file(&mut self, searcher: &mut Searcher, matcher: &RegexMatcher, found: &Found, per_file: usize) {
        if found.bytes > LARGEST {
            self.large.push(found.path.to_string());
            return;
        }
        let hits = FileHits { path: found.path.clone(), matches: 0, lines: Vec::new() };
        let mut sink = Lines { hits, per_file, sizes: self.sizes, binary: false };
        // A file that cannot be opened is one that is not searched.
        if searcher.search_path(matcher, &found.full, &mut sink).is_err() {
            return;
        }
        self.searched += 1;
        if sink.binary {
            self.binary.push(found.path.to_string());
        } else if sink.hits.matches > 0 {
            self.kept += sink.hits.lines.len();
            self.hits.push(sink.hits);
        }
    }

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

/// Collects one file's matches: all are counted, the first few kept.
struct Lines {
    hits: FileHits,
    per_file: usize,
    sizes: Sizes,
    binary: bool,
}

impl Lines {
    fn keep(&mut self, number: Option<u64>, is_match: bool, bytes: &[u8]) {
        let line = String::from_utf8_lossy(bytes);
        let line = clip::line(line.trim_end_matches(['\n', '\r']), self.sizes.search_line).into_owned();
        self.hits.lines.push((number.unwrap_or_default(), is_match, line));
    }
}

impl Sink for Lines {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        self.hits.matches += 1;
        if self.hits.matches <= self.per_file {
            self.keep(found.line_number(), true, found.bytes());
        }
        Ok(true)
    }

    fn context(&mut self, _: &Searcher, context: &SinkContext<'_>) -> io::Result<bool> {
        if self.per_file > 0 && self.hits.matches <= self.per_file && self.hits.lines.len() < self.sizes.search_lines {
            self.keep(context.line_number(), false, context.bytes());
        }
        Ok(true)
    }

    fn finish(&mut self, _: &Searcher, finish: &SinkFinish) -> io::Result<()> {
        self.binary = finish.binary_byte_offset().is_some();
        Ok(())
    }
}
