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
/// Tokens that stood together before where a text is being copied, most likely.
const COPY: usize = 12;
/// How long a draft is after a match: some of it will be right.
const SHORT: usize = 3;
/// How long a draft is in a copy: with the token before it a batch of 16, half of the logits that are kept. A processor takes
/// five times as long for four tokens as for one, and eight times as long for sixteen (a core with AVX2, Q8_0): where short
/// drafts cannot pay, long ones may.
pub const LONG: usize = 15;
/// The loss, in tokens' time, after which there are no drafts of a kind for a while; gains count up to as much.
const PATIENCE: f64 = 8.0;
/// For how many tokens there are none, the first time and at most.
const PAUSE: usize = 128;
const LONGEST_PAUSE: usize = 2048;
/// How often in a row a draft must have taken longer than all of its tokens one by one, to be hopeless.
const HOPELESS: u32 = 2;
/// Tokens that are drawn one by one before a turn's first draft, to know what one costs, and after how many drafts one is again:
/// a grammar or a deeper window makes all of them dearer.
const MEASURED: usize = 3;
const FRESH: usize = 16;
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

    /// Whether the last tokens stood before and many before them too: a text is being copied.
    fn copies(&self) -> bool {
        let place = self.last().and_then(|last| self.places.get(&last));
        let tail = |end: usize| end.checked_sub(COPY).map(|start| &self.text[start..end]);
        place.is_some_and(|place| tail(*place).is_some_and(|before| Some(before) == tail(self.text.len())))
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
    /// Drafts since the last one.
    since: usize,
    short: Account,
    long: Account,
}

/// The same for drafts of one length.
#[derive(Clone, Debug, Default)]
struct Account {
    /// Tokens' time that drafts have saved, less what they cost.
    balance: f64,
    /// How many in a row could not have paid, had they been right.
    hopeless: u32,
    /// Tokens until there are drafts again.
    pause: usize,
    pauses: u32,
}

impl Payoff {
    /// A turn begins: what a token cost in the last one says little.
    pub fn begin(&mut self) {
        self.measured = 0;
    }

    /// How long the next draft may be; 0 where it does not pay.
    pub fn length(&self, index: &Index) -> usize {
        let (account, length) = if index.copies() { (&self.long, LONG) } else { (&self.short, SHORT) };
        if self.measured < MEASURED || self.since >= FRESH || account.pause > 0 { 0 } else { length }
    }

    /// A token was drawn without a draft.
    pub fn alone(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.single = if self.measured == 0 { took } else { self.single + NEWEST * (took - self.single) };
        self.measured += 1;
        self.since = 0;
        for account in [&mut self.short, &mut self.long] {
            account.pause = account.pause.saturating_sub(1);
        }
    }

    /// A draft was processed, and so many tokens of it were drawn, besides the one that follows them.
    pub fn drafted(&mut self, length: usize, accepted: usize, took: Duration) {
        let account = if length > SHORT { &mut self.long } else { &mut self.short };
        self.since += 1;
        let cost = took.as_secs_f64() / self.single.max(1e-9);
        account.balance = (account.balance + (accepted + 1) as f64 - cost).min(PATIENCE);
        account.hopeless = if cost >= (length + 1) as f64 { account.hopeless + 1 } else { 0 };
        let hopeless = account.hopeless >= HOPELESS;
        if hopeless || account.balance < -PATIENCE {
            let pause = if hopeless { LONGEST_PAUSE } else { PAUSE << account.pauses.min(16) };
            *account = Account { pause: pause.min(LONGEST_PAUSE), pauses: account.pauses + 1, ..Account::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::embedded::drafts::{FRESH, Index, LONG, LONGEST_PAUSE, MATCH, MEASURED, PAUSE, Payoff, SHORT};
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
            assert_eq!(payoff.length(&index(true)), 0);
            payoff.alone(Duration::from_millis(10));
        }
        payoff
    }

    /// A text whose end stood before, alone or with much before it.
    fn index(copies: bool) -> Index {
        let text = "let x = some(words, that, are, copied)";
        let index = Index::of(&tokens(&if copies { format!("{text}; {text}") } else { format!("{text}; fn x(y, copied") }));
        assert_eq!(index.copies(), copies);
        index
    }

    #[test]
    fn what_is_copied_is_drafted_at_length() {
        let mut payoff = measured();
        assert_eq!([false, true].map(|copies| payoff.length(&index(copies))), [SHORT, LONG]);
        for _ in 0..FRESH / 2 - 1 {
            payoff.drafted(LONG, LONG, Duration::from_millis(100));
            payoff.drafted(SHORT, SHORT, Duration::from_millis(50));
        }
        assert_eq!([false, true].map(|copies| payoff.length(&index(copies))), [0, LONG], "each kind by itself");
    }

    #[test]
    fn what_cannot_pay_is_given_up_at_once() {
        let (index, mut payoff) = (index(false), measured());
        for _ in 0..2 {
            assert_eq!(payoff.length(&index), SHORT);
            payoff.drafted(SHORT, SHORT, Duration::from_millis(45));
        }
        for _ in 0..LONGEST_PAUSE {
            assert_eq!(payoff.length(&index), 0);
            payoff.alone(Duration::from_millis(10));
        }
        assert_eq!(payoff.length(&index), SHORT, "the machine may have been busy");
    }

    #[test]
    fn where_they_do_not_pay_they_stop_and_are_tried_more_and_more_seldom() {
        for copies in [false, true] {
            let (index, mut payoff, mut tries) = (index(copies), measured(), Vec::new());
            for token in 0..2_000 {
                match payoff.length(&index) {
                    0 => payoff.alone(Duration::from_millis(10)),
                    length => {
                        payoff.drafted(length, 0, Duration::from_millis(35));
                        tries.push(token);
                    }
                }
            }
            assert!(tries.len() < 25, "{} tries", tries.len());
            let gaps: Vec<_> = tries.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 1).collect();
            assert!(gaps.is_sorted() && gaps[0] > PAUSE, "{gaps:?}");
        }
    }
}
