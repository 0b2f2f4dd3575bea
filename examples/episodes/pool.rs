//! All functions of all sources, without repetitions, divided into splits that share no source.

use crate::chance::{Chance, stable};
use crate::functions::{Function, Reader};
use crate::sources::{self, Listed};
use agent::repo::syntax::Language;
use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Which part of the data: fitted to, tuned on, or looked at once in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    Train,
    Dev,
    Test,
}

impl Split {
    pub fn of(unit: &str) -> Self {
        match stable(format!("split {unit}").as_bytes()) / 7 % 100 {
            0..10 => Self::Test,
            10..15 => Self::Dev,
            _ => Self::Train,
        }
    }

    /// Whether names, paths and wording are the held-out ones.
    pub fn held(self) -> bool {
        self != Self::Train
    }
}

/// The functions of one file.
pub struct Page {
    pub source: String,
    pub unit: String,
    pub split: Split,
    pub language: Language,
    pub functions: Vec<Member>,
}

pub struct Member {
    pub function: Function,
    /// Which kinds of bugs fit into it, a bit each, once somebody looked.
    pub kinds: Cell<Option<u16>>,
}

/// The functions of one split.
pub struct Pool {
    pages: Vec<Page>,
    shelves: BTreeMap<Language, Shelf>,
}

/// The functions of one language: where each is, and how likely it is drawn.
#[derive(Default)]
struct Shelf {
    places: Vec<(usize, usize)>,
    /// Sums of the weights up to each.
    sums: Vec<u64>,
}

/// The functions of one split of all sources.
pub fn load(folder: &Path, listed: &Listed, split: Split) -> Result<Pool> {
    Ok(Pool::of(pages(folder, listed)?, split))
}

/// Reads every source. Functions alike are kept once in a split, and not at all for dev and test where another split has them.
pub fn pages(folder: &Path, listed: &Listed) -> Result<Vec<Page>> {
    let mut reader = Reader::default();
    let (mut pages, mut seen) = (Vec::new(), BTreeSet::new());
    sources::read(folder, listed, |file| {
        let split = Split::of(&file.unit);
        let mut functions = reader.functions(file.language, &file.text);
        functions.retain(|function| seen.insert((function.likeness, split)));
        if !functions.is_empty() {
            let functions = functions.into_iter().map(|function| Member { function, kinds: Cell::new(None) }).collect();
            pages.push(Page { source: file.source, unit: file.unit, split, language: file.language, functions });
        }
    })?;
    for page in &mut pages {
        let others: &[Split] = match page.split {
            Split::Train => &[],
            Split::Dev => &[Split::Train, Split::Test],
            Split::Test => &[Split::Train],
        };
        page.functions.retain(|member| !others.iter().any(|other| seen.contains(&(member.function.likeness, *other))));
    }
    pages.retain(|page| !page.functions.is_empty());
    Ok(pages)
}

impl Pool {
    /// The pages of one split.
    fn of(mut pages: Vec<Page>, split: Split) -> Self {
        pages.retain(|page| page.split == split);
        let mut sizes: BTreeMap<(&str, Language), u64> = BTreeMap::new();
        for page in &pages {
            *sizes.entry((&page.unit, page.language)).or_default() += page.functions.len() as u64;
        }
        let mut shelves: BTreeMap<Language, Shelf> = BTreeMap::new();
        for (at, page) in pages.iter().enumerate() {
            let size = sizes[&(page.unit.as_str(), page.language)];
            let shelf = shelves.entry(page.language).or_default();
            for (number, member) in page.functions.iter().enumerate() {
                let code = member.function.prose.iter().filter(|prose| !**prose).count();
                let short = if code <= 14 { 3 } else { 1 };
                // A unit counts with the square root of its size: large ones are not everything, small ones not worn out.
                let weight = short * 1_000_000 / size.isqrt().max(8);
                shelf.sums.push(shelf.sums.last().copied().unwrap_or(0) + weight);
                shelf.places.push((at, number));
            }
        }
        Self { pages, shelves }
    }

    pub fn languages(&self) -> impl Iterator<Item = (Language, usize)> {
        self.shelves.iter().map(|(language, shelf)| (*language, shelf.places.len()))
    }

    /// A page and the number of a function on it. `None` where the language has none.
    pub fn draw(&self, language: Language, chance: &mut Chance) -> Option<(&Page, usize)> {
        let shelf = self.shelves.get(&language)?;
        let end = *shelf.sums.last()?;
        let at = chance.below(end as usize) as u64;
        let (page, number) = shelf.places[shelf.sums.partition_point(|sum| *sum <= at)];
        Some((&self.pages[page], number))
    }
}
