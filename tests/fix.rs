//! `agent fix` on three real projects: what it says, what it leaves behind, and what it never touches.

mod support;

use serde_json::{Value, json};
use std::process::Stdio;
use support::machine::{Ended, Machine, fixture, is_here};
use support::server::{Answer, Gate, Server};
use support::tree::{Moment, plant, settle};

/// A project of `tests/fixtures` with one bug.
struct Project {
    language: &'static str,
    needs: &'static str,
    issue: &'static str,
    command: &'static str,
    /// The file that is wrong.
    file: &'static str,
}

const RUST: Project = Project {
    language: "rust",
    needs: "cargo",
    issue: "Fees below one count as income\n\nA line `Bank fee -0.75` makes the balance larger.",
    command: "cargo test -q --offline",
    file: "src/money.rs",
};
const PYTHON: Project = Project {
    language: "python",
    needs: "python3",
    issue: "A short appointment within a long one frees the room too early.",
    command: "python3 -m unittest discover -s tests",
    file: "bookings/interval.py",
};
const JAVASCRIPT: Project = Project {
    language: "javascript",
    needs: "node",
    issue: "Tokens that end in `==` lose their end in queries.",
    command: "node --test",
    file: "src/query.js",
};

impl Project {
    /// A machine that has the project committed, and something on the stash. `None`: this machine cannot run its tests.
    fn machine(&self) -> Option<Machine> {
        let machine = is_here(self.needs, "--version").then(Machine::new)?;
        settle(&machine, self.language);
        machine.file("README.md", "Not now.\n");
        machine.git(&["stash", "-q"]);
        Some(machine)
    }

    fn recording(&self) -> String {
        fixture(&format!("recordings/{}.jsonl", self.language)).to_str().unwrap().to_owned()
    }

    fn turns(&self) -> Vec<Value> {
        let recording = std::fs::read_to_string(self.recording()).unwrap();
        recording.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs the tests in the user's tree and gives the exit code.
    fn tests(&self, machine: &Machine) -> Option<i32> {
        let mut shell = machine.command("sh");
        shell.args(["-c", self.command]).env("CARGO_TARGET_DIR", machine.path("target")).env("PYTHONDONTWRITEBYTECODE", "1");
        shell.output().unwrap().status.code()
    }
}

/// Fixes an issue; the answer is JSON unless the arguments say otherwise.
fn fix(machine: &Machine, issue: &str, arguments: &[&str]) -> Ended {
    let output = if arguments.contains(&"--output") { &[][..] } else { &["--output", "json"] };
    machine.agent(&[&["fix", "--issue", issue], output, arguments].concat())
}

fn call(name: &str, arguments: Value) -> Value {
    json!({"calls": [{"name": name, "arguments": arguments}]})
}

fn read(path: &str) -> Value {
    call("read", json!({"path": path}))
}

fn edit(path: &str, search: &str, replace: &str) -> Value {
    call("edit", json!({"path": path, "search": search, "replace": replace}))
}

fn done() -> Value {
    json!({"text": "Done."})
}

/// Makes the Python project's tests fail in another way than they do.
fn breaking() -> Vec<Value> {
    vec![
        read(PYTHON.file),
        edit(PYTHON.file, "    return joined", "    return joined[:1]"),
        call("write", json!({"path": "notes.txt", "content": "tried\n"})),
        done(),
    ]
}

/// Checks a result against the contract, key by key, and gives its status.
#[track_caller]
fn check_shape(result: &Value) -> &str {
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let order = ["status", "summary", "patch", "files", "test", "attempts", "steps", "tokens", "seconds", "session"];
    let (told, ranked) = (keys(result), &result["ranked"]);
    assert_eq!(told[..order.len()], order);
    if told.len() > order.len() {
        assert_eq!(told[order.len()..], ["ranked"]);
        let order = ["suspects", "candidates", "tried", "tests", "rank", "rivals", "scored", "order"];
        assert_eq!(keys(ranked), order, "{result}");
    }
    assert!(["status", "summary", "patch", "session"].iter().all(|key| result[*key].is_string()), "{result}");
    assert!(result["files"].as_array().unwrap().iter().all(Value::is_string), "{result}");
    assert!(result["attempts"].is_u64() && result["steps"].is_u64() && result["seconds"].is_f64(), "{result}");
    assert_eq!(keys(&result["tokens"]), ["prompt", "prefilled", "reused", "generated"]);
    assert!(result["tokens"].as_object().unwrap().values().all(Value::is_u64), "{result}");
    if !result["test"].is_null() {
        assert_eq!(keys(&result["test"]), ["command", "before", "after"]);
        assert!(result["test"]["command"].is_string() && result["test"]["before"].is_i64() && result["test"]["after"].is_i64());
    }
    let status = result["status"].as_str().unwrap();
    assert!(["fixed", "unfixed", "unverified", "budget", "error"].contains(&status));
    status
}

/// Checks that the project ends fixed, and that nothing but the fix reaches the user.
fn check_fixed(project: &Project, model: impl Fn(&Project) -> (Vec<String>, Option<Server>)) {
    let Some(machine) = project.machine() else { return };
    assert_ne!(project.tests(&machine), Some(0), "red before");
    let before = Moment::of(&machine.project());
    let (model, _server) = model(project);
    let ended = fix(&machine, project.issue, &model.iter().map(String::as_str).collect::<Vec<_>>());
    let result = ended.json();
    assert_eq!((check_shape(&result), ended.code), ("fixed", Some(0)), "{ended:?}");
    before.check(&machine.project(), &[project.file]);

    assert_eq!(result["files"], json!([project.file]));
    assert_eq!((&result["test"]["command"], &result["test"]["after"]), (&json!(project.command), &json!(0)));
    assert_ne!(result["test"]["before"], 0);
    let turns = project.turns();
    assert_eq!((&result["attempts"], &result["steps"]), (&json!(1), &json!(turns.len())));
    assert!(result["summary"].as_str().unwrap().contains(turns.last().unwrap()["text"].as_str().unwrap()));
    std::fs::write(machine.path("it.patch"), result["patch"].as_str().unwrap()).unwrap();
    machine.git(&["apply", "--check", "--reverse", "../it.patch"]);
    assert_eq!(project.tests(&machine), Some(0), "green after");

    let sessions = machine.agent(&["session", "list", "--json"]).json();
    assert_eq!((&sessions[0]["id"], &sessions[0]["mode"]), (&result["session"], &json!("fix")));
}

fn replayed(project: &Project) -> (Vec<String>, Option<Server>) {
    (vec!["--replay".into(), project.recording()], None)
}

fn served(project: &Project) -> (Vec<String>, Option<Server>) {
    let server = Server::playing(project.turns());
    (vec!["--endpoint".into(), server.url()], Some(server))
}

#[test]
fn rust_by_replay() {
    check_fixed(&RUST, replayed);
}

#[test]
fn rust_through_a_server() {
    check_fixed(&RUST, served);
}

#[test]
fn python_by_replay() {
    check_fixed(&PYTHON, replayed);
}

#[test]
fn python_through_a_server() {
    check_fixed(&PYTHON, served);
}

#[test]
fn javascript_by_replay() {
    check_fixed(&JAVASCRIPT, replayed);
}

#[test]
fn javascript_through_a_server() {
    check_fixed(&JAVASCRIPT, served);
}

#[test]
fn python_under_pytest() {
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(|python| {
        let asked = std::process::Command::new(python).args(["-c", "import pytest"]).output();
        asked.is_ok_and(|output| output.status.success())
    }) else {
        eprintln!("SKIPPED: no Python here has pytest");
        return;
    };
    let Some(machine) = PYTHON.machine() else { return };
    let before = Moment::of(&machine.project());
    let command = format!("{python} -m pytest -q");
    let ended = fix(&machine, PYTHON.issue, &["--replay", &PYTHON.recording(), "--test", &command]);
    assert_eq!((check_shape(&ended.json()), ended.code), ("fixed", Some(0)), "{ended:?}");
    before.check(&machine.project(), &[PYTHON.file]);
}

#[test]
fn the_projects_notes_reach_the_model_once() {
    let Some(machine) = PYTHON.machine() else { return };
    let server = Server::playing(PYTHON.turns());
    fix(&machine, PYTHON.issue, &["--endpoint", &server.url()]);
    let last = server.asked().last().unwrap().body["messages"].to_string();
    assert_eq!(last.matches("Half-open intervals everywhere").count(), 1, "{last}");
}

#[test]
fn a_patch_is_all_that_is_printed_and_the_tree_is_left_alone() {
    let Some(machine) = PYTHON.machine() else { return };
    let before = Moment::of(&machine.project());
    let ended = fix(&machine, PYTHON.issue, &["--replay", &PYTHON.recording(), "--output", "patch"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    before.check(&machine.project(), &[]);
    assert!(ended.out.starts_with("diff --git a/bookings/interval.py "), "{}", ended.out);
    std::fs::write(machine.path("it.patch"), &ended.out).unwrap();
    machine.git(&["apply", "--check", "../it.patch"]);
    machine.git(&["apply", "../it.patch"]);
    assert_eq!(PYTHON.tests(&machine), Some(0));
}

#[test]
fn a_patch_that_is_not_worth_keeping_is_not_printed_and_stderr_says_why() {
    let Some(machine) = PYTHON.machine() else { return };
    let before = Moment::of(&machine.project());
    let ended = fix(&machine, PYTHON.issue, &["--replay", &machine.replay(&breaking()), "--output", "patch"]);
    assert_eq!(ended.out, "");
    ended.check(1, "unfixed: the tests still fail");
    before.check(&machine.project(), &[]);
}

#[test]
fn a_branch_gets_the_fix_and_the_tree_is_left_alone() {
    let Some(machine) = PYTHON.machine() else { return };
    let before = Moment::of(&machine.project()).without_git();
    let head = machine.git(&["rev-parse", "HEAD"]);
    let ended = fix(&machine, PYTHON.issue, &["--replay", &PYTHON.recording(), "--branch", "fix/rooms"]);
    assert_eq!((check_shape(&ended.json()), ended.code), ("fixed", Some(0)), "{ended:?}");
    before.check(&machine.project(), &[]);
    assert_eq!(machine.git(&["rev-parse", "HEAD"]), head);
    assert_eq!(machine.git(&["rev-parse", "fix/rooms^"]), head);
    assert_eq!(machine.git(&["diff", "--name-only", "HEAD", "fix/rooms"]).trim(), PYTHON.file);
    assert_eq!(machine.git(&["status", "--porcelain"]), "");
    let again = fix(&machine, PYTHON.issue, &["--replay", &PYTHON.recording(), "--branch", "fix/rooms"]);
    again.check(2, "fix/rooms");
}

#[test]
fn a_commit_holds_the_fix_and_nothing_else() {
    let Some(machine) = PYTHON.machine() else { return };
    let head = machine.git(&["rev-parse", "HEAD"]);
    let ended = fix(&machine, PYTHON.issue, &["--replay", &PYTHON.recording(), "--commit"]);
    assert_eq!((check_shape(&ended.json()), ended.code), ("fixed", Some(0)), "{ended:?}");
    assert_eq!(machine.git(&["rev-parse", "HEAD^"]), head);
    assert_eq!(machine.git(&["show", "--format=%an %s", "--name-only"]), format!("Ann Fix: {}\n\n{}\n", subject(), PYTHON.file));
    assert_eq!(machine.git(&["status", "--porcelain"]), "");
    assert_eq!(PYTHON.tests(&machine), Some(0));
}

/// The issue's first line, as long as a subject may be.
fn subject() -> String {
    PYTHON.issue.chars().take(66).collect::<String>().trim_end().to_owned()
}

#[test]
fn in_place_the_tree_ends_fixed_or_as_it_was() {
    let Some(machine) = JAVASCRIPT.machine() else { return };
    let before = Moment::of(&machine.project());
    let broken = [read(JAVASCRIPT.file), edit(JAVASCRIPT.file, "  return found;", "  return null;"), done()];
    fix(&machine, JAVASCRIPT.issue, &["--replay", &machine.replay(&broken), "--in-place"]).check(1, "the tests still fail");
    before.check(&machine.project(), &[]);
    let ended = fix(&machine, JAVASCRIPT.issue, &["--replay", &JAVASCRIPT.recording(), "--in-place"]);
    assert_eq!((check_shape(&ended.json()), ended.code), ("fixed", Some(0)), "{ended:?}");
    before.check(&machine.project(), &[JAVASCRIPT.file]);
}

/// A project of one source whose test reads it: no interpreter is needed.
fn shelf() -> Machine {
    let machine = Machine::new();
    machine.git(&["init", "-q"]);
    machine.file("shelf.py", "def fits(books, width):\n    return sum(books) < width\n");
    machine.file("check.sh", "grep -q 'sum(books) <= width' shelf.py\n");
    machine.git(&["add", "-A"]);
    machine.git(&["commit", "-qm", "first"]);
    machine
}

#[test]
fn a_small_change_that_the_issue_names_needs_no_turn_of_a_model() {
    let machine = shelf();
    let before = Moment::of(&machine.project());
    let nothing: [Value; 0] = [];
    let silent = machine.replay(&nothing);
    for strategy in ["auto", "repair"] {
        let more = ["--test", "sh check.sh", "--replay", &silent, "--strategy", strategy, "--output", "patch"];
        let ended = fix(&machine, "fits() says `<` where `<=` is right", &more);
        assert_eq!(ended.code, Some(0), "{strategy}: {ended:?}");
        assert!(
            ended.out.ends_with("-    return sum(books) < width\n+    return sum(books) <= width\n"),
            "{strategy}: {}",
            ended.out
        );
        assert!(ended.err.contains("passing: shelf.py:2 `<` -> `<=`;"), "{strategy}: {}", ended.err);
        before.check(&machine.project(), &[]);
    }
    let more = ["--test", "sh check.sh", "--replay", &silent, "--strategy", "repair"];
    let result = fix(&machine, "fits() says `<` where `<=` is right", &more).json();
    assert_eq!((check_shape(&result), &result["ranked"]["order"], &result["attempts"]), ("fixed", &json!("words"), &json!(0)));
    before.check(&machine.project(), &["shelf.py"]);
    let log = machine.path("home/state/sessions").join(format!("{}.jsonl", result["session"].as_str().unwrap()));
    assert!(
        std::fs::read_to_string(log).unwrap().contains("passing: shelf.py:2 `<` -> `<=`;"),
        "what was tried is in the session"
    );
}

#[test]
fn predictions_are_appended_line_by_line() {
    let Some(machine) = PYTHON.machine() else { return };
    let file = machine.path("predictions.jsonl");
    for arguments in [["--output", "patch"], ["--output", "json"]] {
        let more = ["--replay", &PYTHON.recording(), "--predictions", file.to_str().unwrap()];
        assert_eq!(fix(&machine, PYTHON.issue, &[&arguments[..], &more].concat()).code, Some(0));
    }
    let written = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], lines[1]);
    let keys: Vec<_> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["instance_id", "model_name_or_path", "model_patch"]);
    assert!(lines[0]["model_patch"].as_str().unwrap().contains("+++ b/bookings/interval.py"));
}

#[test]
fn nothing_done_is_unfixed() {
    let Some(machine) = PYTHON.machine() else { return };
    let before = Moment::of(&machine.project());
    let ended = fix(&machine, PYTHON.issue, &["--replay", &machine.replay(&[done()])]);
    ended.check(1, "unfixed: nothing was changed");
    let result = ended.json();
    assert_eq!((check_shape(&result), &result["patch"], &result["files"]), ("unfixed", &json!(""), &json!([])));
    before.check(&machine.project(), &[]);
}

#[test]
fn a_break_of_another_kind_leaves_the_tree_as_it_was() {
    let Some(machine) = PYTHON.machine() else { return };
    let before = Moment::of(&machine.project());
    let ended = fix(&machine, PYTHON.issue, &["--replay", &machine.replay(&breaking())]);
    ended.check(1, "unfixed: the tests still fail");
    let result = ended.json();
    assert_eq!((check_shape(&result), &result["files"]), ("unfixed", &json!([PYTHON.file, "notes.txt"])));
    before.check(&machine.project(), &[]);
}

#[test]
fn a_change_that_no_test_vouches_for_is_kept_and_unverified() {
    let machine = Machine::new();
    plant(&machine, "python");
    std::fs::remove_dir_all(machine.project().join("tests")).unwrap();
    let before = Moment::of(&machine.project());
    let turns = PYTHON.turns();
    let ended = fix(&machine, PYTHON.issue, &["--replay", &machine.replay(&[&turns[1..3], &turns[4..]].concat())]);
    ended.check(6, "unverified: no test command is known");
    let result = ended.json();
    assert_eq!((check_shape(&result), &result["test"]), ("unverified", &Value::Null));
    before.check(&machine.project(), &[PYTHON.file]);
}

#[test]
fn tests_that_are_weakened_are_no_fix() {
    let Some(machine) = PYTHON.machine() else { return };
    let wrong = "[\"09:00-10:00 free\", \"12:00-17:00 free\"]";
    let turns = [read("tests/test_room.py"), edit("tests/test_room.py", wrong, "lines(self.room)"), done()];
    fix(&machine, PYTHON.issue, &["--replay", &machine.replay(&turns)]).check(6, "unverified: ");
}

#[test]
fn a_second_attempt_starts_over_and_knows_of_the_first() {
    let Some(machine) = PYTHON.machine() else { return };
    let before = Moment::of(&machine.project());
    let turns: Vec<Value> = breaking().into_iter().chain(PYTHON.turns()).collect();
    let ended = fix(&machine, PYTHON.issue, &["--replay", &machine.replay(&turns), "--attempts", "2"]);
    let result = ended.json();
    assert_eq!((check_shape(&result), ended.code, &result["attempts"]), ("fixed", Some(0), &json!(2)), "{ended:?}");
    before.check(&machine.project(), &[PYTHON.file]);

    let Some(machine) = PYTHON.machine() else { return };
    let server = Server::new(32_768, move |asked| Answer::Turn(turns[asked.number].clone()));
    let ended = fix(&machine, PYTHON.issue, &["--endpoint", &server.url(), "--attempts", "2"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let asked = server.asked();
    let openings: Vec<&str> = asked.iter().filter(|asked| asked.turns() == 0).map(|asked| asked.last()).collect();
    assert_eq!(openings.len(), 2);
    assert!(!openings[0].contains("An earlier attempt failed") && openings[1].contains("An earlier attempt failed"));
    assert!(openings[1].contains("bookings/interval.py (+1 -1)"), "{}", openings[1]);
}

/// A recording of an engine that writes so many turns side by side: in each round the loops' turns follow each other.
fn side_by_side(machine: &Machine, forks: u32, turns: &[Value]) -> String {
    let head = json!({"replay": 1, "forks": forks, "window": 32_768});
    let lines: Vec<String> = std::iter::once(&head).chain(turns).map(Value::to_string).collect();
    let file = machine.path("forks.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn attempts_side_by_side_end_with_the_first_that_is_verified() {
    let machine = Machine::new();
    machine.file("answer.txt", "41\n");
    for arguments in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-qm", "first"]] {
        machine.git(arguments);
    }
    let before = Moment::of(&machine.project());
    let answers = |text| edit("answer.txt", "41", text);
    let turns = [
        read("answer.txt"),
        read("answer.txt"),
        read("answer.txt"),
        answers("43"),
        answers("42\nand more"),
        answers("42"),
        // Two end in the same round, and the one with the smaller patch wins; the third is stopped.
        call("run", json!({"command": "cat answer.txt"})),
        done(),
        done(),
    ];
    let test = "grep -q 42 answer.txt";
    let options = ["--replay", &side_by_side(&machine, 3, &turns), "--attempts", "3", "--test", test, "--strategy", "loop"];
    let ended = fix(&machine, "It must be 42.", &options);
    let result = ended.json();
    assert_eq!((check_shape(&result), ended.code, &result["attempts"]), ("fixed", Some(0), &json!(3)), "{ended:?}");
    assert_eq!(machine.text("answer.txt"), "42\n", "{ended:?}");
    before.check(&machine.project(), &["answer.txt"]);
    // The third loop may have asked once more before it was stopped.
    assert!([9, 10].contains(&result["steps"].as_u64().unwrap()), "{result}");
    assert!(ended.err.contains("3 of 3 at once") && ended.err.contains("[3] edit answer.txt"), "{}", ended.err);

    let exported = machine.agent(&["session", "export", "--json", result["session"].as_str().unwrap()]).json();
    let said: Vec<&str> = exported["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(said.iter().filter(|role| **role == "system").count(), 3, "one conversation after the other: {said:?}");
    let sessions = machine.agent(&["session", "list", "--json"]).json();
    assert_eq!(sessions[0]["outcome"]["outcome"], "finished");
}

#[test]
fn a_round_that_fails_is_followed_by_one_that_knows_of_it() {
    let machine = Machine::new();
    machine.file("answer.txt", "41\n");
    for arguments in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-qm", "first"]] {
        machine.git(arguments);
    }
    let answers = |text| edit("answer.txt", "41", text);
    let failing = [read("answer.txt"), read("answer.txt"), answers("43"), answers("44"), done(), done()];
    let alone = [read("answer.txt"), answers("42"), done()];
    let turns: Vec<Value> = failing.into_iter().chain(alone).collect();
    let (recording, test) = (side_by_side(&machine, 2, &turns), "grep -q 42 answer.txt");
    let options = ["--replay", &recording, "--attempts", "3", "--test", test, "--strategy", "loop"];
    let ended = fix(&machine, "It must be 42.", &options);
    let result = ended.json();
    let steps = (&result["attempts"], &result["steps"]);
    assert_eq!((check_shape(&result), ended.code, steps), ("fixed", Some(0), (&json!(3), &json!(9))), "{ended:?}");
    let exported = machine.agent(&["session", "export", result["session"].as_str().unwrap()]);
    assert!(exported.out.contains("It changed: answer.txt (+1 -1)"), "{}", exported.out);
}

#[test]
fn a_limit_that_is_reached_is_a_budget_spent() {
    let Some(machine) = PYTHON.machine() else { return };
    let before = Moment::of(&machine.project());
    let ended = fix(&machine, PYTHON.issue, &["--replay", &PYTHON.recording(), "--max-steps", "1"]);
    ended.check(4, "budget: the limit of 1 steps is reached");
    assert_eq!(check_shape(&ended.json()), "budget");
    before.check(&machine.project(), &[]);
}

#[test]
fn a_recording_that_ends_too_soon_is_an_engines_failure() {
    let Some(machine) = PYTHON.machine() else { return };
    let before = Moment::of(&machine.project());
    let ended = fix(&machine, PYTHON.issue, &["--replay", &machine.replay(&PYTHON.turns()[..3])]);
    ended.check(3, "has no turn 4");
    assert_eq!(check_shape(&ended.json()), "error");
    before.check(&machine.project(), &[]);
}

#[test]
fn what_the_user_had_not_committed_is_worked_from_and_kept() {
    let Some(machine) = PYTHON.machine() else { return };
    machine.file("bookings/report.py", &machine.text("bookings/report.py").replace("minute // 60:02", "minute // 60:>2"));
    machine.file("tests/test_clock.py", "import unittest\n\n\nclass Clock(unittest.TestCase):\n    pass\n");
    machine.file("staged.txt", "staged\n");
    machine.git(&["add", "staged.txt"]);
    let before = Moment::of(&machine.project());
    // The change to the clock breaks the test's words: only with it undone would the recording be enough.
    let failing = fix(&machine, PYTHON.issue, &["--replay", &PYTHON.recording()]);
    failing.check(1, "the tests still fail");
    before.check(&machine.project(), &[]);
    machine.git(&["checkout", "-q", "bookings/report.py"]);
    machine.file("README.md", "half written");
    let before = Moment::of(&machine.project());
    let ended = fix(&machine, PYTHON.issue, &["--replay", &PYTHON.recording()]);
    assert_eq!((ended.code, &ended.json()["files"]), (Some(0), &json!([PYTHON.file])), "{ended:?}");
    before.check(&machine.project(), &[PYTHON.file]);
}

#[test]
fn a_project_without_git_is_fixed_all_the_same() {
    if !is_here("python3", "--version") {
        return;
    }
    let machine = Machine::new();
    plant(&machine, "python");
    let before = Moment::of(&machine.project());
    let ended = fix(&machine, PYTHON.issue, &["--replay", &PYTHON.recording(), "--branch", "x"]);
    assert_eq!((check_shape(&ended.json()), ended.code), ("error", Some(2)), "{ended:?}");
    ended.check(2, "error: ");
    before.check(&machine.project(), &[]);
    let ended = fix(&machine, PYTHON.issue, &["--replay", &PYTHON.recording()]);
    assert_eq!((check_shape(&ended.json()), ended.code), ("fixed", Some(0)), "{ended:?}");
    before.check(&machine.project(), &[PYTHON.file]);
}

#[test]
fn what_the_user_changes_meanwhile_is_not_overwritten() {
    let Some(machine) = PYTHON.machine() else { return };
    let (turns, file) = (PYTHON.turns(), machine.project().join(PYTHON.file));
    let meanwhile = format!("{}# mine\n", machine.text(PYTHON.file));
    let theirs = meanwhile.clone();
    let server = Server::new(32_768, move |asked| {
        if asked.turns() == 4 {
            std::fs::write(&file, &theirs).unwrap();
        }
        Answer::Turn(turns[asked.turns()].clone())
    });
    let ended = fix(&machine, PYTHON.issue, &["--endpoint", &server.url()]);
    ended.check(1, "error: the result (fixed) was not kept: `bookings/interval.py` was changed by someone else in the meantime");
    assert_eq!(machine.text(PYTHON.file), meanwhile);
    let saved = ended.json()["summary"]
        .as_str()
        .unwrap()
        .split("the patch is in `")
        .nth(1)
        .unwrap()
        .split('`')
        .next()
        .unwrap()
        .to_owned();
    machine.git(&["apply", "--check", &saved]);
}

#[test]
fn an_interrupt_puts_the_tree_back() {
    let Some(machine) = JAVASCRIPT.machine() else { return };
    let before = Moment::of(&machine.project());
    let (turns, edited) = (JAVASCRIPT.turns(), machine.project().join(JAVASCRIPT.file));
    let original = machine.text(JAVASCRIPT.file);
    let (asked, told) = std::sync::mpsc::channel();
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::new(32_768, move |conversation| {
        if conversation.turns() == 3 {
            asked.send(std::fs::read_to_string(&edited).unwrap()).unwrap();
            held.wait();
        }
        Answer::Turn(turns[conversation.turns()].clone())
    });
    let arguments = ["fix", "--issue", JAVASCRIPT.issue, "--output", "json", "--in-place", "--endpoint", &server.url()];
    let mut agent = machine.agent_command(&arguments);
    let child = agent.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert_ne!(told.recv().unwrap(), original, "the edit is in the tree");
    machine.command("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap());
    gate.open();
    ended.check(130, "error: interrupted");
    before.check(&machine.project(), &[]);
}
