//! What speaks against each definition, and the passages that come of it.

use crate::repair::Passage;
use crate::repair::suspects::Bounds;
use crate::repair::suspects::atlas::{Atlas, Spot};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// A kind of evidence. Of each kind only the strongest piece counts: ten tests that fail in one function say it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    Trace,
    Issue,
    File,
    Called,
    Asserted,
    Recent,
    Executed,
    Imported,
    Callee,
}

/// A passage with less than this share of the best one's evidence dilutes more than it adds.
const FAINT: f64 = 0.1;
/// Fewer lines of a definition show too little of it to be worth their place.
const LEAST: usize = 4;
/// Lines of a module around a suspected one, on either side, where no definition holds it.
const AROUND: usize = 6;

/// The evidence so far.
#[derive(Debug, Default)]
pub struct Board {
    definitions: BTreeMap<Spot, BTreeMap<Evidence, f64>>,
    /// Suspected lines outside definitions, by file and line.
    loose: BTreeMap<(usize, usize), f64>,
    /// How much single lines are suspected, by file and line: where a window opens in what is too long.
    heat: BTreeMap<(usize, usize), f64>,
}

impl Board {
    pub fn add(&mut self, spot: Spot, evidence: Evidence, weight: f64) {
        let strongest = self.definitions.entry(spot).or_default().entry(evidence).or_default();
        *strongest = strongest.max(weight);
    }

    /// Suspects a line: in the smallest definition that holds it, or by itself. Lines of tests are passed over: `false`.
    pub fn add_line(&mut self, atlas: &mut Atlas, (file, line): (usize, usize), evidence: Evidence, weight: f64) -> bool {
        let (spot, test) = atlas.holding(file, line);
        if test || line == 0 || line > atlas.sources[file].lines.len() {
            return false;
        }
        match spot {
            Some(spot) => self.add(spot, evidence, weight),
            None if says_nothing(&atlas.sources[file].lines[line - 1]) => return false,
            None => {
                let loose = self.loose.entry((file, line)).or_default();
                *loose = loose.max(weight);
            }
        }
        self.warm((file, line), weight);
        true
    }

    /// Suspects a line within whatever definition is suspected anyway.
    pub fn warm(&mut self, place: (usize, usize), weight: f64) {
        *self.heat.entry(place).or_default() += weight;
    }

    /// Takes a definition off the board.
    pub fn clear(&mut self, spot: Spot) {
        self.definitions.remove(&spot);
    }

    pub fn is_empty(&self) -> bool {
        self.definitions.is_empty() && self.loose.is_empty()
    }

    /// The definitions with their scores, best first; equals in the order of their paths and lines.
    pub fn ranked(&self) -> Vec<(Spot, f64)> {
        let mut ranked: Vec<(Spot, f64)> = self.definitions.iter().map(|(spot, pieces)| (*spot, pieces.values().sum())).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked
    }

    /// Cuts the passages, best first, none of them overlapping: at most as many, and with as many lines together, as allowed.
    pub fn passages(&self, atlas: &mut Atlas, bounds: Bounds) -> Vec<Passage> {
        let mut wanted: Vec<(usize, RangeInclusive<usize>, f64)> = Vec::new();
        for (spot, score) in self.ranked() {
            let definition = atlas.definition(spot);
            wanted.push((spot.0, definition.first..=definition.last, score));
        }
        for ((file, line), weight) in &self.loose {
            wanted.push((*file, block(atlas, *file, *line), *weight));
        }
        wanted.sort_by(|a, b| b.2.total_cmp(&a.2).then_with(|| (a.0, a.1.start()).cmp(&(b.0, b.1.start()))));
        let best = wanted.first().map_or(0.0, |(.., score)| *score);
        let mut cut: Vec<(usize, RangeInclusive<usize>)> = Vec::new();
        let mut left = bounds.lines;
        for (file, lines, _) in wanted.into_iter().take_while(|(.., score)| *score >= best * FAINT) {
            let overlaps = |(other, taken): &(usize, RangeInclusive<usize>)| {
                *other == file && taken.start() <= lines.end() && lines.start() <= taken.end()
            };
            let long = lines.end() + 1 - lines.start();
            if cut.len() == bounds.passages || left < long.min(LEAST) {
                break;
            }
            if cut.iter().any(overlaps) {
                continue;
            }
            let shown = if long <= left { lines } else { self.window(file, lines, left) };
            left -= shown.end() + 1 - shown.start();
            cut.push((file, shown));
        }
        cut.into_iter().map(|(file, lines)| passage(atlas, file, lines)).collect()
    }

    /// The hottest stretch of so many lines; the first of them where none is hot. What is hot stands in its middle, if it can.
    fn window(&self, file: usize, lines: RangeInclusive<usize>, count: usize) -> RangeInclusive<usize> {
        let heat: Vec<(usize, f64)> =
            self.heat.range((file, *lines.start())..=(file, *lines.end())).map(|((_, line), heat)| (*line, *heat)).collect();
        let inside = |first: usize| heat.iter().filter(move |(line, _)| (first..first + count).contains(line));
        let centre =
            |first: usize| inside(first).map(|(line, heat)| heat / (1.0 + line.abs_diff(first + count / 2) as f64)).sum::<f64>();
        let total = |first: usize| inside(first).map(|(_, heat)| heat).sum::<f64>();
        let starts = *lines.start()..=lines.end() + 1 - count;
        // The last of equals wins `max_by`, so they come backwards.
        let better = |a: &usize, b: &usize| total(*a).total_cmp(&total(*b)).then(centre(*a).total_cmp(&centre(*b)));
        let first = starts.rev().max_by(better).unwrap_or(*lines.start());
        first..=first + count - 1
    }
}

/// Whether a line outside definitions is blank, a comment or an attribute.
fn says_nothing(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || ["//", "#", "/*", "* ", "\"\"\""].iter().any(|begin| line.starts_with(begin))
}

/// The lines around one that no definition holds: to the next blank line or definition.
fn block(atlas: &mut Atlas, file: usize, line: usize) -> RangeInclusive<usize> {
    let mut free = |at: usize| {
        let text = at.checked_sub(1).and_then(|at| atlas.sources[file].lines.get(at));
        text.is_some_and(|text| !text.trim().is_empty()) && atlas.holding(file, at) == (None, false)
    };
    let first = (line.saturating_sub(AROUND)..line).rev().take_while(|at| free(*at)).last().unwrap_or(line);
    let last = (line + 1..=line + AROUND).take_while(|at| free(*at)).last().unwrap_or(line);
    first..=last
}

fn passage(atlas: &Atlas, file: usize, lines: RangeInclusive<usize>) -> Passage {
    let source = &atlas.sources[file];
    Passage {
        path: source.path.clone(),
        language: source.language,
        first: *lines.start(),
        lines: source.lines[lines.start() - 1..*lines.end()].to_vec(),
    }
}
