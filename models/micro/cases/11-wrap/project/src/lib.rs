//! Text in columns.

pub mod align;
pub mod wrap;
