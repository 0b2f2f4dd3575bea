//! Starting an engine process, and learning how it ended.

use crate::engine::EngineError;
use crate::engine::client::{ClientSettings, identity, sockets_dir};
use crate::engine::runtime::last_words;
use crate::engine::wire::READY_LINE;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{self, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long the system is given to report the end of a process whose connection has closed.
const BURIAL: Duration = Duration::from_secs(2);

/// Where the engine of one identity is found.
pub struct Place {
    pub dir: PathBuf,
    pub socket: PathBuf,
    pub log: PathBuf,
}

/// A process that this front end started. It outlives the front end.
pub struct Process {
    /// Waits for it, so that it leaves no zombie behind.
    ended: JoinHandle<io::Result<ExitStatus>>,
}

impl Place {
    /// Errors when the model cannot be found.
    pub fn of(settings: &ClientSettings) -> Result<Self, EngineError> {
        let name = identity(&settings.options, &settings.program)?;
        let dir = sockets_dir(&settings.runtime);
        let socket = dir.join(format!("{name}.sock"));
        Ok(Self { dir, socket, log: settings.log.join(format!("engine-{name}.log")) })
    }

    /// The last thing that the engine wrote in its log.
    pub fn last_words(&self) -> Option<String> {
        last_words(&self.log)
    }

    /// Opens a new log and keeps the one before it.
    fn new_log(&self) -> io::Result<File> {
        self.log.parent().map_or(Ok(()), fs::create_dir_all)?;
        match fs::rename(&self.log, self.log.with_extension("old.log")) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => File::create(&self.log),
        }
    }
}

impl Process {
    pub fn is_over(&self) -> bool {
        self.ended.is_finished()
    }

    /// Says how it ended: waits for it, but not for long. `None` when it has not.
    pub async fn end(self) -> Option<String> {
        let status = timeout(BURIAL, self.ended).await.ok()?.ok()?.ok()?;
        Some(match (status.signal(), status.code()) {
            (Some(9), _) => "killed by signal 9, perhaps for want of memory".into(),
            (Some(signal), _) => format!("killed by signal {signal}{}", name_of(signal)),
            (None, code) => format!("it ended with status {}", code.unwrap_or_default()),
        })
    }
}

/// Becomes this very program again, with the environment that arithmetic in its own process needs. Returns only when it
/// already has that environment, or cannot.
pub fn calm_threads() {
    const POLICY: &str = "OMP_WAIT_POLICY";
    if std::env::var_os(POLICY).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let _ = std::process::Command::new(program).args(std::env::args_os().skip(1)).env(POLICY, "passive").exec();
    }
}

/// Starts the process and waits until its socket answers.
///
/// Errors when it cannot be started, or ends before; its log's last line says why.
pub async fn start(settings: &ClientSettings, place: &Place) -> Result<Process, EngineError> {
    let failed = |e: io::Error| EngineError::Unavailable(format!("cannot start `{}`: {e}", settings.program.display()));
    let mut options = settings.options.clone();
    // The process has another working directory. Not the canonical path: the parts of a split model are found by name,
    // and caches keep them as links to files named otherwise.
    options.model = path::absolute(&options.model).map_err(failed)?;
    let options = serde_json::to_string(&options).map_err(|e| failed(e.into()))?;
    let mut command = Command::new(&settings.program);
    command.arg("engine").arg("--socket").arg(path::absolute(&place.socket).map_err(failed)?);
    command.args(["--options", &options, "--idle-seconds", &settings.idle.as_secs().to_string()]);
    command.arg("--states").arg(path::absolute(&settings.states).map_err(failed)?);
    // OpenMP reads its policy when it is loaded, before any code of ours: spinning threads cost a factor of ten on a busy
    // machine. An abort in ggml would start a debugger, and a panic would bury its own message under a backtrace.
    command.env("OMP_WAIT_POLICY", "passive").env("GGML_NO_BACKTRACE", "1").env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(place.new_log().map_err(failed)?);
    // A group of its own: Ctrl-C in the terminal is not for it. No directory held: any may be unmounted.
    command.current_dir("/").process_group(0);
    let mut child = command.spawn().map_err(failed)?;
    let stdout = child.stdout.take();
    let process = Process { ended: tokio::spawn(async move { child.wait().await }) };
    if is_ready(stdout).await {
        return Ok(process);
    }
    let end = process.end().await.unwrap_or_else(|| "it closed its output".into());
    let words = place.last_words().map_or(String::new(), |words| format!(": {words}"));
    Err(EngineError::Unavailable(format!("the engine did not start ({end}){words}")))
}

/// Whether the process says that it is ready, before its output ends. Other lines are passed over.
async fn is_ready(stdout: Option<ChildStdout>) -> bool {
    let Some(stdout) = stdout else { return false };
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == READY_LINE {
            return true;
        }
    }
    false
}

fn name_of(signal: i32) -> &'static str {
    match signal {
        4 => " (illegal instruction)",
        6 => " (abort)",
        7 => " (bus error)",
        11 => " (segmentation fault)",
        15 => " (terminated)",
        _ => "",
    }
}
