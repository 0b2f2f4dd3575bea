//! The repository: files, git, syntax.

pub mod git;
pub mod scratch;
pub mod symbols;
pub mod syntax;
pub mod walk;
