//! A command's output while it streams: head and tail in memory, all of it in a log once it is longer.

use crate::text::clip;
use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The most bytes that a log takes: a command that never stops printing must not fill the disk.
pub const LOG_LIMIT: u64 = 64 << 20;

/// What is kept of a command's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The beginning; followed directly by `tail` when nothing was cut.
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
    /// Bytes of the whole output.
    pub total: u64,
    /// Where the whole output is (up to 64 MiB of it), when it was cut and a log was asked for.
    pub log: Option<PathBuf>,
}

impl Output {
    /// Bytes between head and tail that are not kept.
    pub fn cut(&self) -> u64 {
        self.total - (self.head.len() + self.tail.len()) as u64
    }

    /// Head and tail as text, with a line between them that says how much is missing. Bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> String {
        if self.cut() == 0 {
            return String::from_utf8_lossy(&[self.head.as_slice(), &self.tail].concat()).into_owned();
        }
        let whole = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_matches('\u{fffd}').to_owned();
        let (head, tail) = (whole(&self.head), whole(&self.tail));
        format!("{}\n[{} bytes cut]\n{}", head.trim_end_matches('\n'), self.cut(), tail)
    }
}

/// Takes output piece by piece.
pub(crate) struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    room: (usize, usize),
    total: u64,
    log: Log,
}

enum Log {
    Unwanted,
    /// Not made yet: the output fits in memory so far.
    At(PathBuf),
    Open(PathBuf, File),
}

impl Captured {
    pub(crate) fn new(keep: usize, log: Option<PathBuf>) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            room: clip::shares(keep),
            total: 0,
            log: log.map_or(Log::Unwanted, Log::At),
        }
    }

    pub(crate) fn take(&mut self, piece: &[u8]) {
        let overflows = self.total + piece.len() as u64 > (self.room.0 + self.room.1) as u64;
        if overflows {
            self.open_log();
        }
        if let Log::Open(_, file) = &mut self.log {
            let left = usize::try_from(LOG_LIMIT.saturating_sub(self.total)).unwrap_or(usize::MAX);
            // A full disk costs the log, not the command.
            if file.write_all(&piece[..piece.len().min(left)]).is_err() {
                self.log = Log::Unwanted;
            }
        }
        self.total += piece.len() as u64;
        let (first, rest) = piece.split_at(piece.len().min(self.room.0 - self.head.len()));
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        self.tail.drain(..self.tail.len().saturating_sub(self.room.1));
    }

    /// Begins the log with all that came so far, which is still whole in memory.
    pub(crate) fn open_log(&mut self) {
        if let Log::At(path) = &self.log {
            let (early, late) = self.tail.as_slices();
            self.log = match begin(path, [&self.head, early, late]) {
                Ok(file) => Log::Open(path.clone(), file),
                Err(_) => Log::Unwanted,
            };
        }
    }

    pub(crate) fn finish(self) -> Output {
        let log = match self.log {
            Log::Open(path, _) => Some(path),
            Log::Unwanted | Log::At(_) => None,
        };
        Output { head: self.head, tail: self.tail.into(), total: self.total, log }
    }
}

fn begin(path: &Path, parts: [&[u8]; 3]) -> std::io::Result<File> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    // Like a session: what a command prints is nobody else's to read.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use crate::sandbox::output::Captured;
    use proptest::prelude::*;

    #[test]
    fn says_what_is_missing() {
        let mut captured = Captured::new(10, None);
        captured.take(b"0123456789abcdef");
        let output = captured.finish();
        assert_eq!((output.cut(), output.text()), (6, "0123\n[6 bytes cut]\nabcdef".to_owned()));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(bytes in prop::collection::vec(any::<u8>(), 0..60), size in 1usize..20, keep in 1usize..40) {
            let dir = tempfile::tempdir().unwrap();
            let mut captured = Captured::new(keep, Some(dir.path().join("logs/x")));
            bytes.chunks(size).for_each(|piece| captured.take(piece));
            let output = captured.finish();
            prop_assert!(bytes.starts_with(&output.head) && bytes.ends_with(&output.tail));
            prop_assert_eq!(output.head.len() + output.tail.len(), bytes.len().min(keep));
            match &output.log {
                Some(log) => prop_assert_eq!(std::fs::read(log).unwrap(), bytes),
                None => prop_assert_eq!(output.cut(), 0),
            }
        }
    }
}
