//! Other names and paths for the code of an example, so that a model learns to copy names, not to know them.

use crate::chance::{Chance, stable};
use crate::functions::is_word;
use agent::repair::Passage;
use agent::repo::syntax::Language;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// `models/micro/words.toml`.
#[derive(Deserialize)]
pub struct Words {
    train: Vec<String>,
    held: Vec<String>,
}

/// Words that code itself is made of: renamed, they would be other code.
const KNOWN: &str = " False None True and as assert async await break case catch chan class const continue crate def default \
    defer del delete do dyn elif else enum except export extends extern fallthrough false final finally fn for from func function \
    get global go goto if impl import in instanceof interface is lambda let loop map match mod move mut new nil nonlocal not null \
    number of or package pass pub range raise readonly ref return select self set static string struct super switch this throw \
    throws trait true try type typeof undefined union unsafe use var void where while with yield boolean any unknown never object \
    print len int str float bool list dict tuple bytes cls isinstance min max sum abs all any sorted reversed enumerate zip filter \
    append extend join keys values items pop push length size slice Math floor ceil pow sqrt log exp console window document \
    module exports require arguments prototype constructor error byte rune uint int8 int16 int32 int64 uint8 uint16 uint32 uint64 \
    float32 float64 complex128 uintptr cap copy make append panic recover close u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 \
    isize f32 f64 char vec format println write writeln unwrap expect clone iter collect into as_ref as_str to_string to_owned \
    is_some is_none is_empty ok err unwrap_or map_err get_mut insert remove contains first last start end left right next prev \
    startswith endswith strip split lower upper indexOf includes charAt toString hasOwnProperty test key value index i j k n x y ";

/// Which names of the shown code an example changes.
pub struct Renaming {
    pub function: bool,
    pub insides: bool,
}

/// The source of names for one split.
pub struct Namer<'a> {
    words: &'a [String],
    held: bool,
}

pub fn words(path: &Path) -> Result<Words> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    toml::from_str(&text).with_context(|| format!("`{}` is no list of words", path.display()))
}

impl<'a> Namer<'a> {
    pub fn of(words: &'a Words, held: bool) -> Self {
        Self { words: if held { &words.held } else { &words.train }, held }
    }

    fn word(&self, chance: &mut Chance) -> String {
        chance.pick(self.words).clone()
    }

    /// A path that no project has to have.
    pub fn path(&self, language: Language, chance: &mut Chance) -> String {
        const TOPS: &[&str] = &["src", "lib", "app", "pkg", "source", "internal", "core"];
        let extension = match language {
            Language::Go => "go",
            Language::JavaScript => *chance.pick(&["js", "js", "js", "mjs", "cjs"]),
            Language::Rust => "rs",
            Language::TypeScript => "ts",
            _ => "py",
        };
        let mut parts = Vec::new();
        if chance.percent(50) {
            parts.push((*chance.pick(TOPS)).to_owned());
        }
        for _ in 0..chance.weighed(&[5, 4, 1]) {
            parts.push(self.word(chance));
        }
        let mut file = self.word(chance);
        if chance.percent(35) {
            file = format!("{file}_{}", self.word(chance));
        }
        parts.push(format!("{file}.{extension}"));
        parts.join("/")
    }

    /// Gives the passages other names, the same everywhere, and says what became of the function's own.
    pub fn rename(&self, passages: &mut [Passage], function: &str, renaming: &Renaming, chance: &mut Chance) -> String {
        let snake = !matches!(passages[0].language, Language::JavaScript | Language::TypeScript | Language::Go);
        let uses = uses(passages);
        let mut taken: BTreeSet<String> = uses.keys().cloned().collect();
        let mut new_names = BTreeMap::new();
        for (name, seen) in &uses {
            let wanted = if name == function {
                renaming.function && !name.starts_with("__")
            } else {
                let member = seen.member && chance.percent(if seen.called { 35 } else { 60 });
                let local = !seen.member && !seen.called && chance.percent(70);
                renaming.insides && (member || local) && !seen.apart && is_free(name)
            };
            if wanted {
                let new = self.fresh(name, snake, &taken, chance);
                taken.insert(new.clone());
                new_names.insert(name.clone(), new);
            }
        }
        if !new_names.is_empty() {
            for line in passages.iter_mut().flat_map(|passage| &mut passage.lines) {
                *line = replaced(line, &new_names);
            }
        }
        new_names.remove(function).unwrap_or_else(|| function.to_owned())
    }

    /// A name that the code does not have yet, in the manner of the old one.
    fn fresh(&self, old: &str, snake: bool, taken: &BTreeSet<String>, chance: &mut Chance) -> String {
        loop {
            let count = if old.len() <= 3 { 1 } else { 1 + chance.weighed(&[3, 5, 1]) };
            let by_word = chance.percent(50);
            let parts: Vec<String> =
                (0..count).map(|_| if by_word { self.word(chance) } else { self.syllables(chance) }).collect();
            let capital = old.starts_with(|c: char| c.is_ascii_uppercase());
            let mut name = if snake && !capital { parts.join("_") } else { camel(&parts, capital) };
            if old.starts_with('_') {
                name.insert(0, '_');
            }
            if !taken.contains(&name) && !is_known(&name) {
                return name;
            }
        }
    }

    /// A word of no language; one in five is kept for the held-out splits.
    fn syllables(&self, chance: &mut Chance) -> String {
        const ONSETS: &[&str] = &[
            "b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "br", "ch", "cl", "dr",
            "fl", "gr", "pl", "qu", "sh", "sk", "sl", "st", "th", "tr", "",
        ];
        const VOWELS: &[&str] = &["a", "e", "i", "o", "u", "ai", "ea", "oo", "y"];
        const ENDS: &[&str] = &["", "", "n", "r", "l", "s", "t", "m", "k", "x", "nd", "rt"];
        loop {
            let count = 1 + chance.weighed(&[4, 5, 2]);
            let part = |all: &'static [&'static str], chance: &mut Chance| *chance.pick(all);
            let word: String =
                (0..count).flat_map(|_| [part(ONSETS, chance), part(VOWELS, chance), part(ENDS, chance)]).collect();
            if stable(word.as_bytes()).is_multiple_of(5) == self.held && word.len() > 1 {
                return word;
            }
        }
    }
}

fn camel(parts: &[String], capital: bool) -> String {
    let mut name = String::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 || capital {
            name.push_str(&part[..1].to_uppercase());
            name.push_str(&part[1..]);
        } else {
            name.push_str(part);
        }
    }
    name
}

/// Whether a word is the language's own, or so common that it is as good as that.
pub fn is_known(word: &str) -> bool {
    KNOWN.split(' ').any(|known| known == word)
}

fn is_free(name: &str) -> bool {
    name.chars().any(|c| c.is_ascii_lowercase()) && !name.starts_with("__") && !is_known(name)
}

/// How a word occurs.
#[derive(Default)]
struct Use {
    member: bool,
    called: bool,
    /// Behind `::`, `'` or `@`, or as a type: nothing that the shown code could rename.
    apart: bool,
}

fn uses(passages: &[Passage]) -> BTreeMap<String, Use> {
    let mut uses: BTreeMap<String, Use> = BTreeMap::new();
    for line in passages.iter().flat_map(|passage| &passage.lines) {
        for (at, word) in spelled(line) {
            let (before, after) = (&line[..at], &line[at + word.len()..]);
            let seen = uses.entry(word.to_owned()).or_default();
            seen.member |= before.ends_with('.') && !before.ends_with("..");
            seen.called |= after.starts_with(['(', '!']);
            let quoted = before.ends_with(['\'', '"', '@', '\\', '%']) || after.starts_with(['\'', '"']);
            let import = ["import ", "from ", "use "].iter().any(|word| line.trim_start().starts_with(word));
            seen.apart |=
                quoted || import || before.ends_with("::") || after.starts_with("::") || word.starts_with(char::is_uppercase);
        }
    }
    uses
}

/// The words of a line and where they begin.
pub fn spelled(line: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    for part in line.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
        if is_word(part) {
            found.push((at, part));
        }
        // What divides is one byte: only lines of ASCII are shown.
        at += part.len() + 1;
    }
    found
}

fn replaced(line: &str, new_names: &BTreeMap<String, String>) -> String {
    let mut text = String::with_capacity(line.len());
    let mut done = 0;
    for (at, word) in spelled(line) {
        if let Some(new) = new_names.get(word) {
            text.push_str(&line[done..at]);
            text.push_str(new);
            done = at + word.len();
        }
    }
    text + &line[done..]
}
