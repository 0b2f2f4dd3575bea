//! Another value under one key of a file that stands on disk.

/// Gives a file without tensors again, with a text under `key`, whether it had one or not.
pub fn with_text(file: &[u8], key: &str, text: &str) -> Vec<u8> {
    let mut walk = Walk { file, at: 8 };
    assert_eq!((&file[..4], walk.number()), (b"GGUF".as_slice(), 0), "a GGUF file without tensors");
    let count = walk.number();
    let mut kept = Vec::new();
    let mut values = 0;
    for _ in 0..count {
        let start = walk.at;
        let name = walk.text();
        let kind = walk.kind();
        walk.skip(kind);
        if name != key.as_bytes() {
            kept.extend_from_slice(&file[start..walk.at]);
            values += 1;
        }
    }
    let mut out = file[..16].to_vec();
    out.extend((values + 1_u64).to_le_bytes());
    out.extend(kept);
    out.extend((key.len() as u64).to_le_bytes());
    out.extend(key.as_bytes());
    out.extend(TEXT.to_le_bytes());
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
    out.resize(out.len().next_multiple_of(32), 0);
    out
}

const TEXT: u32 = 8;
const ARRAY: u32 = 9;

struct Walk<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let taken = &self.file[self.at..self.at + n];
        self.at += n;
        taken
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().expect("eight bytes"))
    }

    fn kind(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().expect("four bytes"))
    }

    fn text(&mut self) -> &'a [u8] {
        let length = self.number() as usize;
        self.take(length)
    }

    fn skip(&mut self, kind: u32) {
        match kind {
            TEXT => drop(self.text()),
            ARRAY => {
                let inner = self.kind();
                (0..self.number()).for_each(|_| self.skip(inner));
            }
            0 | 1 | 7 => drop(self.take(1)),
            2 | 3 => drop(self.take(2)),
            4..=6 => drop(self.take(4)),
            10..=12 => drop(self.take(8)),
            _ => panic!("no type {kind}"),
        }
    }
}
