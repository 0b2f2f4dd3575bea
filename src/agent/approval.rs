//! Who may do what: a policy for runs that nobody watches, and a person's word for those that somebody does.

use crate::tools::{CheckedCall, Effect};
use std::future::Future;
use std::pin::Pin;

/// What a run may do without asking. Reading inside the project is always allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Reads only.
    Reads,
    /// Reads and edits of files; no commands.
    Edits,
    All,
}

impl Policy {
    /// Whether a call with this effect may run.
    pub fn allows(self, effect: Effect) -> bool {
        match effect {
            Effect::Read => true,
            Effect::Edit => self != Self::Reads,
            Effect::Run => self == Self::All,
        }
    }
}

/// The answer to "may this call run?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    Denied,
}

/// Decides on a call that has an effect. Dropped when the run is cancelled before the answer came; the call is then not run.
pub trait Approve: Send {
    /// Asks about one call. May take as long as a person does.
    fn ask<'a>(&'a mut self, call: &'a CheckedCall) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;
}

/// Answers from a policy, at once.
#[derive(Clone, Copy, Debug)]
pub struct ByPolicy(pub Policy);

impl Approve for ByPolicy {
    fn ask<'a>(&'a mut self, call: &'a CheckedCall) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        let verdict = if self.0.allows(call.effect) { Verdict::Allowed } else { Verdict::Denied };
        Box::pin(std::future::ready(verdict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_allows_what_it_names_and_nothing_above() {
        let row = |policy: Policy| [Effect::Read, Effect::Edit, Effect::Run].map(|effect| policy.allows(effect));
        assert_eq!(row(Policy::Reads), [true, false, false]);
        assert_eq!(row(Policy::Edits), [true, true, false]);
        assert_eq!(row(Policy::All), [true, true, true]);
    }
}
