//! Finding sessions again.

use crate::protocol::event::Outcome;
use crate::protocol::message::Message;
use crate::sessions::SessionError;
use crate::sessions::fold::{Session, fold};
use crate::sessions::log::Head;
use serde::Serialize;
use std::path::{Path, PathBuf};

const EXTENSION: &str = "jsonl";
/// Characters of a title.
const TITLE: usize = 80;

/// A session in one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    #[serde(flatten)]
    pub head: Head,
    /// The first line of the person's first words.
    pub title: String,
    pub steps: u32,
    pub outcome: Option<Outcome>,
}

/// Lists the sessions in `dir`, newest first, and those that cannot be read. Reads every file whole. A missing directory has none.
pub fn list(dir: &Path) -> Result<(Vec<Summary>, Vec<SessionError>), SessionError> {
    let (mut summaries, mut problems) = (Vec::new(), Vec::new());
    for id in ids(dir)?.iter().rev() {
        match read(&path_of(dir, id)) {
            Ok(session) => summaries.push(summary(session)),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((summaries, problems))
}

/// Reads the session that `id` names, wholly or by its beginning.
pub fn show(dir: &Path, id: &str) -> Result<Session, SessionError> {
    read(&path_of(dir, &find(dir, id)?))
}

/// Finds the whole id of a session from its beginning.
pub fn find(dir: &Path, prefix: &str) -> Result<String, SessionError> {
    let mut ids = ids(dir)?;
    ids.retain(|id| id.starts_with(prefix));
    // A whole id may be the beginning of another.
    match ids.iter().position(|id| id == prefix) {
        Some(at) => Ok(ids.swap_remove(at)),
        None if ids.len() > 1 => Err(SessionError::Ambiguous { prefix: prefix.into(), ids }),
        None => ids.pop().ok_or_else(|| SessionError::Unknown(prefix.into())),
    }
}

/// The file of a session.
pub fn path_of(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}.{EXTENSION}"))
}

fn read(path: &Path) -> Result<Session, SessionError> {
    let bytes = std::fs::read(path).map_err(|source| SessionError::Read { path: path.to_owned(), source })?;
    fold(&bytes, path)
}

/// The ids in `dir`, sorted, oldest first.
fn ids(dir: &Path) -> Result<Vec<String>, SessionError> {
    let failed = |source| SessionError::Read { path: dir.to_owned(), source };
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if let (true, Some(stem)) = (path.extension().is_some_and(|e| e == EXTENSION), path.file_stem().and_then(|s| s.to_str()))
        {
            ids.push(stem.to_owned());
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

fn summary(session: Session) -> Summary {
    let words = session.transcript.iter().find_map(|message| match message {
        Message::User { text } => text.trim().lines().next(),
        _ => None,
    });
    let title = words.unwrap_or_default().chars().take(TITLE).collect();
    Summary { title, steps: session.steps, outcome: session.outcome, head: session.head }
}
