//! What is known of a project's files: definitions, and the words in each.

use crate::repo::map::names::{Name, Names};
use crate::repo::map::words::identifiers;
use crate::repo::symbols::Tagger;
use crate::repo::syntax::Language;
use crate::repo::tests_of::is_test;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};

/// Larger files are generated: their words count, their definitions do not.
const PARSED: usize = 512 << 10;

/// Files by their paths.
#[derive(Debug, Default)]
pub struct Index {
    pub(crate) names: Names,
    pub(crate) files: BTreeMap<String, Entry>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub(crate) stamp: Stamp,
    /// Of the content.
    pub(crate) hash: u64,
    /// `None`: text that no grammar reads.
    pub(crate) language: Option<Language>,
    /// In the order of the file.
    pub(crate) definitions: Vec<Definition>,
    /// Each name in it, in their own order, and how often it stands there, 255 at most.
    pub(crate) words: Vec<(Name, u8)>,
}

impl Entry {
    /// Whether a program is in it, as opposed to words or settings.
    pub(crate) fn is_code(&self) -> bool {
        self.language.is_some_and(|language| {
            !matches!(language, Language::Css | Language::Json | Language::Make | Language::Markdown | Language::Toml)
        })
    }
}

/// What says, without reading a file, that it is still the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub bytes: u64,
    /// Nanoseconds since 1970; 0 where the system does not say.
    pub modified: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    pub(crate) name: Name,
    /// `function`, `class`, …: a name too.
    pub(crate) kind: Name,
    /// From 1.
    pub(crate) line: u32,
}

/// What reading a file told, before its names have numbers: made on any thread.
#[derive(Debug)]
pub(crate) struct Reading {
    pub hash: u64,
    language: Option<Language>,
    definitions: Vec<(String, String, u32)>,
    /// In the order of the words, so that sums over them are the same each time.
    words: Vec<(String, u8)>,
}

impl Reading {
    /// Reads a text. Costs about 1 ms per 8 KB of code, a hundredth of it for other text.
    pub fn of(text: &str, language: Option<Language>, tagger: &mut Tagger) -> Self {
        let mut words: HashMap<String, u8> = HashMap::new();
        for word in identifiers(text) {
            // No `entry`: it would copy every word.
            match words.get_mut(word) {
                Some(count) => *count = count.saturating_add(1),
                None => drop(words.insert(word.to_owned(), 1)),
            }
        }
        let mut words: Vec<(String, u8)> = words.into_iter().collect();
        words.sort_unstable();
        let parsed = language.filter(|_| text.len() <= PARSED);
        let symbols = parsed.map(|language| tagger.symbols(language, text)).unwrap_or_default();
        let definitions = symbols.into_iter().map(|s| (s.name, s.kind, u32::try_from(s.line).unwrap_or(u32::MAX))).collect();
        Self { hash: hash(text.as_bytes()), language, definitions, words }
    }
}

/// The hash of a content. Of one program only: the standard library may change it.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

impl Index {
    /// How many files it holds.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Puts a file in, instead of what was known of it.
    pub(crate) fn put(&mut self, path: String, stamp: Stamp, reading: Reading) {
        let Reading { hash, language, definitions, words } = reading;
        let names = &mut self.names;
        let definitions =
            definitions.iter().map(|(name, kind, line)| Definition { name: names.add(name), kind: names.add(kind), line: *line });
        let definitions = definitions.collect();
        let words = words.iter().map(|(word, count)| (names.add(word), *count)).collect();
        self.files.insert(path, Entry { stamp, hash, language, definitions, words });
    }
}

/// Whether a path is a test's, an example's or a benchmark's: it uses what matters, and is seldom what matters.
pub(crate) fn is_aside(path: &str) -> bool {
    is_test(path) || path.split('/').any(|part| ["examples", "benches", "benchmarks", "vendor", "third_party"].contains(&part))
}
