//! Ranked repair: small changes of suspected lines, in the order in which a model finds them likely.
//!
//! Everything here is pure: passages and words in, candidates and orders out. Who scores them and who runs the tests is the
//! front end's matter.

pub mod mutate;
pub mod notation;
pub mod order;
pub mod suspects;
pub mod words;

use crate::path::RepoPath;
use crate::repo::syntax::Language;

/// Whether a language is one of those that small changes, their weights and the micro model's marks were made for.
pub(crate) fn is_known(language: Language) -> bool {
    use Language::{C, Cpp, Go, Java, JavaScript, Json, Python, Ruby, Rust, Tsx, TypeScript};
    matches!(language, C | Cpp | Go | Java | JavaScript | Json | Python | Ruby | Rust | Tsx | TypeScript)
}

/// A stretch of a file whose lines are suspected: one definition, as a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    pub path: RepoPath,
    pub language: Language,
    /// The line of the file, from 1, that the first one here is.
    pub first: usize,
    /// The lines as they stand in the file, without their ends.
    pub lines: Vec<String>,
}

/// One change of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The line's number in the listing: from 1, through all passages in order.
    pub label: usize,
    /// Where its passage stands among those that are suspected, from 0: the most suspected one.
    pub passage: usize,
    /// The whole line as it is, and as it would be.
    pub old: String,
    pub new: String,
    pub kind: Kind,
    /// The words that go and come, empty for a pure insertion or deletion (`<` and `<=`; nothing and `not`).
    pub removed: String,
    pub added: String,
}

/// What a change does. The same kinds are injected when episodes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One comparison for another: `<` `<=` `>` `>=` `==` `!=` (and `===` `!==`).
    Compare,
    /// One arithmetic operator for another, compound assignments too.
    Arithmetic,
    /// A whole number one higher or lower.
    Number,
    /// `n` for `n - 1` or `n + 1`, and back: a bound of a range, an index, a comparison.
    Bound,
    /// `and` for `or`, `&&` for `||`.
    Boolean,
    /// A condition turned round: `not`, `!`, `is not`, `not in`.
    Negation,
    /// One variable for another in scope.
    Variable,
    /// One field or method for another.
    Member,
    /// A word that is missing or too many: `return`, `await`, `?`.
    Missing,
    /// Two neighbouring arguments the other way round.
    Swap,
    /// A word for its counterpart: `min` and `max`, `True` and `False`, `break` and `continue`, `any` and `all`, …
    Counterpart,
    /// What a model wrote of its own accord.
    Sampled,
}
