//! Nothing leaves the machine: the system calls of whole runs, looked at.
#![cfg(target_os = "linux")]

mod support;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use support::machine::{Ended, Machine, fixture, is_here};
use support::server::Server;
use support::tree::settle;

/// What a program and its threads asked of the system; the commands that it started are left out.
struct Trace(Vec<String>);

/// Runs this program under strace. `None`: it cannot be watched here.
fn watch(machine: &Machine, arguments: &[&str]) -> Option<(Ended, Trace)> {
    let file = machine.path("trace");
    let mut strace = machine.command("strace");
    strace.args(["-f", "-qq", "-s", "256", "-e", "trace=network,openat,process", "-o"]).arg(&file);
    let ended = Ended::of(strace.arg(env!("CARGO_BIN_EXE_agent")).args(arguments).output().unwrap());
    Some((ended, Trace::read(&std::fs::read_to_string(file).unwrap())))
}

fn can_watch() -> bool {
    is_here("strace", "--version") && {
        let traced = std::process::Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
        let can = traced.is_ok_and(|status| status.success());
        if !can {
            eprintln!("SKIPPED: processes may not be traced here");
        }
        can
    }
}

impl Trace {
    /// A line is `PID call(arguments) = result`; a call that another thread interrupts is told in two lines.
    fn read(text: &str) -> Self {
        let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(' ')).map(|(p, c)| (p, c.trim())).collect();
        let own = lines.first().map(|(pid, _)| *pid).unwrap_or_default();
        let is_birth =
            |call: &str| ["clone", "fork", "vfork"].iter().any(|name| call.trim_start_matches("<... ").starts_with(name));
        let born = lines
            .iter()
            .filter(|(_, call)| is_birth(call))
            .filter_map(|(parent, call)| Some((call.rsplit_once(" = ")?.1.split(' ').next()?, *parent)));
        let parents: BTreeMap<&str, &str> = born.collect();
        let other: BTreeSet<&str> =
            lines.iter().filter(|(pid, call)| *pid != own && call.contains("execve(")).map(|(pid, _)| *pid).collect();
        let is_own = |pid: &str| {
            let line = std::iter::successors(Some(pid), |pid| parents.get(*pid).copied());
            line.take_while(|pid| *pid != own).all(|pid| !other.contains(pid) && parents.contains_key(pid))
        };
        Self(lines.iter().filter(|(pid, _)| is_own(pid)).map(|(_, call)| (*call).to_owned()).collect())
    }

    fn calls(&self, name: &str) -> impl Iterator<Item = &str> {
        let opening = format!("{name}(");
        self.0.iter().map(String::as_str).filter(move |call| call.starts_with(&opening))
    }

    /// Checks that no packet could have left the machine, and that nobody was asked for an address.
    #[track_caller]
    fn check(&self) {
        let outside = |call: &&str| {
            !call.contains("AF_UNIX") && !call.contains("inet_addr(\"127.") && !call.contains("inet_pton(AF_INET6, \"::1\"")
        };
        for name in ["connect", "sendto", "bind"] {
            let addressed = self.calls(name).filter(|call| call.contains("sa_family") || name == "connect");
            assert_eq!(addressed.filter(outside).collect::<Vec<_>>(), [""; 0], "{name} outside loopback");
        }
        let packets = self.calls("socket").filter(|call| !call.contains("AF_UNIX") && !call.contains("SOCK_STREAM"));
        assert_eq!(packets.collect::<Vec<_>>(), [""; 0], "sockets that are no TCP");
        let names =
            self.calls("openat").filter(|call| ["resolv.conf", "nsswitch", "/etc/hosts"].iter().any(|file| call.contains(file)));
        assert_eq!(names.collect::<Vec<_>>(), [""; 0], "names that were looked up");
    }
}

#[test]
fn a_packet_and_a_look_up_would_be_seen() {
    let sockets = "7 execve(\"agent\") = 0\n7 clone3({flags=CLONE_THREAD}, 88) = 8\n";
    let seen = |line: &str| std::panic::catch_unwind(|| Trace::read(&format!("{sockets}{line}\n")).check()).is_err();
    assert!(seen("8 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr(\"192.0.2.1\")}, 16) = 0"));
    assert!(seen(
        "7 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr(\"192.0.2.1\")}, 16 <unfinished ...>"
    ));
    assert!(seen("8 socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_IP) = 3"));
    assert!(seen("8 openat(AT_FDCWD, \"/etc/resolv.conf\", O_RDONLY) = 3"));
    assert!(!seen("8 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = 0"));
    assert!(!seen(
        "8 vfork( <unfinished ...>\n9 execve(\"sh\") = 0\n8 <... vfork resumed>) = 9\n9 socket(AF_INET, SOCK_DGRAM, 0) = 3"
    ));
}

#[test]
fn help_and_a_recorded_run_open_no_socket() {
    if !can_watch() {
        return;
    }
    let machine = Machine::new();
    machine.file("a.txt", "one\n");
    let turns = machine.replay(&[
        serde_json::json!({"calls": [{"name": "read", "arguments": {"path": "a.txt"}}]}),
        serde_json::json!({"text": "One."}),
    ]);
    for arguments in [&["--help"][..], &["run", "look", "--replay", &turns]] {
        let Some((ended, trace)) = watch(&machine, arguments) else { return };
        assert_eq!(ended.code, Some(0), "{ended:?}");
        trace.check();
        assert_eq!(trace.calls("socket").filter(|call| !call.contains("AF_UNIX")).count(), 0);
        assert!(trace.calls("openat").count() > 0, "the run was watched");
    }
}

#[test]
fn a_fix_through_a_server_on_this_machine_talks_to_it_alone() {
    if !can_watch() || !is_here("python3", "--version") {
        return;
    }
    let machine = Machine::new();
    settle(&machine, "python");
    let recording = std::fs::read_to_string(fixture("recordings/python.jsonl")).unwrap();
    let turns: Vec<Value> = recording.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    let server = Server::playing(turns);
    // By its name: that is where a resolver would be asked.
    let url = format!("http://localhost:{}/v1", server.port());
    let Some((ended, trace)) = watch(&machine, &["fix", "--issue", "A room is free too early.", "--endpoint", &url]) else {
        return;
    };
    assert_eq!(ended.code, Some(0), "{ended:?}");
    trace.check();
    let port = format!("htons({})", server.port());
    assert!(trace.calls("connect").any(|call| call.contains(&port)), "the server was reached, and that was seen");
}
