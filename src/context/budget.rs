//! The room that is left in the window: what was allocated, less what is said, less what the answer needs.
//!
//! The engine's own count of each turn settles what is used; only what was admitted since then is added up here.

use crate::protocol::turn::Usage;
use crate::units::Tokens;

/// What a template puts around one tool result, at most: role markers, the tool's name, the call's id.
const FRAME: Tokens = Tokens(16);
/// A result below this is admitted whole while it fits at all: a fair share of little room helps nobody.
const SMALL: Tokens = Tokens(256);

/// A result of less is little more than the line that says what is missing.
const LEAST_RESULT: Tokens = Tokens(64);
/// What a tool's answer has at most: 8,000 bytes of dense text.
const LARGEST_RESULT: Tokens = Tokens(2_048);
/// The bounds of a summary: a few lines, and what a person would write of a long session.
const SUMMARY: (Tokens, Tokens) = (Tokens(64), Tokens(512));

/// An answer that is worth a turn, where nothing larger can be kept for it.
const LEAST_ANSWER: Tokens = Tokens(256);

/// A window and what stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    window: Option<Tokens>,
    used: Tokens,
    answer: Tokens,
}

impl Budget {
    /// A window of which nothing is used yet. `answer` is the most that one turn may generate.
    pub fn new(window: Option<Tokens>, answer: Tokens) -> Self {
        Self { window, used: Tokens::ZERO, answer }
    }

    /// The window, once it is known.
    pub fn window(&self) -> Option<Tokens> {
        self.window
    }

    /// Tokens of the conversation so far, as far as they were counted.
    pub fn used(&self) -> Tokens {
        self.used
    }

    /// What is kept for the next answer: all it may generate, but no more than a quarter of the window.
    pub fn reserve(&self) -> Tokens {
        self.window.map_or(self.answer, |window| self.answer.min(Tokens(window.0 / 4)))
    }

    /// What of the reserve can be given up for one turn rather than not have it.
    pub fn spare(&self) -> Tokens {
        self.reserve() - LEAST_ANSWER
    }

    /// What may still be said to the model. `None`: the window is not known.
    pub fn room(&self) -> Option<Tokens> {
        self.window.map(|window| window - self.used - self.reserve())
    }

    /// The most that one result may take when `waiting` results, itself included, are still to be admitted. Two shares more are
    /// kept back: a result of half the room would have the next one compact the conversation.
    pub fn share(&self, waiting: usize) -> Option<Tokens> {
        let room = self.room()?.0;
        let waiting = u32::try_from(waiting.max(1)).unwrap_or(u32::MAX);
        let share = room / waiting.saturating_add(2);
        Some(Tokens(share.max(SMALL.0.min(room / waiting))) - FRAME)
    }

    /// The largest result that a step should have room for: a sixteenth of the window, and no more than a tool ever gives.
    pub fn largest_result(&self) -> Tokens {
        self.window.map_or(LARGEST_RESULT, |window| LARGEST_RESULT.min(Tokens(window.0 / 16)))
    }

    /// Whether the next step should not begin before there is more room. The answer's reserve is not touched by that, and the
    /// largest result still fits then; below it, results would be cut to ever less.
    pub fn crowded(&self) -> bool {
        self.room().is_some_and(|room| room < self.largest_result() + FRAME)
    }

    /// Whether `waiting` results would hardly be told apart from nothing.
    pub fn choked(&self, waiting: usize) -> bool {
        let need = (LEAST_RESULT + FRAME).0.saturating_mul(u32::try_from(waiting).unwrap_or(u32::MAX));
        self.room().is_some_and(|room| room < Tokens(need))
    }

    /// What the conversation may have, if `of_it` tokens of what is used are its own: all but what stands before it and the
    /// reserve. In a window that is not known, what it has.
    pub fn conversation(&self, of_it: Tokens) -> Tokens {
        self.window.map_or(of_it, |window| window - (self.used - of_it) - self.reserve())
    }

    /// The most tokens of a summary: a thirty-second part of the window, within bounds.
    pub fn summary(&self) -> Tokens {
        self.window.map_or(SUMMARY.1, |window| Tokens(window.0 / 32).clamp(SUMMARY.0, SUMMARY.1))
    }

    /// Whether a turn of `answer` tokens, asked for with `request` more, still fits. The whole window counts, for it is the
    /// reserve that is spent.
    pub fn fits_turn(&self, request: Tokens, answer: Tokens) -> bool {
        self.window.is_none_or(|window| self.used + request + FRAME + answer <= window)
    }

    /// Adds a result that was admitted.
    pub fn admit(&mut self, result: Tokens) {
        self.used += result + FRAME;
    }

    /// Takes back tokens that were cut from what was admitted.
    pub fn release(&mut self, freed: Tokens) {
        self.used = self.used - freed;
    }

    /// Settles on the engine's own count of a turn. A server that does not count leaves the sum as it is.
    pub fn settle(&mut self, usage: &Usage) {
        let prompt = if usage.prompt > Tokens::ZERO { usage.prompt } else { self.used };
        self.used = prompt + usage.generated;
    }

    /// Learns from an overflow how long the conversation is and how large the window. A window is never learned to be larger
    /// than was known; 0 stands for a number that the engine does not say.
    pub fn learn(&mut self, prompt: Tokens, window: Tokens) {
        if prompt > Tokens::ZERO {
            self.used = prompt;
        }
        if window > Tokens::ZERO {
            self.window = Some(self.window.map_or(window, |known| known.min(window)));
        }
    }

    /// Whether a turn ended because the window was full, not because of the limit on its answer.
    pub fn filled_by(&self, usage: &Usage) -> bool {
        // A batch may end a few tokens before the last cell.
        const SLACK: Tokens = Tokens(8);
        self.window.is_some_and(|window| usage.generated < self.answer && usage.prompt + usage.generated + SLACK >= window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(prompt: u32, generated: u32) -> Usage {
        Usage { prompt: Tokens(prompt), generated: Tokens(generated), ..Usage::default() }
    }

    #[test]
    fn the_room_is_the_window_less_the_conversation_less_the_answer() {
        let mut budget = Budget::new(Some(Tokens(4096)), Tokens(512));
        budget.settle(&usage(1000, 84));
        assert_eq!(budget.room(), Some(Tokens(4096 - 1084 - 512)));
        budget.admit(Tokens(484));
        assert_eq!(budget.room(), Some(Tokens(2000)));
    }

    #[test]
    fn a_long_answer_reserves_no_more_than_a_quarter() {
        assert_eq!(Budget::new(Some(Tokens(4096)), Tokens(8192)).reserve(), Tokens(1024));
    }

    #[test]
    fn shares_leave_something_for_what_follows() {
        let mut budget = Budget::new(Some(Tokens(10_000)), Tokens(1_000));
        budget.settle(&usage(3_000, 0));
        assert_eq!(budget.share(1), Some(Tokens(2_000) - FRAME));
        assert_eq!(budget.share(2), Some(Tokens(1_500) - FRAME));
        budget.settle(&usage(8_700, 0));
        assert_eq!(budget.share(1), Some(Tokens(256) - FRAME), "a small result may take more than its share");
        budget.settle(&usage(9_000, 0));
        assert_eq!(budget.share(1), Some(Tokens::ZERO));
    }

    #[test]
    fn a_window_is_crowded_before_the_largest_result_would_not_fit() {
        let mut budget = Budget::new(Some(Tokens(32_768)), Tokens(4_096));
        assert_eq!(budget.largest_result(), Tokens(2_048));
        let last = 32_768 - 4_096 - 2_048 - FRAME.0;
        budget.settle(&usage(last, 0));
        assert!(!budget.crowded() && !budget.choked(9));
        budget.settle(&usage(last + 1, 0));
        assert!(budget.crowded() && !budget.choked(9) && budget.choked(99));
        // The reserve is what an answer is paid from, a summary too.
        assert!(budget.fits_turn(Tokens(40), budget.summary()) && !budget.fits_turn(Tokens(40), Tokens(7_000)));
        assert_eq!(budget.conversation(Tokens(last - 999)), Tokens(32_768 - 4_096 - 1_000));
        let unknown = Budget::new(None, Tokens(512));
        assert!(!unknown.crowded() && !unknown.choked(9) && unknown.fits_turn(Tokens(1), Tokens(1)));
        assert_eq!(unknown.conversation(Tokens(77)), Tokens(77));
    }

    #[test]
    fn an_overflow_teaches_a_smaller_window_only() {
        let mut budget = Budget::new(None, Tokens(512));
        assert_eq!((budget.room(), budget.share(1)), (None, None));
        budget.learn(Tokens(9000), Tokens::ZERO);
        assert_eq!((budget.used(), budget.window()), (Tokens(9000), None));
        budget.learn(Tokens::ZERO, Tokens(8192));
        budget.learn(Tokens::ZERO, Tokens(65_536));
        assert_eq!((budget.used(), budget.window()), (Tokens(9000), Some(Tokens(8192))));
    }

    #[test]
    fn a_server_that_does_not_count_keeps_the_sum() {
        let mut budget = Budget::new(None, Tokens(512));
        budget.settle(&usage(700, 10));
        budget.admit(Tokens(100));
        budget.settle(&usage(0, 20));
        assert_eq!(budget.used(), Tokens(710 + 100 + 20) + FRAME);
    }

    #[test]
    fn a_full_window_is_told_from_a_long_answer() {
        let budget = Budget::new(Some(Tokens(4096)), Tokens(512));
        assert!(budget.filled_by(&usage(4000, 95)));
        assert!(!budget.filled_by(&usage(1000, 512)));
    }
}
