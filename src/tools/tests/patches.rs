//! `patch`.

use crate::protocol::tool::{Change, ChangeKind};
use crate::tools::tests::{Shop, shared};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

#[test]
fn files_change_together() {
    let mut shop = Shop::alone(&[("a.rs", "fn a() {}\n"), ("old", "x\n"), ("b.sh", "set -eu\n")]);
    let patch = "*** Begin Patch\n*** Update File: a.rs\n@@\n-fn a() {}\n+fn a( {}\n*** Delete File: old\n*** Add File: n/new\n+y\n*** Update File: b.sh\n*** Move to: bin/b.sh\n@@\n set -eu\n+umask 077\n*** End Patch";
    let answer = shop.call("patch", json!({"patch":patch}));
    assert!(answer.ok && answer.text.contains("syntax error at line 1"), "{}", answer.text);
    let change = |path: &str, change| Change { path: path.into(), change };
    let expected = [
        change("a.rs", ChangeKind::Modified),
        change("b.sh", ChangeKind::Deleted),
        change("bin/b.sh", ChangeKind::Added),
        change("n/new", ChangeKind::Added),
        change("old", ChangeKind::Deleted),
    ];
    assert_eq!(answer.changes, expected);
    assert_eq!((shop.file("bin/b.sh"), shop.file("n/new")), ("set -eu\numask 077\n".into(), "y\n".into()));
}

#[test]
fn a_patch_that_cannot_be_whole_changes_nothing() {
    let mut shop = Shop::alone(&[("a", "one\n"), ("b", "two\n")]);
    for (second, kind) in [
        ("*** Update File: b\n@@\n-three\n+four\n", "not_found"),
        ("*** Add File: b\n+x\n", "exists"),
        ("*** Add File: ../x\n+x\n", "outside"),
        ("*** Add File: .git/hooks/x\n+x\n", "outside"),
        ("*** Delete File: c\n", "not_found"),
        ("*** Update File: b\n*** Move to: a\n@@\n-two\n+x\n", "exists"),
    ] {
        let patch = format!("*** Begin Patch\n*** Update File: a\n@@\n-one\n+ONE\n{second}*** End Patch\n");
        let (told, text) = shop.fails("patch", json!({"patch":patch}));
        assert_eq!((told.as_str(), shop.file("a").as_str(), shop.file("b").as_str()), (kind, "one\n", "two\n"), "{text}");
    }
    assert_eq!(shop.fails("patch", json!({"patch":"change it"})).0, "patch");
}

/// Applies the patches of a collection: all of them must come out right.
fn check(text: &str) {
    let (mut right, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for case in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let files = |value: &Value| serde_json::from_value::<BTreeMap<String, String>>(value.clone()).unwrap();
        let before = files(&case["files_before"]);
        let listed: Vec<(&str, &str)> = before.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
        let mut shop = Shop::alone(&listed);
        let answer = shop.call("patch", json!({"patch":case["patch"]}));
        let after = tree(&shop);
        let fine = [&case["files_after"]].into_iter().chain(case["accept_after"].as_array().into_iter().flatten());
        let expects = case["expect"] == "applied";
        let id = case["id"].to_string();
        match answer.ok {
            true if expects && fine.filter(|f| f.is_object()).any(|f| files(f) == after) => right += 1,
            false if after == before && (!expects || case["accept_rejected"] == true) => right += 1,
            false if after == before => refused.push(id),
            _ => wrong.push(id),
        }
    }
    assert_eq!((refused, wrong), (vec![], vec![]), "{right} right");
}

#[test]
fn every_patch_of_the_collection_comes_out_right() {
    let Some(path) = shared("data/patch-cases.jsonl") else {
        eprintln!("skipped: no shared/data/patch-cases.jsonl beside the project");
        return;
    };
    check(&fs::read_to_string(path).unwrap());
}

#[test]
fn every_patch_of_ours_comes_out_right() {
    check(include_str!("../../../tests/fixtures/edits/patches.jsonl"));
}

fn tree(shop: &Shop) -> BTreeMap<String, String> {
    let root = &shop.bench.root;
    crate::repo::walk::files(root, root.as_path()).map(|f| (f.path.to_string(), fs::read_to_string(f.full).unwrap())).collect()
}
