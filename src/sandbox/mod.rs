//! Commands: the one door that spawns.
