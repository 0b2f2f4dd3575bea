//! Calls put together from fragments.

use crate::engine::call_ids::CallIds;
use crate::engine::repetition::Repetition;
use crate::engine::{Sink, estimate};
use crate::protocol::message::Call;
use crate::protocol::turn::Delta;
use crate::units::Tokens;
use serde_json::Value;

/// The calls of a reply, in the order in which they began.
#[derive(Debug, Default)]
pub struct Calls(Vec<Partial>);

/// A call as far as it has come.
#[derive(Debug, Default)]
struct Partial {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    announced: bool,
    watch: Repetition,
}

/// What a server sends of a call at a time.
struct Fragment<'a> {
    index: Option<u64>,
    id: &'a str,
    name: &'a str,
    arguments: String,
}

impl Calls {
    /// Takes one element of `tool_calls`; true when the call's arguments repeat themselves.
    pub fn take(&mut self, element: &Value, sink: Sink<'_>) -> bool {
        let fragment = Fragment::read(element);
        let at = self.place(&fragment).unwrap_or_else(|| {
            self.0.push(Partial { index: fragment.index, ..Partial::default() });
            self.0.len() - 1
        });
        let call = &mut self.0[at];
        let before = call.arguments.len();
        call.absorb(&fragment);
        if !call.arguments.is_empty() {
            call.announce(sink);
        }
        let added = call.arguments.get(before..).unwrap_or_default();
        call.watch.push(added)
    }

    /// The call that a fragment goes on with. Index first, then id, else the last; none when the fragment is another call.
    fn place(&self, fragment: &Fragment<'_>) -> Option<usize> {
        let place = match fragment.index {
            Some(index) => self.0.iter().rposition(|call| call.index == Some(index)),
            None if !fragment.id.is_empty() => self.0.iter().rposition(|call| call.id == fragment.id),
            None => self.0.len().checked_sub(1),
        }?;
        (!self.0[place].is_over_for(fragment)).then_some(place)
    }

    /// Tells the names that have not been told, because no arguments came.
    pub fn announce(&mut self, sink: Sink<'_>) {
        for call in &mut self.0 {
            call.announce(sink);
        }
    }

    pub fn estimate(&self) -> Tokens {
        self.0.iter().map(|call| estimate::text(&call.name) + estimate::text(&call.arguments)).sum()
    }

    /// Ends them as they stand. No arguments at all is how some servers write an empty object.
    pub fn into_calls(self, mut ids: CallIds) -> Vec<Call> {
        let whole = |arguments: String| if arguments.is_empty() { "{}".into() } else { arguments };
        self.0.into_iter().map(|c| Call { id: ids.take(&c.id), name: c.name, arguments: whole(c.arguments) }).collect()
    }
}

impl Partial {
    /// Some servers send every call under index 0, each whole: then a fragment with a name begins another call when this one
    /// is whole and the id, or what is said, differs. An id alone proves nothing, some change it with every fragment.
    fn is_over_for(&self, fragment: &Fragment<'_>) -> bool {
        if fragment.name.is_empty() || self.name.is_empty() {
            return false;
        }
        let other_id = !fragment.id.is_empty() && !self.id.is_empty() && fragment.id != self.id;
        if self.arguments.is_empty() {
            return other_id;
        }
        let other_words = !fragment.arguments.is_empty() && self.arguments != "{}" && fragment.arguments != self.arguments;
        (other_id || other_words) && is_object(&self.arguments)
    }

    /// Names and ids may be sent again with every fragment, names also in pieces.
    fn absorb(&mut self, fragment: &Fragment<'_>) {
        if self.id.is_empty() {
            fragment.id.clone_into(&mut self.id);
        }
        if fragment.name.starts_with(&self.name) {
            fragment.name.clone_into(&mut self.name);
        } else if self.arguments.is_empty() && fragment.name != self.name {
            self.name.push_str(fragment.name);
        }
        // Nothing can follow a whole object: what comes is the same again, or replaces a placeholder.
        if fragment.arguments.starts_with('{') && is_object(&self.arguments) {
            if self.arguments == "{}" {
                self.arguments.clone_from(&fragment.arguments);
            }
            return;
        }
        self.arguments.push_str(&fragment.arguments);
    }

    fn announce(&mut self, sink: Sink<'_>) {
        if !self.announced && !self.name.is_empty() {
            self.announced = true;
            sink(Delta::Call { name: self.name.clone() });
        }
    }
}

impl<'a> Fragment<'a> {
    fn read(element: &'a Value) -> Self {
        let text = |value: &'a Value| value.as_str().unwrap_or_default();
        let function = &element["function"];
        let arguments = match &function["arguments"] {
            Value::String(arguments) => arguments.clone(),
            Value::Null => String::new(),
            object => object.to_string(),
        };
        Self { index: element["index"].as_u64(), id: text(&element["id"]), name: text(&function["name"]), arguments }
    }
}

/// The cheap look first: most fragments are asked while their call is far from whole.
fn is_object(arguments: &str) -> bool {
    arguments.trim_end().ends_with('}') && serde_json::from_str::<serde::de::IgnoredAny>(arguments).is_ok()
}
