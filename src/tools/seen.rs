//! Files as the tools see them: text or a failure in words, and what the session knows of them.

use crate::path::{PathError, RepoPath};
use crate::protocol::tool::ToolFailure;
use crate::tools::{Reads, Seen, Workbench, failure, suggest};
use rustix::fs::{Mode as FsMode, OFlags};
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::path::PathBuf;

/// Larger files are not loaded: they are data, and nothing that fits a window would come of them.
const LARGEST: u64 = 16 << 20;

/// A path of the project that was resolved, symlinks followed.
pub(crate) struct Place {
    pub(crate) path: RepoPath,
    pub(crate) full: PathBuf,
}

/// A text file of the project.
pub(crate) struct File {
    pub(crate) path: RepoPath,
    pub(crate) text: String,
}

/// Resolves what the model wrote. The path need not exist.
pub(crate) fn locate(bench: &Workbench, written: &str) -> Result<Place, ToolFailure> {
    match bench.root.resolve(written) {
        Ok((path, full)) => {
            // Read by one name and edited by another, a file is still one file.
            let real = full
                .canonicalize()
                .ok()
                .and_then(|real| Some(Place { path: bench.root.parse(real.to_str()?).ok()?, full: real }));
            Ok(real.unwrap_or(Place { path, full }))
        }
        Err(error) => Err(outside(bench, written, &error)),
    }
}

fn outside(bench: &Workbench, written: &str, error: &PathError) -> ToolFailure {
    let inside = written.trim().trim_start_matches('/');
    let exists = !inside.is_empty() && bench.root.resolve(inside).is_ok_and(|(_, full)| full.exists());
    let hint = if exists {
        format!("Paths are relative to the project's root: `{inside}`.")
    } else {
        "Paths are relative to the project's root.".into()
    };
    failure(if matches!(error, PathError::Io(..)) { "io" } else { "outside" }, error.to_string(), hint)
}

/// Fails, in words, unless a file or directory that can be opened stands at the place.
pub(crate) fn open(bench: &Workbench, place: &Place) -> Result<(), ToolFailure> {
    let opened = match place.full.metadata() {
        Ok(metadata) if metadata.is_dir() => place.full.read_dir().map(drop),
        Ok(metadata) if metadata.is_file() => std::fs::File::open(&place.full).map(drop),
        _ => return load(bench, place.path.as_str()).map(drop),
    };
    opened.map_err(|e| missing(bench, place.path.as_str(), &place.path, &e))
}

/// Loads a text file. Bounded in time and memory, whatever stands at the path and whatever becomes of it meanwhile.
pub(crate) fn load(bench: &Workbench, written: &str) -> Result<File, ToolFailure> {
    let (path, file) = open_file(bench, written)?;
    let mut bytes = Vec::new();
    // A file that grows while it is read is not followed.
    let read = file.take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|e| missing(bench, written, &path, &e))?;
    if bytes.len() as u64 > LARGEST {
        return Err(too_large(&path, LARGEST));
    }
    if bytes.contains(&0) {
        return Err(failure(
            "binary",
            format!("`{path}` is a binary file of {} bytes and is not shown or edited", bytes.len()),
            "",
        ));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(File { path, text }),
        Err(_) => Err(failure("encoding", format!("`{path}` is not UTF-8"), "Convert or change it with a command.")),
    }
}

/// Opens a regular file of at most [`LARGEST`] bytes.
fn open_file(bench: &Workbench, written: &str) -> Result<(RepoPath, fs::File), ToolFailure> {
    let (path, file, bytes) = open_any(bench, written)?;
    if bytes > LARGEST { Err(too_large(&path, bytes)) } else { Ok((path, file)) }
}

/// Opens a regular file of any size, and gives its size.
pub(crate) fn open_any(bench: &Workbench, written: &str) -> Result<(RepoPath, fs::File, u64), ToolFailure> {
    let Place { path, full } = locate(bench, written)?;
    // Opened before it is looked at, so that nothing takes its place in between; without waiting, as for a FIFO's other end.
    let opened = rustix::fs::open(&full, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, FsMode::empty());
    let file = match opened {
        Ok(file) => fs::File::from(file),
        // A socket.
        Err(rustix::io::Errno::NXIO) => return Err(failure("not_a_file", format!("`{path}` is not a regular file"), "")),
        Err(e) => return Err(missing(bench, written, &path, &e.into())),
    };
    let metadata = file.metadata().map_err(|e| missing(bench, written, &path, &e))?;
    if metadata.is_dir() {
        return Err(failure("directory", format!("`{path}` is a directory"), "Name a file in it."));
    }
    if !metadata.is_file() {
        return Err(failure("not_a_file", format!("`{path}` is not a regular file"), ""));
    }
    Ok((path, file, metadata.len()))
}

fn too_large(path: &RepoPath, bytes: u64) -> ToolFailure {
    let size = bytes >> 20;
    failure("too_large", format!("`{path}` has {size} MiB"), "Read a range of its lines, or look at it with a command.")
}

/// Fails when the file is no longer what was loaded: whatever else writes to it must not be lost.
pub(crate) fn unchanged(bench: &Workbench, file: &File) -> Result<(), ToolFailure> {
    match load(bench, file.path.as_str()) {
        Ok(now) if now.text == file.text => Ok(()),
        _ => Err(failure(
            "stale",
            format!("`{}` was changed by something else at the same time; nothing was changed", file.path),
            "Read it again.",
        )),
    }
}

fn missing(bench: &Workbench, written: &str, path: &RepoPath, error: &io::Error) -> ToolFailure {
    if error.kind() != io::ErrorKind::NotFound {
        return failure("io", format!("cannot read `{path}`: {error}"), "");
    }
    let near = suggest::paths(&bench.root, written);
    let hint = match near.as_slice() {
        [] => "List the directory, or search for it.".into(),
        near => format!("Did you mean `{}`?", near.join("`, `")),
    };
    failure("not_found", format!("there is no file `{path}`"), hint)
}

pub(crate) fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

impl Reads {
    /// Notes that a file was shown. What was read whole stays so while the file is the same.
    pub(crate) fn note(&mut self, path: &RepoPath, text: &str, whole: bool) {
        let hash = hash(text);
        let before = self.0.get(path.as_str()).is_some_and(|seen| seen.hash == hash && seen.whole);
        self.0.insert(path.as_str().to_owned(), Seen { hash, whole: whole || before });
    }

    /// Notes a file's content after a change that the session itself made.
    pub(crate) fn refresh(&mut self, path: &RepoPath, text: &str) {
        let whole = self.0.get(path.as_str()).is_some_and(|seen| seen.whole);
        self.0.insert(path.as_str().to_owned(), Seen { hash: hash(text), whole });
    }
}

/// Lets an edit through only when the session has read the file as it is now.
pub(crate) fn current(bench: &Workbench, file: &File) -> Result<(), ToolFailure> {
    let Some(reads) = &bench.reads else { return Ok(()) };
    let again = format!("Read `{}` first, then send the edit with what stands there.", file.path);
    match reads.0.get(file.path.as_str()) {
        None => Err(failure("unread", format!("`{}` has not been read in this session; nothing was changed", file.path), again)),
        Some(seen) if seen.hash != hash(&file.text) => {
            Err(failure("stale", format!("`{}` has changed since it was read; nothing was changed", file.path), again))
        }
        Some(_) => Ok(()),
    }
}
