//! A value as it is written, byte by byte, held to what it may be.

use crate::engine::grounding::script::{Progress, Script, occurrences};
use crate::protocol::grounds::Shown;
use std::ops::Range;
use std::sync::Arc;

/// What a value may be.
#[derive(Debug)]
pub enum Target {
    /// One of these, whole.
    OneOf(Vec<String>),
    /// A piece that stands in one of these texts once. Of each text, where it may begin, and where it must have ended.
    Piece(Vec<(String, Vec<(usize, usize)>)>),
    Any,
}

impl Target {
    /// `None` where there are none.
    pub fn one_of<'a>(texts: impl Iterator<Item = &'a String>) -> Option<Self> {
        let texts: Vec<String> = texts.cloned().collect();
        (!texts.is_empty()).then_some(Self::OneOf(texts))
    }

    /// Any piece of what was shown that can be told from the rest of its text. `None` where there is none.
    pub fn piece_of<'a>(all: impl Iterator<Item = &'a Shown>) -> Option<Self> {
        let texts = all.map(|shown| (shown.text.clone(), starts(shown))).filter(|(_, starts)| !starts.is_empty());
        let texts: Vec<_> = texts.collect();
        (!texts.is_empty()).then_some(Self::Piece(texts))
    }

    fn text(&self, place: &Place) -> &[u8] {
        match self {
            Self::OneOf(texts) => texts[place.text].as_bytes(),
            Self::Piece(texts) => texts[place.text].0.as_bytes(),
            Self::Any => &[],
        }
    }
}

/// Where pieces may begin, each with the end of what was shown there.
fn starts(shown: &Shown) -> Vec<(usize, usize)> {
    let text = shown.text.as_bytes();
    let of_part = |part: &Range<usize>| {
        let end = part.end.min(text.len());
        let last = end.saturating_sub(longest_repeated_end(text, part.start, end));
        (part.start..last).filter(|at| may_begin(text, *at)).map(move |at| (at, end)).collect::<Vec<_>>()
    };
    shown.parts.iter().flat_map(of_part).collect()
}

/// How long the longest end of a part is that stands elsewhere too: what is longer stands once.
fn longest_repeated_end(text: &[u8], start: usize, end: usize) -> usize {
    let repeats = |length: &usize| occurrences(text, &text[end - length..end]).nth(1).is_some();
    let (mut repeated, mut once) = (0, end - start.min(end) + 1);
    while once - repeated > 1 {
        let middle = usize::midpoint(repeated, once);
        if repeats(&middle) { repeated = middle } else { once = middle }
    }
    repeated
}

/// A line begins here, or a word, or something else that is no blank.
fn may_begin(text: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).map_or(b'\n', |before| text[before]);
    let here = text[at];
    here != b'\n' && (before == b'\n' || !here.is_ascii_whitespace() && may_part(text, at))
}

/// Whether no character, word or number is cut in two here.
fn may_part(text: &[u8], at: usize) -> bool {
    let in_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.') || !byte.is_ascii();
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    !(before.is_some_and(in_word) && text.get(at).is_some_and(in_word))
}

/// A place in a target that agrees with what was written.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Which of several texts.
    text: usize,
    start: usize,
    at: usize,
    end: usize,
    /// Bytes that were written of how the character at `at` is written.
    inside: u8,
}

/// A value that has begun and not ended.
#[derive(Clone, Debug)]
pub struct Value {
    target: Arc<Target>,
    /// What it must not be.
    unlike: Option<Arc<str>>,
    places: Vec<Place>,
    written: Vec<u8>,
    /// How much of what ends a value stands at the end of it, where it may end.
    closing: usize,
}

/// What a piece of text does to a value.
#[derive(Debug)]
pub enum Written {
    On(Value),
    /// It ended after so many bytes.
    Closed(usize),
    /// It is no longer what it may be.
    Astray,
}

impl Value {
    pub fn new(target: Target, unlike: Option<String>) -> Self {
        let place = |text, start, end| Place { text, start, at: start, end, inside: 0 };
        let places = match &target {
            Target::OneOf(texts) => texts.iter().enumerate().map(|(text, whole)| place(text, 0, whole.len())).collect(),
            Target::Piece(texts) => {
                let all = texts.iter().enumerate();
                all.flat_map(|(text, (_, starts))| starts.iter().map(move |(start, end)| place(text, *start, *end))).collect()
            }
            Target::Any => Vec::new(),
        };
        Self { target: Arc::new(target), unlike: unlike.map(Arc::from), places, written: Vec::new(), closing: 0 }
    }

    /// Goes on with these bytes.
    pub fn with(&self, bytes: &[u8], script: &Script) -> Written {
        let Some((first, rest)) = bytes.split_first() else { return Written::On(self.clone()) };
        let mut value = match self.step(*first, script) {
            Step::On(value) => value,
            Step::Closed => return Written::Closed(1),
            Step::Astray => return Written::Astray,
        };
        for (at, byte) in rest.iter().enumerate() {
            value = match value.step(*byte, script) {
                Step::On(value) => value,
                Step::Closed => return Written::Closed(at + 2),
                Step::Astray => return Written::Astray,
            };
        }
        Written::On(value)
    }

    fn step(&self, byte: u8, script: &Script) -> Step {
        let mut written = self.written.clone();
        written.push(byte);
        match &*self.target {
            Target::Any => self.free(written, script),
            Target::OneOf(_) | Target::Piece(_) => self.bound(written, byte, script),
        }
    }

    /// Whether it would be what it must not be. Some dialects cut the blanks at the end off.
    fn is_alike(&self, said: &str) -> bool {
        self.unlike.as_ref().is_some_and(|other| other.trim_end() == said.trim_end())
    }

    fn free(&self, written: Vec<u8>, script: &Script) -> Step {
        let escapes = written.iter().rev().skip(1).take_while(|byte| **byte == b'\\').count();
        let quoted = *script == Script::Json && escapes % 2 == 1;
        let Some(value) = written.strip_suffix(script.close()).filter(|_| !quoted) else {
            return Step::On(Self { written, ..self.shared() });
        };
        if script.read(value).is_some_and(|said| self.is_alike(&said)) { Step::Astray } else { Step::Closed }
    }

    fn bound(&self, written: Vec<u8>, byte: u8, script: &Script) -> Step {
        let close = script.close();
        let closing = match self.closing {
            begun if begun > 0 && close[begun] == byte => begun + 1,
            _ if close[0] == byte && self.may_end() => 1,
            _ => 0,
        };
        if closing == close.len() {
            return Step::Closed;
        }
        let moved = self.places.iter().filter_map(|place| self.moved(place, byte, script));
        let places: Vec<Place> = moved.collect();
        if places.is_empty() && closing == 0 {
            return Step::Astray;
        }
        Step::On(Self { places, written, closing, ..self.shared() })
    }

    /// The same value, of which nothing is written.
    fn shared(&self) -> Self {
        let (target, unlike) = (Arc::clone(&self.target), self.unlike.clone());
        Self { target, unlike, places: Vec::new(), written: Vec::new(), closing: 0 }
    }

    fn moved(&self, place: &Place, byte: u8, script: &Script) -> Option<Place> {
        let wanted = *self.target.text(place).get(place.at).filter(|_| place.at < place.end)?;
        Some(match script.writes(wanted, place.inside, byte)? {
            Progress::Whole => Place { at: place.at + 1, inside: 0, ..*place },
            Progress::Begun => Place { inside: place.inside + 1, ..*place },
        })
    }

    /// Whether what was written is all that a value needs.
    fn may_end(&self) -> bool {
        let ends = |place: &Place| {
            let text = self.target.text(place);
            let said = &text[place.start..place.at];
            let whole = match &*self.target {
                Target::OneOf(_) => place.at == place.end,
                Target::Piece(_) => {
                    may_part(text, place.at) && !said.trim_ascii().is_empty() && occurrences(text, said).nth(1).is_none()
                }
                Target::Any => true,
            };
            whole && !std::str::from_utf8(said).is_ok_and(|said| self.is_alike(said))
        };
        let mut seen = None;
        // One place of each text speaks for all: the same stands there.
        let first = |place: &&Place| place.inside == 0 && seen.replace(place.text) != Some(place.text);
        self.places.iter().filter(first).any(ends)
    }

    /// Finds which of these pieces may come next. `sorted`: by bytes, so that what several begin with is tried once. Cost: some
    /// milliseconds for a large vocabulary at a value's beginning, far less inside it.
    pub fn next<T: Copy>(&self, sorted: &[(Vec<u8>, T)], script: &Script) -> Vec<T> {
        let mut tried: Vec<(u8, Step)> = Vec::new();
        let fits = |(piece, _): &&(Vec<u8>, T)| {
            let common = tried.iter().zip(piece).take_while(|((byte, _), other)| byte == *other).count();
            tried.truncate(common);
            for byte in &piece[common..] {
                let step = match tried.last() {
                    None => self.step(*byte, script),
                    Some((_, Step::On(value))) => value.step(*byte, script),
                    Some((_, Step::Closed | Step::Astray)) => break,
                };
                tried.push((*byte, step));
            }
            !matches!(tried.last(), None | Some((_, Step::Astray)))
        };
        sorted.iter().filter(fits).map(|(_, which)| *which).collect()
    }
}

/// What a byte does to a value.
enum Step {
    On(Value),
    Closed,
    Astray,
}
