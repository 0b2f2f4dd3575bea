//! The window: what room is left in it (`budget`), and how a tool result is made to fit (`clip`).
//!
//! Nothing here talks to an engine: tokens are counted by whoever calls, with the model's own tokenizer.

pub mod budget;
pub mod clip;
pub mod environment;
