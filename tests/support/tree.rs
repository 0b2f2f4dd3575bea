//! Trees of files as a test sees them: whole, byte for byte.
#![allow(dead_code, reason = "every test crate compiles this module and uses its own part of it")]

use super::machine::{Machine, fixture};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Every file below a directory: its path, its mode and its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Tree(BTreeMap<String, (u32, Vec<u8>)>);

impl Tree {
    /// The files of a project, without git's own.
    pub fn of(dir: &Path) -> Self {
        Self::below(dir, &|path| path == ".git")
    }

    /// What git knows of a project beside its objects: index, references, stash, logs, configuration.
    pub fn of_git(dir: &Path) -> Self {
        Self::below(&dir.join(".git"), &|path| path == "objects")
    }

    fn below(dir: &Path, left_out: &dyn Fn(&str) -> bool) -> Self {
        let mut files = BTreeMap::new();
        let mut open = vec![dir.to_owned()];
        while let Some(at) = open.pop() {
            for entry in std::fs::read_dir(&at).unwrap().map(Result::unwrap) {
                let path = entry.path();
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                match entry.file_type().unwrap() {
                    _ if left_out(&name) => {}
                    kind if kind.is_dir() => open.push(path),
                    _ => {
                        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                        files.insert(name, (mode, std::fs::read(&path).unwrap_or_default()));
                    }
                }
            }
        }
        Self(files)
    }

    /// The paths that differ.
    pub fn differing<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let all: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        all.into_iter().filter(|path| self.0.get(*path) != other.0.get(*path)).map(String::as_str).collect()
    }
}

/// The state of a project at one moment: its tree, and all that git keeps.
pub struct Moment {
    tree: Tree,
    git: Option<Tree>,
}

impl Moment {
    pub fn of(project: &Path) -> Self {
        let git = project.join(".git").is_dir().then(|| Tree::of_git(project));
        Self { tree: Tree::of(project), git }
    }

    /// Leaves out what git keeps, where a test means it to change.
    pub fn without_git(self) -> Self {
        Self { git: None, ..self }
    }

    /// Checks that since then exactly these files changed, and nothing that git keeps.
    #[track_caller]
    pub fn check(&self, project: &Path, changed: &[&str]) {
        let now = Self::of(project);
        assert_eq!(self.tree.differing(&now.tree), changed, "files that changed");
        if let (Some(before), Some(now)) = (&self.git, &now.git) {
            assert_eq!(before.differing(now), [""; 0], "what git keeps");
        }
    }
}

/// Puts a project of `tests/fixtures` on a machine, committed.
pub fn settle(machine: &Machine, language: &str) {
    plant(machine, language);
    machine.git(&["init", "-q"]);
    machine.git(&["add", "-A"]);
    machine.git(&["commit", "-q", "-m", "As it is"]);
}

/// Puts a project of `tests/fixtures` on a machine, without git.
pub fn plant(machine: &Machine, language: &str) {
    let from = fixture(language);
    for (name, (_, bytes)) in Tree::of(&from).0 {
        machine.file(&name, std::str::from_utf8(&bytes).unwrap());
    }
}
