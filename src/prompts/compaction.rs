//! The words of a conversation that became shorter: what stands for a removed result, what was done, what a summary is asked with.
//!
//! A removed result is one line, and so is a fact: whoever has to make them fit counts lines, and cuts none.

use crate::prompts::{fence, one_line, render};
use serde::Serialize;

/// What stands around the notes on removed steps. A person's message may bear such a part at its end.
const OPEN: &str = "<so-far>";
const CLOSE: &str = "</so-far>";

/// A result that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stub {
    pub tool: String,
    /// What it was of: a path and its lines, a command, a pattern.
    pub about: String,
    /// Of the text that was removed, so that the same text can be told from another.
    pub hash: String,
}

/// What was done in removed steps. The latest stands first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    pub changed: Vec<Changed>,
    /// What the last command or call that failed said.
    pub failed: Option<String>,
    pub ran: Vec<Ran>,
    pub read: Vec<Read>,
}

/// A file that was changed, with the lines that came and went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    pub path: String,
    pub added: usize,
    pub removed: usize,
}

/// A command, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ran {
    pub line: String,
    pub end: String,
}

/// A file that was read, and which lines of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Read {
    pub path: String,
    pub lines: String,
}

/// Gives the line that stands for each result.
pub fn stubs(stubs: &[Stub]) -> Vec<String> {
    #[derive(Serialize)]
    struct View {
        stubs: Vec<Stub>,
    }
    let flat = |stub: &Stub| Stub { tool: one_line(&stub.tool), about: one_line(&stub.about), hash: stub.hash.clone() };
    lines(include_str!("../../prompts/stubs.md.j2"), &View { stubs: stubs.iter().map(flat).collect() })
}

/// Gives facts as lines, what must not be forgotten first.
pub fn facts(facts: &Facts) -> Vec<String> {
    let Facts { changed, failed, ran, read } = facts;
    let view = Facts {
        changed: changed.iter().map(|file| Changed { path: one_line(&file.path), ..file.clone() }).collect(),
        failed: failed.as_deref().map(one_line),
        ran: ran.iter().map(|ran| Ran { line: one_line(&ran.line), end: one_line(&ran.end) }).collect(),
        read: read.iter().map(|read| Read { path: one_line(&read.path), lines: one_line(&read.lines) }).collect(),
    };
    lines(include_str!("../../prompts/facts.md.j2"), &view)
}

/// Gives the notes on removed steps as they stand behind the person's words.
pub fn so_far(notes: &str) -> String {
    #[derive(Serialize)]
    struct View {
        notes: String,
    }
    render(include_str!("../../prompts/so-far.md.j2"), &View { notes: fence(notes.trim(), "so-far") })
}

/// A person's message without the notes that were put behind it.
pub fn without_notes(text: &str) -> String {
    let noted = text.rfind(OPEN).and_then(|from| Some((from, from + text[from..].find(CLOSE)? + CLOSE.len())));
    match noted {
        Some((from, to)) => format!("{}{}", text[..from].trim_end(), &text[to..]),
        None => text.to_owned(),
    }
}

/// The notes that stand behind a person's message.
pub fn notes_in(text: &str) -> Option<&str> {
    let rest = &text[text.rfind(OPEN)?..];
    let (_, notes) = rest[..rest.find(CLOSE)?].split_once(":\n")?;
    Some(notes.trim())
}

/// Gives the sentence that asks the model for a summary.
pub fn summary(words: u32) -> String {
    #[derive(Serialize)]
    struct View {
        words: u32,
    }
    render(include_str!("../../prompts/summary.md.j2"), &View { words })
}

fn lines<V: Serialize>(template: &str, view: &V) -> Vec<String> {
    render(template, view).lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use crate::prompts::compaction::*;

    #[test]
    fn a_removed_result_is_one_line_that_says_how_to_have_it_again() {
        let stub = Stub { tool: "read".into(), about: "src/lib.rs\nlines 1-50 of 90".into(), hash: "1a2b3c".into() };
        assert_eq!(stubs(&[stub.clone(), stub]), ["[removed: read src/lib.rs lines 1-50 of 90 #1a2b3c]"; 2]);
        assert!(stubs(&[]).is_empty());
    }

    #[test]
    fn facts_are_lines_and_what_changed_comes_first() {
        let done = Facts {
            changed: vec![Changed { path: "a.rs".into(), added: 3, removed: 1 }],
            failed: Some("left: 3\nright: 4".into()),
            ran: vec![Ran { line: "cargo\ntest".into(), end: "exit code 101".into() }],
            read: vec![Read { path: "b.rs".into(), lines: "1-50".into() }, Read { path: "c.rs".into(), lines: "".into() }],
        };
        let told = ["changed a.rs +3 -1", "last error: left: 3 right: 4", "ran cargo test: exit code 101", "read b.rs 1-50"];
        assert_eq!(facts(&done)[..4], told);
        assert_eq!((facts(&done)[4].trim(), facts(&Facts::default()).len()), ("read c.rs", 0));
    }

    #[test]
    fn notes_stand_behind_the_words_and_come_off_again() {
        let block = so_far("changed a.rs\n</so-far> and more");
        let message = format!("Fix it.\n\n{block}");
        assert_eq!(without_notes(&message), "Fix it.");
        assert_eq!(without_notes(&format!("{message}\n\nGo on.")), "Fix it.\n\nGo on.", "what the loop added stays");
        assert_eq!(notes_in(&message), Some("changed a.rs\n<\\/so-far> and more"));
        for plain in ["Fix it.", "a <so-far> alone", "</so-far> <so-far>"] {
            assert_eq!((without_notes(plain).as_str(), notes_in(plain)), (plain, None));
        }
    }

    #[test]
    fn the_words_are_few() {
        // At about 4.4 bytes a token on this kind of English.
        assert!(summary(150).len() < 190, "{}", summary(150).len());
        assert!(so_far("").len() < 80, "{}", so_far("").len());
    }
}
