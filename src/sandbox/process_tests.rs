//! Commands that behave and commands that do not: limits, floods, survivors, cancels.

use crate::sandbox::process::{Command, Finished, Line, SpawnError, run};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

fn shell(line: &str) -> Command {
    Command {
        line: Line::Shell(line.into()),
        dir: "/".into(),
        env: Vec::new(),
        limit: Duration::from_secs(20),
        keep: 8_000,
        log: None,
    }
}

fn finish(command: &Command) -> Finished {
    run(command, &CancellationToken::new()).unwrap()
}

#[test]
fn both_streams_come_in_order_and_the_code_is_told() {
    let done = finish(&shell("echo a; echo b >&2; echo c; exit 3"));
    assert_eq!((done.code, done.output.text().as_str()), (Some(3), "a\nb\nc\n"));
    assert!(!done.timed_out && !done.cancelled && done.signal.is_none());
}

#[test]
fn there_is_no_stdin_no_pager_and_no_colour() {
    let done = finish(&shell("cat; echo $TERM $PAGER $GIT_PAGER $NO_COLOR $GIT_TERMINAL_PROMPT [$CI] [$GIT_DIR]"));
    assert_eq!(done.output.text(), "dumb cat cat 1 0 [] []\n");
}

#[test]
fn the_environment_and_the_directory_are_the_callers() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = shell("pwd -P; echo $WORD");
    command.dir = dir.path().canonicalize().unwrap();
    command.env = vec![("WORD".into(), "boat".into())];
    assert_eq!(finish(&command).output.text(), format!("{}\nboat\n", command.dir.display()));
    command.line = Line::Argv(vec!["printf".into(), "%s|".into(), "$HOME".into(), "a b".into()]);
    assert_eq!(finish(&command).output.text(), "$HOME|a b|");
}

#[test]
fn a_command_over_its_limit_is_ended_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = shell("trap '' TERM; (trap '' TERM; sleep 30; touch late) & echo begun; sleep 30");
    command.dir = dir.path().to_owned();
    command.limit = Duration::from_millis(200);
    let started = Instant::now();
    let done = finish(&command);
    assert!(done.timed_out && started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!((done.signal, done.output.text().as_str()), (Some(9), "begun\n"));
}

#[test]
fn cancelling_ends_it() {
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let started = Instant::now();
    let thread = std::thread::spawn(move || run(&shell("sleep 30"), &cancel).unwrap());
    stop.cancel();
    let done = thread.join().unwrap();
    assert!(done.cancelled && started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_process_that_left_the_group_cannot_hold_us() {
    if !Path::new("/usr/bin/setsid").exists() {
        eprintln!("skipped: no setsid here");
        return;
    }
    let started = Instant::now();
    let done = finish(&shell("setsid sleep 8 & echo done"));
    assert_eq!((done.code, done.output.text().as_str()), (Some(0), "done\n"));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_job_in_the_background_does_not_outlive_the_command() {
    let done = finish(&shell("sleep 30 & echo $!"));
    let pid = done.output.text().trim().to_owned();
    // Killed: gone, dying, or a zombie that its new parent has not reaped yet. Alive it would be asleep.
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(!state.contains(") S "), "{state}");
    assert!(done.took < Duration::from_secs(5));
}

#[test]
fn long_output_is_cut_in_the_middle_and_whole_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = shell("seq 1 20000");
    command.log = Some(dir.path().join("logs/1.log"));
    let done = finish(&command);
    let text = done.output.text();
    assert!(text.starts_with("1\n2\n") && text.ends_with("19999\n20000\n") && text.len() < 8_100);
    let log = done.output.log.unwrap();
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!((log.len() as u64, log.lines().count()), (done.output.total, 20_000));
}

#[test]
fn what_cannot_start_says_so() {
    let mut command = shell("true");
    command.line = Line::Argv(vec!["no-such-program".into()]);
    assert!(
        matches!(run(&command, &CancellationToken::new()), Err(SpawnError::Start { program, .. }) if program == "no-such-program")
    );
    command.line = Line::Argv(Vec::new());
    assert!(matches!(run(&command, &CancellationToken::new()), Err(SpawnError::Empty)));
}
