//! Drafts from what was said: where the last few tokens stood before, what followed then is likely to follow again, as in code
//! that is copied.
//!
//! Pure: a draft is a guess at the next tokens, processed in one batch with the token before them; whether it is right the
//! sampler says, which draws every token itself. Whether guessing pays depends on the machine (a processor takes nearly as
//! long for four tokens as for four times one, an accelerator does not) and on the text, so both are measured as the turn is
//! written: when drafts have cost more than they saved, there are none for a while, and for longer each time.

use crate::engine::llama::Token;
use std::collections::HashMap;
use std::time::Duration;

/// Tokens that must have stood together before. Three are found by chance in any source file; four seldom.
const MATCH: usize = 4;
/// The longest draft: with the token before it a batch of 16, which is what a processor's kernels like best, and half of the
/// logits that are kept.
pub const LONGEST: usize = 15;
/// How long the first draft is.
const FIRST: usize = 3;
/// The loss, in tokens' time, after which there are no drafts for a while; gains count up to as much.
const PATIENCE: f64 = 4.0;
/// For how many tokens there are none, the first time and at most.
const PAUSE: usize = 32;
const LONGEST_PAUSE: usize = 2048;
/// Tokens that are drawn one by one before the first draft, to know what one costs.
const MEASURED: usize = 3;
/// How much the newest measurement counts.
const NEWEST: f64 = 0.2;

/// Where each few tokens of a text stood last.
#[derive(Default)]
pub struct Index {
    text: Vec<Token>,
    /// The place behind them.
    places: HashMap<[Token; MATCH], usize>,
}

impl Index {
    pub fn of(text: &[Token]) -> Self {
        let mut index = Self::default();
        text.iter().for_each(|token| index.push(*token));
        index
    }

    pub fn push(&mut self, token: Token) {
        // The last tokens themselves are not a place where they stood before.
        if let Some(last) = self.last() {
            self.places.insert(last, self.text.len());
        }
        self.text.push(token);
    }

    /// What followed when the last tokens stood before, at most `most` of it.
    pub fn follow(&self, most: usize) -> &[Token] {
        let place = self.last().and_then(|last| self.places.get(&last));
        place.map_or(&[], |place| &self.text[*place..self.text.len().min(place + most)])
    }

    fn last(&self) -> Option<[Token; MATCH]> {
        self.text.last_chunk().copied()
    }
}

/// What drafts cost and save.
#[derive(Clone, Debug, Default)]
pub struct Payoff {
    /// Seconds of a token drawn by itself.
    single: f64,
    measured: usize,
    length: usize,
    /// Tokens' time that drafts have saved, less what they cost.
    balance: f64,
    /// Tokens until there are drafts again.
    pause: usize,
    pauses: u32,
}

impl Payoff {
    /// How long the next draft may be; 0 where it does not pay.
    pub fn length(&self) -> usize {
        if self.measured < MEASURED || self.pause > 0 { 0 } else { self.length.clamp(FIRST, LONGEST) }
    }

    /// A token was drawn without a draft.
    pub fn alone(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.single = if self.measured == 0 { took } else { self.single + NEWEST * (took - self.single) };
        self.measured += 1;
        self.pause = self.pause.saturating_sub(1);
    }

    /// A draft was processed, and so many tokens of it were drawn, besides the one that follows them.
    pub fn drafted(&mut self, length: usize, accepted: usize, took: Duration) {
        let saved = (accepted + 1) as f64 - took.as_secs_f64() / self.single.max(1e-9);
        self.balance = (self.balance + saved).min(PATIENCE);
        self.length = if accepted == length { length * 2 } else { accepted.max(FIRST) };
        if self.balance < -PATIENCE {
            self.pause = (PAUSE << self.pauses.min(16)).min(LONGEST_PAUSE);
            self.pauses += 1;
            self.balance = 0.0;
            self.length = FIRST;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::embedded::drafts::{FIRST, Index, LONGEST, MATCH, MEASURED, PAUSE, Payoff};
    use crate::engine::llama::Token;
    use proptest::prelude::*;
    use std::time::Duration;

    fn tokens(text: &str) -> Vec<Token> {
        text.bytes().map(|b| Token(i32::from(b))).collect()
    }

    #[test]
    fn what_followed_last_time_is_the_guess() {
        let index = Index::of(&tokens("let abcd = 1; let abcd"));
        assert_eq!(index.follow(4), tokens(" = 1"));
        assert_eq!(index.follow(100), tokens(" = 1; let abcd"));
        assert_eq!(Index::of(&tokens("abcdX abcdY abcd")).follow(1), tokens("Y"), "the latest place");
        assert_eq!(Index::of(&tokens("abcd")).follow(9), []);
        assert_eq!(Index::of(&tokens("aaaaa")).follow(9), tokens("a"), "a place may reach into the last tokens");
    }

    proptest! {
        #[test]
        fn a_guess_is_what_stood_behind_the_same_tokens(text in proptest::collection::vec(0..3, 0..80), most in 0usize..20) {
            let text: Vec<Token> = text.into_iter().map(Token).collect();
            let index = Index::of(&text);
            let guess = index.follow(most);
            prop_assert!(guess.len() <= most);
            if !guess.is_empty() {
                let whole = [&text[text.len() - MATCH..], guess].concat();
                prop_assert!(text.windows(whole.len()).any(|part| part == whole));
            }
        }
    }

    /// A payoff that knows what a token costs.
    fn measured() -> Payoff {
        let mut payoff = Payoff::default();
        for _ in 0..MEASURED {
            assert_eq!(payoff.length(), 0);
            payoff.alone(Duration::from_millis(10));
        }
        payoff
    }

    #[test]
    fn drafts_grow_while_they_are_right_and_cheap() {
        let mut payoff = measured();
        let mut lengths = Vec::new();
        for _ in 0..4 {
            let length = payoff.length();
            lengths.push(length);
            payoff.drafted(length, length, Duration::from_millis(15));
        }
        assert_eq!(lengths, [FIRST, 6, 12, LONGEST]);
        payoff.drafted(LONGEST, 5, Duration::from_millis(15));
        assert_eq!(payoff.length(), 5);
    }

    #[test]
    fn where_they_do_not_pay_they_stop_and_are_tried_more_and_more_seldom() {
        let mut payoff = measured();
        let mut tries = Vec::new();
        for token in 0..2_000 {
            match payoff.length() {
                0 => payoff.alone(Duration::from_millis(10)),
                length => {
                    payoff.drafted(length, 0, Duration::from_millis(30));
                    tries.push(token);
                }
            }
        }
        assert!(tries.len() < 30, "{} tries", tries.len());
        let gaps: Vec<_> = tries.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 1).collect();
        assert!(gaps.is_sorted() && gaps[0] > PAUSE, "{gaps:?}");
        // Right, and yet too dear.
        let mut payoff = measured();
        (0..8).for_each(|_| payoff.drafted(3, 3, Duration::from_millis(60)));
        assert_eq!(payoff.length(), 0);
    }
}
