//! Commands: the one door that spawns.

pub mod output;
pub mod process;
