//! What an answer's first line says of it: `PATH lines 1-20 of 40`, or that a file was changed. Whoever asks for more, or for the
//! same again, needs it.

use crate::protocol::message::Message;

/// Lines of a file that a result shows, counted from 1, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heading<'a> {
    pub path: &'a str,
    pub first: usize,
    pub last: usize,
    /// Lines of the file.
    pub total: usize,
}

/// Reads the heading. `None`: the text is no part of a file (a directory, an empty file, a refusal).
pub fn heading(text: &str) -> Option<Heading<'_>> {
    let (path, numbers) = text.lines().next()?.rsplit_once(" lines ")?;
    let (range, total) = numbers.split_once(" of ")?;
    let (first, last) = range.split_once('-')?;
    let number = |digits: &str| digits.parse().ok();
    Some(Heading { path, first: number(first)?, last: number(last)?, total: number(total)? })
}

/// Whether a conversation still holds all of a file: read whole, or written.
pub fn holds_whole(messages: &[Message], path: &str) -> bool {
    messages.iter().any(|message| match message {
        Message::Tool { text, .. } => {
            heading(text).is_some_and(|shown| shown.path == path && shown.first == 1 && shown.last == shown.total)
        }
        Message::Assistant { calls, .. } => calls.iter().any(|call| call.name == "write" && path_of(&call.arguments) == path),
        Message::System { .. } | Message::User { .. } => false,
    })
}

/// Whether an answer of `edit` or `write` says that a file was changed.
pub fn says_changed(answer: &str) -> bool {
    ["edited ", "created ", "replaced "].iter().any(|done| answer.starts_with(done))
}

/// The path among a call's arguments, as tools name it. Empty where there is none.
pub fn path_of(arguments: &str) -> String {
    let arguments: serde_json::Value = serde_json::from_str(arguments).unwrap_or_default();
    arguments["path"].as_str().unwrap_or_default().trim().trim_start_matches("./").to_owned()
}

#[cfg(test)]
mod tests {
    use crate::context::heading::*;
    use crate::protocol::message::Call;

    #[test]
    fn a_reading_says_its_lines_and_nothing_else_does() {
        let shown = heading("docs/all lines of it.md lines 3-20 of 40\nx").unwrap();
        assert_eq!((shown.path, shown.first, shown.last, shown.total), ("docs/all lines of it.md", 3, 20, 40));
        for other in ["", "src has 3 entries\na", "a.rs is empty", "there are lines 1-x of 3", "exit code 0"] {
            assert_eq!(heading(other), None, "{other}");
        }
    }

    #[test]
    fn a_file_is_held_whole_when_it_was_shown_or_written_whole() {
        let tool = |text: &str| Message::Tool { call: "a".into(), name: "read".into(), text: text.into() };
        let write = Call { id: "a".into(), name: "write".into(), arguments: r#"{"path":"./b","content":"x"}"#.into() };
        let said = [
            tool("a lines 1-2 of 2\nx\ny"),
            tool("c lines 1-2 of 3\nx\ny"),
            Message::Assistant { text: String::new(), thinking: String::new(), calls: vec![write] },
        ];
        assert_eq!(["a", "b", "c"].map(|path| holds_whole(&said, path)), [true, true, false]);
    }
}
