//! Indentation that a model got wrong as a whole: a map from its indents to the file's, read off the lines that match.
//!
//! Lines that the search does not show are mapped through it too: nearest known indent, plus or minus whole steps.

use std::collections::BTreeMap;

/// The blanks in front of a line.
pub fn of(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// From an indent as the model wrote it to the file's own.
#[derive(Debug, PartialEq, Eq)]
pub struct IndentMap<'a> {
    pairs: BTreeMap<&'a str, &'a str>,
    /// One step deeper, as the model and as the file write it.
    step: (String, String),
}

impl<'a> IndentMap<'a> {
    /// Reads the map off pairs of (written line, file line) with equal contents. `None` when one written indent stands for
    /// two of the file's, or when deeper does not stay deeper: then the lines are not one shifted block.
    pub fn read(lines: &[(&'a str, &'a str)], replacement: &str) -> Option<Self> {
        let mut pairs: BTreeMap<&str, &str> = BTreeMap::new();
        for (written, file) in lines.iter().filter(|(w, _)| !w.trim().is_empty()) {
            let (from, to) = (of(written), of(file));
            if *pairs.entry(from).or_insert(to) != to {
                return None;
            }
        }
        let mut by_width: Vec<(usize, usize)> = pairs.iter().map(|(f, t)| (width(f), width(t))).collect();
        by_width.sort_unstable();
        by_width.dedup();
        if by_width.windows(2).any(|w| w[0].1 >= w[1].1) {
            return None;
        }
        let step = step(&pairs, replacement);
        Some(Self { pairs, step })
    }

    /// The line with the indent that the file would give it.
    pub fn apply(&self, line: &str) -> String {
        let written = of(line);
        let content = &line[written.len()..];
        if content.trim().is_empty() {
            return content.to_owned();
        }
        format!("{}{content}", self.indent(written))
    }

    fn indent(&self, written: &str) -> String {
        if let Some(known) = self.pairs.get(written) {
            return (*known).to_owned();
        }
        let (from, to) = &self.step;
        let deeper = self.pairs.iter().filter(|(known, _)| written.starts_with(**known)).max_by_key(|(known, _)| known.len());
        if let Some((known, base)) = deeper {
            let extra = &written[known.len()..];
            let steps = extra.len() / from.len().max(1);
            let rest = if from == to {
                &extra[(steps * from.len()).min(extra.len())..]
            } else {
                &extra[..extra.len() % from.len().max(1)]
            };
            return format!("{base}{}{rest}", to.repeat(steps));
        }
        let Some((known, base)) = self.pairs.iter().min_by_key(|(known, _)| known.len()) else { return written.to_owned() };
        let steps = known.len().saturating_sub(written.len()).div_ceil(from.len().max(1));
        base[..base.len().saturating_sub(steps * to.len())].to_owned()
    }
}

/// Tabs count as four, for comparing depths only.
fn width(indent: &str) -> usize {
    indent.chars().map(|c| if c == '\t' { 4 } else { 1 }).sum()
}

/// What one step is on each side: from two known depths when there are two, else from what the one known depth and the replacement show.
fn step(pairs: &BTreeMap<&str, &str>, replacement: &str) -> (String, String) {
    let mut known: Vec<(&str, &str)> = pairs.iter().map(|(f, t)| (*f, *t)).collect();
    known.sort_unstable_by_key(|(f, _)| f.len());
    let between = known.windows(2).filter_map(|w| Some((w[1].0.strip_prefix(w[0].0)?, w[1].1.strip_prefix(w[0].1)?)));
    if let Some((from, to)) = between.filter(|(f, t)| !f.is_empty() && !t.is_empty()).min_by_key(|(f, _)| f.len()) {
        return (from.to_owned(), to.to_owned());
    }
    let (from, to) = known.first().copied().unwrap_or_default();
    let (from_tabs, to_tabs) = (from.contains('\t'), to.contains('\t'));
    if !from.is_empty() && !to.is_empty() && from_tabs != to_tabs {
        let tabs = if from_tabs { from.len() } else { to.len() };
        let blanks = if from_tabs { to.len() } else { from.len() };
        let blank = " ".repeat((blanks / tabs.max(1)).max(1));
        return if from_tabs { ("\t".into(), blank) } else { (blank, "\t".into()) };
    }
    let depths = replacement.lines().filter(|l| !l.trim().is_empty()).map(of);
    let smallest = depths.filter_map(|d| d.strip_prefix(from)).filter(|d| !d.is_empty()).min_by_key(|d| d.len());
    let from_step = smallest.unwrap_or("    ").to_owned();
    let to_step = if to_tabs && from_step.starts_with(' ') { "\t".to_owned() } else { from_step.clone() };
    (from_step, to_step)
}

#[cfg(test)]
mod tests {
    use crate::edit::indent::IndentMap;

    fn check(search: &str, file: &str, replacement: &str, expected: &str) {
        let pairs: Vec<(&str, &str)> = search.lines().zip(file.lines()).collect();
        let map = IndentMap::read(&pairs, replacement).expect("one block");
        let mapped: Vec<String> = replacement.lines().map(|l| map.apply(l)).collect();
        assert_eq!(mapped.join("\n"), expected);
    }

    #[test]
    fn a_shift_carries_new_depths_along() {
        check(
            "if x:\n    a()",
            "        if x:\n            a()",
            "if x:\n    if y:\n        a()",
            "        if x:\n            if y:\n                a()",
        );
        check("    a()", "  a()", "    if x:\n      a()", "  if x:\n    a()");
    }

    #[test]
    fn blanks_become_tabs_and_back() {
        check(
            "    if a {\n        b()",
            "\tif a {\n\t\tb()",
            "    if a {\n        if c {\n            b()",
            "\tif a {\n\t\tif c {\n\t\t\tb()",
        );
        check("\ta()", "    a()", "\ta()\n\t\tb()", "    a()\n        b()");
        check("        a()", "\ta()", "        a()\n    b()", "\ta()\nb()");
    }

    #[test]
    fn wider_steps_are_scaled() {
        check("    a {\n        b", "  a {\n    b", "    a {\n        c {\n            b", "  a {\n    c {\n      b");
    }

    #[test]
    fn lines_that_are_no_one_block_are_refused() {
        assert_eq!(IndentMap::read(&[("a", "  a"), ("b", "    b")], ""), None);
        assert_eq!(IndentMap::read(&[("a", "    a"), ("  b", "  b")], ""), None);
    }
}
