//! Runs one command to its end: own process group, no stdin, one stream of output, a time limit, nothing left behind.
//!
//! A thread waits for the exit while the caller polls the output, so no runtime is needed. The exit is noticed without reaping, and the group is killed before the reaping: its id cannot be reused in between.

use crate::sandbox::output::{Captured, Output};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What to run.
#[derive(Clone, Debug)]
pub enum Line {
    /// A line for `sh -c`.
    Shell(String),
    /// A program and its arguments, no shell in between.
    Argv(Vec<OsString>),
}

/// A command and its bounds.
#[derive(Clone, Debug)]
pub struct Command {
    pub line: Line,
    pub dir: PathBuf,
    /// On top of the inherited environment.
    pub env: Vec<(OsString, OsString)>,
    pub limit: Duration,
    /// The most bytes of output kept in memory: 40 % from its beginning, 60 % from its end.
    pub keep: usize,
    /// Where the whole output goes once it is longer than `keep`. Its directory is made when needed.
    pub log: Option<PathBuf>,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// The limit was reached and the command was killed.
    pub timed_out: bool,
    pub cancelled: bool,
    /// Standard output and standard error in the order in which they were written.
    pub output: Output,
    pub took: Duration,
}

/// Why a command could not be started or watched.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("there is no command to run")]
    Empty,
    #[error("cannot start `{program}` in `{dir}`")]
    Start { program: String, dir: PathBuf, source: io::Error },
    #[error("lost sight of `{program}`")]
    Watch { program: String, source: io::Error },
}

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_millis(500);
/// For output that is still in the pipe after the command's end; a process that left the group may hold it open for ever.
const DRAIN: Duration = Duration::from_millis(300);
/// How often cancellation is looked at.
const TICK: Duration = Duration::from_millis(25);

/// Makes commands neither colour, page nor ask.
const QUIET: [(&str, &str); 5] =
    [("TERM", "dumb"), ("PAGER", "cat"), ("GIT_PAGER", "cat"), ("NO_COLOR", "1"), ("GIT_TERMINAL_PROMPT", "0")];
/// Set inside a git hook, they would point every `git` at the wrong repository; `CI` changes what test runners do.
const UNSET: [&str; 5] = ["CI", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"];

/// Runs a command and waits for its end, blocking. Whatever it left in its process group is killed then.
pub fn run(command: &Command, cancel: &CancellationToken) -> Result<Finished, SpawnError> {
    start(command)?.finish(cancel, &mut |_| {})
}

/// A command that was started. Whoever has it must see it to its end.
pub(crate) struct Started {
    child: Child,
    watched: Watched,
    began: Instant,
    limit: Duration,
    program: String,
}

/// Starts a command.
pub(crate) fn start(command: &Command) -> Result<Started, SpawnError> {
    let began = Instant::now();
    let (child, output) = spawn(command)?;
    let program = program(command);
    let group = Pid::from_child(&child);
    let exit = watch_exit(group).inspect_err(|_| _ = kill_process_group(group, Signal::KILL));
    let exit = exit.map_err(|source| SpawnError::Watch { program: program.clone(), source })?;
    let watched = Watched { output, exit, captured: Captured::new(command.keep, command.log.clone()), ended: false, open: true };
    Ok(Started { child, watched, began, limit: command.limit, program })
}

impl Started {
    /// The process, which leads a group of its own.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Has the whole output logged, however short it is: somebody may look at it before the end.
    pub(crate) fn log_at_once(&mut self) {
        self.watched.captured.open_log();
    }

    /// Waits for the end, and hands every piece of output to `heard` as it comes.
    pub(crate) fn finish(mut self, cancel: &CancellationToken, heard: Heard<'_>) -> Result<Finished, SpawnError> {
        let watch = |source| SpawnError::Watch { program: self.program.clone(), source };
        let group = Pid::from_child(&self.child);
        let stopped = self.watched.until_end(self.began + self.limit, cancel, heard).map_err(watch);
        let stop_now = !matches!(stopped, Ok(Stopped::Ended));
        if stop_now {
            let _ = kill_process_group(group, Signal::TERM);
            let _ = self.watched.until_end(Instant::now() + GRACE, &CancellationToken::new(), heard);
        }
        // Also after a normal end: what runs on in the background would outlive the answer that speaks of it.
        let _ = kill_process_group(group, Signal::KILL);
        // The command itself may have changed its group.
        let _ = self.child.kill();
        let drained = self.watched.drain(Instant::now() + DRAIN, heard);
        let status = self.child.wait().map_err(watch)?;
        drained.map_err(watch)?;
        let stopped = stopped?;
        Ok(Finished {
            code: status.code(),
            signal: status.signal(),
            timed_out: stopped == Stopped::TimedOut,
            cancelled: stopped == Stopped::Cancelled,
            output: self.watched.captured.finish(),
            took: self.began.elapsed(),
        })
    }
}

/// Told of each piece of output.
pub(crate) type Heard<'a> = &'a mut dyn FnMut(&[u8]);

fn program(command: &Command) -> String {
    match &command.line {
        Line::Shell(_) => "sh".into(),
        Line::Argv(argv) => argv.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default(),
    }
}

fn spawn(command: &Command) -> Result<(Child, PipeReader), SpawnError> {
    let start = |source| SpawnError::Start { program: program(command), dir: command.dir.clone(), source };
    let mut process = match &command.line {
        Line::Shell(line) => {
            let mut shell = std::process::Command::new("sh");
            shell.arg("-c").arg(line);
            shell
        }
        Line::Argv(argv) => {
            let (program, arguments) = argv.split_first().ok_or(SpawnError::Empty)?;
            let mut process = std::process::Command::new(program);
            process.args(arguments);
            process
        }
    };
    let (reader, writer) = io::pipe().map_err(start)?;
    process.current_dir(&command.dir).process_group(0).stdin(Stdio::null());
    process.stdout(writer.try_clone().map_err(start)?).stderr(writer);
    UNSET.iter().for_each(|name| _ = process.env_remove(name));
    process.envs(QUIET).envs(command.env.iter().cloned());
    // `process` holds the pipe's writing end: it goes out of scope here, or the pipe would never end.
    Ok((process.spawn().map_err(start)?, reader))
}

/// A pipe that ends when the process has, without reaping it.
fn watch_exit(pid: Pid) -> io::Result<PipeReader> {
    let (reader, writer) = io::pipe()?;
    std::thread::Builder::new().name("await-command".into()).spawn(move || {
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {}
        drop(writer);
    })?;
    Ok(reader)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    Ended,
    TimedOut,
    Cancelled,
}

/// A running command's output and exit.
struct Watched {
    output: PipeReader,
    exit: PipeReader,
    captured: Captured,
    ended: bool,
    open: bool,
}

impl Watched {
    /// Reads until the command ends, the deadline passes, or someone cancels.
    fn until_end(&mut self, deadline: Instant, cancel: &CancellationToken, heard: Heard<'_>) -> io::Result<Stopped> {
        while !self.ended {
            if cancel.is_cancelled() {
                return Ok(Stopped::Cancelled);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Stopped::TimedOut);
            }
            self.step(left.min(TICK), heard)?;
        }
        Ok(Stopped::Ended)
    }

    /// Reads what is left, until the pipe ends or the deadline passes.
    fn drain(&mut self, deadline: Instant, heard: Heard<'_>) -> io::Result<()> {
        self.ended = true;
        while self.open {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.step(left, heard)?;
        }
        Ok(())
    }

    /// Waits for output or the exit, at most for `wait`, and takes one piece of output.
    fn step(&mut self, wait: Duration, heard: Heard<'_>) -> io::Result<()> {
        let timeout = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: i64::from(wait.subsec_nanos()) };
        // Poll reports a pipe that has ended again and again: watch only what still has news.
        let mut fds = Vec::with_capacity(2);
        if self.open {
            fds.push(PollFd::new(&self.output, PollFlags::IN));
        }
        if !self.ended {
            fds.push(PollFd::new(&self.exit, PollFlags::IN));
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let (output, exit) = (self.open && ready[0], !self.ended && ready[ready.len() - 1]);
        if output {
            let mut piece = [0; 16 * 1024];
            match self.output.read(&mut piece)? {
                0 => self.open = false,
                n => {
                    self.captured.take(&piece[..n]);
                    heard(&piece[..n]);
                }
            }
        }
        self.ended |= exit;
        Ok(())
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
