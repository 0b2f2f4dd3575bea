//! Edits as models write them, with the outcomes that are right, where that collection lies beside the project.

use crate::tools::tests::{Shop, shared};
use serde_json::{Value, json};
use std::fs;

#[derive(Debug, PartialEq, Eq)]
enum Score {
    Right,
    /// Refused though it could have been applied: the model tries again.
    Refused,
    /// Applied wrongly, or though it should have been refused.
    Wrong,
}

fn score(case: &Value) -> Option<Score> {
    // Bytes that are no text come encoded; the tools' own tests cover those files.
    if case.get("file_before_b64").is_some() {
        return None;
    }
    let path = case["path"].as_str()?;
    let before = case["file_before"].as_str();
    let mut shop = Shop::alone(&before.map(|text| vec![(path, text)]).unwrap_or_default());
    let arguments = match case.get("edits") {
        Some(edits) => json!({"path":path,"edits":edits}),
        None => json!({"path":path,"search":case["edit"]["search"],"replace":case["edit"]["replace"]}),
    };
    let answer = shop.call("edit", arguments);
    let after = fs::read_to_string(shop.bench.root.as_path().join(path)).ok();
    let fine = [&case["file_after"]].into_iter().chain(case["accept_after"].as_array().into_iter().flatten());
    let mut fine = fine.filter_map(Value::as_str);
    Some(match (answer.ok, case["expect"].as_str()? == "applied") {
        (true, true) if fine.any(|text| after.as_deref() == Some(text)) => Score::Right,
        (true, false) if case["accept_applied"] == true => Score::Right,
        (true, _) => Score::Wrong,
        (false, _) if after.as_deref() != before => Score::Wrong,
        (false, true) if case["accept_rejected"] != true => Score::Refused,
        (false, _) => Score::Right,
    })
}

/// Scores a file of cases: all of them must come out right.
fn check(text: &str) {
    let cases: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let scored: Vec<(&str, Score)> = cases.iter().filter_map(|case| Some((case["id"].as_str()?, score(case)?))).collect();
    let with = |wanted: Score| scored.iter().filter(|(_, s)| *s == wanted).map(|(id, _)| *id).collect::<Vec<_>>();
    let (right, refused, wrong) = (with(Score::Right), with(Score::Refused), with(Score::Wrong));
    assert_eq!((refused, wrong), (vec![], vec![]), "{} of {} right", right.len(), scored.len());
}

#[test]
fn every_case_of_the_collection_comes_out_right() {
    let Some(path) = shared("data/edit-cases.jsonl") else {
        eprintln!("skipped: no shared/data/edit-cases.jsonl beside the project");
        return;
    };
    check(&fs::read_to_string(path).unwrap());
}

#[test]
fn every_case_of_ours_comes_out_right() {
    check(include_str!("../../../tests/fixtures/edits/cases.jsonl"));
}
