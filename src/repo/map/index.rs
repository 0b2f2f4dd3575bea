//! What is known of a project's files: the words in each, what it seems to define, and what it defines where it was parsed.

use crate::repo::map::heads::heads;
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
    /// What it defines, by the looks of its lines.
    pub(crate) heads: Vec<Name>,
    /// The same as its grammar knows it, in the order of the file. `None`: it was not parsed, for nothing hangs on it until it is
    /// shown.
    pub(crate) definitions: Option<Vec<Definition>>,
    /// Each name in it, in their own order, and how often it stands there, 255 at most.
    pub(crate) words: Vec<(Name, u8)>,
}

impl Entry {
    /// Whether a program is in it.
    pub(crate) fn is_code(&self) -> bool {
        is_code(self.language)
    }

    /// Its definitions, as far as they are known.
    pub(crate) fn known(&self) -> &[Definition] {
        self.definitions.as_deref().unwrap_or_default()
    }
}

/// Whether a program is in a file, as opposed to words or settings.
fn is_code(language: Option<Language>) -> bool {
    use Language::{Css, Json, Make, Markdown, Toml};
    language.is_some_and(|language| !matches!(language, Css | Json | Make | Markdown | Toml))
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
    /// Both in their own order, so that sums over them are the same each time.
    heads: Vec<String>,
    words: Vec<(String, u8)>,
}

/// Name, kind and line of each definition.
pub(crate) type Outlined = Vec<(String, String, u32)>;

impl Reading {
    /// Reads a text. Costs about 1 ms per 60 KB.
    pub fn of(text: &str, language: Option<Language>) -> Self {
        let mut counts: HashMap<&str, u8> = HashMap::new();
        for word in identifiers(text) {
            let count = counts.entry(word).or_default();
            *count = count.saturating_add(1);
        }
        let mut words: Vec<(String, u8)> = counts.into_iter().map(|(word, count)| (word.to_owned(), count)).collect();
        words.sort_unstable();
        let mut found = language.map(|language| heads(language, text)).unwrap_or_default();
        found.sort_unstable();
        found.dedup();
        Self { hash: hash(text.as_bytes()), language, heads: found.into_iter().map(str::to_owned).collect(), words }
    }
}

/// Parses a text for its definitions; none of a text that is too large to have been written by hand.
pub(crate) fn outlined(text: &str, language: Option<Language>, tagger: &mut Tagger) -> Outlined {
    let parsed = language.filter(|_| text.len() <= PARSED);
    let symbols = parsed.map(|language| tagger.symbols(language, text)).unwrap_or_default();
    symbols.into_iter().map(|symbol| (symbol.name, symbol.kind, u32::try_from(symbol.line).unwrap_or(u32::MAX))).collect()
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
        let Reading { hash, language, heads, words } = reading;
        let heads = heads.iter().map(|name| self.names.add(name)).collect();
        let words = words.iter().map(|(word, count)| (self.names.add(word), *count)).collect();
        self.files.insert(path, Entry { stamp, hash, language, heads, definitions: None, words });
    }

    /// Adds the definitions of a file that was not parsed before.
    pub(crate) fn define(&mut self, path: &str, definitions: &Outlined) {
        let definitions = self.numbered(definitions);
        if let Some(entry) = self.files.get_mut(path) {
            entry.definitions = Some(definitions);
        }
    }

    fn numbered(&mut self, definitions: &Outlined) -> Vec<Definition> {
        let names = &mut self.names;
        let one =
            |(name, kind, line): &(String, String, u32)| Definition { name: names.add(name), kind: names.add(kind), line: *line };
        definitions.iter().map(one).collect()
    }
}

/// Whether a path is a test's, an example's or a benchmark's: it uses what matters, and is seldom what matters.
pub(crate) fn is_aside(path: &str) -> bool {
    is_test(path) || path.split('/').any(|part| ["examples", "benches", "benchmarks", "vendor", "third_party"].contains(&part))
}
