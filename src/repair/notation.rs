//! How lines are shown to a model and how it names a change of one: short, and the same in training and in use.

use crate::repair::Passage;

/// Passages as the model sees them: a path, then its lines without their common indentation, each behind `LABEL|`; labels count
/// from 1 through all passages. Ends without a line end.
pub fn listing(passages: &[Passage]) -> String {
    let _ = passages;
    String::new()
}

/// A change of one line as the model would write it: ``LABEL|`wrong` -> `right` ``, where `wrong` occurs once in the line and
/// neither side is empty.
pub fn change(label: usize, old: &str, new: &str) -> String {
    let _ = (old, new);
    label.to_string()
}
