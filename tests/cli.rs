//! The program from outside: what goes to which stream, and how it ends. The model is a recording.

mod support;

use serde_json::Value;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use support::machine::{Ended, Machine};

/// A machine whose project holds a file of two lines.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.file("a.txt", "one\ntwo\n");
    machine
}

const READ: &str = r#"{"calls":[{"name":"read","arguments":{"path":"a.txt"}}]}"#;
const EDIT: &str = r#"{"calls":[{"name":"edit","arguments":{"path":"a.txt","search":"two","replace":"three"}}]}"#;

#[test]
fn help_is_an_answer_and_misuse_is_not() {
    let machine = machine();
    let help = machine.agent(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    assert!(help.out.contains("agent [OPTIONS]") && help.out.contains("fix"), "{}", help.out);
    for arguments in [
        &[][..],
        &["nosuch"],
        &["fix"],
        &["fix", "--issue", "x", "--strategy", "nosuch"],
        &["run", "x", "--output", "pdf"],
        &["doctor", "-c", "modle=1"],
        &["tool", "nosuch"],
    ] {
        let misuse = machine.agent(arguments);
        assert_eq!((misuse.code, misuse.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!misuse.err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn without_a_model_the_error_names_what_would_help() {
    let ended = machine().agent(&["run", "do it"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(3), ""));
    assert!(
        ended.err.contains("error: no model") && ended.err.contains("hint: ") && ended.err.contains("--endpoint"),
        "{}",
        ended.err
    );
}

#[test]
fn a_map_needs_no_model_and_keeps_to_its_budget() {
    let machine = machine();
    machine.file("cart.py", "def cart_total(cart):\n    return 0\n");
    machine.file("mail.py", "from cart import cart_total\n\ndef send(cart):\n    return cart_total(cart)\n");
    let map = machine.agent(&["map"]);
    assert_eq!(map.code, Some(0), "{}", map.err);
    assert_eq!(map.out, "cart.py:\n 1 def cart_total(cart):\nmail.py:\n 3 def send(cart):\na.txt\n");
    let asked = machine.agent(&["map", "--query", "send mail", "--tokens", "10", "--output", "json"]);
    let asked: Value = serde_json::from_str(&asked.out).unwrap();
    assert_eq!((&asked["text"], &asked["exact"]), (&"mail.py:\n 3 def send(cart):\n".into(), &false.into()));
    assert_eq!((&asked["budget"], &asked["files"]["shown"], &asked["files"]["indexed"]), (&10.into(), &1.into(), &3.into()));
    let focused = machine.agent(&["map", "--focus", "mail.py"]);
    assert!(focused.out.starts_with("cart.py:") && !focused.out.contains("mail.py"), "{}", focused.out);
    assert_eq!(machine.agent(&["map", "--focus", "../elsewhere"]).code, Some(2));
}

#[test]
fn a_task_ends_with_the_models_words_on_stdout_alone() {
    let machine = machine();
    let turns = machine.replay(&[READ, EDIT, r#"{"text":"It says three now."}"#]);
    let ended = machine.agent(&["run", "make it three", "--replay", &turns]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "It says three now.\n"), "{}", ended.err);
    assert_eq!(ended.err, "read a.txt\nedit a.txt\n");
    assert_eq!(std::fs::read_to_string(machine.project().join("a.txt")).unwrap(), "one\nthree\n");

    let list = machine.agent(&["session", "list", "--json"]).json();
    assert_eq!((list[0]["title"].as_str(), list[0]["mode"].as_str()), (Some("make it three"), Some("run")), "{list}");
    let shown = machine.agent(&["session", "show", list[0]["id"].as_str().unwrap()]);
    assert!(shown.out.contains("It says three now."), "{}", shown.out);
}

#[test]
fn events_are_lines_of_json_and_the_last_tells_the_outcome() {
    let machine = machine();
    let turns = machine.replay(&[READ, r#"{"text":"Done."}"#]);
    let ended = machine.agent(&["run", "look", "--output", "events", "--replay", &turns]);
    let events: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = events.iter().filter_map(|event| event["event"].as_str()).filter(|kind| *kind != "delta").collect();
    assert_eq!(kinds, ["turn", "calling", "called", "turn", "done"]);
    assert_eq!(events.last().unwrap()["outcome"]["outcome"], "finished");
}

#[test]
fn each_way_to_end_has_its_exit_code() {
    let machine = machine();
    let check = |turns: &[&str], arguments: &[&str], expected: i32| {
        let replay = machine.replay(turns);
        let ended = machine.agent(&[&["run", "task", "--replay", &replay, "--output", "json"], arguments].concat());
        assert_eq!(ended.code, Some(expected), "{turns:?} {arguments:?}: {ended:?}");
        assert!(ended.json()["outcome"].is_string());
    };
    check(&[READ, r#"{"text":"Done."}"#], &[], 0);
    check(&[r#"{"text":""}"#, r#"{"text":""}"#], &[], 1);
    check(&[READ], &[], 3);
    check(&[r#"{"error":{"kind":"lost"}}"#], &[], 3);
    check(&[READ, r#"{"text":"Done."}"#], &["--max-steps", "1"], 4);
    check(&[READ, EDIT, r#"{"text":"Done."}"#], &["--approve", "reads"], 5);
}

#[test]
fn a_tool_reads_its_arguments_from_the_line_or_from_stdin() {
    let machine = machine();
    let ended = machine.agent(&["tool", "read", r#"{"path":"a.txt"}"#]);
    let answer = ended.json();
    assert_eq!((ended.code, answer["ok"].as_bool()), (Some(0), Some(true)));
    let keys: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["ok", "text", "error", "changes"]);

    let mut child = machine.agent_command(&["tool", "read"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(br#"{"path":"../a.txt"}"#).unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.json()["error"]["kind"].as_str()), (Some(1), Some("outside")));
}

#[test]
fn the_prompt_is_counted_without_a_model_and_says_that_it_is_a_guess() {
    let shown = machine().agent(&["prompt", "--json"]).json();
    assert_eq!(shown["exact"], false);
    assert_eq!(shown["bytes"].as_u64().unwrap() as usize, shown["text"].as_str().unwrap().len());
    let tokens = |name: &str| shown["tokens"][name].as_u64().unwrap();
    assert!(tokens("system") > 0 && tokens("tools") > 0 && tokens("environment") > 0);
    assert!(tokens("total") >= tokens("system") + tokens("tools") + tokens("environment") - 3, "{}", shown["tokens"]);
}

#[test]
fn the_doctor_says_where_settings_come_from_and_what_leaves_the_machine() {
    let machine = machine();
    std::fs::create_dir(machine.project().join(".agent")).unwrap();
    std::fs::write(machine.project().join(".agent/config.toml"), "endpoint = 'http://evil.example/v1'\nmax_steps = 9\n").unwrap();
    let report = machine.agent(&["doctor", "--json"]).json();
    assert_eq!(
        (&report["settings"]["endpoint"]["value"], &report["settings"]["max_steps"]["value"]),
        (&Value::Null, &Value::from(9))
    );
    assert_eq!(report["leaves_the_machine"], "nothing");
    let asked = machine.agent(&["doctor", "--json", "--endpoint", "http://me:secret@example.com/v1"]);
    assert!(!asked.out.contains("secret"), "a report is passed on: {}", asked.out);
    assert!(asked.json()["leaves_the_machine"].as_str().unwrap().contains("http://example.com/v1"));
    assert!(asked.err.contains("warning: `endpoint`"), "{}", asked.err);
}

#[test]
fn a_reader_that_left_changes_no_exit_code() {
    let machine = machine();
    let nothing = machine.replay(&[r#"{"text":"Nothing."}"#]);
    let table: [(&[&str], i32); 6] = [
        (&["doctor"], 0),
        (&["fix", "--issue", "x", "--replay", &nothing], 1),
        (&["run", "x", "--replay", "nowhere"], 3),
        (&["run", "x", "--output", "events", "--replay", &nothing], 130),
        (&["tool", "read", r#"{"path":"missing"}"#], 1),
        (&["nosuch"], 2),
    ];
    for (arguments, code) in table {
        // Both ends of each pipe are closed on our side before the program can write.
        let gone = || std::io::pipe().unwrap().1;
        let ended = machine.agent_command(arguments).stdout(gone()).stderr(gone()).status().unwrap();
        assert_eq!(ended.code(), Some(code), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")] // other file systems refuse such names
#[test]
fn a_directory_may_have_any_name() {
    let machine = machine();
    use std::os::unix::ffi::OsStrExt;
    let odd = machine.project().parent().unwrap().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::rename(machine.project(), &odd).unwrap();
    let turns = machine.replay(&[READ, EDIT, r#"{"text":"Done."}"#]);
    for (arguments, code) in [
        (&["doctor", "--json"][..], 0),
        (&["run", "x", "--replay", &turns], 0),
        (&["fix", "--issue", "x", "--test", "grep -q two a.txt", "--replay", &turns], 1),
    ] {
        let ended = Ended::of(machine.agent_command(arguments).current_dir(&odd).output().unwrap());
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
    }
    assert_eq!(std::fs::read_to_string(odd.join("a.txt")).unwrap(), "one\nthree\n");
}

#[test]
fn the_demonstration_ends_fixed() {
    let (machine, turns) = shop();
    let issue = format!("@{}", demo().join("issue.md").display());
    let ended = machine.agent(&["fix", "--issue", &issue, "--replay", &turns, "--output", "json"]);
    let result = ended.json();
    assert_eq!((ended.code, result["status"].as_str()), (Some(0), Some("fixed")), "{ended:?}");
    assert_eq!((result["test"]["before"].as_i64(), result["test"]["after"].as_i64()), (Some(1), Some(0)));
    assert!(std::fs::read_to_string(machine.project().join("cart.py")).unwrap().contains(">= 3"));
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo")
}

/// The demonstration's project on a machine of its own, and the recording that fixes it.
fn shop() -> (Machine, String) {
    let machine = Machine::new();
    for name in ["cart.py", "test_cart.py"] {
        std::fs::copy(demo().join("cart").join(name), machine.project().join(name)).unwrap();
    }
    (machine, demo().join("fix.jsonl").to_str().unwrap().to_owned())
}

#[test]
fn a_number_is_read_through_gh_and_the_session_holds_all_that_was_said() {
    let (machine, turns) = shop();
    let bin = machine.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let issue =
        r#"{"title":"Three for two","body":"It charges all three.","comments":[{"author":{"login":"ann"},"body":"Here too."}]}"#;
    // As the real one: asked for one issue, silent but for a remark beside the answer.
    let script = format!(
        "#!/bin/sh\n[ \"$1 $2 $4 $5\" = 'issue view --json title,body,comments' ] || exit 9\n\
         [ \"$3\" = 42 ] || {{ echo 'GraphQL: Could not resolve to an issue' >&2; exit 1; }}\n\
         echo 'A new release of gh is available' >&2\necho '{issue}'\n"
    );
    std::fs::write(bin.join("gh"), script).unwrap();
    std::fs::set_permissions(bin.join("gh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let search = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let fix = |number: &str, turns: &str| {
        let mut command = machine.agent_command(&["fix", "--issue", number, "--replay", turns, "--output", "json"]);
        Ended::of(command.env("PATH", &search).output().unwrap())
    };
    let unknown = fix("7", &turns);
    assert_eq!((unknown.code, unknown.out.as_str()), (Some(2), ""));
    assert!(unknown.err.contains("issue `7`") && unknown.err.contains("Could not resolve"), "{}", unknown.err);

    let nothing = machine.replay(&[r#"{"text":"I found nothing."}"#]);
    assert_eq!(fix("42", &nothing).code, Some(1));
    let fixed = fix("#42", &turns);
    assert_eq!((fixed.code, fixed.json()["status"].as_str()), (Some(0), Some("fixed")), "{fixed:?}");

    let list = machine.agent(&["session", "list", "--json"]).json();
    let outcomes: Vec<_> =
        list.as_array().unwrap().iter().map(|s| (s["title"].as_str(), s["outcome"]["outcome"].as_str())).collect();
    for outcome in ["finished", "failed"] {
        assert!(outcomes.contains(&(Some("Three for two"), Some(outcome))), "{outcomes:?}");
    }
    let shown = machine.agent(&["session", "show", fixed.json()["session"].as_str().unwrap()]);
    for said in ["You fix one problem", "Comment by ann:\nHere too.", "fails now (exit 1)", "The comparison excluded"] {
        assert!(shown.out.contains(said), "`{said}` is missing in {}", shown.out);
    }
}
