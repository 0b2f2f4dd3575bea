//! Newline-delimited JSON over any byte stream.
