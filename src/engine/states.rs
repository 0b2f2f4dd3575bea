//! Saved states of the cache: what was processed once is found again after a restart, and by the next session of a project.
//!
//! A state is bytes of llama.cpp's behind the tokens that it stands for; nothing here knows what is in them. What is saved
//! waits in memory until there is time to write it. On disk it is found by the identity of what made it (model, version,
//! settings) and by its tokens: the one that shares the longest beginning with a prompt is used. Whatever is damaged, foreign
//! or gone is passed over: the worst that can happen is that tokens are processed again.

pub mod checksum;
mod file;
pub mod identity;

#[cfg(test)]
mod tests;

use crate::engine::runtime::private_dir;
use crate::engine::states::file::{Place, Problem, Written};
use crate::units::Bytes;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Room for all states on disk: the openings of some dozen projects, and a handful of conversations of 16,000 tokens with a
/// model of seven billion weights (0.9 GB each). No more than a quarter of the disk's free space is taken in any case.
pub const ROOM: Bytes = Bytes(8 << 30);

/// A state as it is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// The tokens that the state stands for.
    pub tokens: Vec<i32>,
    /// Whether it is the beginning that the sessions of a project share. Such a one is not replaced by what goes on from it.
    pub opening: bool,
    pub state: Arc<Vec<u8>>,
    /// Where the cache can go back to, and how, in order of length; only of a cache that cannot go back anywhere.
    pub checkpoints: Vec<Checkpoint>,
    /// What the state's owner needs to know to go on from it.
    pub past: Option<Value>,
}

/// A part of a state that leads back to an earlier length.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Tokens before it.
    pub length: usize,
    pub state: Arc<Vec<u8>>,
}

impl Saved {
    pub fn bytes(&self) -> u64 {
        self.state.len() as u64 + self.checkpoints.iter().map(|c| c.state.len() as u64).sum::<u64>()
    }
}

/// How a cache can go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewind {
    /// To any length.
    Anywhere,
    /// To checkpoints only.
    Checkpoints,
}

/// The saved states of one identity.
pub struct Shelf {
    dir: PathBuf,
    identity: String,
    room: Bytes,
    entries: Vec<Entry>,
    notices: Vec<String>,
}

/// A state that can be had.
struct Entry {
    tokens: Vec<i32>,
    /// Lengths of its checkpoints.
    marks: Vec<usize>,
    opening: bool,
    place: Held,
}

enum Held {
    /// Not written yet.
    Memory(Saved),
    Disk(Place),
}

/// A state that begins as a prompt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    index: usize,
    /// How many tokens of the prompt it saves.
    pub length: usize,
}

impl Shelf {
    /// Looks through a directory for states of an identity; gives the pasts that they carry, oldest first. It is made with
    /// mode 0700 where there is none. Where it cannot be used nothing is found, and a notice says why.
    pub fn open(dir: &Path, identity: String, room: Bytes) -> (Self, Vec<Value>) {
        let mut shelf = Self { dir: dir.to_owned(), identity, room, entries: Vec::new(), notices: Vec::new() };
        if let Err(error) = private_dir(dir) {
            shelf.room = Bytes::ZERO;
            shelf.notices.push(format!("nothing is kept from session to session: {error}"));
            return (shelf, Vec::new());
        }
        file::sweep(dir);
        let mut pasts = Vec::new();
        for path in file::list(dir) {
            match file::head(&path, &shelf.identity) {
                Ok(Some((head, place))) => {
                    let marks = head.checkpoints.iter().map(|part| part.length).collect();
                    pasts.extend(head.past);
                    shelf.entries.push(Entry { tokens: head.tokens, marks, opening: head.opening, place: Held::Disk(place) });
                }
                Ok(None) => {}
                Err(problem) => shelf.tell(&path, &problem),
            }
        }
        (shelf, pasts)
    }

    /// What a person should know, once.
    pub fn notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// The state that saves most tokens of a prompt, of at most `most`. A later one goes before an equal earlier one.
    pub fn best(&self, prompt: &[i32], most: usize, rewind: Rewind) -> Option<Found> {
        let reach = |entry: &Entry| {
            let common = common(&entry.tokens, prompt).min(most);
            match rewind {
                Rewind::Anywhere => common,
                Rewind::Checkpoints if common == entry.tokens.len() => common,
                Rewind::Checkpoints => entry.marks.iter().copied().filter(|mark| *mark <= common).max().unwrap_or(0),
            }
        };
        let all = self.entries.iter().enumerate().map(|(index, entry)| Found { index, length: reach(entry) });
        all.filter(|found| found.length > 0).max_by_key(|found| found.length)
    }

    /// Reads a state and checks every byte of it. `None` where it is gone or damaged: then it is not found again. Costs
    /// reading the file.
    pub fn load(&mut self, found: Found) -> Option<Saved> {
        let entry = self.entries.get(found.index)?;
        let place = match &entry.place {
            Held::Memory(saved) => return Some(saved.clone()),
            Held::Disk(place) => place.clone(),
        };
        match file::read(&place) {
            Ok(saved) => Some(saved),
            Err(problem) => {
                self.tell(&place.path, &problem);
                self.entries.remove(found.index);
                None
            }
        }
    }

    /// Takes the state of exactly these tokens out for good: it turned out to be of no use.
    pub fn discard(&mut self, tokens: &[i32]) {
        self.entries.retain(|entry| {
            let unusable = entry.tokens == tokens;
            if let (true, Held::Disk(place)) = (unusable, &entry.place) {
                file::remove(&place.path);
            }
            !unusable
        });
    }

    /// Whether there is a state of exactly these tokens.
    pub fn has(&self, tokens: &[i32]) -> bool {
        self.entries.iter().any(|entry| entry.tokens == tokens)
    }

    /// Bytes that wait in memory to be written.
    pub fn waiting(&self) -> u64 {
        let bytes = |entry: &Entry| match &entry.place {
            Held::Memory(saved) => saved.bytes(),
            Held::Disk(_) => 0,
        };
        self.entries.iter().map(bytes).sum()
    }

    /// Keeps a state in memory until there is time to write it. One that it goes on from is no longer needed.
    pub fn put(&mut self, saved: Saved) {
        let superseded = |entry: &Entry| {
            entry.tokens == saved.tokens || (!entry.opening && !saved.opening && saved.tokens.starts_with(&entry.tokens))
        };
        // One on disk stays there until the new one is written; its like is written over.
        let stays = |entry: &Entry| matches!(entry.place, Held::Disk(_)) && entry.tokens != saved.tokens;
        self.entries.retain(|entry| stays(entry) || !superseded(entry));
        let marks = saved.checkpoints.iter().map(|checkpoint| checkpoint.length).collect();
        let (tokens, opening) = (saved.tokens.clone(), saved.opening);
        self.entries.push(Entry { tokens, marks, opening, place: Held::Memory(saved) });
    }

    /// Writes what waits, openings first. `interrupted` is asked every few megabytes: what is not whole by then waits on. The
    /// states that were used longest ago make room.
    pub fn write(&mut self, interrupted: &mut dyn FnMut() -> bool) {
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        order.sort_by_key(|index| !self.entries[*index].opening);
        for index in order {
            let Held::Memory(saved) = &self.entries[index].place else { continue };
            match file::write(&self.dir, &self.identity, saved, self.room, interrupted) {
                Ok(Written::Whole(place)) => self.entries[index].place = Held::Disk(place),
                Ok(Written::Interrupted) => return,
                Ok(Written::TooLarge) => {}
                Err(error) => {
                    self.notices.push(format!("cannot keep the conversation's state in `{}`: {error}", self.dir.display()));
                    break;
                }
            }
        }
        // What could not be written now cannot be written the next time: nothing waits for it.
        self.entries.retain(|entry| matches!(entry.place, Held::Disk(_)));
        self.tidy();
    }

    /// Removes what later states go on from, and forgets what is no longer there.
    fn tidy(&mut self) {
        let superseded = |entry: &Entry| {
            !entry.opening
                && self.entries.iter().any(|other| {
                    !other.opening && other.tokens.len() > entry.tokens.len() && other.tokens.starts_with(&entry.tokens)
                })
        };
        let gone: Vec<bool> = self.entries.iter().map(superseded).collect();
        let mut index = 0;
        self.entries.retain(|entry| {
            let old = gone[index];
            index += 1;
            match &entry.place {
                Held::Disk(place) if old => {
                    file::remove(&place.path);
                    false
                }
                Held::Disk(place) => place.path.exists(),
                Held::Memory(_) => true,
            }
        });
    }

    fn tell(&mut self, path: &Path, problem: &Problem) {
        match problem {
            // Another engine needed the room.
            Problem::Gone => {}
            Problem::Damaged(how) => {
                self.notices
                    .push(format!("the saved state `{}` is of no use ({how}); its tokens are processed again", path.display()));
            }
        }
    }
}

fn common(one: &[i32], other: &[i32]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}
