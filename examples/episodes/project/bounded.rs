//! Commands that may not run away: a limit on time, on memory, and on what they write.

use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Whether it succeeded in time.
    pub passed: bool,
    pub late: bool,
    pub output: String,
}

/// What a command may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of processor time; ten times as long by the clock, for the machine may be busy with other things.
    pub seconds: u64,
    /// Address space in KiB; `None` for programs that reserve more than they use.
    pub memory: Option<u64>,
}

/// How much longer than its processor time a command may take.
const BUSY: u64 = 10;
/// More output than this is not read.
const MOST_OUTPUT: u64 = 4 << 20;

/// Runs a line of `sh` in `dir`, with `input` on its standard input. Kills the whole group when the time is over.
///
/// # Panics
/// Where no shell can be started or no temporary file made: nothing can be measured then.
pub fn run(line: &str, dir: &Path, input: &str, bounds: Bounds) -> Ended {
    let memory = bounds.memory.map(|kib| format!("ulimit -v {kib}; ")).unwrap_or_default();
    // Files, not pipes: nobody has to read while the command runs.
    let mut output = tempfile::tempfile().expect("a temporary file can be made");
    let mut asked = tempfile::tempfile().expect("a temporary file can be made");
    asked.write_all(input.as_bytes()).and_then(|()| asked.rewind()).expect("a temporary file can be written");
    let clone = |file: &File| Stdio::from(file.try_clone().expect("a file can be held twice"));
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -c 0; ulimit -f 131072; ulimit -t {}; {memory}{line}", bounds.seconds)])
        .current_dir(dir)
        .env("GOPROXY", "off")
        .env("GOFLAGS", "-mod=mod")
        // A cached module is told from a changed one by seconds and size, and a mutation may differ in neither.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NODE_OPTIONS", "--max-old-space-size=512")
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::from(asked))
        .stdout(clone(&output))
        .stderr(clone(&output))
        .process_group(0)
        .spawn()
        .expect("a shell can be started");
    let deadline = Instant::now() + Duration::from_secs(bounds.seconds * BUSY);
    let status = loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(4)),
            Ok(Some(status)) => break Some(status),
            _ => break None,
        }
    };
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
    let mut bytes = Vec::new();
    let _ = output.rewind().and_then(|()| output.take(MOST_OUTPUT).read_to_end(&mut bytes));
    Ended {
        passed: status.is_some_and(|status| status.success()),
        // A shell says 128 and the signal of what it waited for.
        late: status.is_none_or(|status| killed(status.code(), status.signal())),
        output: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// Whether the processor time was over.
fn killed(code: Option<i32>, signal: Option<i32>) -> bool {
    let signals = [Signal::XCPU.as_raw(), Signal::KILL.as_raw()];
    signals.iter().any(|over| signal == Some(*over) || code == Some(128 + over))
}

#[cfg(test)]
mod tests {
    use crate::project::bounded::{Bounds, run};
    use std::path::Path;

    #[test]
    fn a_command_ends_by_itself_or_is_ended() {
        let bounds = Bounds { seconds: 20, memory: None };
        let ended = run("cat; echo done; exit 3", Path::new("/"), "in ", bounds);
        assert!(!ended.passed && !ended.late);
        assert_eq!(ended.output, "in done\n");
        assert!(run("sleep 60", Path::new("/"), "", Bounds { seconds: 0, memory: None }).late);
        assert!(run("while :; do :; done", Path::new("/"), "", Bounds { seconds: 1, memory: None }).late);
    }
}
