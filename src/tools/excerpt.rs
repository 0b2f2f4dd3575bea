//! Some lines of a file that is too large to load, read as a stream: memory for what is shown, and one pass over the file.

use std::io::{self, BufRead, BufReader, Read};
use std::ops::RangeInclusive;

/// Lines as they are shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub(crate) lines: Vec<Vec<u8>>,
    /// Lines of the whole file.
    pub(crate) total: usize,
}

/// How much of a file is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Of all lines, and of one.
    pub(crate) bytes: usize,
    pub(crate) line: usize,
}

/// Reads the lines of a range, counted from 1, and counts all. `goes_on` is asked every 64 KiB.
pub(crate) fn excerpt(
    file: impl Read,
    wanted: &RangeInclusive<usize>,
    room: Room,
    goes_on: impl Fn() -> bool,
) -> io::Result<Option<Excerpt>> {
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let (mut found, mut number, mut open, mut kept) = (Excerpt::default(), 1, false, 0);
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            break;
        }
        if !goes_on() {
            return Ok(None);
        }
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let ends = part.ends_with(b"\n");
            if wanted.contains(&number) && kept < room.bytes {
                if !open {
                    found.lines.push(Vec::new());
                }
                if let Some(line) = found.lines.last_mut() {
                    let part = part.strip_suffix(b"\n").unwrap_or(part);
                    let length = part.len().min(room.line.saturating_sub(line.len()));
                    line.extend_from_slice(&part[..length]);
                    kept += length + 1;
                }
            }
            open = !ends;
            number += usize::from(ends);
        }
        let length = piece.len();
        reader.consume(length);
    }
    found.total = number - usize::from(!open);
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use crate::tools::excerpt::{Excerpt, Room, excerpt};

    #[test]
    fn lines_are_cut_and_all_are_counted() {
        let room = Room { bytes: 100, line: 3 };
        let read = |text: &str, wanted| excerpt(text.as_bytes(), &wanted, room, || true).unwrap().unwrap();
        let lines = |lines: &[&str], total| Excerpt { lines: lines.iter().map(|l| l.as_bytes().to_vec()).collect(), total };
        assert_eq!(read("a\nbcdef\n\ng", 2..=3), lines(&["bcd", ""], 4));
        assert_eq!(read("a\nb\n", 2..=9), lines(&["b"], 2));
        assert_eq!(read("", 1..=1), lines(&[], 0));
        assert_eq!(excerpt("a".as_bytes(), &(1..=1), room, || false).unwrap(), None);
    }
}
