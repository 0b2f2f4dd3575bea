//! One line of one file, as it is and as it would be: put into a tree, and taken out again.

use crate::edit::apply::{self, ApplyError};
use crate::path::{RepoPath, Root};
use std::fs;

/// A change of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edit<'a> {
    pub path: &'a RepoPath,
    /// From 1.
    pub line: usize,
    pub old: &'a str,
    pub new: &'a str,
}

impl Edit<'_> {
    /// Writes the new line into a tree and gives the text that was there, for [`Edit::take_back`]. `None`: the line is another
    /// one than it was, or the file is no text; nothing is written then.
    pub fn put(&self, root: &Root) -> Result<Option<String>, ApplyError> {
        let Ok(text) = fs::read_to_string(root.join(self.path)) else { return Ok(None) };
        let Some(changed) = swapped(&text, self) else { return Ok(None) };
        apply::write(root, self.path.as_str(), changed.as_bytes())?;
        Ok(Some(text))
    }

    /// Writes the whole file as it was.
    pub fn take_back(&self, root: &Root, text: &str) -> Result<(), ApplyError> {
        apply::write(root, self.path.as_str(), text.as_bytes()).map(drop)
    }
}

/// The text with the one line changed; line ends and a byte order mark stay. `None` unless that line is the old one.
fn swapped(text: &str, edit: &Edit<'_>) -> Option<String> {
    let start: usize = text.split_inclusive('\n').take(edit.line.checked_sub(1)?).map(str::len).sum();
    let mark =
        if start == 0 && text.starts_with('\u{feff}') && !edit.old.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let (before, rest) = text.split_at(start + mark);
    let line = rest.lines().next()?;
    (line == edit.old).then(|| [before, edit.new, &rest[line.len()..]].concat())
}

#[cfg(test)]
mod tests {
    use crate::fix::ranked::spot::{Edit, swapped};
    use crate::path::Root;
    use std::path::Path;

    #[test]
    fn line_ends_and_the_mark_stay() {
        let path = Root::open(Path::new("/")).unwrap().parse("a.py").unwrap();
        for (text, line, expected) in [
            ("a < b\nc\n", 1, Some("a <= b\nc\n")),
            ("\u{feff}a < b\r\nc\r\n", 1, Some("\u{feff}a <= b\r\nc\r\n")),
            ("c\r\na < b", 2, Some("c\r\na <= b")),
            ("c\r\na < b\r\n", 2, Some("c\r\na <= b\r\n")),
            ("c\na < b\n", 1, None),
            ("a < b\n", 2, None),
            ("a < b\n", 0, None),
            ("  a < b\n", 1, None),
        ] {
            let edit = Edit { path: &path, line, old: "a < b", new: "a <= b" };
            assert_eq!(swapped(text, &edit).as_deref(), expected, "{text:?} {line}");
        }
    }
}
