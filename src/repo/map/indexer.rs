//! Keeps a project's index up to date, on threads of its own: whoever wants a map takes what there is so far.
//!
//! A file whose size and time are as they were is not read, one whose content is as it was is not cut into words. What was found out is
//! written down every few seconds and at the end, so work that is broken off goes on where it stopped.

use crate::path::Root;
use crate::repo::map::Question;
use crate::repo::map::index::{Index, Reading, Stamp, hash, is_aside, outlined};
use crate::repo::map::rank::{Ranked, rank};
use crate::repo::map::store::Store;
use crate::repo::parallel;
use crate::repo::symbols::Tagger;
use crate::repo::syntax::Language;
use crate::repo::walk::{self, Found};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// The most files: of larger projects the nearest to the root are indexed.
const FILES: usize = 60_000;
/// Larger files are not read.
const LARGEST: u64 = 1 << 20;
/// As much of a file as tells whether it is text.
const HEAD: usize = 8_000;
/// Threads: more wait for the one place where names are kept.
const THREADS: usize = 8;
/// How often what was found out is written down.
const SAVED_EVERY: Duration = Duration::from_secs(5);
/// How long an end waits for the last file and for what was found out to be written.
const GRACE: Duration = Duration::from_millis(200);
/// Data, not text: files by these names are not read.
const DATA: &[&str] =
    &["csv", "diff", "json", "jsonl", "lock", "log", "map", "patch", "po", "pot", "snap", "svg", "sum", "tsv", "xml"];

/// How much of the machine the index may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Somebody waits for it.
    Foreground,
    /// Something else is going on: a model loads, or answers.
    Background,
}

/// An index that is being made. When it is dropped the work ends.
#[derive(Debug)]
pub struct Indexer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: Root,
    store: Store,
    index: Mutex<Index>,
    done: Mutex<bool>,
    ended: Condvar,
    stop: AtomicBool,
}

impl Indexer {
    /// Begins to index the files below `root`. What is found out is kept below `cache` for the project that is `known_as`: a
    /// copy of it is the same project.
    pub fn start(root: Root, known_as: &Path, cache: &Path, pace: Pace) -> Self {
        let shared = Arc::new(Shared {
            root,
            store: Store::of(cache, known_as),
            index: Mutex::new(Index::default()),
            done: Mutex::new(false),
            ended: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let own = End(Arc::clone(&shared));
        let work = move || survey(&own.0, pace);
        // Without a thread there is no index, and the map is empty.
        if thread::Builder::new().name("index".into()).spawn(work).is_err() {
            shared.end();
        }
        Self(shared)
    }

    /// Waits until the index is whole, `most` at most, and says whether it is.
    pub fn wait(&self, most: Duration) -> bool {
        let done = self.0.done.lock().unwrap_or_else(PoisonError::into_inner);
        let (done, _) = self.0.ended.wait_timeout_while(done, most, |done| !*done).unwrap_or_else(PoisonError::into_inner);
        *done
    }

    /// How many files are indexed by now.
    pub fn files(&self) -> usize {
        self.0.index().len()
    }

    /// Ranks what is indexed by now; the work waits meanwhile. What the first `shown` files define is known then.
    pub fn ranked(&self, question: &Question, shown: usize) -> Vec<Ranked> {
        let ranked = rank(&self.0.index(), question);
        // What a file defines does not move it, so the second ranking has the same order.
        if self.0.deepen(&ranked[..shown.min(ranked.len())]) { rank(&self.0.index(), question) } else { ranked }
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
        self.wait(GRACE);
    }
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        // A thread that panicked left a file out, and nothing half done.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Parses those files that were not. Says whether there was any.
    fn deepen(&self, files: &[Ranked]) -> bool {
        let unparsed: Vec<(String, u64, Option<Language>)> = {
            let index = self.index();
            let entries = files.iter().filter_map(|file| Some((file.path.clone(), index.files.get(&file.path)?)));
            let unparsed = entries.filter(|(_, entry)| entry.definitions.is_none() && entry.language.is_some());
            unparsed.map(|(path, entry)| (path, entry.hash, entry.language)).collect()
        };
        let tagger = Tagger::default();
        let parsed = parallel::each(
            &unparsed,
            || tagger.clone(),
            |tagger, (path, known, language)| {
                let (_, full) = self.root.resolve(path).ok()?;
                // One that has changed just now is read as a whole next time.
                let text = fs::read_to_string(full).ok().filter(|text| hash(text.as_bytes()) == *known)?;
                Some(outlined(&text, *language, tagger))
            },
        );
        let mut index = self.index();
        for ((path, ..), definitions) in unparsed.iter().zip(parsed) {
            index.define(path, &definitions.unwrap_or_default());
        }
        drop(index);
        if !unparsed.is_empty() && *self.done.lock().unwrap_or_else(PoisonError::into_inner) {
            self.save();
        }
        !unparsed.is_empty()
    }

    /// A cache that cannot be written is one that is made anew next time.
    fn save(&self) {
        let _ = self.store.write(&self.index());
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn end(&self) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ended.notify_all();
    }
}

/// Tells whoever waits, also when the work ends in a panic.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn survey(shared: &Shared, pace: Pace) {
    yield_to_others(pace);
    *shared.index() = shared.store.read();
    let (stale, gone) = differences(shared);
    let changed = AtomicUsize::new(gone);
    let next = AtomicUsize::new(0);
    let work = |keep: &mut dyn FnMut()| {
        while let Some((found, stamp)) = stale.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !shared.stopped()) {
            changed.fetch_add(usize::from(renew(shared, found, *stamp)), Ordering::Relaxed);
            keep();
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let cores = if pace == Pace::Background { cores.div_ceil(2) } else { cores }.min(stale.len().max(1));
    thread::scope(|scope| {
        for _ in 1..cores {
            scope.spawn(|| {
                yield_to_others(pace);
                work(&mut || {});
            });
        }
        let mut saved = Instant::now();
        work(&mut || {
            if saved.elapsed() > SAVED_EVERY {
                shared.save();
                saved = Instant::now();
            }
        });
    });
    if changed.into_inner() > 0 {
        shared.save();
    }
}

/// The files that are new or may have changed, the likeliest to matter first; takes out those that are gone and counts them.
fn differences(shared: &Shared) -> (Vec<(Found, Stamp)>, usize) {
    let found: Vec<(Found, Stamp)> = walk::gather(&shared.root, shared.root.as_path(), FILES)
        .into_iter()
        .filter(|found| found.bytes <= LARGEST && !DATA.contains(&found.path.extension().as_str()))
        .map(|found| {
            let since = found.modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let modified = since.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or_default();
            let stamp = Stamp { bytes: found.bytes, modified };
            (found, stamp)
        })
        .collect();
    let mut index = shared.index();
    let before = index.files.len();
    let there: HashSet<&str> = found.iter().map(|(found, _)| found.path.as_str()).collect();
    index.files.retain(|path, _| there.contains(path.as_str()));
    let gone = before - index.files.len();
    drop(there);
    let known = |found: &Found, stamp: &Stamp| {
        index.files.get(found.path.as_str()).is_some_and(|entry| entry.stamp == *stamp && stamp.modified != 0)
    };
    let mut stale: Vec<_> = found.into_iter().filter(|(found, stamp)| !known(found, stamp)).collect();
    let order = |found: &Found| {
        let path = found.path.as_str();
        (Language::of(&found.path).is_none(), is_aside(path), path.matches('/').count())
    };
    stale.sort_by_cached_key(|(found, _)| order(found));
    (stale, gone)
}

/// Reads a file and puts it into the index; says whether its content is another than was known.
fn renew(shared: &Shared, found: &Found, stamp: Stamp) -> bool {
    let path = found.path.as_str();
    let text = fs::read(&found.full).ok().filter(|bytes| !bytes[..bytes.len().min(HEAD)].contains(&0));
    let Some(text) = text.and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return shared.index().files.remove(path).is_some();
    };
    let same = hash(text.as_bytes());
    if let Some(entry) = shared.index().files.get_mut(path).filter(|entry| entry.hash == same) {
        entry.stamp = stamp;
        return false;
    }
    let reading = Reading::of(&text, Language::of(&found.path));
    shared.index().put(path.to_owned(), stamp, reading);
    true
}

/// Lets everything else on the machine go first. On Linux this is a thread's own matter; elsewhere it would be the process's.
fn yield_to_others(pace: Pace) {
    #[cfg(target_os = "linux")]
    if pace == Pace::Background {
        // Where it is not allowed the index merely takes its share.
        let _ = rustix::process::nice(10);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = pace;
}
