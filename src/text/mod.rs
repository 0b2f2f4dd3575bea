//! Text: diffs and clipping.
