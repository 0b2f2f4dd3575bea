//! A machine of one test's own, and the program on it.
#![allow(dead_code, reason = "every test crate compiles this module and uses its own part of it")]

use serde_json::Value;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A home, a project, and nothing of the real environment but the search path and what the compilers need.
pub struct Machine(tempfile::TempDir);

impl Machine {
    /// With an empty project.
    pub fn new() -> Self {
        let machine = Self(tempfile::tempdir().expect("a temporary directory"));
        std::fs::create_dir_all(machine.project()).unwrap();
        let identity = "[user]\nname = Ann\nemail = ann@example.org\n[init]\ndefaultBranch = main\n[gc]\nauto = 0\n";
        std::fs::write(machine.path(".gitconfig"), identity).unwrap();
        machine
    }

    pub fn project(&self) -> PathBuf {
        self.path("project")
    }

    /// A path beside the project.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file of the project.
    pub fn file(&self, name: &str, text: &str) {
        let path = self.project().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.project().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Writes a recording of turns, each a line of JSON, and gives its path.
    pub fn replay(&self, turns: &[impl Display]) -> String {
        let mut lines = vec![r#"{"replay":1}"#.to_owned()];
        lines.extend(turns.iter().map(ToString::to_string));
        let file = self.path("turns.jsonl");
        std::fs::write(&file, lines.join("\n")).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// A program in the project, in this machine's environment, without input.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.project()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").expect("a search path"));
        command.env("HOME", self.0.path()).env("AGENT_HOME", self.path("home")).env("TMPDIR", self.0.path());
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("CARGO_NET_OFFLINE", "true");
        let real = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        for (name, below) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo"), ("PYENV_ROOT", ".pyenv")] {
            let place = std::env::var_os(name).map_or_else(|| real.join(below), PathBuf::from);
            if place.is_dir() {
                command.env(name, place);
            }
        }
        command
    }

    /// This program, with arguments.
    pub fn agent_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_agent"));
        command.args(arguments);
        command
    }

    /// Runs this program to its end.
    #[track_caller]
    pub fn agent(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.agent_command(arguments).output().unwrap())
    }

    /// Runs git in the project; a failure is the test's.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        let ended = Ended::of(self.command("git").args(arguments).output().unwrap());
        assert_eq!(ended.code, Some(0), "git {arguments:?}: {ended:?}");
        ended.out
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    #[track_caller]
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Checks the exit code, and that one line of stderr gives the reason.
    #[track_caller]
    pub fn check(&self, code: i32, says: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.err.lines().any(|line| line.contains(says)), "no line of stderr says `{says}`: {self:?}");
    }
}

/// Whether a program is here. A test without it says so and passes.
pub fn is_here(program: &str, argument: &str) -> bool {
    let here = Command::new(program).arg(argument).stdin(Stdio::null()).output().is_ok_and(|o| o.status.success());
    if !here {
        eprintln!("SKIPPED: `{program} {argument}` does not work here");
    }
    here
}

/// A file of `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}
