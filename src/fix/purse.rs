//! What several attempts at once may cost in all: pure, events in, stops out.
//!
//! Each loop knows its own limits alone. Here their steps and tokens are added up as they come, and loops are stopped before
//! more steps can be taken than are left: those first that began last.

use crate::agent::limits::{Cost, Limits};
use crate::protocol::event::{Compacted, Event, Outcome};
use tokio_util::sync::CancellationToken;

/// A budget that loops share.
pub(crate) struct Purse {
    limits: Limits,
    cost: Cost,
    loops: Vec<Loop>,
}

struct Loop {
    stop: CancellationToken,
    ended: bool,
    /// Why it was stopped, where it was.
    stopped: Option<String>,
}

impl Purse {
    /// The budget of loops that these tokens stop, with what was spent before. Time is each loop's own affair.
    pub fn new(limits: Limits, cost: Cost, stops: Vec<CancellationToken>) -> Self {
        let loops = stops.into_iter().map(|stop| Loop { stop, ended: false, stopped: None }).collect();
        Self { limits: Limits { time: None, ..limits }, cost, loops }
    }

    /// Takes an event of one loop.
    pub fn on(&mut self, at: usize, event: &Event) {
        match event {
            Event::Turn { usage, .. } => {
                self.cost.steps += 1;
                self.cost.tokens.add(usage);
            }
            Event::Compacted(Compacted { usage, .. }) => self.cost.tokens.add(usage),
            Event::Done { .. } => self.loops[at].ended = true,
            _ => return,
        }
        let reached = self.limits.reached(&self.cost);
        let left = match (&reached, self.limits.steps) {
            (Some(_), _) => 0,
            (None, Some(steps)) => steps.saturating_sub(self.cost.steps) as usize,
            (None, None) => return,
        };
        let reason = reached.unwrap_or_else(|| {
            let steps = self.limits.steps.unwrap_or_default();
            format!("the {steps} steps that are the limit are left to other attempts")
        });
        let under_way = self.loops.iter_mut().filter(|one| !one.ended && one.stopped.is_none());
        for one in under_way.skip(left) {
            one.stop.cancel();
            one.stopped = Some(reason.clone());
        }
    }

    /// How many loops have said their last.
    pub fn ended(&self) -> usize {
        self.loops.iter().filter(|one| one.ended).count()
    }

    /// What a loop came to: one that was stopped here spent its budget.
    pub fn outcome(&self, at: usize, outcome: Outcome) -> Outcome {
        match (outcome, &self.loops[at].stopped) {
            (Outcome::Interrupted, Some(reason)) => Outcome::Budget { reason: reason.clone() },
            (outcome, _) => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::agent::limits::{Cost, Limits};
    use crate::fix::purse::Purse;
    use crate::protocol::event::{Event, Outcome};
    use crate::protocol::turn::Usage;
    use crate::units::Tokens;
    use tokio_util::sync::CancellationToken;

    fn turn(tokens: u32) -> Event {
        let usage = Usage { prompt: Tokens(tokens), prefilled: Tokens(tokens), ..Usage::default() };
        Event::Turn { step: 1, text: String::new(), thinking: String::new(), calls: Vec::new(), usage }
    }

    fn done() -> Event {
        Event::Done { outcome: Outcome::Interrupted }
    }

    /// Plays turns of 10 tokens (`0`, `1`, …) and ends (`0.`) of four loops; gives which are stopped after each.
    fn check(limits: Limits, events: &str, expected: &str) {
        let stops: Vec<CancellationToken> = (0..4).map(|_| CancellationToken::new()).collect();
        let mut purse = Purse::new(limits, Cost { steps: 2, ..Cost::default() }, stops.clone());
        let mut seen = Vec::new();
        for event in events.split(' ') {
            let at = event.trim_end_matches('.').parse().unwrap();
            purse.on(at, &if event.ends_with('.') { done() } else { turn(10) });
            let stopped = stops.iter().enumerate().filter(|(_, stop)| stop.is_cancelled());
            seen.push(stopped.map(|(at, _)| at.to_string()).collect::<String>());
        }
        assert_eq!(seen.join(","), expected, "{events}");
        for (at, stop) in stops.iter().enumerate() {
            let spent = matches!(purse.outcome(at, Outcome::Interrupted), Outcome::Budget { .. });
            assert_eq!(spent, stop.is_cancelled());
        }
    }

    #[test]
    fn no_more_loops_go_on_than_there_are_steps_left() {
        let steps = |steps| Limits { steps: Some(steps), ..Limits::default() };
        // Two were spent before.
        check(steps(10), "0 1 2 3 0 1 2 3", ",,,,3,23,123,0123");
        check(steps(10), "0 1 2 3 3. 2. 0 1 0 1", ",,,,,,,,1,01");
        check(steps(6), "0 0. 1 2 3", "3,3,3,23,123");
        check(Limits::default(), "0 1 2 3", ",,,");
    }

    #[test]
    fn tokens_stop_all_of_them() {
        let tokens = Limits { tokens: Some(Tokens(35)), ..Limits::default() };
        check(tokens, "0 1 2 3", ",,,0123");
        check(tokens, "0 1. 1 2 3", ",,,,023");
    }
}
