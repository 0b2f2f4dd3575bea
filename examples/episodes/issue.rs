//! What a person might write about a bug: templates with choices and slots, filled for one injected bug.

use crate::chance::Chance;
use crate::naming::{is_known, spelled};
use agent::repair::{Candidate, Kind, Passage};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// How much an issue tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The wrong and the right token.
    Explicit,
    /// The symptom.
    Hinted,
    /// The function.
    Vague,
}

/// `models/micro/issues.toml`.
#[derive(Deserialize)]
pub struct Texts {
    pub train: Templates,
    pub held: Templates,
}

#[derive(Deserialize)]
pub struct Templates {
    replace: Vec<String>,
    insert: Vec<String>,
    delete: Vec<String>,
    swap: Vec<String>,
    quoted: Vec<String>,
    vague: Vec<String>,
    reports: Vec<String>,
    asides: Vec<String>,
    noun: BTreeMap<Kind, Vec<String>>,
    hinted: BTreeMap<Kind, Vec<String>>,
}

/// A bug as its reporter knows it.
pub struct Bug<'a> {
    pub function: &'a str,
    /// The change that mends it: from what stands there to what should.
    pub mending: &'a Candidate,
    /// The shown code, with the bug.
    pub passages: &'a [Passage],
}

pub fn texts(path: &Path) -> Result<Texts> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    toml::from_str(&text).with_context(|| format!("`{}` holds no templates", path.display()))
}

/// The marks that one person puts around code.
struct Hand {
    code: &'static str,
    function: Mark,
}

enum Mark {
    Backquotes,
    Plain,
    Call,
    CallInBackquotes,
}

impl Templates {
    /// An issue about a bug that says as much as `level` allows.
    pub fn issue(&self, bug: &Bug<'_>, level: Level, chance: &mut Chance) -> String {
        let hand = Hand {
            code: ["`", "", "'", "\""][chance.weighed(&[58, 17, 13, 12])],
            function: match chance.weighed(&[58, 22, 10, 10]) {
                0 => Mark::Backquotes,
                1 => Mark::Plain,
                2 => Mark::Call,
                _ => Mark::CallInBackquotes,
            },
        };
        let slots = Slots { templates: self, bug, hand };
        let said = slots.filled(self.statement(bug.mending, level, chance), None, chance);
        let text = match chance.weighed(&[68, 20, 12]) {
            0 => return slots.finished(said, chance),
            1 => chance.pick(&self.reports),
            _ => chance.pick(&self.asides),
        };
        slots.filled(text, Some(&said), chance)
    }

    fn statement(&self, mending: &Candidate, level: Level, chance: &mut Chance) -> &str {
        let all: &[String] = match level {
            Level::Vague => &self.vague,
            Level::Hinted => &self.hinted[&mending.kind],
            Level::Explicit if chance.percent(12) => &self.quoted,
            Level::Explicit if mending.kind == Kind::Swap => &self.swap,
            Level::Explicit if mending.removed.is_empty() => &self.insert,
            Level::Explicit if mending.added.is_empty() => &self.delete,
            Level::Explicit => &self.replace,
        };
        chance.pick(all).as_str()
    }
}

struct Slots<'a> {
    templates: &'a Templates,
    bug: &'a Bug<'a>,
    hand: Hand,
}

impl Slots<'_> {
    fn filled(&self, template: &str, said: Option<&str>, chance: &mut Chance) -> String {
        let chosen = chosen(template, chance);
        let mut text = String::new();
        let mut rest = chosen.as_str();
        while let Some((before, (slot, after))) = rest.split_once('{').and_then(|(a, b)| Some((a, b.split_once('}')?))) {
            text.push_str(before);
            let value = self.value(slot, said, chance);
            let begins = text.is_empty() || text.ends_with(". ");
            text.push_str(&if slot == "say" { self.cased(&value, begins) } else { value });
            // A sentence that ends by itself needs no stop.
            rest = if text.ends_with('?') { after.trim_start_matches('.') } else { after };
        }
        text.push_str(rest);
        text
    }

    fn value(&self, slot: &str, said: Option<&str>, chance: &mut Chance) -> String {
        let (bug, mending) = (self.bug, self.bug.mending);
        match slot {
            "function" => self.function(),
            "function_bare" => bug.function.to_owned(),
            "wrong" => self.code(&mending.removed, chance),
            "right" => self.code(&mending.added, chance),
            "line" => mending.old.trim().to_owned(),
            "fixed" => mending.new.trim().to_owned(),
            "noun" => chance.pick(&self.templates.noun[&mending.kind]).clone(),
            "near" => self.near(chance),
            "other" => self.other(chance),
            "call" => format!("`{}({})`", bug.function, arguments(chance)),
            "value" | "value2" => value(chance),
            "say" => said.unwrap_or_default().to_owned(),
            _ => String::new(),
        }
    }

    fn function(&self) -> String {
        let name = self.bug.function;
        match self.hand.function {
            Mark::Backquotes => format!("`{name}`"),
            Mark::Plain => name.to_owned(),
            Mark::Call => format!("{name}()"),
            Mark::CallInBackquotes => format!("`{name}()`"),
        }
    }

    fn code(&self, token: &str, chance: &mut Chance) -> String {
        let mark = self.hand.code;
        let dot = if self.bug.mending.kind == Kind::Member && chance.percent(30) { "." } else { "" };
        format!("{mark}{dot}{token}{mark}")
    }

    fn finished(&self, said: String, chance: &mut Chance) -> String {
        const BEFORE: &[&str] = &["Bug: ", "bug: ", "Fix: ", "Problem: ", "Hello, ", "URGENT: ", "Note: "];
        let said = if chance.percent(40) { self.cased(&said, true) } else { said };
        let said = if chance.percent(8) { format!("{}{said}", chance.pick(BEFORE)) } else { said };
        if chance.percent(45) && !said.ends_with(['?', '.', '`']) { said + "." } else { said }
    }

    /// A sentence as it begins or goes on. Names keep their case.
    fn cased(&self, text: &str, begins: bool) -> String {
        let first = text.split([' ', ',', ':']).next().unwrap_or_default();
        let plain = first.chars().all(|c| c.is_ascii_alphabetic()) && first.chars().skip(1).all(|c| c.is_ascii_lowercase());
        let name = first == self.bug.function || first == self.bug.mending.removed || first == self.bug.mending.added;
        if !plain || name || first == "I" {
            return text.to_owned();
        }
        let (head, rest) = text.split_at(1.min(text.len()));
        (if begins { head.to_ascii_uppercase() } else { head.to_ascii_lowercase() }) + rest
    }

    /// A word of the wrong line that the change leaves alone.
    fn near(&self, chance: &mut Chance) -> String {
        let mending = self.bug.mending;
        let words: Vec<&str> = spelled(&mending.old)
            .into_iter()
            .map(|(_, word)| word)
            .filter(|word| word.len() > 1 && !is_known(word) && !mending.removed.contains(word) && !mending.added.contains(word))
            .collect();
        let word = if words.is_empty() { self.bug.function } else { chance.pick(&words) };
        format!("{0}{word}{0}", self.hand.code)
    }

    /// A word of the code that has nothing to do with the change, where there is one.
    fn other(&self, chance: &mut Chance) -> String {
        let mending = self.bug.mending;
        let words: Vec<&str> = self
            .bug
            .passages
            .iter()
            .flat_map(|passage| &passage.lines)
            .flat_map(|line| spelled(line))
            .map(|(_, word)| word)
            .filter(|word| {
                word.len() > 3
                    && !is_known(word)
                    && *word != mending.removed
                    && *word != mending.added
                    && *word != self.bug.function
            })
            .collect();
        let word = if words.is_empty() { "main" } else { chance.pick(&words) };
        format!("{0}{word}{0}", if self.hand.code.is_empty() { "`" } else { self.hand.code })
    }
}

/// A template with every choice made, innermost first.
fn chosen(template: &str, chance: &mut Chance) -> String {
    let mut text = template.to_owned();
    while let Some(close) = text.find(']') {
        let Some(open) = text[..close].rfind('[') else { break };
        let choices: Vec<&str> = text[open + 1..close].split('|').collect();
        let choice = (*chance.pick(&choices)).to_owned();
        text.replace_range(open..=close, &choice);
    }
    text
}

fn arguments(chance: &mut Chance) -> String {
    let count = chance.weighed(&[1, 5, 4, 1]);
    (0..count).map(|_| value(chance)).collect::<Vec<_>>().join(", ")
}

fn value(chance: &mut Chance) -> String {
    const WORDS: &[&str] = &["a", "abc", "foo", "x y", "", "hello", "2024-01-31", "key", "a,b", "Z"];
    match chance.below(8) {
        0..3 => chance.below(20).to_string(),
        3 => chance.below(1000).to_string(),
        4 => format!("\"{}\"", chance.pick(WORDS)),
        5 => format!("[{}]", (0..chance.below(4)).map(|_| chance.below(10).to_string()).collect::<Vec<_>>().join(", ")),
        6 => format!("-{}", 1 + chance.below(9)),
        _ => (*chance.pick(&["true", "false", "null", "None", "an error", "nothing", "0.5", "an empty list"])).to_owned(),
    }
}
