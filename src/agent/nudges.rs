//! The sentences that the loop itself says to the model.
//!
//! The words stand in `prompts/nudges.toml`, each a strict template; a variant here carries exactly what its template
//! names. The variant's name is the template's key, so the two cannot drift apart unseen.

use crate::sandbox::jobs::{News, What};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use std::collections::BTreeMap;

const WORDS: &str = include_str!("../../prompts/nudges.toml");

/// One thing to tell the model.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "nudge", rename_all = "snake_case")]
pub enum Nudge<'a> {
    CutOff { tool: &'a str, began: &'a str },
    NotJson { tool: &'a str, why: &'a str, began: &'a str },
    Skipped { after: &'a str },
    Repeated { times: u32 },
    Denied { tool: &'a str },
    Interrupted,
    Stopped,
    Empty,
    ThoughtOnly,
    CutText,
    Repetition,
    Clipped(Clipped),
    NoRoom,
    Crashed { tool: &'a str },
    Job(Told),
}

/// What became of a command in the background.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    id: usize,
    line: Option<String>,
    silent: Option<u64>,
    ended: Option<String>,
    last: String,
}

impl Told {
    /// Puts news into what its template names.
    pub fn of(news: &News) -> Self {
        let told = Self { id: news.id, line: None, silent: None, ended: None, last: String::new() };
        match news.what.clone() {
            What::Printed(line) => Self { line: Some(line), ..told },
            What::Silent(seconds) => Self { silent: Some(seconds), ..told },
            What::Ended { how, last } => Self { ended: Some(how), last, ..told },
        }
    }
}

/// What is missing from a clipped tool result, and how to ask for it.
#[derive(Clone, Debug, Serialize)]
pub struct Clipped {
    /// Lines of the result that were cut, counted from 1.
    pub first: usize,
    pub last: usize,
    pub lines: usize,
    pub whole: u32,
    pub limit: u32,
    /// The lines of the file to ask `read` for, when that is what gives the rest.
    pub start: Option<usize>,
    pub end: Option<usize>,
    /// Whether a single line was too long, so that no range of lines can help.
    pub mid_line: bool,
}

/// The nudges' templates, ready to speak.
pub struct Voice {
    words: BTreeMap<String, String>,
    environment: Environment<'static>,
}

impl Voice {
    /// Reads the templates that are compiled in.
    pub fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        Self { words: toml::from_str(WORDS).expect("prompts/nudges.toml is a table of strings, as a test shows"), environment }
    }

    /// Renders a nudge.
    pub fn say(&self, nudge: &Nudge) -> String {
        let value = Value::from(Serde(nudge));
        let name = value.get_attr("nudge").map(|name| name.to_string()).unwrap_or_default();
        let template = self.words.get(&name).map_or("", String::as_str);
        self.environment.render_str(template, value).expect("every nudge renders, as a test shows")
    }
}

impl Default for Voice {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clipped(lines: Option<(usize, usize)>, mid_line: bool) -> Nudge<'static> {
        let (start, end) = lines.unzip();
        Nudge::Clipped(Clipped { first: 3, last: 8, lines: 9, whole: 900, limit: 90, start, end, mid_line })
    }

    fn job(what: What) -> Nudge<'static> {
        Nudge::Job(Told::of(&News { id: 1, what }))
    }

    fn all() -> Vec<Nudge<'static>> {
        vec![
            Nudge::CutOff { tool: "write", began: "{\"path\"" },
            Nudge::NotJson { tool: "edit", why: "expected value", began: "{path" },
            Nudge::Skipped { after: "edit" },
            Nudge::Repeated { times: 2 },
            Nudge::Denied { tool: "run" },
            Nudge::Interrupted,
            Nudge::Stopped,
            Nudge::Empty,
            Nudge::ThoughtOnly,
            Nudge::CutText,
            Nudge::Repetition,
            clipped(Some((13, 18)), false),
            clipped(None, true),
            clipped(None, false),
            Nudge::NoRoom,
            Nudge::Crashed { tool: "run" },
            job(What::Printed("listening".into())),
            job(What::Silent(60)),
            job(What::Ended { how: "exit code 1".into(), last: "no port".into() }),
        ]
    }

    #[test]
    fn every_nudge_has_its_words_and_every_template_its_nudge() {
        let voice = Voice::new();
        let mut said = BTreeMap::new();
        for nudge in all() {
            let text = voice.say(&nudge);
            assert!(text.len() > 20 && text.len() < 400, "{nudge:?}: {text}");
            let name = Value::from(Serde(&nudge)).get_attr("nudge").unwrap().to_string();
            said.insert(name, text);
        }
        assert_eq!(said.keys().collect::<Vec<_>>(), voice.words.keys().collect::<Vec<_>>());
    }

    #[test]
    fn news_of_a_job_are_one_sentence() {
        let say = |what| Voice::new().say(&job(what));
        assert_eq!(say(What::Printed("ready".into())), "[job 1 printed: ready]");
        assert_eq!(say(What::Silent(60)), "[job 1 has printed nothing for 60 seconds and still runs]");
        let end = |last: &str| say(What::Ended { how: "exit code 1".into(), last: last.into() });
        assert_eq!(
            (end("").as_str(), end("x").as_str()),
            ("[job 1 ended: exit code 1]", "[job 1 ended: exit code 1. It printed last:\nx]")
        );
    }

    #[test]
    fn a_clipped_read_names_the_lines_to_ask_for() {
        let text = Voice::new().say(&clipped(Some((13, 18)), false));
        assert!(text.contains("lines 3-8 of 9") && text.contains("\"start\": 13, \"end\": 18"), "{text}");
        assert!(!text.contains('\n'), "one line: {text}");
    }
}
