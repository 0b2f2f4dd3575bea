//! What a template leaves to us: some describe tools, some only write calls, some know nothing of either.
//!
//! Of the 70 templates that were looked at, 61 are `Native`. For the others the system message describes the tools; where
//! the template cannot write a call either, calls and answers are text in Hermes' form, and `recover` reads them back.

use crate::protocol::message::{Call, Message};
use crate::protocol::turn::ToolCard;
use serde_json::{Value, json};
use std::borrow::Cow;

/// The words for models whose template has none.
const WORDS: &str = include_str!("../../prompts/undescribed-tools.md");

/// Texts that stand in no template.
const NAME: &str = "qzTool";
const DESCRIPTION: &str = "qzDescription";
const VALUE: &str = "qzValue";
const ANSWER: &str = "qzAnswer";

/// How a template treats tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Habit {
    /// It describes them and writes calls.
    Native,
    /// It writes calls, so, but never says which tools there are.
    CallsOnly {
        example: String,
    },
    Nothing,
}

impl Habit {
    /// Finds out by rendering conversations with a made-up tool. `render` answers nothing where the template fails.
    pub fn of(render: impl Fn(&[Message], &[ToolCard]) -> Option<String>) -> Self {
        let parameters = json!({"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]});
        let tools = [ToolCard { name: NAME.into(), description: DESCRIPTION.into(), parameters }];
        let user = || Message::User { text: "x".into() };
        let opened = render(&[user()], &tools).unwrap_or_default();
        if opened.contains(DESCRIPTION) {
            return Self::Native;
        }
        let call = Call { id: "c00000001".into(), name: NAME.into(), arguments: json!({"path": VALUE}).to_string() };
        let turn = |text: &str, calls| Message::Assistant { text: text.into(), thinking: String::new(), calls };
        let answer = Message::Tool { call: call.id.clone(), name: NAME.into(), text: ANSWER.into() };
        let called = render(&[user(), turn("", vec![call]), answer], &tools).unwrap_or_default();
        // What follows a text turn is how this template ends turns.
        let said = render(&[user(), turn(VALUE, Vec::new()), user()], &tools).unwrap_or_default();
        let example = said.rsplit_once(VALUE).and_then(|(_, ending)| {
            let end = ending.split_inclusive(['>', ']']).next().filter(|end| !end.is_empty())?;
            let common = called.bytes().zip(opened.bytes()).take_while(|(a, b)| a == b).count();
            // A prompt that opens a thought may share the bracket of the call's first mark.
            let start = called[..called.floor_char_boundary(common)].trim_end_matches('<').len();
            let written = called.get(start..called.find(ANSWER)?)?;
            let (before, after) = written.split_once(VALUE)?;
            let (rest, _) = after.split_once(end)?;
            before.contains(NAME).then(|| format!("{before}…{rest}").trim().to_owned())
        });
        example.map_or(Self::Nothing, |example| Self::CallsOnly { example })
    }

    /// The conversation with what the template lacks.
    pub fn adapt<'a>(&self, messages: &'a [Message], tools: &[ToolCard]) -> Cow<'a, [Message]> {
        let hermes = format!("<tool_call>\n{}\n</tool_call>", json!({"name": NAME, "arguments": {"path": "…"}}));
        let example = match self {
            Self::Native => return Cow::Borrowed(messages),
            Self::CallsOnly { example } => example,
            Self::Nothing => &hermes,
        };
        let mut adapted = messages.to_vec();
        if *self == Self::Nothing {
            adapted = in_text(adapted);
        }
        if let Some(first) = tools.first() {
            describe(&mut adapted, &example.replace(NAME, &first.name), tools);
        }
        Cow::Owned(adapted)
    }
}

/// Appends the tools to the system message, or puts one in front.
fn describe(messages: &mut Vec<Message>, example: &str, tools: &[ToolCard]) {
    let line = |t: &ToolCard| json!({"name": t.name, "description": t.description, "parameters": t.parameters}).to_string();
    let list = tools.iter().map(line).collect::<Vec<_>>().join("\n");
    let words = WORDS.trim_end().replace("{example}", example).replace("{tools}", &list);
    match messages.first_mut() {
        Some(Message::System { text }) => *text = format!("{text}\n\n{words}"),
        _ => messages.insert(0, Message::System { text: words }),
    }
}

/// Calls and answers as words of the model and the user. Neighbours of one role become one: many templates insist.
fn in_text(messages: Vec<Message>) -> Vec<Message> {
    let mut out: Vec<Message> = Vec::new();
    for message in messages {
        let message = match message {
            Message::Assistant { text, thinking, calls } => {
                let calls = calls.iter().map(|call| {
                    let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
                    format!("<tool_call>\n{}\n</tool_call>", json!({"name": call.name, "arguments": arguments}))
                });
                let text = [text].into_iter().filter(|t| !t.is_empty()).chain(calls).collect::<Vec<_>>().join("\n");
                Message::Assistant { text, thinking, calls: Vec::new() }
            }
            Message::Tool { text, .. } => Message::User { text: format!("<tool_response>\n{text}\n</tool_response>") },
            other => other,
        };
        match (out.last_mut(), message) {
            (Some(Message::User { text: last }), Message::User { text }) => *last = format!("{last}\n{text}"),
            (_, message) => out.push(message),
        }
    }
    out
}
