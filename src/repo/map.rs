//! The repository map: which files and definitions matter most for what is asked, told within a budget of tokens.
//!
//! An [`Index`](index::Index) holds the words of each file and what it seems to define (`heads`), kept on disk and renewed file
//! by file by what changed (`indexer`). Whoever uses a name that another defines refers to it: a graph of files, on which a walk
//! begins at what the question resembles (`relevance`) and comes to rest where most leads to (`graph`). `rank` puts both
//! together; what is shown is parsed, and `outline` writes the best of it down, never above the budget.
//!
//! It knows no tokenizer: whoever asks for an outline brings the function that counts.

mod graph;
mod heads;
pub mod index;
pub mod indexer;
mod names;
pub mod outline;
pub mod rank;
mod relevance;
mod store;
#[cfg(test)]
mod tests;
pub mod words;

use crate::path::RepoPath;

/// What a map is wanted for. All of it may be empty: then the project's own weights decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// An issue, a task, a commit's message: names, paths and plain words in it count.
    pub text: String,
    /// Files that are at hand; what they refer to is wanted, not they themselves.
    pub open: Vec<RepoPath>,
}
