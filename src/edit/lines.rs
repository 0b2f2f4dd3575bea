//! A text as lines with their own ends: edits are made on `\n` alone, and every untouched line gets its bytes back.

use similar::{Algorithm, DiffTag, capture_diff_slices};
use std::ops::Range;

/// How one line ends in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Lf,
    CrLf,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
        }
    }
}

/// A file's text with `\n` line ends, and what it takes to write it back as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    bom: bool,
    flat: String,
    /// One for each `\n` in `flat`, in order.
    ends: Vec<End>,
}

const BOM: char = '\u{feff}';

/// What a model wrote, in the form that `Lines` compares with: `\n` ends, no byte order mark.
pub fn flatten(written: &str) -> String {
    written.strip_prefix(BOM).unwrap_or(written).replace("\r\n", "\n")
}

impl Lines {
    pub fn parse(text: &str) -> Self {
        let bom = text.starts_with(BOM);
        let body = text.strip_prefix(BOM).unwrap_or(text);
        let end = |line: &str| line.ends_with('\n').then_some(if line.ends_with("\r\n") { End::CrLf } else { End::Lf });
        Self { bom, flat: flatten(body), ends: body.split_inclusive('\n').filter_map(end).collect() }
    }

    /// The text with `\n` ends and without a byte order mark.
    pub fn flat(&self) -> &str {
        &self.flat
    }

    /// The number, from 1, of the line that holds the byte `at` of the flat text.
    pub fn number(&self, at: usize) -> usize {
        1 + self.flat.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count()
    }

    /// The whole text with `range` of the flat text replaced. Lines that stay keep their ends; a changed line takes
    /// the end of the line it stands for, a new line that of its neighbour.
    pub fn splice(&self, range: Range<usize>, replacement: &str) -> String {
        let first = self.number(range.start) - 1;
        let old: Vec<&str> = self.flat[range.clone()].split_inclusive('\n').collect();
        let new: Vec<&str> = replacement.split_inclusive('\n').collect();
        let replaced = old.iter().filter(|l| l.ends_with('\n')).count();
        let mut ends = self.ends[..first].to_vec();
        ends.extend(self.ends_of(first, &old, &new));
        ends.extend_from_slice(&self.ends[first + replaced..]);
        let flat = [&self.flat[..range.start], replacement, &self.flat[range.end..]].concat();
        render(self.bom, &flat, &ends)
    }

    /// The ends for the new lines of a splice at line `first` (from 0).
    fn ends_of(&self, first: usize, old: &[&str], new: &[&str]) -> Vec<End> {
        let mut ends = Vec::new();
        for op in capture_diff_slices(Algorithm::Myers, old, new) {
            let (tag, old_range, new_range) = op.as_tag_tuple();
            for (offset, _) in new[new_range].iter().enumerate().filter(|(_, l)| l.ends_with('\n')) {
                let stands_for = match tag {
                    DiffTag::Insert => old_range.start.checked_sub(1),
                    _ => Some((old_range.start + offset).min(old_range.end.saturating_sub(1))),
                };
                let like = stands_for.and_then(|i| self.ends.get(first + i)).or(self.ends.get(first)).or(self.ends.last());
                ends.push(like.copied().unwrap_or(End::Lf));
            }
        }
        ends
    }
}

fn render(bom: bool, flat: &str, ends: &[End]) -> String {
    let mut text = String::with_capacity(flat.len() + ends.len() + 3);
    if bom {
        text.push(BOM);
    }
    let mut ends = ends.iter();
    for line in flat.split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some(content) => {
                text.push_str(content);
                text.push_str(ends.next().copied().unwrap_or(End::Lf).as_str());
            }
            None => text.push_str(line),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::edit::lines::Lines;
    use proptest::prelude::*;

    #[test]
    fn a_changed_line_keeps_its_own_end() {
        let lines = Lines::parse("a\r\nb\nc\r\nd");
        let at = lines.flat().find('c').unwrap();
        assert_eq!(lines.splice(at..at + 2, "C\nnew\n"), "a\r\nb\nC\r\nnew\r\nd");
        assert_eq!(lines.splice(lines.flat().len()..lines.flat().len(), "\ne"), "a\r\nb\nc\r\nd\r\ne");
    }

    #[test]
    fn the_byte_order_mark_stays() {
        assert_eq!(Lines::parse("\u{feff}x\n").splice(0..1, "y"), "\u{feff}y\n");
    }

    proptest! {
        #[test]
        fn replacing_a_piece_by_itself_changes_nothing(text in "\u{feff}?([ab]|\r\n|\n|\r){0,30}", a in 0usize..40, b in 0usize..40) {
            let lines = Lines::parse(&text);
            let len = lines.flat().len();
            let (a, b) = (a.min(b).min(len), a.max(b).min(len));
            prop_assume!(lines.flat().is_char_boundary(a) && lines.flat().is_char_boundary(b));
            let piece = lines.flat()[a..b].to_owned();
            prop_assert_eq!(lines.splice(a..b, &piece), text);
        }
    }
}
