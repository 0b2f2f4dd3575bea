//! The project's files: what ignore files leave, sorted, without git's own directory.
//!
//! The user's global git configuration is not asked: the same tree gives the same answer on every machine.

use crate::path::{RepoPath, Root};
use ignore::overrides::{Override, OverrideBuilder};
use ignore::{DirEntry, WalkBuilder, WalkState};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::SystemTime;

/// A file or directory that a walk came upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub path: RepoPath,
    pub full: PathBuf,
    pub kind: Kind,
    /// A file's size, and when it was last written where the system says.
    pub bytes: u64,
    pub modified: Option<SystemTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Symlink,
}

/// A glob that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{glob}` is not a glob")]
pub struct GlobError {
    glob: String,
    source: ignore::Error,
}

/// A filter on paths, in the words of an ignore file: `*.rs` at any depth, `src/**/*.rs` from the root, `!` to leave out.
#[derive(Debug)]
pub struct Glob(Override);

impl Glob {
    pub fn new(root: &Root, glob: &str) -> Result<Self, GlobError> {
        let fail = |source| GlobError { glob: glob.to_owned(), source };
        let trimmed = glob.strip_prefix("./").unwrap_or(glob);
        let pattern = if trimmed.ends_with('/') { format!("{trimmed}**") } else { trimmed.to_owned() };
        let mut builder = OverrideBuilder::new(root.as_path());
        builder.add(&pattern).map_err(fail)?;
        Ok(Self(builder.build().map_err(fail)?))
    }

    pub fn matches(&self, path: &RepoPath) -> bool {
        !self.0.matched(path.as_str(), false).is_ignore()
    }
}

/// All files under `from` (a file itself is one), in the order of their paths. Symlinks are not followed and not listed.
pub fn files(root: &Root, from: &Path) -> impl Iterator<Item = Found> {
    walk(root, from, None).filter(|found| found.kind == Kind::File)
}

/// What stands directly in a directory, in the order of its names.
pub fn list(root: &Root, dir: &Path) -> impl Iterator<Item = Found> {
    let itself = dir.to_owned();
    walk(root, dir, Some(1)).filter(move |found| found.full != itself)
}

/// The same files as [`files`] gives, in the same order, found by several threads; of more than `most` those that were found
/// first, whichever they are.
pub fn gather(root: &Root, from: &Path, most: usize) -> Vec<Found> {
    let count = AtomicUsize::new(0);
    let measured = |(): &mut (), full: &Path| {
        if count.fetch_add(1, Ordering::Relaxed) >= most {
            return ControlFlow::Break(());
        }
        let metadata = full.symlink_metadata().ok();
        ControlFlow::Continue(metadata.map(|metadata| (full.to_owned(), metadata.len(), metadata.modified().ok())))
    };
    let found = |(path, (full, bytes, modified))| Found { path, full, kind: Kind::File, bytes, modified };
    each(root, from, || (), measured).into_iter().map(found).collect()
}

/// Does `work` on every file that [`files`] gives, on the threads that find them, and gives what came of it in the order of their
/// paths; `None` is left out. Each thread has a `state` of its own. `Break` ends it as soon as every thread has heard of it.
pub fn each<S: Send, R: Send>(
    root: &Root,
    from: &Path,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &Path) -> ControlFlow<(), Option<R>> + Sync,
) -> Vec<(RepoPath, R)> {
    let (sender, done) = mpsc::channel();
    builder(root, from, None).threads(threads()).build_parallel().run(|| {
        let (sender, work, mut state) = (sender.clone(), &work, state());
        Box::new(move |entry| {
            let Some(entry) = entry.ok().filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file())) else {
                return WalkState::Continue;
            };
            let result = match work(&mut state, entry.path()) {
                ControlFlow::Break(()) => return WalkState::Quit,
                ControlFlow::Continue(result) => result,
            };
            // A path is put in order only where something came of it: most files have nothing to say.
            let path = result.and_then(|result| Some((root.parse(entry.path().to_str()?).ok()?, result)));
            // The other end waits for all of us.
            path.map_or(Ok(()), |told| sender.send(told)).map_or(WalkState::Quit, |()| WalkState::Continue)
        })
    });
    drop(sender);
    let mut files: Vec<(RepoPath, R)> = done.into_iter().collect();
    files.sort_unstable_by(|(a, _), (b, _)| Path::new(a.as_str()).cmp(Path::new(b.as_str())));
    files
}

fn walk(root: &Root, from: &Path, depth: Option<usize>) -> impl Iterator<Item = Found> {
    let root = root.clone();
    let entries = builder(&root, from, depth).sort_by_file_path(Path::cmp).build();
    entries.filter_map(Result::ok).filter_map(move |entry| look(&root, entry))
}

fn builder(root: &Root, from: &Path, depth: Option<usize>) -> WalkBuilder {
    // Inside a repository git's rule holds: an ignore file above it has no say. Without one, every ignore file counts.
    let in_git = root.as_path().ancestors().any(|dir| dir.join(".git").exists());
    let mut builder = WalkBuilder::new(from);
    builder.hidden(false).require_git(in_git).git_global(false).max_depth(depth);
    builder.filter_entry(|entry| entry.file_name() != ".git");
    builder
}

/// What a walk came upon, if it is anything that a project consists of.
fn look(root: &Root, entry: DirEntry) -> Option<Found> {
    let kind = match entry.file_type()? {
        t if t.is_dir() => Kind::Directory,
        t if t.is_file() => Kind::File,
        t if t.is_symlink() => Kind::Symlink,
        _ => return None,
    };
    let path = root.parse(entry.path().to_str()?).ok()?;
    let metadata = if kind == Kind::File { Some(entry.metadata().ok()?) } else { None };
    let bytes = metadata.as_ref().map_or(0, |metadata| metadata.len());
    let modified = metadata.and_then(|metadata| metadata.modified().ok());
    Some(Found { path, full: entry.into_path(), kind, bytes, modified })
}

/// Threads for a walk: beyond a few they wait for the same directories.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(8)
}

#[cfg(test)]
mod tests {
    use crate::path::Root;
    use crate::repo::walk::{Glob, files, gather, list};
    use std::fs;

    fn project() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for path in [".gitignore", ".git/config", "src/b.rs", "src/a.rs", "out/x.o", ".github/ci.yml", "logs/1.log"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "out/\n*.log\n").unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn ignored_files_and_git_are_left_out() {
        let (_dir, root) = project();
        let names: Vec<String> = files(&root, root.as_path()).map(|f| f.path.to_string()).collect();
        assert_eq!(names, [".github/ci.yml", ".gitignore", "src/a.rs", "src/b.rs"]);
        let top: Vec<String> = list(&root, root.as_path()).map(|f| f.path.to_string()).collect();
        assert_eq!(top, [".github", ".gitignore", "logs", "src"]);
    }

    #[test]
    fn several_threads_find_the_same_in_the_same_order() {
        let (dir, root) = project();
        for path in ["a/z", "a.b", "a-b/c", "a/b/c"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
        }
        let one: Vec<_> = files(&root, root.as_path()).collect();
        assert_eq!(gather(&root, root.as_path(), usize::MAX), one);
        assert_eq!(gather(&root, root.as_path(), 2).len(), 2);
    }

    #[test]
    fn an_ignore_file_above_the_repository_has_no_say() {
        let home = tempfile::tempdir().unwrap();
        let repository = home.path().join("repository");
        fs::create_dir_all(repository.join(".git")).unwrap();
        fs::create_dir_all(repository.join("src")).unwrap();
        fs::write(home.path().join(".gitignore"), "*\n").unwrap();
        fs::write(repository.join(".gitignore"), "*.o\n").unwrap();
        fs::write(repository.join("src/a.rs"), "").unwrap();
        fs::write(repository.join("src/a.o"), "").unwrap();
        let root = Root::open(&repository).unwrap();
        let names = |from: &str| files(&root, &root.as_path().join(from)).map(|f| f.path.to_string()).collect::<Vec<_>>();
        assert_eq!(names(""), [".gitignore", "src/a.rs"]);
        assert_eq!(names("src"), ["src/a.rs"]);
    }

    #[test]
    fn a_file_is_found_by_its_name_even_when_ignored() {
        let (_dir, root) = project();
        let full = root.as_path().join("out/x.o");
        assert_eq!(files(&root, &full).count(), 1);
    }

    #[test]
    fn globs_are_those_of_ignore_files() {
        let (_dir, root) = project();
        let check = |glob: &str, path: &str| Glob::new(&root, glob).unwrap().matches(&root.parse(path).unwrap());
        assert!(
            check("*.rs", "src/a.rs")
                && check("src/**/*.rs", "src/a.rs")
                && check("src/", "src/a.rs")
                && check("*.{rs,py}", "a.py")
        );
        assert!(!check("*.rs", "a.py") && !check("/a.rs", "src/a.rs") && !check("!*.rs", "a.rs") && check("!*.rs", "a.py"));
        assert!(Glob::new(&root, "a{").is_err());
    }
}
