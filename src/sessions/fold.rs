//! Reading a session back: the conversation as a fold over what was written.

use crate::protocol::event::{Compacted, Event, Outcome};
use crate::protocol::message::Message;
use crate::protocol::turn::Usage;
use crate::sessions::SessionError;
use crate::sessions::log::{FORMAT, Head};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// A session as it was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub head: Head,
    /// The conversation as the model has it: what it would be asked to go on from.
    pub messages: Vec<Message>,
    /// All that was said, also what was compacted away.
    pub transcript: Vec<Message>,
    /// How the last run ended. `None`: it did not, or has not yet.
    pub outcome: Option<Outcome>,
    pub steps: u32,
    /// The sum over all turns.
    pub usage: Usage,
    /// Lines that this program cannot read: kinds it does not know, or torn ones.
    pub skipped: usize,
}

/// Folds the bytes of a session. `path` is for the errors, which are only ever about the first line.
pub fn fold(bytes: &[u8], path: &Path) -> Result<Session, SessionError> {
    let head = head(bytes, path)?;
    let mut session = Session {
        head,
        messages: Vec::new(),
        transcript: Vec::new(),
        outcome: None,
        steps: 0,
        usage: Usage::default(),
        skipped: 0,
    };
    let mut aside = Aside::new();
    for line in bytes.split(|&b| b == b'\n').skip(1).filter(|line| !line.is_empty()) {
        match entry(line) {
            Some((Some(attempt), entry)) => aside.entry(attempt).or_default().push(entry),
            Some((None, entry)) => {
                if matches!(entry, Entry::Message(_) | Entry::Event(Event::Done { .. })) {
                    session.catch_up(&mut aside);
                }
                session.read(entry);
            }
            None => session.skipped += 1,
        }
    }
    session.catch_up(&mut aside);
    Ok(session)
}

/// What was written of attempts that were made at once, by their numbers. It is read as if they had been made one after another.
type Aside = BTreeMap<u32, Vec<Entry>>;

/// Reads the first line.
pub fn head(bytes: &[u8], path: &Path) -> Result<Head, SessionError> {
    let no_head = || SessionError::NoHead { path: path.to_owned() };
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let value: Value = serde_json::from_slice(line).map_err(|_| no_head())?;
    let found = value.get("session").and_then(Value::as_u64).ok_or_else(no_head)?;
    if found > FORMAT {
        return Err(SessionError::Newer { path: path.to_owned(), found });
    }
    serde_json::from_value(value).map_err(|_| no_head())
}

/// Adds to a conversation what an event said in it.
///
/// The loop builds its own conversation with this, so that a session read back is the conversation that was held. Three rules
/// keep every chat template content: a turn that said nothing is left out; an answer stands directly behind its call; and what
/// the loop says is added to the message before it unless that is the model's, since some templates refuse a user's turn
/// behind a tool's. A compaction says in full what the end is from then on, counted from the end: a log may hold more in front.
pub fn follow(messages: &mut Vec<Message>, event: &Event) {
    match event {
        Event::Turn { text, calls, .. } if text.trim().is_empty() && calls.is_empty() => {}
        Event::Turn { text, thinking, calls, .. } => {
            messages.push(Message::Assistant { text: text.clone(), thinking: thinking.clone(), calls: calls.clone() });
        }
        Event::Called { id, name, answer } => {
            messages.push(Message::Tool { call: id.clone(), name: name.clone(), text: answer.text.clone() });
        }
        Event::Nudge { text: said } => match messages.last_mut() {
            Some(Message::Tool { text, .. } | Message::User { text }) => {
                text.push_str("\n\n");
                text.push_str(said);
            }
            _ => messages.push(Message::User { text: said.clone() }),
        },
        Event::Compacted(Compacted { replaced, messages: shorter, .. }) => {
            messages.truncate(messages.len().saturating_sub(*replaced));
            messages.extend_from_slice(shorter);
        }
        Event::Delta(_) | Event::Window(_) | Event::Calling { .. } | Event::Done { .. } => {}
    }
}

enum Entry {
    Message(Message),
    Event(Event),
}

/// One line, and of which attempt it is where several were made at once.
fn entry(line: &[u8]) -> Option<(Option<u32>, Entry)> {
    let mut value: Value = serde_json::from_slice(line).ok()?;
    let attempt = match value.get_mut("of").map(Value::take) {
        Some(of) => {
            value = of;
            Some(value["attempt"].as_u64().and_then(|attempt| u32::try_from(attempt).ok())?)
        }
        None => None,
    };
    if let Some(message) = value.get_mut("message") {
        return serde_json::from_value(message.take()).ok().map(|message| (attempt, Entry::Message(message)));
    }
    serde_json::from_value(value.get_mut("event")?.take()).ok().map(|event| (attempt, Entry::Event(event)))
}

impl Session {
    fn read(&mut self, entry: Entry) {
        match entry {
            Entry::Message(message) => {
                self.outcome = None;
                self.transcript.push(message.clone());
                self.messages.push(message);
            }
            Entry::Event(event) => self.take(&event),
        }
    }

    /// Reads what stood aside, one attempt after another.
    fn catch_up(&mut self, aside: &mut Aside) {
        std::mem::take(aside).into_values().flatten().for_each(|entry| self.read(entry));
    }

    fn take(&mut self, event: &Event) {
        follow(&mut self.messages, event);
        match event {
            Event::Turn { usage, .. } => {
                self.outcome = None;
                self.steps += 1;
                self.spend(usage);
            }
            Event::Done { outcome } => self.outcome = Some(outcome.clone()),
            // Nothing was said, and nothing is unsaid.
            Event::Compacted(Compacted { usage, .. }) => return self.spend(usage),
            _ => {}
        }
        follow(&mut self.transcript, event);
    }

    fn spend(&mut self, usage: &Usage) {
        self.usage.prompt += usage.prompt;
        self.usage.prefilled += usage.prefilled;
        self.usage.reused += usage.reused;
        self.usage.generated += usage.generated;
        self.usage.prefill_ms += usage.prefill_ms;
        self.usage.decode_ms += usage.decode_ms;
    }
}
