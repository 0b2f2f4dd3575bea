//! Writing the answer to stdout. A reader that left early (`| head`) is no error of ours: the command ends quietly.

use crate::cli::failure::Failure;
use std::io::{ErrorKind, Write};

/// Writes text, as it is.
pub fn text(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(unwritable)
}

/// Writes text and a line break, when it has none of its own.
pub fn line(line: &str) -> Result<(), Failure> {
    if line.ends_with('\n') { text(line) } else { text(&format!("{line}\n")) }
}

/// Writes a value as indented JSON.
pub fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut written = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
    written.push('\n');
    text(&written)
}

/// Turns a failed write into the end of the command.
pub fn unwritable(error: std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::Silent,
        _ => Failure::failed(anyhow::Error::new(error).context("cannot write the answer")),
    }
}
