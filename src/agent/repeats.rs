//! Calls made again and again: the same name, the same arguments, the same result.
//!
//! Two are allowed, since a second look costs little; the third and fourth are refused, the fifth ends the run. An edit that
//! worked makes every result worth asking for again, and so does a command that has not been run like this before: it may have
//! changed anything. A command that only says again what it said makes the readings so.

use crate::protocol::tool::ToolAnswer;
use crate::tools::{CheckedCall, Effect};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Identical calls with an unchanged result that are performed.
const PERFORMED: u32 = 2;
/// Identical calls, the refused ones included, after which the next one ends the run.
const HOPELESS: u32 = 4;

/// What to do with a call, by how often it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    Fresh,
    /// To be refused: made `times` times already.
    Refuse {
        times: u32,
    },
    Hopeless {
        times: u32,
    },
}

#[derive(Debug)]
struct Record {
    call: CheckedCall,
    /// A hash of the result, which may be long.
    result: u64,
    times: u32,
}

impl Record {
    fn is_of(&self, call: &CheckedCall) -> bool {
        self.call.name == call.name && self.call.arguments == call.arguments
    }
}

/// The calls made since something last changed.
#[derive(Debug, Default)]
pub struct Repeats {
    records: Vec<Record>,
}

impl Repeats {
    /// Judges a call before it is performed.
    pub fn judge(&self, call: &CheckedCall) -> Again {
        match self.records.iter().find(|record| record.is_of(call)).map_or(0, |record| record.times) {
            times if times < PERFORMED => Again::Fresh,
            times if times < HOPELESS => Again::Refuse { times },
            times => Again::Hopeless { times },
        }
    }

    /// Notes that a call was performed and what came of it.
    pub fn performed(&mut self, call: &CheckedCall, answer: &ToolAnswer) {
        let result = steady(&answer.text);
        match call.effect {
            Effect::Edit if answer.ok => return self.records.clear(),
            Effect::Run => {
                self.records.retain(|record| record.call.effect != Effect::Read);
                if !self.records.iter().any(|record| record.is_of(call) && record.result == result) {
                    self.records.iter_mut().for_each(|record| record.times = 0);
                }
            }
            Effect::Edit | Effect::Read => {}
        }
        match self.records.iter_mut().find(|record| record.is_of(call)) {
            Some(record) if record.result == result => record.times += 1,
            Some(record) => (record.result, record.times) = (result, 1),
            None => self.records.push(Record { call: call.clone(), result, times: 1 }),
        }
    }

    /// Notes that a call was refused.
    pub fn refused(&mut self, call: &CheckedCall) {
        if let Some(record) = self.records.iter_mut().find(|record| record.is_of(call)) {
            record.times += 1;
        }
    }
}

/// The hash of a result without its decimal fractions: test runners print how long they took, which is no change.
fn steady(text: &str) -> u64 {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if !c.is_ascii_digit() {
            continue;
        }
        let start = out.len() - 1;
        let mut fraction = false;
        while let Some(next) = chars.next_if(|&next| next.is_ascii_digit() || (next == '.' && !fraction)) {
            fraction |= next == '.';
            out.push(next);
        }
        // A full stop after a whole number is none of it.
        if fraction && !out.ends_with('.') {
            out.truncate(start);
            out.push('#');
        }
    }
    let mut hasher = DefaultHasher::new();
    out.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(name: &str, effect: Effect) -> CheckedCall {
        CheckedCall { id: String::new(), name: name.into(), arguments: json!({"a": 1, "b": 2}), effect }
    }

    #[test]
    fn the_third_is_refused_and_the_fifth_is_hopeless() {
        let (mut repeats, read) = (Repeats::default(), call("read", Effect::Read));
        let mut seen = Vec::new();
        for _ in 0..5 {
            let again = repeats.judge(&read);
            seen.push(again);
            match again {
                Again::Fresh => repeats.performed(&read, &ToolAnswer::done("same")),
                _ => repeats.refused(&read),
            }
        }
        use Again::{Fresh, Hopeless, Refuse};
        assert_eq!(seen, [Fresh, Fresh, Refuse { times: 2 }, Refuse { times: 3 }, Hopeless { times: 4 }]);
    }

    #[test]
    fn the_order_of_arguments_makes_no_other_call() {
        let mut repeats = Repeats::default();
        let swapped = CheckedCall { arguments: json!({"b": 2, "a": 1}), ..call("read", Effect::Read) };
        repeats.performed(&call("read", Effect::Read), &ToolAnswer::done("x"));
        repeats.performed(&swapped, &ToolAnswer::done("x"));
        assert_eq!(repeats.judge(&swapped), Again::Refuse { times: 2 });
    }

    /// After two performed calls of `first` and then `between`, is `first` fresh again?
    fn fresh_after(first: Effect, between: Effect, ok: bool) -> bool {
        let mut repeats = Repeats::default();
        for _ in 0..2 {
            repeats.performed(&call("first", first), &ToolAnswer::done("x"));
        }
        repeats.performed(&call("between", between), &ToolAnswer { ok, ..ToolAnswer::done("y") });
        repeats.judge(&call("first", first)) == Again::Fresh
    }

    #[test]
    fn what_may_have_changed_the_result_resets() {
        assert!(fresh_after(Effect::Read, Effect::Edit, true));
        assert!(fresh_after(Effect::Run, Effect::Edit, true));
        assert!(!fresh_after(Effect::Run, Effect::Edit, false), "an edit that failed changed nothing");
        assert!(fresh_after(Effect::Read, Effect::Run, false), "a command may have changed files");
        assert!(fresh_after(Effect::Run, Effect::Run, true), "a new command may have changed files");
        assert!(!fresh_after(Effect::Read, Effect::Read, true));
    }

    #[test]
    fn commands_in_turn_that_say_nothing_new_are_caught() {
        let mut repeats = Repeats::default();
        let commands = ["ls", "pwd"].map(|name| call(name, Effect::Run));
        let performed = (0..10).filter(|at| {
            let command = &commands[at % 2];
            let fresh = repeats.judge(command) == Again::Fresh;
            if fresh {
                repeats.performed(command, &ToolAnswer::done("same"));
            }
            fresh
        });
        assert_eq!(performed.count(), 5);
    }

    #[test]
    fn a_changed_result_resets_but_a_changed_duration_does_not() {
        let (mut repeats, run) = (Repeats::default(), call("run", Effect::Run));
        for text in ["1 failed in 0.31s", "1 failed in 12.02s"] {
            repeats.performed(&run, &ToolAnswer::done(text));
        }
        assert_eq!(repeats.judge(&run), Again::Refuse { times: 2 });
        repeats.performed(&run, &ToolAnswer::done("2 failed in 0.31s"));
        assert_eq!(repeats.judge(&run), Again::Fresh);
    }
}
