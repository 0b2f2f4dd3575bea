//! Where edits land, how they are said to, and what is refused.

use crate::edit::place::{Edit, How, Refusal, place};
use proptest::prelude::*;

fn edit(search: &str, replace: &str) -> Edit {
    Edit { search: search.into(), replace: replace.into(), occurrence: None }
}

fn check(text: &str, search: &str, replace: &str, expected: Result<(How, &str), Refusal>) {
    let result = place(text, &edit(search, replace));
    assert_eq!(result.map(|a| (a.how, a.text)), expected.map(|(how, text)| (how, text.to_owned())), "{search:?} in {text:?}");
}

#[test]
fn exact_is_first() {
    check("x = 1 \nx = 1\n", "x = 1\n", "x = 2\n", Ok((How::Exact, "x = 1 \nx = 2\n")));
    check("a b c", "b", "B", Ok((How::Exact, "a B c")));
}

#[test]
fn trailing_blanks_do_not_matter_and_unchanged_lines_keep_theirs() {
    check("a  \nb\t\nc\n", "a\nb\n", "a\nB\n", Ok((How::TrailingBlanks, "a  \nB\nc\n")));
    check("x\nlast", "last\n", "LAST\n", Ok((How::TrailingBlanks, "x\nLAST")));
}

#[test]
fn a_shifted_block_is_given_the_indentation_of_the_file() {
    check(
        "class A:\n\tdef f(self):\n\t\treturn 1\n",
        "def f(self):\n    return 1\n",
        "def f(self):\n    if x:\n        return 2\n    return 1\n",
        Ok((How::Indentation, "class A:\n\tdef f(self):\n\t\tif x:\n\t\t\treturn 2\n\t\treturn 1\n")),
    );
    check("if a {\n    x();\n}\n", "x();", "y();\nz();", Ok((How::Exact, "if a {\n    y();\n    z();\n}\n")));
}

#[test]
fn a_rung_with_two_hits_ends_the_climb() {
    check("\tgo()\n\tgo()\n", "go()", "x", Err(Refusal::Ambiguous { lines: vec![1, 2] }));
    check("}\n}\n}\n", "}\n}\n", "}\n", Err(Refusal::Ambiguous { lines: vec![1, 2] }));
    check("\tif a {\n\t}\n  if a {\n  }\n", "if a {\n}\n", "x\n", Err(Refusal::Ambiguous { lines: vec![1, 3] }));
}

#[test]
fn an_empty_file_has_one_place() {
    check("", "", "a\n", Ok((How::Exact, "a\n")));
    check("\n", "\n", "a\n", Ok((How::Exact, "a\n")));
}

#[test]
fn many_places_are_refused_in_linear_time() {
    let lines = 200_000;
    let text = "}\n".repeat(lines);
    check(&text, "}", "]", Err(Refusal::Ambiguous { lines: (1..=lines).collect() }));
    check(&"a=1;".repeat(lines), "=1;", "", Err(Refusal::Ambiguous { lines: vec![1; lines] }));
}

#[test]
fn occurrence_picks_the_nth() {
    let nth = |n| place("a;\nb;\na;\n", &Edit { occurrence: Some(n), ..edit("a;", "c;") }).map(|a| (a.line, a.text));
    assert_eq!(nth(2), Ok((3, "a;\nb;\nc;\n".to_owned())));
    assert_eq!(nth(3), Err(Refusal::NoSuchOccurrence { asked: 3, lines: vec![1, 3] }));
    assert_eq!(nth(0), Err(Refusal::NoSuchOccurrence { asked: 0, lines: vec![1, 3] }));
}

#[test]
fn refusals_say_which() {
    check("a\n", " \n", "b", Err(Refusal::Blank));
    check("\n", "", "\n", Err(Refusal::NoChange));
    check("a\r\n", "a\r\n", "a\n", Err(Refusal::NoChange));
    check("a\nb\n", "a\nb\n", "a\n// ... existing code ...\n", Err(Refusal::Elided { mark: "// ... existing code ...".into() }));
    check("x\ntimeout = 30\n", "timeout = 3", "timeout = 5", Err(Refusal::CutsWord { line: 2 }));
    check("a\nlet count = 2;\n", "let count = 1;", "let count = 2;", Err(Refusal::AlreadyApplied { line: 2 }));
    check("a\nb\n", "a\n", "a\nb\n", Err(Refusal::AlreadyApplied { line: 1 }));
    check("    a()\n    b()\n    c()\n", "a()\nb()\n", "a()\nb()\nc()\n", Err(Refusal::AlreadyApplied { line: 1 }));
    check("timeout = 3.5\n", "timeout = 3", "timeout = 5", Err(Refusal::CutsWord { line: 1 }));
    check("a\n", "zzzz\n", "y\n", Err(Refusal::Missing { nearest: None }));
}

#[test]
fn a_whole_word_is_preferred_to_a_part_of_one() {
    check("max = 1\nx = 1\n", "x = 1", "x = 2", Ok((How::Exact, "max = 1\nx = 2\n")));
}

#[test]
fn ends_fit() {
    check("a\nb\n", "a\n", "c", Ok((How::Exact, "c\nb\n")));
    check("a\nb\n", "a", "c\n", Ok((How::Exact, "c\nb\n")));
    check("a\nb\nc", "b", "", Ok((How::Exact, "a\nc")));
    check("f(a, b)", ", b", "", Ok((How::Exact, "f(a)")));
}

#[test]
fn line_ends_and_byte_order_mark_stay() {
    check("\u{feff}a\r\nb\r\n", "a\nb\n", "a\nx\nb\n", Ok((How::Exact, "\u{feff}a\r\nx\r\nb\r\n")));
}

proptest! {
    #[test]
    fn a_unique_line_is_replaced_and_nothing_else(before in "(  [a-e]{1,6};\n){0,6}", after in "(  [a-e]{1,6};\n){0,6}") {
        let text = format!("{before}  needle;\n{after}");
        let applied = place(&text, &edit("needle;", "thread;")).unwrap();
        prop_assert_eq!(applied.text, format!("{before}  thread;\n{after}"));
    }

    #[test]
    fn nothing_that_is_placed_panics(
        text in "([abé“… \t\r\n}\"\\\\]|1: |```\n|&lt;|// [.]{3}\n){0,30}",
        search in "([abé“… \t\r\n}\"\\\\]|\\\\[né\"]|1: |```\n|&lt;|// [.]{3}\n){0,8}",
        replace in "([abé“… \t\r\n}\"\\\\]|\\\\[né\"]|1: |```\n|&lt;|// [.]{3}\n){0,12}",
    ) {
        let _ = place(&text, &edit(&search, &replace));
    }

    #[test]
    fn an_edit_is_undone_by_its_inverse(
        lines in prop::collection::vec(("[a-c]{1,3} ?", any::<bool>()), 1..12),
        (at, count) in (0usize..12, 1usize..4),
        new in prop::collection::vec("[x-z]{1,3}", 0..4),
        (bom, bare) in (any::<bool>(), any::<bool>()),
    ) {
        // Any interleaving of line ends: of the lines that the edit does not show, every byte stays.
        let ends = |(line, crlf): &(String, bool)| format!("{line}{}", if *crlf { "\r\n" } else { "\n" });
        let mut text = lines.iter().map(ends).collect::<Vec<_>>();
        let at = at.min(lines.len() - 1);
        let count = count.min(lines.len() - at);
        // A line that stands nowhere else makes the place unique.
        text[at] = text[at].replacen(lines[at].0.as_str(), "here", 1);
        let (before, after) = (text[..at].concat(), text[at + count..].concat());
        let mut whole = format!("{}{before}{}{after}", if bom { "\u{feff}" } else { "" }, text[at..at + count].concat());
        if bare {
            whole.truncate(whole.trim_end_matches(['\r', '\n']).len());
        }
        let search = text[at..at + count].concat().replace("\r\n", "\n");
        let replace = format!("there\n{}", new.iter().map(|line| format!("{line}\n")).collect::<String>());
        let Ok(there) = place(&whole, &edit(&search, &replace)) else { return Ok(()) };
        let kept = |text: &str| text.trim_end_matches(['\r', '\n']).to_owned();
        let body = there.text.strip_prefix(char::from_u32(0xfeff).unwrap()).unwrap_or(&there.text);
        prop_assert!(body.starts_with(&before));
        prop_assert!(kept(&there.text).ends_with(&kept(&after)));
        prop_assert_eq!(body.len() < there.text.len(), bom);
        prop_assert_eq!(there.text.ends_with('\n'), whole.ends_with('\n'));
        let back = place(&there.text, &edit(&replace, &search)).unwrap();
        prop_assert_eq!(back.text.replace("\r\n", "\n"), whole.replace("\r\n", "\n"));
        let mixed = whole.contains("\r\n") && whole.replace("\r\n", "").contains('\n');
        let shown = there.text.contains('\n') || !whole.contains('\n');
        prop_assert!(mixed || !shown || back.text == whole);
    }
}
