//! A turn's text as it grows: parsed now and then, handed out as differences.
//!
//! llama.cpp's parser reads the whole text each time, so parsing at every token would cost the square of its length.
//! Here it may take a fiftieth of the time at most, and no more than thirty looks a second.

use crate::engine::bridge::{Extent, Parsed, Prompt};
use crate::engine::dialect;
use crate::protocol::turn::{Delta, ToolCard};
use std::time::{Duration, Instant};

const SHORTEST_PAUSE: Duration = Duration::from_millis(33);
const PAUSE_PER_PARSE: u32 = 50;

/// What the model wrote so far, and what of it was handed out.
pub struct TurnText {
    bytes: Vec<u8>,
    shown: Parsed,
    next_look: Instant,
}

impl TurnText {
    pub fn new() -> Self {
        Self { bytes: Vec::new(), shown: Parsed::default(), next_look: Instant::now() }
    }

    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The text up to the last whole character: a token may end inside one.
    pub fn text(&self) -> &str {
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(&self.bytes[..e.valid_up_to()]).unwrap_or_default(),
        }
    }

    /// Hands out what is new, if it is time to look.
    pub fn show(&mut self, prompt: &Prompt, sink: &mut dyn FnMut(Delta)) {
        let start = Instant::now();
        if start < self.next_look {
            return;
        }
        if let Ok(parsed) = prompt.parse(self.text(), Extent::Partial) {
            self.emit(parsed, sink);
        }
        self.next_look = start + (start.elapsed() * PAUSE_PER_PARSE).max(SHORTEST_PAUSE);
    }

    /// Parses the whole text and hands out the rest. `extent` is `Partial` for a turn that was cut.
    pub fn finish(mut self, prompt: &Prompt, extent: Extent, tools: &[ToolCard], sink: &mut dyn FnMut(Delta)) -> Parsed {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let parsed = dialect::read(prompt, text, extent, tools);
        self.emit(parsed.clone(), sink);
        parsed
    }

    fn emit(&mut self, parsed: Parsed, sink: &mut dyn FnMut(Delta)) {
        // A partial parse may take back its last characters (half a tag): only growth is shown.
        if let Some(new) = parsed.thinking.strip_prefix(&self.shown.thinking).filter(|t| !t.is_empty()) {
            sink(Delta::Thinking { text: new.to_owned() });
            self.shown.thinking.push_str(new);
        }
        if let Some(new) = parsed.text.strip_prefix(&self.shown.text).filter(|t| !t.is_empty()) {
            sink(Delta::Text { text: new.to_owned() });
            self.shown.text.push_str(new);
        }
        for call in parsed.calls.iter().skip(self.shown.calls.len()).filter(|c| !c.name.is_empty()) {
            sink(Delta::Call { name: call.name.clone() });
        }
        self.shown.calls = parsed.calls;
    }
}
