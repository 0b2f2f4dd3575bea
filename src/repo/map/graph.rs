//! Who refers to whom, and where a walk along the references comes to rest: PageRank with a place to begin.
//!
//! A file refers to another when a name stands in it that the other defines. A name that many files use says little, one that
//! many define less. (Page, Brin, Motwani, Winograd 1999; personalised by the vector that the walk begins anew from.)

use crate::repo::map::index::{Entry, Index, is_aside};
use crate::repo::map::names::Name;
use crate::repo::map::words::is_compound;
use crate::repo::syntax::Language;
use std::collections::HashMap;

/// A name that more files define (`new`, `run`) refers to none of them.
const DEFINERS: usize = 20;
/// The walk goes on with this probability: the customary one.
const DAMPING: f32 = 0.85;
/// Steps; what is left then is below 0.85^24, 2 %.
const STEPS: usize = 24;

/// References between files, the files numbered in the index's order.
pub(crate) struct Graph<'i> {
    pub files: Vec<(&'i str, &'i Entry)>,
    /// By file: whom it refers to by which name, and how much.
    references: Vec<Vec<(u32, Name, f32)>>,
    /// What each file refers to in all.
    out: Vec<f32>,
}

impl<'i> Graph<'i> {
    /// Draws the graph. A name counts as many times as much as `wanted` says by its number. Costs one pass over all words.
    pub fn of(index: &'i Index, wanted: &[f32]) -> Self {
        let files: Vec<(&str, &Entry)> = index.files.iter().map(|(path, entry)| (path.as_str(), entry)).collect();
        let mut definers: Vec<Vec<u32>> = vec![Vec::new(); index.names.len()];
        let mut users = vec![0_u32; index.names.len()];
        let code = |at: &usize| files[*at].1.is_code();
        for at in (0..files.len()).filter(code) {
            // What tests define is meant in tests at most, and these are not what a map is asked for.
            if !is_aside(files[at].0) {
                files[at].1.heads.iter().for_each(|name| definers[name.0 as usize].push(at as u32));
            }
            files[at].1.words.iter().for_each(|(word, _)| users[word.0 as usize] += 1);
        }
        let all = files.len() as f32;
        let weight = |name: Name| {
            let (text, at) = (index.names.text(name), name.0 as usize);
            let rare = (1.0 + all / users[at].max(1) as f32).ln();
            let private = if text.starts_with('_') { 0.3 } else { 1.0 };
            rare * telling(text) * private * wanted[at] / definers[at].len() as f32
        };
        let mut references = vec![Vec::new(); files.len()];
        for at in (0..files.len()).filter(code) {
            for (word, count) in &files[at].1.words {
                let known = &definers[word.0 as usize];
                if known.is_empty() || known.len() > DEFINERS || known.contains(&(at as u32)) {
                    continue;
                }
                let weight = weight(*word) * f32::from(*count).sqrt();
                let kin = known.iter().filter(|other| kin(files[at].1.language, files[**other as usize].1.language));
                references[at].extend(kin.map(|other| (*other, *word, weight)));
            }
        }
        let out = references.iter().map(|of| of.iter().map(|(_, _, weight)| weight).sum()).collect();
        Self { files, references, out }
    }

    /// How often a walk is at each file that begins, and begins anew, as `start` says. Both add up to 1.
    pub fn walk(&self, start: &[f32]) -> Vec<f32> {
        // By file alone: half as much to go through in each step.
        let merged: Vec<Vec<(u32, f32)>> = self.references.iter().map(|of| merged(of)).collect();
        let mut now = start.to_vec();
        for _ in 0..STEPS {
            let mut next = vec![0.0; now.len()];
            let mut lost = 1.0 - DAMPING;
            for (at, to) in merged.iter().enumerate() {
                if to.is_empty() {
                    lost += DAMPING * now[at];
                    continue;
                }
                let share = DAMPING * now[at] / self.out[at];
                to.iter().for_each(|(other, weight)| next[*other as usize] += share * weight);
            }
            next.iter_mut().zip(start).for_each(|(next, start)| *next += lost * start);
            now = next;
        }
        now
    }

    /// What each definition's name draws to its file, of what the walk brings there; of files that were parsed.
    pub fn drawn(&self, ranks: &[f32]) -> HashMap<(u32, Name), f32> {
        let mut drawn = HashMap::new();
        for (at, of) in self.references.iter().enumerate() {
            for (other, name, weight) in of.iter().filter(|(other, ..)| self.files[*other as usize].1.definitions.is_some()) {
                *drawn.entry((*other, *name)).or_default() += ranks[at] * weight / self.out[at];
            }
        }
        drawn
    }
}

/// How surely a name means a definition wherever it stands: `set` and `name` are as likely something else.
fn telling(name: &str) -> f32 {
    match (is_compound(name), name.starts_with(char::is_uppercase)) {
        (true, _) if name.len() >= 8 => 2.0,
        (true, _) | (_, true) => 1.0,
        _ => 0.25,
    }
}

fn merged(of: &[(u32, Name, f32)]) -> Vec<(u32, f32)> {
    let mut to: Vec<(u32, f32)> = of.iter().map(|(other, _, weight)| (*other, *weight)).collect();
    to.sort_unstable_by_key(|(other, _)| *other);
    to.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    to
}

/// Whether a name in one language can mean a definition in the other.
fn kin(one: Option<Language>, other: Option<Language>) -> bool {
    use Language::{C, Cpp, Java, JavaScript, Kotlin, Scala, Swift, Tsx, TypeScript};
    let family = |language: Option<Language>| match language {
        Some(C | Cpp | Swift) => Some(C),
        Some(JavaScript | Tsx | TypeScript) => Some(JavaScript),
        Some(Java | Kotlin | Scala) => Some(Java),
        other => other,
    };
    family(one) == family(other)
}
