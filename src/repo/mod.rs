//! The repository: files, git, syntax.
