//! Examples for ranking: shown code with one bug, an issue about it, every candidate, and which of them mends it.

use crate::chance::Chance;
use crate::issue::{Bug, Level, Texts};
use crate::naming::{Namer, Renaming, Words};
use crate::pool::{Page, Pool, Split};
use crate::tally::Tally;
use agent::prompts::{Allowance, RepairOpening, repair_opening};
use agent::repair::order::features;
use agent::repair::words::{evidence, named, said};
use agent::repair::{Candidate, Kind, Passage, mutate, notation};
use agent::repo::syntax::Language;
use serde::Serialize;
use serde_json::{Value, json};

/// How often each language is wished for, in percent.
pub const LANGUAGES: &[(Language, u32)] =
    &[(Language::Python, 40), (Language::JavaScript, 14), (Language::TypeScript, 11), (Language::Rust, 20), (Language::Go, 15)];
/// How often each kind is wished for: what people do wrong often, more often; nothing so rare that it is not learnt.
pub const KINDS: &[(Kind, u32)] = &[
    (Kind::Compare, 14),
    (Kind::Arithmetic, 9),
    (Kind::Number, 8),
    (Kind::Bound, 10),
    (Kind::Boolean, 8),
    (Kind::Negation, 10),
    (Kind::Variable, 14),
    (Kind::Member, 8),
    (Kind::Missing, 8),
    (Kind::Swap, 6),
    (Kind::Counterpart, 5),
];
pub const LEVELS: &[(Level, u32)] = &[(Level::Explicit, 45), (Level::Hinted, 35), (Level::Vague, 20)];
/// What a micro model is shown at most.
const SHOWN_LINES: usize = 48;
const SHOWN_BYTES: usize = 2_000;
/// Candidates of an example that is trained on; the others keep all.
const TRAINED_CANDIDATES: usize = 96;
/// How many functions are looked at for one that the wished kind fits into.
const PATIENCE: usize = 60;
const ATTEMPTS: usize = 6;

/// One line of the data.
#[derive(Serialize)]
pub struct Example {
    task: &'static str,
    split: Split,
    pub kind: Kind,
    pub level: Level,
    pub language: Spoken,
    source: String,
    pub messages: Value,
    pub continuations: Vec<String>,
    kinds: Vec<Kind>,
    pub words: Vec<u8>,
    /// What the order knows of each candidate besides the model, see `repair::order::Features`; for fitting its weights.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    features: Vec<Vec<f64>>,
    pub right: usize,
}

/// A language's name as the data have it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Spoken {
    Python,
    Rust,
    JavaScript,
    TypeScript,
    Go,
}

/// What examples are made from.
pub struct Maker<'a> {
    pub pool: &'a Pool,
    pub texts: &'a Texts,
    pub words: &'a Words,
    pub split: Split,
    pub seed: u64,
}

/// Code with a bug, and what mends it.
pub struct Case {
    pub passages: Vec<Passage>,
    pub function: String,
    pub mending: Candidate,
    pub source: String,
}

impl Maker<'_> {
    /// The example of that number. `None` where no function fits, or the right candidate is never among the others.
    pub fn example(&self, number: usize, tally: &mut Tally) -> Option<Example> {
        let mut chance = Chance::of(self.seed, "rank", number);
        let wish = Wish {
            language: wished(LANGUAGES, &mut chance),
            kind: wished(KINDS, &mut chance),
            level: wished(LEVELS, &mut chance),
        };
        // As often again as the rarest kinds need: else they would come less often than they are wished for.
        (0..ATTEMPTS).find_map(|_| self.attempt(&wish, &mut chance, tally))
    }

    fn attempt(&self, wish: &Wish, chance: &mut Chance, tally: &mut Tally) -> Option<Example> {
        let Some(case) = self.case(wish.language, wish.kind, chance) else {
            tally.unfit(wish.kind);
            return None;
        };
        let templates = if self.split.held() { &self.texts.held } else { &self.texts.train };
        let bug = Bug { function: &case.function, mending: &case.mending, passages: &case.passages };
        let issue = templates.issue(&bug, wish.level, chance);
        let candidates = mutate::candidates(&case.passages, &said(&issue));
        let right = candidates.iter().position(|one| one.label == case.mending.label && one.new == case.mending.new);
        tally.candidates(wish, candidates.len(), right.is_some());
        let right = right?;
        let (candidates, right) = if self.split == Split::Train { fewer(candidates, right, chance) } else { (candidates, right) };
        // Sometimes nothing but the model's own judgement is left to the ranking.
        let hard = self.split == Split::Train && chance.percent(30);
        Some(self.written(&case, &issue, &Ranked { wish, candidates, right, hard }))
    }

    fn written(&self, case: &Case, issue: &str, ranked: &Ranked<'_>) -> Example {
        let listing = notation::listing(&case.passages);
        let opening = repair_opening(&RepairOpening { issue, listing: &listing, output: None }, &Allowance::MICRO);
        let evidence = evidence(issue, &case.passages);
        let says = |word: &str| u8::from(!ranked.hard && !word.is_empty() && named(word, &evidence));
        let candidates = &ranked.candidates;
        let known = if self.split == Split::Train { Vec::new() } else { features(candidates, &evidence, None) };
        Example {
            task: "rank",
            split: self.split,
            kind: case.mending.kind,
            level: ranked.wish.level,
            language: spoken(ranked.wish.language),
            source: case.source.clone(),
            messages: json!([{"role": "user", "content": opening}]),
            continuations: candidates.iter().map(|one| notation::change(one.label, &one.old, &one.new)).collect(),
            kinds: candidates.iter().map(|one| one.kind).collect(),
            words: candidates.iter().map(|one| says(&one.removed) + says(&one.added)).collect(),
            features: known.iter().map(|one| one.as_array().to_vec()).collect(),
            right: ranked.right,
        }
    }

    /// A path of a file beside the shown ones.
    pub fn path(&self, language: Language, chance: &mut Chance) -> agent::path::RepoPath {
        repo_path(&Namer::of(self.words, self.split.held()).path(language, chance))
    }

    /// A function with a bug of the wished kind, among what else would be suspected.
    pub fn case(&self, language: Language, kind: Kind, chance: &mut Chance) -> Option<Case> {
        let (page, number) = (0..PATIENCE).find_map(|_| {
            let (page, number) = self.pool.draw(language, chance)?;
            let member = &page.functions[number];
            let kinds = member.kinds.get().unwrap_or_else(|| {
                let whole = passage(language, "a", member.function.first, member.function.without_prose());
                mutate::slips(&whole).iter().fold(0, |kinds, bug| kinds | 1_u16 << bug.kind as u16)
            });
            member.kinds.set(Some(kinds));
            (kinds & 1 << kind as u16 != 0).then_some((page, number))
        })?;
        let namer = Namer::of(self.words, self.split.held());
        let (mut passages, at) = self.shown(page, number, &namer, chance);
        let renaming = Renaming { function: chance.percent(50), insides: chance.percent(40) };
        let function = namer.rename(&mut passages, &page.functions[number].function.name, &renaming, chance);
        let mut fitting = mutate::slips(&passages[at]);
        fitting.retain(|bug| bug.kind == kind);
        if fitting.is_empty() {
            return None;
        }
        let weights: Vec<u32> = fitting.iter().map(likelihood).collect();
        let bug = fitting[chance.weighed(&weights)].clone();
        let line = bug.label - 1;
        passages[at].lines[line].clone_from(&bug.new);
        let label = bug.label + passages[..at].iter().map(|passage| passage.lines.len()).sum::<usize>();
        let mending = Candidate { label, passage: at, old: bug.new, new: bug.old, kind, removed: bug.added, added: bug.removed };
        Some(Case { passages, function, mending, source: page.source.clone() })
    }

    /// The function alone or with one or two others, and its place among them.
    fn shown(&self, page: &Page, number: usize, namer: &Namer<'_>, chance: &mut Chance) -> (Vec<Passage>, usize) {
        let path = namer.path(page.language, chance);
        let member = |number: usize, chance: &mut Chance| {
            let function = &page.functions[number].function;
            let whole = function.lines.len() <= SHOWN_LINES / 2 && chance.percent(50);
            let lines = if whole { function.lines.clone() } else { function.without_prose() };
            passage(page.language, &path, function.first, lines)
        };
        let target = member(number, chance);
        let mut others: Vec<Passage> = Vec::new();
        if chance.percent(50) {
            let mut near: Vec<usize> =
                (number.saturating_sub(3)..page.functions.len().min(number + 4)).filter(|other| *other != number).collect();
            chance.shuffle(&mut near);
            near.truncate(1 + chance.below(2));
            let apart = |a: &Passage, b: &Passage| a.first + a.lines.len() <= b.first || b.first + b.lines.len() <= a.first;
            for other in near {
                let mut other = member(other, chance);
                if chance.percent(20) {
                    other.path = repo_path(&namer.path(page.language, chance));
                }
                let all = [std::slice::from_ref(&target), &others].concat();
                let lines: usize = all.iter().map(|passage| passage.lines.len()).sum();
                let bytes: usize = all.iter().chain([&other]).flat_map(|passage| &passage.lines).map(|line| line.len() + 4).sum();
                if lines + other.lines.len() <= SHOWN_LINES && bytes <= SHOWN_BYTES && all.iter().all(|one| apart(one, &other)) {
                    others.push(other);
                }
            }
        }
        let first = target.first;
        let mut passages = [vec![target], others].concat();
        match chance.weighed(&[50, 25, 25]) {
            0 => passages.sort_by_key(|passage| passage.first),
            1 => {}
            _ => chance.shuffle(&mut passages),
        }
        let at = passages.iter().position(|passage| passage.first == first).unwrap_or(0);
        (passages, at)
    }
}

pub fn wished<T: Copy>(table: &[(T, u32)], chance: &mut Chance) -> T {
    let weights: Vec<u32> = table.iter().map(|(_, weight)| *weight).collect();
    table[chance.weighed(&weights)].0
}

/// How much sooner than others people make a mistake of its kind.
fn likelihood(bug: &Candidate) -> u32 {
    const NEIGHBOURS: &[[&str; 2]] = &[
        ["<", "<="],
        [">", ">="],
        ["<", ">"],
        ["<=", ">="],
        ["==", "!="],
        ["===", "!=="],
        ["+", "-"],
        ["*", "/"],
        ["+=", "-="],
        ["//", "/"],
    ];
    let near = |[a, b]: &[&str; 2]| bug.removed == *a && bug.added == *b || bug.removed == *b && bug.added == *a;
    if NEIGHBOURS.iter().any(near) { 6 } else { 1 }
}

/// What an example should be.
pub struct Wish {
    language: Language,
    pub kind: Kind,
    pub level: Level,
}

struct Ranked<'a> {
    wish: &'a Wish,
    candidates: Vec<Candidate>,
    right: usize,
    hard: bool,
}

/// A random part of the candidates, the right one among them, in their order.
fn fewer(candidates: Vec<Candidate>, right: usize, chance: &mut Chance) -> (Vec<Candidate>, usize) {
    let mut kept: Vec<usize> = (0..candidates.len()).filter(|at| *at != right).collect();
    if kept.len() >= TRAINED_CANDIDATES {
        chance.shuffle(&mut kept);
        kept.truncate(TRAINED_CANDIDATES - 1);
    }
    kept.push(right);
    kept.sort_unstable();
    let place = kept.partition_point(|at| *at < right);
    (kept.into_iter().map(|at| candidates[at].clone()).collect(), place)
}

fn passage(language: Language, path: &str, first: usize, lines: Vec<String>) -> Passage {
    Passage { path: repo_path(path), language, first, lines }
}

fn repo_path(path: &str) -> agent::path::RepoPath {
    serde_json::from_value(json!(path)).expect("a path is a string")
}

pub fn spoken(language: Language) -> Spoken {
    match language {
        Language::Rust => Spoken::Rust,
        Language::JavaScript => Spoken::JavaScript,
        Language::TypeScript => Spoken::TypeScript,
        Language::Go => Spoken::Go,
        _ => Spoken::Python,
    }
}
