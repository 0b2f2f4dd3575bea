//! Memory planning: pure.
