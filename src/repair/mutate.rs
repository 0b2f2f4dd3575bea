//! All small changes of the lines of passages.
//!
//! A grammar says what a token is there for; tables say what people mistake it for. Every table works in both directions, so what
//! can be put in as a bug can be taken out as a repair. Nothing here runs or judges a change: many do not even compile, and a
//! trial of them is cheap.
//!
//! Comments, strings, imports, attributes, types and signatures stay as they are, default values aside.

mod code;
mod conditions;
mod grammar;
mod names;
mod operators;
mod roles;
mod sorts;
mod tables;
mod values;
mod words;

use crate::repair::mutate::code::{Code, parse};
use crate::repair::mutate::names::Names;
use crate::repair::{Candidate, Kind, Passage};
use std::collections::HashSet;
use std::ops::Range;

/// Longer lines, in bytes, are data or written by programs, and each change of one is a copy of it.
const LONGEST: usize = 400;

/// A change of a few bytes of the parsed text.
struct Edit {
    at: Range<usize>,
    with: String,
    kind: Kind,
    removed: String,
    added: String,
    /// Whether right code becomes wrong in this way among people; what only ever mends (another `await`) is none.
    slip: bool,
}

impl Edit {
    /// The whole of an item for something else.
    fn replace(code: &Code<'_>, item: usize, with: &str, kind: Kind) -> Self {
        let at = code.items[item].bytes.clone();
        Self { at, with: with.into(), kind, removed: code.text(item).into(), added: with.into(), slip: true }
    }

    fn insert(at: usize, with: &str, kind: Kind) -> Self {
        Self { at: at..at, with: with.into(), kind, removed: String::new(), added: with.trim().into(), slip: true }
    }

    fn remove(code: &Code<'_>, at: Range<usize>, kind: Kind) -> Self {
        let removed = code.source[at.clone()].trim().into();
        Self { at, with: String::new(), kind, removed, added: String::new(), slip: true }
    }

    /// The same, for mending alone.
    fn mending(self) -> Self {
        Self { slip: false, ..self }
    }
}

/// Every change of one line that might mend it, in the order of the lines. `said`: words that the issue quotes; they count as
/// names in scope. Never a change that leaves the line as it is, never the same new line twice.
///
/// About 20 to 80 for a function of ten lines. Costs one parse of each passage.
pub fn candidates(passages: &[Passage], said: &[String]) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut before = 0;
    for (place, passage) in passages.iter().enumerate() {
        let changes = changes(passage, said, before).into_iter();
        found.extend(changes.map(|(candidate, _)| Candidate { passage: place, ..candidate }));
        before += passage.lines.len();
    }
    found
}

/// Every change that makes a plausible bug of right code, and that [`candidates`] of the result can undo: as it is, or once the
/// issue names the word that went (which may occur nowhere else).
///
/// Costs a parse of each result, for one word may hide another.
pub fn injections(passage: &Passage) -> Vec<Candidate> {
    let mut found = slips(passage);
    found.retain(|bug| {
        let named = matches!(bug.kind, Kind::Variable | Kind::Member | Kind::Counterpart);
        let said = if named { vec![bug.removed.clone()] } else { Vec::new() };
        undone(passage, bug, &said)
    });
    found
}

/// Every change that people make by mistake, whether or not it can be undone. Costs one parse.
pub fn slips(passage: &Passage) -> Vec<Candidate> {
    changes(passage, &[], 0).into_iter().filter(|(_, slip)| *slip).map(|(candidate, _)| candidate).collect()
}

/// Whether the candidates for the passage with `bug` in it hold the passage without.
fn undone(passage: &Passage, bug: &Candidate, said: &[String]) -> bool {
    let mut broken = passage.clone();
    broken.lines[bug.label - 1].clone_from(&bug.new);
    changes(&broken, said, 0).iter().any(|(repair, _)| repair.label == bug.label && repair.new == bug.old)
}

/// The changes of one passage whose first line has the label `before + 1`, each with whether it is a slip.
fn changes(passage: &Passage, said: &[String], before: usize) -> Vec<(Candidate, bool)> {
    let Some(parsed) = parse(passage) else { return Vec::new() };
    let code = Code::of(&parsed);
    let names = Names::of(&code, said);
    let mut edits = Vec::new();
    operators::edits(&code, &names, &mut edits);
    values::edits(&code, &names, said, &mut edits);
    conditions::edits(&code, &mut edits);
    words::edits(&code, &names, &mut edits);
    names.edits(&mut edits);
    edits.sort_by_key(|edit| edit.at.start);
    let mut seen = HashSet::new();
    let mut found = Vec::with_capacity(edits.len());
    for edit in edits {
        let Some((row, columns)) = code.place(&edit.at) else { continue };
        let Some(old) = passage.lines.get(row).filter(|line| line.len() <= LONGEST) else { continue };
        let new = [&old[..columns.start], &edit.with, &old[columns.end..]].concat();
        if new == *old || new.trim().is_empty() || !seen.insert((row, new.clone())) {
            continue;
        }
        let Edit { kind, removed, added, slip, .. } = edit;
        let label = before + row + 1;
        found.push((Candidate { label, passage: 0, old: old.clone(), new, kind, removed, added }, slip));
    }
    found
}

#[cfg(test)]
mod tests;
