//! The model inside the program, from outside: when it is used, what is said of it, and that the whole path works with it.
#![cfg(feature = "llama")]

mod support;

use serde_json::Value;
use support::machine::Machine;

/// No engine outlives its test for long.
const SHORT: [&str; 2] = ["-c", "engine.idle_seconds=1"];

/// A project whose test fails.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.file("lists.py", "def largest(items):\n    return min(items)\n");
    machine.file("check.sh", "python3 -c 'import lists; assert lists.largest([1, 2]) == 2'\n");
    machine
}

#[test]
fn a_bug_is_fixed_without_any_model_but_the_bundled_one_and_that_is_said() {
    let machine = machine();
    let fix = ["fix", "--issue", "`largest` returns the smallest", "--test", "sh check.sh", "--max-steps", "3"];
    let ended = machine.agent(&[&fix[..], &SHORT].concat());
    ended.check(0, "no model installed: using the bundled micro model (");
    assert_eq!(machine.text("lists.py"), "def largest(items):\n    return max(items)\n");
    let kept: Vec<_> = std::fs::read_dir(machine.path("home/cache/models")).unwrap().collect();
    assert_eq!(kept.len(), 1, "{kept:?}");

    machine.file("lists.py", "def largest(items):\n    return min(items)\n");
    let named = machine.agent(&[&fix[..], &SHORT, &["--model", "micro"]].concat());
    assert_eq!(named.code, Some(0), "{named:?}");
    assert!(!named.err.contains("no model installed"), "who names it knows it: {}", named.err);
}

#[test]
fn other_commands_use_it_only_when_it_is_named() {
    let machine = machine();
    let without = machine.agent(&["run", "look around"]);
    without.check(3, "no model");
    assert!(without.err.contains("--model micro"), "{}", without.err);
    let named = machine.agent(&[&["run", "look around", "--model", "micro", "--max-steps", "1"][..], &SHORT].concat());
    assert!(matches!(named.code, Some(0 | 1 | 4)), "the engine answered: {named:?}");
}

#[test]
fn it_is_listed_and_shown() {
    let machine = machine();
    let list = machine.agent(&["model", "list", "--json"]).json();
    assert_eq!(
        (list[0]["name"].as_str(), list[0]["bundled"].as_bool(), list.as_array().unwrap().len()),
        (Some("micro"), Some(true), 1)
    );
    let shown = machine.agent(&["model", "show", "micro", "--json"]).json();
    assert_eq!((&shown["arch"], &shown["bytes"]), (&Value::from("qwen2"), &list[0]["bytes"]));
}

#[test]
fn the_doctor_tests_the_whole_path_with_it() {
    let machine = machine();
    let ended = machine.agent(&["doctor", "--json"]);
    let test = &ended.json()["self_test"];
    assert_eq!((ended.code, &test["failed"]), (Some(0), &Value::Null), "{ended:?}");
    assert!(test["load_ms"].is_u64() && test["turn_ms"].is_u64(), "{test}");

    let broken = self::machine();
    std::fs::create_dir(broken.path("home")).unwrap();
    std::fs::write(broken.path("home/cache"), "no directory").unwrap();
    let ended = broken.agent(&["doctor", "--json"]);
    assert!(ended.json()["self_test"]["failed"].as_str().unwrap().contains("cannot write the bundled model"), "{ended:?}");
    assert_eq!(ended.code, Some(3));
    let quick = broken.agent(&["doctor", "--json", "--quick"]);
    assert_eq!((quick.code, quick.json()["self_test"]["skipped"].as_str()), (Some(0), Some("--quick")));
}
