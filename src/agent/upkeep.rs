//! The upkeep of the window: when the conversation is made shorter, and how far that goes.
//!
//! Stage follows stage, each only when the one before freed too little: old results become one line each; the model sums up the
//! older steps, which costs its summary and no prefill, since it is asked behind the very prefix that is cached; what was done is
//! listed without it; and where an engine refused the conversation as too long, the latest results are cut.
//!
//! What remains behind the first change is processed anew. So what is compacted is compacted deeply: the first stage is enough
//! only when a third of the room remains at most, so that a token freed costs half a token of prefill. Over ten thousand steps
//! with results of any size that is 1.8 % of the window per step at 4,096 tokens, 1.2 % at 8,192 and 0.8 % at 32,768 (the tests
//! of this module print it).

use crate::context::budget::Budget;
use crate::context::chronicle::Chronicle;
use crate::context::compact::{Draft, Weighed};
use crate::protocol::event::{Compacted, Stage};
use crate::protocol::message::{Call, Message};
use crate::protocol::turn::{Reply, Stop};
use crate::units::Tokens;

/// One part of so many of the room may remain where the first stage is to be enough.
const DEEP: u32 = 3;
/// A summary of fewer tokens is not worth a turn.
const LEAST_SUMMARY: Tokens = Tokens(96);

/// The upkeep of one run's window.
pub struct Upkeep {
    pub budget: Budget,
    pub chronicle: Chronicle,
    /// Messages that nothing changes: the system prompt.
    front: usize,
    /// Messages that the run began with, or that a compaction left of them.
    opening: usize,
    state: State,
    /// It was tried since something was last said.
    tried: bool,
    /// The engine refused the conversation since the last turn.
    overflowed: bool,
    /// The latest results were cut since the last turn.
    cut: bool,
}

/// What is waited for.
enum State {
    Idle,
    Weighing(Box<Draft>),
    Asking(Box<Weighed>),
    Fitting(Fit),
}

/// What has to be done outside before the upkeep can go on.
pub enum Errand {
    /// Count these texts, and tell [`Upkeep::weighed`].
    Weigh(Vec<String>),
    /// Ask the model this, for so many tokens, and tell [`Upkeep::summed_up`].
    Ask(String, Tokens),
    /// Cut these results, and tell [`Upkeep::fitted`].
    Fit(Fit),
}

/// Results that are in the conversation already and have to become shorter.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    pub results: Vec<Overlong>,
    /// By how many tokens. `None`: nobody knows, half is a try.
    pub excess: Option<Tokens>,
    /// So much of the excess is room for a long answer, and can be left where the results are too short for all of it.
    pub spare: Tokens,
}

/// A result in the conversation, with the call that it answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlong {
    /// Its place in the conversation.
    pub at: usize,
    pub call: Call,
    pub text: String,
}

/// Whether the model may be asked for a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    Model,
    None,
}

/// What came of a step of upkeep.
pub enum Kept {
    /// It goes on with an errand, or there is nothing to be done.
    Open,
    Shorter(Compacted),
    /// The engine refuses the conversation, and it cannot be made shorter.
    Full,
}

impl Upkeep {
    /// Begins with a conversation's opening, whether fresh or taken up again.
    pub fn new(budget: Budget, opening: &[Message]) -> Self {
        Self {
            budget,
            chronicle: Chronicle::of(opening),
            front: opening.iter().take_while(|message| matches!(message, Message::System { .. })).count(),
            opening: opening.len(),
            state: State::Idle,
            tried: false,
            overflowed: false,
            cut: false,
        }
    }

    /// Says what is waited for.
    pub fn errand(&self) -> Option<Errand> {
        Some(match &self.state {
            State::Idle => return None,
            State::Weighing(draft) => Errand::Weigh(draft.texts()),
            State::Asking(weighed) => Errand::Ask(weighed.request().0.to_owned(), weighed.bound()),
            State::Fitting(fit) => Errand::Fit(fit.clone()),
        })
    }

    /// Begins a compaction where one is due: before a turn of the model when the largest result would not fit behind it, before
    /// `waiting` calls when nothing of theirs would.
    pub fn look(&mut self, messages: &[Message], waiting: usize) {
        let due = if waiting == 0 { self.budget.crowded() } else { self.budget.choked(waiting) };
        if due && !self.tried && matches!(self.state, State::Idle) {
            self.begin(messages);
        }
    }

    /// Notes that the model made a turn: what did not help before may help now.
    pub fn turned(&mut self, text: &str) {
        self.chronicle.turn(text);
        (self.tried, self.overflowed, self.cut) = (false, false, false);
    }

    /// Notes a call that was answered.
    pub fn called(&mut self, call: &Call, answer: &str) {
        self.chronicle.called(call, answer);
        self.tried = false;
    }

    /// Meets an overflow: the budget has learned from it already.
    pub fn overflow(&mut self, messages: &[Message]) -> Kept {
        self.overflowed = true;
        if self.cut {
            return Kept::Full;
        }
        if self.begin(messages) { Kept::Open } else { self.cut_latest(messages) }
    }

    /// Takes the counts of the texts that were asked for.
    pub fn weighed(&mut self, counts: &[Tokens], messages: &[Message], help: Help) -> Kept {
        let State::Weighing(draft) = std::mem::replace(&mut self.state, State::Idle) else { return Kept::Open };
        let weighed = draft.weigh(counts, |of_it| self.budget.conversation(of_it));
        let stubbed = weighed.stubbed();
        if stubbed.after.0.saturating_mul(DEEP) <= weighed.room().0 && self.enough(&stubbed) {
            return self.shorter(stubbed);
        }
        let (_, request) = weighed.request();
        let worth = weighed.bound() >= LEAST_SUMMARY && frees_half(weighed.before(), weighed.after_summary());
        if help == Help::Model && !self.overflowed && worth && self.budget.fits_turn(request, weighed.bound()) {
            self.state = State::Asking(Box::new(weighed));
            return Kept::Open;
        }
        self.listed(&weighed, messages)
    }

    /// Takes the model's summary. `None`: it gave none. One that was cut off, or calls a tool, is none.
    pub fn summed_up(&mut self, reply: Option<Reply>, messages: &[Message]) -> Kept {
        let State::Asking(weighed) = std::mem::replace(&mut self.state, State::Idle) else { return Kept::Open };
        let usage = reply.as_ref().map(|reply| reply.usage).unwrap_or_default();
        let whole = |reply: &Reply| reply.stop == Stop::End && reply.calls.is_empty() && !reply.text.trim().is_empty();
        if let Some(reply) = reply.filter(whole) {
            let summarized = weighed.summarized(&reply.text, usage);
            if self.enough(&summarized) {
                self.chronicle.summed_up(&reply.text);
                return self.shorter(summarized);
            }
        }
        match self.listed(&weighed, messages) {
            Kept::Shorter(listed) => Kept::Shorter(Compacted { usage, ..listed }),
            other => other,
        }
    }

    /// Takes results that were cut, each with its place, and how many tokens that freed.
    pub fn fitted(&mut self, shortened: Vec<(usize, String)>, freed: Tokens, messages: &[Message]) -> Kept {
        let State::Fitting(_) = std::mem::replace(&mut self.state, State::Idle) else { return Kept::Open };
        let from = shortened.iter().map(|(at, _)| *at).min().unwrap_or(messages.len());
        let mut latest = messages[from..].to_vec();
        for (at, shorter) in shortened {
            if let Some(Message::Tool { text, .. }) = latest.get_mut(at - from) {
                *text = shorter;
            }
        }
        let before = self.budget.used();
        let (stage, usage) = (Stage::Latest, Default::default());
        self.shorter(Compacted { stage, replaced: latest.len(), messages: latest, before, after: before - freed, usage })
    }

    /// Lays the conversation out. Says whether there is anything to make shorter.
    fn begin(&mut self, messages: &[Message]) -> bool {
        self.tried = true;
        let draft = Draft::of(messages, self.opening, &self.chronicle, self.budget.summary());
        let found = draft.is_some();
        self.state = draft.map_or(State::Idle, |draft| State::Weighing(Box::new(draft)));
        found
    }

    fn listed(&mut self, weighed: &Weighed, messages: &[Message]) -> Kept {
        let listed = weighed.listed();
        if self.enough(&listed) {
            self.shorter(listed)
        } else if self.overflowed {
            self.cut_latest(messages)
        } else {
            Kept::Open
        }
    }

    /// Whether a compaction frees enough: half of what could go. Where the last step alone is more than the other half, room for
    /// two of the largest results will do. Behind an overflow it has to leave room at all.
    fn enough(&self, compacted: &Compacted) -> bool {
        let mut budget = self.budget;
        budget.release(compacted.before - compacted.after);
        let largest = self.budget.largest_result();
        let roomy = budget.room().is_some_and(|room| room >= largest + largest);
        let fits = !self.overflowed || budget.room().is_none_or(|room| room > Tokens::ZERO);
        fits && (frees_half(compacted.before, compacted.after) || roomy)
    }

    fn shorter(&mut self, compacted: Compacted) -> Kept {
        self.budget.release(compacted.before - compacted.after);
        if matches!(compacted.stage, Stage::Summary | Stage::Facts) {
            // The person's words are one message now, and notes stand in it for all the rest of the opening.
            self.opening = self.front + 1;
        }
        Kept::Shorter(compacted)
    }

    fn cut_latest(&mut self, messages: &[Message]) -> Kept {
        let results = latest_results(messages);
        if results.is_empty() {
            return Kept::Full;
        }
        self.cut = true;
        // The eighth is a margin for engines whose count is an estimate.
        let excess = self.budget.window().map(|window| self.budget.used() + self.budget.reserve() - window);
        let excess = excess.filter(|excess| *excess > Tokens::ZERO).map(|excess| excess + Tokens(excess.0 / 8));
        self.state = State::Fitting(Fit { results, excess, spare: self.budget.spare() });
        Kept::Open
    }
}

fn frees_half(before: Tokens, after: Tokens) -> bool {
    after.0.saturating_mul(2) <= before.0
}

/// The tool results at a conversation's end, which the model has not read yet.
fn latest_results(messages: &[Message]) -> Vec<Overlong> {
    let behind = messages.iter().rposition(|message| !matches!(message, Message::Tool { .. })).map_or(0, |at| at + 1);
    let calls: &[Call] = match behind.checked_sub(1).and_then(|at| messages.get(at)) {
        Some(Message::Assistant { calls, .. }) => calls,
        _ => &[],
    };
    let results = messages.iter().enumerate().skip(behind);
    let overlong = results.filter_map(|(at, message)| match message {
        Message::Tool { call, text, .. } => {
            let call = calls.iter().find(|made| made.id == *call)?.clone();
            Some(Overlong { at, call, text: text.clone() })
        }
        _ => None,
    });
    overlong.collect()
}
