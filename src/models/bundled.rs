//! The model inside this program: a few megabytes, for a first result on a machine that has no other, and for self-tests.
//!
//! llama.cpp maps files, so the bytes are written to the cache before they are used, under a name that says which they are: two
//! versions of the program keep apart, and an engine that still runs keeps its file.

use crate::units::Bytes;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What the model is called on the command line.
pub const NAME: &str = "micro";

/// Only a build that can run it carries it.
#[cfg(feature = "llama")]
const FILE: Option<&[u8]> = Some(include_bytes!("../../models/micro/micro-q8_0.gguf"));
#[cfg(not(feature = "llama"))]
const FILE: Option<&[u8]> = None;

/// The model's size. `None`: this build has none.
pub fn size() -> Option<Bytes> {
    FILE.map(|bytes| Bytes(bytes.len() as u64))
}

/// Gives the model as a file below `cache`, and writes it when it is not there as it should be. `None`: this build has none.
///
/// Cost: one read of the file where it is there. Errors when the directory cannot be written.
pub fn file(cache: &Path) -> io::Result<Option<PathBuf>> {
    FILE.map(|bytes| kept(bytes, &cache.join("models"))).transpose()
}

/// Whoever looks sees the whole file or none, and what stands there is not believed unseen: a disk may have been full.
fn kept(bytes: &[u8], dir: &Path) -> io::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    let path = dir.join(format!("{NAME}-{:016x}.gguf", hasher.finish()));
    if std::fs::read(&path).is_ok_and(|there| there == bytes) {
        return Ok(path);
    }
    std::fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.persist(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use crate::models::bundled::kept;
    use std::fs;

    #[test]
    fn the_file_is_written_once_and_mended_when_it_is_not_whole() {
        let held = tempfile::tempdir().unwrap();
        let dir = held.path().join("cache/models");
        let path = kept(b"weights", &dir).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"weights");
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(kept(b"weights", &dir).unwrap(), path);
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written, "what is right is left alone");
        fs::write(&path, b"wei").unwrap();
        kept(b"weights", &dir).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"weights");
        let other = kept(b"other weights", &dir).unwrap();
        assert_eq!((fs::read(&path).unwrap(), fs::read(other).unwrap()), (b"weights".to_vec(), b"other weights".to_vec()));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "nothing half written is left");
    }
}
