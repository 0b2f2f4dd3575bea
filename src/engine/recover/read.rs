//! Reads whole calls at a place in a text, one dialect after the other. Nothing here looks for them.

use crate::protocol::turn::ToolCard;
use serde_json::{Map, Value};

/// A call as read: name, and arguments as a JSON object.
type Call = (String, String);

/// A place in a text.
pub struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    pub fn rest(&self) -> &'a str {
        self.rest
    }

    /// Reads the calls in a row of `<tool_call>{json}`, `<tool_call><function=…>` (opener optional) and GLM's keys and values.
    pub fn tagged(&mut self, known: &[ToolCard]) -> Option<Vec<Call>> {
        let mut calls = Vec::new();
        loop {
            let opened = self.eat("<tool_call>");
            self.skip_space();
            if self.rest.starts_with("<function=") {
                calls.push(self.function(known)?);
                self.close();
            } else if opened && self.rest.starts_with('{') {
                calls.push(json_call(&self.json()?, known)?);
                // An end tag that is missing takes nothing from a complete object, unless something else follows.
                let next = self.close() || self.rest.is_empty() || self.rest.starts_with("<tool_call>");
                next.then_some(())?;
            } else if opened {
                calls.push(self.keys_and_values(known)?);
            } else {
                return Some(calls).filter(|c| !c.is_empty());
            }
            self.skip_space();
        }
    }

    /// Reads Mistral's calls: a JSON list, or names each followed by `[ARGS]` and an object.
    pub fn mistral(&mut self, known: &[ToolCard]) -> Option<Vec<Call>> {
        let mut calls = Vec::new();
        while self.eat("[TOOL_CALLS]") {
            self.skip_space();
            if self.rest.starts_with('[') {
                let list = self.json()?;
                for item in list.as_array()? {
                    calls.push(json_call(item, known)?);
                }
            } else {
                let name = self.identifier();
                if self.eat("[CALL_ID]") {
                    self.identifier();
                }
                self.eat("[ARGS]");
                self.skip_space();
                let arguments = self.json()?;
                calls.push(call(name, arguments.is_object().then_some(arguments)?, known)?);
            }
            self.skip_space();
        }
        self.eat("</s>");
        Some(calls).filter(|c| !c.is_empty())
    }

    /// `<function=f>` with `<parameter=p>value</parameter>` until `</function>`.
    fn function(&mut self, known: &[ToolCard]) -> Option<Call> {
        self.eat("<function=");
        let name = self.until(">")?.trim();
        let card = find(name, known)?;
        let mut arguments = Map::new();
        loop {
            self.skip_space();
            if self.eat("</function>") {
                return call(name, Value::Object(arguments), known);
            }
            self.eat("<parameter=").then_some(())?;
            let key = self.until(">")?.trim();
            let written = self.parameter()?;
            insert_once(&mut arguments, key, typed(card, key, trim_line_ends(written)))?;
        }
    }

    /// A value ends at the first end tag after which the call goes on or ends: a value may hold the tag itself.
    fn parameter(&mut self) -> Option<&'a str> {
        const END: &str = "</parameter>";
        let end = self.rest.match_indices(END).map(|(at, _)| at).find(|at| {
            let after = self.rest[at + END.len()..].trim_start();
            after.starts_with("<parameter=") || after.starts_with("</function>")
        })?;
        let value = &self.rest[..end];
        self.rest = &self.rest[end + END.len()..];
        Some(value)
    }

    /// GLM: a name, then `<arg_key>k</arg_key><arg_value>v</arg_value>` until `</tool_call>`, which must be there: without
    /// it, more arguments may have been to come.
    fn keys_and_values(&mut self, known: &[ToolCard]) -> Option<Call> {
        let name = self.identifier();
        let card = find(name, known)?;
        let mut arguments = Map::new();
        loop {
            self.skip_space();
            if self.eat("</tool_call>") {
                return call(name, Value::Object(arguments), known);
            }
            self.eat("<arg_key>").then_some(())?;
            let key = self.until("</arg_key>")?.trim();
            self.skip_space();
            self.eat("<arg_value>").then_some(())?;
            let written = self.until("</arg_value>")?;
            insert_once(&mut arguments, key, typed(card, key, written))?;
        }
    }

    /// Takes the end tag when it is there, also a stray one whose opener the server swallowed.
    fn close(&mut self) -> bool {
        self.skip_space();
        self.eat("</tool_call>")
    }

    /// One JSON value, whatever stands behind it.
    fn json(&mut self) -> Option<Value> {
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
        let value = values.next()?.ok()?;
        self.rest = &self.rest[values.byte_offset()..];
        Some(value)
    }

    fn identifier(&mut self) -> &'a str {
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name
    }

    fn until(&mut self, end: &str) -> Option<&'a str> {
        let (before, after) = self.rest.split_once(end)?;
        self.rest = after;
        Some(before)
    }

    fn eat(&mut self, mark: &str) -> bool {
        let after = self.rest.strip_prefix(mark);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

/// Reads `{"name":…, "arguments"|"parameters":…}`; arguments may be an object or an object as JSON text.
pub fn json_call(value: &Value, known: &[ToolCard]) -> Option<Call> {
    let object = value.as_object()?;
    let arguments = match (object.get("arguments"), object.get("parameters")) {
        (Some(arguments), None) | (None, Some(arguments)) => arguments,
        _ => return None,
    };
    let arguments = match arguments {
        Value::String(text) => serde_json::from_str(text).ok()?,
        other => other.clone(),
    };
    call(object.get("name")?.as_str()?, arguments.is_object().then_some(arguments)?, known)
}

fn call(name: &str, arguments: Value, known: &[ToolCard]) -> Option<Call> {
    find(name, known).map(|card| (card.name.clone(), arguments.to_string()))
}

fn find<'k>(name: &str, known: &'k [ToolCard]) -> Option<&'k ToolCard> {
    known.iter().find(|card| card.name == name)
}

/// A parameter that is given twice leaves open which was meant.
fn insert_once(arguments: &mut Map<String, Value>, key: &str, value: Value) -> Option<()> {
    arguments.insert(key.to_owned(), value).is_none().then_some(())
}

/// Gives a value the type its schema asks for. What may be text stays text: file contents look like numbers, too.
fn typed(card: &ToolCard, key: &str, written: &str) -> Value {
    let types = card.parameters.pointer("/properties").and_then(|p| p.get(key)).map(types_of).unwrap_or_default();
    let text = || Value::String(written.to_owned());
    if types.is_empty() || types.contains(&"string") {
        return text();
    }
    // Python's capitals are how models trained on it write a boolean in XML.
    match written.trim() {
        "True" if types.contains(&"boolean") => Value::Bool(true),
        "False" if types.contains(&"boolean") => Value::Bool(false),
        json => serde_json::from_str::<Value>(json).ok().filter(|v| !v.is_string()).unwrap_or_else(text),
    }
}

fn types_of(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => {
            let choices = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)).and_then(Value::as_array);
            choices.into_iter().flatten().flat_map(types_of).collect()
        }
    }
}

/// The template writes each value on lines of its own: one line end on either side is the template's.
fn trim_line_ends(value: &str) -> &str {
    let value = value.strip_prefix("\r\n").or_else(|| value.strip_prefix('\n')).unwrap_or(value);
    value.strip_suffix("\r\n").or_else(|| value.strip_suffix('\n')).unwrap_or(value)
}
