//! A text of sentences and code, cut into words that know how they were marked.
//!
//! Knows Markdown as far as people use it in issues: backquotes, fences, quotation marks. A mark that does not close on its line
//! is none, so one stray backquote costs one line.

use crate::repair::is_known;
use crate::repo::syntax::Language;

/// How a word was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In backquotes.
    Code,
    /// In quotation marks that hold a word or an expression, not a sentence.
    Quote,
    /// In a block between fences.
    Fence,
    /// The name of a file, in one word, and the line that follows it.
    Path,
    Prose,
}

/// A name, a number, a run of operator signs, or another sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    pub text: &'a str,
    /// Its first byte in the whole text.
    pub at: usize,
    pub place: Place,
    /// Words with the same number stand in the same marks, or in the same sentence between marks.
    pub span: usize,
}

impl Word<'_> {
    pub fn end(&self) -> usize {
        self.at + self.text.len()
    }

    pub fn is_operator(&self) -> bool {
        self.text.starts_with(operator)
    }

    pub fn is_number(&self) -> bool {
        self.text.starts_with(|c: char| c.is_ascii_digit())
    }

    /// Whether it is the name of a file.
    pub fn is_path(&self) -> bool {
        self.place == Place::Path && is_path(self.text)
    }

    pub fn is_name(&self) -> bool {
        self.text.starts_with(letter)
    }
}

/// A quotation longer than this, in words, is a sentence.
const EXPRESSION: usize = 3;

/// Cuts a text into words, in its order. White space is none.
pub fn words(text: &str) -> Vec<Word<'_>> {
    let mut cut = Cut { text, words: Vec::new(), span: 0 };
    let (mut at, mut fenced) = (0, false);
    for line in text.split_inclusive('\n') {
        if ["```", "~~~"].iter().any(|fence| line.trim_start().starts_with(fence)) {
            fenced = !fenced;
        } else if fenced {
            cut.span(at, at + line.len(), Place::Fence);
        } else {
            cut.line(at, at + line.len());
        }
        at += line.len();
    }
    cut.words
}

/// The names, numbers and operators of a piece of code, in its order.
pub fn pieces(code: &str) -> Vec<&str> {
    let mut cut = Cut { text: code, words: Vec::new(), span: 0 };
    cut.pieces(0, code.len(), Place::Code);
    cut.words.into_iter().map(|word| word.text).collect()
}

struct Cut<'a> {
    text: &'a str,
    words: Vec<Word<'a>>,
    span: usize,
}

impl Cut<'_> {
    /// A line outside fences: what is marked, and what lies between.
    fn line(&mut self, from: usize, to: usize) {
        let (mut plain, mut at) = (from, from);
        while at < to {
            let rest = &self.text[at..to];
            let glued = self.text[from..at].ends_with(|c: char| c.is_alphanumeric());
            if let Some((open, inner, place)) = marked(rest).filter(|(.., place)| !glued || *place == Place::Code) {
                self.span(plain, at, Place::Prose);
                self.span(at + open, at + open + inner, place);
                at += 2 * open + inner;
                plain = at;
            } else {
                // A run of backquotes that does not close is skipped whole: its rest would open another.
                let run = rest.len() - rest.trim_start_matches('`').len();
                at += run.max(rest.chars().next().map_or(1, char::len_utf8));
            }
        }
        self.span(plain, to, Place::Prose);
    }

    fn span(&mut self, from: usize, to: usize, place: Place) {
        self.span += 1;
        let mut at = from;
        for chunk in self.text[from..to].split_inclusive(char::is_whitespace) {
            let trimmed = chunk.trim_matches(|c: char| c.is_whitespace() || "()[]{}<>,;:.!?\"'*".contains(c));
            // Of `src/a.py:12:3` the numbers are no part of the name.
            let name = trimmed.trim_end_matches(|c: char| c.is_ascii_digit() || c == ':');
            if is_path(name) {
                let start = at + chunk.find(name).unwrap_or(0);
                self.pieces(at, start, place);
                self.words.push(Word {
                    text: &self.text[start..start + name.len()],
                    at: start,
                    place: Place::Path,
                    span: self.span,
                });
                self.pieces(start + name.len(), at + chunk.len(), Place::Path);
            } else {
                self.pieces(at, at + chunk.len(), place);
            }
            at += chunk.len();
        }
    }

    fn pieces(&mut self, from: usize, to: usize, place: Place) {
        let mut at = from;
        while at < to {
            let rest = &self.text[at..to];
            let length = piece(rest);
            if !rest.starts_with(char::is_whitespace) {
                self.words.push(Word { text: &rest[..length], at, place, span: self.span });
            }
            at += length;
        }
    }
}

/// What stands in marks at the beginning of `rest`: the length of a mark, of what it holds, and what it is then.
fn marked(rest: &str) -> Option<(usize, usize, Place)> {
    let run = rest.len() - rest.trim_start_matches('`').len();
    if run > 0 {
        let close = rest[run..].find(&rest[..run])?;
        return (close > 0).then_some((run, close, Place::Code));
    }
    let (open, close) =
        [('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’')].into_iter().find(|(open, _)| rest.starts_with(*open))?;
    let inner = &rest[open.len_utf8()..];
    let end = inner
        .match_indices(close)
        .map(|(at, _)| at)
        .find(|at| !inner[at + close.len_utf8()..].starts_with(|c: char| c.is_alphanumeric()))?;
    let held = &inner[..end];
    let short = held.split_whitespace().count() <= EXPRESSION && !held.is_empty() && held.trim() == held;
    let sentence = held.contains(' ') && !held.contains(operator);
    (short && !sentence || ["not in", "is not"].contains(&held)).then_some((open.len_utf8(), end, Place::Quote))
}

/// The length of the word, or of the white space, that a text begins with.
fn piece(rest: &str) -> usize {
    let until = |other: &dyn Fn(char) -> bool| rest.find(|c: char| !other(c)).unwrap_or(rest.len());
    let first = rest.chars().next().unwrap_or(' ');
    if first.is_ascii_digit() {
        let whole = until(&|c| c.is_ascii_alphanumeric() || c == '_');
        let part =
            rest[whole..].strip_prefix('.').map_or(0, |r| r.len() - r.trim_start_matches(|c: char| c.is_ascii_digit()).len());
        return whole + if part > 0 { part + 1 } else { 0 };
    }
    if letter(first) {
        return until(&|c| letter(c) || c.is_numeric());
    }
    if operator(first) {
        return until(&operator);
    }
    if first.is_whitespace() { until(&char::is_whitespace) } else { first.len_utf8() }
}

fn letter(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '$'
}

fn operator(c: char) -> bool {
    "+-*/%<>=!&|^~?.:@".contains(c)
}

/// Whether a word without white space is a file's name: one with the extension of a language, or a path with some extension.
/// `x.c` and `self.go` are as likely members of something.
fn is_path(word: &str) -> bool {
    let Some((stem, extension)) = word.rsplit_once('.') else { return false };
    let plain = |c: char| c.is_alphanumeric() || "_-./\\@+~".contains(c);
    if stem.is_empty() || extension.is_empty() || !word.chars().all(plain) {
        return false;
    }
    let nested = stem.contains('/') && extension.chars().all(|c| c.is_ascii_alphabetic()) && extension.len() <= 5;
    let language = Language::of_extension(&extension.to_ascii_lowercase()).is_some_and(is_known);
    nested || language && extension.len() > 1 && !["self", "this"].contains(&stem)
}
