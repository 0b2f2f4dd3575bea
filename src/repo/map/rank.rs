//! Files and definitions in the order in which they matter for a question.

use crate::repo::map::Question;
use crate::repo::map::graph::Graph;
use crate::repo::map::index::{Definition, Index, is_aside};
use crate::repo::map::relevance::relevance;
use std::collections::HashSet;

/// How much of a file's weight is its own resemblance to the question; the rest is what the walk brings there.
const OWN: f32 = 0.75;
/// What tests and examples count where nothing is asked: they use everything.
const ASIDE: f32 = 0.1;

/// A file and what it defines, the weightiest definition first.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    pub path: String,
    /// All of them add up to 1.
    pub weight: f32,
    pub definitions: Vec<Spot>,
}

/// A definition's place.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    pub name: String,
    pub kind: String,
    /// From 1.
    pub line: usize,
    /// Its part of the file's weight, 1 for the first.
    pub weight: f32,
}

/// Ranks every file of an index, the weightiest first; equal ones in the order of their paths. Costs, with 5,000 files, some
/// 150 ms.
pub fn rank(index: &Index, question: &Question) -> Vec<Ranked> {
    let relevance = relevance(index, question);
    let graph = Graph::of(index, &relevance.names);
    let open: Vec<bool> = graph.files.iter().map(|(path, _)| question.open.iter().any(|open| open.as_str() == *path)).collect();
    let asked = relevance.files.iter().any(|score| *score > 0.0);
    let start: Vec<f32> = graph
        .files
        .iter()
        .enumerate()
        .map(|(at, (path, entry))| match (open[at], asked) {
            (true, _) => 1.0,
            // The best few are meant; the long tail of files that share a word is not.
            (_, true) => relevance.files[at].powi(2),
            _ if !entry.is_code() => 0.0,
            _ if !question.open.is_empty() => 0.0,
            _ if is_aside(path) => ASIDE,
            _ => 1.0,
        })
        .collect();
    let start = normal(start);
    let walked = graph.walk(&start);
    let drawn = graph.drawn(&walked);
    let own = normal(relevance.files.iter().map(|score| score.powi(2)).collect());
    let own_part = if asked { OWN } else { 0.0 };
    let files = graph.files.iter().enumerate().filter(|(at, _)| !open[*at]);
    let mut ranked: Vec<Ranked> = files
        .map(|(at, (path, entry))| {
            let least = 0.01 * walked[at] / entry.known().len().max(1) as f32;
            let weight = |one: &Definition| {
                let drawn = drawn.get(&(at as u32, one.name)).copied().unwrap_or(0.0);
                (drawn + least) * relevance.names[one.name.0 as usize].powi(2)
            };
            let spots = entry.known().iter().map(|one| spot(index, one, weight(one))).collect();
            let weight = own_part * own[at] + (1.0 - own_part) * walked[at];
            Ranked { path: (*path).to_owned(), weight, definitions: in_order(spots) }
        })
        .collect();
    ranked.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.path.cmp(&b.path)));
    ranked
}

fn spot(index: &Index, one: &Definition, weight: f32) -> Spot {
    let text = |name| index.names.text(name).to_owned();
    Spot { name: text(one.name), kind: text(one.kind), line: one.line as usize, weight }
}

/// The weightiest first, scaled to 1. A name that is defined several times (overloads, one for each platform) needs one line.
fn in_order(mut spots: Vec<Spot>) -> Vec<Spot> {
    spots.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.line.cmp(&b.line)));
    let mut seen = HashSet::new();
    spots.retain(|spot| seen.insert(spot.name.clone()));
    let first = spots.first().map_or(1.0, |spot| spot.weight.max(f32::MIN_POSITIVE));
    spots.iter_mut().for_each(|spot| spot.weight /= first);
    spots
}

/// Scales to a sum of 1; where there is nothing, all are equal.
fn normal(mut weights: Vec<f32>) -> Vec<f32> {
    let sum: f32 = weights.iter().sum();
    if sum > 0.0 {
        weights.iter_mut().for_each(|weight| *weight /= sum);
    } else {
        let each = 1.0 / weights.len().max(1) as f32;
        weights.fill(each);
    }
    weights
}
