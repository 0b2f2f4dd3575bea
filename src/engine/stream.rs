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
    text: String,
    /// The beginning of a character whose end is still to come: a token may end inside one.
    begun: Vec<u8>,
    shown: Parsed,
    next_look: Instant,
}

impl TurnText {
    pub fn new() -> Self {
        Self { text: String::new(), begun: Vec::new(), shown: Parsed::default(), next_look: Instant::now() }
    }

    /// Takes a token's bytes and gives the text that they complete. Bytes that are no character and never will be are
    /// replaced at once: what comes after them is text again.
    pub fn push(&mut self, bytes: &[u8]) -> &str {
        let known = self.text.len();
        self.begun.extend_from_slice(bytes);
        let mut rest = self.begun.as_slice();
        loop {
            let (valid, broken) = match std::str::from_utf8(rest) {
                Ok(text) => (text.len(), None),
                Err(e) => (e.valid_up_to(), e.error_len()),
            };
            self.text.push_str(std::str::from_utf8(&rest[..valid]).unwrap_or_default());
            rest = &rest[valid..];
            let Some(broken) = broken else { break };
            self.text.push(char::REPLACEMENT_CHARACTER);
            rest = &rest[broken..];
        }
        self.begun = rest.to_vec();
        &self.text[known..]
    }

    /// Whether one of these texts has been written since the text had `known` bytes; if so, ends the text before it.
    pub fn stops(&mut self, stops: &[String], known: usize) -> bool {
        let found = stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| {
            let from = self.text.floor_char_boundary(known.saturating_sub(stop.len()));
            self.text[from..].find(stop.as_str()).map(|at| from + at)
        });
        let Some(at) = found.min() else { return false };
        self.text.truncate(at);
        self.begun.clear();
        true
    }

    pub fn length(&self) -> usize {
        self.text.len()
    }

    /// Hands out what is new, if it is time to look.
    pub fn show(&mut self, prompt: &Prompt, sink: &mut dyn FnMut(Delta)) {
        let start = Instant::now();
        if start < self.next_look {
            return;
        }
        if let Ok(parsed) = prompt.parse(&self.text, Extent::Partial) {
            self.emit(parsed, sink);
        }
        self.next_look = start + (start.elapsed() * PAUSE_PER_PARSE).max(SHORTEST_PAUSE);
    }

    /// Parses the whole text and hands out the rest. `extent` is `Partial` for a turn that was cut.
    pub fn finish(mut self, prompt: &Prompt, extent: Extent, tools: &[ToolCard], sink: &mut dyn FnMut(Delta)) -> Parsed {
        self.text.push_str(&String::from_utf8_lossy(&self.begun));
        let parsed = dialect::read(prompt, std::mem::take(&mut self.text), extent, tools);
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

#[cfg(test)]
mod tests {
    use crate::engine::stream::TurnText;

    /// The text after these bytes, however they come.
    fn written(bytes: &[u8]) -> String {
        let whole: Vec<String> = (1..=bytes.len().max(1))
            .map(|size| {
                let mut text = TurnText::new();
                let pieces: String = bytes.chunks(size).map(|piece| text.push(piece).to_owned()).collect();
                assert_eq!(pieces, text.text);
                pieces
            })
            .collect();
        assert!(whole.iter().all(|text| *text == whole[0]), "{whole:?}");
        whole[0].clone()
    }

    #[test]
    fn characters_are_whole_wherever_tokens_end() {
        assert_eq!(written("aé€🦀z".as_bytes()), "aé€🦀z");
        assert_eq!(written(b"a\xf0\x9f\xa6"), "a", "the last character is not whole yet");
    }

    #[test]
    fn bytes_that_are_no_character_do_not_hide_what_follows() {
        for bytes in [b"a\xffb\x80c".as_slice(), b"\xf0\x9fx\xc3", b"\xed\xa0\x80!", b"\xe2\x82\xe2\x82\xac"] {
            let lossy = String::from_utf8_lossy(bytes);
            assert_eq!(written(bytes), lossy.strip_suffix('\u{fffd}').filter(|_| bytes.ends_with(b"\xc3")).unwrap_or(&lossy));
        }
    }

    #[test]
    fn a_text_ends_before_its_stop_wherever_tokens_end() {
        let stops = ["</assistant>".to_owned(), "§".to_owned()];
        for size in 1..20 {
            let mut text = TurnText::new();
            let whole = "yes < no </assistant> more";
            let stopped = whole.as_bytes().chunks(size).position(|piece| {
                let known = text.length();
                text.push(piece);
                text.stops(&stops, known)
            });
            assert_eq!((text.text.as_str(), stopped), ("yes < no ", Some((whole.find(" more").unwrap() - 1) / size)), "{size}");
        }
    }
}
