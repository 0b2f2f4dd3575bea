//! The map in words: files, each with its weightiest definitions, as many as a budget of tokens holds.

use crate::path::Root;
use crate::repo::map::rank::{Ranked, Spot};
use crate::text::clip;
use crate::units::Tokens;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Characters of a signature.
const SIGNATURE: usize = 96;
/// Tokens of the shortest entry: no more entries than this allows are looked at.
const LEAST: u32 = 4;
/// Entries behind the last one that fits which are tried for the room that is left.
const TRIED: usize = 12;
/// Larger files are told by name alone.
const LARGEST: u64 = 4 << 20;
/// Lines that a definition may have moved since it was indexed.
const MOVED: usize = 30;

/// A map that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Empty when not even one file fits.
    pub text: String,
    pub tokens: Tokens,
    /// How many files stand in it.
    pub files: usize,
}

/// A file's line, or one below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    file: usize,
    /// `None`: the file itself.
    spot: Option<usize>,
}

/// How many files a budget may show definitions of, as a rule.
pub fn most_files(budget: Tokens) -> usize {
    (budget.0 / 24) as usize
}

/// Writes the best of a ranking within `budget`, which is never exceeded: `count` counts each text that is tried, some twenty
/// of them, and its error ends it.
pub async fn outline<E>(
    root: &Root,
    ranked: &[Ranked],
    budget: Tokens,
    mut count: impl AsyncFnMut(&str) -> Result<Tokens, E>,
) -> Result<Outline, E> {
    let items = items(ranked, (budget.0 / LEAST) as usize);
    let mut page = Page::new(root, ranked);
    // The most items from the front that fit.
    let (mut low, mut high) = (0, items.len());
    let mut best = Outline::default();
    let mut chosen: BTreeSet<Item> = BTreeSet::new();
    while low < high {
        let middle = (low + high).div_ceil(2);
        let tried: BTreeSet<Item> = items[..middle].iter().copied().collect();
        match page.fits(&tried, budget, &mut count).await? {
            Some(fitting) => (low, best, chosen) = (middle, fitting, tried),
            None => high = middle - 1,
        }
    }
    // What comes next is too long: something shorter behind it may not be.
    for item in items.iter().skip(low + 1).take(TRIED) {
        let hangs = item.spot.is_some() && !chosen.contains(&Item { spot: None, ..*item });
        if best.tokens + Tokens(LEAST) > budget || hangs {
            continue;
        }
        let mut tried = chosen.clone();
        tried.insert(*item);
        if let Some(fitting) = page.fits(&tried, budget, &mut count).await? {
            (best, chosen) = (fitting, tried);
        }
    }
    Ok(best)
}

/// The order in which entries are given room: a file's weight, less with each definition of it that has some already.
fn items(ranked: &[Ranked], most: usize) -> Vec<Item> {
    let mut weighted: Vec<(f32, Item)> = Vec::new();
    for (file, one) in ranked.iter().enumerate().take(most) {
        weighted.push((one.weight, Item { file, spot: None }));
        for (spot, definition) in one.definitions.iter().enumerate().take(most) {
            let weight = one.weight * definition.weight.sqrt().min(1.0) / (1.0 + spot as f32);
            weighted.push((weight, Item { file, spot: Some(spot) }));
        }
    }
    weighted.sort_by(|(a, first), (b, second)| b.total_cmp(a).then(first.cmp(second)));
    weighted.truncate(most);
    weighted.into_iter().map(|(_, item)| item).collect()
}

/// Writes items, reading each file once.
struct Page<'a> {
    root: &'a Root,
    ranked: &'a [Ranked],
    /// Line and text of each definition that was written before.
    signatures: BTreeMap<Item, (usize, String)>,
    sources: BTreeMap<usize, Vec<String>>,
}

impl<'a> Page<'a> {
    fn new(root: &'a Root, ranked: &'a [Ranked]) -> Self {
        Self { root, ranked, signatures: BTreeMap::new(), sources: BTreeMap::new() }
    }

    async fn fits<E>(
        &mut self,
        items: &BTreeSet<Item>,
        budget: Tokens,
        count: &mut impl AsyncFnMut(&str) -> Result<Tokens, E>,
    ) -> Result<Option<Outline>, E> {
        let text = self.write(items);
        let tokens = count(&text).await?;
        let files = items.iter().filter(|item| item.spot.is_none()).count();
        Ok((tokens <= budget).then_some(Outline { text, tokens, files }))
    }

    /// Files in the order of their weight, definitions in that of the file.
    fn write(&mut self, items: &BTreeSet<Item>) -> String {
        let mut text = String::new();
        let mut rest = items.iter().copied().peekable();
        while let Some(item) = rest.next() {
            let mut lines = Vec::new();
            while let Some(below) = rest.next_if(|next| next.file == item.file) {
                lines.push(self.signature(below));
            }
            // A name of a file may hold a newline, and is escaped as everywhere.
            let path = &self.ranked[item.file].path;
            let path = self.root.parse(path).map_or_else(|_| path.escape_debug().to_string(), |path| path.to_string());
            let _ = writeln!(text, "{path}{}", if lines.is_empty() { "" } else { ":" });
            lines.sort_unstable();
            lines.dedup_by_key(|(line, _)| *line);
            for (line, signature) in lines {
                let _ = writeln!(text, " {line} {signature}");
            }
        }
        text
    }

    /// The line of a definition as it stands in the file now, and its number; what was indexed where it is not found there.
    fn signature(&mut self, item: Item) -> (usize, String) {
        if let Some(known) = self.signatures.get(&item) {
            return known.clone();
        }
        let ranked = &self.ranked[item.file];
        let spot = &ranked.definitions[item.spot.unwrap_or_default()];
        let source = self.sources.entry(item.file).or_insert_with(|| lines(self.root, &ranked.path));
        let found = nearest(source, spot);
        let told = match found {
            Some(line) => (line, clip::prefix(source[line - 1].trim().trim_end_matches(['{', ' ']), SIGNATURE).to_owned()),
            None => (spot.line, format!("{} {}", spot.kind, spot.name)),
        };
        self.signatures.insert(item, told.clone());
        told
    }
}

/// The line, from 1, nearest to where a name was defined that still holds it.
fn nearest(source: &[String], spot: &Spot) -> Option<usize> {
    let holds = |line: &usize| *line > 0 && source.get(line - 1).is_some_and(|text| text.contains(&spot.name));
    (0..=MOVED).flat_map(|away| [spot.line + away, spot.line.saturating_sub(away)]).find(holds)
}

fn lines(root: &Root, path: &str) -> Vec<String> {
    let read = || {
        let (_, full) = root.resolve(path).ok()?;
        full.metadata().ok().filter(|metadata| metadata.is_file() && metadata.len() <= LARGEST)?;
        Some(String::from_utf8_lossy(&std::fs::read(full).ok()?).lines().map(str::to_owned).collect())
    };
    read().unwrap_or_default()
}
