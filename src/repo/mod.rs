//! The repository: files, git, syntax.

pub mod git;
pub mod scratch;
pub mod statements;
pub mod symbols;
pub mod syntax;
pub mod tests_of;
pub mod walk;
