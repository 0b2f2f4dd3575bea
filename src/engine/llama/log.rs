//! What llama.cpp logs as warnings and errors: the only place where it says why it could not do something.

use llama_cpp_sys_2 as sys;
use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_void};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The newest lines.
static LOG: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());
const LOG_LINES: usize = 32;
/// Whether stderr gets those lines too.
static ECHO: AtomicBool = AtomicBool::new(false);

/// Writes what llama.cpp warns of on stderr: an engine process's own log. A front end's stderr is a person's.
pub fn echo_log() {
    ECHO.store(true, Ordering::Relaxed);
}

pub(in crate::engine::llama) unsafe extern "C" fn log(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if level != sys::GGML_LOG_LEVEL_WARN && level != sys::GGML_LOG_LEVEL_ERROR {
        return;
    }
    // SAFETY: llama.cpp passes a NUL-terminated line.
    let line = unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_owned();
    if line.is_empty() {
        return;
    }
    if ECHO.load(Ordering::Relaxed) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    if let Ok(mut log) = LOG.lock() {
        if log.len() == LOG_LINES {
            log.pop_front();
        }
        log.push_back(line);
    }
}

/// Forgets what was logged: what follows is about the next step.
pub(in crate::engine::llama) fn forget_log() {
    if let Ok(mut log) = LOG.lock() {
        log.clear();
    }
}

/// Why the last step failed, in llama.cpp's words: the first error is the cause, what follows are its callers' echoes.
pub(in crate::engine::llama) fn reason() -> String {
    let log = LOG.lock().map(|log| log.clone()).unwrap_or_default();
    let line = log.iter().find(|l| l.contains("error")).or(log.back());
    line.map_or_else(
        || "llama.cpp gave no reason".to_owned(),
        |l| l.split_once(": ").map_or(l.as_str(), |(_, rest)| rest).to_owned(),
    )
}
