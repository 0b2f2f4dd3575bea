//! The checker that a project configures, run after an edit where the person switched it on: its first errors are in the answer.
//!
//! A checker is a command like any other (`cargo check` runs build scripts, `tsc` is the repository's own file), so it runs only
//! where commands are allowed; whoever makes the workbench sees to that.

use crate::path::RepoPath;
use crate::sandbox::process::{self, Command, Finished, Line};
use crate::text::clip;
use crate::text::plain::plain;
use crate::tools::Workbench;
use std::path::Path;
use std::time::Duration;

/// Whether checkers run after edits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    #[default]
    Off,
    On,
}

/// A checker, and how a project shows that it uses it.
struct Checker {
    extensions: &'static [&'static str],
    /// Files at the root, of which one stands there, with what it must hold.
    configured: &'static [(&'static str, &'static str)],
    argv: &'static [&'static str],
    /// It takes the edited file; else it checks the project.
    takes_path: bool,
    name: &'static str,
}

const CHECKERS: [Checker; 3] = [
    Checker {
        extensions: &["rs"],
        configured: &[("Cargo.toml", "")],
        argv: &["cargo", "check", "--offline", "--quiet", "--message-format", "short"],
        takes_path: false,
        name: "cargo check",
    },
    Checker {
        extensions: &["py", "pyi"],
        configured: &[("ruff.toml", ""), (".ruff.toml", ""), ("pyproject.toml", "[tool.ruff")],
        argv: &["ruff", "check", "--quiet", "--no-fix", "--output-format", "concise"],
        takes_path: true,
        name: "ruff check",
    },
    Checker {
        extensions: &["ts", "tsx", "mts", "cts"],
        configured: &[("tsconfig.json", "")],
        argv: &["node_modules/.bin/tsc", "--noEmit", "--pretty", "false"],
        takes_path: false,
        name: "tsc",
    },
];

/// The longest that an edit waits for it.
const SECONDS: u64 = 30;
/// Lines of its output that are told, and characters of each.
const LINES: usize = 5;
const LINE: usize = 200;
/// Bytes of its output that are looked through.
const OUTPUT: usize = 64 << 10;

/// What the checkers of changed files find, in words for the model; empty when they find nothing, or none is to run.
pub(crate) fn words<'a>(bench: &Workbench, paths: impl IntoIterator<Item = &'a RepoPath>) -> String {
    let mut words = String::new();
    if bench.checks == Checks::Off {
        return words;
    }
    let mut done: Vec<&str> = Vec::new();
    for path in paths {
        let extension = path.extension();
        let fits =
            |checker: &&Checker| checker.extensions.contains(&extension.as_str()) && is_configured(checker, bench.root.as_path());
        let Some(checker) = CHECKERS.iter().find(fits).filter(|checker| !done.contains(&checker.name)) else { continue };
        if !checker.takes_path {
            done.push(checker.name);
        }
        words.push_str(&checked(bench, checker, path));
    }
    words
}

fn is_configured(checker: &Checker, root: &Path) -> bool {
    // What holds nothing is not read.
    let holds = |file: &Path, part: &str| part.is_empty() || std::fs::read_to_string(file).is_ok_and(|text| text.contains(part));
    checker.configured.iter().map(|(file, part)| (root.join(file), part)).any(|(file, part)| file.is_file() && holds(&file, part))
}

fn checked(bench: &Workbench, checker: &Checker, path: &RepoPath) -> String {
    let file = checker.takes_path.then(|| path.as_str().into());
    let seconds = SECONDS.min(bench.max_seconds);
    let command = Command {
        line: Line::Argv(checker.argv.iter().map(|part| (*part).into()).chain(file).collect()),
        dir: bench.root.as_path().to_owned(),
        env: Vec::new(),
        limit: Duration::from_secs(seconds),
        keep: OUTPUT,
        log: None,
    };
    match process::run(&command, &bench.cancel) {
        // It is not there: nobody can say what it would find.
        Err(_) | Ok(Finished { cancelled: true, .. } | Finished { code: Some(0), .. }) => String::new(),
        Ok(Finished { timed_out: true, .. }) => format!("\n`{}` was ended after {seconds} seconds", checker.name),
        Ok(done) => format!("\n`{}` fails:\n{}", checker.name, errors(&plain(&done.output.text()), path)),
    }
}

/// The first lines that tell of errors, else the first lines; those of the edited file go first.
fn errors(output: &str, path: &RepoPath) -> String {
    let lines = || output.lines().filter(|line| !line.trim().is_empty());
    let (own, others): (Vec<&str>, Vec<&str>) = lines()
        .filter(|line| line.contains("error") || line.starts_with(path.as_str()))
        .partition(|line| line.contains(path.as_str()));
    let mut told: Vec<&str> = own.into_iter().chain(others).collect();
    if told.is_empty() {
        told = lines().collect();
    }
    let mut text: Vec<String> = told.iter().take(LINES).map(|line| clip::line(line, LINE).into_owned()).collect();
    if told.len() > LINES {
        text.push(format!("[{} lines more]", told.len() - LINES));
    }
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use crate::path::Root;
    use crate::tools::checks::errors;

    #[test]
    fn the_edited_file_s_errors_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = Root::open(dir.path()).unwrap().parse("src/b.rs").unwrap();
        let output = "warning: x\nsrc/a.rs:1:1: error[E1]: a\n\nsrc/b.rs:2:1: error[E2]: b\nerror: could not compile\n";
        assert_eq!(errors(output, &path), "src/b.rs:2:1: error[E2]: b\nsrc/a.rs:1:1: error[E1]: a\nerror: could not compile");
        assert_eq!(errors("it broke\n", &path), "it broke");
        let many: String = (0..9).map(|n| format!("src/b.rs:{n}: F821\n")).collect();
        assert!(errors(&many, &path).ends_with("src/b.rs:4: F821\n[4 lines more]"));
    }
}
