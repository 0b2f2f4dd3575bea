//! How much a file resembles a question: BM25 over the words of paths, definitions and everything else, and what is named
//! outright.
//!
//! Code and prose have few words in common as they stand; so names are cut into parts and ends of words into stems. (Robertson
//! and Zaragoza 2009; a word counts by the best field that it stands in, as in BM25F.)

use crate::repo::map::Question;
use crate::repo::map::index::{Entry, Index, is_aside};
use crate::repo::map::names::{Name, Names};
use crate::repo::map::words::{identifiers, is_compound, parts, stem};
use std::collections::{HashMap, HashSet};

/// The customary constants of BM25.
const K: f32 = 1.2;
const B: f32 = 0.6;
/// How many times as much a word counts in a path, and in the name of a definition.
const IN_PATH: f32 = 5.0;
const IN_DEFINITION: f32 = 2.0;
/// The most distinct words of a question that are looked for: the first ones.
const TERMS: usize = 64;
/// What a name that is written as code counts in the graph, as in aider's map.
const MENTIONED: f32 = 10.0;
/// What a file counts whose path or name the question says, next to the best of the others.
const NAMED: f32 = 1.5;
/// What tests and examples count next to what they are of, and what is no code.
const ASIDE: f32 = 0.7;
const PROSE: f32 = 0.5;

/// What a question says of an index.
pub(crate) struct Relevance {
    /// By file, in the index's order; the largest is 1, or all are 0.
    pub files: Vec<f32>,
    /// By name: how many times as much it counts because the question mentions or resembles it.
    pub names: Vec<f32>,
}

/// Judges every file. Costs one pass over all names and one over all words: 20 ms for 5,000 files.
pub(crate) fn relevance(index: &Index, question: &Question) -> Relevance {
    let terms = Terms::of(&question.text);
    let resembling = terms.resembling(&index.names);
    let mut files = scores(index, &terms, &resembling);
    let best = files.iter().copied().fold(0.0, f32::max);
    if best > 0.0 {
        files.iter_mut().for_each(|score| *score /= best);
    }
    for (score, path) in files.iter_mut().zip(index.files.keys()) {
        *score += NAMED * named(path, &question.text);
    }
    let best = files.iter().copied().fold(0.0, f32::max);
    if best > 0.0 {
        files.iter_mut().for_each(|score| *score /= best);
    }
    Relevance { files, names: wanted(index, question, &resembling) }
}

/// The stems that a question consists of, numbered.
struct Terms {
    numbers: HashMap<String, usize>,
    /// How they begin: most words are told apart by that.
    beginnings: HashSet<[u8; 3]>,
}

/// Which terms each name holds.
struct Resembling {
    /// By name: where its terms stand, 0 for none.
    slots: Vec<u32>,
    terms: Vec<Vec<usize>>,
}

impl Terms {
    fn of(text: &str) -> Self {
        let mut numbers = HashMap::new();
        for stem in identifiers(text).flat_map(parts).filter_map(stem) {
            let number = numbers.len();
            if number < TERMS {
                numbers.entry(stem).or_insert(number);
            }
        }
        let beginnings = numbers.keys().filter_map(|stem| stem.as_bytes().first_chunk().copied()).collect();
        Self { numbers, beginnings }
    }

    fn of_name(&self, name: &str) -> Vec<usize> {
        // A stem begins as its word does.
        let may = |part: &&str| {
            part.as_bytes().first_chunk().is_some_and(|three: &[u8; 3]| {
                self.beginnings.contains(&three.map(|b| b.to_ascii_lowercase())) || !part.is_ascii()
            })
        };
        let mut found: Vec<usize> =
            parts(name).filter(may).filter_map(stem).filter_map(|stem| self.numbers.get(&stem).copied()).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn resembling(&self, names: &Names) -> Resembling {
        let (mut slots, mut terms) = (vec![0; names.len()], vec![Vec::new()]);
        if self.numbers.is_empty() {
            return Resembling { slots, terms };
        }
        for (name, text) in names.all() {
            let held = self.of_name(text);
            if !held.is_empty() {
                slots[name.0 as usize] = terms.len() as u32;
                terms.push(held);
            }
        }
        Resembling { slots, terms }
    }
}

impl Resembling {
    fn terms(&self, name: Name) -> &[usize] {
        &self.terms[self.slots[name.0 as usize] as usize]
    }
}

fn scores(index: &Index, terms: &Terms, resembling: &Resembling) -> Vec<f32> {
    let count = terms.numbers.len();
    let length = |entry: &Entry| entry.words.iter().map(|(_, count)| f32::from(*count)).sum::<f32>();
    let mean = index.files.values().map(length).sum::<f32>() / index.files.len().max(1) as f32;
    let mut spread = vec![0.0_f32; count];
    let mut frequencies = Vec::with_capacity(index.files.len());
    for (path, entry) in &index.files {
        let mut frequency = vec![0.0_f32; count];
        let mut add = |terms: &[usize], weight: f32| terms.iter().for_each(|term| frequency[*term] += weight);
        entry.words.iter().for_each(|(word, times)| add(resembling.terms(*word), f32::from(*times)));
        entry.heads.iter().for_each(|name| add(resembling.terms(*name), IN_DEFINITION));
        path.split('/').for_each(|part| add(&terms.of_name(part), IN_PATH));
        let norm = K * (1.0 - B + B * length(entry) / mean.max(1.0));
        frequency.iter().zip(&mut spread).filter(|(frequency, _)| **frequency > 0.0).for_each(|(_, spread)| *spread += 1.0);
        frequencies.push(frequency.into_iter().map(|f| f * (K + 1.0) / (f + norm)).collect::<Vec<_>>());
    }
    let all = index.files.len() as f32;
    let rare: Vec<f32> = spread.iter().map(|n| (1.0 + (all - n + 0.5) / (n + 0.5)).ln()).collect();
    let score = |((path, entry), frequency): ((&String, &Entry), Vec<f32>)| {
        let kind = if !entry.is_code() {
            PROSE
        } else if is_aside(path) {
            ASIDE
        } else {
            1.0
        };
        kind * frequency.iter().zip(&rare).map(|(frequency, rare)| frequency * rare).sum::<f32>()
    };
    index.files.iter().zip(frequencies).map(score).collect()
}

/// How far a text names a path: 1 with a directory, half of it by its name alone, 0 not at all.
fn named(path: &str, text: &str) -> f32 {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stands = |part: &str| {
        let inside = |c: char| c.is_alphanumeric() || "_-/.".contains(c);
        text.match_indices(part).any(|(at, _)| {
            let after = text[at + part.len()..].trim_start_matches('.');
            !text[..at].ends_with(inside) && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '/')
        })
    };
    if !name.contains('.') || !text.contains(name) {
        return 0.0;
    }
    let tail = path.rsplitn(3, '/').take(2).collect::<Vec<_>>();
    let with_dir = tail.len() == 2 && text.contains(&format!("{}/{name}", tail[1]));
    if with_dir {
        1.0
    } else if stands(name) {
        0.5
    } else {
        0.0
    }
}

/// How much each name counts in the graph.
fn wanted(index: &Index, question: &Question, resembling: &Resembling) -> Vec<f32> {
    let most = resembling.terms.iter().map(Vec::len).max().unwrap_or_default().max(1) as f32;
    let mentioned: HashSet<&str> = identifiers(&question.text).filter(|word| is_compound(word)).collect();
    let weight = |(name, text): (Name, &str)| match resembling.terms(name).len() {
        // Whatever is mentioned resembles.
        0 => 1.0,
        _ if mentioned.contains(text) => MENTIONED,
        terms => 1.0 + 2.0 * terms as f32 / most,
    };
    index.names.all().map(weight).collect()
}
