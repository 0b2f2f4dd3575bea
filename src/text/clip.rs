//! Cutting text to a size, always at character boundaries, always saying how much is gone.
//!
//! Sizes are bytes here; whoever counts tokens turns them into bytes first.

use std::borrow::Cow;

/// The share of a clipped text's room that its beginning gets. Commands say what failed at the end.
const HEAD_SHARE: (usize, usize) = (2, 5);

/// The longest prefix of `text` that is at most `max` bytes.
pub fn prefix(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// The longest suffix of `text` that is at most `max` bytes.
pub fn suffix(text: &str, max: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(max))..]
}

/// Splits `max` bytes of room into what a text's head and its tail get: 40 % and 60 %.
pub fn shares(max: usize) -> (usize, usize) {
    let head = max * HEAD_SHARE.0 / HEAD_SHARE.1;
    (head, max - head)
}

/// Keeps head and tail of a text longer than `max` bytes, with `[N bytes cut]` on a line of its own between them.
///
/// Cuts at line ends where that costs no more than half of the part. The mark comes on top of `max`.
pub fn middle(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let (head_room, tail_room) = shares(max);
    let mut head = prefix(text, head_room);
    if let Some(end) = head.rfind('\n').filter(|&end| end >= head.len() / 2) {
        head = &head[..end];
    }
    let mut tail = suffix(text, tail_room);
    if let Some(end) = tail.find('\n').filter(|&end| end < tail.len() / 2) {
        tail = &tail[end + 1..];
    }
    let cut = text.len() - head.len() - tail.len();
    Cow::Owned(format!("{head}\n[{cut} bytes cut]\n{tail}"))
}

/// Clips one line to `max` characters, naming how many more there are.
pub fn line(line: &str, max: usize) -> Cow<'_, str> {
    match line.char_indices().nth(max) {
        None => Cow::Borrowed(line),
        Some((end, _)) => Cow::Owned(format!("{}… [{} characters more]", &line[..end], line[end..].chars().count())),
    }
}

#[cfg(test)]
mod tests {
    use crate::text::clip::{line, middle, prefix, suffix};
    use proptest::prelude::*;

    #[test]
    fn cuts_the_middle_at_line_ends() {
        let text = (1..=100).map(|i| format!("line {i}\n")).collect::<String>();
        let cut = middle(&text, 100);
        assert!(cut.starts_with("line 1\nline 2\n"), "{cut}");
        assert!(cut.ends_with("line 99\nline 100\n"), "{cut}");
        assert!(cut.contains("bytes cut]\nline "), "{cut}");
    }

    #[test]
    fn says_how_much_of_a_line_is_gone() {
        assert_eq!(line("naïve", 10), "naïve");
        assert_eq!(line("naïve", 3), "naï… [2 characters more]");
    }

    proptest! {
        #[test]
        fn any_cut_is_whole_characters(text in "\\PC{0,80}", max in 0usize..90) {
            prop_assert!(prefix(&text, max).len() <= max && text.starts_with(prefix(&text, max)));
            prop_assert!(suffix(&text, max).len() <= max && text.ends_with(suffix(&text, max)));
            prop_assert!(middle(&text, max).len() <= max + 40);
        }
    }
}
