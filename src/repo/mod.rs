//! The repository: files and their syntax.

pub mod symbols;
pub mod syntax;
pub mod walk;
//! The repository: files, git, syntax.

pub mod git;
pub mod scratch;
