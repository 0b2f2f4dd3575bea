//! Calls that cannot miss: while a model writes an argument, every token is held to what the argument may be.
//!
//! A grammar cannot say "a piece of this file that stands in it once", nor tie one argument to another, and dialects that write
//! texts as they are have no rule for them at all. So what a token would make of a value is looked at before it is taken, and
//! only what fits is drawn. Outside of such values nothing is looked at but whether one begins.

pub mod script;
pub mod value;

use crate::engine::grounding::script::Script;
use crate::engine::grounding::value::{Target, Value, Written};
use crate::protocol::grounds::{Ground, MayBe};
use crate::protocol::message::Call;
use serde_json::Value as Json;

/// How much of what was written is looked at for the beginning of a value.
const TAIL: usize = 256;

/// A turn that is held to its grounds.
pub struct Hold {
    grounds: Vec<Ground>,
    script: Script,
    text: Vec<u8>,
    value: Option<Value>,
}

/// Where a turn stands after a piece of text.
pub struct Stand(Option<Value>);

impl Hold {
    pub fn new(grounds: &[Ground], script: &Script) -> Self {
        Self { grounds: grounds.to_vec(), script: script.clone(), text: Vec::new(), value: None }
    }

    /// Says where the turn would stand with this piece behind it, `None` where it would go astray. `read` reads the last call of
    /// a text, cut off as it is.
    pub fn after(&self, piece: &[u8], read: &dyn Fn(&str) -> Option<Call>) -> Option<Stand> {
        // A special token that is no text would break the value in two.
        if piece.is_empty() && self.value.is_some() {
            return None;
        }
        let tail = &self.text[self.text.len().saturating_sub(TAIL)..];
        let window = [tail, piece].concat();
        let (mut at, mut value) = (tail.len(), self.value.clone());
        loop {
            if let Some(begun) = &value {
                match begun.with(&window[at..], &self.script) {
                    Written::On(value) => return Some(Stand(Some(value))),
                    Written::Closed(bytes) => at += bytes,
                    Written::Astray => return None,
                }
            }
            let names = self.grounds.iter().map(|ground| ground.argument.as_str());
            let Some((argument, begins)) = self.script.opening(&window, at, names) else { return Some(Stand(None)) };
            let behind = begins - tail.len();
            let text = [self.text.as_slice(), &piece[..behind]].concat();
            value = read(&String::from_utf8_lossy(&text)).and_then(|call| self.value(&call, argument));
            at = begins;
        }
    }

    /// The piece was taken.
    pub fn take(&mut self, piece: &[u8], stand: Stand) {
        self.text.extend_from_slice(piece);
        self.value = stand.0;
    }

    /// Finds the pieces that may come next, inside a value. `None` outside, where there is nothing to hold to.
    pub fn next<T: Copy>(&self, sorted: &[(Vec<u8>, T)]) -> Option<Vec<T>> {
        self.value.as_ref().map(|value| value.next(sorted, &self.script))
    }

    /// What an argument may be beside those that stand already: dialects leave their order open.
    fn value(&self, call: &Call, argument: &str) -> Option<Value> {
        let of_tool = || self.grounds.iter().filter(|ground| ground.tool == call.name);
        let stands = |argument: &str| written(&call.arguments, argument);
        let unlike = of_tool().find_map(|ground| match &ground.may_be {
            MayBe::Unlike(other) if ground.argument == argument => stands(other),
            MayBe::Unlike(other) if other == argument => stands(&ground.argument),
            _ => None,
        });
        // Names of texts, of which a piece stands already.
        let holding = of_tool().find_map(|ground| match &ground.may_be {
            MayBe::PieceOf { argument: names, texts } if names == argument => {
                stands(&ground.argument).map(|piece| (piece, texts))
            }
            _ => None,
        });
        let target = match of_tool().find(|ground| ground.argument == argument).map(|ground| &ground.may_be) {
            Some(MayBe::OneOf(all)) => {
                let fits = |name: &&String| {
                    holding.as_ref().is_none_or(|(piece, texts)| texts.iter().any(|t| t.name == **name && t.has_once(piece)))
                };
                Target::one_of(all.iter().filter(fits))
            }
            Some(MayBe::PieceOf { argument, texts }) => {
                let name = stands(argument);
                Target::piece_of(texts.iter().filter(|shown| name.as_ref().is_none_or(|name| shown.name == *name)))
            }
            Some(MayBe::Unlike(_)) | None => unlike.is_some().then_some(Target::Any),
        };
        target.map(|target| Value::new(target, unlike))
    }
}

/// The text of an argument that stands whole in arguments which are cut off inside a later one.
fn written(arguments: &str, name: &str) -> Option<String> {
    const ENDS: [&str; 6] = ["", "\"}", "}", "null}", ":null}", "\":null}"];
    let whole = ENDS.iter().find_map(|end| serde_json::from_str::<Json>(&format!("{arguments}{end}")).ok())?;
    whole[name].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests;
