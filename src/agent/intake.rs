//! A reply's calls as they go into the conversation, and what is wrong with them.
//!
//! A call that came broken must not break the templates that will render it again: it is kept with a unique id and, when
//! its arguments are not a JSON object, with `{}`. What really came is quoted to the model in the answer.

use crate::agent::nudges::{Nudge, Voice};
use crate::protocol::message::{Call, Message};
use crate::protocol::tool::ToolFailure;
use crate::protocol::turn::Stop;
use crate::tools::CheckedCall;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Characters of broken arguments that are quoted to the model.
const QUOTED: usize = 160;

/// A call that is in the conversation.
#[derive(Clone, Debug)]
pub struct Taken {
    pub call: Call,
    fault: Option<Fault>,
}

#[derive(Clone, Debug)]
enum Fault {
    /// The turn ended within the call, or the JSON does.
    CutOff {
        began: String,
    },
    NotJson {
        why: String,
        began: String,
    },
}

/// The ids that calls of a conversation bear.
#[derive(Debug, Default)]
pub struct Ids {
    used: HashSet<String>,
    made: u32,
}

impl Ids {
    /// The ids that a conversation has used already.
    pub fn of(messages: &[Message]) -> Self {
        let calls = messages.iter().flat_map(|message| match message {
            Message::Assistant { calls, .. } => calls.as_slice(),
            _ => &[],
        });
        Self { used: calls.map(|call| call.id.clone()).collect(), made: 0 }
    }

    /// Keeps an id that is given and new, else makes one: nine letters and digits, as Mistral's templates demand.
    fn unique(&mut self, id: String) -> String {
        let mut id = id;
        while id.is_empty() || !self.used.insert(id.clone()) {
            self.made += 1;
            id = format!("call{:05}", self.made);
        }
        id
    }
}

/// Takes a reply's calls into the conversation. The last call of a turn that did not end by itself counts as cut off even
/// when it parses: a lenient parser may have closed it.
pub fn take(calls: Vec<Call>, stop: Stop, ids: &mut Ids) -> Vec<Taken> {
    let last = calls.len().wrapping_sub(1);
    let mut taken = Vec::with_capacity(calls.len());
    for (at, Call { id, name, arguments }) in calls.into_iter().enumerate() {
        let id = ids.unique(id);
        let arguments = unwrapped(arguments);
        let unfinished = at == last && stop != Stop::End;
        let (arguments, fault) = match fault(&arguments, unfinished) {
            None if arguments.trim().is_empty() => ("{}".into(), None),
            None => (arguments, None),
            Some(fault) => ("{}".into(), Some(fault)),
        };
        taken.push(Taken { call: Call { id, name, arguments }, fault });
    }
    taken
}

/// Arguments that were encoded twice: the object inside the string was meant.
fn unwrapped(arguments: String) -> String {
    let inner = serde_json::from_str::<String>(&arguments).ok();
    inner.filter(|inner| serde_json::from_str::<Map<String, Value>>(inner).is_ok()).unwrap_or(arguments)
}

fn fault(arguments: &str, unfinished: bool) -> Option<Fault> {
    let began = || {
        let quote: String = arguments.chars().take(QUOTED).collect();
        let more = if quote.len() < arguments.len() { "…" } else { "" };
        format!("{quote}{more}")
    };
    if unfinished {
        return Some(Fault::CutOff { began: began() });
    }
    if arguments.trim().is_empty() {
        return None;
    }
    match serde_json::from_str::<Value>(arguments) {
        Ok(Value::Object(_)) => None,
        Ok(_) => Some(Fault::NotJson { why: "another kind of value".into(), began: began() }),
        Err(error) if error.is_eof() => Some(Fault::CutOff { began: began() }),
        Err(error) => Some(Fault::NotJson { why: error.to_string(), began: began() }),
    }
}

impl Taken {
    /// Has the call checked, unless it is broken. The failure says what to send instead.
    pub fn check(
        &self,
        voice: &Voice,
        check: impl Fn(&Call) -> Result<CheckedCall, ToolFailure>,
    ) -> Result<CheckedCall, ToolFailure> {
        let tool = self.call.name.as_str();
        match &self.fault {
            Some(Fault::CutOff { began }) => Err(failure("cut_off", voice, &Nudge::CutOff { tool, began })),
            Some(Fault::NotJson { why, began }) => Err(failure("arguments", voice, &Nudge::NotJson { tool, why, began })),
            None => check(&self.call),
        }
    }
}

/// A failure that the loop finds in a tool's place. The nudge says it all.
pub fn failure(kind: &str, voice: &Voice, nudge: &Nudge) -> ToolFailure {
    ToolFailure { kind: kind.into(), message: voice.say(nudge), hint: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str, arguments: &str) -> Call {
        Call { id: id.into(), name: "read".into(), arguments: arguments.into() }
    }

    fn taken(arguments: &str, stop: Stop) -> Taken {
        take(vec![call("a", arguments)], stop, &mut Ids::default()).remove(0)
    }

    fn refusal(taken: &Taken) -> (String, String) {
        let never = |_: &Call| -> Result<CheckedCall, ToolFailure> { panic!("a broken call is not checked") };
        let failure = taken.check(&Voice::new(), never).unwrap_err();
        (failure.kind, failure.message)
    }

    #[test]
    fn ids_are_kept_when_unique_and_made_when_not() {
        let opening = Message::Assistant { text: String::new(), thinking: String::new(), calls: vec![call("old", "{}")] };
        let mut ids = Ids::of(&[opening]);
        let calls = ["new", "", "old", "new", "call00001"].map(|id| call(id, "{}"));
        let made: Vec<String> = take(calls.to_vec(), Stop::End, &mut ids).into_iter().map(|taken| taken.call.id).collect();
        assert_eq!(made, ["new", "call00001", "call00002", "call00003", "call00004"]);
        assert!(made[1..].iter().all(|id| id.len() == 9 && id.chars().all(|c| c.is_ascii_alphanumeric())));
    }

    #[test]
    fn broken_arguments_are_quoted_and_stored_as_an_empty_object() {
        for (arguments, kind) in [
            (r#"{"path": "src/li"#, "cut_off"),
            ("[1]", "arguments"),
            ("\"text\"", "arguments"),
            ("{path: 1}", "arguments"),
            (r#"{"path": "a"} trailing"#, "arguments"),
        ] {
            let taken = taken(arguments, Stop::End);
            assert_eq!(taken.call.arguments, "{}");
            let (found, text) = refusal(&taken);
            assert_eq!(found, kind, "{arguments}");
            assert!(text.contains(arguments), "{text}");
        }
    }

    #[test]
    fn arguments_that_were_encoded_twice_are_unwrapped() {
        let taken = taken(r#""{\"path\":\"a\"}""#, Stop::End);
        assert!(taken.fault.is_none());
        assert_eq!(taken.call.arguments, r#"{"path":"a"}"#);
    }

    #[test]
    fn a_call_that_a_limit_ended_is_cut_off_even_when_it_parses() {
        for stop in [Stop::Length, Stop::Repetition, Stop::Cancelled] {
            assert_eq!(refusal(&taken(r#"{"path": "a"}"#, stop)).0, "cut_off");
        }
    }

    #[test]
    fn a_long_quote_is_shortened_at_a_character() {
        let (_, text) = refusal(&taken(&format!("{{\"path\": \"{}", "é".repeat(500)), Stop::End));
        assert!(text.chars().count() < 400 && text.contains("é…"), "{text}");
    }

    #[test]
    fn no_arguments_are_an_empty_object() {
        let taken = taken(" ", Stop::End);
        assert!(taken.fault.is_none());
        assert_eq!(taken.call.arguments, "{}");
    }
}
