//! Git, through libgit2: the one door to it.
//!
//! Two things stand here. A [`Home`] is the repository that the user works in: it is read, and written only by
//! [`Home::commit`]. A [`Store`] is a repository of ours beside it, which borrows the user's objects: start states, results and
//! patches are made there, so the user's index, refs, stash, hooks and object database stay as they are.
//! Contents are taken raw, without filters (line ends, LFS): what lies in the tree is what is compared and put back.

pub mod recent;

use git2::{DiffFormat, DiffOptions, Index, IndexEntry, IndexTime, ObjectType, Oid, Repository, RepositoryInitOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Why git could not do it.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("git has no user.name and user.email to commit with")]
    NoIdentity,
    #[error("there is no commit yet to build on")]
    Unborn,
    #[error("the branch `{0}` exists already")]
    BranchExists(String),
    #[error("`{0}` is not a valid branch name")]
    BranchName(String),
    #[error("`{}` is in the middle of a merge, rebase or the like", .0.display())]
    Busy(PathBuf),
    #[error("the result touches lines of `{0}` that are not committed yet")]
    Uncommitted(String),
    #[error("git failed at `{}`", path.display())]
    Git { path: PathBuf, source: git2::Error },
    #[error("cannot write `{}`", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

/// The name of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlobId(Oid);

impl BlobId {
    /// Names bytes without keeping them.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Oid::hash_object(ObjectType::Blob, bytes).expect("a hash over bytes in memory cannot fail"))
    }
}

/// What a path of a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Executable,
    /// The bytes are the link's target.
    Link,
}

impl Kind {
    fn mode(self) -> u32 {
        match self {
            Self::Plain => 0o100_644,
            Self::Executable => 0o100_755,
            Self::Link => 0o120_000,
        }
    }
}

/// One file of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    pub id: BlobId,
}

/// The files of a tree, by path from its root, `/`-separated.
pub type State = BTreeMap<String, Entry>;

/// A file that differs between two states. At least one side is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    pub path: String,
    pub before: Option<Entry>,
    pub after: Option<Entry>,
}

/// What git knows of a working tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Paths of the index that a `String` can hold, ignored or not.
    pub files: BTreeSet<String>,
    pub submodules: BTreeSet<String>,
}

/// The user's repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Canonical.
    pub workdir: PathBuf,
}

/// Which branch gets a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto<'a> {
    /// A new one from HEAD; HEAD, index and tree stay.
    New(&'a str),
    /// The one that HEAD is on. The tree must hold the result already; the index follows where it agreed with HEAD.
    Current,
}

impl Home {
    /// Finds the repository that `dir` lies in. `None`: there is none, it is bare, or libgit2 cannot read it (a format it does
    /// not know, an owner it does not trust): then the directory is only a directory.
    pub fn discover(dir: &Path) -> Option<Self> {
        let repo = Repository::discover(dir).ok()?;
        repo.index().ok()?;
        let workdir = repo.workdir()?.canonicalize().ok()?;
        Some(Self { workdir })
    }

    fn open(&self) -> Result<Repository, GitError> {
        Repository::open(&self.workdir).map_err(|e| self.failed(e))
    }

    fn failed(&self, source: git2::Error) -> GitError {
        GitError::Git { path: self.workdir.clone(), source }
    }

    /// Names the branch, also one without a commit; a detached HEAD is given as its short commit.
    pub fn branch(&self) -> Option<String> {
        let repo = self.open().ok()?;
        let head = repo.find_reference("HEAD").ok()?;
        match head.symbolic_target() {
            Ok(Some(name)) => Some(name.strip_prefix("refs/heads/").unwrap_or(name).to_owned()),
            _ => head.target().map(|id| format!("detached at {}", &id.to_string()[..8])),
        }
    }

    /// Gives `owner/name` of the remote `origin`, where its URL has that shape.
    pub fn origin(&self) -> Option<String> {
        let repo = self.open().ok()?;
        let remote = repo.find_remote("origin").ok()?;
        let url = remote.url().ok()?.trim_end_matches('/').trim_end_matches(".git").to_owned();
        let mut parts = url.rsplit(['/', ':']);
        let (name, owner) = (parts.next()?, parts.next()?);
        (!name.is_empty() && !owner.is_empty()).then(|| format!("{owner}/{name}"))
    }

    /// Lists what the index names.
    pub fn tracked(&self) -> Result<Tracked, GitError> {
        let index = self.open()?.index().map_err(|e| self.failed(e))?;
        let mut tracked = Tracked::default();
        for entry in index.iter() {
            let Ok(path) = String::from_utf8(entry.path) else { continue };
            let into = if entry.mode == 0o160_000 { &mut tracked.submodules } else { &mut tracked.files };
            into.insert(path);
        }
        Ok(tracked)
    }

    /// Says now what would stop a commit later: no identity, nothing to build on, a taken or bad name, a merge under way.
    pub fn can_commit(&self, onto: Onto<'_>) -> Result<(), GitError> {
        let repo = self.open()?;
        repo.signature().map_err(|_| GitError::NoIdentity)?;
        head_commit(&repo)?;
        match onto {
            Onto::New(name) if !git2::Branch::name_is_valid(name).unwrap_or(false) => Err(GitError::BranchName(name.into())),
            Onto::New(name) if repo.find_branch(name, git2::BranchType::Local).is_ok() => {
                Err(GitError::BranchExists(name.into()))
            }
            Onto::Current if repo.state() != git2::RepositoryState::Clean => Err(GitError::Busy(self.workdir.clone())),
            _ => Ok(()),
        }
    }

    /// Commits `changes`, and nothing else that is uncommitted, with the user's identity. Hooks do not run.
    /// Errors with [`GitError::Uncommitted`] when the changes build on uncommitted lines. Returns the commit's full name.
    pub fn commit(&self, store: &Store, changes: &[FileChange], onto: Onto<'_>, message: &str) -> Result<String, GitError> {
        self.can_commit(onto)?;
        let repo = self.open()?;
        let head = head_commit(&repo)?;
        let head_tree = head.tree().map_err(|e| self.failed(e))?;
        let tree = store.onto(head_tree.id(), changes)?;
        store.lend(&repo, tree)?;
        let committed = || -> Result<Oid, git2::Error> {
            let (who, tree) = (repo.signature()?, repo.find_tree(tree)?);
            match onto {
                Onto::New(name) => {
                    let id = repo.commit(None, &who, &who, message, &tree, &[&head])?;
                    repo.branch(name, &repo.find_commit(id)?, false)?;
                    Ok(id)
                }
                Onto::Current => {
                    follow(&repo, &head_tree, &tree, changes)?;
                    repo.commit(Some("HEAD"), &who, &who, message, &tree, &[&head])
                }
            }
        };
        committed().map(|id| id.to_string()).map_err(|e| self.failed(e))
    }
}

fn head_commit(repo: &Repository) -> Result<git2::Commit<'_>, GitError> {
    repo.head().and_then(|head| head.peel_to_commit()).map_err(|_| GitError::Unborn)
}

/// Moves the index entries of the changed paths along, but for those where the user has staged something.
fn follow(repo: &Repository, old: &git2::Tree<'_>, new: &git2::Tree<'_>, changes: &[FileChange]) -> Result<(), git2::Error> {
    let mut index = repo.index()?;
    for change in changes {
        let path = Path::new(&change.path);
        let staged = index.get_path(path, 0).map(|entry| entry.id);
        if staged != old.get_path(path).ok().map(|entry| entry.id()) {
            continue;
        }
        match new.get_path(path) {
            Ok(entry) => index.add(&index_entry(&change.path, entry.filemode() as u32, entry.id()))?,
            Err(_) if staged.is_some() => index.remove_path(path)?,
            Err(_) => {}
        }
    }
    index.write()
}

fn index_entry(path: &str, mode: u32, id: Oid) -> IndexEntry {
    let never = IndexTime::new(0, 0);
    IndexEntry {
        ctime: never,
        mtime: never,
        dev: 0,
        ino: 0,
        mode,
        uid: 0,
        gid: 0,
        file_size: 0,
        id,
        flags: 0,
        flags_extended: 0,
        path: path.as_bytes().to_vec(),
    }
}

/// A bare repository of ours, which reads the user's objects and writes its own.
pub struct Store {
    repo: Repository,
}

impl Store {
    /// Makes the store at `dir`, over the objects of `home` where there is one.
    pub fn create(dir: &Path, home: Option<&Home>) -> Result<Self, GitError> {
        let mut options = RepositoryInitOptions::new();
        options.bare(true).external_template(false).mkpath(true);
        Repository::init_opts(dir, &options).map_err(|e| failed(dir, e))?;
        if let Some(home) = home {
            borrow_objects(dir, &[objects(&home.open()?)])?;
        }
        Self::open(dir)
    }

    /// Opens a store that was made.
    pub fn open(dir: &Path) -> Result<Self, GitError> {
        Ok(Self { repo: Repository::open_bare(dir).map_err(|e| failed(dir, e))? })
    }

    fn failed(&self, source: git2::Error) -> GitError {
        failed(self.repo.path(), source)
    }

    /// Keeps bytes, unless they are there already.
    pub fn put(&self, bytes: &[u8]) -> Result<BlobId, GitError> {
        let id = BlobId::of(bytes);
        let odb = self.repo.odb().map_err(|e| self.failed(e))?;
        if !odb.exists(id.0) {
            odb.write(ObjectType::Blob, bytes).map_err(|e| self.failed(e))?;
        }
        Ok(id)
    }

    pub fn get(&self, id: BlobId) -> Result<Vec<u8>, GitError> {
        self.repo.find_blob(id.0).map(|blob| blob.content().to_vec()).map_err(|e| self.failed(e))
    }

    /// Writes the changes as a patch that `git apply` takes at the root of the tree: full blob names, binary contents included.
    /// Bytes that are not UTF-8 go in as binary, so that the patch is text.
    pub fn patch(&self, changes: &[FileChange]) -> Result<String, GitError> {
        let mut patch = String::new();
        for change in changes {
            match String::from_utf8(self.print(change, Style::Text)?) {
                Ok(text) => patch.push_str(&text),
                Err(_) => patch.push_str(&String::from_utf8_lossy(&self.print(change, Style::Binary)?)),
            }
        }
        Ok(patch)
    }

    fn print(&self, change: &FileChange, style: Style) -> Result<Vec<u8>, GitError> {
        let changes = std::slice::from_ref(change);
        let (old, new) = (self.side(changes, |c| c.before)?, self.side(changes, |c| c.after)?);
        let mut options = DiffOptions::new();
        options.show_binary(true).id_abbrev(40).force_binary(matches!(style, Style::Binary));
        let mut patch = Vec::new();
        let mut printed = || -> Result<(), git2::Error> {
            let (old, new) = (self.repo.find_tree(old)?, self.repo.find_tree(new)?);
            let diff = self.repo.diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options))?;
            diff.print(DiffFormat::Patch, |_, _, line| {
                if matches!(line.origin(), '+' | '-' | ' ') {
                    patch.push(line.origin() as u8);
                }
                patch.extend_from_slice(line.content());
                true
            })
        };
        printed().map_err(|e| self.failed(e))?;
        Ok(patch)
    }

    /// Counts added and deleted lines of one change.
    pub fn lines(&self, change: &FileChange) -> Result<(usize, usize), GitError> {
        let changes = std::slice::from_ref(change);
        let (old, new) = (self.side(changes, |c| c.before)?, self.side(changes, |c| c.after)?);
        let counted = || -> Result<(usize, usize), git2::Error> {
            let (old, new) = (self.repo.find_tree(old)?, self.repo.find_tree(new)?);
            let stats = self.repo.diff_tree_to_tree(Some(&old), Some(&new), None)?.stats()?;
            Ok((stats.insertions(), stats.deletions()))
        };
        counted().map_err(|e| self.failed(e))
    }

    /// Makes a tree of one side of the changes alone.
    fn side(&self, changes: &[FileChange], pick: impl Fn(&FileChange) -> Option<Entry>) -> Result<Oid, GitError> {
        let made = || -> Result<Oid, git2::Error> {
            let mut index = Index::new()?;
            for change in changes {
                if let Some(entry) = pick(change) {
                    index.add(&index_entry(&change.path, entry.kind.mode(), entry.id.0))?;
                }
            }
            index.write_tree_to(&self.repo)
        };
        made().map_err(|e| self.failed(e))
    }

    /// Puts the changes on top of another tree: a merge whose base holds only the paths that changed, so that every other path
    /// of the tree counts as its own.
    fn onto(&self, tree: Oid, changes: &[FileChange]) -> Result<Oid, GitError> {
        let (base, theirs) = (self.side(changes, |c| c.before)?, self.side(changes, |c| c.after)?);
        let merged = || -> Result<Index, git2::Error> {
            let find = |id| self.repo.find_tree(id);
            self.repo.merge_trees(&find(base)?, &find(tree)?, &find(theirs)?, None)
        };
        let mut index = merged().map_err(|e| self.failed(e))?;
        if let Some(conflict) = index.conflicts().ok().and_then(|mut conflicts| conflicts.next()?.ok()) {
            let side = conflict.our.or(conflict.their).or(conflict.ancestor);
            return Err(GitError::Uncommitted(side.map(|e| String::from_utf8_lossy(&e.path).into_owned()).unwrap_or_default()));
        }
        index.write_tree_to(&self.repo).map_err(|e| self.failed(e))
    }

    /// Copies a tree and what it holds into another repository, where it lacks them.
    fn lend(&self, to: &Repository, tree: Oid) -> Result<(), GitError> {
        let copied = || -> Result<(), git2::Error> {
            let (from, into) = (self.repo.odb()?, to.odb()?);
            let mut open = vec![tree];
            while let Some(id) = open.pop() {
                if into.exists(id) {
                    continue;
                }
                let object = from.read(id)?;
                if object.kind() == ObjectType::Tree {
                    let entries = self.repo.find_tree(id)?;
                    open.extend(entries.iter().filter(|e| e.kind() != Some(ObjectType::Commit)).map(|e| e.id()));
                }
                into.write(object.kind(), object.data())?;
            }
            Ok(())
        };
        copied().map_err(|e| self.failed(e))
    }
}

enum Style {
    Text,
    Binary,
}

/// Gives the copied tree at `dir` a repository of its own, so that git works in it and reaches nothing of the user's:
/// HEAD, refs and index as the user has them, objects borrowed, of the configuration only what describes files and the user.
/// `unseen` are paths that its `git status` passes over.
pub fn furnish(dir: &Path, home: &Home, store: &Store, unseen: &BTreeSet<String>) -> Result<(), GitError> {
    let user = home.open()?;
    let mut options = RepositoryInitOptions::new();
    options.external_template(false);
    let copy = Repository::init_opts(dir, &options).map_err(|e| failed(dir, e))?;
    borrow_objects(copy.path(), &[objects(&user), objects(&store.repo)])?;
    let write = |name: &str, text: &str| {
        let path = copy.path().join(name);
        std::fs::write(&path, text).map_err(|source| GitError::Io { path, source })
    };
    write("packed-refs", &packed_refs(&user).map_err(|e| home.failed(e))?)?;
    if let Ok(head) = std::fs::read_to_string(user.path().join("HEAD")) {
        write("HEAD", &head)?;
    }
    if let Ok(shallow) = std::fs::read_to_string(user.commondir().join("shallow")) {
        write("shallow", &shallow)?;
    }
    let mut exclude = std::fs::read_to_string(user.commondir().join("info/exclude")).unwrap_or_default();
    exclude.extend(unseen.iter().map(|path| format!("\n/{path}")));
    std::fs::create_dir_all(copy.path().join("info")).map_err(|source| GitError::Io { path: dir.to_owned(), source })?;
    write("info/exclude", &exclude)?;
    let settled = || -> Result<(), git2::Error> {
        let (from, mut into) = (user.config()?.snapshot()?, copy.config()?);
        for name in CARRIED_CONFIG {
            if let Ok(value) = from.get_str(name) {
                into.set_str(name, value)?;
            }
        }
        let mut index = Repository::open(dir)?.index()?;
        for entry in user.index()?.iter() {
            index.add(&entry)?;
        }
        index.write()
    };
    settled().map_err(|e| failed(dir, e))
}

const CARRIED_CONFIG: [&str; 8] = [
    "core.filemode",
    "core.symlinks",
    "core.ignorecase",
    "core.autocrlf",
    "core.eol",
    "core.excludesfile",
    "user.name",
    "user.email",
];

fn packed_refs(repo: &Repository) -> Result<String, git2::Error> {
    let mut refs = BTreeMap::new();
    for reference in repo.references()?.flatten() {
        if let (Ok(name), Some(id)) = (reference.name(), reference.target()) {
            refs.insert(name.to_owned(), id);
        }
    }
    Ok(refs.into_iter().map(|(name, id)| format!("{id} {name}\n")).collect())
}

fn objects(repo: &Repository) -> PathBuf {
    repo.commondir().join("objects")
}

fn borrow_objects(gitdir: &Path, from: &[PathBuf]) -> Result<(), GitError> {
    let path = gitdir.join("objects/info/alternates");
    let text: String = from.iter().map(|dir| format!("{}\n", dir.display())).collect();
    let made = std::fs::create_dir_all(gitdir.join("objects/info")).and_then(|()| std::fs::write(&path, text));
    made.map_err(|source| GitError::Io { path, source })
}

fn failed(path: &Path, source: git2::Error) -> GitError {
    GitError::Git { path: path.to_owned(), source }
}
