//! What a start costs: time to the help, to the first request at a server and at a warm engine; memory of the front end.
//!
//! Prints figures against goals and asserts none of them: `cargo bench --bench startup`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts for one figure.
const STARTS: usize = 50;

/// A project and a home of their own.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(machine.project()).unwrap();
        std::fs::write(machine.project().join("a.txt"), "one\ntwo\n").unwrap();
        machine
    }

    fn project(&self) -> PathBuf {
        self.0.path().join("project")
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
        command.args(arguments).current_dir(self.project()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("AGENT_HOME", self.0.path().join("home"));
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    fn finish(&self, arguments: &[&str]) {
        let status = self.command(arguments).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{arguments:?}: {status}");
    }
}

/// The most memory that a process has had so far, in MB.
fn peak(child: &Child) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let kib: f64 = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

fn report(what: &str, goal: f64, unit: &str, mut values: Vec<f64>) {
    values.sort_by(f64::total_cmp);
    let Some(&median) = values.get(values.len() / 2) else { return println!("{what}: not measured here") };
    let (least, most) = (values[0], values[values.len() - 1]);
    let ratio = median / goal;
    println!("{what}: {median:.1} {unit} ({least:.1}-{most:.1}, {} runs), goal {goal} {unit}, ratio {ratio:.2}", values.len());
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Answers one request for a turn; gives the time at which it came, and whether it was one.
fn serve(stream: TcpStream) -> std::io::Result<Option<Instant>> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let came = Instant::now();
        reader.read_exact(&mut vec![0; length])?;
        if head.contains("/chat/completions") {
            let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Done.\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
            let length = body.len();
            write!(writer, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n\r\n{body}")?;
            return Ok(Some(came));
        }
        write!(writer, "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{{}}")?;
    }
}

fn by_endpoint(machine: &Machine) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (mut first, mut turn, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let start = Instant::now();
        let mut child = machine.command(&["run", "hello", "--output", "events", "--endpoint", &url]).spawn().unwrap();
        let mut connected = None;
        let came = loop {
            let (stream, _) = listener.accept().unwrap();
            connected.get_or_insert_with(|| ms(start));
            if let Some(came) = serve(stream).unwrap() {
                break came;
            }
        };
        first.extend(connected);
        turn.push((came - start).as_secs_f64() * 1e3);
        memory.extend(ended(&mut child));
    }
    report("first connection to a server", 100.0, "ms", first);
    report("first turn asked of a server", 100.0, "ms", turn);
    report("memory, by endpoint", 20.0, "MB", memory);
}

/// Reads a run's events to their end, and its memory at the last of them.
fn ended(child: &mut Child) -> Option<f64> {
    let mut most = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        drop(line);
        most = peak(child).or(most);
    }
    assert!(child.wait().unwrap().success());
    most
}

fn by_replay(machine: &Machine) {
    let read = r#"{"calls":[{"name":"read","arguments":{"path":"a.txt"}}]}"#;
    let edit = r#"{"calls":[{"name":"edit","arguments":{"path":"a.txt","search":"two","replace":"three"}}]}"#;
    let turns = format!("{{\"replay\":1}}\n{read}\n{edit}\n{{\"text\":\"Done.\"}}\n");
    let turns = machine.write("turns.jsonl", turns.as_bytes());
    let memory = (0..STARTS / 5).filter_map(|_| {
        std::fs::write(machine.project().join("a.txt"), "one\ntwo\n").unwrap();
        ended(&mut machine.command(&["run", "hello", "--output", "events", "--replay", &turns]).spawn().unwrap())
    });
    report("memory, by replay, reading and editing", 20.0, "MB", memory.collect());
}

/// The first event of a turn tells that the engine has the request.
#[cfg(feature = "llama")]
fn by_engine(machine: &Machine) {
    use support::gguf::script::{TEMPLATE, follow, words};
    use support::gguf::{Gguf, Weights};
    let mut raw = Gguf::llama().layers(1).weights(Weights::F32).context(16_384).vocab(1_000).template(TEMPLATE).raw();
    let said = words(&raw, 20);
    let chain = ["Ċ".to_owned()].into_iter().chain(said).chain(["<|im_end|>".to_owned()]).collect();
    follow(&mut raw, &[chain]);
    let model = machine.write("model.gguf", &raw.bytes());
    let run = ["run", "hello", "--output", "events", "--model", &model, "-c", "engine.threads=1"];
    machine.finish(&run);
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let start = Instant::now();
        let mut child = machine.command(&run).spawn().unwrap();
        let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut most = None;
        let mut asked = None;
        while let Some(Ok(line)) = events.next() {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["delta"] == "prefill" {
                asked.get_or_insert_with(|| ms(start));
            }
            most = peak(&child).or(most);
        }
        assert!(child.wait().unwrap().success());
        times.extend(asked);
        memory.extend(most);
    }
    machine.finish(&["engine", "stop"]);
    report("first turn begun by a warm engine", 100.0, "ms", times);
    report("memory, by warm engine", 20.0, "MB", memory);
}

#[cfg(not(feature = "llama"))]
fn by_engine(_machine: &Machine) {
    report("first turn begun by a warm engine", 100.0, "ms", Vec::new());
}

fn main() {
    // A program that does nothing, for comparison: what the system itself takes.
    let nothing = Path::new("/bin/true");
    let machine = Machine::new();
    if nothing.exists() {
        let start = || {
            let start = Instant::now();
            Command::new(nothing).status().unwrap();
            ms(start)
        };
        report("a program that does nothing", 10.0, "ms", (0..STARTS).map(|_| start()).collect());
    }
    let help = (0..STARTS).map(|_| {
        let start = Instant::now();
        machine.finish(&["--help"]);
        ms(start)
    });
    report("agent --help", 10.0, "ms", help.collect());
    by_endpoint(&machine);
    by_replay(&machine);
    by_engine(&machine);
}
