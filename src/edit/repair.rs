//! What a model wraps its text in, taken off search and replacement together: a code fence, line numbers, surplus blank lines,
//! one layer of escapes, entities.
//!
//! Each repair is pure and knows no file; whether it was right is seen by the search standing there afterwards. A side that does
//! not show the defect is left as it is.

mod escapes;
mod fence;
mod numbers;

use crate::edit::page::Page;
use crate::edit::place::Pair;

/// An edit without what it was wrapped in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repaired {
    pub(crate) pair: Pair,
    /// The only line, from 1, that the search may be found at, where a number in it was the reason to repair.
    pub(crate) line: Option<usize>,
}

type Repair = fn(&Pair) -> Vec<Repaired>;

/// In the order in which they are tried, what is laid over the others first; one may uncover what another takes off.
const REPAIRS: [Repair; 5] = [escapes::decoded, escapes::entities, fence::off, numbers::off, without_edges];

/// The most repaired edits that are tried: each costs a few passes over the file.
const MOST: usize = 24;

/// Every edit that repairs make of this one, those first that took fewer. No repair is made twice: text is wrapped once.
pub(crate) fn all(pair: &Pair) -> Vec<Repaired> {
    let whole = Repaired { pair: pair.clone(), line: None };
    let mut found: Vec<Repaired> = Vec::new();
    let mut from = vec![(whole, [false; REPAIRS.len()])];
    while !from.is_empty() && found.len() < MOST {
        let mut next = Vec::new();
        for (before, made) in &from {
            for at in (0..REPAIRS.len()).filter(|at| !made[*at]) {
                let mut made = *made;
                made[at] = true;
                for Repaired { pair: repaired, line } in REPAIRS[at](&before.pair) {
                    let known = repaired == *pair || found.iter().any(|other| other.pair == repaired);
                    if !known && !repaired.search.trim().is_empty() {
                        let repaired = Repaired { pair: repaired, line: line.or(before.line) };
                        found.push(repaired.clone());
                        next.push((repaired, made));
                    }
                }
            }
        }
        from = next;
    }
    found.truncate(MOST);
    found
}

/// The edit with its replacement unwrapped, where the search stands in the file as it is and the replacement alone is wrapped.
/// `None`: it is not, or nothing says so.
pub(crate) fn replacement(page: &Page, pair: &Pair) -> Option<Pair> {
    let mended = |replace: String| Pair { replace, ..pair.clone() };
    fence::off_replacement(page, pair)
        .or_else(|| numbers::off_replacement(pair))
        .or_else(|| escapes::decoded_replacement(pair))
        .map(mended)
}

/// A text without one layer of escapes.
pub(crate) fn unescaped(text: &str) -> String {
    escapes::decode_all(text)
}

/// Without the blank lines around the search, and as many of the replacement's.
fn without_edges(pair: &Pair) -> Vec<Repaired> {
    let leading = |text: &str| text.lines().take_while(|line| line.trim().is_empty()).count();
    let trailing = |text: &str| text.lines().rev().take_while(|line| line.trim().is_empty()).count();
    let (before, after) = (leading(&pair.search), trailing(&pair.search));
    if before + after == 0 {
        return Vec::new();
    }
    let cut = |text: &str| {
        let (before, after) = (leading(text).min(before), trailing(text).min(after));
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let end = lines.len().saturating_sub(after).max(before);
        lines[before..end].concat()
    };
    vec![Repaired { pair: Pair { search: cut(&pair.search), replace: cut(&pair.replace) }, line: None }]
}

#[cfg(test)]
mod tests {
    use crate::edit::place::Pair;
    use crate::edit::repair::all;

    fn found(search: &str, replace: &str) -> Vec<(String, String)> {
        let pair = Pair { search: search.into(), replace: replace.into() };
        all(&pair).into_iter().map(|repaired| (repaired.pair.search, repaired.pair.replace)).collect()
    }

    fn check(search: &str, replace: &str, expected: (&str, &str)) {
        let all = found(search, replace);
        assert!(all.contains(&(expected.0.to_owned(), expected.1.to_owned())), "{all:?}");
    }

    #[test]
    fn each_wrapping_comes_off() {
        check("```rust\na();\n```\n", "```rust\nb();\n```\n", ("a();\n", "b();\n"));
        check("```\na();\n```", "b();", ("a();\n", "b();"));
        check("3: a\n4:   b\n", "3: a\n4:   c\n", ("a\n  b\n", "a\n  c\n"));
        check("    3\ta\n    4\t\n    5\tb", "a\n\nc", ("a\n\nb", "a\n\nc"));
        check("00016| {\n00017|     x\n", "00016| {\n00017|     y\n", ("{\n    x\n", "{\n    y\n"));
        check("\n\na\n\n", "\n\nb\n\n", ("a\n", "b\n"));
        check("if x:\\n    y(\\\"a\\\")", "if z:\\n    y(\\\"a\\\")", ("if x:\n    y(\"a\")", "if z:\n    y(\"a\")"));
        check("a &lt; b &amp;&amp; c", "a &gt; b", ("a < b && c", "a > b"));
    }

    #[test]
    fn wrappings_inside_each_other_come_off() {
        check("```\n1: a &lt; b\n2: c\n```", "```\n1: a\n2: c\n```", ("a < b\nc\n", "a\nc\n"));
    }

    #[test]
    fn what_is_not_wrapped_is_left_alone() {
        assert_eq!(found("a\nb\n", "c\n"), []);
        let halved: Vec<String> = found("r = \"\\\\\\\\d\"", "x").into_iter().map(|(search, _)| search).collect();
        assert!(halved.contains(&"r = \"\\\\d\"".into()) && !halved.contains(&"r = \"\\d\"".into()), "one layer: {halved:?}");
        check("f(\\\"a\\\")", "f(\"b \\\"c\\\"\")", ("f(\"a\")", "f(\"b \\\"c\\\"\")"));
        check("a &lt; b", "a < \"&lt;\"", ("a < b", "a < \"&lt;\""));
    }
}
