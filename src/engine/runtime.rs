//! Where engine processes are found: one socket each, in a directory that only this user can enter.
//!
//! The directory is the whole access control, so it is checked before every use: made by us, mode 0700, no symlink.

use crate::engine::EngineError;
use crate::engine::backend::LoadOptions;
use crate::engine::wire;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The longest path of a socket in bytes: `sun_path` is 104 bytes with its NUL on macOS, 108 on Linux.
const SOCKET_PATH_LIMIT: usize = 103;
/// `/`, 16 hexadecimal digits and `.sock`.
const SOCKET_NAME_LENGTH: usize = 22;

/// Why a directory cannot hold sockets.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("`{}` is no directory of its own (a symlink or a file stands there)", .0.display())]
    NotADirectory(PathBuf),
    #[error("`{}` belongs to another user", .0.display())]
    Foreign(PathBuf),
    #[error("`{}` can be entered by other users (mode {mode:o}, not 700)", path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("cannot use `{}`: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl From<RuntimeError> for EngineError {
    fn from(error: RuntimeError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Makes a directory with mode 0700 where there is none, and refuses one that others could have prepared or can enter.
pub fn private_dir(dir: &Path) -> Result<(), RuntimeError> {
    let io = |source| RuntimeError::Io { path: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => RuntimeError::NotADirectory(dir.to_owned()),
        _ => io(e),
    })?;
    let found = fs::symlink_metadata(dir).map_err(io)?;
    let mode = found.permissions().mode() & 0o777;
    if !found.is_dir() {
        Err(RuntimeError::NotADirectory(dir.to_owned()))
    } else if found.uid() != rustix::process::geteuid().as_raw() {
        Err(RuntimeError::Foreign(dir.to_owned()))
    } else if mode & 0o077 != 0 {
        Err(RuntimeError::Open { path: dir.to_owned(), mode })
    } else {
        Ok(())
    }
}

/// Says where the sockets of a runtime directory stand: in it, or, where its path is too long for a socket's, in a short
/// one under the system's directory for temporary files that stands for it.
pub fn sockets_dir(runtime: &Path) -> PathBuf {
    if runtime.as_os_str().len() + SOCKET_NAME_LENGTH <= SOCKET_PATH_LIMIT {
        return runtime.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    runtime.hash(&mut hasher);
    let user = rustix::process::geteuid().as_raw();
    std::env::temp_dir().join(format!("agent-{user}-{:016x}", hasher.finish()))
}

/// Names what makes two front ends want the same process: the file as it is now, how it is loaded, and by which program.
/// A rebuilt program starts an engine of its own; the old one leaves when it is idle.
///
/// Errors when the model cannot be found.
pub fn identity(options: &LoadOptions, program: &Path) -> Result<String, EngineError> {
    let load = |e: io::Error| {
        let missing = e.kind() == io::ErrorKind::NotFound;
        let reason = if missing { "it does not exist".into() } else { e.to_string() };
        EngineError::Load { path: options.model.clone(), reason }
    };
    let canonical = options.model.canonicalize().map_err(load)?;
    let mut hasher = DefaultHasher::new();
    stamp(&fs::metadata(&canonical).map_err(load)?).hash(&mut hasher);
    canonical.hash(&mut hasher);
    // The options were made from plain fields: their text is the same whenever they are.
    serde_json::to_string(options).map_err(|e| load(e.into()))?.hash(&mut hasher);
    program.hash(&mut hasher);
    fs::metadata(program).ok().as_ref().map(stamp).hash(&mut hasher);
    wire::VERSION.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

fn stamp(file: &Metadata) -> (u64, i64, i64) {
    (file.len(), file.mtime(), file.mtime_nsec())
}

/// Lists the sockets of a directory, in order of name. None when there is no such directory.
pub fn sockets(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension() == Some(OsStr::new("sock")))
        .collect();
    found.sort();
    found
}

/// Waits for the right to start an engine in this directory; it is given back when the file is closed. Held for the
/// milliseconds until the new process has its socket, so waiting for it blocks no one for long.
pub async fn start_lock(dir: &Path) -> Result<File, EngineError> {
    let path = dir.join("start.lock");
    let taken = tokio::task::spawn_blocking(move || {
        let io = |source| RuntimeError::Io { path: path.clone(), source };
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
        file.lock().map_err(io)?;
        Ok::<_, RuntimeError>(file)
    });
    Ok(taken.await.map_err(|e| EngineError::Unavailable(e.to_string()))??)
}

/// The last line of a log that says something, at most 300 characters of it. Reads the last 8 KiB.
pub fn last_words(log: &Path) -> Option<String> {
    const TAIL: u64 = 8 << 10;
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let tail = String::from_utf8_lossy(&bytes);
    let line = tail.lines().rev().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("note: run with"))?;
    Some(line.chars().take(300).collect())
}

#[cfg(test)]
mod tests {
    use crate::engine::backend::LoadOptions;
    use crate::engine::runtime::{RuntimeError, identity, last_words, private_dir, sockets_dir};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    #[test]
    fn a_new_directory_is_private() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("a/run");
        private_dir(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        private_dir(&dir).unwrap();
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let home = tempfile::tempdir().unwrap();
        for mode in [0o750, 0o701, 0o777] {
            fs::set_permissions(home.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(private_dir(home.path()), Err(RuntimeError::Open { mode: m, .. }) if m == mode), "{mode:o}");
        }
    }

    #[test]
    fn a_symlink_or_a_file_in_its_place_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let (real, link, file) = (home.path().join("real"), home.path().join("link"), home.path().join("file"));
        private_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        fs::write(&file, "").unwrap();
        assert!(matches!(private_dir(&link), Err(RuntimeError::NotADirectory(_))));
        assert!(matches!(private_dir(&file), Err(RuntimeError::NotADirectory(_))));
    }

    #[test]
    fn a_path_too_long_for_a_socket_moves_under_the_temporary_directory() {
        assert_eq!(sockets_dir(Path::new("/run/user/1000/agent")), Path::new("/run/user/1000/agent"));
        let long = Path::new("/home").join("x".repeat(90));
        let moved = sockets_dir(&long);
        assert!(moved.starts_with(std::env::temp_dir()) && moved != sockets_dir(&long.join("y")), "{moved:?}");
        assert!(Path::new("/tmp").join(moved.file_name().unwrap()).join("0123456789abcdef.sock").as_os_str().len() <= 103);
    }

    #[test]
    fn the_identity_follows_the_file_and_the_options() {
        let home = tempfile::tempdir().unwrap();
        let model = home.path().join("m.gguf");
        fs::write(&model, "one").unwrap();
        let program = Path::new("/bin/sh");
        let options = LoadOptions::of(&model);
        let first = identity(&options, program).unwrap();
        assert_eq!(first, identity(&options, program).unwrap());
        assert_ne!(first, identity(&LoadOptions { n_ctx: Some(4096), ..options.clone() }, program).unwrap());
        fs::write(&model, "other").unwrap();
        assert_ne!(first, identity(&options, program).unwrap());
        assert!(
            identity(&LoadOptions::of(Path::new("/nowhere.gguf")), program).unwrap_err().to_string().contains("/nowhere.gguf")
        );
    }

    #[test]
    fn the_last_words_are_the_last_line_that_means_something() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        fs::write(&log, "loading\nggml.c:7: GGML_ASSERT(x) failed\nnote: run with `RUST_BACKTRACE=1`\n\n").unwrap();
        assert_eq!(last_words(&log).unwrap(), "ggml.c:7: GGML_ASSERT(x) failed");
        assert_eq!(last_words(&home.path().join("none")), None);
    }
}
