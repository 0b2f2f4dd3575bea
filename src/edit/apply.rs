//! The one door that writes to the user's tree.
//!
//! Every path goes through `Root::resolve`, git's own files are out of bounds, and a file is either as it was or whole.

use crate::path::{PathError, RepoPath, Root};
use crate::protocol::tool::ChangeKind;
use std::fs::{self, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a file was not written or deleted.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("`{0}` belongs to git")]
    Git(String),
    #[error("`{0}` is not a regular file")]
    NotAFile(RepoPath),
    #[error("cannot write `{path}`")]
    Io { path: RepoPath, source: io::Error },
}

/// Writes a whole file, making its directories. Atomic: a temporary file beside it, synced, then renamed over it.
///
/// Permission bits of an existing file are kept; a symlink that stays inside the root is followed, not replaced.
pub fn write(root: &Root, written: &str, content: &[u8]) -> Result<(RepoPath, ChangeKind), ApplyError> {
    let (path, target) = door(root, written)?;
    let io = |source| ApplyError::Io { path: path.clone(), source };
    let existing = match fs::metadata(&target) {
        Ok(metadata) if metadata.is_file() => Some(metadata),
        Ok(_) => return Err(ApplyError::NotAFile(path)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(io(e)),
    };
    let change = if existing.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
    replace(&target, content, existing.as_ref()).map_err(io)?;
    Ok((path, change))
}

/// Deletes a file. A symlink is deleted itself, not what it points at.
pub fn delete(root: &Root, written: &str) -> Result<RepoPath, ApplyError> {
    let (path, _) = door(root, written)?;
    let full = root.join(&path);
    let io = |source| ApplyError::Io { path: path.clone(), source };
    if full.symlink_metadata().map_err(io)?.is_dir() {
        return Err(ApplyError::NotAFile(path));
    }
    fs::remove_file(&full).map_err(io)?;
    Ok(path)
}

/// One change of several that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Write {
        path: String,
        content: Vec<u8>,
    },
    Delete {
        path: String,
    },
    /// Keeps the file's permission bits. The new path must be free.
    Move {
        from: String,
        to: String,
    },
}

/// Takes all steps in order, or none: what was done before a failure is undone.
pub fn all(root: &Root, steps: &[Step]) -> Result<(), ApplyError> {
    let mut undo = Vec::new();
    for step in steps {
        match take(root, step) {
            Ok(inverse) => undo.push(inverse),
            Err(error) => {
                // What cannot be undone either is left to the message of the failure that came first.
                undo.iter().rev().for_each(|inverse| _ = take(root, inverse));
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Takes one step; gives the step that undoes it.
fn take(root: &Root, step: &Step) -> Result<Step, ApplyError> {
    match step {
        Step::Write { path, content } => {
            let before = content_of(root, path)?;
            write(root, path, content)?;
            let path = path.clone();
            Ok(before.map_or(Step::Delete { path: path.clone() }, |content| Step::Write { path, content }))
        }
        Step::Delete { path } => {
            let before = content_of(root, path)?;
            delete(root, path)?;
            Ok(Step::Write { path: path.clone(), content: before.unwrap_or_default() })
        }
        Step::Move { from, to } => {
            rename(root, from, to)?;
            Ok(Step::Move { from: to.clone(), to: from.clone() })
        }
    }
}

/// What stands in a file; `None` where there is none. What cannot be read could not be put back.
fn content_of(root: &Root, written: &str) -> Result<Option<Vec<u8>>, ApplyError> {
    let (path, target) = door(root, written)?;
    match fs::read(target) {
        Ok(content) => Ok(Some(content)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ApplyError::Io { path, source }),
    }
}

fn rename(root: &Root, from: &str, to: &str) -> Result<(), ApplyError> {
    let (_, old) = door(root, from)?;
    let (path, new) = door(root, to)?;
    let io = |source| ApplyError::Io { path: path.clone(), source };
    if new.symlink_metadata().is_ok() {
        return Err(io(io::ErrorKind::AlreadyExists.into()));
    }
    fs::create_dir_all(new.parent().unwrap_or(root.as_path())).map_err(io)?;
    fs::rename(&old, &new).map_err(io)
}

/// Makes a symlink to `target`, in place of whatever file or link is there. Where it points is not judged: nothing is written
/// through it.
pub fn link(root: &Root, written: &str, target: &Path) -> Result<RepoPath, ApplyError> {
    let path = root.parse(written)?;
    let full = root.join(&path);
    let io = |source| ApplyError::Io { path: path.clone(), source };
    if full.symlink_metadata().is_ok() {
        delete(root, written)?;
    }
    door(root, written)?;
    full.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| symlink(target, &full)).map_err(io)?;
    Ok(path)
}

/// Sets or clears the executable bits of a file, where it may be read.
pub fn set_executable(root: &Root, written: &str, executable: Executable) -> Result<RepoPath, ApplyError> {
    let (path, target) = door(root, written)?;
    let io = |source| ApplyError::Io { path: path.clone(), source };
    let mode = fs::metadata(&target).map_err(io)?.permissions().mode();
    let bits = match executable {
        Executable::Yes => mode | (mode & 0o444) >> 2,
        Executable::No => mode & !0o111,
    };
    fs::set_permissions(&target, Permissions::from_mode(bits)).map_err(io)?;
    Ok(path)
}

/// Whether a file may be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executable {
    Yes,
    No,
}

/// The path and the real file behind it, symlinks followed, both inside the root and outside of git's directory.
fn door(root: &Root, written: &str) -> Result<(RepoPath, PathBuf), ApplyError> {
    let (path, full) = root.resolve(written)?;
    if path.as_str().is_empty() {
        return Err(ApplyError::NotAFile(path));
    }
    let real = real(&full).map_err(|source| ApplyError::Io { path: path.clone(), source })?;
    let inside = real.strip_prefix(root.as_path()).map_err(|_| PathError::Escapes(written.to_owned()))?;
    if [Path::new(path.as_str()), inside].iter().any(|p| is_git(p)) {
        return Err(ApplyError::Git(path.as_str().to_owned()));
    }
    Ok((path, real))
}

/// Follows the symlinks of the part that exists.
fn real(full: &Path) -> io::Result<PathBuf> {
    let mut existing = full;
    let mut missing = Vec::new();
    while existing.symlink_metadata().is_err() {
        missing.extend(existing.file_name());
        existing = existing.parent().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    }
    Ok(missing.iter().rev().fold(existing.canonicalize()?, |path, name| path.join(name)))
}

/// Any component named `.git`, in any case: file systems that ignore case open it too.
fn is_git(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str().eq_ignore_ascii_case(".git"))
}

fn replace(target: &Path, content: &[u8], existing: Option<&Metadata>) -> io::Result<()> {
    let dir = target.parent().ok_or(io::ErrorKind::NotFound)?;
    fs::create_dir_all(dir)?;
    // 0666 less the umask: what a new file of the user's would have.
    let mut file = tempfile::Builder::new().prefix(".agent-").permissions(Permissions::from_mode(0o666)).tempfile_in(dir)?;
    file.write_all(content)?;
    if let Some(existing) = existing {
        file.as_file().set_permissions(existing.permissions())?;
        // Caches that compare whole seconds and sizes (Python's) would take two versions of one second for the same.
        let written = file.as_file().metadata()?;
        if written.mtime() <= existing.mtime() {
            file.as_file().set_modified(existing.modified()? + Duration::from_secs(1))?;
        }
    }
    file.as_file().sync_all()?;
    file.persist(target)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::edit::apply::{Executable, Step, all, delete, link, set_executable, write};
    use crate::path::Root;
    use crate::protocol::tool::ChangeKind;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;

    struct Project {
        dir: tempfile::TempDir,
        root: Root,
    }

    fn project() -> Project {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("in/.git/hooks")).unwrap();
        fs::create_dir_all(dir.path().join("out")).unwrap();
        fs::write(dir.path().join("out/secret"), "s").unwrap();
        let root = Root::open(&dir.path().join("in")).unwrap();
        Project { dir, root }
    }

    fn refused(project: &Project, path: &str) {
        let error = write(&project.root, path, b"x").map(|_| ()).unwrap_err();
        assert!(delete(&project.root, path).is_err(), "{path} was deleted");
        assert_eq!(fs::read(project.dir.path().join("out/secret")).unwrap(), b"s", "{path}: {error}");
        let names: Vec<_> = fs::read_dir(project.dir.path().join("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["secret"], "{path}");
    }

    #[test]
    fn nothing_outside_the_root_is_written() {
        let project = project();
        let inside = |name: &str| project.root.as_path().join(name);
        symlink("../out", inside("dir")).unwrap();
        symlink("../out/secret", inside("file")).unwrap();
        symlink("../out/new", inside("dangling")).unwrap();
        symlink("dir", inside("twice")).unwrap();
        let absolute = project.dir.path().join("out/secret").display().to_string();
        for path in
            ["../out/secret", "a/../../out/secret", &absolute, "/etc/passwd", "dir/new", "dir/secret", "twice/x", "a\0b", "", "."]
        {
            refused(&project, path);
        }
        for link in ["file", "dangling"] {
            assert!(write(&project.root, link, b"x").is_err(), "{link}");
        }
        assert!(!project.dir.path().join("out/new").exists());
        assert_eq!(fs::read(project.dir.path().join("out/secret")).unwrap(), b"s");
    }

    #[test]
    fn git_keeps_its_files() {
        let project = project();
        symlink(".git", project.root.as_path().join("alias")).unwrap();
        for path in [".git/hooks/pre-commit", ".GIT/config", "sub/.git/config", ".git", "alias/config"] {
            assert!(write(&project.root, path, b"x").is_err(), "{path}");
        }
        assert_eq!(fs::read_dir(project.root.as_path().join(".git/hooks")).unwrap().count(), 0);
        assert!(write(&project.root, ".gitignore", b"x").is_ok());
    }

    #[test]
    fn a_file_keeps_its_mode_and_a_link_stays_a_link() {
        let project = project();
        let (script, link) = (project.root.as_path().join("run.sh"), project.root.as_path().join("link"));
        fs::write(&script, "old").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o750)).unwrap();
        symlink("run.sh", &link).unwrap();
        assert_eq!(write(&project.root, "link", b"new").unwrap().1, ChangeKind::Modified);
        assert_eq!(fs::read(&script).unwrap(), b"new");
        assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o777, 0o750);
        assert!(link.symlink_metadata().unwrap().is_symlink());
    }

    #[test]
    fn each_version_of_a_file_has_a_second_of_its_own() {
        let project = project();
        let second = |content: &[u8]| {
            write(&project.root, "a.py", content).unwrap();
            fs::metadata(project.root.as_path().join("a.py")).unwrap().mtime()
        };
        let seconds = [second(b"1"), second(b"2"), second(b"3")];
        assert!(seconds.is_sorted_by(|a, b| a < b), "{seconds:?}");
    }

    #[test]
    fn several_steps_are_taken_or_none() {
        let project = project();
        let at = |name: &str| project.root.as_path().join(name);
        fs::write(at("a"), "a").unwrap();
        fs::set_permissions(at("a"), fs::Permissions::from_mode(0o755)).unwrap();
        let steps = |last: &str| {
            let write = |path: &str, content: &str| Step::Write { path: path.into(), content: content.into() };
            [
                Step::Move { from: "a".into(), to: "sub/b".into() },
                write("sub/b", "b"),
                write("new", "n"),
                Step::Delete { path: last.into() },
            ]
        };
        assert!(all(&project.root, &steps("missing")).is_err());
        assert_eq!(
            (fs::read_to_string(at("a")).unwrap().as_str(), at("sub/b").exists(), at("new").exists()),
            ("a", false, false)
        );
        fs::write(at("old"), b"\xff").unwrap();
        let write_old = Step::Write { path: "old".into(), content: b"o".to_vec() };
        for taken in [write_old, Step::Delete { path: "old".into() }] {
            assert!(all(&project.root, &[taken, Step::Delete { path: "missing".into() }]).is_err());
            assert_eq!(fs::read(at("old")).unwrap(), b"\xff", "what is no text is put back as well");
        }
        all(&project.root, &steps("old")).unwrap();
        assert_eq!(
            (fs::read_to_string(at("sub/b")).unwrap().as_str(), at("a").exists(), at("old").exists()),
            ("b", false, false)
        );
        assert_eq!(fs::metadata(at("sub/b")).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn directories_are_made_and_nothing_is_left_behind() {
        let project = project();
        assert_eq!(write(&project.root, "a/b/c.txt", b"x").unwrap().1, ChangeKind::Added);
        let names: Vec<_> = fs::read_dir(project.root.as_path().join("a/b")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["c.txt"]);
        assert_ne!(
            fs::metadata(project.root.as_path().join("a/b/c.txt")).unwrap().permissions().mode() & 0o044,
            0,
            "readable as the umask says"
        );
        assert!(write(&project.root, "a/b", b"x").is_err(), "a directory");
        delete(&project.root, "a/b/c.txt").unwrap();
        assert!(!Path::new(&project.root.as_path().join("a/b/c.txt")).exists());
    }

    #[test]
    fn links_and_modes_go_through_the_same_door() {
        let project = project();
        let root = &project.root;
        write(root, "tool", b"#!/bin/sh").unwrap();
        let mode = || fs::metadata(root.as_path().join("tool")).unwrap().permissions().mode();
        set_executable(root, "tool", Executable::Yes).unwrap();
        assert_eq!(mode() & 0o111, (mode() & 0o444) >> 2);
        set_executable(root, "tool", Executable::No).unwrap();
        assert_eq!(mode() & 0o111, 0);
        link(root, "tool", Path::new("elsewhere")).unwrap();
        assert_eq!(fs::read_link(root.as_path().join("tool")).unwrap(), Path::new("elsewhere"));
        for path in [".git/link", "../out/link", "../out/secret"] {
            assert!(link(root, path, Path::new("x")).is_err(), "{path}");
            assert!(set_executable(root, path, Executable::Yes).is_err(), "{path}");
        }
    }
}
