//! What was done, noted as it happens: files read and changed, commands and how they ended, the last error, the plan.
//!
//! This is what a compaction can tell without asking the model. It is read from calls and their answers alone, so a conversation
//! that is taken up again gives the same notes as one that never ended.

use crate::context::heading::{heading, path_of, says_changed};
use crate::prompts::compaction::{self, Changed, Facts, Ran, Read};
use crate::protocol::message::{Call, Message};
use crate::text::{clip, diff};
use serde_json::Value;

/// Entries of a kind that are told; the latest are.
const ENTRIES: usize = 16;
/// Ranges that are told of one file.
const RANGES: usize = 3;
/// Characters of a command.
const COMMAND: usize = 80;
/// Bytes of an error.
const ERROR: usize = 200;
/// Bytes of a plan: a longer one keeps both ends.
const PLAN: usize = 800;

/// The notes on a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chronicle {
    facts: Facts,
    plan: Option<String>,
    /// The notes on steps that are gone, as the last summary worded them.
    earlier: Option<String>,
}

impl Chronicle {
    /// The notes on a conversation that was held before.
    pub fn of(messages: &[Message]) -> Self {
        let mut chronicle = Self::default();
        let mut made: &[Call] = &[];
        for message in messages {
            match message {
                Message::Assistant { text, calls, .. } => {
                    chronicle.turn(text);
                    made = calls;
                }
                Message::Tool { call, text, .. } => {
                    if let Some(call) = made.iter().find(|made| made.id == *call) {
                        chronicle.called(call, text);
                    }
                }
                Message::User { text } => {
                    if let Some(notes) = compaction::notes_in(text) {
                        chronicle.summed_up(notes);
                    }
                }
                Message::System { .. } => {}
            }
        }
        chronicle
    }

    /// Notes what the model said. The last list in its words counts as its plan.
    pub fn turn(&mut self, text: &str) {
        let is_item = |line: &str| {
            let rest = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
            ["- ", "* ", ". ", ") "].iter().any(|mark| rest.starts_with(mark))
        };
        let lines: Vec<&str> = text.lines().collect();
        let (first, last) = (lines.iter().position(|line| is_item(line)), lines.iter().rposition(|line| is_item(line)));
        if let (Some(first), Some(last)) = (first, last)
            && first < last
        {
            self.plan = Some(clip::middle(&lines[first..=last].join("\n"), PLAN).into_owned());
        }
    }

    /// Notes a call and its answer.
    pub fn called(&mut self, call: &Call, answer: &str) {
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
        let first = answer.lines().next().unwrap_or_default();
        match call.name.as_str() {
            "read" => self.read(answer),
            "edit" | "write" if says_changed(first) => {
                self.changed(path_of(&call.arguments), lines_changed(&arguments));
            }
            "run" => {
                let end = first.split(", no output").next().unwrap_or_default();
                self.ran(arguments["command"].as_str().unwrap_or_default(), end, answer);
            }
            "edit" | "write" => self.facts.failed = Some(clip::prefix(first, ERROR).to_owned()),
            _ => {}
        }
    }

    /// Notes how removed steps were summed up.
    pub fn summed_up(&mut self, notes: &str) {
        self.earlier = Some(notes.to_owned());
    }

    /// The model's plan, in its own words.
    pub fn plan(&self) -> Option<&str> {
        self.plan.as_deref()
    }

    /// The files that were changed, one line each.
    pub fn changes(&self) -> Vec<String> {
        compaction::facts(&Facts { changed: self.facts.changed.clone(), ..Facts::default() })
    }

    /// All notes but the plan, one line each, in the order in which they must not be forgotten.
    pub fn lines(&self) -> Vec<String> {
        let Facts { read, .. } = &self.facts;
        let mut lines = compaction::facts(&Facts { read: Vec::new(), ..self.facts.clone() });
        let earlier = self.earlier.iter().flat_map(|notes| notes.lines()).map(str::trim);
        for line in earlier.filter(|line| !line.is_empty()) {
            if !lines.iter().any(|known| known == line) {
                lines.push(line.to_owned());
            }
        }
        lines.extend(compaction::facts(&Facts { read: read.clone(), ..Facts::default() }));
        lines
    }

    fn read(&mut self, answer: &str) {
        let Some(shown) = heading(answer) else { return };
        let range = format!("{}-{}", shown.first, shown.last);
        let known = self.facts.read.iter().position(|read| read.path == shown.path).map(|at| self.facts.read.remove(at));
        let mut ranges: Vec<String> = known.map(|read| read.lines.split(", ").map(str::to_owned).collect()).unwrap_or_default();
        ranges.retain(|known| *known != range);
        ranges.push(range);
        let lines = ranges[ranges.len().saturating_sub(RANGES)..].join(", ");
        note(&mut self.facts.read, Read { path: shown.path.to_owned(), lines });
    }

    fn changed(&mut self, path: String, (added, removed): (usize, usize)) {
        let known = self.facts.changed.iter().position(|file| file.path == path).map(|at| self.facts.changed.remove(at));
        let (before, gone) = known.map_or((0, 0), |file| (file.added, file.removed));
        note(&mut self.facts.changed, Changed { path, added: before + added, removed: gone + removed });
    }

    fn ran(&mut self, command: &str, end: &str, answer: &str) {
        let line = clip::line(command.trim(), COMMAND).into_owned();
        self.facts.ran.retain(|ran| ran.line != line);
        note(&mut self.facts.ran, Ran { line, end: end.to_owned() });
        // A verdict stands at the end of an output.
        let failed = (!end.starts_with("exit code 0")).then(|| clip::suffix(answer.trim(), ERROR).trim().to_owned());
        self.facts.failed = failed;
    }
}

/// Puts an entry first, and lets the oldest go.
fn note<T>(entries: &mut Vec<T>, entry: T) {
    entries.insert(0, entry);
    entries.truncate(ENTRIES);
}

/// Lines that a call of `edit` or `write` added and removed, by its arguments.
fn lines_changed(arguments: &Value) -> (usize, usize) {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let of = |edit: &Value| -> (usize, usize) {
        let hunks = diff::hunks(&(text(edit, "search") + "\n"), &(text(edit, "replace") + "\n"), 0);
        let count = |mark: char| hunks.lines().filter(|line| line.starts_with(mark)).count();
        (count('+'), count('-'))
    };
    if let Some(content) = arguments["content"].as_str() {
        return (content.lines().count(), 0);
    }
    let edits = arguments["edits"].as_array().cloned().unwrap_or_else(|| vec![arguments.clone()]);
    edits.iter().map(of).fold((0, 0), |(a, r), (added, removed)| (a + added, r + removed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(name: &str, arguments: Value) -> Call {
        Call { id: "a".into(), name: name.into(), arguments: arguments.to_string() }
    }

    #[test]
    fn what_was_done_is_told_the_latest_first() {
        let mut chronicle = Chronicle::default();
        let read = |range: &str| (call("read", json!({"path": "a.rs"})), format!("a.rs lines {range} of 90\n..."));
        for range in ["1-50", "51-90", "1-50"] {
            let (call, text) = read(range);
            chronicle.called(&call, &text);
        }
        let edit = json!({"path": "./a.rs", "search": "x\ny", "replace": "x\nz\nw"});
        chronicle.called(&call("edit", edit.clone()), "edited a.rs at line 3");
        chronicle.called(&call("edit", edit), "the search does not stand in the file (`a.rs`); nothing was changed");
        chronicle.called(&call("write", json!({"path": "b.rs", "content": "1\n2\n"})), "created b.rs, 2 lines");
        chronicle.called(&call("run", json!({"command": "cargo test"})), "exit code 101\nrunning 1 test\nleft: 3, right: 4");
        chronicle.called(&call("run", json!({"command": "true"})), "exit code 0, no output");
        chronicle.called(&call("search", json!({"pattern": "x"})), "3 matches");
        let told = [
            "changed b.rs +2 -0",
            "changed a.rs +2 -1",
            "ran true: exit code 0",
            "ran cargo test: exit code 101",
            "read a.rs 51-90, 1-50",
        ];
        assert_eq!(chronicle.lines(), told);
        assert_eq!(chronicle.changes(), told[..2]);
    }

    #[test]
    fn the_last_error_is_told_until_a_command_succeeds() {
        let mut chronicle = Chronicle::default();
        let run = call("run", json!({"command": "test"}));
        chronicle.called(&run, "exit code 1\nleft: 3\nright: 4");
        assert_eq!(chronicle.lines(), ["last error: exit code 1 left: 3 right: 4", "ran test: exit code 1"]);
        chronicle.called(&run, "exit code 0\nok");
        assert_eq!(chronicle.lines(), ["ran test: exit code 0"]);
    }

    #[test]
    fn the_last_list_is_the_plan() {
        let mut chronicle = Chronicle::default();
        chronicle.turn("I look at it.\n- one thing");
        assert_eq!(chronicle.plan(), None);
        chronicle.turn("Plan:\n1. find it\n   in a.rs\n2. change it\n\nI begin.");
        chronicle.turn("Now the second.");
        assert_eq!(chronicle.plan(), Some("1. find it\n   in a.rs\n2. change it"));
    }

    #[test]
    fn a_conversation_that_is_taken_up_again_gives_the_same_notes() {
        let calls = vec![Call { id: "1".into(), ..call("read", json!({"path": "a"})) }];
        let said = [
            Message::User { text: format!("Fix it.\n\n{}", compaction::so_far("changed z +1 -1\nIt is in a.")) },
            Message::Assistant { text: "- a\n- b".into(), thinking: String::new(), calls },
            Message::Tool { call: "1".into(), name: "read".into(), text: "a lines 1-2 of 2\nx".into() },
        ];
        let chronicle = Chronicle::of(&said);
        assert_eq!(chronicle.lines(), ["changed z +1 -1", "It is in a.", "read a 1-2"]);
        assert_eq!(chronicle.plan(), Some("- a\n- b"));
    }
}
