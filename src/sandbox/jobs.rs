//! Commands that run on while their caller does something else: each on a thread of its own, all of them ended with the session.
//!
//! What becomes of them is news, to be asked for when somebody can listen: an end, a line that says something, a silence. Nobody
//! waits for it, and each is told once.

use crate::sandbox::process::{Command, Finished, SpawnError, start};
use crate::text::clip;
use crate::text::plain::plain;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The most that run at a time.
const MOST: usize = 8;
/// Words of a line that is told as soon as it comes: a server is ready, or something is wrong.
const TELLING: [&str; 9] = ["listening", "ready", "running on", "serving", "started", "error", "panicked", "traceback", "failed"];
/// Lines that are told of one job; the rest stands in its file.
const LINES: usize = 3;
/// Bytes of a line that are told.
const LINE: usize = 200;
/// A job that prints nothing for so long is told of.
const SILENCE: Duration = Duration::from_secs(60);

/// The background commands of one session.
#[derive(Debug, Default)]
pub struct Jobs(Mutex<Vec<Job>>);

/// What is said of a job that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its number in the session, from 1.
    pub id: usize,
    pub process: u32,
    /// Where all its output goes.
    pub log: PathBuf,
}

/// Why a job was not started.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("{MOST} commands run in the background already")]
    TooMany,
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

/// Something that became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    pub id: usize,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A line that says something.
    Printed(String),
    /// It has printed nothing for so many seconds.
    Silent(u64),
    /// Its end, in words, and what it printed last.
    Ended { how: String, last: String },
}

#[derive(Debug)]
struct Job {
    id: usize,
    stop: CancellationToken,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread of a job knows, and what of it was told.
#[derive(Debug)]
struct State {
    heard: Instant,
    silence_told: bool,
    lines: VecDeque<String>,
    lines_told: usize,
    /// The line that is being printed.
    open: Vec<u8>,
    ended: Option<What>,
    end_told: bool,
}

impl State {
    fn hear(&mut self, piece: &[u8]) {
        self.heard = Instant::now();
        self.silence_told = false;
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let room = (8 * LINE).saturating_sub(self.open.len());
            self.open.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.open).trim().to_owned();
                self.open.clear();
                let telling = TELLING.iter().any(|word| line.to_lowercase().contains(word));
                if telling && self.lines_told + self.lines.len() < LINES {
                    self.lines.push_back(clip::prefix(&line, LINE).to_owned());
                }
            }
        }
    }
}

impl Jobs {
    /// Starts a command that runs on. All its output goes to its log.
    pub fn start(&self, command: &Command, log: PathBuf) -> Result<Begun, JobError> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.iter().filter(|job| job.state.lock().is_ok_and(|state| state.ended.is_none())).count() >= MOST {
            return Err(JobError::TooMany);
        }
        let mut started = start(&Command { log: Some(log.clone()), ..command.clone() })?;
        started.log_at_once();
        let (id, process) = (jobs.len() + 1, started.id());
        let state = State {
            heard: Instant::now(),
            silence_told: false,
            lines: VecDeque::new(),
            lines_told: 0,
            open: Vec::new(),
            ended: None,
            end_told: false,
        };
        let (state, stop) = (Arc::new(Mutex::new(state)), CancellationToken::new());
        let (own, halt) = (Arc::clone(&state), stop.clone());
        let watch = move || {
            let with = |change: &mut dyn FnMut(&mut State)| change(&mut own.lock().unwrap_or_else(PoisonError::into_inner));
            let done = started.finish(&halt, &mut |piece| with(&mut |state| state.hear(piece)));
            let end = ended(done);
            with(&mut |state| state.ended = Some(end.clone()));
        };
        let thread = std::thread::Builder::new().name(format!("job-{id}")).spawn(watch).ok();
        jobs.push(Job { id, stop, state, thread });
        Ok(Begun { id, process, log })
    }

    /// Takes what became of the jobs since the last time.
    pub fn news(&self) -> Vec<News> {
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut news = Vec::new();
        for job in jobs.iter() {
            let mut state = job.state.lock().unwrap_or_else(PoisonError::into_inner);
            let mut tell = |what| news.push(News { id: job.id, what });
            while let Some(line) = state.lines.pop_front() {
                state.lines_told += 1;
                tell(What::Printed(line));
            }
            match state.ended.clone().filter(|_| !state.end_told) {
                Some(end) => {
                    state.end_told = true;
                    tell(end);
                }
                None if state.ended.is_none() && state.heard.elapsed() >= SILENCE && !state.silence_told => {
                    state.silence_told = true;
                    tell(What::Silent(state.heard.elapsed().as_secs()));
                }
                None => {}
            }
        }
        news
    }

    /// Ends all of them, and waits until they have ended: a second at most.
    pub fn end(&self) {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.iter().for_each(|job| job.stop.cancel());
        jobs.drain(..).filter_map(|job| job.thread).for_each(|thread| _ = thread.join());
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.end();
    }
}

fn ended(done: Result<Finished, SpawnError>) -> What {
    match done {
        Ok(done) => {
            let how = match (done.timed_out, done.code, done.signal) {
                (true, ..) => "its time was over".to_owned(),
                (_, Some(code), _) => format!("exit code {code}"),
                (.., signal) => format!("signal {}", signal.unwrap_or_default()),
            };
            let text = plain(done.output.text().trim());
            let last = clip::suffix(&text, 2 * LINE);
            let whole = if last.len() < text.len() { last.split_once('\n').map_or(last, |(_, rest)| rest) } else { last };
            What::Ended { how, last: whole.to_owned() }
        }
        Err(error) => What::Ended { how: error.to_string(), last: String::new() },
    }
}

#[cfg(test)]
mod tests {
    use crate::sandbox::jobs::{JobError, Jobs, MOST, What};
    use crate::sandbox::process::{Command, Line};
    use std::time::{Duration, Instant};

    fn shell(line: &str) -> Command {
        let limit = Duration::from_secs(20);
        Command { line: Line::Shell(line.into()), dir: "/".into(), env: Vec::new(), limit, keep: 400, log: None }
    }

    /// All news until one of them satisfies `last`.
    fn until(jobs: &Jobs, last: impl Fn(&What) -> bool) -> Vec<What> {
        let begun = Instant::now();
        let mut all = Vec::new();
        while !all.iter().any(&last) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{all:?}");
            all.extend(jobs.news().into_iter().map(|news| news.what));
            std::thread::yield_now();
        }
        all
    }

    #[test]
    fn a_line_and_the_end_are_told_once_and_the_file_holds_everything() {
        let dir = tempfile::tempdir().unwrap();
        let jobs = Jobs::default();
        let begun = jobs.start(&shell("echo one; echo Listening on 80; echo two; exit 3"), dir.path().join("logs/1")).unwrap();
        let told = until(&jobs, |what| matches!(what, What::Ended { .. }));
        let end = What::Ended { how: "exit code 3".into(), last: "one\nListening on 80\ntwo".into() };
        assert_eq!(told, [What::Printed("Listening on 80".into()), end]);
        assert_eq!(jobs.news(), []);
        assert_eq!(std::fs::read_to_string(begun.log).unwrap(), "one\nListening on 80\ntwo\n");
    }

    #[test]
    fn all_end_with_the_session() {
        let dir = tempfile::tempdir().unwrap();
        let jobs = Jobs::default();
        let begun = jobs.start(&shell("echo ready; sleep 100"), dir.path().join("1")).unwrap();
        until(&jobs, |what| matches!(what, What::Printed(_)));
        let alive = || rustix::process::test_kill_process(rustix::process::Pid::from_raw(begun.process.cast_signed()).unwrap());
        assert!(alive().is_ok());
        drop(jobs);
        assert!(alive().is_err());
    }

    #[test]
    fn there_are_not_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let jobs = Jobs::default();
        for at in 0..MOST {
            jobs.start(&shell("sleep 100"), dir.path().join(at.to_string())).unwrap();
        }
        assert!(matches!(jobs.start(&shell("true"), dir.path().join("x")), Err(JobError::TooMany)));
    }
}
