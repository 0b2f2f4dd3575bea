//! The window: how it divides (`shares`), what room is left in it (`budget`), how a tool result is made to fit (`clip`), and how
//! a conversation becomes shorter (`compact`) without losing what was done (`chronicle`).
//!
//! Nothing here talks to an engine: tokens are counted by whoever calls, with the model's own tokenizer.

pub mod budget;
pub mod chronicle;
pub mod clip;
pub mod compact;
pub mod environment;
pub mod heading;
pub mod shares;
