//! Data that crosses a boundary: between floors, processes, or into the session log. No behaviour beyond constructors.

pub mod event;
pub mod exit;
pub mod grounds;
pub mod message;
pub mod tool;
pub mod turn;
pub mod window;
