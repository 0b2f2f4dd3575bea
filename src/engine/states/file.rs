//! One state as a file: a head that can be read alone, then the bytes that it lists, each part with a checksum.
//!
//! `agentkv1` · length of the head · checksum of the head · the head as JSON · the state · its checkpoints. All numbers have
//! eight bytes, the lowest first. A file has exactly the length that its head says, or it was cut.

use crate::engine::states::checksum::checksum;
use crate::engine::states::{Checkpoint, Saved};
use crate::units::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const MAGIC: &[u8; 8] = b"agentkv1";
const FIXED: u64 = 24;
const EXTENSION: &str = "kv";
/// The longest head: a million tokens as text, twice, and a conversation of as many.
const LONGEST_HEAD: u64 = 64 << 20;
/// Bytes between two looks whether to go on: some 10 ms of a slow disk's time.
const PIECE: usize = 4 << 20;
/// A file that was begun this long ago is not being written any more.
const ABANDONED: Duration = Duration::from_secs(3600);

/// What can be known of a state without reading it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Head {
    identity: String,
    pub opening: bool,
    pub tokens: Vec<i32>,
    state: Part,
    pub checkpoints: Vec<Part>,
    #[serde(default)]
    pub past: Option<Value>,
}

/// A run of bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Tokens that it stands for.
    pub length: usize,
    bytes: u64,
    sum: u64,
}

/// A file whose head was read.
#[derive(Clone, Debug)]
pub struct Place {
    pub path: PathBuf,
    identity: String,
}

/// Why a file is of no use.
#[derive(Debug)]
pub enum Problem {
    Gone,
    Damaged(String),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Gone,
            io::ErrorKind::UnexpectedEof => damaged("it was cut"),
            _ => damaged(&error.to_string()),
        }
    }
}

fn damaged(how: &str) -> Problem {
    Problem::Damaged(how.to_owned())
}

/// The states of a directory, those that were used longest ago first.
pub fn list(dir: &Path) -> Vec<PathBuf> {
    let mut all = dated(dir, EXTENSION);
    all.sort();
    all.into_iter().map(|(_, path, _)| path).collect()
}

fn dated(dir: &Path, extension: &str) -> Vec<(SystemTime, PathBuf, u64)> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let of_kind = entries.filter(|entry| entry.path().extension().is_some_and(|e| e == extension));
    let regular = of_kind.filter_map(|entry| Some((entry.path(), entry.metadata().ok().filter(fs::Metadata::is_file)?)));
    regular.map(|(path, data)| (data.modified().unwrap_or(SystemTime::UNIX_EPOCH), path, data.len())).collect()
}

/// Removes what an engine that died left half written.
pub fn sweep(dir: &Path) {
    for (begun, path, _) in dated(dir, "part") {
        if begun.elapsed().is_ok_and(|age| age > ABANDONED) {
            remove(&path);
        }
    }
}

/// Best effort: what cannot be removed is in nobody's way but the disk's.
pub fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Reads a file's head. `None` where it belongs to another identity.
pub fn head(path: &Path, identity: &str) -> Result<Option<(Head, Place)>, Problem> {
    let head = open(path)?.0;
    let place = Place { path: path.to_owned(), identity: identity.to_owned() };
    Ok((head.identity == identity).then_some((head, place)))
}

/// Opens a file and reads its head; leaves it at the beginning of the state.
fn open(path: &Path) -> Result<(Head, File), Problem> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut fixed = [0; FIXED as usize];
    file.read_exact(&mut fixed)?;
    let (magic, numbers) = fixed.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(damaged("it is something else"));
    }
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let (length, sum) = (number(&numbers[..8]), number(&numbers[8..]));
    if length > LONGEST_HEAD.min(size) {
        return Err(damaged("its head has an absurd length"));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes)?;
    if checksum(&bytes) != sum {
        return Err(damaged("its head was changed"));
    }
    let head: Head = serde_json::from_slice(&bytes).map_err(|e| damaged(&e.to_string()))?;
    let parts: Vec<Part> = head.checkpoints.iter().chain([&head.state]).copied().collect();
    let body = parts.iter().try_fold(FIXED + length, |sum, part| sum.checked_add(part.bytes));
    if body != Some(size) {
        return Err(damaged("it was cut, or added to"));
    }
    if head.state.length != head.tokens.len() || parts.iter().any(|part| part.length > head.tokens.len()) {
        return Err(damaged("its lengths do not agree"));
    }
    Ok((head, file))
}

/// Reads a state, checks it, and marks it as used now.
pub fn read(place: &Place) -> Result<Saved, Problem> {
    let (head, mut file) = open(&place.path)?;
    if head.identity != place.identity {
        return Err(damaged("it was replaced by another model's"));
    }
    let mut part = |part: &Part| {
        // The file's size was checked: a part is no longer than it.
        let mut bytes = Vec::with_capacity(part.bytes as usize);
        Read::by_ref(&mut file).take(part.bytes).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != part.bytes || checksum(&bytes) != part.sum {
            return Err(damaged("its bytes were changed"));
        }
        Ok(Arc::new(bytes))
    };
    let state = part(&head.state)?;
    let checkpoints = head.checkpoints.iter().map(|one| Ok(Checkpoint { length: one.length, state: part(one)? }));
    let checkpoints = checkpoints.collect::<Result<_, Problem>>()?;
    let _ = file.set_modified(SystemTime::now());
    Ok(Saved { tokens: head.tokens, opening: head.opening, state, checkpoints, past: head.past })
}

/// What came of writing.
#[derive(Debug)]
pub enum Written {
    Whole(Place),
    Interrupted,
    TooLarge,
}

/// Writes a state beside the others and puts it in place when it is whole, with mode 0600.
pub fn write(
    dir: &Path,
    identity: &str,
    saved: &Saved,
    room: Bytes,
    interrupted: &mut dyn FnMut() -> bool,
) -> io::Result<Written> {
    let part = |length, bytes: &[u8]| Part { length, bytes: bytes.len() as u64, sum: checksum(bytes) };
    let head = Head {
        identity: identity.to_owned(),
        opening: saved.opening,
        tokens: saved.tokens.clone(),
        state: part(saved.tokens.len(), &saved.state),
        checkpoints: saved.checkpoints.iter().map(|one| part(one.length, &one.state)).collect(),
        past: saved.past.clone(),
    };
    let head = serde_json::to_vec(&head)?;
    let tokens: Vec<u8> = saved.tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    let path = dir.join(format!("{identity}-{:016x}.{EXTENSION}", checksum(&tokens)));
    let length = FIXED + head.len() as u64 + saved.bytes();
    if head.len() as u64 > LONGEST_HEAD || !make_room(dir, length, room, &path) {
        return Ok(Written::TooLarge);
    }
    // Another engine may save the same tokens at the same time.
    let half = path.with_extension(format!("{}.part", std::process::id()));
    let written = (|| {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
        file.write_all(MAGIC)?;
        file.write_all(&(head.len() as u64).to_le_bytes())?;
        file.write_all(&checksum(&head).to_le_bytes())?;
        let parts = saved.checkpoints.iter().map(|one| one.state.as_slice());
        for piece in [head.as_slice(), &saved.state].into_iter().chain(parts).flat_map(|part| part.chunks(PIECE)) {
            if interrupted() {
                return Ok(Written::Interrupted);
            }
            file.write_all(piece)?;
        }
        // No sync: what a power failure takes is processed again, and the checksums tell.
        fs::rename(&half, &path)?;
        Ok(Written::Whole(Place { path, identity: identity.to_owned() }))
    })();
    if !matches!(written, Ok(Written::Whole(_))) {
        remove(&half);
    }
    written
}

/// Removes what was used longest ago until there is room for a file of this length. False where there is none.
fn make_room(dir: &Path, length: u64, room: Bytes, own: &Path) -> bool {
    let mut all = dated(dir, EXTENSION);
    all.retain(|(_, path, _)| path != own);
    all.sort();
    let mut held: u64 = all.iter().map(|(_, _, size)| size).sum();
    let free = rustix::fs::statvfs(dir).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    let room = room.0.min(free.saturating_add(held) / 4);
    if length > room {
        return false;
    }
    for (_, path, size) in all {
        if held + length <= room {
            break;
        }
        remove(&path);
        held -= size;
    }
    true
}
