//! Bytes of a file, read forwards, never past its end.

use crate::models::gguf::Fault;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// Large enough that a vocabulary is a few dozen reads.
const BUFFER: usize = 256 << 10;

/// A file and how much of it is left.
pub(in crate::models::gguf) struct Source {
    file: BufReader<File>,
    pub at: u64,
    pub size: u64,
    /// What is being read, for the message when the file ends in it.
    pub place: String,
}

impl Source {
    pub fn open(path: &Path) -> Result<Self, Fault> {
        // Asked before opening: opening a pipe would wait for its writer.
        let meta = std::fs::metadata(path).map_err(|e| unreadable(&e))?;
        if !meta.is_file() {
            let what = if meta.is_dir() { "it is a directory" } else { "it is not a regular file" };
            return Err(Fault::Unreadable(what.into()));
        }
        let file = File::open(path).map_err(|e| unreadable(&e))?;
        Ok(Self { file: BufReader::with_capacity(BUFFER, file), at: 0, size: meta.len(), place: "its first bytes".into() })
    }

    /// Opens at an offset.
    pub fn open_at(path: &Path, offset: u64) -> Result<Self, Fault> {
        let mut source = Self::open(path)?;
        source.file.seek(SeekFrom::Start(offset)).map_err(|e| unreadable(&e))?;
        source.at = offset;
        Ok(source)
    }

    pub fn left(&self) -> u64 {
        self.size.saturating_sub(self.at)
    }

    /// Errs when fewer than `n` bytes are left.
    pub fn claim(&self, n: u64) -> Result<(), Fault> {
        if n > self.left() { Err(Fault::CutHeader(self.place.clone())) } else { Ok(()) }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Fault> {
        self.claim(buffer.len() as u64)?;
        self.file.read_exact(buffer).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => Fault::CutHeader(self.place.clone()),
            _ => unreadable(&e),
        })?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    pub fn u32(&mut self) -> Result<u32, Fault> {
        let mut raw = [0; 4];
        self.fill(&mut raw)?;
        Ok(u32::from_le_bytes(raw))
    }

    pub fn u64(&mut self) -> Result<u64, Fault> {
        let mut raw = [0; 8];
        self.fill(&mut raw)?;
        Ok(u64::from_le_bytes(raw))
    }

    /// Up to eight bytes, zeros after them.
    pub fn padded(&mut self, n: u64) -> Result<[u8; 8], Fault> {
        let mut raw = [0; 8];
        self.fill(&mut raw[..n.min(8) as usize])?;
        Ok(raw)
    }

    /// `n` bytes. The allocation is made after it is known that the file holds them.
    pub fn bytes(&mut self, n: u64) -> Result<Vec<u8>, Fault> {
        self.claim(n)?;
        let mut raw = vec![0; n as usize];
        self.fill(&mut raw)?;
        Ok(raw)
    }

    pub fn skip(&mut self, n: u64) -> Result<(), Fault> {
        self.claim(n)?;
        // A claim of `i64::MAX` or more never passes: files are not that long.
        self.file.seek_relative(n as i64).map_err(|e| unreadable(&e))?;
        self.at += n;
        Ok(())
    }

    /// A string of at most `limit` bytes behind its length.
    pub fn string(&mut self, limit: u64) -> Result<Vec<u8>, Fault> {
        let len = self.u64()?;
        self.claim(len)?;
        if len > limit {
            return Err(Fault::Damaged(format!("{} is {len} bytes long", self.place)));
        }
        self.bytes(len)
    }
}

fn unreadable(e: &std::io::Error) -> Fault {
    if e.kind() == ErrorKind::NotFound { Fault::Missing } else { Fault::Unreadable(e.to_string()) }
}
