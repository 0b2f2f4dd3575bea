//! Indentation that a model got wrong as a whole: a map from its indents to the file's, read off the lines that match.
//!
//! Lines that the search does not show are mapped through it too: nearest known indent, plus or minus whole steps.

use std::collections::BTreeMap;

/// The blanks in front of a line.
pub fn of(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// One step of indentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Tab,
    Blanks(usize),
}

/// Wider steps are alignment, not nesting.
const WIDEST_STEP: usize = 8;

impl Unit {
    /// The step that most lines are deeper by than the line before them. `None`: the lines show none.
    pub fn of(lines: &[&str]) -> Option<Self> {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        let mut before = "";
        for line in lines.iter().filter(|line| !line.trim().is_empty()) {
            let indent = of(line);
            if let Some(deeper) = indent.strip_prefix(before).filter(|deeper| !deeper.is_empty()) {
                // Tabs are counted as steps of no blanks.
                let step = if deeper.starts_with('\t') { 0 } else { deeper.len() };
                *counts.entry(step).or_default() += usize::from(step <= WIDEST_STEP);
            }
            before = indent;
        }
        let (step, _) =
            counts.into_iter().filter(|(_, count)| *count > 0).max_by_key(|(step, count)| (*count, usize::MAX - step))?;
        Some(if step == 0 { Self::Tab } else { Self::Blanks(step) })
    }
}

/// From an indent as the model wrote it to the file's own.
#[derive(Debug, PartialEq, Eq)]
pub struct IndentMap<'a> {
    known: BTreeMap<&'a str, &'a str>,
    /// The first line alone lost its indentation, as it does where a search is trimmed: that is no shift of the others.
    first: Option<(&'a str, &'a str)>,
    /// What the lines say then, with the file's indents: the replacement may begin with any of them.
    contents: Vec<(&'a str, &'a str)>,
    scale: Scale,
}

/// How many columns of the file stand for how many that the model wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scale {
    from: usize,
    to: usize,
    tabs: bool,
}

impl<'a> IndentMap<'a> {
    /// Reads the map off pairs of (written line, file line) with equal contents, in order. `None` when one written indent stands
    /// for two of the file's, or when deeper does not stay deeper: then the lines are not one shifted block.
    pub fn read(lines: &[(&'a str, &'a str)], replacement: &str, unit: Option<Unit>) -> Option<Self> {
        let pairs: Vec<(&str, &str)> = lines.iter().filter(|(w, _)| !w.trim().is_empty()).map(|(w, f)| (of(w), of(f))).collect();
        let ((written, file), rest) = pairs.split_first()?;
        if columns(written) < columns(file)
            && !rest.is_empty()
            && let Some(known) = in_step(rest).filter(|known| known.iter().all(|(w, f)| absolute(w, f)))
        {
            let scale = Scale::of(&known, replacement, unit);
            let contents = lines.iter().map(|(_, file)| (file.trim(), of(file))).collect();
            return Some(Self { known, first: Some((written, file)), contents, scale });
        }
        let known = in_step(&pairs)?;
        let scale = Scale::of(&known, replacement, unit);
        Some(Self { known, first: None, contents: Vec::new(), scale })
    }

    /// The line of the replacement, by its index, with the indent that the file would give it.
    pub fn apply(&self, at: usize, line: &str) -> String {
        let written = of(line);
        let content = &line[written.len()..];
        if content.trim().is_empty() {
            return content.to_owned();
        }
        match self.first.filter(|(first, _)| at == 0 && *first == written) {
            Some((_, file)) => {
                let same = self.contents.iter().find(|(other, _)| *other == content.trim()).map_or(file, |(_, own)| *own);
                // A deeper one that comes first was taken out of its block.
                format!("{}{content}", if columns(same) > columns(file) { file } else { same })
            }
            None => format!("{}{content}", self.indent(written)),
        }
    }

    /// A whole replacement, line by line.
    pub fn apply_all(&self, replacement: &str) -> String {
        replacement.split('\n').enumerate().map(|(at, line)| self.apply(at, line)).collect::<Vec<_>>().join("\n")
    }

    fn indent(&self, written: &str) -> String {
        if let Some(known) = self.known.get(written) {
            return (*known).to_owned();
        }
        if let Some((_, file)) = self.first.filter(|(first, _)| *first == written) {
            return file.to_owned();
        }
        let wide = columns(written);
        let near = self.known.iter().filter(|(from, _)| columns(from) <= wide).max_by_key(|(from, _)| columns(from));
        match near.or_else(|| self.known.iter().min_by_key(|(from, _)| columns(from))) {
            Some((from, to)) if columns(from) <= wide => format!("{to}{}", self.scale.blanks(wide - columns(from))),
            Some((from, to)) => self.scale.less(to, columns(from) - wide),
            None => written.to_owned(),
        }
    }
}

/// The pairs as a map, if it is one and deeper stays deeper.
fn in_step<'a>(pairs: &[(&'a str, &'a str)]) -> Option<BTreeMap<&'a str, &'a str>> {
    let mut known = BTreeMap::new();
    for (from, to) in pairs {
        if *known.entry(*from).or_insert(*to) != *to {
            return None;
        }
    }
    let mut by_width: Vec<(usize, usize)> = known.iter().map(|(from, to)| (columns(from), columns(to))).collect();
    by_width.sort_unstable();
    by_width.dedup();
    (!by_width.windows(2).any(|w| w[0].1 >= w[1].1)).then_some(known)
}

/// Whether the two stand for the same depth, tabs counted as four columns or as eight.
fn absolute(written: &str, file: &str) -> bool {
    let with = |tab: usize, indent: &str| indent.chars().map(|c| if c == '\t' { tab } else { 1 }).sum::<usize>();
    written == file || [4, 8].iter().any(|tab| with(*tab, written) == with(*tab, file))
}

/// The columns of an indent. A tab counts as four, for comparing depths only.
fn columns(indent: &str) -> usize {
    indent.chars().map(|c| if c == '\t' { TAB } else { 1 }).sum()
}

const TAB: usize = 4;

impl Scale {
    const SAME: Self = Self { from: 1, to: 1, tabs: false };

    /// From two known depths when there are two, else from what the one known depth, the replacement and the file show.
    fn of(known: &BTreeMap<&str, &str>, replacement: &str, unit: Option<Unit>) -> Self {
        let tabs =
            known.values().any(|to| to.contains('\t')) || (known.values().all(|to| to.is_empty()) && unit == Some(Unit::Tab));
        let mut depths: Vec<(usize, usize)> = known.iter().map(|(from, to)| (columns(from), columns(to))).collect();
        depths.sort_unstable();
        let between = depths.windows(2).map(|w| (w[1].0 - w[0].0, w[1].1 - w[0].1)).filter(|(from, to)| *from > 0 && *to > 0);
        if let Some((from, to)) = between.min() {
            return Self { from, to, tabs };
        }
        let (from, to) = depths.first().copied().unwrap_or_default();
        let base = known.keys().next().copied().unwrap_or_default();
        let own = own_step(base, replacement);
        let written_in_tabs = base.contains('\t') || replacement.lines().any(|line| of(line).starts_with('\t'));
        if tabs != written_in_tabs && from > 0 && to > 0 && (from % to == 0 || to % from == 0) {
            return Self { from, to, tabs };
        }
        let wide = match unit {
            _ if tabs => TAB,
            Some(Unit::Blanks(step)) => step,
            Some(Unit::Tab) | None => own.unwrap_or(TAB),
        };
        match own {
            // Eight is a continued line in a file of fours or twos, not the model's step.
            Some(own) if own != wide && own < WIDEST_STEP => Self { from: own, to: wide, tabs },
            _ => Self { tabs, ..Self::SAME },
        }
    }

    /// Blanks of the file for columns that the model wrote.
    fn blanks(self, wide: usize) -> String {
        let to = wide * self.to / self.from;
        if self.tabs {
            return format!("{}{}", "\t".repeat(to / TAB), " ".repeat(to % TAB));
        }
        // What is no whole number of steps is alignment, and stays as wide as it was written.
        let odd = wide * self.to % self.from;
        if odd == 0 { " ".repeat(to) } else { " ".repeat(wide / self.from * self.to + wide % self.from) }
    }

    /// The file's indent `to` without what the model wrote less.
    fn less(self, to: &str, wide: usize) -> String {
        let mut kept = columns(to).saturating_sub((wide * self.to).div_ceil(self.from));
        to.chars()
            .take_while(|c| {
                let width = if *c == '\t' { TAB } else { 1 };
                let fits = kept >= width;
                kept = kept.saturating_sub(width);
                fits
            })
            .collect()
    }
}

/// The smallest step by which a line of the replacement is deeper than the known indent, or than its own shallowest line.
fn own_step(base: &str, replacement: &str) -> Option<usize> {
    let depths = replacement.lines().filter(|line| !line.trim().is_empty()).map(|line| columns(of(line)));
    let base = columns(base);
    depths.filter(|depth| *depth > base).map(|depth| depth - base).min()
}

#[cfg(test)]
mod tests {
    use crate::edit::indent::{IndentMap, Unit};

    fn check(search: &str, file: &str, replacement: &str, expected: &str) {
        let pairs: Vec<(&str, &str)> = search.lines().zip(file.lines()).collect();
        let unit = Unit::of(&file.lines().collect::<Vec<_>>());
        let map = IndentMap::read(&pairs, replacement, unit).expect("one block");
        assert_eq!(map.apply_all(replacement), expected, "{map:?}");
    }

    #[test]
    fn a_shift_carries_new_depths_along() {
        check(
            "if x:\n    a()",
            "        if x:\n            a()",
            "if x:\n    if y:\n        a()",
            "        if x:\n            if y:\n                a()",
        );
        check("         a()", "    a()", "         if x:\n             a()", "    if x:\n        a()");
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
        check("  if a {\n    b()", "\tif a {\n\t\tb()", "  if a {\n    if c {\n      b()", "\tif a {\n\t\tif c {\n\t\t\tb()");
        check("if a {\n  b()", "\tif a {\n\t\tb()", "if a {\n  b()\n}", "\tif a {\n\t\tb()\n\t}");
    }

    #[test]
    fn wider_steps_are_scaled() {
        check("    a {\n        b", "  a {\n    b", "    a {\n        c {\n            b", "  a {\n    c {\n      b");
        check("  a {\n    b", "    a {\n        b", "  a {\n    c {\n      b", "    a {\n        c {\n            b");
    }

    #[test]
    fn the_first_line_alone_may_have_lost_its_indentation() {
        check(
            "def f():\n        a()",
            "    def f():\n        a()",
            "@c\ndef f():\n            b()",
            "    @c\n    def f():\n            b()",
        );
        check(
            "def f():\n        a()",
            "\tdef f():\n\t\ta()",
            "def f():\n        if x:\n            a()",
            "\tdef f():\n\t\tif x:\n\t\t\ta()",
        );
    }

    #[test]
    fn a_first_line_that_closes_nothing_keeps_the_others() {
        check("a()\n}", "    a()\n}", "b()\n}\nc()", "    b()\n}\nc()");
        check("a()\n}", "    a()\n}", "}", "}");
        check("if x:\n        a()", "    if x:\n        a()", "a()", "    a()");
    }

    #[test]
    fn lines_that_are_no_one_block_are_refused() {
        let read = |pairs: &[(&'static str, &'static str)]| IndentMap::read(pairs, "", None);
        assert_eq!(read(&[("a", "  a"), ("b", "    b")]), None);
        assert_eq!(read(&[("a", "    a"), ("  b", "  b"), ("    c", "  c")]), None);
    }

    #[test]
    fn a_text_shows_its_step() {
        assert_eq!(Unit::of(&["a", "  b", "    c", "a", "    d"]), Some(Unit::Blanks(2)));
        assert_eq!(Unit::of(&["a", "\tb", "\t\tc"]), Some(Unit::Tab));
        assert_eq!(Unit::of(&["a", "b"]), None);
    }
}
