//! `run`: a command in the project's root, its end in one line, its output bounded.

use crate::protocol::tool::{ToolAnswer, ToolFailure};
use crate::sandbox::jobs::JobError;
use crate::sandbox::output::LOG_LIMIT;
use crate::sandbox::process::{self, Command, Finished, Line, SpawnError};
use crate::text::plain::plain;
use crate::tools::{Work, Workbench, failure, seen};
use serde::Deserialize;
use std::time::Duration;

/// What a command gets that asks for nothing.
const SECONDS: u64 = 120;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    command: String,
    seconds: Option<u64>,
    #[serde(default)]
    background: bool,
}

pub(crate) fn perform(bench: &mut Workbench, arguments: &Arguments) -> Work {
    let line = arguments.command.trim();
    if line.is_empty() {
        return Err(failure("arguments", "`run` was not run: the command is empty", "Send a command for the shell."));
    }
    let wanted = if arguments.background { bench.max_seconds } else { SECONDS };
    let seconds = arguments.seconds.unwrap_or(wanted).min(bench.max_seconds);
    let command = Command {
        line: Line::Shell(line.to_owned()),
        dir: bench.root.as_path().to_owned(),
        env: Vec::new(),
        limit: Duration::from_secs(seconds),
        keep: bench.sizes.output,
        // Named for the command, so that the same output gives the same answer.
        log: bench.sizes.log.then(|| bench.logs.join(format!("run-{:016x}.log", seen::hash(line)))),
    };
    if arguments.background {
        return begin(bench, &command);
    }
    let done = process::run(&command, &bench.cancel).map_err(|e| unstarted(&e))?;
    Ok(answer(&done, seconds, bench.max_seconds))
}

/// Starts a command that runs on until it ends, or the session does.
fn begin(bench: &Workbench, command: &Command) -> Work {
    let Some(jobs) = &bench.jobs else {
        let message = "`run` was not run: in the background only a session can run a command";
        return Err(failure("arguments", message, "Leave out background."));
    };
    // One file for each: two of the same command may run.
    let log = (1..).map(|at| bench.logs.join(format!("job-{at}.log"))).find(|log| !log.exists()).unwrap_or_default();
    match jobs.start(command, log) {
        Ok(begun) => Ok(ToolAnswer::done(format!(
            "job {} runs as process {}, its output goes to {}; you will be told when it ends, so go on",
            begun.id,
            begun.process,
            begun.log.display()
        ))),
        Err(JobError::Spawn(error)) => Err(unstarted(&error)),
        Err(error) => Err(failure("too_many", error.to_string(), "End one with kill.")),
    }
}

fn unstarted(error: &SpawnError) -> ToolFailure {
    let cause = std::error::Error::source(error).map(|e| format!(": {e}")).unwrap_or_default();
    failure("io", format!("{error}{cause}"), "")
}

fn answer(done: &Finished, seconds: u64, most: u64) -> ToolAnswer {
    let (kind, end, hint) = match done {
        Finished { cancelled: true, .. } => ("cancelled", "the command was cancelled".to_owned(), ""),
        Finished { timed_out: true, .. } => {
            let hint = if seconds < most { "Run less at once, or give more seconds." } else { "Run less at once." };
            ("timeout", format!("the command was ended after {seconds} seconds"), hint)
        }
        Finished { code: Some(0), .. } => ("", "exit code 0".to_owned(), ""),
        Finished { code: Some(code), .. } => ("exit", format!("exit code {code}"), ""),
        Finished { signal, .. } => ("signal", format!("the command was ended by signal {}", signal.unwrap_or_default()), ""),
    };
    let output = plain(&done.output.text());
    let mut text = if output.trim().is_empty() { format!("{end}, no output") } else { format!("{end}\n{}", output.trim_end()) };
    if let Some(log) = &done.output.log {
        let part = if done.output.total > LOG_LIMIT { format!("the first {LOG_LIMIT} of") } else { "all".to_owned() };
        text.push_str(&format!("\n[{part} {} bytes are in {}: look with grep or tail]", done.output.total, log.display()));
    }
    if !hint.is_empty() {
        text.push_str(&format!("\n{hint}"));
    }
    if kind.is_empty() { ToolAnswer::done(text) } else { ToolAnswer { text, ..ToolAnswer::failed(kind, end, hint) } }
}
