//! Every name once, by number: a project says the same few words a million times.

use std::hash::{BuildHasher, RandomState};

/// A name's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub(crate) u32);

/// Names in the order in which they came: one text, and a table of numbers with open addressing. A third of what a map of
/// strings takes.
#[derive(Debug, Default)]
pub struct Names {
    text: String,
    /// Where each name ends in the text.
    ends: Vec<u32>,
    /// Numbers plus one; 0 is free. A power of two in size, at most half full.
    table: Vec<u32>,
    hasher: RandomState,
}

impl Names {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn text(&self, name: Name) -> &str {
        let at = name.0 as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.text[start..self.ends[at] as usize]
    }

    /// All names, in the order of their numbers.
    pub fn all(&self) -> impl Iterator<Item = (Name, &str)> {
        (0..self.ends.len() as u32).map(|at| (Name(at), self.text(Name(at))))
    }

    /// Adds a name that was not seen, in a tenth of the time: the table is made when it is needed.
    pub fn append(&mut self, name: &str) -> Name {
        self.table.clear();
        self.text.push_str(name);
        self.ends.push(self.text.len() as u32);
        Name(self.ends.len() as u32 - 1)
    }

    /// The number of a name, seen or not.
    pub fn add(&mut self, name: &str) -> Name {
        if self.table.len() < 2 * (self.ends.len() + 1) {
            self.grow();
        }
        let slot = self.slot(name);
        if self.table[slot] == 0 {
            self.text.push_str(name);
            self.ends.push(self.text.len() as u32);
            self.table[slot] = self.ends.len() as u32;
        }
        Name(self.table[slot] - 1)
    }

    /// Where a name stands in the table, or would.
    fn slot(&self, name: &str) -> usize {
        let mask = self.table.len().wrapping_sub(1);
        let mut slot = self.hasher.hash_one(name) as usize & mask;
        while self.table.get(slot).is_some_and(|&taken| taken != 0 && self.text(Name(taken - 1)) != name) {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        self.table = vec![0; (4 * (self.ends.len() + 1)).next_power_of_two()];
        for at in 0..self.ends.len() as u32 {
            let slot = self.slot(self.text(Name(at)));
            self.table[slot] = at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::repo::map::names::Names;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_same_name_has_the_same_number(words in prop::collection::vec("[a-c]{0,3}", 0..200)) {
            let mut names = Names::default();
            let numbers: Vec<_> = words.iter().map(|word| names.add(word)).collect();
            for (word, number) in words.iter().zip(&numbers) {
                prop_assert_eq!(names.text(*number), word);
            }
            let mut distinct = words.clone();
            distinct.sort();
            distinct.dedup();
            prop_assert_eq!(names.len(), distinct.len());
            let mut again = Names::default();
            let appended: Vec<_> = distinct.iter().map(|word| again.append(word)).collect();
            prop_assert!(distinct.iter().zip(appended).all(|(word, number)| again.add(word) == number));
        }
    }
}
