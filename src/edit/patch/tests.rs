//! Patches in both formats, and the places of their hunks.

use crate::edit::patch::{FileChange, Hunk, Line, PatchError, Side, apply, parse};
use crate::edit::place::Refusal;
use proptest::prelude::*;

fn hunk(lines: &str) -> Hunk {
    let line = |line: &str| Line {
        side: match &line[..1] {
            "-" => Side::Old,
            "+" => Side::New,
            _ => Side::Both,
        },
        text: line[1..].to_owned(),
    };
    Hunk { lines: lines.lines().map(line).collect(), ..Hunk::default() }
}

fn update(path: &str, hunks: Vec<Hunk>) -> FileChange {
    FileChange::Update { path: path.into(), to: None, hunks }
}

#[test]
fn both_formats_say_the_same() {
    let change = hunk(" a\n-b\n+c");
    let begin = "*** Begin Patch\n*** Update File: x.rs\n@@\n a\n-b\n+c\n*** End Patch";
    let expected = Ok(vec![update("x.rs", vec![change.clone()])]);
    assert_eq!(parse(begin), expected);
    assert_eq!(parse(&begin.replace('\n', "\\n")), expected, "one layer of escapes too many");
    assert_eq!(parse("*** Update File: x.rs\n@@\n a\n-b\n+c\n"), expected, "the markers around it left out");
    let headed = "*** Begin Patch\n*** Update File: x.rs\n--- a/x.rs\n+++ b/x.rs\n@@\n a\n-b\n+c\n*** End Patch";
    assert_eq!(parse(headed), expected, "headers of the other format inside");
    let unified = parse(
        "```diff\n--- a/x.rs\t2026-01-01\n+++ b/x.rs\n@@ -7,2 +8,2 @@ fn f() {\n a\n-b\n+c\n\\ No newline at end of file\n```\n",
    );
    let stated = Hunk { stated: Some((7, 8)), bare_ends: (false, true), ..change };
    assert_eq!(unified, Ok(vec![update("x.rs", vec![stated])]));
    let wrapped = parse("*** Begin Patch\n--- a/x.rs\n+++ b/x.rs\n@@\n a\n-b\n+c\n*** End Patch");
    assert_eq!(wrapped, expected, "one format in the markers of the other");
}

#[test]
fn files_are_added_deleted_and_moved() {
    let expected = |content: Option<&str>| {
        vec![
            FileChange::Add { path: "n".into(), content: "one\n\n".into() },
            FileChange::Delete { path: "d".into(), content: content.map(str::to_owned) },
            FileChange::Update { path: "m".into(), to: Some("k".into()), hunks: Vec::new() },
        ]
    };
    let text =
        "*** Begin Patch\n*** Add File: n\n+one\n+\n\n*** Delete File: d\n*** Update File: m\n*** Move to: k\n*** End Patch\n";
    assert_eq!(parse(text), Ok(expected(None)));
    let text = "--- /dev/null\n+++ b/n\n@@ -0,0 +1,2 @@\n+one\n+\n--- a/d\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n--- a/m\n+++ b/k\n";
    assert_eq!(parse(text), Ok(expected(Some("x\n"))));
    let text = "diff --git a/m b/k\nsimilarity index 100%\nrename from m\nrename to k\ndiff --git a/e b/e\nnew file mode 100644\nindex 0..e\n";
    let empty = FileChange::Add { path: "e".into(), content: String::new() };
    assert_eq!(parse(text), Ok(vec![expected(None).remove(2), empty]));
}

#[test]
fn what_is_no_whole_patch_is_refused() {
    assert_eq!(parse("please change x"), Err(PatchError::NoPatch));
    assert_eq!(parse("*** Begin Patch\n*** Update File: x\n@@\n-a\n+"), Err(PatchError::CutOff));
    let binary = "diff --git a/m b/m\nindex 1..2\nBinary files a/m and b/m differ\n";
    assert_eq!(parse(binary), Err(PatchError::NoLines("diff --git a/m b/m".into())));
    assert_eq!(parse("*** Begin Patch\n-a\n*** End Patch"), Err(PatchError::NoPatch));
    assert_eq!(parse("*** Begin Patch\n-a\n*** Delete File: b\n*** End Patch"), Err(PatchError::Stray("-a".into())));
    assert_eq!(parse("*** Begin Patch\n*** Update File: x\n*** End Patch"), Err(PatchError::Empty("x".into())));
}

const CLASSES: &str =
    "class A:\n    def f():\n        return 1\nclass B:\n    def f():\n        return 1\n    def g():\n        return 2\n";

fn check(text: &str, hunk: &Hunk, expected: Result<&str, Refusal>) {
    let result = apply(text, std::slice::from_ref(hunk)).map_err(|one| one.why);
    assert_eq!(result, expected.map(str::to_owned), "{hunk:?}");
}

#[test]
fn scope_and_line_decide_between_equals() {
    let change = hunk("-        return 1\n+        return 3");
    let second = CLASSES.replace("return 1\n    def g", "return 3\n    def g");
    let scope = |scope: &[&str]| Hunk { scope: scope.iter().map(|s| (*s).to_owned()).collect(), ..change.clone() };
    let both = || Err(Refusal::Ambiguous { lines: vec![3, 6] });
    check(CLASSES, &change, both());
    check(CLASSES, &Hunk { stated: Some((6, 9)), ..change.clone() }, Ok(&second));
    check(CLASSES, &Hunk { stated: Some((5, 6)), ..change.clone() }, both());
    check(CLASSES, &scope(&["class B:", "def f():"]), Ok(&second));
    check(CLASSES, &scope(&["class B"]), Ok(&second));
    check(CLASSES, &scope(&["def f():"]), both());
    check(CLASSES, &scope(&["class C:"]), Err(Refusal::Missing { nearest: None }));
    check(CLASSES, &scope(&["def g():"]), both());
}

#[test]
fn a_hunk_above_its_header_is_another_one() {
    let change = Hunk { scope: vec!["class B:".into()], ..hunk(" class A:\n-    def f():\n+    def h():") };
    check(CLASSES, &change, Err(Refusal::Missing { nearest: None }));
}

#[test]
fn additions_go_below_their_header_or_to_the_end() {
    let added = hunk("+    new");
    check("a\nb\n", &added, Err(Refusal::Blank));
    check("a\nb\n", &Hunk { scope: vec!["a".into()], ..added.clone() }, Ok("a\n    new\nb\n"));
    check("a\nb", &Hunk { scope: vec!["b".into()], ..added.clone() }, Ok("a\nb\n    new"));
    check("a\nb\n", &Hunk { at_end: true, ..added.clone() }, Ok("a\nb\n    new\n"));
    check("b\nb\n", &Hunk { scope: vec!["b".into()], ..added }, Err(Refusal::Ambiguous { lines: vec![1, 2] }));
    check("a\nb\na\n", &Hunk { at_end: true, ..hunk("-a\n+A") }, Ok("a\nb\nA\n"));
}

#[test]
fn blanks_that_mark_lines_may_be_lost_or_doubled() {
    check("    a\n    b\n    c\n", &hunk("    a\n-    b\n+    B\n    c"), Ok("    a\n    B\n    c\n"));
    check("a\nb\nc\n", &hunk(" a\n- b\n+ B\n c"), Ok("a\nB\nc\n"));
}

#[test]
fn the_final_newline_changes_only_when_a_hunk_says_so() {
    let change = hunk(" a\n-b\n+b");
    check("a\nb", &Hunk { bare_ends: (true, false), ..change.clone() }, Ok("a\nb\n"));
    check("a\r\nb\r\n", &Hunk { bare_ends: (false, true), ..change.clone() }, Ok("a\r\nb"));
    check("a\nb", &change, Err(Refusal::NoChange));
    check("a\nb", &hunk(" a\n-b\n+c"), Ok("a\nc"));
    check("a\nb\nc\n", &Hunk { bare_ends: (true, false), ..hunk("-b\n+b") }, Err(Refusal::Missing { nearest: None }));
}

/// Writes changes in the first format, as a model would.
fn print(changes: &[FileChange]) -> String {
    let mut text = String::from("*** Begin Patch\n");
    for change in changes {
        match change {
            FileChange::Add { path, content } => {
                text += &format!("*** Add File: {path}\n");
                content.lines().for_each(|line| text += &format!("+{line}\n"));
            }
            FileChange::Delete { path, .. } => text += &format!("*** Delete File: {path}\n"),
            FileChange::Update { path, to, hunks } => {
                text += &format!("*** Update File: {path}\n");
                to.iter().for_each(|to| text += &format!("*** Move to: {to}\n"));
                hunks.iter().for_each(|hunk| text += &printed(hunk));
            }
        }
    }
    text + "*** End Patch\n"
}

fn printed(hunk: &Hunk) -> String {
    let mut text = if hunk.scope.is_empty() { "@@\n".to_owned() } else { String::new() };
    hunk.scope.iter().for_each(|scope| text += &format!("@@ {scope}\n"));
    for line in &hunk.lines {
        let sign = match line.side {
            Side::Both => ' ',
            Side::Old => '-',
            Side::New => '+',
        };
        text += &format!("{sign}{}\n", line.text);
    }
    text + if hunk.at_end { "*** End of File\n" } else { "" }
}

fn any_change() -> impl Strategy<Value = FileChange> {
    let line = "[ -~]{0,12}";
    let lines = prop::collection::vec((prop_oneof![Just(Side::Both), Just(Side::Old), Just(Side::New)], line), 1..5);
    let lines = lines.prop_map(|lines| lines.into_iter().map(|(side, text)| Line { side, text }).collect::<Vec<_>>());
    let hunk = (prop::collection::vec("def [a-z]{1,4}", 0..3), lines, any::<bool>());
    let hunk = hunk.prop_map(|(scope, lines, at_end)| Hunk { scope, lines, at_end, ..Hunk::default() });
    let path = "[a-z]{1,5}/[a-z]{1,5}";
    prop_oneof![
        (path, prop::collection::vec("[a-z]{1,9}", 0..4))
            .prop_map(|(path, lines)| FileChange::Add { path, content: lines.iter().map(|line| format!("{line}\n")).collect() }),
        path.prop_map(|path| FileChange::Delete { path, content: None }),
        (path, prop::option::of(path), prop::collection::vec(hunk, 1..4)).prop_map(|(path, to, hunks)| FileChange::Update {
            path,
            to,
            hunks
        }),
    ]
}

proptest! {
    #[test]
    fn a_patch_parses_from_its_print(changes in prop::collection::vec(any_change(), 1..4)) {
        prop_assert_eq!(parse(&print(&changes)), Ok(changes));
    }

    #[test]
    fn no_text_panics(text in "(\\*\\*\\* (Begin Patch|End Patch|Update File: a|Add File: b|End of File)|@@( a)?|--- a|\\+\\+\\+ b|[-+ ][ab]?|\\\\|diff --git a/a b/b)(\n(\\*\\*\\* (Begin Patch|End Patch|Update File: a|Add File: b|End of File)|@@( a)?|--- a|\\+\\+\\+ b|[-+ ][ab]?|\\\\)){0,9}") {
        for change in parse(&text).into_iter().flatten() {
            if let FileChange::Update { hunks, .. } = change {
                let _ = apply("a\nb\na\n", &hunks);
            }
        }
    }
}
