//! The calls of a turn that have no answer yet, in the order in which they were made and will be answered.

use crate::agent::intake::{Taken, failure};
use crate::agent::nudges::{Nudge, Voice};
use crate::protocol::message::Call;
use crate::protocol::tool::ToolFailure;
use crate::tools::CheckedCall;
use std::collections::VecDeque;

/// A call without an answer.
#[derive(Debug)]
pub enum Pending {
    Refused(Call, ToolFailure),
    Wanted(Call, CheckedCall),
    Allowed(Call, CheckedCall),
}

/// The calls that are open.
#[derive(Debug, Default)]
pub struct Open(VecDeque<Pending>);

impl Open {
    /// Takes the calls of a turn. Behind one that cannot be run nothing runs: what follows was made for its result. Says
    /// whether any of them can be run.
    pub fn take(&mut self, taken: Vec<Taken>, voice: &Voice, check: impl Fn(&Call) -> Result<CheckedCall, ToolFailure>) -> bool {
        let mut bad: Option<String> = None;
        for taken in taken {
            let checked = match &bad {
                Some(after) => Err(failure("skipped", voice, &Nudge::Skipped { after })),
                None => taken.check(voice, &check),
            };
            self.0.push_back(match checked {
                Ok(checked) => Pending::Wanted(taken.call, checked),
                Err(failure) => {
                    bad.get_or_insert_with(|| taken.call.name.clone());
                    Pending::Refused(taken.call, failure)
                }
            });
        }
        self.waiting() > 0
    }

    /// How many calls may still run.
    pub fn waiting(&self) -> usize {
        self.0.iter().filter(|pending| !matches!(pending, Pending::Refused(..))).count()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out the next call.
    pub fn next(&mut self) -> Option<Pending> {
        self.0.pop_front()
    }

    /// Puts a call in front of the others: it stays the next one.
    pub fn put_back(&mut self, pending: Pending) {
        self.0.push_front(pending);
    }

    /// Takes out all calls, each with why it will not run, or not end.
    pub fn close(&mut self, voice: &Voice) -> Vec<(Call, ToolFailure)> {
        let closed = std::mem::take(&mut self.0).into_iter().map(|pending| match pending {
            Pending::Refused(call, failure) => (call, failure),
            Pending::Wanted(call, _) => (call, failure("interrupted", voice, &Nudge::Interrupted)),
            Pending::Allowed(call, _) => (call, failure("interrupted", voice, &Nudge::Stopped)),
        });
        closed.collect()
    }
}
