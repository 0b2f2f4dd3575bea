//! Listings as they are shown; every change can be carried out by whoever reads it.

use crate::path::RepoPath;
use crate::repair::Passage;
use crate::repair::notation::{OPERATORS, apply, change, listing, parse};
use crate::repo::syntax::Language;
use proptest::prelude::*;

fn passage(path: &str, text: &str) -> Passage {
    let path: RepoPath = serde_json::from_value(path.into()).unwrap();
    Passage { path, language: Language::Python, first: 1, lines: text.lines().map(Into::into).collect() }
}

#[track_caller]
fn check(old: &str, new: &str, expected: &str) {
    assert_eq!(change(7, old, new), format!("7|{expected}"));
}

#[test]
fn a_listing_has_one_count_of_lines_and_each_passage_its_own_indentation() {
    let passages = [passage("a/b.py", "    def f(x):\n        return x\n\n    # end"), passage("c.py", "\tif y:\n\t\tpass")];
    assert_eq!(listing(&passages), "a/b.py\n1|def f(x):\n2|    return x\n3|\n4|# end\n\nc.py\n5|if y:\n6|\tpass");
    assert_eq!(listing(&[]), "");
}

#[test]
fn mixed_indentation_is_cut_only_where_all_lines_agree() {
    assert_eq!(listing(&[passage("a.py", "\u{3000}é\n\u{3000}\tb")]), "a.py\n1|é\n2|\tb");
    assert_eq!(listing(&[passage("a.py", "\ta\n    b\n  ")]), "a.py\n1|\ta\n2|    b\n3|");
}

#[test]
fn a_change_names_the_token_that_differs() {
    check("    if a < b:", "    if a <= b:", "`<` -> `<=`");
    check("x = total - 10", "x = total - 11", "`10` -> `11`");
    check("return first(items)", "return last(items)", "`first` -> `last`");
    check("if (a === b) {", "if (a !== b) {", "`===` -> `!==`");
    check("f(a, b)", "f(b, a)", "`a, b` -> `b, a`");
}

#[test]
fn what_comes_or_goes_is_told_with_its_neighbour() {
    check("if done:", "if not done:", "`done` -> `not done`");
    check("    return x", "    x", "`return x` -> `x`");
    check("let a = b()?;", "let a = b();", "`)?` -> `)`");
    check("if a > b {", "if a > b - 1 {", "`b` -> `b - 1`");
    check("for i := 1; i < len(x); i++ {", "for i := 1; i < len(x)-1; i++ {", "`)` -> `)-1`");
    check("if !a {", "if a {", "`!a` -> `a`");
    check("if a {", "if !a {", "`a` -> `!a`");
    check("g(n)", "g(n - 1)", "`n` -> `n - 1`");
    check("g(n - 1)", "g(n)", "`n - 1` -> `n`");
    check("a +b", "a - b", "`+b` -> `- b`");
    check("a b", "a", "`a b` -> `a`");
}

#[test]
fn what_occurs_twice_is_told_with_its_neighbour() {
    check("if a < b and b < c:", "if a <= b and b < c:", "`< b` -> `<= b`");
    check("items[i]", "items[i - 1]", "`[i` -> `[i - 1`");
    check("x = x", "x = y", "`= x` -> `= y`");
    check("a < b <= c", "a > b <= c", "`< b` -> `> b`");
}

#[test]
fn a_model_s_own_change_is_read_and_carried_out() {
    assert_eq!(parse("\n 12|`a < b` -> `a <= b`\nbecause"), Some((12, "a < b", "a <= b")));
    assert_eq!(parse("3|`x` -> ``"), Some((3, "x", "")));
    for text in ["", "3", "3|x -> y", "x|`a` -> `b`", "3|`` -> `b`", "3|`a` `b`", "3|`"] {
        assert_eq!(parse(text), None, "{text}");
    }
    assert_eq!(apply("  a < b", "<", "<="), Some("  a <= b".into()));
    assert_eq!(apply("a < b < c", "<", "<="), None, "twice");
    assert_eq!(apply("aaa", "aa", "b"), None, "twice, one over the other");
    assert_eq!(apply("a", "b", "c"), None, "never");
    assert_eq!(apply("a", "", "c"), None, "nothing");
}

#[test]
fn no_operator_hides_a_longer_one() {
    for (i, op) in OPERATORS.iter().enumerate() {
        assert!(!OPERATORS[..i].iter().any(|earlier| op.starts_with(earlier)), "{op}");
    }
}

/// Few different pieces, so that they often occur twice.
const LINE: &str = r"[\t ]{0,4}(a|b|ab|1|12|<|<=|<<|\+|not|é|`|\(|\)|,| |  ){1,9}";

proptest! {
    #[test]
    fn a_change_leads_from_the_old_line_to_the_new_one(old in LINE, new in LINE, same in r"(a|b| |\)){0,3}") {
        let (old, new) = (format!("{old}{same}"), format!("{new}{same}"));
        prop_assume!(old != new && !old.trim().is_empty() && !new.trim().is_empty());
        let told = change(3, &old, &new);
        let sides = told.strip_prefix("3|`").and_then(|rest| rest.strip_suffix('`')).unwrap();
        // A backquote within may make the arrow ambiguous to a reader, never to the writer.
        let told_so = sides.match_indices("` -> `").any(|(at, arrow)| {
            let (wrong, right) = (&sides[..at], &sides[at + arrow.len()..]);
            !right.is_empty() && apply(&old, wrong, right).as_ref() == Some(&new)
        });
        prop_assert!(told_so, "{told}");
    }
}
