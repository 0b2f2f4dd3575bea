//! How a dialect writes a text argument: what stands between its name and its beginning, how characters are written, what ends it.

use crate::protocol::message::{Call, Message};
use crate::protocol::turn::ToolCard;
use serde_json::json;

/// Texts that stand in no template.
const NAME: &str = "qzTool";
const ARGUMENT: &str = "qzText";
const VALUE: &str = "qz\"Value";

/// How text arguments are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// As JSON strings.
    Json,
    /// As they are.
    Raw {
        /// From behind the argument's name to the value.
        open: String,
        /// From the value on, to where nobody doubts that it has ended.
        close: String,
    },
}

/// Marks longer than this hold something else.
const LONGEST: usize = 64;

impl Script {
    /// Finds out by rendering a conversation with a made-up call. `None` where that shows neither.
    pub fn of(render: impl Fn(&[Message], &[ToolCard]) -> Option<String>) -> Option<Self> {
        let parameters = json!({"type": "object", "properties": {ARGUMENT: {"type": "string"}}, "required": [ARGUMENT]});
        let tools = [ToolCard { name: NAME.into(), description: "x".into(), parameters }];
        let call = Call { id: "c00000001".into(), name: NAME.into(), arguments: json!({ARGUMENT: VALUE}).to_string() };
        let conversation = [
            Message::User { text: "x".into() },
            Message::Assistant { text: String::new(), thinking: String::new(), calls: vec![call] },
            Message::Tool { call: "c00000001".into(), name: NAME.into(), text: "x".into() },
        ];
        let text = render(&conversation, &tools)?;
        // JSON within JSON would have two.
        if let Some(at) = text.find("qz\\\"Value") {
            return text[..at].ends_with('"').then_some(Self::Json);
        }
        let at = text.find(VALUE)?;
        let named = text[..at].rfind(ARGUMENT)? + ARGUMENT.len();
        let (open, rest) = (&text[named..at], &text[at + VALUE.len()..]);
        let mark = rest.split_inclusive('>').next().filter(|close| close.ends_with('>') && close.contains('<'))?;
        // Some parsers take a line end for a part of it.
        let close = &rest[..mark.len() + usize::from(rest[mark.len()..].starts_with('\n'))];
        let fit = !open.is_empty() && open.len() <= LONGEST && close.len() <= LONGEST;
        fit.then(|| Self::Raw { open: open.into(), close: close.into() })
    }

    /// Finds the value of one of these arguments that begins behind `from`, or right there: the argument, and where its value
    /// begins.
    pub fn opening<'n>(&self, text: &[u8], from: usize, names: impl Iterator<Item = &'n str>) -> Option<(&'n str, usize)> {
        // What begins now was named not long ago.
        let start = from.saturating_sub(2 * LONGEST);
        let all =
            names.flat_map(|name| occurrences(&text[start..], name.as_bytes()).map(move |at| (name, start + at + name.len())));
        let begun = all.filter_map(|(name, behind)| Some((name, behind + self.mark(&text[behind..])?)));
        begun.filter(|(_, begins)| *begins > from).min_by_key(|(_, begins)| *begins)
    }

    /// The length of what stands between an argument's name and its value.
    fn mark(&self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Raw { open, .. } => text.starts_with(open.as_bytes()).then_some(open.len()),
            Self::Json => {
                let blanks = |at: usize| text[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                let quoted = usize::from(text.first() == Some(&b'"'));
                let colon = quoted + blanks(quoted);
                matches!(text.get(colon), Some(b':' | b'=')).then_some(())?;
                let quote = colon + 1 + blanks(colon + 1);
                (text.get(quote) == Some(&b'"')).then_some(quote + 1)
            }
        }
    }

    /// What ends a value.
    pub fn close(&self) -> &[u8] {
        match self {
            Self::Json => b"\"",
            Self::Raw { close, .. } => close.as_bytes(),
        }
    }

    /// Whether `written` may be byte number `inside` of how this byte of a text is written, and whether it is the last.
    pub fn writes(&self, byte: u8, inside: u8, written: u8) -> Option<Progress> {
        let escape = match (self, byte) {
            (Self::Raw { .. }, _) => None,
            (Self::Json, b'"' | b'\\') => Some(byte),
            (Self::Json, b'\n') => Some(b'n'),
            (Self::Json, b'\t') => Some(b't'),
            (Self::Json, b'\r') => Some(b'r'),
            (Self::Json, _) => None,
        };
        match (escape, inside) {
            (None, _) => (written == byte).then_some(Progress::Whole),
            (Some(_), 0) => (written == b'\\').then_some(Progress::Begun),
            (Some(escape), _) => (written == escape).then_some(Progress::Whole),
        }
    }

    /// What the bytes of a whole value say. `None` where that is no text.
    pub fn read(&self, written: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(written).ok()?;
        match self {
            Self::Json => serde_json::from_str(&format!("\"{text}\"")).ok(),
            Self::Raw { .. } => Some(text.to_owned()),
        }
    }
}

/// How far a character is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Begun,
    Whole,
}

/// Where a text stands in another, overlaps included.
pub fn occurrences<'a>(text: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + memchr::memmem::find(text.get(from..)?, wanted)?;
        from = at + 1;
        Some(at)
    })
}
