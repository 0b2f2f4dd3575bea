//! Chance that comes out the same everywhere: every example has a seed of its own, so any of them can be made alone.

/// A stream of random numbers (SplitMix64; Steele, Lea and Flood, 2014).
pub struct Chance(u64);

impl Chance {
    /// The stream that belongs to a seed, a purpose and a number.
    pub fn of(seed: u64, purpose: &str, number: usize) -> Self {
        Self(stable(purpose.as_bytes()) ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stable(&(number as u64).to_le_bytes()))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to and without `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn percent(&mut self, likely: u32) -> bool {
        self.below(100) < likely as usize
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// An index, each as likely as its weight says. The weights are not all 0.
    pub fn weighed(&mut self, weights: &[u32]) -> usize {
        let mut left = self.below(weights.iter().sum::<u32>() as usize) as u32;
        let at = weights.iter().position(|weight| {
            let here = left < *weight;
            left = left.saturating_sub(*weight);
            here
        });
        at.unwrap_or(0)
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for end in (1..all.len()).rev() {
            all.swap(end, self.below(end + 1));
        }
    }
}

/// A hash that no release of a compiler changes (FNV-1a), since splits hang on it.
pub fn stable(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
