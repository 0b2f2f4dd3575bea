//! What is written: the answer to stdout, everything beside it to stderr. A reader that left early (`| head`) is no error of
//! ours and changes no exit code.

use crate::cli::failure::Failure;
use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// Whether somebody reads the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    There,
    Gone,
}

/// Writes text, as it is.
pub fn text(text: &str) -> Result<Reader, Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::failed(anyhow::Error::new(error).context("cannot write the answer"))),
    }
}

/// Writes text and a line break, when it has none of its own.
pub fn line(line: &str) -> Result<Reader, Failure> {
    if line.ends_with('\n') { text(line) } else { text(&format!("{line}\n")) }
}

/// Writes a value as indented JSON.
pub fn json(value: &impl serde::Serialize) -> Result<Reader, Failure> {
    let mut written = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
    written.push('\n');
    text(&written)
}

/// Says something beside the answer, in a line. Where nobody listens nothing is lost.
pub fn aside(said: impl Display) {
    let _ = writeln!(std::io::stderr(), "{said}");
}
