//! Writing a session, so that a killed process loses nothing that was said.
//!
//! Each entry is one line, written with one call. A line that was cut off, by a kill or a full disk, is removed before the
//! next is written, so a torn line is never glued to a whole one.

use crate::protocol::event::Event;
use crate::protocol::message::Message;
use crate::protocol::turn::Delta;
use crate::sessions::SessionError;
use crate::sessions::shelf::path_of;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a log that somebody holds is waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// The format's version, in the first line of every session.
pub const FORMAT: u64 = 1;

/// What a session is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// See [`fresh_id`].
    pub id: String,
    /// Seconds since 1970.
    pub started: u64,
    /// The project's directory.
    pub root: PathBuf,
    pub model: String,
    pub mode: String,
    /// The program's version.
    pub version: String,
}

/// The first line.
#[derive(Serialize)]
struct Opening<'a> {
    session: u64,
    #[serde(flatten)]
    head: &'a Head,
}

/// Every other line.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Entry<'a> {
    Message(&'a Message),
    Event(&'a Event),
    /// Of one of several attempts at once.
    Of {
        attempt: u32,
        #[serde(flatten)]
        entry: &'a Entry<'a>,
    },
}

/// A session that is being written.
#[derive(Debug)]
pub struct SessionLog {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines; what stands behind them in the file is torn.
    whole: u64,
}

impl SessionLog {
    /// Starts a session in `dir`, which is made (0700) when it is missing. The file is private (0600).
    pub fn create(dir: &Path, head: &Head) -> Result<Self, SessionError> {
        let path = path_of(dir, &head.id);
        let failed = |source| SessionError::Write { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        let mut log = Self { path, file, whole: 0 };
        log.lock()?;
        log.line(&Opening { session: FORMAT, head })?;
        Ok(log)
    }

    /// Opens a session to append to it. A last line that was torn is removed, one that only lacks its end gets it.
    pub fn resume(dir: &Path, id: &str) -> Result<Self, SessionError> {
        let path = path_of(dir, id);
        let failed = |source| SessionError::Read { path: path.clone(), source };
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        let mut log = Self { path: path.clone(), file, whole: 0 };
        log.lock()?;
        let mut bytes = Vec::new();
        log.file.read_to_end(&mut bytes).map_err(failed)?;
        crate::sessions::fold::head(&bytes, &path)?;
        let lines = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let tail = &bytes[lines..];
        if !tail.is_empty() && serde_json::from_slice::<IgnoredAny>(tail).is_ok() {
            log.file.write_all(b"\n").map_err(failed)?;
            log.whole = bytes.len() as u64 + 1;
        } else {
            log.whole = lines as u64;
            log.mend()?;
        }
        Ok(log)
    }

    /// Where the session is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a message that no event makes: the opening of a run, a person's words.
    pub fn message(&mut self, message: &Message) -> Result<(), SessionError> {
        self.message_of(None, message)
    }

    /// The same of one of several attempts at once, by its number. Reading back puts each one's entries together.
    pub fn message_of(&mut self, attempt: Option<u32>, message: &Message) -> Result<(), SessionError> {
        self.of(attempt, &Entry::Message(message))
    }

    /// Appends an event. What only streams is left out, since the turn comes whole; notices are kept. At the end of a turn
    /// and of a run the disk is waited for.
    pub fn record(&mut self, event: &Event) -> Result<(), SessionError> {
        self.record_of(None, event)
    }

    /// The same of one of several attempts at once.
    pub fn record_of(&mut self, attempt: Option<u32>, event: &Event) -> Result<(), SessionError> {
        if matches!(event, Event::Delta(delta) if !matches!(delta, Delta::Notice { .. })) {
            return Ok(());
        }
        self.of(attempt, &Entry::Event(event))?;
        if matches!(event, Event::Turn { .. } | Event::Done { .. }) {
            self.file.sync_data().map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    fn of(&mut self, attempt: Option<u32>, entry: &Entry<'_>) -> Result<(), SessionError> {
        match attempt {
            Some(attempt) => self.line(&Entry::Of { attempt, entry }),
            None => self.line(entry),
        }
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), SessionError> {
        let mut line = serde_json::to_vec(value).map_err(|error| self.failed(error.into()))?;
        line.push(b'\n');
        if let Err(source) = self.file.write_all(&line) {
            // What was written of it is cut off again; where even that fails, the reader skips it.
            let _ = self.mend();
            return Err(self.failed(source));
        }
        self.whole += line.len() as u64;
        Ok(())
    }

    fn mend(&mut self) -> Result<(), SessionError> {
        let mended = self.file.set_len(self.whole).and_then(|()| self.file.seek(SeekFrom::Start(self.whole)));
        mended.map(drop).map_err(|source| self.failed(source))
    }

    /// Takes the log for this process. A command that is just being started holds what this process held until its program
    /// runs, so a lock that is taken is tried for a moment.
    fn lock(&self) -> Result<(), SessionError> {
        let start = Instant::now();
        loop {
            match self.file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => std::thread::sleep(PATIENCE / 20),
                Err(TryLockError::WouldBlock) => return Err(SessionError::InUse { path: self.path.clone() }),
                Err(TryLockError::Error(source)) => return Err(self.failed(source)),
            }
        }
    }

    fn failed(&self, source: std::io::Error) -> SessionError {
        SessionError::Write { path: self.path.clone(), source }
    }
}

/// Makes a session's id from its start (seconds since 1970): it sorts by time, and its end is random.
pub fn fresh_id(started: u64) -> String {
    // Every `RandomState` has keys of its own, seeded by the system.
    let random = RandomState::new().hash_one(std::process::id()) as u32;
    let (year, month, day) = date(started / 86_400);
    let (hour, minute, second) = (started / 3_600 % 24, started / 60 % 60, started % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}-{random:08x}")
}

/// The Gregorian date of a day since 1970-01-01, after "chrono-Compatible Low-Level Date Algorithms" (H. Hinnant): years are
/// counted from March, so that the leap day is the last.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}
