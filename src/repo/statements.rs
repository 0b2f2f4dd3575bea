//! Which lines of a text belong to one statement: what is executed together or not at all.
//!
//! A tool that tells of executed lines may tell only the first of a statement that goes over several, and none of a line that
//! merely closes something. Where it is not plain to which statement a line belongs, it belongs to the larger one.

use crate::repo::syntax::Language;
use std::ops::RangeInclusive;
use tree_sitter::{Node, Parser};

/// Larger texts are data, not code.
const LARGEST: usize = 1 << 20;
/// Nodes whose children are statements, or members of a class.
const BLOCKS: [&str; 7] = ["module", "block", "program", "statement_block", "class_body", "switch_case", "switch_default"];
/// Parts of a statement that have lines of their own and run, or not, by themselves. Of JavaScript none: its `case` is reported
/// as not executed where it was compared in vain.
const PARTS: [&str; 4] = ["elif_clause", "except_clause", "except_group_clause", "case_clause"];
/// What a compiler may jump over without a trace.
const VANISHING: [&str; 7] = [
    "pass_statement",
    "break_statement",
    "continue_statement",
    "global_statement",
    "nonlocal_statement",
    "empty_statement",
    "comment",
];

/// Gives each line of a text, from 1, the lines of the smallest statement that it belongs to as a whole; a line outside of any is
/// alone. Empty where the text is too large or cannot be parsed.
///
/// Costs one parse: about 1 ms per 20 KB of code.
pub fn extents(language: Language, text: &str) -> Vec<RangeInclusive<usize>> {
    let mut parser = Parser::new();
    if text.len() > LARGEST || parser.set_language(&language.grammar()).is_err() {
        return Vec::new();
    }
    let Some(tree) = parser.parse(text, None) else { return Vec::new() };
    let lines: Vec<&str> = text.lines().collect();
    let mut extents: Vec<RangeInclusive<usize>> = (1..=lines.len()).map(|line| line..=line).collect();
    // No recursion: a text of brackets alone is nested deeper than any stack.
    let mut cursor = tree.walk();
    // What the node stands in: a node itself knows its parent only by a search from the root.
    let mut around: Vec<&str> = Vec::new();
    loop {
        let node = cursor.node();
        if is_unit(node, around.last().copied()) {
            // From the outside in: what is inside overwrites.
            let whole = node.start_position().row + 1..=node.end_position().row + 1;
            for line in own_lines(node, &lines) {
                extents[line - 1] = whole.clone();
            }
        }
        if cursor.goto_first_child() {
            around.push(node.kind());
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return extents;
            }
            around.pop();
        }
    }
}

fn is_unit(node: Node<'_>, around: Option<&str>) -> bool {
    let inside = around.is_some_and(|kind| BLOCKS.contains(&kind));
    node.is_named() && !node.is_error() && !VANISHING.contains(&node.kind()) && (inside || PARTS.contains(&node.kind()))
}

/// The lines that a node does not share with what stands around it.
fn own_lines(node: Node<'_>, lines: &[&str]) -> RangeInclusive<usize> {
    let (start, end) = (node.start_position(), node.end_position());
    let before = lines.get(start.row).and_then(|line| line.get(..start.column)).unwrap_or("");
    let after = lines.get(end.row).and_then(|line| line.get(end.column..)).unwrap_or("");
    let first = if before.trim().is_empty() { start.row + 1 } else { start.row + 2 };
    let last = if after.trim_matches([' ', '\t', ';']).is_empty() { end.row + 1 } else { end.row };
    first..=last.min(lines.len())
}

#[cfg(test)]
mod tests {
    use crate::repo::statements::extents;
    use crate::repo::syntax::Language;

    /// The extents of all lines, as `FIRST-LAST`.
    fn check(language: Language, text: &str, expected: &str) {
        let told: Vec<String> =
            extents(language, text).iter().map(|extent| format!("{}-{}", extent.start(), extent.end())).collect();
        assert_eq!(told.join(" "), expected, "{text}");
    }

    #[test]
    fn a_statement_of_several_lines_is_one() {
        let text = "def f(x,\n      y=1):\n    return min(x,\n               y)\n\n\nA = [\n    1,\n]\n";
        check(Language::Python, text, "1-4 1-4 3-4 3-4 5-5 6-6 7-9 7-9 7-9");
        let text = "function f(x) {\n  return [\n    x,\n  ];\n}\n";
        check(Language::JavaScript, text, "1-5 2-4 2-4 2-4 1-5");
    }

    #[test]
    fn a_branch_is_apart_from_its_head() {
        let text = "if a:\n    b()\nelif c:\n    d()\nelse:\n    e()\n";
        check(Language::Python, text, "1-6 2-2 3-4 4-4 1-6 6-6");
        let text = "if (a) {\n  b();\n} else if (c) {\n  d();\n}\n";
        check(Language::JavaScript, text, "1-5 2-2 1-5 4-4 1-5");
    }

    #[test]
    fn what_shares_a_line_or_vanishes_belongs_to_the_larger_statement() {
        check(Language::Python, "if a: b()\nfor x in y:\n    continue\n", "1-1 2-3 2-3");
        check(Language::JavaScript, "switch (a) {\n  case 1: b();\n  case 2:\n    c();\n}\n", "1-5 1-5 1-5 4-4 1-5");
        check(Language::JavaScript, "f(() => {\n  a();\n  b(); }, c);\n", "1-3 2-2 1-3");
    }

    #[test]
    fn a_text_in_no_language_has_lines_all_the_same() {
        check(Language::Python, ")(\n\u{e9}\u{e9} \u{2028}\n", "1-1 2-2");
        check(Language::Python, "", "");
        let nested = "[".repeat(20_000);
        assert_eq!(extents(Language::JavaScript, &nested).len(), 1);
    }
}
