//! The repository: files, git, syntax, and the map of it all.

pub mod git;
pub mod map;
pub mod parallel;
pub mod scratch;
pub mod statements;
pub mod symbols;
pub mod syntax;
pub mod tests_of;
pub mod walk;
