//! What calls may name, by the state of the session: paths that exist, texts that were shown, commands that were given.
//!
//! [`grounds`] says it to engines that hold each argument to it while it is written. The bundled model is held by schemas that
//! list as `enum`s what it was trained to copy: [`look`] gathers that, [`narrow`] is pure.

use crate::edit::place::{self, Edit, How};
use crate::path::Root;
use crate::protocol::grounds::{Ground, MayBe, Shown};
use crate::protocol::message::Message;
use crate::protocol::tool::ToolFailure;
use crate::protocol::turn::ToolCard;
use crate::repo::walk;
use crate::tools::{CheckedCall, Reads, failure, seen};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

/// Files that are looked at for their names.
const WALKED: usize = 2_000;
/// Paths that a schema lists; those that were spoken of go first.
const PATHS: usize = 48;
/// Lines that a schema lists, of all files together. A session of 1,024 tokens sees fewer.
const LINES: usize = 64;
/// A longer line is not copied whole.
const LONGEST: usize = 160;
/// A larger file is not one that an edit is grounded in: each line is looked for in all of it.
const LARGEST: usize = 256 << 10;

/// What there is to name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Files of the project.
    pub paths: Vec<String>,
    /// Files that were read as they are now, and of each the searches that were shown and find exactly one place.
    pub lines: Vec<(String, Vec<String>)>,
    /// The commands that may be run.
    pub commands: Vec<String>,
}

/// Gathers what a conversation may name. Cost: a walk of the project, and a few readings of the files that were read.
pub fn look(root: &Root, reads: &Reads, messages: &[Message], commands: &[String]) -> Known {
    let shown = Memory::of(messages);
    let mut room = LINES;
    let mut lines = Vec::new();
    for (path, seen) in &reads.0 {
        let text = root.resolve(path).ok().and_then(|(_, full)| std::fs::read_to_string(full).ok());
        let Some(text) = text.filter(|text| text.len() <= LARGEST && seen::hash(text) == seen.hash) else { continue };
        let known = text.lines().enumerate().filter(|(_, line)| shown.knows(line));
        let found: Vec<String> = known.filter_map(|(at, _)| search_at(&text, at + 1)).take(room).collect();
        room -= found.len();
        if !found.is_empty() {
            lines.push((path.clone(), found));
        }
    }
    Known { paths: paths(root, messages), lines, commands: commands.to_vec() }
}

/// What of a held tool's arguments is written. The rest makes up for misses that there are not.
const HELD: (&str, [&str; 3]) = ("edit", ["path", "search", "replace"]);

/// Leaves out of the cards what makes up for misses, for a model whose calls are held to [`grounds`].
pub fn held(mut cards: Vec<ToolCard>) -> Vec<ToolCard> {
    let (name, arguments) = HELD;
    for card in cards.iter_mut().filter(|card| card.name == name) {
        if let Some(properties) = card.parameters["properties"].as_object_mut() {
            properties.retain(|property, _| arguments.contains(&property.as_str()));
        }
        card.parameters["required"] = json!(arguments);
    }
    cards
}

/// What calls may name now. An edit names a file that was read as it is now, and copies from what was shown of it a piece that
/// stands there once; a reading names what exists. Cost: a walk of the project, and a reading of the files that were read.
pub fn grounds(root: &Root, reads: &Reads, messages: &[Message]) -> Vec<Ground> {
    let ground = |tool: &str, argument: &str, may_be| Ground { tool: tool.into(), argument: argument.into(), may_be };
    let (known, mut grounds) = (Memory::of(messages), Vec::new());
    let current = reads.0.iter().filter_map(|(path, seen)| {
        let text = root.resolve(path).ok().and_then(|(_, full)| std::fs::read_to_string(full).ok())?;
        (text.len() <= LARGEST && seen::hash(&text) == seen.hash).then(|| {
            let text = text.replace("\r\n", "\n");
            let parts = if seen.whole { std::iter::once(0..text.len()).collect() } else { known.parts(&text) };
            Shown { name: path.clone(), text, parts }
        })
    });
    let texts: Vec<Shown> = current.filter(|shown| !shown.parts.is_empty()).collect();
    if !texts.is_empty() {
        let names = texts.iter().map(|shown| shown.name.clone()).collect();
        grounds.push(ground("edit", "path", MayBe::OneOf(names)));
        grounds.push(ground("edit", "search", MayBe::PieceOf { argument: "path".into(), texts }));
        grounds.push(ground("edit", "replace", MayBe::Unlike("search".into())));
    }
    if let Some(readable) = readable(root, messages) {
        grounds.push(ground("read", "path", MayBe::OneOf(readable)));
    }
    grounds
}

/// All files and directories, and what was spoken of and exists though no walk finds it. `None` in a project with more files
/// than are looked at.
fn readable(root: &Root, messages: &[Message]) -> Option<Vec<String>> {
    let mut found: BTreeSet<String> = BTreeSet::from([".".to_owned()]);
    for (walked, file) in walk::files(root, root.as_path()).enumerate() {
        if walked == WALKED {
            return None;
        }
        let path = file.path.as_str();
        found.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
        found.insert(path.to_owned());
    }
    let words = messages.iter().flat_map(|message| said(message).split(|c: char| c.is_whitespace() || "`'\"()<>,;".contains(c)));
    let spoken: BTreeSet<&str> = words
        .map(|word| word.trim_end_matches(['.', ':']))
        .filter(|word| word.contains(['.', '/']) && word.len() <= LONGEST && !found.contains(*word))
        .collect();
    let hidden = spoken.into_iter().filter(|word| root.resolve(word).is_ok_and(|(_, full)| full.exists())).map(str::to_owned);
    found.extend(hidden.collect::<Vec<_>>());
    Some(found.into_iter().collect())
}

fn said(message: &Message) -> &str {
    match message {
        Message::System { text } | Message::User { text } | Message::Tool { text, .. } | Message::Assistant { text, .. } => text,
    }
}

/// Gives the shortest search that finds line `number` (from 1) and nothing else: the line without its indentation, else with it,
/// else with the line behind it. `None`: it is blank, too long, or still ambiguous.
pub fn search_at(text: &str, number: usize) -> Option<String> {
    let mut from = text.lines().skip(number.checked_sub(1)?);
    let line = from.next().filter(|line| !line.trim().is_empty() && line.len() <= LONGEST)?;
    let two = from.next().map(|next| format!("{line}\n{next}"));
    let is_it = |search: &String| {
        // A text that stands nowhere: what is asked is only where the search does.
        let edit = Edit { search: search.clone(), replace: "\u{fffd}".into(), occurrence: None };
        place::place(text, &edit).is_ok_and(|applied| applied.how == How::Exact && applied.line == number)
    };
    [Some(line.trim().to_owned()), Some(line.trim_end().to_owned()), two].into_iter().flatten().find(is_it)
}

/// Holds the cards to what is known. A tool that could name nothing is left out.
pub fn narrow(cards: &[ToolCard], known: &Known) -> Vec<ToolCard> {
    let narrowed = cards.iter().filter_map(|card| {
        let parameters = match card.name.as_str() {
            "read" => one_of(&card.parameters, "path", &known.paths),
            "run" => one_of(&card.parameters, "command", &known.commands),
            "edit" => edits(&card.parameters, &known.lines),
            _ => Some(card.parameters.clone()),
        };
        Some(ToolCard { parameters: parameters?, ..card.clone() })
    });
    narrowed.collect()
}

/// Refuses a command that was not given. Everything else that is named wrongly its tool refuses; a command would be run.
pub fn permit(call: CheckedCall, commands: &[String]) -> Result<CheckedCall, ToolFailure> {
    let wanted = call.arguments["command"].as_str().map(str::trim);
    match wanted.filter(|wanted| call.name == "run" && !commands.iter().any(|command| command == wanted)) {
        Some(wanted) => Err(failure(
            "denied",
            format!("`{wanted}` was not run: it is not the test command"),
            commands.first().map_or(String::new(), |command| format!("Run `{command}`.")),
        )),
        None => Ok(call),
    }
}

fn one_of(parameters: &Value, name: &str, values: &[String]) -> Option<Value> {
    let mut narrowed = parameters.clone();
    narrowed["properties"][name]["enum"] = json!(values);
    (!values.is_empty()).then_some(narrowed)
}

/// A line belongs to its file, so each file is an alternative.
fn edits(parameters: &Value, files: &[(String, Vec<String>)]) -> Option<Value> {
    let of = |(path, lines): &(String, Vec<String>)| {
        one_of(parameters, "path", std::slice::from_ref(path)).and_then(|narrowed| one_of(&narrowed, "search", lines))
    };
    let mut all: Vec<Value> = files.iter().filter_map(of).collect();
    if all.len() > 1 { Some(json!({ "anyOf": all })) } else { all.pop() }
}

/// The lines that the model has seen.
#[derive(Default)]
struct Memory {
    /// In answers, as they stand or behind a number.
    answers: HashSet<String>,
    /// In its own edits, without the indentation, which it need not write.
    own: HashSet<String>,
}

impl Memory {
    fn knows(&self, line: &str) -> bool {
        self.answers.contains(line.trim_end()) || self.own.contains(line.trim())
    }

    /// The stretches of a text whose lines were shown, in bytes. Blank lines join what stands around them.
    fn parts(&self, text: &str) -> Vec<Range<usize>> {
        let mut parts: Vec<Range<usize>> = Vec::new();
        let (mut at, mut blank) = (0, true);
        for line in text.split_inclusive('\n') {
            let end = at + line.len();
            if !line.trim().is_empty() && self.knows(line) {
                match parts.last_mut().filter(|last| last.end == at || blank) {
                    Some(last) => last.end = end,
                    None => parts.push(at..end),
                }
                blank = true;
            } else {
                blank &= line.trim().is_empty() && !parts.is_empty();
            }
            at = end;
        }
        parts
    }

    fn of(messages: &[Message]) -> Self {
        let mut shown = Self::default();
        for message in messages {
            match message {
                Message::Tool { text, .. } => {
                    for line in text.lines() {
                        shown.answers.insert(line.trim_end().to_owned());
                        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
                        let numbered = rest.strip_prefix(": ").or_else(|| rest.strip_prefix("- "));
                        shown.answers.extend(numbered.map(|line| line.trim_end().to_owned()));
                    }
                }
                Message::Assistant { calls, .. } => {
                    for call in calls.iter().filter(|call| call.name == "edit") {
                        let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
                        let replaced = arguments["replace"].as_str().unwrap_or_default();
                        shown.own.extend(replaced.lines().map(|line| line.trim().to_owned()));
                    }
                }
                Message::System { .. } | Message::User { .. } => {}
            }
        }
        shown
    }
}

/// The project's files, those first whose names were said.
fn paths(root: &Root, messages: &[Message]) -> Vec<String> {
    let said: Vec<&str> = messages.iter().map(said).collect();
    let is_said = |name: &str| said.iter().any(|text| text.contains(name));
    let all = walk::files(root, root.as_path()).take(WALKED).map(|found| found.path);
    let (mut first, rest): (Vec<_>, Vec<_>) = all.partition(|path| is_said(path.name()));
    first.extend(rest);
    first.truncate(PATHS);
    first.iter().map(|path| path.as_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use crate::path::Root;
    use crate::protocol::message::{Call, Message};
    use crate::tools::grounded::{Known, look, narrow, permit, search_at};
    use crate::tools::{Mode, Reads, Toolbox, seen};
    use serde_json::{Value, json};
    use std::fs;

    const SHOP: &str = "def total(items):\n    n = 0\n    for i in items:\n        n = 0\n        n += i\n    return n\n";

    /// Looks at a project of which `shop.py` was read.
    fn looked(messages: &[Message]) -> Known {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.txt"), "return n\n").unwrap();
        fs::write(dir.path().join("shop.py"), SHOP).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let mut reads = Reads::default();
        reads.note(&root.parse("shop.py").unwrap(), SHOP, false);
        look(&root, &reads, messages, &["sh t.sh".into()])
    }

    fn answer(name: &str, text: &str) -> Message {
        Message::Tool { call: "1".into(), name: name.into(), text: text.into() }
    }

    fn edit(replace: &str) -> Message {
        let arguments = json!({"path": "shop.py", "search": "x", "replace": replace}).to_string();
        let calls = vec![Call { id: "1".into(), name: "edit".into(), arguments }];
        Message::Assistant { text: String::new(), thinking: String::new(), calls }
    }

    #[test]
    fn only_lines_that_were_shown_and_stand_once_can_be_searched_for() {
        let read = answer("read", "shop.py lines 3-4 of 6\n    for i in items:\n        n = 0\n");
        assert_eq!(
            looked(&[read]).lines,
            [("shop.py".to_owned(), vec!["for i in items:".to_owned(), "        n = 0".to_owned()])]
        );
        let found = answer("search", "2 matching lines in 2 of 2 files\na.txt\n1: return n\nshop.py\n6:     return n\n");
        assert_eq!(looked(&[found]).lines, [("shop.py".to_owned(), vec!["return n".to_owned()])], "`a.txt` was not read");
        assert_eq!(looked(&[edit("return n\nnowhere")]).lines[0].1, ["return n"], "what it wrote itself it knows");
        assert_eq!(looked(&[]).lines, []);
    }

    #[test]
    fn a_search_is_as_long_as_it_must_be_to_find_one_place() {
        assert_eq!(search_at(SHOP, 1).as_deref(), Some("def total(items):"));
        assert_eq!(search_at(SHOP, 4).as_deref(), Some("        n = 0"), "the same words stand with less before them");
        assert_eq!(search_at(SHOP, 2).as_deref(), Some("    n = 0\n    for i in items:"));
        assert_eq!(search_at("a\n\na\n", 2), None);
        assert_eq!(search_at("a\na\na\n", 1), None);
        assert_eq!(search_at("a\n", 2), None);
    }

    #[test]
    fn paths_that_were_spoken_of_go_first() {
        assert_eq!(looked(&[]).paths, ["a.txt", "shop.py"]);
        assert_eq!(looked(&[Message::User { text: "shop.py is wrong".into() }]).paths, ["shop.py", "a.txt"]);
    }

    #[test]
    fn the_cards_list_what_is_known_and_leave_out_what_could_name_nothing() {
        let cards = Toolbox::builtin().cards(Mode::Micro);
        let names = |known: &Known| narrow(&cards, known).into_iter().map(|card| card.name).collect::<Vec<_>>();
        assert_eq!(names(&Known::default()), ["search"]);
        let mut known = Known { paths: vec!["a".into()], commands: vec!["sh t.sh".into()], ..Known::default() };
        assert_eq!(names(&known), ["read", "search", "run"]);
        known.lines = vec![("a".into(), vec!["x".into(), "y".into()])];
        assert_eq!(names(&known), ["read", "search", "edit", "run"]);
        let edit = |known: &Known, call: Value| {
            let cards = narrow(&cards, known);
            let schema = &cards.iter().find(|card| card.name == "edit").unwrap().parameters;
            jsonschema::validator_for(schema).unwrap().is_valid(&call)
        };
        assert!(edit(&known, json!({"path": "a", "search": "y", "replace": "z"})));
        assert!(!edit(&known, json!({"path": "a", "search": "z", "replace": "z"})));
        known.lines.push(("b".into(), vec!["z".into()]));
        assert!(edit(&known, json!({"path": "b", "search": "z", "replace": ""})));
        assert!(!edit(&known, json!({"path": "b", "search": "y", "replace": ""})), "a line of the other file");
    }

    #[test]
    fn a_file_that_changed_since_it_was_read_offers_no_lines() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "new\n").unwrap();
        let root = Root::open(dir.path()).unwrap();
        let mut reads = Reads::default();
        reads.note(&root.parse("a").unwrap(), "old\n", true);
        assert_ne!(reads.0["a"].hash, seen::hash("new\n"));
        assert_eq!(look(&root, &reads, &[answer("read", "new\n")], &[]).lines, []);
    }

    #[test]
    fn no_command_but_the_given_ones_is_run() {
        let call = |name: &str, arguments: Value| {
            let call = Call { id: "1".into(), name: name.into(), arguments: arguments.to_string() };
            permit(Toolbox::builtin().check(&call, Mode::Micro).unwrap(), &["sh t.sh".into()])
        };
        assert!(call("run", json!({"command": " sh t.sh"})).is_ok());
        assert!(call("read", json!({"path": "sh t.sh"})).is_ok());
        let refusal = call("run", json!({"command": "rm -r ."})).unwrap_err();
        assert_eq!((refusal.kind.as_str(), refusal.hint.as_str()), ("denied", "Run `sh t.sh`."));
    }
}
