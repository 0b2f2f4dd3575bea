//! Text: diffs and clipping. Knows nothing of files, windows or models.

pub mod clip;
pub mod diff;
pub mod plain;
