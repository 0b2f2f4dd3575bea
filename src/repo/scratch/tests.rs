//! Git situations as a table, and the patch round trip through the real git.

use crate::repo::git::{FileChange, GitError, Home, Onto};
use crate::repo::scratch::{Placement, ScratchError, Tree, Workspace};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A user's directory, and a place for copies beside it.
struct World {
    _held: TempDir,
    dir: PathBuf,
    shelf: PathBuf,
}

impl World {
    fn empty() -> Self {
        let held = tempfile::tempdir().unwrap();
        let base = held.path().canonicalize().unwrap();
        let (dir, shelf) = (base.join("shop"), base.join("shelf"));
        fs::create_dir(&dir).unwrap();
        Self { _held: held, dir, shelf }
    }

    /// A repository with one commit of a few files.
    fn committed() -> Self {
        let world = Self::empty().git("init -q -b main").git("config user.name A").git("config user.email a@example.org");
        world
            .put(".gitignore", "*.log\nvendor/\nout/\n")
            .put("src/a.txt", "one\ntwo\nthree\n")
            .put("src/b.txt", "b\n")
            .put("bin/run", "#!/bin/sh\n");
        fs::set_permissions(world.dir.join("bin/run"), fs::Permissions::from_mode(0o755)).unwrap();
        world.git("add -A").git("commit -qm first")
    }

    fn git(self, arguments: &str) -> Self {
        run_git(&self.dir, arguments);
        self
    }

    fn put(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        put(&self.dir, path, text);
        self
    }

    fn open(&self) -> Workspace {
        Workspace::open(&self.dir, &self.shelf, Placement::Apart).unwrap()
    }
}

fn put(dir: &Path, path: &str, text: impl AsRef<[u8]>) {
    let full = dir.join(path);
    fs::create_dir_all(full.parent().unwrap()).unwrap();
    fs::write(full, text).unwrap();
}

fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(dir).env("HOME", "/nonexistent").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command.args(["-c", "protocol.file.allow=always"]);
    command
}

fn run_git(dir: &Path, arguments: &str) -> String {
    let done = git(dir).args(arguments.split(' ')).output().unwrap();
    assert!(done.status.success(), "git {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// All that lies under a directory: kind, mode and bytes of every path, those of `.git` included on wish.
fn contents(dir: &Path, skip: &[&str]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        for item in fs::read_dir(&at).unwrap().map(|item| item.unwrap().path()) {
            let (name, meta) = (item.strip_prefix(dir).unwrap().to_str().unwrap().to_owned(), item.symlink_metadata().unwrap());
            if skip.contains(&name.as_str()) {
            } else if meta.is_dir() {
                open.push(item);
            } else if meta.is_symlink() {
                found.insert(name, (0, fs::read_link(item).unwrap().to_str().unwrap().into()));
            } else {
                found.insert(name, (meta.mode() & 0o111, fs::read(item).unwrap()));
            }
        }
    }
    found
}

/// The copy holds what the user's tree holds (but `apart`), an edit in it becomes a patch that git takes in the user's tree,
/// and nothing of the user's moves until then.
fn check(situation: &str, world: &World, apart: &[&str]) {
    let before = contents(&world.dir, &[]);
    let workspace = world.open();
    let tree = workspace.attempt(1).unwrap();
    let skip: Vec<&str> = [".git"].iter().chain(apart).copied().collect();
    assert_eq!(contents(tree.root(), &skip), contents(&world.dir, &skip), "{situation}: the copy");
    assert_eq!(workspace.changes(&tree).unwrap(), [], "{situation}: nothing was done yet");

    put(tree.root(), "src/a.txt", "one\n2\nthree\nfour");
    put(tree.root(), "new dir/ü.bin", b"\0\x01\xff binary \0");
    let changes = workspace.changes(&tree).unwrap();
    let patch = workspace.patch(&changes).unwrap();
    drop(tree);
    drop(workspace);
    assert_eq!(contents(&world.dir, &[]), before, "{situation}: the user's tree, index and refs stay");
    assert_eq!(fs::read_dir(&world.shelf).unwrap().count(), 0, "{situation}: nothing is left behind");

    let root = Home::discover(&world.dir).map_or(world.dir.clone(), |home| home.workdir);
    apply(situation, &root, &patch);
    // Under autocrlf, git itself writes CRLF here.
    assert_eq!(fs::read_to_string(root.join("src/a.txt")).unwrap().replace('\r', ""), "one\n2\nthree\nfour", "{situation}");
    assert_eq!(fs::read(root.join("new dir/ü.bin")).unwrap(), b"\0\x01\xff binary \0", "{situation}");
}

fn apply(situation: &str, root: &Path, patch: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, patch).unwrap();
    for step in [&["apply", "--check"][..], &["apply"]] {
        let done = git(root).args(step).arg(file.path()).output().unwrap();
        assert!(done.status.success(), "{situation}: {}\n{patch}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn a_copy_starts_from_the_tree_as_it_is() {
    let clean = World::committed();
    check("clean", &clean, &[]);

    let dirty = World::committed();
    dirty.put("src/b.txt", "staged\n");
    let dirty = dirty.git("add src/b.txt");
    dirty.put("src/b.txt", "staged, then edited\n").put("src/a.txt", "ONE\ntwo\n").put("notes/new.txt", "untracked\n");
    check("staged, unstaged, untracked", &dirty, &[]);

    let deleted = World::committed();
    fs::remove_file(deleted.dir.join("src/b.txt")).unwrap();
    check("deleted", &deleted, &[]);

    let renamed = World::committed().git("mv src/b.txt src/c.txt");
    check("renamed", &renamed, &[]);

    let modes = World::committed();
    fs::set_permissions(modes.dir.join("bin/run"), fs::Permissions::from_mode(0o644)).unwrap();
    symlink("a.txt", modes.dir.join("src/link")).unwrap();
    symlink("nowhere", modes.dir.join("dangling")).unwrap();
    check("modes and symlinks", &modes, &[]);

    let crlf = World::committed().git("config core.autocrlf true");
    crlf.put(".gitattributes", "* text=auto\n").put("src/a.txt", "one\r\ntwo\r\nthree");
    check("CRLF, filters, no final newline", &crlf, &[]);

    let ignored = World::committed();
    ignored.put("debug.log", "kept").put("out/big.o", "object").put("vendor/dep.txt", "dependency");
    check("ignored", &ignored, &["out", "vendor", "out/big.o"]);
}

#[test]
fn unusual_repositories_work_as_well() {
    let unborn = World::empty().git("init -q -b main");
    unborn.put("src/a.txt", "one\ntwo\nthree\n");
    check("unborn HEAD", &unborn, &[]);

    let detached = World::committed().git("checkout -q --detach");
    check("detached HEAD", &detached, &[]);

    let main = World::committed();
    let linked = World { _held: tempfile::tempdir().unwrap(), dir: main.dir.with_file_name("linked"), shelf: main.shelf.clone() };
    let main = main.git("worktree add -q ../linked -b side");
    check("a linked worktree", &linked, &[]);
    drop(main);

    let plain = World::empty();
    plain.put("src/a.txt", "one\ntwo\nthree\n").put(".gitignore", "*.log\n");
    check("no repository", &plain, &[]);

    let bare = World::empty();
    let bare = World { dir: bare.dir.join("store"), ..bare };
    fs::create_dir(&bare.dir).unwrap();
    let bare = bare.git("init -q --bare");
    assert!(Home::discover(&bare.dir).is_none());
    let workspace = bare.open();
    assert!(workspace.start().contains_key("HEAD"), "only a directory, then");
}

#[test]
fn a_submodule_is_lent_and_left_alone() {
    let inner = World::committed();
    let outer =
        World::committed().git(&format!("submodule --quiet add {} libs/inner", inner.dir.display())).git("commit -qm sub");
    let workspace = outer.open();
    let tree = workspace.attempt(1).unwrap();
    assert_eq!(fs::read_to_string(tree.root().join("libs/inner/src/b.txt")).unwrap(), "b\n");
    assert_eq!(workspace.changes(&tree).unwrap(), []);
    drop((tree, workspace));
    assert!(outer.dir.join("libs/inner/src/b.txt").exists());
}

#[test]
fn dependencies_are_lent_and_workspace_links_lead_into_the_copy() {
    let world = World::committed();
    world.put("node_modules/dep/index.js", "1").put("node_modules/@scope/other/index.js", "2").put("packages/own/index.js", "3");
    symlink("../packages/own", world.dir.join("node_modules/own")).unwrap();
    world.put("vendor/dep.txt", "v").put(".env.log", "SECRET");
    let workspace = world.open();
    let tree = workspace.attempt(1).unwrap();
    for path in ["node_modules/dep/index.js", "node_modules/@scope/other/index.js", "vendor/dep.txt", ".env.log"] {
        assert!(tree.root().join(path).exists(), "{path}");
    }
    let own = tree.root().join("node_modules/own").canonicalize().unwrap();
    assert!(own.starts_with(tree.root()), "{}", own.display());
    assert_eq!(workspace.changes(&tree).unwrap(), []);
    assert_eq!(run_git(tree.root(), "status --porcelain"), "?? packages/\n", "as in the user's tree, the lent links unseen");
    drop((tree, workspace));
    assert!(world.dir.join("node_modules/dep/index.js").exists() && world.dir.join("vendor/dep.txt").exists());
}

#[test]
fn git_in_a_copy_shows_the_users_history_and_cannot_reach_the_user() {
    let world = World::committed().git("tag v1").git("stash list");
    world.put("src/a.txt", "edited\n");
    let before = contents(&world.dir, &[]);
    let workspace = world.open();
    let tree = workspace.attempt(1).unwrap();
    assert_eq!(run_git(tree.root(), "describe --tags").trim(), "v1");
    assert_eq!(run_git(tree.root(), "status --porcelain -b"), "## main\n M src/a.txt\n");
    run_git(tree.root(), "stash -q");
    run_git(tree.root(), "tag -d v1");
    run_git(tree.root(), "commit -q --allow-empty -m x");
    fs::remove_dir_all(tree.root().join(".git")).unwrap();
    let changes = workspace.changes(&tree).unwrap();
    assert_eq!(changes.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["src/a.txt"]);
    assert_eq!(contents(&world.dir, &[]), before);
}

#[test]
fn every_kind_of_change_survives_the_patch() {
    let world = World::committed();
    world.put("latin", b"caf\xe9\n").put("empty me", "x\n").put("crlf.txt", "a\r\nb\r\n").put("becomes-link", "text\n");
    symlink("src/a.txt", world.dir.join("link")).unwrap();
    let workspace = world.open();
    let tree = workspace.attempt(1).unwrap();
    let at = |path: &str| tree.root().join(path);
    fs::remove_file(at("src/b.txt")).unwrap();
    fs::remove_file(at("link")).unwrap();
    symlink("src", at("link")).unwrap();
    fs::remove_file(at("becomes-link")).unwrap();
    symlink("latin", at("becomes-link")).unwrap();
    fs::set_permissions(at("bin/run"), fs::Permissions::from_mode(0o644)).unwrap();
    put(tree.root(), "latin", b"th\xe9\n");
    put(tree.root(), "empty me", "");
    put(tree.root(), "new-empty", "");
    put(tree.root(), "crlf.txt", "a\r\nB\r\n");
    put(tree.root(), "quote\"d\tname", "no newline");
    put(tree.root(), "tool", "#!/bin/sh\n");
    fs::set_permissions(at("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    let changes = workspace.changes(&tree).unwrap();
    assert_eq!(changes.len(), 10, "{changes:#?}");
    apply("every kind", &world.dir, &workspace.patch(&changes).unwrap());
    assert_eq!(contents(&world.dir, &[".git"]), contents(tree.root(), &[".git"]));
}

#[test]
fn what_a_test_run_leaves_is_no_change_and_a_second_attempt_is_fresh() {
    let world = World::committed();
    world.put("Cargo.toml", "[package]");
    let mut workspace = world.open();
    let tree = workspace.attempt(1).unwrap();
    put(tree.root(), "Cargo.lock", "made by the run");
    put(tree.root(), "cover/age/report.html", "1");
    put(tree.root(), "src/__pycache__/a.pyc", "1");
    workspace.settle(&tree).unwrap();
    put(tree.root(), "cover/other.html", "made by a later run");
    put(tree.root(), "src/a.txt", "edited");
    put(tree.root(), "src/made.txt", "new");
    let names = |tree: &Tree| workspace.changes(tree).unwrap().into_iter().map(|c| c.path).collect::<Vec<_>>();
    assert_eq!(names(&tree), ["src/a.txt", "src/made.txt"]);
    let second = workspace.attempt(2).unwrap();
    assert_eq!(contents(second.root(), &[".git"]), contents(&world.dir, &[".git"]));
    assert_eq!(names(&second), [""; 0]);
}

#[test]
fn a_subdirectory_is_a_project_of_its_own_place() {
    let world = World::committed();
    let inner = World { dir: world.dir.join("src"), shelf: world.shelf.clone(), _held: tempfile::tempdir().unwrap() };
    let workspace = inner.open();
    assert_eq!(workspace.source(), world.dir);
    let tree = workspace.attempt(1).unwrap();
    assert_eq!(tree.project(), tree.root().join("src"));

    world.put("out/project/main.py", "1");
    let ignored = World { dir: world.dir.join("out/project"), shelf: world.shelf.clone(), _held: tempfile::tempdir().unwrap() };
    let workspace = ignored.open();
    assert!(workspace.home().is_none() && workspace.start().contains_key("main.py"));
}

#[test]
fn the_remains_of_a_crash_are_removed_and_living_ones_kept() {
    let world = World::committed();
    let living = world.open();
    fs::create_dir_all(world.shelf.join("work-dead/attempt-1")).unwrap();
    fs::write(world.shelf.join("work-dead.lock"), "").unwrap();
    fs::create_dir_all(world.shelf.join("work-unborn")).unwrap();
    let next = world.open();
    for gone in ["work-dead", "work-dead.lock", "work-unborn"] {
        assert!(!world.shelf.join(gone).exists(), "{gone}");
    }
    living.attempt(1).unwrap();
    next.attempt(1).unwrap();
}

fn edit(world: &World, path: &str, text: &str) -> (Workspace, Vec<FileChange>) {
    let workspace = world.open();
    let tree = workspace.attempt(1).unwrap();
    put(tree.root(), path, text);
    let changes = workspace.changes(&tree).unwrap();
    drop(tree);
    (workspace, changes)
}

#[test]
fn a_commit_on_a_new_branch_holds_the_change_and_nothing_else() {
    let world = World::committed();
    world.put("src/b.txt", "uncommitted\n");
    let (workspace, changes) = edit(&world, "src/a.txt", "fixed\n");
    let state = run_git(&world.dir, "status --porcelain -b");
    workspace.commit(&changes, Onto::New("fix/it"), "fix it").unwrap();
    assert_eq!(run_git(&world.dir, "diff --name-only main fix/it"), "src/a.txt\n");
    assert_eq!(run_git(&world.dir, "log -1 --format=%an/%s fix/it"), "A/fix it\n");
    assert_eq!(run_git(&world.dir, "status --porcelain -b"), state);
    run_git(&world.dir, "fsck --strict");
    let again = workspace.commit(&changes, Onto::New("fix/it"), "fix it");
    assert!(matches!(again, Err(ScratchError::Git(GitError::BranchExists(_)))));
    let bad = workspace.commit(&changes, Onto::New("a..b"), "fix it");
    assert!(matches!(bad, Err(ScratchError::Git(GitError::BranchName(_)))));
}

#[test]
fn a_commit_on_the_current_branch_leaves_other_staged_work_staged() {
    let world = World::committed();
    world.put("src/b.txt", "staged\n");
    let world = world.git("add src/b.txt");
    let (workspace, changes) = edit(&world, "src/a.txt", "fixed\n");
    world.put("src/a.txt", "fixed\n");
    workspace.commit(&changes, Onto::Current, "fix it").unwrap();
    assert_eq!(run_git(&world.dir, "status --porcelain"), "M  src/b.txt\n");
    assert_eq!(run_git(&world.dir, "show --name-only --format= HEAD"), "src/a.txt\n");
}

#[test]
fn a_commit_says_what_stops_it() {
    let dirty = World::committed();
    dirty.put("src/a.txt", "one\nTWO\nthree\n");
    let (workspace, changes) = edit(&dirty, "src/a.txt", "one\n2!\nthree\n");
    let stopped = workspace.commit(&changes, Onto::New("x"), "m");
    assert!(matches!(&stopped, Err(ScratchError::Git(GitError::Uncommitted(path))) if path == "src/a.txt"), "{stopped:?}");

    let unborn = World::empty().git("init -q").git("config user.name A").git("config user.email a@b.c");
    let (workspace, changes) = edit(&unborn, "a", "b");
    assert!(matches!(workspace.commit(&changes, Onto::Current, "m"), Err(ScratchError::Git(GitError::Unborn))));

    let plain = World::empty();
    let (workspace, changes) = edit(&plain, "a", "b");
    assert!(matches!(workspace.commit(&changes, Onto::Current, "m"), Err(ScratchError::NoRepository(_))));
}
