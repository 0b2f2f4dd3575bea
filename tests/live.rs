//! The engine process from outside: this program, real llama.cpp, and models whose weights say what they are to say.
//!
//! Nothing waits for a time to pass: tests wait for an event, for a line, or for a process to end.
#![cfg(all(feature = "llama", target_os = "linux"))]

mod support;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Instant;
use support::gguf::script::{TEMPLATE, follow, spoken, words};
use support::gguf::{Gguf, QWEN, Weights, graft};

/// What a scripted model calls, as one token.
const CALL: &str = "\n{\"name\": \"read\", \"arguments\": {\"path\": \"a.txt\"}}\n";
/// The same, for one that changes something.
const WRITE: &str = "\n{\"name\": \"write\", \"arguments\": {\"path\": \"b.txt\", \"content\": \"done\"}}\n";

/// A machine of its own: a home, a project, and nothing of the real environment but the search path. Its engines end with it.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(machine.project()).unwrap();
        fs::write(machine.project().join("a.txt"), "one\ntwo\n").unwrap();
        machine
    }

    fn project(&self) -> PathBuf {
        self.0.path().join("project")
    }

    fn home(&self) -> PathBuf {
        self.0.path().join("home")
    }

    fn runtime(&self) -> PathBuf {
        self.home().join("run")
    }

    /// Writes a model that answers with these many words, after it has read a file when it is to call.
    fn talker(&self, first: First, count: usize) -> (String, String) {
        let special: Vec<&str> = QWEN.iter().copied().chain([CALL, WRITE]).collect();
        let gguf = Gguf::llama().layers(1).weights(Weights::F32).context(16_384).template(TEMPLATE);
        let mut raw = gguf.special(&special).vocab(1_000 + 3 * count).raw();
        let said = words(&raw, count);
        let chain = |first: &[&str], rest: &[String]| {
            let first = first.iter().map(|&piece| piece.to_owned());
            first.chain(rest.iter().cloned()).chain(["<|im_end|>".to_owned()]).collect::<Vec<_>>()
        };
        // The turn opens with a line end, or with a tab where a tool has answered: GPT-2's names for both.
        let chains = match first {
            First::Talk => vec![chain(&["Ċ"], &said)],
            First::Call => vec![chain(&["Ċ", "<tool_call>", CALL, "</tool_call>"], &[]), chain(&["ĉ"], &said)],
            First::Write => vec![chain(&["Ċ", "<tool_call>", WRITE, "</tool_call>"], &[]), chain(&["ĉ"], &said)],
        };
        follow(&mut raw, &chains);
        (self.write("talker.gguf", &raw.bytes()), spoken(&said))
    }

    /// Writes a model that takes seconds to read a prompt.
    fn slow(&self) -> String {
        let gguf = Gguf::llama().layers(6).embd(512).heads(8, 4).ffn(1536).context(16_384).template(TEMPLATE);
        self.write("slow.gguf", &gguf.raw().bytes())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
        command.args(arguments).current_dir(self.project()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("AGENT_HOME", self.home()).env("HOME", self.0.path());
        command
    }

    fn agent(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    /// A run with this model, to the end or not.
    fn run(&self, model: &str, more: &[&str]) -> Command {
        let pins = ["-c", "plan.n_ctx=16384", "-c", "engine.threads=1", "-c", "turn_tokens=6000"];
        let idle = ["-c", "engine.idle_seconds=60"];
        self.command(&[&["run", "hello", "--model", model], pins.as_slice(), &idle, more].concat())
    }

    fn ran(&self, model: &str, more: &[&str]) -> Ended {
        Ended::of(self.run(model, more).output().unwrap())
    }

    fn status(&self) -> Vec<Value> {
        serde_json::from_value(self.agent(&["engine", "status", "--json"]).json()).unwrap()
    }

    /// The one engine that runs.
    #[track_caller]
    fn engine(&self) -> Pid {
        let all = self.status();
        assert_eq!(all.len(), 1, "{all:?}");
        Pid::from_raw(i32::try_from(all[0]["pid"].as_i64().unwrap()).unwrap()).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.command(&["engine", "stop"]).output();
    }
}

/// What a scripted model does first.
#[derive(Clone, Copy)]
enum First {
    Talk,
    Call,
    Write,
}

/// How a run ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The events of one kind.
    #[track_caller]
    fn events(&self, kind: &str) -> Vec<Value> {
        let all = self.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {self:?}")));
        all.filter(|event| event["event"] == kind).collect()
    }
}

/// A run whose events are read as they come.
struct Live {
    child: Child,
    events: BufReader<ChildStdout>,
}

impl Live {
    fn start(mut command: Command) -> Self {
        let mut child = command.args(["--output", "events"]).stdout(Stdio::piped()).spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
        Self { child, events }
    }

    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        (self.events.read_line(&mut line).unwrap() > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    /// Reads on until an event is as it should be.
    #[track_caller]
    fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        while let Some(event) = self.next() {
            if is_it(&event) {
                return event;
            }
        }
        panic!("the run ended without that event: {:?}", self.child.wait());
    }

    /// Reads all that is left.
    fn end(mut self) -> (Vec<Value>, ExitStatus) {
        let rest = std::iter::from_fn(|| self.next()).collect();
        (rest, self.child.wait().unwrap())
    }
}

fn is_text(event: &Value) -> bool {
    event["delta"] == "text"
}

/// Waits until a process that is not ours has ended. It was there when this was called, or this is false.
fn await_end(pid: Pid) {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    poll(&mut [PollFd::new(&process, PollFlags::IN)], None).unwrap();
}

/// The number that usage has under a name.
fn used(turn: &Value, name: &str) -> u64 {
    turn["usage"][name].as_u64().unwrap()
}

#[test]
fn two_runs_share_one_engine_and_its_cache() {
    let machine = Machine::new();
    let (model, words) = machine.talker(First::Call, 30);
    let first = machine.ran(&model, &["--output", "events"]);
    assert_eq!(first.code, Some(0), "{}", first.err);
    let turns = first.events("turn");
    assert_eq!((turns.len(), turns[1]["text"].as_str().map(str::trim)), (2, Some(words.as_str())), "{turns:?}");
    assert!(first.events("called")[0]["answer"]["text"].as_str().unwrap().contains("one\n"), "{}", first.out);
    assert_eq!(used(&turns[0], "reused"), 0);
    // The token that ends a turn is processed with the next one.
    assert_eq!(used(&turns[1], "reused"), used(&turns[0], "prompt") + used(&turns[0], "generated") - 1);
    let engine = machine.engine();

    let second = machine.ran(&model, &["--output", "json"]);
    assert_eq!((second.code, second.json()["outcome"].as_str()), (Some(0), Some("finished")), "{}", second.err);
    assert_eq!(machine.engine(), engine, "the same process");
    let tokens = &second.json()["tokens"];
    assert!(tokens["reused"].as_u64().unwrap() > used(&turns[0], "prompt"), "system and tools are not read again: {tokens}");
    assert!(tokens["prefilled"].as_u64().unwrap() < 300, "{tokens}");
    assert!(machine.status()[0]["requests"].as_u64().unwrap() >= 4, "{:?}", machine.status());
    let sessions = machine.agent(&["session", "list", "--json"]).json();
    let kept: Vec<&Value> = sessions.as_array().unwrap().iter().map(|session| &session["id"]).collect();
    assert!(kept.len() == 2 && kept.contains(&&second.json()["session"]), "{sessions}");

    assert_eq!(machine.agent(&["engine", "stop", "--json"]).json()["stopped"], 1);
    assert_eq!(machine.status(), Vec::<Value>::new());
    await_end(engine);
}

#[test]
fn attempts_side_by_side_read_what_they_share_once() {
    let machine = Machine::new();
    let fix = |model: &str, test: &str| {
        let pins = ["-c", "plan.n_ctx=16384", "-c", "engine.threads=1", "-c", "turn_tokens=200", "--output", "json"];
        let task = ["fix", "--issue", "There must be a file b.txt", "--strategy", "loop", "--attempts", "4"];
        let options = ["--model", model, "--test", test];
        Ended::of(machine.command(&[task.as_slice(), &options, &pins].concat()).output().unwrap())
    };
    let (reader, _) = machine.talker(First::Call, 30);
    let failed = fix(&reader, "test -e b.txt");
    let result = failed.json();
    assert_eq!((failed.code, result["status"].as_str()), (Some(1), Some("unfixed")), "{}", failed.err);
    assert_eq!((result["attempts"].as_u64(), result["steps"].as_u64()), (Some(4), Some(8)), "{}", failed.err);
    let tokens = |name: &str| result["tokens"][name].as_u64().unwrap();
    assert_eq!(tokens("prompt"), tokens("prefilled") + tokens("reused"));
    // Eight prompts, of which one was read, and four results of a tool.
    assert!(tokens("prefilled") < tokens("prompt") / 8 + 4 * 100, "{result}");
    assert!(failed.err.contains("[4] read a.txt"), "{}", failed.err);
    machine.agent(&["engine", "stop"]);

    let (writer, words) = machine.talker(First::Write, 30);
    let fixed = fix(&writer, "test -e b.txt");
    let result = fixed.json();
    assert_eq!((fixed.code, result["status"].as_str()), (Some(0), Some("fixed")), "{}", fixed.err);
    assert_eq!((&result["files"][0], result["summary"].as_str().map(str::trim)), (&"b.txt".into(), Some(words.as_str())));
    assert!(machine.project().join("b.txt").exists());
}

#[test]
fn a_new_engine_begins_with_what_the_last_one_knew() {
    let machine = Machine::new();
    let (model, _) = machine.talker(First::Talk, 30);
    let asked = |task: &str| {
        let pins = ["-c", "plan.n_ctx=16384", "-c", "engine.threads=1", "--output", "events"];
        let ended = Ended::of(machine.command(&[&["run", task, "--model", &model], pins.as_slice()].concat()).output().unwrap());
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        ended.events("turn").remove(0)
    };
    let first = asked("hello");
    assert_eq!(used(&first, "reused"), 0);
    machine.agent(&["engine", "stop"]);
    let states = machine.home().join("cache/kv");
    let kept: Vec<_> = fs::read_dir(&states).unwrap().map(|entry| entry.unwrap().metadata().unwrap()).collect();
    assert_eq!(kept.len(), 2, "the opening, and the conversation");
    assert!(kept.iter().all(|file| file.permissions().mode() & 0o777 == 0o600));
    assert_eq!(fs::metadata(&states).unwrap().permissions().mode() & 0o777, 0o700);
    let second = asked("something else altogether");
    assert!(used(&second, "prefilled") <= 200, "a new session in a known project: {second}");
    assert!(used(&second, "reused") > used(&first, "prompt") / 2, "{second}");
    machine.agent(&["engine", "stop"]);
}

#[test]
fn an_idle_engine_leaves() {
    let machine = Machine::new();
    let (model, _) = machine.talker(First::Talk, 5);
    let ended = machine.ran(&model, &["-c", "engine.idle_seconds=1"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    if let [engine] = machine.status().as_slice() {
        await_end(Pid::from_raw(i32::try_from(engine["pid"].as_i64().unwrap()).unwrap()).unwrap());
    }
    assert_eq!(machine.status(), Vec::<Value>::new());
    assert_eq!(sockets(&machine.runtime()), 0, "it takes its socket along");
}

#[test]
fn an_engine_that_is_killed_is_started_again_and_the_run_goes_on() {
    let machine = Machine::new();
    let (model, words) = machine.talker(First::Talk, 1_500);
    let mut command = machine.run(&model, &[]);
    command.stderr(Stdio::piped());
    let mut run = Live::start(command);
    run.until(is_text);
    let first = machine.engine();
    kill_process(first, Signal::KILL).unwrap();
    let notice = run.until(|event| event["delta"] == "notice");
    let told = notice["text"].as_str().unwrap();
    assert!(told.contains("the engine died") && told.contains("starting it again") && !told.contains('\n'), "{told}");
    let mut stderr = run.child.stderr.take().unwrap();
    let (rest, status) = run.end();
    let mut shown = String::new();
    stderr.read_to_string(&mut shown).unwrap();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert_eq!(shown.matches("the engine died").count(), 1, "{shown}");
    let turn = rest.iter().find(|event| event["event"] == "turn").unwrap();
    assert_eq!(turn["text"].as_str().map(str::trim), Some(words.as_str()));
    assert_ne!(machine.engine(), first);
}

#[test]
fn an_engine_that_is_killed_twice_ends_the_run() {
    let machine = Machine::new();
    let (model, _) = machine.talker(First::Talk, 1_500);
    let mut command = machine.run(&model, &[]);
    command.stderr(Stdio::piped());
    let mut run = Live::start(command);
    for _ in 0..2 {
        run.until(is_text);
        kill_process(machine.engine(), Signal::KILL).unwrap();
    }
    let mut stderr = run.child.stderr.take().unwrap();
    let (rest, status) = run.end();
    let mut shown = String::new();
    stderr.read_to_string(&mut shown).unwrap();
    assert_eq!(status.code(), Some(3), "{shown}");
    assert_eq!(rest.last().unwrap()["outcome"]["outcome"], "engine");
    assert!(shown.contains("it died twice"), "{shown}");
}

#[test]
fn ctrl_c_while_it_reads_ends_the_run_and_the_engine_lives_on() {
    let machine = Machine::new();
    let model = machine.slow();
    let issue = "The total of the cart is wrong when there are three. ".repeat(120);
    let (shown, screen) = terminal();
    let mut command = machine.command(&["run", &issue, "--model", &model, "-c", "plan.n_ctx=16384"]);
    command.args(["-c", "engine.threads=1", "-c", "engine.idle_seconds=60"]).stderr(screen);
    let mut run = Live::start(command);
    let is_reading = |event: &Value| event["delta"] == "prefill" && event["done"].as_u64() > Some(600);
    let seen = run.until(is_reading);
    let start = Instant::now();
    kill_process(Pid::from_child(&run.child), Signal::INT).unwrap();
    let (rest, status) = run.end();
    let front_end = start.elapsed();
    assert_eq!(status.code(), Some(130));
    assert_eq!(rest.last().unwrap()["outcome"]["outcome"], "interrupted");
    let whole = |event: &Value| event["delta"] == "prefill" && event["done"] == event["total"];
    assert!(!whole(&seen) && !rest.iter().any(whole), "it was reading to the end: {rest:?}");
    // What the engine is asked next waits for what it does: once it is idle it says so.
    let idle =
        std::iter::repeat_with(|| machine.status()).find(|all| all[0]["state"] == "idle" || all[0]["state"]["state"] == "idle");
    eprintln!(
        "interrupted in prefill: the run ended after {front_end:.0?}, the engine was seen idle after {:.0?}",
        start.elapsed()
    );
    assert_eq!(idle.unwrap().len(), 1);
    let shown = shown.join().unwrap();
    assert!(shown.contains("loading the model, ") && shown.contains(" %"), "{shown:?}");
    assert!(shown.contains("reading ") && shown.contains(" s left"), "{shown:?}");
    assert!(shown.contains("stopping; once more to stop at once"), "{shown:?}");
}

#[test]
fn two_front_ends_at_once_share_one_engine() {
    let machine = Machine::new();
    let (model, words) = machine.talker(First::Call, 200);
    let start = || machine.run(&model, &["--output", "text"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let both = [start(), start()];
    for run in both {
        let ended = Ended::of(run.wait_with_output().unwrap());
        assert_eq!((ended.code, ended.out.trim()), (Some(0), words.as_str()), "{}", ended.err);
    }
    machine.engine();
}

#[test]
fn sockets_are_private_and_a_directory_that_is_not_is_refused() {
    let machine = Machine::new();
    let (model, _) = machine.talker(First::Talk, 5);
    assert_eq!(machine.ran(&model, &[]).code, Some(0));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&machine.runtime()), sockets(&machine.runtime())), (0o700, 1));
    machine.agent(&["engine", "stop"]);

    let refused = |why: &str| {
        let ended = machine.ran(&model, &[]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(3), ""), "{}", ended.err);
        assert!(ended.err.contains(why) && ended.err.contains(machine.runtime().to_str().unwrap()), "{}", ended.err);
        assert_eq!(sockets(&machine.runtime()), 0);
    };
    fs::set_permissions(machine.runtime(), fs::Permissions::from_mode(0o755)).unwrap();
    refused("can be entered by other users");
    fs::set_permissions(machine.runtime(), fs::Permissions::from_mode(0o700)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(machine.runtime(), Some(65_534), None).unwrap();
        refused("belongs to another user");
    } else {
        eprintln!("SKIPPED: only root can give a directory away");
    }
}

fn sockets(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_socket()).count()
}

#[test]
fn the_prompt_is_small_and_counted_exactly() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let (vocabulary, template) = (shared.join("vocab/ggml-vocab-qwen35.gguf"), shared.join("chat-templates/Qwen3.5-4B.jinja"));
    let (Ok(vocabulary), Ok(template)) = (fs::read(&vocabulary), fs::read_to_string(&template)) else {
        return eprintln!("SKIPPED: no vocabulary at {}", vocabulary.display());
    };
    let machine = Machine::new();
    let file = machine.write("vocabulary.gguf", &graft::with_text(&vocabulary, "tokenizer.chat_template", &template));
    for name in ["src/", "tests/", "docs/", ".git/"] {
        fs::create_dir(machine.project().join(name)).unwrap();
    }
    // More names than are shown.
    for at in 0..4 {
        fs::write(machine.project().join(format!("module_{at}.py")), "").unwrap();
    }
    for name in ["Cargo.toml", "Cargo.lock", "README.md", "LICENSE-MIT", "CHANGELOG.md", "build.rs", "Makefile", "setup.cfg"] {
        fs::write(machine.project().join(name), "").unwrap();
    }
    for mode in ["chat", "fix"] {
        let ended = machine.agent(&["prompt", "--mode", mode, "--model", &file, "--json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let shown = ended.json();
        eprintln!("{mode}: {}", shown["tokens"]);
        assert_eq!(shown["exact"], true);
        let text = shown["text"].as_str().unwrap();
        for tool in ["read", "search", "symbols", "edit", "write", "run"] {
            assert!(text.contains(&format!("\"name\": \"{tool}\"")), "{tool}: {text}");
        }
        assert!(shown["tokens"]["total"].as_u64().unwrap() <= 1_000, "{}", shown["tokens"]);
    }
}

/// Opens a terminal: what will have appeared on it when nobody holds it any more, and the screen for a child's stream.
fn terminal() -> (JoinHandle<String>, OwnedFd) {
    let mut master = File::options().read(true).write(true).open("/dev/ptmx").unwrap();
    // SAFETY: both requests are the kernel's own, with the types that it documents (ioctl_tty(2)).
    let number: u32 = unsafe {
        rustix::ioctl::ioctl(&master, rustix::ioctl::Setter::<{ rustix::ioctl::opcode::write::<i32>(b'T', 0x31) }, i32>::new(0))
            .unwrap();
        rustix::ioctl::ioctl(&master, rustix::ioctl::Getter::<{ rustix::ioctl::opcode::read::<u32>(b'T', 0x30) }, u32>::new())
            .unwrap()
    };
    let screen = File::options()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NOCTTY.bits() as i32)
        .open(format!("/dev/pts/{number}"))
        .unwrap();
    let reader = std::thread::spawn(move || {
        let (mut shown, mut piece) = (Vec::new(), [0; 4096]);
        // The end of a terminal is an error, once the last screen is closed.
        while let Ok(n @ 1..) = master.read(&mut piece) {
            shown.extend_from_slice(&piece[..n]);
        }
        String::from_utf8_lossy(&shown).into_owned()
    });
    (reader, screen.into())
}
