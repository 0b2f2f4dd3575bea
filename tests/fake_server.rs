//! The scripted server that other agents were measured with: every scenario ends as it should, and never as a silent success.
//!
//! The same shapes come from a server of this suite's own in `misbehaviour`; this page shows that nothing hinges on it.

mod support;

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use support::machine::{Machine, is_here};
use support::tree::Moment;

/// The server's process, gone with its value.
struct Fake {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Fake {
    /// Starts a scenario for a machine's project. `None`: another program took the port that was free.
    fn start(script: &Path, machine: &Machine, options: &[&str]) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = machine.path("log");
        let mut python = Command::new("python3");
        python.arg(script).args(["--port", &port.to_string(), "--log"]).arg(&log).arg("--repo").arg(machine.project());
        let mut child = python.args(options).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let fake = Self { child, port, log };
        (ready == "ready\n").then_some(fake)
    }

    /// The bodies that were sent to it, as text, in order.
    fn requests(&self) -> Vec<String> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.log).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let read = |file: &PathBuf| serde_json::from_str::<Value>(&std::fs::read_to_string(file).unwrap()).unwrap();
        let asked = files.iter().filter(|file| !file.to_str().unwrap().ends_with(".resp.json")).map(read);
        asked.filter(|asked| asked["path"] == "/v1/chat/completions").map(|asked| asked["body"].to_string()).collect()
    }
}

fn project(machine: &Machine) {
    machine.file("src/lib.rs", "//! Sums.\n\npub fn sum(v: &[i64]) -> i64 {\n    (0..=v.len()).map(|i| v[i]).sum()\n}\n");
    machine.file("Cargo.toml", "[package]\nname = \"sums\"\n");
    for at in 0..4 {
        machine.file(&format!("big{at}.txt"), &format!("file {at}, the quick brown fox jumps over the lazy dog\n").repeat(600));
    }
}

/// A scenario's options, the exit code of `agent run`, a line of its stderr, and what the model must have been sent.
type Row = (&'static [&'static str], i32, &'static str, &'static str);

const THREE_BAD: &str = "error: the model made no call that could be run in 3 turns in a row";
const FIVE_TIMES: &str = "error: the model called `read` 5 times with the same arguments and result";

/// All but `edit`, which is for agents that take whole files from text.
const SCENARIOS: &[Row] = &[
    (&["--scenario", "normal"], 0, "read ", "0..=v.len()"),
    (&["--scenario", "badjson"], 1, THREE_BAD, "was cut off before it was whole, so nothing was run"),
    (&["--scenario", "unknown"], 1, THREE_BAD, "open_the_file"),
    (&["--scenario", "textxml"], 1, FIVE_TIMES, "Not run: this call was made 2 times"),
    (&["--scenario", "textjson"], 1, FIVE_TIMES, "Not run: this call was made 2 times"),
    (&["--scenario", "ctx"], 0, "the window is full: older steps became a list of what was done", "read big1.txt 1-"),
    (&["--scenario", "ctx0"], 4, "error: the conversation needs ", "off-by-one"),
    (&["--scenario", "empty"], 1, "error: the model gave an empty answer twice", "Your answer was empty."),
    (&["--scenario", "badwrite"], 1, THREE_BAD, "The call of `write` was cut off"),
    (
        &["--scenario", "think"],
        0,
        "read ",
        r#""reasoning_content":"THINK-MARK: the loop bound looks wrong, so read the file first. ""#,
    ),
    (&["--scenario", "slow", "--delay", "0.3"], 0, "read ", "0..=v.len()"),
];

#[test]
fn every_scenario_ends_as_it_should() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/fake_openai_server.py");
    if !script.is_file() {
        eprintln!("SKIPPED: no scripted server at {}", script.display());
        return;
    }
    if !is_here("python3", "--version") {
        return;
    }
    std::thread::scope(|scope| {
        for row in SCENARIOS {
            let script = &script;
            scope.spawn(move || check(script, row));
        }
    });
}

fn check(script: &Path, &(options, code, says, sent): &Row) {
    let machine = Machine::new();
    project(&machine);
    let before = Moment::of(&machine.project());
    let fake = std::iter::repeat_with(|| Fake::start(script, &machine, options)).take(5).flatten().next().expect("a port");
    let url = format!("http://127.0.0.1:{}/v1", fake.port);
    let ended = machine.agent(&["run", "fix the off-by-one bug in src/lib.rs", "--approve", "all", "--endpoint", &url]);
    ended.check(code, says);
    assert!(code != 0 || ended.out.contains("off-by-one"), "{options:?}: a silent success: {ended:?}");
    let requests = fake.requests();
    assert!(requests.iter().any(|body| body.contains(sent)), "{options:?}: the model was not sent `{sent}`: {requests:#?}");
    drop(fake);

    // What it says of itself is no fix.
    let fake = std::iter::repeat_with(|| Fake::start(script, &machine, options)).take(5).flatten().next().expect("a port");
    let url = format!("http://127.0.0.1:{}/v1", fake.port);
    let test = "grep -q '0..v' src/lib.rs";
    let ended = machine.agent(&["fix", "--issue", "Off by one.", "--test", test, "--output", "json", "--endpoint", &url]);
    let expected = if code == 4 { 4 } else { 1 };
    assert_eq!(ended.code, Some(expected), "{options:?}: {ended:?}");
    assert!(
        ended.err.lines().last().is_some_and(|line| line.starts_with("unfixed: ") || line.starts_with("budget: ")),
        "{ended:?}"
    );
    before.check(&machine.project(), &[]);
}
