//! Files that are no usable model: each is refused by name and reason, and nothing is left running.

mod support;

#[cfg(feature = "llama")]
use std::path::Path;
use support::gguf::bad::{BadFile, bad_files};
use support::machine::{Ended, Machine};

/// Checks a refusal: the engine's exit code, one line with the file and the reason, one with a hint, and nothing else.
#[track_caller]
fn check(ended: &Ended, file: &BadFile) {
    let lines: Vec<&str> = ended.err.lines().collect();
    assert_eq!((ended.code, ended.out.as_str()), (Some(3), ""), "{ended:?}");
    let [error, hint] = lines[..] else { panic!("not two lines: {ended:?}") };
    let named = format!("`{}`", file.path.display());
    assert!(error.starts_with("error: ") && error.contains(&named) && error.contains(file.says), "{ended:?}");
    assert!(hint.starts_with("hint: ") && hint.len() > 20, "{ended:?}");
}

/// Does something with every file, as many at once as there are processors.
fn with_every_file(act: impl Fn(&Machine, &BadFile) + Sync) {
    let folder = tempfile::tempdir().unwrap();
    let files = bad_files(folder.path());
    assert!(files.len() > 90);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for share in files.chunks(files.len().div_ceil(threads)) {
            scope.spawn(|| {
                let machine = Machine::new();
                share.iter().for_each(|file| act(&machine, file));
            });
        }
    });
}

fn path(file: &BadFile) -> &str {
    file.path.to_str().unwrap()
}

#[test]
fn show_refuses_every_one() {
    with_every_file(|machine, file| check(&machine.agent(&["model", "show", path(file)]), file));
}

#[cfg(feature = "llama")]
#[test]
fn run_refuses_every_one_and_leaves_nothing_running() {
    with_every_file(|machine, file| {
        check_reason(&machine.agent(&["run", "--model", path(file), "x"]), file);
        assert_eq!(running(&machine.path("home")), [""; 0], "engines that run on");
    });
}

/// A run has no hint of the file's own: how to look into it is what helps.
#[cfg(feature = "llama")]
#[track_caller]
fn check_reason(ended: &Ended, file: &BadFile) {
    assert_eq!((ended.code, ended.out.as_str()), (Some(3), ""), "{ended:?}");
    let error = ended.err.lines().next().unwrap_or_default();
    assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    assert!(error.starts_with("error: ") && error.contains(path(file)) && error.contains(file.says), "{ended:?}");
    assert!(error.contains("; check the file with `agent model show`"), "{ended:?}");
}

/// The command lines of processes that name a place.
#[cfg(feature = "llama")]
fn running(place: &Path) -> Vec<String> {
    let commands = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = commands.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
    lines.map(|line| line.replace('\0', " ")).filter(|line| line.contains(place.to_str().unwrap())).collect()
}
