//! A flat text with its lines at hand, and the search for runs of them. Knows nothing of edits.

use std::cell::OnceCell;
use std::ops::Range;

use crate::edit::indent::Unit;

/// A text with `\n` ends, cut into lines once for all rungs of the ladder.
pub struct Page<'a> {
    pub flat: &'a str,
    /// The lines without their ends; the empty one behind a final newline is none.
    pub lines: Vec<&'a str>,
    starts: Vec<usize>,
    unit: OnceCell<Option<Unit>>,
}

impl<'a> Page<'a> {
    pub fn new(flat: &'a str) -> Self {
        let lines = lines_of(flat);
        let mut at = 0;
        let starts = lines
            .iter()
            .map(|line| {
                let start = at;
                at += line.len() + 1;
                start
            })
            .collect();
        Self { flat, lines, starts, unit: OnceCell::new() }
    }

    /// The bytes of whole lines, the end of the last one left out.
    pub fn bytes(&self, lines: &Range<usize>) -> Range<usize> {
        let last = lines.end - 1;
        self.starts[lines.start]..self.starts[last] + self.lines[last].len()
    }

    /// The index of the line that holds a byte.
    pub fn line_at(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start <= byte).saturating_sub(1)
    }

    /// The byte that a line begins at.
    pub fn start(&self, line: usize) -> usize {
        self.starts[line]
    }

    /// One step of indentation in this text, where it shows one.
    pub fn unit(&self) -> Option<Unit> {
        *self.unit.get_or_init(|| Unit::of(&self.lines))
    }
}

/// The lines of a flat text without their ends. At least one, also of an empty text.
pub fn lines_of(flat: &str) -> Vec<&str> {
    flat.strip_suffix('\n').unwrap_or(flat).split('\n').collect()
}

/// Where `wanted` stands in `all`, overlapping places too. Linear in both (Knuth, Morris and Pratt 1977): a text of braces
/// alone must not cost the product.
pub fn runs<T: PartialEq>(all: &[T], wanted: &[T]) -> Vec<usize> {
    if wanted.is_empty() || wanted.len() > all.len() {
        return Vec::new();
    }
    let mut border = vec![0; wanted.len()];
    for at in 1..wanted.len() {
        let mut length = border[at - 1];
        while length > 0 && wanted[at] != wanted[length] {
            length = border[length - 1];
        }
        border[at] = length + usize::from(wanted[at] == wanted[length]);
    }
    let (mut found, mut length) = (Vec::new(), 0);
    for (at, item) in all.iter().enumerate() {
        while length > 0 && (length == wanted.len() || *item != wanted[length]) {
            length = border[length - 1];
        }
        length += usize::from(*item == wanted[length]);
        if length == wanted.len() {
            found.push(at + 1 - length);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::edit::page::{Page, runs};
    use proptest::prelude::*;

    #[test]
    fn lines_and_bytes_agree() {
        let page = Page::new("ab\n\ncd");
        assert_eq!((page.lines.as_slice(), page.bytes(&(0..2)), page.bytes(&(2..3))), (["ab", "", "cd"].as_slice(), 0..3, 4..6));
        assert_eq!([0, 2, 3, 4, 6].map(|byte| page.line_at(byte)), [0, 0, 1, 2, 2]);
    }

    proptest! {
        #[test]
        fn runs_are_all_places(all in "[ab]{0,40}", wanted in "[ab]{1,4}") {
            let expected: Vec<usize> = (0..all.len()).filter(|at| all[*at..].starts_with(&wanted)).collect();
            prop_assert_eq!(runs(all.as_bytes(), wanted.as_bytes()), expected);
        }
    }
}
