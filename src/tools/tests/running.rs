//! `run`.

use crate::tools::tests::Shop;
use serde_json::json;

#[test]
fn the_end_is_told_first() {
    let mut shop = Shop::new(&[("a.txt", "x\n")]);
    assert_eq!(shop.ok("run", json!({"command":"cat a.txt; echo err >&2"})), "exit code 0\nx\nerr");
    assert_eq!(shop.ok("run", json!({"command":"true"})), "exit code 0, no output");
    assert_eq!(shop.fails("run", json!({"command":"echo a; exit 3"})), ("exit".into(), "exit code 3\na".into()));
    assert_eq!(shop.fails("run", json!({"command":"kill -9 $$"})).0, "signal");
    assert_eq!(shop.fails("run", json!({"command":" "})).0, "arguments");
}

#[test]
fn long_output_names_its_log_and_repeats_itself_exactly() {
    let mut shop = Shop::new(&[]);
    let text = shop.ok("run", json!({"command":"seq 1 9999"}));
    assert!(text.len() < 8_500 && text.contains("bytes cut]"), "{}", text.len());
    let (_, log) = text.rsplit_once(" bytes are in ").unwrap();
    let log = log.split_once(": look with").unwrap().0;
    assert_eq!(std::fs::read_to_string(log).unwrap().lines().count(), 9_999);
    assert_eq!(shop.ok("run", json!({"command":"seq 1 9999"})), text);
}

#[test]
fn a_log_that_is_not_whole_says_so() {
    let mut shop = Shop::new(&[]);
    let text = shop.ok("run", json!({"command":"yes | head -c 67108866"}));
    assert!(text.contains("[the first 67108864 of 67108866 bytes are in "), "{}", &text[text.len() - 300..]);
}

#[test]
fn the_limit_is_the_workbench_s() {
    let mut shop = Shop::new(&[]);
    shop.bench.max_seconds = 1;
    let (kind, text) = shop.fails("run", json!({"command":"echo begun; sleep 30","seconds":60}));
    assert_eq!((kind.as_str(), text.as_str()), ("timeout", "the command was ended after 1 seconds\nbegun\nRun less at once."));
    shop.bench.max_seconds = 20;
    let (_, text) = shop.fails("run", json!({"command":"sleep 30","seconds":1}));
    assert!(text.ends_with("or give more seconds."), "{text}");
}

#[test]
fn a_cancelled_command_says_so() {
    let mut shop = Shop::new(&[]);
    shop.bench.cancel.cancel();
    assert_eq!(shop.fails("run", json!({"command":"sleep 30"})).0, "cancelled");
}

#[test]
fn a_job_runs_on_and_says_where() {
    let mut shop = Shop::new(&[]);
    let text = shop.ok("run", json!({"command":"echo begun; sleep 100","background":true}));
    assert!(text.starts_with("job 1 runs as process ") && text.contains("logs/job-1.log"), "{text}");
    assert!(shop.ok("run", json!({"command":"sleep 100","background":true})).starts_with("job 2 "));
    let mut alone = Shop::alone(&[]);
    assert_eq!(alone.fails("run", json!({"command":"sleep 1","background":true})).0, "arguments");
}
