//! Server-sent events out of bytes, wherever the network cut them.
//!
//! Knows lines and fields, not what the data means. Bytes are kept until their line is whole, so a character that is split
//! between two packets is never seen in halves.

/// A stream of events in the middle of being read.
#[derive(Debug, Default)]
pub struct Decoder {
    line: Vec<u8>,
    data: Option<String>,
    /// A line ended with `\r`: an `\n` right behind belongs to it.
    after_return: bool,
}

impl Decoder {
    /// Takes the next bytes and returns the data of the events that they complete. Linear in the bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for byte in bytes {
            let joined = std::mem::take(&mut self.after_return) && *byte == b'\n';
            match byte {
                _ if joined => {}
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    events.extend(self.end_line());
                }
                other => self.line.push(*other),
            }
        }
        events
    }

    /// Ends the stream: some servers leave out the last blank line, and the last event is still one.
    pub fn finish(mut self) -> Option<String> {
        self.end_line().or_else(|| self.data.take())
    }

    fn end_line(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.line);
        if bytes.is_empty() {
            return self.data.take();
        }
        let line = String::from_utf8_lossy(&bytes);
        let line = line.strip_prefix('\u{feff}').unwrap_or(&line);
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        // Old llama-servers sent a failure in a field of its own name.
        if field == "data" || field == "error" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            let value = if field == "error" { format!("{{\"error\":{value}}}") } else { value.to_owned() };
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(&value);
                }
                None => self.data = Some(value),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::endpoint::sse::Decoder;

    fn decode(pieces: &[&[u8]]) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut events: Vec<String> = pieces.iter().flat_map(|p| decoder.push(p)).collect();
        events.extend(decoder.finish());
        events
    }

    #[test]
    fn reads_every_way_of_writing_an_event() {
        let check = |stream: &str, events: &[&str]| assert_eq!(decode(&[stream.as_bytes()]), events, "{stream:?}");
        check("data: a\n\ndata:b\n\n", &["a", "b"]);
        check("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]);
        check("data: a\rdata: b\r\r", &["a\nb"]);
        check(": ping\n\nevent: chunk\nid: 1\ndata: a\n\n", &["a"]);
        check("\u{feff}data: a\n\n", &["a"]);
        check("data: a\n\ndata: [DONE]", &["a", "[DONE]"]);
        check("data: a\n", &["a"]);
        check("data:  two spaces\n\n", &[" two spaces"]);
        check("error: {\"code\":500}\n\n", &["{\"error\":{\"code\":500}}"]);
        check("\n\n\n", &[]);
    }

    #[test]
    fn cutting_the_stream_anywhere_makes_no_difference() {
        let stream = "data: {\"text\":\"Straße 日本\"}\r\n\r\n: ping\r\n\r\ndata: x\ndata: y\n\ndata: [DONE]\n\n".as_bytes();
        let whole = decode(&[stream]);
        assert_eq!(whole.len(), 3);
        for at in 0..=stream.len() {
            let (left, right) = stream.split_at(at);
            assert_eq!(decode(&[left, right]), whole, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(decode(&bytes), whole);
    }
}
