//! In which order candidates are tried: the likeliest first.
//!
//! A candidate's worth is a weighted sum of [`Features`]: how likely a model finds it, what of it the issue names, what kind of
//! change it is. Each way of ordering has a table of weights of its own; `models/micro/fit.py` fits them and prints both.

mod weights;

use crate::repair::words::{Issue, pieces};
use crate::repair::{Candidate, Kind};
use std::collections::{BTreeMap, BTreeSet};

/// How to order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By the model and all the rest; as `Modelless` where there are no scores.
    Ranked,
    /// By all but the model.
    Modelless,
    /// By chance, from a seed: what the others are compared with.
    Blind(u64),
}

/// What is known of one candidate among its rivals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Features {
    /// log P of the change, summed over its tokens, in nats; 0 without a model.
    pub model: f64,
    /// Whether the issue names the words that go, those that come, and both: 0 or 1. Where nothing goes or nothing comes, that
    /// side counts as the other does.
    pub removed: f64,
    pub added: f64,
    pub both: f64,
    /// How much of the issue's plain words stands in the line: 0, then 1/2 for one, 3/4 for two, towards 1.
    pub line: f64,
    /// ln of the number of candidates of the same kind: many of a kind share what speaks for the kind.
    pub rivals: f64,
    pub kind: Kind,
}

/// All kinds, in the order in which they stand in [`Features::as_array`].
pub const KINDS: [Kind; 12] = [
    Kind::Compare,
    Kind::Arithmetic,
    Kind::Number,
    Kind::Bound,
    Kind::Boolean,
    Kind::Negation,
    Kind::Variable,
    Kind::Member,
    Kind::Missing,
    Kind::Swap,
    Kind::Counterpart,
    Kind::Sampled,
];
/// Features that are no kind.
const MEASURES: usize = 6;
/// Numbers in [`Features::as_array`].
pub const WIDTH: usize = MEASURES + KINDS.len();

impl Features {
    /// The numbers that weights are fitted to: `model`, `removed`, `added`, `both`, `line`, `rivals`, then one per kind, 1 for the
    /// candidate's own.
    pub fn as_array(&self) -> [f64; WIDTH] {
        let mut array = [0.0; WIDTH];
        array[..MEASURES].copy_from_slice(&[self.model, self.removed, self.added, self.both, self.line, self.rivals]);
        for (place, kind) in array[MEASURES..].iter_mut().zip(KINDS) {
            *place = f64::from(u8::from(kind == self.kind));
        }
        array
    }
}

/// What is known of each candidate. `issue`: as [`crate::repair::words::evidence`] leaves it, so that the name of a suspected
/// function counts for no change. `scores`: one sum of log P per candidate, or none.
pub fn features(candidates: &[Candidate], issue: &str, scores: Option<&[f64]>) -> Vec<Features> {
    let issue = Issue::of(issue);
    let told: BTreeSet<String> = issue.plain().flat_map(parts).collect();
    let mut rivals: BTreeMap<Kind, f64> = BTreeMap::new();
    let mut lines: BTreeMap<&str, f64> = BTreeMap::new();
    for candidate in candidates {
        *rivals.entry(candidate.kind).or_default() += 1.0;
        lines.entry(&candidate.old).or_insert_with(|| overlap(&told, &candidate.old));
    }
    let one = |candidate: &Candidate, model: f64| {
        let side = |words: &str, other: &str| f64::from(u8::from(issue.names(if words.is_empty() { other } else { words })));
        let (removed, added) = (side(&candidate.removed, &candidate.added), side(&candidate.added, &candidate.removed));
        Features {
            model,
            removed,
            added,
            both: removed * added,
            line: lines[candidate.old.as_str()],
            rivals: rivals[&candidate.kind].ln(),
            kind: candidate.kind,
        }
    };
    candidates
        .iter()
        .enumerate()
        .map(|(at, candidate)| one(candidate, scores.map_or(0.0, |scores| likelihood(scores, at))))
        .collect()
}

/// Orders candidates, the likeliest first: their indices. `issue` and `scores` as for [`features`].
pub fn order(candidates: &[Candidate], issue: &str, scores: Option<&[f64]>) -> Vec<usize> {
    Order::Ranked.of(candidates, issue, scores)
}

/// What each passage that is suspected more takes from the worth of a change. Not fitted: where training shows several passages
/// their order says little. In all 17 of 95 development projects in which several are suspected, the first is the right one.
const FURTHER: f64 = 1.2;

impl Order {
    /// Orders candidates in this way: a permutation of their indices, the same for the same arguments. What is worth the same
    /// stays in the order of the lines.
    pub fn of(self, candidates: &[Candidate], issue: &str, scores: Option<&[f64]>) -> Vec<usize> {
        let (weights, scores) = match (self, scores) {
            (Self::Blind(seed), _) => return shuffled(candidates.len(), seed),
            (Self::Ranked, Some(scores)) => (&weights::RANKED, Some(scores)),
            (Self::Ranked, None) | (Self::Modelless, _) => (&weights::MODELLESS, None),
        };
        let worth = |(features, candidate): (&Features, &Candidate)| -> f64 {
            let own: f64 = features.as_array().iter().zip(weights).map(|(x, (_, w))| x * w).sum();
            own - FURTHER * candidate.passage as f64
        };
        let worths: Vec<f64> = features(candidates, issue, scores).iter().zip(candidates).map(worth).collect();
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by(|a, b| worths[*b].total_cmp(&worths[*a]));
        order
    }
}

/// Below every real score, and yet a number that sums bear: for a candidate that was not, or could not be, scored.
const UNSCORED: f64 = -1e6;

fn likelihood(scores: &[f64], at: usize) -> f64 {
    scores.get(at).copied().filter(|score| score.is_finite()).unwrap_or(UNSCORED)
}

/// How much of what was told stands in a line, see [`Features::line`].
fn overlap(told: &BTreeSet<String>, line: &str) -> f64 {
    let here: BTreeSet<String> = pieces(line).into_iter().flat_map(parts).collect();
    let shared = i32::try_from(here.intersection(told).count()).unwrap_or(i32::MAX);
    1.0 - 0.5_f64.powi(shared)
}

/// The words in a name, in lower case and without a plural's s: `freeItems` and `free_item` are the same two.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = '_';
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() && before.is_lowercase() {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut().filter(|_| c.is_alphanumeric()) {
            part.extend(c.to_lowercase());
        }
        before = c;
    }
    let stem = |part: String| if part.len() > 3 && !part.ends_with("ss") { part.trim_end_matches('s').to_owned() } else { part };
    parts.into_iter().map(stem).filter(|part| part.len() > 2 && part.starts_with(char::is_alphabetic)).collect()
}

/// All indices, shuffled (Fisher and Yates) with SplitMix64 (Steele, Lea, Flood 2014).
fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut order: Vec<usize> = (0..count).collect();
    for at in (1..count).rev() {
        // The bias of a remainder of 64 bits is far below what any comparison could show.
        order.swap(at, (next() % (at as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use crate::repair::order::{KINDS, Order, features, order, parts, weights};
    use crate::repair::{Candidate, Kind};

    fn candidate(kind: Kind, old: &str, removed: &str, added: &str) -> Candidate {
        let new = if removed.is_empty() { format!("{added} {old}") } else { old.replacen(removed, added, 1) };
        Candidate { label: 1, passage: 0, old: old.into(), new, kind, removed: removed.into(), added: added.into() }
    }

    fn cart() -> Vec<Candidate> {
        let line = "free = min(prices) if len(prices) > 3 else 0";
        vec![
            candidate(Kind::Counterpart, line, "min", "max"),
            candidate(Kind::Compare, line, ">", ">="),
            candidate(Kind::Compare, line, ">", "<"),
            candidate(Kind::Number, line, "3", "2"),
            candidate(Kind::Missing, "sum(prices) - free", "", "return"),
        ]
    }

    #[test]
    fn what_the_issue_names_comes_first() {
        for (issue, expected) in [
            ("it says `>` where `>=` is right", 1),
            ("uses `min` where it should use `max`", 0),
            ("with 2 or 3 items the total is wrong", 3),
            ("the `return` is missing", 4),
        ] {
            assert_eq!(order(&cart(), issue, None)[0], expected, "{issue}");
        }
    }

    #[test]
    fn what_is_suspected_more_comes_first_unless_the_issue_names_it() {
        let mut all = cart();
        all.extend(cart().into_iter().map(|candidate| Candidate { passage: 1, ..candidate }));
        let ordered = order(&all, "it is wrong", None);
        let place = |wanted| ordered.iter().position(|at| *at == wanted);
        assert!((0..5).all(|at| place(at) < place(at + 5)), "{ordered:?}");
        all[1].passage = 2;
        assert_eq!(order(&all, "it says `>` where `>=` is right", None)[0], 6);
        assert_eq!(order(&all[..5], "it says `>` where `>=` is right", None)[0], 1, "words outweigh two passages");
    }

    #[test]
    fn the_model_decides_where_the_issue_is_silent() {
        let scores = [-9.0, -8.0, -1.0, -7.0, -6.5];
        assert_eq!(order(&cart(), "it is wrong", Some(&scores))[0], 2);
        assert_eq!(order(&cart(), "`>` must be `>=`", Some(&[-3.0, -3.0, -3.0, -3.0, -3.0]))[0], 1);
        assert_eq!(Order::Modelless.of(&cart(), "", Some(&scores)), order(&cart(), "", None), "scores do not reach it");
    }

    #[test]
    fn a_candidate_without_a_likelihood_comes_last() {
        for bad in [f64::NAN, f64::NEG_INFINITY, f64::INFINITY] {
            let ranked = order(&cart(), "`min`, not `max`", Some(&[bad, -80.0, -80.0, -80.0, -80.0]));
            assert_eq!(ranked[4], 0, "{bad}");
        }
        assert_eq!(order(&cart(), "", Some(&[-1.0; 4]))[4], 4, "one score is missing");
    }

    #[test]
    fn every_order_is_a_permutation_and_repeats_itself() {
        let candidates = cart();
        for how in [Order::Ranked, Order::Modelless, Order::Blind(1), Order::Blind(2)] {
            let one = how.of(&candidates, "some `free` issue", Some(&[-1.0; 5]));
            assert_eq!(one, how.of(&candidates, "some `free` issue", Some(&[-1.0; 5])), "{how:?}");
            let mut sorted = one;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4], "{how:?}");
            assert!(how.of(&[], "", None).is_empty());
        }
        assert_ne!(Order::Blind(1).of(&candidates, "", None), Order::Blind(2).of(&candidates, "", None));
    }

    #[test]
    fn features_are_exported_in_the_order_of_the_weights() {
        let all = features(&cart(), "the free item: `>`, not `>=`", Some(&[-2.0; 5]));
        assert_eq!(&all[1].as_array()[..8], [-2.0, 1.0, 1.0, 1.0, 0.5, 2.0_f64.ln(), 1.0, 0.0]);
        assert_eq!(&all[2].as_array()[..4], [-2.0, 1.0, 0.0, 0.0]);
        assert_eq!(all[4].as_array()[6 + 8], 1.0, "missing is the ninth kind");
        for table in [&weights::RANKED, &weights::MODELLESS] {
            let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
            assert_eq!(names[..6], ["model", "removed", "added", "both", "line", "rivals"]);
            let kinds = KINDS.map(|kind| serde_json::to_value(kind).unwrap());
            assert_eq!(names[6..].iter().map(|name| serde_json::json!(name)).collect::<Vec<_>>(), kinds);
        }
        assert_eq!(weights::MODELLESS[0].1, 0.0);
    }

    #[test]
    fn the_words_of_a_name() {
        assert_eq!(parts("freeItems_of1"), ["free", "item", "of1"]);
        assert_eq!(parts("class"), ["class"]);
    }
}
