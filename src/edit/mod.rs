//! Finding the place of an edit, and writing it: the one door to the user's tree.
//!
//! `place` is pure: a text and an edit in, a text or a reason out. `apply` is the only module that changes files.
//! Similarity never applies an edit; it only words the refusal.

pub mod apply;
pub mod elision;
pub mod indent;
pub mod lines;
pub mod nearest;
pub mod patch;
pub mod place;
