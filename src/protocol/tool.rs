//! A tool's answer, as the contract words it.

use serde::{Deserialize, Serialize};

/// The outcome of one tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolAnswer {
    pub ok: bool,
    /// What the model reads.
    pub text: String,
    pub error: Option<ToolFailure>,
    pub changes: Vec<Change>,
}

/// A failure in words for the model: what went wrong, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolFailure {
    /// A stable word: `not_found`, `ambiguous`, `outside`, `arguments`, …
    pub kind: String,
    pub message: String,
    #[serde(default)]
    pub hint: String,
}

/// A file that a call touched, relative to the project's root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Change {
    pub path: String,
    pub change: ChangeKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

impl ToolAnswer {
    /// A success that says `text`.
    pub fn done(text: impl Into<String>) -> Self {
        Self { ok: true, text: text.into(), ..Self::default() }
    }

    /// A failure; its text for the model is the message and the hint.
    pub fn failed(kind: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let (message, hint) = (message.into(), hint.into());
        let text = if hint.is_empty() { message.clone() } else { format!("{message}\n{hint}") };
        Self { ok: false, text, error: Some(ToolFailure { kind: kind.into(), message, hint }), changes: Vec::new() }
    }
}
