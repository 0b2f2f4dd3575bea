//! What the arguments of a turn's calls may be: data from which an engine makes a constraint.

use serde::{Deserialize, Serialize};

/// One argument of one tool, and what it may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground {
    pub tool: String,
    pub argument: String,
    pub may_be: MayBe,
}

/// The texts that an argument may be. An argument of which nothing is said may be anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MayBe {
    OneOf(Vec<String>),
    /// A piece of the text whose name another argument gives: one that stands in it once, and was shown.
    PieceOf {
        argument: String,
        texts: Vec<Shown>,
    },
    /// Anything but what another argument is.
    Unlike(String),
}

/// A text, and which parts of it the model has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub name: String,
    /// All of it, lines ended by `\n`.
    pub text: String,
    /// In bytes, at line borders, in order.
    pub parts: Vec<std::ops::Range<usize>>,
}

impl Shown {
    /// Whether a piece stands in it once, overlaps included.
    pub fn has_once(&self, piece: &str) -> bool {
        self.text
            .find(piece)
            .is_some_and(|at| !self.text.as_bytes()[at + 1..].windows(piece.len().max(1)).any(|w| w == piece.as_bytes()))
    }
}
