//! What ranked repair came to, as the result tells it.

use crate::path::RepoPath;
use crate::units::Tokens;
use serde::Serialize;

/// What ranked repair did. Serializes to the contract's JSON, keys in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `PATH:FIRST-LAST` of each passage that was suspected.
    pub suspects: Vec<String>,
    /// How many changes there were to try.
    pub candidates: usize,
    /// How many were tried.
    pub tried: usize,
    /// Runs of the test command since it was seen to fail, those that verified included.
    pub tests: usize,
    /// The place of the change that was chosen in the order, from 1.
    pub rank: Option<usize>,
    /// Other changes that pass the tests.
    pub rivals: Vec<Rival>,
    /// Tokens of changes whose likelihood was asked for.
    pub scored: Tokens,
    pub order: Order,
}

/// A line that passes the tests as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rival {
    pub path: RepoPath,
    pub line: usize,
    #[serde(skip)]
    pub old: String,
    pub new: String,
}

/// What the order of the tries was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The model's likelihoods and the words.
    Model,
    /// The words and the kinds of changes.
    Words,
    /// Chance, to be compared with.
    Chance,
}

impl Report {
    /// Lists the rivals as lines of a diff; empty without any.
    pub fn rivals(&self) -> String {
        let told = self.rivals.iter().map(|rival| {
            let (old, new) = (rival.old.trim(), rival.new.trim());
            format!("{}:{}\n-{old}\n+{new}", rival.path, rival.line)
        });
        match self.rivals.len() {
            0 => String::new(),
            1 => format!("This passes the tests too:\n{}", told.collect::<String>()),
            _ => format!("These pass the tests too, each by itself:\n{}", told.collect::<Vec<_>>().join("\n")),
        }
    }
}
