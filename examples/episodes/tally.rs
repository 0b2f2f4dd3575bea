//! What was made, in numbers: for the person who decides whether it is good enough to train on.

use crate::rank::{Example, Wish};
use agent::repair::Kind;
use std::collections::BTreeMap;
use std::fmt::{self, Display};

/// Counts of everything that examples were made from.
#[derive(Default)]
pub struct Tally {
    kinds: BTreeMap<Kind, Fate>,
    groups: BTreeMap<String, usize>,
    candidates: Vec<usize>,
    prompts: Vec<usize>,
    answers: Vec<usize>,
    named: BTreeMap<String, [usize; 3]>,
}

/// What became of the wishes for a kind.
#[derive(Default)]
struct Fate {
    unfit: usize,
    covered: usize,
    missed: usize,
}

impl Tally {
    /// No function was found that the kind fits into.
    pub fn unfit(&mut self, kind: Kind) {
        self.kinds.entry(kind).or_default().unfit += 1;
    }

    /// So many candidates came, with the right one or without it.
    pub fn candidates(&mut self, wish: &Wish, count: usize, covered: bool) {
        let fate = self.kinds.entry(wish.kind).or_default();
        *(if covered { &mut fate.covered } else { &mut fate.missed }) += 1;
        self.candidates.push(count);
    }

    pub fn written(&mut self, example: &Example) {
        for group in [format!("{:?}", example.language), format!("{:?}", example.level), format!("{:?}", example.kind)] {
            *self.groups.entry(group.to_lowercase()).or_default() += 1;
        }
        self.prompts.push(example.messages[0]["content"].as_str().unwrap_or_default().len());
        self.answers.push(example.continuations.iter().map(String::len).sum());
        let named = self.named.entry(format!("{:?}", example.level).to_lowercase()).or_default();
        named[usize::from(example.words[example.right].min(2))] += 1;
    }
}

/// Median, mean, ninth decile, largest.
fn spread(numbers: &[usize]) -> String {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    let (Some(largest), count) = (sorted.last(), sorted.len()) else { return "none".to_owned() };
    let mean = sorted.iter().sum::<usize>() as f64 / count as f64;
    format!("median {}, mean {mean:.1}, p90 {}, largest {largest}", sorted[count / 2], sorted[count * 9 / 10])
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, fate) in &self.kinds {
            let tried = (fate.covered + fate.missed).max(1);
            let share = 100.0 * fate.covered as f64 / tried as f64;
            writeln!(
                f,
                "{kind:?}: {} found, {} not among the candidates ({share:.1} % covered), {} without a function",
                fate.covered, fate.missed, fate.unfit
            )?;
        }
        let groups: Vec<String> = self.groups.iter().map(|(group, count)| format!("{group} {count}")).collect();
        writeln!(f, "{}", groups.join(", "))?;
        for (level, [none, one, both]) in &self.named {
            writeln!(f, "{level}: the right change has no word in the issue {none} times, one {one}, both {both}")?;
        }
        writeln!(f, "candidates: {}", spread(&self.candidates))?;
        writeln!(f, "bytes of a prompt: {}", spread(&self.prompts))?;
        write!(f, "bytes of all continuations of one: {}", spread(&self.answers))
    }
}
