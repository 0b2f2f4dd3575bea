//! The lines that a missing search most likely meant: wording for a refusal, never a reason to apply an edit.

use std::collections::BTreeMap;

/// A piece of the text that resembles the search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Its first and last line, from 1.
    pub lines: (usize, usize),
    /// The lines as they stand in the file.
    pub text: String,
}

/// The most lines that are shown.
const SHOWN: usize = 14;
/// Pairs of the search's longest lines with every line of the file: enough to find the place, linear in the file.
const ANCHORS: usize = 3;
/// Larger texts are not looked through.
const LARGEST: usize = 2 << 20;
/// Below this share of common letter pairs, two lines have nothing to do with each other.
const ALIKE: f32 = 0.5;

/// How often each two letters stand side by side in a line.
type Pairs = BTreeMap<(char, char), i32>;

/// The window of the text that best resembles the search; `None` when nothing does. Linear in the text.
pub fn nearest(flat: &str, search: &str) -> Option<Nearest> {
    if flat.len() > LARGEST {
        return None;
    }
    let wanted: Vec<&str> = search.trim_matches('\n').lines().collect();
    let file: Vec<&str> = flat.lines().collect();
    let mut anchors: Vec<usize> = (0..wanted.len()).filter(|&i| wanted[i].trim().len() > 2).collect();
    anchors.sort_by_key(|&i| std::cmp::Reverse(wanted[i].trim().len()));
    anchors.truncate(ANCHORS);
    let pairs: Vec<(usize, Pairs)> = anchors.iter().map(|&i| (i, letter_pairs(wanted[i]))).collect();
    let mut best: Option<(f32, usize)> = None;
    for (at, line) in file.iter().enumerate().filter(|(_, l)| !l.trim().is_empty() && l.len() < 2_000) {
        let own = letter_pairs(line);
        for (anchor, wanted_pairs) in &pairs {
            let start = at.saturating_sub(*anchor);
            // Equal lines around it decide between places that resemble the same line.
            let around = wanted.iter().zip(&file[start..]).take(SHOWN).filter(|(w, f)| w.trim() == f.trim()).count();
            let likeness = alike(wanted_pairs, &own);
            let score = likeness + around as f32;
            if likeness >= ALIKE && best.is_none_or(|(top, _)| score > top) {
                best = Some((score, start));
            }
        }
    }
    let (_, start) = best?;
    let end = (start + wanted.len().min(SHOWN)).min(file.len());
    Some(Nearest { lines: (start + 1, end), text: file[start..end].join("\n") })
}

fn letter_pairs(line: &str) -> Pairs {
    let mut pairs = BTreeMap::new();
    let letters: Vec<char> = line.chars().filter(|c| !c.is_whitespace()).collect();
    for pair in letters.windows(2) {
        *pairs.entry((pair[0], pair[1])).or_insert(0) += 1;
    }
    pairs
}

/// Dice's coefficient over letter pairs, 0..=1.
fn alike(a: &Pairs, b: &Pairs) -> f32 {
    let total: i32 = a.values().sum::<i32>() + b.values().sum::<i32>();
    let common: i32 = a.iter().map(|(pair, n)| n.min(b.get(pair).unwrap_or(&0))).sum();
    if total == 0 { 0.0 } else { 2.0 * common as f32 / total as f32 }
}

#[cfg(test)]
mod tests {
    use crate::edit::nearest::nearest;

    #[test]
    fn finds_the_lines_that_were_meant() {
        let text = "fn a() {\n    one(1);\n}\n\nfn b() {\n    two(2);\n    three(3);\n}\n";
        let found = nearest(text, "fn b() {\n    two(22);\n    three(3);\n}\n").unwrap();
        assert_eq!((found.lines, found.text.as_str()), ((5, 8), "fn b() {\n    two(2);\n    three(3);\n}"));
        assert_eq!(nearest(text, "SELECT * FROM boats"), None);
    }
}
