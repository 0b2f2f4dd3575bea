//! Commands: the one door that spawns.

pub mod jobs;
pub mod output;
pub mod process;
