//! Finding the place of an edit, and writing it: the one door to the user's tree.
//!
//! `place` is pure: a text and an edit in, a text or a reason out; `several` does all the edits of a call. `apply` is the only
//! module that changes files. Similarity never applies an edit; it only words the refusal.

pub mod apply;
mod blanks;
mod elided;
pub mod elision;
mod exact;
mod fold;
pub mod indent;
pub mod lines;
pub mod nearest;
mod page;
pub mod patch;
pub mod place;
mod repair;
pub mod several;
mod windows;
