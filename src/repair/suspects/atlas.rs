//! The project's sources, and where in them names are defined: read once, parsed only where a wanted name stands.
//!
//! Parsing costs ten times what reading and cutting into words does; so every file is read, and only those are parsed where a
//! wanted name stands as definitions do, by the looks of the line.

use crate::path::{RepoPath, Root};
use crate::repair::is_known;
use crate::repair::suspects::mentions::{defining, is_keyword, names};
use crate::repo::symbols::{Symbol, Tagger};
use crate::repo::syntax::Language;
use crate::repo::tests_of::is_test;
use crate::repo::walk;
use std::collections::HashMap;
use std::rc::Rc;

/// What is read at most: larger projects are seen in part, in the order of their paths.
const FILES: usize = 4_000;
const BYTES: u64 = 16 << 20;
/// Larger files are generated.
const LARGEST: u64 = 512 << 10;
/// What is parsed at most: a second or two.
const PARSED: usize = 6 << 20;
/// A name that more files define (`new`, `run`) says nothing about any of them.
const DEFINED_IN: usize = 16;

/// A file in a language with a grammar.
pub struct Source {
    pub path: RepoPath,
    pub language: Language,
    pub lines: Vec<String>,
    /// By its name.
    pub test: bool,
}

/// What a definition is, as far as suspicion goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Function,
    Constant,
    /// A class, a module, a type: what is suspected of it are the definitions inside.
    Container,
}

/// A definition, its lines from 1.
#[derive(Clone, Debug)]
pub struct Definition {
    pub name: String,
    pub sort: Sort,
    pub first: usize,
    pub last: usize,
    /// The class, receiver or `impl` that it belongs to.
    pub owner: Option<String>,
    /// Part of the tests, in whatever file.
    pub test: bool,
}

impl Definition {
    pub fn holds(&self, line: usize) -> bool {
        (self.first..=self.last).contains(&line)
    }
}

/// A definition's place in the atlas: file and number.
pub type Spot = (usize, usize);

#[derive(Debug, Default)]
struct Word {
    files: usize,
    /// The last file that was counted.
    last: Option<usize>,
    definers: Vec<usize>,
}

pub struct Atlas {
    pub sources: Vec<Source>,
    /// In how many files a word stands, and in which it may be defined.
    index: HashMap<String, Word>,
    tagger: Tagger,
    parsed: Vec<Option<Rc<[Definition]>>>,
    left: usize,
}

impl Atlas {
    /// Reads the project. What cannot be read, or is no text, is not there.
    pub fn of(root: &Root) -> Self {
        let mut atlas =
            Self { sources: Vec::new(), index: HashMap::new(), tagger: Tagger::default(), parsed: Vec::new(), left: PARSED };
        let mut left = BYTES;
        for found in walk::files(root, root.as_path()) {
            let Some(language) = Language::of(&found.path).filter(|&l| l != Language::Json && is_known(l)) else { continue };
            if found.bytes > LARGEST {
                continue;
            }
            if atlas.sources.len() == FILES || found.bytes > left {
                break;
            }
            let Ok(text) = std::fs::read_to_string(&found.full) else { continue };
            left -= found.bytes;
            let lines = text.lines().map(str::to_owned).collect();
            let source = Source { test: is_test(found.path.as_str()), path: found.path, language, lines };
            atlas.learn(&source);
            atlas.sources.push(source);
        }
        atlas.parsed = vec![None; atlas.sources.len()];
        atlas
    }

    fn learn(&mut self, source: &Source) {
        let file = self.sources.len();
        for line in &source.lines {
            for name in names(line) {
                let word = self.word(name);
                if word.last.replace(file) != Some(file) {
                    word.files += 1;
                }
            }
            for name in defining(source.language, line) {
                let word = self.word(name);
                if word.definers.last() != Some(&file) {
                    word.definers.push(file);
                }
            }
        }
    }

    fn word(&mut self, name: &str) -> &mut Word {
        // No `entry`: it would copy every word of every line.
        if !self.index.contains_key(name) {
            self.index.insert(name.to_owned(), Word::default());
        }
        self.index.get_mut(name).expect("it was put there if it was not")
    }

    /// The names that may be defined somewhere and satisfy `wanted`, in their order.
    pub fn names(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let defined = self.index.iter().filter(|(name, word)| !word.definers.is_empty() && wanted(name));
        let mut found: Vec<String> = defined.map(|(name, _)| name.clone()).collect();
        found.sort_unstable();
        found
    }

    /// In how many files a word stands.
    pub fn spread(&self, word: &str) -> usize {
        self.index.get(word).map_or(0, |word| word.files)
    }

    /// The files that may define a name, by its looks.
    pub fn definers(&self, name: &str) -> &[usize] {
        self.index.get(name).filter(|_| !is_keyword(name)).map_or(&[], |word| &word.definers)
    }

    /// The definitions of a file, in its order; none once too much was parsed.
    pub fn definitions(&mut self, file: usize) -> Rc<[Definition]> {
        if let Some(known) = &self.parsed[file] {
            return Rc::clone(known);
        }
        let source = &self.sources[file];
        let text = source.lines.join("\n");
        let fits = text.len() <= self.left;
        let found: Rc<[Definition]> = if fits {
            self.left -= text.len();
            definitions(source, &self.tagger.symbols(source.language, &text)).into()
        } else {
            Rc::new([])
        };
        self.parsed[file] = Some(Rc::clone(&found));
        found
    }

    /// Where a name is defined in these files, tests included. Nowhere if they are too many.
    pub fn defined(&mut self, name: &str, files: &[usize]) -> Vec<Spot> {
        let mut spots = Vec::new();
        for file in files.iter().copied().filter(|_| files.len() <= DEFINED_IN) {
            let here = self.definitions(file);
            spots.extend((0..here.len()).filter(|at| here[*at].name == name).map(|at| (file, at)));
        }
        spots
    }

    pub fn definition(&mut self, (file, at): Spot) -> Definition {
        self.definitions(file)[at].clone()
    }

    /// The smallest function or constant that holds a line, and whether the line is a test's.
    pub fn holding(&mut self, file: usize, line: usize) -> (Option<Spot>, bool) {
        let here = self.definitions(file);
        let test = self.sources[file].test || here.iter().any(|definition| definition.test && definition.holds(line));
        let inside = (0..here.len()).filter(|at| here[*at].sort != Sort::Container && here[*at].holds(line));
        (inside.min_by_key(|at| here[*at].last - here[*at].first).map(|at| (file, at)), test)
    }

    /// The files that a written path means: the project's, whose paths share the most last parts with it. The path may be
    /// absolute, of a copy of the project, or a name alone.
    pub fn files(&self, written: &str) -> Vec<usize> {
        let written = written.replace('\\', "/");
        let shared = |path: &str| path.rsplit('/').zip(written.rsplit('/')).take_while(|(a, b)| a == b).count();
        let matched: Vec<(usize, usize)> = self
            .sources
            .iter()
            .enumerate()
            .map(|(at, source)| (shared(source.path.as_str()), at))
            .filter(|(n, _)| *n > 0)
            .collect();
        let most = matched.iter().map(|(n, _)| *n).max().unwrap_or(0);
        matched.into_iter().filter(|(n, _)| *n == most).map(|(_, at)| at).collect()
    }
}

fn definitions(source: &Source, symbols: &[Symbol]) -> Vec<Definition> {
    let line = |at: usize| source.lines.get(at.wrapping_sub(1)).map_or("", String::as_str);
    let sort = |symbol: &Symbol| match symbol.kind.as_str() {
        "function" | "method" | "macro" => Sort::Function,
        "constant" => Sort::Constant,
        _ => Sort::Container,
    };
    let rust = source.language == Language::Rust;
    let inline =
        |symbol: &&Symbol| rust && symbol.kind == "module" && attributes(source, symbol.line).any(|a| a == "#[cfg(test)]");
    let inline: Vec<&Symbol> = symbols.iter().filter(inline).collect();
    let owner = |symbol: &Symbol| match source.language {
        Language::Go => receiver(&symbol.signature),
        Language::Rust => implemented(source, symbol.line),
        _ => {
            let around = |other: &&Symbol| sort(other) == Sort::Container && other.line < symbol.line && symbol.end <= other.end;
            symbols.iter().filter(around).max_by_key(|other| other.line).map(|other| other.name.clone())
        }
    };
    let test = |symbol: &Symbol| {
        source.test
            || inline.iter().any(|module| (module.line..=module.end).contains(&symbol.line))
            || rust && attributes(source, symbol.line).any(|a| a.ends_with("test]"))
            || source.language == Language::Python && symbol.name.starts_with("test_")
    };
    let one = |symbol: &Symbol| Definition {
        name: symbol.name.clone(),
        sort: sort(symbol),
        first: symbol.line,
        last: symbol.end.min(source.lines.len()).max(symbol.line),
        owner: owner(symbol),
        test: test(symbol),
    };
    symbols.iter().filter(|symbol| !line(symbol.line).is_empty()).map(one).collect()
}

/// The attributes of Rust right above a line, from below.
pub fn attributes(source: &Source, line: usize) -> impl Iterator<Item = &str> {
    let above = source.lines[..line.saturating_sub(1).min(source.lines.len())].iter().rev();
    above.map(|line| line.trim()).take_while(|line| line.starts_with("#[") || line.starts_with("///"))
}

/// `Cart` of `func (c *Cart) Total() int {`.
fn receiver(signature: &str) -> Option<String> {
    let inside = signature.strip_prefix("func (")?.split(')').next()?;
    let name = inside.split_whitespace().last()?.trim_start_matches('*');
    Some(name.split('[').next()?.to_owned())
}

/// `Cart` of the `impl … for Cart {` that stands above a line, further out than it.
fn implemented(source: &Source, line: usize) -> Option<String> {
    let indent = |text: &str| text.len() - text.trim_start().len();
    let own = indent(source.lines.get(line.wrapping_sub(1))?);
    let above = source.lines[..line - 1].iter().rev();
    let head = above.into_iter().find(|text| !text.trim().is_empty() && indent(text) < own)?.trim();
    let head = head.strip_prefix("unsafe ").unwrap_or(head);
    let rest = head.strip_prefix("impl").or_else(|| head.strip_prefix("pub trait ")).or_else(|| head.strip_prefix("trait "))?;
    let owner = rest.rsplit(" for ").next()?;
    // `impl<T: Copy> Cart<T> {`: what is declared comes before what is named.
    let owner = if owner.starts_with('<') { owner.split_once("> ").map_or(owner, |(_, named)| named) } else { owner };
    let name = owner.split(['<', '{', ':', ' ']).find(|part| !part.trim().is_empty())?.rsplit("::").next()?;
    Some(name.trim().to_owned())
}
