//! The index on disk: one file per project below the person's cache, written whole and replaced at once.
//!
//! Numbers are variable in length (LEB128), names stand once. A file that is damaged, or was written with other queries, is no
//! index: everything in it can be found out again. Whoever writes last wins.

use crate::repo::map::index::{Definition, Entry, Index, Stamp, hash};
use crate::repo::map::names::Name;
use crate::repo::symbols;
use crate::repo::syntax::Language;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const MAGIC: &[u8; 8] = b"agentmap";
/// Goes up when the same bytes would mean something else.
const FORMAT: u64 = 3;
/// Behind this many projects the one that was renewed longest ago is forgotten.
const PROJECTS: usize = 32;

/// Where a project's index is kept.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    path: PathBuf,
}

impl Store {
    /// The store of the project at `root`, below `cache`.
    pub fn of(cache: &Path, root: &Path) -> Self {
        let name = format!("{:016x}.map", hash(root.as_os_str().as_encoded_bytes()));
        Self { path: cache.join("maps").join(name) }
    }

    /// Reads what was kept. Nothing, or nothing that this program wrote, is an empty index.
    pub fn read(&self) -> Index {
        fs::read(&self.path).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default()
    }

    /// Replaces what was kept. Errors when the cache cannot be written.
    pub fn write(&self, index: &Index) -> io::Result<()> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&encode(index))?;
        file.persist(&self.path)?;
        forget(dir);
        Ok(())
    }
}

/// Removes the indexes that were written longest ago, beyond [`PROJECTS`]. What cannot be removed now is later.
fn forget(dir: &Path) {
    let mut kept: Vec<(SystemTime, PathBuf)> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "map"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    kept.sort_unstable();
    let surplus = kept.len().saturating_sub(PROJECTS);
    for (_, path) in &kept[..surplus] {
        let _ = fs::remove_file(path);
    }
}

/// Tells apart what was read with other queries.
fn fingerprint() -> u64 {
    symbols::fingerprint() ^ FORMAT
}

fn encode(index: &Index) -> Vec<u8> {
    let mut out = Writer(Vec::new());
    // Names that no file has any more are left behind.
    let mut numbers = vec![u32::MAX; index.names.len()];
    let mut used = Vec::new();
    let entries = || index.files.values();
    let definitions = entries().flat_map(Entry::known).flat_map(|one| [one.name, one.kind]);
    let words = entries().flat_map(|entry| &entry.words).map(|(name, _)| *name);
    for name in words.chain(entries().flat_map(|entry| &entry.heads).copied()).chain(definitions) {
        let number = &mut numbers[name.0 as usize];
        if *number == u32::MAX {
            *number = used.len() as u32;
            used.push(name);
        }
    }
    out.number(used.len() as u64);
    used.iter().for_each(|name| out.text(index.names.text(*name)));
    out.number(index.files.len() as u64);
    for (path, entry) in &index.files {
        out.text(path);
        out.number(entry.stamp.bytes);
        out.number(entry.stamp.modified);
        out.0.extend(entry.hash.to_le_bytes());
        out.number(entry.language.map_or(0, |language| language as u64 + 1));
        out.number(entry.heads.len() as u64);
        entry.heads.iter().for_each(|name| out.number(numbers[name.0 as usize].into()));
        // One more than there are; 0 where nobody knows.
        out.number(entry.definitions.as_ref().map_or(0, |known| known.len() as u64 + 1));
        for one in entry.known() {
            out.number(numbers[one.name.0 as usize].into());
            out.number(numbers[one.kind.0 as usize].into());
            out.number(one.line.into());
        }
        out.number(entry.words.len() as u64);
        for (name, count) in &entry.words {
            out.number(numbers[name.0 as usize].into());
            out.0.push(*count);
        }
    }
    let head = [*MAGIC, fingerprint().to_le_bytes(), hash(&out.0).to_le_bytes()];
    [head.concat(), out.0].concat()
}

fn decode(bytes: &[u8]) -> Option<Index> {
    let (head, body) = bytes.split_at_checked(24)?;
    let expected = [*MAGIC, fingerprint().to_le_bytes(), hash(body).to_le_bytes()].concat();
    if head != expected {
        return None;
    }
    let (mut from, mut index) = (Reader(body), Index::default());
    let mut names = Vec::new();
    for _ in 0..from.number()? {
        names.push(index.names.append(from.text()?));
    }
    let name = |from: &mut Reader<'_>| names.get(usize::try_from(from.number()?).ok()?).copied();
    for _ in 0..from.number()? {
        let path = from.text()?.to_owned();
        let stamp = Stamp { bytes: from.number()?, modified: from.number()? };
        let hash = u64::from_le_bytes(from.take(8)?.try_into().ok()?);
        let language = match from.number()? {
            0 => None,
            at => Some(*Language::ALL.get(usize::try_from(at - 1).ok()?)?),
        };
        let count = from.number()?;
        let heads = (0..count).map(|_| name(&mut from)).collect::<Option<Vec<Name>>>()?;
        let (mut definitions, count) = (Vec::new(), from.number()?);
        for _ in 1..count {
            let (name, kind) = (name(&mut from)?, name(&mut from)?);
            definitions.push(Definition { name, kind, line: u32::try_from(from.number()?).ok()? });
        }
        let definitions = (count > 0).then_some(definitions);
        let count = usize::try_from(from.number()?).ok()?;
        // No more than could stand there, whatever the number says.
        let mut words: Vec<(Name, u8)> = Vec::with_capacity(count.min(from.0.len()));
        for _ in 0..count {
            words.push((name(&mut from)?, from.take(1)?[0]));
        }
        index.files.insert(path, Entry { stamp, hash, language, heads, definitions, words });
    }
    from.0.is_empty().then_some(index)
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'b str> {
        let count = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.take(count)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use crate::repo::map::index::{Definition, Index, Reading, Stamp};
    use crate::repo::map::store::{PROJECTS, Reader, Store, Writer, decode, encode};
    use crate::repo::syntax::Language;
    use proptest::prelude::*;
    use std::path::Path;

    fn index() -> Index {
        let mut index = Index::default();
        for (path, text, language) in [
            ("a.py", "def total(cart):\n    return cart\n", Some(Language::Python)),
            ("b.py", "def total(cart):\n    pass\n", Some(Language::Python)),
            ("c.txt", "the cart's total", None),
            ("empty.py", "", Some(Language::Python)),
        ] {
            index.put(path.into(), Stamp { bytes: 1 << 40, modified: u64::MAX }, Reading::of(text, language));
        }
        index.define("a.py", &vec![("total".into(), "function".into(), 1)]);
        index.define("empty.py", &Vec::new());
        index
    }

    /// Names are numbered anew, so files are compared by what they say.
    fn told(index: &Index) -> Vec<String> {
        let name = |name| index.names.text(name);
        let files = index.files.iter().map(|(path, entry)| {
            let one = |d: &Definition| (name(d.name), name(d.kind), d.line);
            let definitions = entry.definitions.as_ref().map(|known| known.iter().map(one).collect::<Vec<_>>());
            let words: Vec<_> = entry.words.iter().map(|(word, count)| (name(*word), *count)).collect();
            let heads: Vec<_> = entry.heads.iter().map(|head| name(*head)).collect();
            format!("{path} {:?} {} {:?} {heads:?} {definitions:?} {words:?}", entry.stamp, entry.hash, entry.language)
        });
        files.collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of(dir.path(), Path::new("project"));
        assert!(store.read().is_empty());
        store.write(&index()).unwrap();
        assert_eq!(told(&store.read()), told(&index()));
        assert!(Store::of(dir.path(), Path::new("elsewhere")).read().is_empty());
    }

    #[test]
    fn any_damage_makes_it_no_index() {
        let whole = encode(&index());
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert!(decode(&damaged).is_none(), "byte {at}");
            assert!(decode(&whole[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn the_oldest_projects_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        for project in 0..PROJECTS + 3 {
            Store::of(dir.path(), Path::new(&project.to_string())).write(&Index::default()).unwrap();
        }
        assert_eq!(std::fs::read_dir(dir.path().join("maps")).unwrap().count(), PROJECTS);
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_were_written(number in any::<u64>()) {
            let mut out = Writer(Vec::new());
            out.number(number);
            prop_assert_eq!(Reader(&out.0).number(), Some(number));
        }
    }
}
