//! Where a cache that cannot go back by itself can be brought back to: states at the starts of turns, bounded in number and
//! bytes.
//!
//! Pure: who takes them and restores them is the engine. When there are too many, the one goes whose loss costs the fewest
//! tokens, which is the one closest behind another; so the far ones thin out, and the first and the newest stay.

use crate::engine::states::Checkpoint;
use std::sync::Arc;

/// The most of them. A step of an agent's takes two, and a conversation is seldom taken back by more than some turns.
const MOST: usize = 32;
/// Tokens between two of them, at least: processing these again is as quick as copying a large state.
pub const SPACING: usize = 64;

/// The checkpoints of what the cache holds, by length.
#[derive(Default)]
pub struct Checkpoints {
    kept: Vec<Checkpoint>,
}

impl Checkpoints {
    /// Of a state that was saved with its checkpoints.
    pub fn of(kept: &[Checkpoint]) -> Self {
        Self { kept: kept.to_vec() }
    }

    /// The last one at or before a length.
    pub fn nearest(&self, length: usize) -> Option<&Checkpoint> {
        self.kept.iter().rev().find(|one| one.length <= length)
    }

    /// Whether one at this length would be worth its bytes.
    pub fn wants(&self, length: usize) -> bool {
        length >= SPACING && self.nearest(length).is_none_or(|one| length - one.length >= SPACING)
    }

    /// The one at exactly this length.
    pub fn at(&self, length: usize) -> Option<&Checkpoint> {
        self.nearest(length).filter(|one| one.length == length)
    }

    /// Adds one behind all others, within `room` bytes in all; none that has no room by itself.
    pub fn add(&mut self, length: usize, state: Vec<u8>, room: u64) {
        self.kept.retain(|one| one.length < length);
        if state.len() as u64 > room {
            return;
        }
        self.kept.push(Checkpoint { length, state: Arc::new(state) });
        while self.kept.len() > MOST || self.bytes() > room {
            let last = self.kept.len() - 1;
            let gap = |index: usize| self.kept[index].length - index.checked_sub(1).map_or(0, |before| self.kept[before].length);
            // The newest is the one most often wanted: it never goes.
            let cheapest = (0..last).min_by_key(|index| gap(*index)).unwrap_or(last);
            self.kept.remove(cheapest);
        }
    }

    /// Forgets those beyond a length: the cache does not hold their tokens any more.
    pub fn truncate(&mut self, length: usize) {
        self.kept.retain(|one| one.length <= length);
    }

    pub fn bytes(&self) -> u64 {
        self.kept.iter().map(|one| one.state.len() as u64).sum()
    }

    /// The newest of them within so many bytes, to be saved with the whole state.
    pub fn newest(&self, room: u64) -> Vec<Checkpoint> {
        let mut left = room;
        let mut fits = |one: &&Checkpoint| {
            let rest = left.checked_sub(one.state.len() as u64);
            left = rest.unwrap_or(left);
            rest.is_some()
        };
        let mut newest: Vec<Checkpoint> = self.kept.iter().rev().take_while(|one| fits(one)).cloned().collect();
        newest.reverse();
        newest
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::embedded::checkpoints::{Checkpoints, MOST, SPACING};
    use proptest::prelude::*;

    fn lengths(checkpoints: &Checkpoints) -> Vec<usize> {
        checkpoints.kept.iter().map(|one| one.length).collect()
    }

    fn with(lengths: &[usize], room: u64) -> Checkpoints {
        let mut checkpoints = Checkpoints::default();
        lengths.iter().for_each(|length| checkpoints.add(*length, vec![0; 10], room));
        checkpoints
    }

    #[test]
    fn the_cheapest_loss_goes_first_and_the_newest_last() {
        assert_eq!(lengths(&with(&[1000, 1100, 3000, 5000], 30)), [1000, 3000, 5000]);
        assert_eq!(lengths(&with(&[1000, 3000, 3001], 20)), [3000, 3001]);
        assert_eq!(lengths(&with(&[1000, 3000], 10)), [3000]);
        assert_eq!(lengths(&with(&[1000, 3000], 9)), [0; 0]);
    }

    #[test]
    fn going_back_finds_the_nearest_before() {
        let mut checkpoints = with(&[100, 300, 900], 100);
        assert_eq!(checkpoints.nearest(899).map(|one| one.length), Some(300));
        assert_eq!(checkpoints.nearest(99).map(|one| one.length), None);
        assert!(checkpoints.at(300).is_some() && checkpoints.at(301).is_none());
        checkpoints.truncate(300);
        assert_eq!(lengths(&checkpoints), [100, 300]);
        assert!(!checkpoints.wants(300 + SPACING - 1) && checkpoints.wants(300 + SPACING));
        assert_eq!(checkpoints.newest(19).len(), 1);
        assert_eq!(checkpoints.newest(20).len(), 2);
    }

    proptest! {
        #[test]
        fn bounds_hold_and_the_order_too(steps in proptest::collection::vec((1usize..500, 0usize..40), 1..120), room in 0u64..600) {
            let (mut checkpoints, mut at) = (Checkpoints::default(), 0);
            for (step, bytes) in steps {
                at += step;
                checkpoints.add(at, vec![0; bytes], room);
                prop_assert!(checkpoints.kept.len() <= MOST && checkpoints.bytes() <= room);
                prop_assert!(lengths(&checkpoints).is_sorted());
                prop_assert_eq!(lengths(&checkpoints).last() == Some(&at), bytes as u64 <= room);
            }
        }
    }
}
