//! The changes that may be tried, with the passages that they are changes of: what the model is shown, and what it is asked.

use crate::fix::ranked::report::Rival;
use crate::fix::ranked::same::same;
use crate::fix::ranked::spot::Edit;
use crate::repair::suspects::Lines;
use crate::repair::{Candidate, Kind, Passage, mutate, notation, words};

/// Passages and the changes of their lines.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    passages: Vec<Passage>,
    candidates: Vec<Candidate>,
    /// The issue, as far as it speaks of changes.
    evidence: String,
    /// The pieces of code in it.
    said: Vec<String>,
}

impl Pool {
    /// Makes all small changes of passages.
    pub fn new(passages: Vec<Passage>, issue: &str) -> Self {
        let candidates = mutate::candidates(&passages, &words::said(issue));
        let evidence = words::evidence(issue, &passages);
        let said = words::said(&evidence);
        Self { passages, candidates, evidence, said }
    }

    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// What of the issue speaks of changes.
    pub fn evidence(&self) -> &str {
        &self.evidence
    }

    /// The passages as the model sees them.
    pub fn listing(&self) -> String {
        notation::listing(&self.passages)
    }

    /// `PATH:FIRST-LAST` of each passage.
    pub fn places(&self) -> Vec<String> {
        let place = |passage: &Passage| {
            let last = passage.first + passage.lines.len().saturating_sub(1);
            format!("{}:{}-{last}", passage.path, passage.first)
        };
        self.passages.iter().map(place).collect()
    }

    /// What the model would have to write for each change from `first` on.
    pub fn changes(&self, first: usize) -> Vec<String> {
        self.candidates[first..].iter().map(change).collect()
    }

    /// Adds what a model wrote, if it is a change of one line that is not there yet.
    pub fn add(&mut self, written: &str) {
        let Some((label, wrong, right)) = notation::parse(written) else { return };
        let Some((passage, at)) = self.line(label) else { return };
        let old = self.passages[passage].lines[at].clone();
        let Some(new) = notation::apply(&old, wrong, right) else { return };
        let known = self.candidates.iter().any(|candidate| candidate.label == label && candidate.new == new);
        if known || new == old || new.trim().is_empty() {
            return;
        }
        let (removed, added) = (wrong.trim().to_owned(), right.trim().to_owned());
        self.candidates.push(Candidate { label, passage, old, new, kind: Kind::Sampled, removed, added });
    }

    /// How many of the words that go and come the issue names as code, 0 to 2. Where nothing goes or nothing comes, that side
    /// counts as the other does.
    pub fn named(&self, index: usize) -> usize {
        let Candidate { removed, added, .. } = &self.candidates[index];
        let sides = [if removed.is_empty() { added } else { removed }, if added.is_empty() { removed } else { added }];
        sides.into_iter().filter(|words| self.names(words)).count()
    }

    /// Whether the issue names a piece of code. Not a word of a sentence that happens to be a name.
    fn names(&self, code: &str) -> bool {
        let meant = |piece: &str| !piece.starts_with(char::is_alphabetic) || self.said.iter().any(|said| said == piece);
        words::named(code, &self.evidence) && words::pieces(code).into_iter().any(meant)
    }

    /// Whether a change passing the tests leaves no doubt that another one that passes is not meant: the issue names more of it, or
    /// they are the same in other words.
    pub fn outdoes(&self, index: usize, other: usize) -> bool {
        let (this, that) = (&self.candidates[index], &self.candidates[other]);
        self.named(index) > self.named(other) || this.label == that.label && same(&this.new, &that.new)
    }

    /// A change as an edit of its file. Every label is one of the listing.
    pub fn edit(&self, index: usize) -> Edit<'_> {
        let Candidate { label, old, new, .. } = &self.candidates[index];
        let (passage, at) = self.line(*label).expect("a candidate's label is one of its passages'");
        let passage = &self.passages[passage];
        Edit { path: &passage.path, line: passage.first + at, old, new }
    }

    /// Whether any passage is of this file.
    pub fn is_of(&self, path: &str) -> bool {
        self.passages.iter().any(|passage| passage.path.as_str() == path)
    }

    /// Whether the line that is changed is one of these.
    pub fn stands_in(&self, index: usize, lines: &Lines) -> bool {
        let Edit { path, line, .. } = self.edit(index);
        lines.get(path).is_some_and(|lines| lines.contains(&line))
    }

    /// A change in a few words: "calc.py:12 `<` -> `<=`".
    pub fn told(&self, index: usize) -> String {
        let (edit, change) = (self.edit(index), change(&self.candidates[index]));
        let change = change.split_once('|').map_or("", |(_, change)| change);
        format!("{}:{} {change}", edit.path, edit.line)
    }

    pub fn rival(&self, index: usize) -> Rival {
        let Edit { path, line, old, new } = self.edit(index);
        Rival { path: path.clone(), line, old: old.to_owned(), new: new.to_owned() }
    }

    /// The place of the passage that a label lies in, and where in that.
    fn line(&self, label: usize) -> Option<(usize, usize)> {
        let mut at = label.checked_sub(1)?;
        self.passages.iter().enumerate().find_map(|(place, passage)| {
            let found = (at < passage.lines.len()).then_some((place, at));
            at = at.wrapping_sub(passage.lines.len());
            found
        })
    }
}

fn change(candidate: &Candidate) -> String {
    notation::change(candidate.label, &candidate.old, &candidate.new)
}
