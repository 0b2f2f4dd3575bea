//! Memory planning: pure.

pub mod wanted;
