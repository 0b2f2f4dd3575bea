//! What ranked repair may cost: little beside a loop that follows it, all that is left where it stands alone.

use crate::agent::limits::Limits;
use crate::fix::Strategy;
use crate::prompts::Allowance;
use crate::protocol::turn::{EngineInfo, Profile};
use crate::units::Tokens;
use std::time::Duration;

/// Before a loop, ranked repair may cost one part in so many of what the person allows for the whole.
const SHARE: u32 = 20;
/// The time that stands for that part where the person set no limit.
const UNLIMITED: Duration = Duration::from_secs(60);
/// Turns whose prompts, each a window, stand for the limit of tokens where neither it nor one of steps is set.
const TURNS: u32 = 50;
/// Runs of the tests that search for the first change that passes.
const TRIES: usize = 32;
const TRIES_BEFORE_A_LOOP: usize = 8;
/// How often a model is asked for a change of its own.
const SAMPLES: u32 = 4;

/// The bounds of one ranked repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    pub passages: usize,
    /// Of all passages together.
    pub lines: usize,
    /// Runs of the tests up to the first that passes.
    pub tries: usize,
    /// How often the model is asked for a change of its own.
    pub samples: u32,
    /// For everything up to the choice of a change. `None`: unbounded.
    pub time: Option<Duration>,
    /// For what the model is shown and what it is asked about. `None`: nobody knows the window.
    pub tokens: Option<Tokens>,
    /// For foreign text in the question.
    pub allowance: Allowance,
}

impl Budget {
    /// Divides what the person allows (`set`), of which some is spent (`left`). A micro model is made for ranked repair: it has
    /// no better use for what is left, and its question is the one of its training.
    pub fn of(strategy: Strategy, info: &EngineInfo, set: &Limits, left: &Limits) -> Self {
        // A quarter of the window stays free for the template's own words and for wrong estimates.
        let fits = info.window.map(|window| Tokens(window.0 / 4 * 3));
        let least = |a: Option<Tokens>, b: Option<Tokens>| [a, b].into_iter().flatten().min();
        let full = Self {
            passages: 6,
            lines: 160,
            tries: TRIES,
            samples: SAMPLES,
            time: left.time,
            tokens: least(fits, left.tokens),
            allowance: Allowance::of_window(info.window.map(|window| window.0)),
        };
        match (info.profile, strategy) {
            (Profile::Micro, _) => Self { passages: 3, lines: 48, samples: 0, allowance: Allowance::MICRO, ..full },
            (Profile::Full, Strategy::Repair) => full,
            (Profile::Full, Strategy::Auto | Strategy::Loop) => {
                let time = set.time.map_or(UNLIMITED, |all| all / SHARE);
                let turns = set.steps.unwrap_or(TURNS);
                let all = set.tokens.or(info.window.map(|window| Tokens(window.0.saturating_mul(turns))));
                Self {
                    tries: TRIES_BEFORE_A_LOOP,
                    time: Some(left.time.map_or(time, |left| left.min(time))),
                    tokens: least(full.tokens, all.map(|all| Tokens(all.0 / SHARE))),
                    ..full
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::agent::limits::Limits;
    use crate::fix::Strategy;
    use crate::fix::ranked::budget::Budget;
    use crate::protocol::turn::{EngineInfo, Profile};
    use crate::units::Tokens;
    use std::time::Duration;

    /// Tries, lines, seconds and tokens of a budget with a window of 8,192 tokens, when 90 seconds are gone.
    fn check(strategy: Strategy, profile: Profile, limits: (Option<u64>, Option<u32>, Option<u32>), expected: &str) {
        let info = EngineInfo {
            model: "m".into(),
            window: Some(Tokens(8_192)),
            exact: true,
            thinks: false,
            profile,
            grounds: false,
            forks: 0,
        };
        let (seconds, steps, tokens) = limits;
        let set = Limits { steps, time: seconds.map(Duration::from_secs), tokens: tokens.map(Tokens) };
        let left = Limits { time: set.time.map(|time| time.saturating_sub(Duration::from_secs(90))), ..set };
        let budget = Budget::of(strategy, &info, &set, &left);
        let seconds = budget.time.map_or("-".into(), |time| time.as_secs().to_string());
        let tokens = budget.tokens.map_or("-".into(), |tokens| tokens.to_string());
        assert_eq!(
            format!("{} {} {seconds} {tokens}", budget.tries, budget.lines),
            expected,
            "{strategy:?} {profile:?} {limits:?}"
        );
    }

    #[test]
    fn before_a_loop_it_costs_a_twentieth() {
        let (auto, full) = (Strategy::Auto, Profile::Full);
        check(auto, full, (None, None, None), "8 160 60 6144");
        check(auto, full, (Some(600), Some(50), Some(40_000)), "8 160 30 2000");
        check(auto, full, (Some(100), Some(5), None), "8 160 5 2048");
        check(auto, full, (Some(92), None, None), "8 160 2 6144");
    }

    #[test]
    fn alone_or_with_a_micro_model_it_may_take_what_is_left() {
        check(Strategy::Repair, Profile::Full, (None, None, None), "32 160 - 6144");
        check(Strategy::Repair, Profile::Full, (Some(600), None, Some(4_000)), "32 160 510 4000");
        check(Strategy::Auto, Profile::Micro, (Some(600), None, None), "32 48 510 6144");
    }
}
