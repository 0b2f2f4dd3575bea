//! A reply put together from the pieces in which a server sends it.
//!
//! Pure: payloads in, deltas and at the end a reply out. It knows the liberties that servers take with the format: thinking
//! under three names, calls whole or in fragments or all under index 0, ids left out or used again, arguments as objects,
//! an error in the middle, one JSON document where a stream was asked for.

mod calls;

use crate::engine::call_ids::CallIds;
use crate::engine::endpoint::chat::calls::Calls;
use crate::engine::endpoint::refusal::{Known, Refusal};
use crate::engine::recover::recover_or_begun;
use crate::engine::repetition::Repetition;
use crate::engine::{EngineError, Sink, estimate};
use crate::protocol::message::Call;
use crate::protocol::turn::{Delta, Reply, Stop, TurnRequest, Usage};
use crate::units::Tokens;
use serde_json::Value;

/// The names under which servers send thinking; some send it under two at once, so the first counts.
const THINKING: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

/// Whether to go on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    More,
    /// The server has said its last word.
    Done,
    /// The stream repeats itself and should be cut.
    Repeats,
}

/// A reply in the middle of being sent.
#[derive(Debug)]
pub struct Transcript {
    known: Known,
    text: String,
    thinking: String,
    text_watch: Repetition,
    thinking_watch: Repetition,
    calls: Calls,
    stop: Option<Stop>,
    closed: bool,
    usage: Value,
    timings: Value,
    first_token_ms: Option<f64>,
}

impl Transcript {
    /// Begins a reply. `known` stands in for the figures that an overflow in the stream leaves out.
    pub fn new(known: Known) -> Self {
        Self {
            known,
            text: String::new(),
            thinking: String::new(),
            text_watch: Repetition::default(),
            thinking_watch: Repetition::default(),
            calls: Calls::default(),
            stop: None,
            closed: false,
            usage: Value::Null,
            timings: Value::Null,
            first_token_ms: None,
        }
    }

    /// Takes the data of one event, `at_ms` after the request was sent.
    pub fn event(&mut self, data: &str, at_ms: f64, sink: Sink<'_>) -> Result<Flow, EngineError> {
        if data.trim() == "[DONE]" {
            self.closed = true;
            return Ok(Flow::Done);
        }
        let chunk: Value = serde_json::from_str(data).map_err(|_| EngineError::Lost { reason: garbled(data) })?;
        self.chunk(&chunk, at_ms, sink)
    }

    /// Takes a whole answer that came as one JSON document.
    pub fn whole(&mut self, body: &str, at_ms: f64, sink: Sink<'_>) -> Result<Flow, EngineError> {
        let flow = self.event(body, at_ms, sink)?;
        // Without a choice in it, the document is something else.
        self.closed = self.stop.is_some() || self.first_token_ms.is_some();
        Ok(flow)
    }

    fn chunk(&mut self, chunk: &Value, at_ms: f64, sink: Sink<'_>) -> Result<Flow, EngineError> {
        if let Some(error) = chunk.get("error").filter(|e| !e.is_null()) {
            return Err(in_stream(error, chunk).into_error(self.known));
        }
        for (field, kept) in [("usage", &mut self.usage), ("timings", &mut self.timings)] {
            if chunk[field].is_object() {
                *kept = chunk[field].clone();
            }
        }
        if let Some(prefill) = progress(&chunk["prompt_progress"]) {
            sink(prefill);
        }
        let choice = &chunk["choices"][0];
        let said = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
        let repeats = self.say(said, at_ms, sink);
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.stop = Some(stop_of(reason)?);
        }
        Ok(if repeats { Flow::Repeats } else { Flow::More })
    }

    fn say(&mut self, said: &Value, at_ms: f64, sink: Sink<'_>) -> bool {
        let thinking = THINKING.iter().map(|name| text_of(&said[*name])).find(|text| !text.is_empty()).unwrap_or_default();
        let text = text_of(&said["content"]);
        let pieces = said["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !(thinking.is_empty() && text.is_empty() && pieces.is_empty()) {
            self.first_token_ms.get_or_insert(at_ms);
        }
        let mut repeats = false;
        if !thinking.is_empty() {
            self.thinking.push_str(&thinking);
            repeats |= self.thinking_watch.push(&thinking);
            sink(Delta::Thinking { text: thinking });
        }
        if !text.is_empty() {
            self.text.push_str(&text);
            repeats |= self.text_watch.push(&text);
            sink(Delta::Text { text });
        }
        for piece in pieces {
            repeats |= self.calls.take(piece, sink);
        }
        repeats
    }

    /// Whether the server said that it was done, so that what follows can only be statistics.
    pub fn is_ended(&self) -> bool {
        self.closed || self.stop.is_some()
    }

    /// Ends a reply whose stream has ended. An error when it ended before the server said so.
    pub fn finish(mut self, request: &TurnRequest, total_ms: f64, sink: Sink<'_>) -> Result<Reply, EngineError> {
        if !self.is_ended() {
            return Err(EngineError::Lost { reason: "the server ended the stream in the middle of a reply".into() });
        }
        self.calls.announce(sink);
        let stop = self.stop.unwrap_or_default();
        let mut reply = self.cut(stop, request, total_ms);
        if reply.calls.is_empty()
            && let Some(found) = recover_or_begun(&reply.text, &request.tools)
        {
            let mut ids = CallIds::of(&request.messages);
            reply.text = found.text;
            for (name, arguments) in found.calls {
                sink(Delta::Call { name: name.clone() });
                reply.calls.push(Call { id: ids.take(""), name, arguments });
            }
        }
        Ok(reply)
    }

    /// Ends a reply where it stands, for a reason of ours; its last call may be cut off.
    pub fn cut(self, stop: Stop, request: &TurnRequest, total_ms: f64) -> Reply {
        let usage = self.usage(total_ms);
        let calls = self.calls.into_calls(CallIds::of(&request.messages));
        Reply { text: self.text, thinking: self.thinking, calls, stop, usage }
    }

    /// The server's figures where it gives them (llama-server's timings before the usage, because they tell what was
    /// reused), and estimates where it gives none: a budget that counts nothing would never end.
    fn usage(&self, total_ms: f64) -> Usage {
        let count = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok()).map(Tokens);
        let prompt = count(&self.usage["prompt_tokens"]);
        let cached = count(&self.usage["prompt_tokens_details"]["cached_tokens"]);
        let (prefilled, reused) = match count(&self.timings["prompt_n"]) {
            Some(new) => (new, count(&self.timings["cache_n"]).or(prompt.map(|p| p - new)).unwrap_or_default()),
            None => {
                let prompt = prompt.unwrap_or(self.known.prompt);
                let reused = cached.unwrap_or_default().min(prompt);
                (prompt - reused, reused)
            }
        };
        let generated = count(&self.timings["predicted_n"]).or(count(&self.usage["completion_tokens"]));
        let prefill_ms = self.timings["prompt_ms"].as_f64().or(self.first_token_ms).unwrap_or(total_ms);
        Usage {
            prompt: prefilled + reused,
            prefilled,
            reused,
            generated: generated.unwrap_or_else(|| self.estimate()),
            prefill_ms,
            decode_ms: self.timings["predicted_ms"].as_f64().unwrap_or((total_ms - prefill_ms).max(0.0)),
        }
    }

    fn estimate(&self) -> Tokens {
        estimate::text(&self.text) + estimate::text(&self.thinking) + self.calls.estimate()
    }
}

/// llama-server counts what it reuses as done already; ours does not count it at all.
fn progress(told: &Value) -> Option<Delta> {
    let count = |field: &str| told[field].as_u64().and_then(|n| u32::try_from(n).ok()).map(Tokens);
    let cached = count("cache").unwrap_or_default();
    Some(Delta::Prefill { done: count("processed")? - cached, total: count("total")? - cached })
}

/// Content is a text, or a list of parts of which the texts count.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

fn stop_of(reason: &str) -> Result<Stop, EngineError> {
    match reason {
        "length" | "max_tokens" | "model_length" => Ok(Stop::Length),
        "abort" | "error" => Err(EngineError::Lost { reason: format!("the server gave up the reply ({reason})") }),
        _ => Ok(Stop::End),
    }
}

/// An error inside a stream comes without a status; many put it into the error.
fn in_stream(error: &Value, chunk: &Value) -> Refusal {
    let code = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let status = code(&error["code"]).or_else(|| code(&error["status"])).filter(|status| (400..600).contains(status));
    Refusal { status: status.and_then(|s| u16::try_from(s).ok()).unwrap_or(500), body: chunk.to_string() }
}

fn garbled(data: &str) -> String {
    const SHOWN: usize = 120;
    format!("the server sent what is not JSON: {}", &data[..data.floor_char_boundary(SHOWN)])
}

#[cfg(test)]
mod tests;
