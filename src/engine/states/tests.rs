//! What is kept, found, thinned out and refused, by files on a disk.

use crate::engine::states::{Checkpoint, ROOM, Rewind, Saved, Shelf};
use crate::units::Bytes;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const OWN: &str = "0123456789abcdef";

fn saved(tokens: std::ops::Range<i32>, bytes: usize) -> Saved {
    let state = Arc::new((0..bytes).map(|n| n as u8).collect());
    Saved { tokens: tokens.collect(), opening: false, state, checkpoints: Vec::new(), past: None }
}

fn open(dir: &Path) -> Shelf {
    Shelf::open(dir, OWN.into(), ROOM).0
}

fn prompt(to: i32) -> Vec<i32> {
    (0..to).collect()
}

fn written(dir: &Path, states: Vec<Saved>) -> Shelf {
    let mut shelf = open(dir);
    for state in states {
        shelf.put(state);
        shelf.write(&mut || false);
    }
    assert_eq!((shelf.notices(), shelf.waiting()), (Vec::new(), 0));
    shelf
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// A home with a place for states that is still to be made.
fn place() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("cache/kv");
    (home, dir)
}

#[test]
fn what_was_written_is_found_by_the_next_process() {
    let (_home, dir) = place();
    let checkpoints = vec![Checkpoint { length: 40, state: Arc::new(vec![9; 33]) }];
    let state = Saved { checkpoints, past: Some(json!({"said": "so"})), ..saved(0..100, 10_000_000) };
    written(&dir, vec![state.clone()]);
    let (mut shelf, pasts) = Shelf::open(&dir, OWN.into(), ROOM);
    assert_eq!(pasts, [json!({"said": "so"})]);
    let found = shelf.best(&prompt(200), 199, Rewind::Anywhere).unwrap();
    assert_eq!(found.length, 100);
    assert_eq!(shelf.load(found).unwrap(), state);
    assert!(shelf.has(&state.tokens) && !shelf.has(&prompt(99)));
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&files(&dir)[0]).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_longest_common_beginning_wins_as_far_as_a_cache_can_go_back() {
    let (_home, dir) = place();
    let other = Saved { tokens: (0..50).chain(900..950).collect(), ..saved(0..0, 3) };
    let marked = Saved { checkpoints: vec![Checkpoint { length: 30, state: Arc::default() }], ..other.clone() };
    let shelf = written(&dir, vec![Saved { opening: true, ..saved(0..20, 3) }, marked]);
    let length = |to, most, rewind| shelf.best(&prompt(to), most, rewind).map(|found| found.length);
    assert_eq!(length(100, 99, Rewind::Anywhere), Some(50));
    assert_eq!(length(100, 99, Rewind::Checkpoints), Some(30));
    assert_eq!(length(29, 28, Rewind::Checkpoints), Some(20));
    assert_eq!(length(20, 19, Rewind::Checkpoints), None, "all of it is one token too many");
    assert_eq!(length(20, 19, Rewind::Anywhere), Some(19));
    assert_eq!(shelf.best(&[7, 8], 1, Rewind::Anywhere), None);
}

#[test]
fn another_identity_is_no_problem_and_no_help() {
    let (_home, dir) = place();
    written(&dir, vec![saved(0..100, 10)]);
    let (mut shelf, _) = Shelf::open(&dir, "fedcba9876543210".into(), ROOM);
    assert_eq!(shelf.best(&prompt(100), 99, Rewind::Anywhere), None);
    assert_eq!(shelf.notices(), Vec::<String>::new());
    assert_eq!(files(&dir).len(), 1);
}

#[test]
fn whatever_is_done_to_a_file_it_is_passed_over_with_a_notice() {
    let (_home, dir) = place();
    let checkpoints = vec![Checkpoint { length: 40, state: Arc::new(vec![9; 333]) }];
    written(&dir, vec![Saved { checkpoints, ..saved(0..100, 3000) }]);
    let path = files(&dir).remove(0);
    let whole = fs::read(&path).unwrap();
    let changed = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        bytes
    };
    let mut broken: Vec<Vec<u8>> = (0..whole.len()).step_by(37).map(changed).collect();
    broken.extend((0..whole.len()).step_by(61).map(|end| whole[..end].to_vec()));
    broken.extend([[whole.as_slice(), b"x"].concat(), b"agentkv1".repeat(9), vec![0xff; 500]]);
    for bytes in broken {
        fs::write(&path, &bytes).unwrap();
        let mut shelf = open(&dir);
        if let Some(found) = shelf.best(&prompt(200), 199, Rewind::Anywhere) {
            assert_eq!(shelf.load(found), None);
            assert_eq!(shelf.best(&prompt(200), 199, Rewind::Anywhere), None, "it is not tried again");
        }
        let notices = shelf.notices();
        assert!(notices.len() == 1 && notices[0].contains("is of no use"), "{notices:?}");
    }
    fs::write(&path, &whole).unwrap();
    let mut shelf = open(&dir);
    let found = shelf.best(&prompt(200), 199, Rewind::Anywhere).unwrap();
    assert!(shelf.load(found).is_some(), "as it was it is whole");
    fs::remove_file(&path).unwrap();
    assert_eq!(shelf.load(found), None);
    assert_eq!(shelf.notices(), Vec::<String>::new(), "another engine needed the room");
}

#[test]
fn what_was_used_longest_ago_makes_room() {
    let (_home, dir) = place();
    let ages = [("a", 0..10, 3), ("b", 20..30, 2), ("c", 40..50, 1)];
    for (_, tokens, hours) in ages.clone() {
        let before = if dir.exists() { files(&dir) } else { Vec::new() };
        written(&dir, vec![saved(tokens, 1000)]);
        let new = files(&dir).into_iter().find(|path| !before.contains(path)).unwrap();
        let then = SystemTime::now() - Duration::from_secs(3600 * hours);
        fs::File::open(new).unwrap().set_modified(then).unwrap();
    }
    // The oldest is used once more.
    let mut shelf = open(&dir);
    let found = shelf.best(&prompt(10), 9, Rewind::Anywhere).unwrap();
    shelf.load(found).unwrap();
    let size: u64 = files(&dir).iter().map(|path| path.metadata().unwrap().len()).sum();
    let mut shelf = Shelf::open(&dir, OWN.into(), Bytes(size)).0;
    shelf.put(saved(60..70, 1000));
    shelf.write(&mut || false);
    let shelf = open(&dir);
    let kept = [0, 20, 40, 60].map(|from| shelf.best(&[from, from + 1], 2, Rewind::Anywhere).is_some());
    assert_eq!(kept, [true, false, true, true]);
    let mut small = Shelf::open(&dir, OWN.into(), Bytes(500)).0;
    small.put(saved(80..90, 1000));
    small.write(&mut || false);
    assert_eq!((files(&dir).len(), small.waiting()), (3, 0), "what cannot have room takes none from others");
}

#[test]
fn who_is_wanted_leaves_the_rest_for_later() {
    let (_home, dir) = place();
    let mut shelf = open(&dir);
    shelf.put(saved(0..100, 20 << 20));
    let mut looks = 0;
    shelf.write(&mut || {
        looks += 1;
        looks > 2
    });
    assert_eq!(files(&dir), Vec::<PathBuf>::new(), "nothing half written is left");
    let found = shelf.best(&prompt(100), 99, Rewind::Anywhere).unwrap();
    assert_eq!(shelf.load(found).unwrap().bytes(), 20 << 20, "it can be had from memory");
    shelf.write(&mut || false);
    assert_eq!((files(&dir).len(), shelf.waiting()), (1, 0));
}

#[test]
fn a_conversation_that_went_on_replaces_itself_and_no_opening() {
    let (_home, dir) = place();
    let opening = Saved { opening: true, ..saved(0..10, 5) };
    let shelf = written(&dir, vec![opening.clone(), saved(0..20, 5), saved(0..30, 5)]);
    assert_eq!(files(&dir).len(), 2);
    assert!(shelf.has(&opening.tokens) && !shelf.has(&prompt(20)) && shelf.has(&prompt(30)));
}

#[test]
fn a_directory_that_others_can_enter_is_not_used() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (mut shelf, pasts) = Shelf::open(home.path(), OWN.into(), ROOM);
    assert!(pasts.is_empty() && shelf.notices()[0].starts_with("nothing is kept from session to session"));
}
