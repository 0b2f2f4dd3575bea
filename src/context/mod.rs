//! The window: what goes in, what is clipped, what it costs.

pub mod environment;
