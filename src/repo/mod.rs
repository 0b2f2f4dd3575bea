//! The repository: files and their syntax.

pub mod symbols;
pub mod syntax;
pub mod walk;
