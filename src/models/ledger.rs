//! What was found out about a model's file, kept in the cache so that it is found out once: what a load takes, how fast it was.
//!
//! A ledger knows which file it is about, by path, size, time and header, and nothing of what is written into it. One that
//! is damaged, of another file or of another program is empty. Whoever writes last wins: everything in it can be found out
//! again.

use crate::models::gguf::Header;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Beyond this many entries a ledger begins anew: plans are for a few machines, not for hundreds.
const MOST: usize = 128;

/// The ledger of one subject.
#[derive(Clone, Debug)]
pub struct Ledger {
    path: PathBuf,
    entries: BTreeMap<String, Value>,
}

impl Ledger {
    /// Opens the ledger of a model's file below `cache`. Costs one read of the header.
    pub fn of_model(cache: &Path, header: &Header) -> Self {
        let mut hasher = DefaultHasher::new();
        program(&mut hasher);
        let parts = header.parts.iter().map(|(path, _)| path);
        for path in [&header.path].into_iter().chain(parts) {
            stamp(path, &mut hasher);
        }
        // A file can be replaced by one of the same size and time: by a copy that keeps times, of another quantisation.
        let mut head = Vec::new();
        if let Ok(file) = File::open(&header.path) {
            let _ = file.take(header.data_start).read_to_end(&mut head);
        }
        hasher.write(&head);
        Self::at(cache.join("plans").join(format!("{:016x}.json", hasher.finish())))
    }

    /// Opens the ledger of this machine below `cache`.
    pub fn of_machine(cache: &Path) -> Self {
        Self::at(cache.join("plans").join("machine.json"))
    }

    fn at(path: PathBuf) -> Self {
        let text = std::fs::read(&path).unwrap_or_default();
        Self { path, entries: serde_json::from_slice(&text).unwrap_or_default() }
    }

    /// Gives what was written under a key, when it is of this type.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        T::deserialize(self.entries.get(key)?).ok()
    }

    /// Writes something down. Errors when the cache cannot be written; it is in the ledger in memory all the same.
    pub fn put<T: Serialize>(&mut self, key: String, entry: &T) -> io::Result<()> {
        if self.entries.len() >= MOST {
            self.entries.clear();
        }
        self.entries.insert(key, serde_json::to_value(entry)?);
        let dir = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec(&self.entries)?)?;
        file.persist(&self.path)?;
        Ok(())
    }
}

/// A key for things that are told apart by all of their fields.
pub fn key(kind: &str, what: &impl Serialize) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(&serde_json::to_vec(what).unwrap_or_default());
    format!("{kind}-{:016x}", hasher.finish())
}

/// Another build may reckon otherwise.
fn program(hasher: &mut DefaultHasher) {
    env!("CARGO_PKG_VERSION").hash(hasher);
    if let Ok(path) = std::env::current_exe() {
        stamp(&path, hasher);
    }
}

fn stamp(path: &Path, hasher: &mut DefaultHasher) {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.hash(hasher);
    if let Ok(meta) = std::fs::metadata(&whole) {
        meta.len().hash(hasher);
        let changed = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        changed.map(|since| since.as_nanos()).hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use crate::models::ledger::{Ledger, MOST, key};

    #[test]
    fn what_is_written_is_found_again_and_damage_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::of_machine(dir.path());
        assert_eq!(ledger.get::<u32>("a"), None);
        ledger.put("a".into(), &7_u32).unwrap();
        assert_eq!(Ledger::of_machine(dir.path()).get::<u32>("a"), Some(7));
        assert_eq!(Ledger::of_machine(dir.path()).get::<String>("a"), None, "of another type");
        std::fs::write(dir.path().join("plans/machine.json"), b"{\"a\":").unwrap();
        assert_eq!(Ledger::of_machine(dir.path()).get::<u32>("a"), None);
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::of_machine(dir.path());
        for n in 0..=MOST {
            ledger.entries.insert(n.to_string(), n.into());
        }
        ledger.put("last".into(), &true).unwrap();
        assert_eq!(Ledger::of_machine(dir.path()).entries.len(), 1);
    }

    #[test]
    fn keys_tell_things_apart() {
        assert_ne!(key("trial", &(1, "f16")), key("trial", &(1, "q8_0")));
        assert_ne!(key("trial", &1), key("speed", &1));
    }
}
