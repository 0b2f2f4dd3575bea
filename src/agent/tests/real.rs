//! The loop with the tools as they are: what the two say of one another.

use crate::agent::tests::fakes::*;
use crate::tools::Toolbox;
use serde_json::json;
use std::fs;
use std::sync::Arc;

#[test]
fn a_clipped_reading_is_continued_where_it_was_cut_and_bars_overwriting() {
    let project = tempfile::tempdir().unwrap();
    let content: String = (1..=300).map(|n| format!("word number {n}\n")).collect();
    fs::write(project.path().join("long.txt"), &content).unwrap();
    let overwrite = r#"{"path": "long.txt", "content": "gone"}"#;
    let turns = [costing(1_000, 0, read("long.txt")), call("write", overwrite), text("Done.")];
    let ran = World::new(turns).window(2_200).run_with(Arc::new(Toolbox::builtin()), project.path());

    let answer = ran.answers()[0];
    let (head, rest) = answer.split_once("\n[").unwrap_or_else(|| panic!("not clipped: {answer}"));
    let number = |line: &str| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
    let first_missing = number(head.lines().last().unwrap()) + 1;
    let last_missing = number(rest.lines().nth(1).unwrap()) - 1;
    assert!(rest.contains(&format!(r#"read with "start": {first_missing}, "end": {last_missing}"#)), "{rest:.300}");

    assert!(ran.trace().contains("calling:write") && !ran.trace().contains("called:write:ok"), "{}", ran.trace());
    assert_eq!(fs::read_to_string(project.path().join("long.txt")).unwrap(), content);
}

#[test]
fn refused_calls_are_told_what_there_is_and_what_is_taken() {
    let project = tempfile::tempdir().unwrap();
    let turns = [call("open_the_file", r#"{"path": "a"}"#), call("read", r#"{"file": "a"}"#), text("Done.")];
    let ran = World::new(turns).run_with(Arc::new(Toolbox::builtin()), project.path());
    for tool in ["read", "search", "symbols", "edit", "write", "run"] {
        assert!(ran.answers()[0].contains(tool), "{}", ran.answers()[0]);
    }
    assert!(ran.answers()[1].contains("path") && ran.answers()[1].contains("start"), "{}", ran.answers()[1]);
}

#[test]
fn a_file_that_was_read_may_be_edited_in_the_same_run() {
    let project = tempfile::tempdir().unwrap();
    fs::write(project.path().join("a.txt"), "one\ntwo\n").unwrap();
    let edit = || call("edit", r#"{"path": "a.txt", "search": "two", "replace": "three"}"#);
    let turns = [edit(), read("a.txt"), edit(), text("Done.")];
    let ran = World::new(turns).run_with(Arc::new(Toolbox::builtin()), project.path());
    assert!(ran.trace().ends_with("turn3 calling:edit called:edit:ok turn4 done:finished"), "{}", ran.trace());
    assert!(!ran.trace().starts_with("turn1 calling:edit called:edit:ok"), "{}", ran.trace());
    assert_eq!(fs::read_to_string(project.path().join("a.txt")).unwrap(), "one\nthree\n");
}

#[test]
fn a_micro_models_calls_are_held_to_what_is_there() {
    let project = tempfile::tempdir().unwrap();
    fs::write(project.path().join("a.py"), "def f(a, b):\n    return a < b\n").unwrap();
    let turns = [
        call("read", r#"{"path": "a.py", "start": 2}"#),
        call("run", r#"{"command": "touch elsewhere"}"#),
        call("edit", r#"{"path": "a.py", "search": "return a < b", "replace": "return a <= b"}"#),
        call("run", r#"{"command": "grep -q '<=' a.py"}"#),
        text("Done."),
    ];
    let world = World { micro: Some("grep -q '<=' a.py"), ..World::new(turns) };
    let ran = world.window(1_024).run_with(Arc::new(Toolbox::builtin()), project.path());
    assert!(
        ran.trace().ends_with("calling:edit called:edit:ok turn4 calling:run called:run:ok turn5 done:finished"),
        "{}",
        ran.trace()
    );
    assert!(ran.trace().contains("turn2 called:run:denied") && !project.path().join("elsewhere").exists(), "{}", ran.trace());

    let offered = |turn: usize| ran.requests[turn].tools.iter().map(|card| card.name.as_str()).collect::<Vec<_>>();
    assert_eq!(offered(0), ["read", "search", "run"], "nothing was shown that could be edited");
    assert_eq!(offered(1), ["read", "search", "edit", "run"]);
    let held =
        |turn: usize, tool: usize, name: &str| ran.requests[turn].tools[tool].parameters["properties"][name]["enum"].clone();
    assert_eq!(held(0, 0, "path"), json!(["a.py"]));
    assert_eq!(held(1, 2, "search"), json!(["return a < b"]), "the line that was not shown is left out");
    assert_eq!(held(3, 2, "search"), json!(["return a <= b"]), "what it wrote itself it knows");
    assert_eq!(held(0, 2, "command"), json!(["grep -q '<=' a.py"]));
}
