//! Newline-delimited JSON over any byte stream: one value a line.
//!
//! It knows nothing of what the values mean. Lines are bounded, so that a peer that never ends one cannot take the
//! memory; how the bytes are chunked on the way makes no difference.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

/// Why a value could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The line is passed over; the next one can be read.
    #[error("a line is longer than {limit} bytes")]
    TooLong { limit: usize },
    /// The stream ended in the middle of a line.
    #[error("the connection ended in the middle of a line")]
    Torn,
    /// The line is not the value that was expected; the next one can be read.
    #[error("a line cannot be understood: {reason}")]
    Malformed { reason: String },
}

/// The lines of a stream, each a JSON value.
pub struct Lines<R> {
    reader: BufReader<R>,
    /// Bytes, the newline not counted.
    limit: usize,
    line: Vec<u8>,
    /// Whether the rest of a line that was too long is still to come.
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads lines of at most `limit` bytes each.
    pub fn new(reader: R, limit: usize) -> Self {
        Self { reader: BufReader::new(reader), limit, line: Vec::new(), skipping: false }
    }

    /// Reads the next value; `None` at the end of the stream. Blank lines are passed over. Dropping the future loses
    /// nothing: the next call goes on where it stood.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, RpcError> {
        while self.fill().await? {
            let parsed = (!self.line.trim_ascii().is_empty()).then(|| serde_json::from_slice(&self.line));
            self.line.clear();
            if let Some(parsed) = parsed {
                return parsed.map(Some).map_err(|e| RpcError::Malformed { reason: e.to_string() });
            }
        }
        Ok(None)
    }

    /// Gathers one whole line into `self.line`; false at the end of the stream.
    async fn fill(&mut self) -> Result<bool, RpcError> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return if self.line.is_empty() && !self.skipping { Ok(false) } else { Err(self.torn()) };
            }
            let newline = chunk.iter().position(|&byte| byte == b'\n');
            let piece = &chunk[..newline.unwrap_or(chunk.len())];
            let too_long = !self.skipping && self.line.len() + piece.len() > self.limit;
            if !self.skipping && !too_long {
                self.line.extend_from_slice(piece);
            }
            let used = newline.map_or(chunk.len(), |at| at + 1);
            self.reader.consume(used);
            let was_skipping = self.skipping;
            self.skipping = (was_skipping || too_long) && newline.is_none();
            if too_long {
                self.line = Vec::new();
                return Err(RpcError::TooLong { limit: self.limit });
            }
            if newline.is_some() && !was_skipping {
                return Ok(true);
            }
        }
    }

    fn torn(&mut self) -> RpcError {
        self.line.clear();
        self.skipping = false;
        RpcError::Torn
    }
}

/// Writes one value and its newline, and flushes. A dropped future may leave half a line behind: let it end.
pub async fn write<T: Serialize>(writer: &mut (impl AsyncWrite + Unpin), value: &T) -> Result<(), RpcError> {
    let mut line = serde_json::to_vec(value).map_err(io::Error::from)?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    writer.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::rpc::{Lines, RpcError, write};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tokio::io::{AsyncWriteExt, duplex};

    /// What is read when `bytes` come in pieces of at most `chunk`.
    fn read(bytes: &[u8], chunk: usize, limit: usize) -> Vec<Result<Value, String>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut near, far) = duplex(chunk);
            let feed = async move { near.write_all(bytes).await.unwrap() };
            let take = async {
                let mut lines = Lines::new(far, limit);
                let mut values = Vec::new();
                loop {
                    match lines.next::<Value>().await {
                        Ok(None) => return values,
                        Ok(Some(value)) => values.push(Ok(value)),
                        Err(RpcError::Malformed { .. }) => values.push(Err("malformed".into())),
                        Err(error) => values.push(Err(error.to_string())),
                    }
                }
            };
            tokio::join!(feed, take).1
        })
    }

    #[test]
    fn blank_lines_and_carriage_returns_are_no_values() {
        assert_eq!(read(b"\n1\r\n \n2\n", 64, 100), [Ok(json!(1)), Ok(json!(2))]);
    }

    #[test]
    fn a_malformed_line_leaves_the_next_one_readable() {
        assert_eq!(read(b"{\n7\n", 64, 100), [Err("malformed".into()), Ok(json!(7))]);
    }

    #[test]
    fn an_oversized_line_is_refused_once_and_passed_over() {
        let text = format!("\"{}\"\n3\n", "x".repeat(5000));
        for chunk in [1, 7, 8192] {
            let values = read(text.as_bytes(), chunk, 16);
            assert_eq!(values, [Err("a line is longer than 16 bytes".into()), Ok(json!(3))], "in pieces of {chunk}");
        }
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_read() {
        assert_eq!(read(b"1234\n12345\n", 3, 4), [Ok(json!(1234)), Err("a line is longer than 4 bytes".into())]);
    }

    #[test]
    fn a_torn_line_is_told_from_the_end() {
        assert_eq!(read(b"1\n{\"a\":", 2, 100), [Ok(json!(1)), Err("the connection ended in the middle of a line".into())]);
    }

    #[tokio::test]
    async fn a_read_that_is_given_up_loses_nothing() {
        let (mut near, far) = duplex(64);
        let mut lines = Lines::new(far, 100);
        near.write_all(b"[1,").await.unwrap();
        tokio::select! {
            biased;
            _ = lines.next::<Value>() => unreachable!("the line is not whole"),
            () = std::future::ready(()) => {}
        }
        near.write_all(b"2]\n").await.unwrap();
        assert_eq!(lines.next::<Value>().await.unwrap(), Some(json!([1, 2])));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn chunking_makes_no_difference(texts in proptest::collection::vec(".{0,40}", 0..6), chunk in 1usize..50) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut bytes = Vec::new();
            for text in &texts {
                runtime.block_on(write(&mut bytes, text)).unwrap();
            }
            let expected: Vec<_> = texts.iter().map(|text| Ok(json!(text))).collect();
            prop_assert_eq!(read(&bytes, chunk, 1000), expected);
        }
    }
}
