//! Which lines were changed lately: what is not committed yet, and what the last commit brought.
//!
//! Only where, not what: whoever looks for a fault looks there first.

use crate::path::{RepoPath, Root};
use crate::repo::git::{GitError, Home, failed};
use git2::{Diff, DiffOptions, Repository, Tree};
use std::ops::RangeInclusive;

/// When lines came to be as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    LastCommit,
    Uncommitted,
}

/// Changed lines of a file that is there. Where lines only went, the line before them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    pub path: RepoPath,
    pub when: When,
    /// From 1, as they are counted in the work tree; in order.
    pub lines: Vec<RangeInclusive<usize>>,
}

/// A change of more files than that is a move or an import, and points nowhere.
const MOST_FILES: usize = 60;
/// Larger files are not compared.
const LARGEST: i64 = 512 << 10;

/// Lists the lines under `root` that differ from HEAD, then those that differ from HEAD's first parent; each empty where there is
/// no repository, no such commit, or too much changed. Untracked files are not listed: nothing says how old they are.
///
/// Costs what `git diff` does: a look at every tracked file, a comparison of the changed ones.
pub fn recent(root: &Root) -> Result<Vec<Touched>, GitError> {
    let Some(home) = Home::discover(root.as_path()) else { return Ok(Vec::new()) };
    let repo = home.open()?;
    let Ok(head) = repo.head().and_then(|head| head.peel_to_commit()) else { return Ok(Vec::new()) };
    let mut touched = Vec::new();
    let mut add = |tree: Result<Tree<'_>, git2::Error>, when| -> Result<(), git2::Error> {
        let place = Place { root, home: &home, when };
        touched.extend(place.touched(&against(&repo, &tree?)?)?);
        Ok(())
    };
    add(head.tree(), When::Uncommitted).map_err(|e| failed(root.as_path(), e))?;
    if let Ok(parent) = head.parent(0) {
        add(parent.tree(), When::LastCommit).map_err(|e| failed(root.as_path(), e))?;
    }
    Ok(touched)
}

/// What the work tree, staged or not, has other than `tree`.
fn against<'r>(repo: &'r Repository, tree: &Tree<'r>) -> Result<Diff<'r>, git2::Error> {
    let mut options = DiffOptions::new();
    options.context_lines(0).max_size(LARGEST).ignore_submodules(true);
    repo.diff_tree_to_workdir_with_index(Some(tree), Some(&mut options))
}

/// What a difference is seen from.
struct Place<'a> {
    root: &'a Root,
    home: &'a Home,
    when: When,
}

impl Place<'_> {
    fn touched(&self, diff: &Diff<'_>) -> Result<Vec<Touched>, git2::Error> {
        if diff.deltas().len() > MOST_FILES {
            return Ok(Vec::new());
        }
        let mut found: Vec<Touched> = Vec::new();
        let mut hunk = |delta: git2::DiffDelta<'_>, hunk: git2::DiffHunk<'_>| {
            let written = delta.new_file().path().and_then(|path| self.home.workdir.join(path).to_str().map(str::to_owned));
            // A project may be a folder of its repository: what lies beside it is not its.
            let Some(path) = written.and_then(|path| self.root.parse(&path).ok()) else { return true };
            let first = (hunk.new_start() as usize).max(1);
            let lines = first..=first + (hunk.new_lines() as usize).saturating_sub(1);
            match found.last_mut().filter(|last| last.path == path) {
                Some(last) => last.lines.push(lines),
                None => found.push(Touched { path, when: self.when, lines: vec![lines] }),
            }
            true
        };
        diff.foreach(&mut |_, _| true, None, Some(&mut hunk), None)?;
        found.retain(|touched| self.root.join(&touched.path).is_file());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use crate::path::Root;
    use crate::repo::git::recent::recent;
    use git2::{Repository, Signature};
    use std::fs;
    use std::path::Path;

    /// Writes the files and commits them.
    fn commit(repo: &Repository, files: &[(&str, &str)]) {
        let dir = repo.workdir().unwrap();
        let mut index = repo.index().unwrap();
        for (path, text) in files {
            fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
            fs::write(dir.join(path), text).unwrap();
            index.add_path(Path::new(path)).unwrap();
        }
        index.write().unwrap();
        let tree = repo.find_tree(index.write_tree().unwrap()).unwrap();
        let who = Signature::new("a", "a@example.org", &git2::Time::new(0, 0)).unwrap();
        let parent = repo.head().ok().and_then(|head| head.peel_to_commit().ok());
        repo.commit(Some("HEAD"), &who, &who, "m", &tree, &parent.iter().collect::<Vec<_>>()).unwrap();
    }

    fn told(root: &Path) -> Vec<String> {
        let touched = recent(&Root::open(root).unwrap()).unwrap();
        touched.iter().map(|t| format!("{:?} {} {:?}", t.when, t.path, t.lines)).collect()
    }

    #[test]
    fn both_the_open_changes_and_those_of_the_last_commit_are_told() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(told(dir.path()), [""; 0], "no repository");
        let repo = Repository::init(dir.path()).unwrap();
        assert_eq!(told(dir.path()), [""; 0], "no commit");
        commit(&repo, &[("a.py", "1\n2\n3\n"), ("web/b.js", "1\n2\n3\n4\n")]);
        assert_eq!(told(dir.path()), [""; 0], "a first commit brings everything, and points nowhere");
        commit(&repo, &[("web/b.js", "1\n2\n3\nfour\n")]);
        fs::write(dir.path().join("a.py"), "0\n1\n3\n").unwrap();
        fs::write(dir.path().join("new.py"), "1\n").unwrap();
        let open = ["Uncommitted a.py [1..=1, 2..=2]", "LastCommit a.py [1..=1, 2..=2]", "LastCommit web/b.js [4..=4]"];
        assert_eq!(told(dir.path()), open);
        assert_eq!(told(&dir.path().join("web")), ["LastCommit b.js [4..=4]"], "the project is a folder of the repository");
    }
}
