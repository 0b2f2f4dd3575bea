//! Sessions on disk: append-only JSON lines (`log`), read back as a conversation (`fold`), found again (`shelf`) and shown
//! to people and programs (`export`).
//!
//! The conversation is a fold over the events: whoever follows the same events holds the same messages, so the log needs no
//! copy of them beside the ones that no event made (the opening, a person's words).

pub mod export;
pub mod fold;
pub mod log;
pub mod shelf;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

/// Why a session cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("cannot write the session `{}`", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot read the session `{}`", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// Another process appends to it.
    #[error("the session `{}` is in use", path.display())]
    InUse { path: PathBuf },
    /// The first line is not a session's: the file is something else, or its writer was killed before it was whole.
    #[error("the session `{}` has no whole first line", path.display())]
    NoHead { path: PathBuf },
    /// Written by a newer program.
    #[error("the session `{}` has format {found}, and this program reads up to {}", path.display(), log::FORMAT)]
    Newer { path: PathBuf, found: u64 },
    #[error("there is no session `{0}`")]
    Unknown(String),
    #[error("`{prefix}` names several sessions: {}", ids.join(", "))]
    Ambiguous { prefix: String, ids: Vec<String> },
}

impl crate::hint::Hint for SessionError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown(_) => "see `agent session list`".into(),
            Self::Ambiguous { .. } => "give more of its beginning".into(),
            Self::Write { .. } => "make room there, or set AGENT_HOME to a directory that can be written".into(),
            Self::Newer { .. } => "update the program, or remove the file".into(),
            _ => return None,
        })
    }
}
