//! How the window is divided, as front ends show it.

use crate::units::Tokens;
use serde::{Deserialize, Serialize};

/// A part of the window: what stands in it, and the most that should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub used: Tokens,
    pub ceiling: Tokens,
}

/// The parts of the window. The ceilings add up to it; what a part leaves unused, the conversation may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares {
    pub window: Tokens,
    /// The instructions.
    pub system: Share,
    /// The tools, and what the template puts around all parts.
    pub tools: Share,
    /// Where the work happens, with the project's notes.
    pub environment: Share,
    /// The task and all that was said since.
    pub conversation: Share,
    /// What is kept for the next answer. Nothing stands in it.
    pub reserve: Share,
}
