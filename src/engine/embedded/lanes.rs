//! What the branches of the cache hold between one round of turns side by side and the next.
//!
//! Pure: who writes on the branches is the engine, which says here what became of them. A turn goes on where its conversation
//! was left, so that a round costs its new tokens; a lane that had no part in a round stays as it is while there is room.

use crate::engine::llama::Token;

/// The lanes, each on the branch of its number.
#[derive(Default)]
pub struct Lanes {
    /// Branch 1 is the first.
    all: Vec<Option<Lane>>,
    round: u64,
}

/// What one branch holds.
struct Lane {
    tokens: Vec<Token>,
    /// How many of its first tokens stand in cells that are the main sequence's too. What other lanes have of the rest is not
    /// known: it counts for each.
    shared: usize,
    /// The last round that it had part in.
    round: u64,
}

/// Where a conversation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub branch: usize,
    /// How many of its first tokens stand there.
    pub known: usize,
}

impl Lanes {
    pub fn is_empty(&self) -> bool {
        self.all.iter().all(Option::is_none)
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.all.clear();
    }

    /// The lane that has most of a prompt's beginning, its last token left out.
    pub fn best(&self, prompt: &[Token]) -> Option<Place> {
        let places = self.branches().map(|(branch, lane)| Place { branch, known: reused(&lane.tokens, prompt) });
        places.max_by_key(|place| place.known)
    }

    /// Where each of several prompts goes on: no two in one lane, and those first that have most to gain. `None` for one of
    /// which the main sequence has as much.
    pub fn places(&self, prompts: &[&[Token]], main: &[Token]) -> Vec<Option<Place>> {
        let mut pairs = Vec::new();
        for (index, prompt) in prompts.iter().enumerate() {
            let least = reused(main, prompt);
            let places = self.branches().map(|(branch, lane)| Place { branch, known: reused(&lane.tokens, prompt) });
            pairs.extend(places.filter(|place| place.known > least).map(|place| (index, place)));
        }
        // Stable: of equal gains the first prompt takes the first lane.
        pairs.sort_by_key(|(_, place)| std::cmp::Reverse(place.known));
        let mut places: Vec<Option<Place>> = vec![None; prompts.len()];
        for (index, place) in pairs {
            let taken = places.iter().flatten().any(|other| other.branch == place.branch);
            if places[index].is_none() && !taken {
                places[index] = Some(place);
            }
        }
        places
    }

    /// Begins a round in which some lanes have part: what they hold behind their places is gone.
    pub fn enter(&mut self, places: &[Place]) {
        self.round += 1;
        let round = self.round;
        for place in places {
            if let Some(lane) = self.lane(place.branch) {
                lane.tokens.truncate(place.known);
                lane.shared = lane.shared.min(place.known);
                lane.round = round;
            }
        }
    }

    /// Begins a lane with the main sequence's tokens, on the first of `most` branches that is free. `None` where none is.
    pub fn begin(&mut self, main: &[Token], most: usize) -> Option<usize> {
        let branch = self.free(most)?;
        if self.all.len() < branch {
            self.all.resize_with(branch, || None);
        }
        self.all[branch - 1] = Some(Lane { tokens: main.to_vec(), shared: main.len(), round: self.round });
        Some(branch)
    }

    /// The first of `most` branches that no lane is on.
    pub fn free(&self, most: usize) -> Option<usize> {
        (1..=most).find(|branch| self.all.get(branch - 1).is_none_or(Option::is_none))
    }

    /// Forgets the lane that was longest without a part in a round, unless all had part in this one. Gives its branch.
    pub fn forget_idle(&mut self) -> Option<usize> {
        let idle = self.branches().filter(|(_, lane)| lane.round < self.round);
        let (branch, _) = idle.min_by_key(|(_, lane)| lane.round)?;
        self.all[branch - 1] = None;
        Some(branch)
    }

    /// Says that a lane holds another token.
    pub fn push(&mut self, branch: usize, token: Token) {
        if let Some(lane) = self.lane(branch) {
            lane.tokens.push(token);
        }
    }

    /// How many tokens each lane holds, with its branch.
    pub fn lengths(&self) -> impl Iterator<Item = (usize, usize)> {
        self.branches().map(|(branch, lane)| (branch, lane.tokens.len()))
    }

    /// What a branch holds.
    pub fn tokens(&self, branch: usize) -> &[Token] {
        let lane = branch.checked_sub(1).and_then(|at| self.all.get(at)?.as_ref());
        lane.map_or(&[], |lane| &lane.tokens)
    }

    /// Says that the main sequence went back to a length: from there on its cells are no longer the lanes'.
    pub fn main_went_back(&mut self, length: usize) {
        self.all.iter_mut().flatten().for_each(|lane| lane.shared = lane.shared.min(length));
    }

    /// Cells that lanes take beside a main sequence that has `kept` of its first tokens still: no fewer than in truth.
    pub fn cells(&self, kept: usize) -> usize {
        self.branches().map(|(_, lane)| lane.tokens.len() - lane.shared.min(kept)).sum()
    }

    fn branches(&self) -> impl Iterator<Item = (usize, &Lane)> {
        self.all.iter().enumerate().filter_map(|(at, lane)| Some((at + 1, lane.as_ref()?)))
    }

    fn lane(&mut self, branch: usize) -> Option<&mut Lane> {
        self.all.get_mut(branch.checked_sub(1)?)?.as_mut()
    }
}

/// How many tokens two texts begin with in common.
pub fn common(one: &[Token], other: &[Token]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// How many tokens of a prompt need no processing where `held` stands: not the last one, whose logits are needed.
fn reused(held: &[Token], prompt: &[Token]) -> usize {
    common(held, prompt).min(prompt.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use crate::engine::embedded::lanes::{Lanes, Place};
    use crate::engine::llama::Token;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn tokens(text: &str) -> Vec<Token> {
        text.bytes().map(|byte| Token(byte.into())).collect()
    }

    /// Lanes behind a main sequence, each with what it has of its own.
    fn behind(main: &str, own: &[&str]) -> Lanes {
        let mut lanes = Lanes::default();
        lanes.enter(&[]);
        for text in own {
            let branch = lanes.begin(&tokens(main), 9).unwrap();
            tokens(text).into_iter().for_each(|token| lanes.push(branch, token));
        }
        lanes
    }

    fn placed(lanes: &Lanes, prompts: &[&str], main: &str) -> Vec<Option<(usize, usize)>> {
        let prompts: Vec<Vec<Token>> = prompts.iter().map(|text| tokens(text)).collect();
        let prompts: Vec<&[Token]> = prompts.iter().map(Vec::as_slice).collect();
        let places = lanes.places(&prompts, &tokens(main));
        places.into_iter().map(|place| place.map(|Place { branch, known }| (branch, known))).collect()
    }

    #[test]
    fn a_conversation_goes_on_where_it_was_left() {
        let lanes = behind("task", &["abc", "abd", "x"]);
        assert_eq!(placed(&lanes, &["taskxyz", "taskabdef", "taskabcef"], "task"), [Some((3, 5)), Some((2, 7)), Some((1, 7))]);
        assert_eq!(placed(&lanes, &["taskq", "other"], "task"), [None, None], "the main sequence has as much");
        assert_eq!(placed(&lanes, &["taskabc"], "task"), [Some((1, 6))], "the last token's logits are needed");
        let both = placed(&lanes, &["taskabz", "taskabz"], "task");
        assert_eq!(both, [Some((1, 6)), Some((2, 6))], "no two in one lane");
    }

    #[test]
    fn those_without_a_part_go_first_and_the_oldest_before_the_others() {
        let mut lanes = behind("task", &["a", "b", "c"]);
        assert_eq!(lanes.forget_idle(), None);
        lanes.enter(&[Place { branch: 1, known: 5 }, Place { branch: 3, known: 5 }]);
        lanes.enter(&[Place { branch: 3, known: 4 }]);
        assert_eq!((lanes.forget_idle(), lanes.forget_idle(), lanes.forget_idle()), (Some(2), Some(1), None));
        assert_eq!((lanes.tokens(3).len(), lanes.free(9)), (4, Some(1)));
    }

    proptest! {
        /// A cache as llama.cpp has it, cell by cell: a branch begins with the main sequence's cells and adds its own.
        #[test]
        fn cells_are_never_fewer_than_in_truth(steps in proptest::collection::vec((0u8..4, 0usize..12, 1usize..9), 1..60)) {
            let (mut lanes, mut next) = (Lanes::default(), 0);
            let (mut main, mut branches): (Vec<usize>, Vec<Option<Vec<usize>>>) = (Vec::new(), vec![None; 4]);
            for (kind, at, count) in steps {
                match kind {
                    0 => {
                        let kept = at.min(main.len());
                        main.truncate(kept);
                        lanes.main_went_back(kept);
                        main.extend(next..next + count);
                        next += count;
                    }
                    1 => {
                        let held: Vec<Token> = main.iter().map(|cell| Token(*cell as i32)).collect();
                        if let Some(branch) = lanes.begin(&held, 4) {
                            branches[branch - 1] = Some(main.clone());
                        }
                    }
                    2 => {
                        if let Some(cells) = &mut branches[at % 4] {
                            for cell in next..next + count {
                                lanes.push(at % 4 + 1, Token(cell as i32));
                                cells.push(cell);
                            }
                            next += count;
                        }
                    }
                    _ => {
                        if let Some(cells) = &mut branches[at % 4] {
                            cells.truncate(count);
                            lanes.enter(&[Place { branch: at % 4 + 1, known: count }]);
                        }
                    }
                }
                let truth: HashSet<usize> = branches.iter().flatten().flatten().chain(&main).copied().collect();
                prop_assert!(main.len() + lanes.cells(main.len()) >= truth.len());
                for (branch, length) in lanes.lengths() {
                    prop_assert_eq!(Some(length), branches[branch - 1].as_ref().map(Vec::len));
                }
            }
        }
    }
}
