//! Puts a result into a tree, or takes it back out: all of it or nothing.
//!
//! Every file is first compared with what it must be; one that moved since the start refuses the whole.

use crate::edit::apply::{self, ApplyError, Executable};
use crate::path::{PathError, Root};
use crate::repo::git::{Entry, FileChange, Kind};
use crate::repo::scratch::{ScratchError, Workspace, entry};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Which side of the changes a tree is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

impl Side {
    fn of(self, change: &FileChange) -> Option<Entry> {
        match self {
            Self::Before => change.before,
            Self::After => change.after,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Before => Self::After,
            Self::After => Self::Before,
        }
    }
}

/// Why a result was not put there. The tree is as it was, unless [`KeepError::Torn`] says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error("`{0}` was changed by someone else in the meantime")]
    Moved(String),
    #[error("cannot use the tree")]
    Root(#[from] PathError),
    #[error("cannot read what is to be written")]
    Bytes(#[from] ScratchError),
    #[error(transparent)]
    Write(#[from] ApplyError),
    #[error("`{path}` could not be put back after a failure")]
    Torn { path: String, source: ApplyError },
}

/// Makes the tree at `root` hold one side of the changes, provided that it holds the other.
pub fn put(workspace: &Workspace, root: &Path, changes: &[FileChange], side: Side) -> Result<(), KeepError> {
    for change in changes {
        if entry(root, &change.path) != side.other().of(change) {
            return Err(KeepError::Moved(change.path.clone()));
        }
    }
    let root = Root::open(root)?;
    // Deletions first: a file may have become a directory.
    let mut order: Vec<&FileChange> = changes.iter().collect();
    order.sort_by_key(|change| side.of(change).is_some());
    // All bytes are at hand before the first write, also those for the way back.
    let steps = order.iter().map(|change| Step::new(workspace, change, side)).collect::<Result<Vec<_>, _>>()?;
    for (done, step) in steps.iter().enumerate() {
        if let Err(error) = step.write(&root, &step.wanted) {
            for back in steps[..=done].iter().rev() {
                back.restore(&root)?;
            }
            return Err(error.into());
        }
    }
    Ok(())
}

type Content = Option<(Kind, Vec<u8>)>;

struct Step<'a> {
    path: &'a str,
    /// What lies there before the step.
    found: Option<Entry>,
    current: Content,
    wanted: Content,
}

impl<'a> Step<'a> {
    fn new(workspace: &Workspace, change: &'a FileChange, side: Side) -> Result<Self, ScratchError> {
        let content = |entry: Option<Entry>| -> Result<Content, ScratchError> {
            entry.map(|entry| Ok((entry.kind, workspace.bytes(entry)?))).transpose()
        };
        let found = side.other().of(change);
        Ok(Self { path: &change.path, found, current: content(found)?, wanted: content(side.of(change))? })
    }

    fn restore(&self, root: &Root) -> Result<(), KeepError> {
        if entry(root.as_path(), self.path) == self.found {
            return Ok(());
        }
        let torn = |source| KeepError::Torn { path: self.path.to_owned(), source };
        self.write(root, &self.current).map_err(torn)
    }

    fn write(&self, root: &Root, content: &Content) -> Result<(), ApplyError> {
        let lies = root.as_path().join(self.path).symlink_metadata().ok();
        let is_link = lies.as_ref().is_some_and(|found| found.is_symlink());
        let Some((kind, bytes)) = content else {
            return if lies.is_some() { apply::delete(root, self.path).map(drop) } else { Ok(()) };
        };
        if *kind == Kind::Link {
            return apply::link(root, self.path, Path::new(OsStr::from_bytes(bytes))).map(drop);
        }
        if is_link {
            // A write would follow it.
            apply::delete(root, self.path)?;
        }
        apply::write(root, self.path, bytes)?;
        let executable = if *kind == Kind::Executable { Executable::Yes } else { Executable::No };
        apply::set_executable(root, self.path, executable).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use crate::fix::keep::{KeepError, Side, put};
    use crate::repo::scratch::{Placement, Workspace, entry};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    struct World {
        _held: tempfile::TempDir,
        dir: PathBuf,
        workspace: Workspace,
    }

    fn world() -> World {
        let held = tempfile::tempdir().unwrap();
        let dir = held.path().canonicalize().unwrap().join("tree");
        fs::create_dir(&dir).unwrap();
        for name in ["a", "b", "c", "run"] {
            fs::write(dir.join(name), format!("{name}\n")).unwrap();
        }
        symlink("a", dir.join("link")).unwrap();
        let workspace = Workspace::open(&dir, &held.path().join("shelf"), Placement::Apart).unwrap();
        World { _held: held, dir, workspace }
    }

    fn state(dir: &Path) -> Vec<(String, Option<crate::repo::git::Entry>)> {
        let mut names: Vec<String> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names.into_iter().map(|name| (name.clone(), entry(dir, &name))).collect()
    }

    fn work(dir: &Path) {
        fs::write(dir.join("a"), "changed\n").unwrap();
        fs::remove_file(dir.join("b")).unwrap();
        fs::remove_file(dir.join("link")).unwrap();
        fs::write(dir.join("link"), "a file now\n").unwrap();
        fs::remove_file(dir.join("c")).unwrap();
        symlink("a", dir.join("c")).unwrap();
        fs::set_permissions(dir.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.join("new"), "new").unwrap();
    }

    #[test]
    fn a_result_goes_in_and_comes_out_again() {
        let world = world();
        let tree = world.workspace.attempt(1).unwrap();
        work(tree.root());
        let changes = world.workspace.changes(&tree).unwrap();
        let before = state(&world.dir);
        put(&world.workspace, &world.dir, &changes, Side::After).unwrap();
        assert_eq!(state(&world.dir), state(tree.root()));
        put(&world.workspace, &world.dir, &changes, Side::Before).unwrap();
        assert_eq!(state(&world.dir), before);
    }

    #[test]
    fn a_file_that_moved_meanwhile_refuses_the_whole() {
        let world = world();
        let tree = world.workspace.attempt(1).unwrap();
        work(tree.root());
        let changes = world.workspace.changes(&tree).unwrap();
        fs::write(world.dir.join("new"), "the user's own").unwrap();
        let before = state(&world.dir);
        let refused = put(&world.workspace, &world.dir, &changes, Side::After);
        assert!(matches!(refused, Err(KeepError::Moved(path)) if path == "new"));
        assert_eq!(state(&world.dir), before);
    }

    #[test]
    fn a_failure_half_way_puts_everything_back() {
        let world = world();
        let tree = world.workspace.attempt(1).unwrap();
        fs::write(tree.root().join("a"), "changed\n").unwrap();
        fs::remove_file(tree.root().join("b")).unwrap();
        fs::create_dir(tree.root().join("d")).unwrap();
        fs::write(tree.root().join("d/e"), "deep").unwrap();
        let changes = world.workspace.changes(&tree).unwrap();
        // A dangling link where a directory is to be: the last write has no place to go, and nothing there to put back.
        symlink("nowhere/at/all", world.dir.join("d")).unwrap();
        let before = state(&world.dir);
        assert!(matches!(put(&world.workspace, &world.dir, &changes, Side::After), Err(KeepError::Write(_))));
        assert_eq!(state(&world.dir), before);
    }

    #[test]
    fn what_could_not_be_written_needs_no_putting_back() {
        let held = tempfile::tempdir().unwrap();
        let (dir, elsewhere) = (held.path().join("tree"), held.path().join("elsewhere"));
        for place in [&dir.join("d"), &elsewhere] {
            fs::create_dir_all(place).unwrap();
            fs::write(place.join("e"), "old").unwrap();
        }
        let workspace = Workspace::open(&dir, &held.path().join("shelf"), Placement::Apart).unwrap();
        let tree = workspace.attempt(1).unwrap();
        fs::write(tree.root().join("d/e"), "new").unwrap();
        let changes = workspace.changes(&tree).unwrap();
        // The same bytes are found there, and writing is refused both ways: the link leads outside.
        fs::remove_dir_all(dir.join("d")).unwrap();
        symlink(&elsewhere, dir.join("d")).unwrap();
        let refused = put(&workspace, &dir, &changes, Side::After);
        assert!(matches!(refused, Err(KeepError::Write(_))), "{refused:?}");
        assert_eq!(fs::read_to_string(elsewhere.join("e")).unwrap(), "old");
    }
}
