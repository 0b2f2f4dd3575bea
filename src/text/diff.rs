//! Unified diffs of two texts.

use similar::TextDiff;

/// The unified diff from `before` to `after` with `context` unchanged lines around each hunk, without file headers. Empty when they are equal.
pub fn hunks(before: &str, after: &str, context: usize) -> String {
    if before == after {
        return String::new();
    }
    TextDiff::from_lines(before, after).unified_diff().context_radius(context).to_string()
}

#[cfg(test)]
mod tests {
    use crate::text::diff::hunks;

    #[test]
    fn shows_what_changed() {
        assert_eq!(hunks("a\nb\nc\nd\n", "a\nB\nc\nd\n", 1), "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
        assert_eq!(hunks("a", "a", 1), "");
    }
}
