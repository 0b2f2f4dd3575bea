//! Files of a tree, raw: which there are, what is in them, and writing them into a copy.

use crate::repo::git::{Kind, Tracked};
use crate::repo::scratch::ScratchError;
use ignore::WalkBuilder;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// More files than this are no project; a home directory given by mistake, rather.
const MOST_FILES: usize = 400_000;
/// Larger files stand outside states: nothing that a patch should carry.
pub(super) const LARGEST: u64 = 64 << 20;

/// Names that tools leave in a tree without asking, also where no ignore file names them.
const LEFT_BY_TOOLS: [&str; 9] =
    [".git", "node_modules", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".tox", ".venv", ".gradle"];

/// A file as it lies in a tree.
pub(super) struct Lying {
    pub kind: Kind,
    pub bytes: Vec<u8>,
    pub modified: SystemTime,
}

/// Lists the files that are not ignored and those that git tracks all the same. Nested repositories are left out.
pub(super) fn list(root: &Path, tracked: &Tracked) -> Result<BTreeSet<String>, ScratchError> {
    let mut files = BTreeSet::new();
    let mut walk = WalkBuilder::new(root);
    // `parents(false)`: an ignore file above the tree is not the project's; `ignore(false)`: those of search tools are not git's.
    walk.hidden(false).parents(false).ignore(false).require_git(false).follow_links(false);
    let walk =
        walk.filter_entry(|found| found.depth() == 0 || !left_by_tools(found.path()) && !found.path().join(".git").exists());
    for found in walk.build().flatten().filter(|found| found.file_type().is_some_and(|kind| !kind.is_dir())) {
        files.extend(found.path().strip_prefix(root).ok().and_then(Path::to_str).map(str::to_owned));
        if files.len() > MOST_FILES {
            return Err(ScratchError::TooMany { path: root.to_owned(), most: MOST_FILES });
        }
    }
    files.extend(
        tracked
            .files
            .iter()
            .filter(|path| !files.contains(*path) && lies_in_real_directories(root, path))
            .cloned()
            .collect::<Vec<_>>(),
    );
    Ok(files)
}

/// Whether a name alone says that a tool made it.
pub(super) fn left_by_tools(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let is = |file: &str| path.join(file).exists();
    LEFT_BY_TOOLS.contains(&name)
        || name.ends_with(".pyc")
        || (name == "target" && (is("CACHEDIR.TAG") || is(".rustc_info.json")))
        || (name == "venv" && is("pyvenv.cfg"))
}

/// A tracked path whose directory became a symlink is gone, though it can still be opened.
fn lies_in_real_directories(root: &Path, path: &str) -> bool {
    let full = root.join(path);
    full.ancestors().skip(1).take_while(|dir| *dir != root).all(|dir| dir.symlink_metadata().is_ok_and(|found| found.is_dir()))
}

/// Reads one file. `None` when there is none that a state could hold: absent, a directory, a device, unreadable, too large.
pub(super) fn read(root: &Path, path: &str) -> Option<Lying> {
    let full = root.join(path);
    let found = full.symlink_metadata().ok()?;
    let modified = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    if found.is_symlink() {
        let bytes = fs::read_link(&full).ok()?.as_os_str().as_bytes().to_vec();
        return Some(Lying { kind: Kind::Link, bytes, modified });
    }
    if !found.is_file() || found.len() > LARGEST {
        return None;
    }
    let kind = if found.mode() & 0o100 == 0 { Kind::Plain } else { Kind::Executable };
    Some(Lying { kind, bytes: fs::read(&full).ok()?, modified })
}

/// Writes one file of a copy. Its time is at least two seconds past: caches that compare whole seconds (Python's) would else take
/// an edit made right away for the file they know.
pub(super) fn write(root: &Path, path: &str, kind: Kind, bytes: &[u8], modified: Option<SystemTime>) -> io::Result<()> {
    let full = root.join(path);
    if let Some(dir) = full.parent() {
        fs::create_dir_all(dir)?;
    }
    if kind == Kind::Link {
        return symlink(OsStr::from_bytes(bytes), &full);
    }
    fs::write(&full, bytes)?;
    if kind == Kind::Executable {
        fs::set_permissions(&full, fs::Permissions::from_mode(0o755))?;
    }
    let past = SystemTime::now() - Duration::from_secs(2);
    fs::File::options().write(true).open(&full)?.set_modified(modified.map_or(past, |time| time.min(past)))
}
