//! What a run may cost, and what it has cost.

use crate::protocol::turn::Usage;
use crate::units::Tokens;
use std::time::Duration;

/// What a run may cost. `None`: unbounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub steps: Option<u32>,
    pub time: Option<Duration>,
    /// Prompt tokens that were processed plus tokens generated.
    pub tokens: Option<Tokens>,
}

/// Tokens over a whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Spent {
    pub prompt: Tokens,
    pub prefilled: Tokens,
    pub reused: Tokens,
    pub generated: Tokens,
}

impl Spent {
    /// Adds what a turn cost.
    pub fn add(&mut self, usage: &Usage) {
        self.prompt += usage.prompt;
        self.prefilled += usage.prefilled;
        self.reused += usage.reused;
        self.generated += usage.generated;
    }
}

/// A run's cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub steps: u32,
    pub elapsed: Duration,
    pub tokens: Spent,
}

impl Limits {
    /// Names the limit that is reached, in one sentence for the person.
    pub fn reached(&self, cost: &Cost) -> Option<String> {
        if let Some(steps) = self.steps.filter(|&limit| cost.steps >= limit) {
            return Some(format!("the limit of {steps} steps is reached"));
        }
        if let Some(reason) = self.time_reached(cost.elapsed) {
            return Some(reason);
        }
        let worked = cost.tokens.prefilled + cost.tokens.generated;
        let tokens = self.tokens.filter(|&limit| worked >= limit)?;
        Some(format!("the limit of {tokens} tokens is reached ({worked} were processed)"))
    }

    /// Whether a quarter of every limit is left: work that only saves later work is worth it then.
    pub fn leave_a_quarter(&self, cost: &Cost) -> bool {
        let quarter = |limit: f64, spent: f64| limit - spent >= limit / 4.0;
        let worked = cost.tokens.prefilled + cost.tokens.generated;
        self.steps.is_none_or(|limit| quarter(limit.into(), cost.steps.into()))
            && self.time.is_none_or(|limit| quarter(limit.as_secs_f64(), cost.elapsed.as_secs_f64()))
            && self.tokens.is_none_or(|limit| quarter(limit.0.into(), worked.0.into()))
    }

    /// Names the limit of time when it is reached.
    pub fn time_reached(&self, elapsed: Duration) -> Option<String> {
        let time = self.time.filter(|&limit| elapsed >= limit)?;
        Some(format!("the limit of {} seconds is reached", time.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_named_when_reached_and_not_before() {
        let limits = Limits { steps: Some(3), time: Some(Duration::from_secs(60)), tokens: Some(Tokens(100)) };
        let cost = |steps, seconds, prefilled, generated| Cost {
            steps,
            elapsed: Duration::from_secs(seconds),
            tokens: Spent {
                prefilled: Tokens(prefilled),
                generated: Tokens(generated),
                reused: Tokens(9_999),
                prompt: Tokens(9_999),
            },
        };
        assert_eq!(limits.reached(&cost(2, 59, 60, 39)), None, "reused tokens cost nothing");
        assert!(limits.reached(&cost(3, 0, 0, 0)).unwrap().contains("3 steps"));
        assert!(limits.reached(&cost(0, 60, 0, 0)).unwrap().contains("60 seconds"));
        assert!(limits.reached(&cost(0, 0, 60, 40)).unwrap().contains("100 tokens"));
        let quarter = [cost(0, 45, 0, 0), cost(0, 46, 0, 0), cost(0, 0, 40, 35), cost(0, 0, 40, 36), cost(3, 0, 0, 0)];
        assert_eq!(quarter.map(|cost| limits.leave_a_quarter(&cost)), [true, false, true, false, false]);
        assert_eq!(Limits::default().reached(&cost(u32::MAX, u64::MAX, 1, 1)), None);
    }
}
