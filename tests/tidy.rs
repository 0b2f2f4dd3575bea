//! The rules of the house that a compiler does not know: floors, doors, names, sizes. Each finding says where and why.
//!
//! A rule is a function from one file to findings, so the second half of this page feeds each rule a snippet that breaks
//! it: a rule that cannot fail protects nothing.

use std::fmt;
use std::path::Path;

/// Modules from the ground up. A module uses modules of lower rows only; those of one row never meet.
const FLOORS: &[&[&str]] = &[
    // 0 ground: data and small mechanisms; units and paths below what is made of them
    &["units", "path", "hint"],
    &["protocol", "text", "rpc"],
    // 1 mechanisms
    &["engine", "repo", "edit", "sandbox", "models", "sessions", "prompts"],
    // 2 compositions
    &["tools", "context", "planner", "repair"],
    // 3 loop
    &["agent"],
    // 4 front ends
    &["fix", "headless"],
    // 5 roof, in the order in which it stands on itself
    &["config"],
    &["boot"],
    &["cli"],
    &["lib"],
    &["main"],
];

/// Front ends know the protocol and the agent's handle, never these; `Mode` alone is the word in which they say what they are.
const FRONT_ENDS: &[&str] = &["fix", "headless"];
const BEHIND_THE_LOOP: &[&str] = &["engine", "tools"];
const SAID_BY_FRONT_ENDS: &[&str] = &["crate::tools::Mode"];

/// An effect, the words that have it, and the only files that may write them. A folder ends in `/`.
struct Door {
    effect: &'static str,
    words: &'static [&'static str],
    files: &'static [&'static str],
}

const DOORS: &[Door] = &[
    Door {
        effect: "llama.cpp is named",
        words: &["llama_cpp_2", "llama_cpp_sys_2"],
        files: &["src/engine/llama.rs", "src/engine/llama/", "src/engine/bridge.rs", "src/engine/bridge/"],
    },
    Door { effect: "git2 is named", words: &["git2"], files: &["src/repo/git.rs", "src/repo/git/"] },
    Door {
        effect: "a process is spawned",
        words: &["process::Command", "Command::new", "CommandExt", "fork(", "execv"],
        // The engine's own start is the second one: it is no command of the model's.
        files: &["src/sandbox/process.rs", "src/engine/client/"],
    },
    Door {
        effect: "the network is used",
        words: &["reqwest", "rustls", "TcpStream", "TcpListener", "TcpSocket", "UdpSocket", "lookup_host", "ToSocketAddrs"],
        files: &["src/engine/endpoint.rs", "src/engine/endpoint/"],
    },
    Door {
        effect: "a file is written",
        words: &[
            "fs::write",
            "File::create",
            "File::options",
            "OpenOptions",
            "fs::rename",
            "fs::remove_",
            "fs::create_dir",
            "fs::copy",
            "fs::hard_link",
            "fs::set_permissions",
            "fs::symlink",
            "DirBuilder",
            "tempfile::",
            "NamedTempFile",
        ],
        files: &[
            // The user's tree, through one door.
            "src/edit/apply.rs",
            // Our own state: each with the place it writes to.
            "src/sessions/log.rs",    // state: one log per session
            "src/sandbox/process.rs", // state: whole logs of commands
            "src/sandbox/output.rs",
            "src/engine/client/",    // state: the engines' logs; runtime: sockets that nobody answers on
            "src/engine/runtime.rs", // runtime: the directory of the sockets, and its lock
            "src/engine/worker/",    // runtime: its socket
            "src/engine/states/",    // cache: states of the engine's cache
            "src/models/bundled.rs", // cache: the bundled model
            "src/models/ledger.rs",  // cache: what was found out about models
            "src/repo/map/store.rs", // cache: indexes of projects
            "src/repo/git.rs",       // a temporary store of objects
            "src/repo/scratch.rs",   // a temporary copy of the tree, which a fix works in
            "src/repo/scratch/",
            "src/fix/ranked/coverage.rs", // a temporary folder for what a watched run of the tests tells
            "src/fix/ranked/coverage/",
            "src/fix/flow.rs",   // state: the patch of a result that could not be kept
            "src/fix/output.rs", // the file of predictions that the user named
        ],
    },
];

/// Words that say nothing about what a module is for.
const BANNED_NAMES: &[&str] = &["manager", "helper", "helpers", "util", "utils", "common", "core", "misc", "v2"];

/// Files that may be long because they are flat tables.
const FLAT_TABLES: &[&str] = &[];
const LONGEST: usize = 800;

/// One text file of the package, its path relative to the package with `/`.
struct File {
    path: String,
    text: String,
    /// Comments and the insides of strings blanked, line by line as in `text`.
    code: String,
    /// Compiled for tests only.
    test: bool,
}

/// A broken rule.
struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { code_only(text) } else { text.into() };
        Self { path: path.into(), text: text.into(), code, test: !path.starts_with("src/") }
    }

    fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into() }
    }

    /// The top module that a source file belongs to.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        Some(inside.split('/').next()?.trim_end_matches(".rs"))
    }

    /// Numbered lines of code that ship: everything before the tests, which stand last.
    fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.code.lines().collect();
        let tests = |pair: &[&str]| pair[0].starts_with("#[cfg(test)]") && pair[1].starts_with("mod ") && pair[1].contains('{');
        let end = lines.windows(2).position(tests).unwrap_or(lines.len());
        let end = if self.test { 0 } else { end };
        lines.into_iter().take(end).enumerate().map(|(i, line)| (i + 1, line))
    }

    /// The files, without `.rs`, of the modules that this file declares for tests only.
    fn test_modules(&self) -> Vec<String> {
        let (dir, name) = self.path.trim_end_matches(".rs").rsplit_once('/').unwrap_or(("", &self.path));
        let below = if ["mod", "lib", "main"].contains(&name) { dir.to_owned() } else { format!("{dir}/{name}") };
        let (mut found, mut for_tests, mut elsewhere) = (Vec::new(), false, None);
        for line in self.text.lines() {
            let declared = line.split_once("mod ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
            if line.starts_with("#[cfg(test)]") {
                for_tests = true;
            } else if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
                elsewhere = Some(format!("{dir}/{}", path.trim_end_matches(".rs")));
            } else if let Some(module) = declared.and_then(|(_, rest)| rest.strip_suffix(';')).filter(|_| for_tests) {
                found.push(elsewhere.take().unwrap_or_else(|| format!("{below}/{module}")));
                for_tests = false;
            } else {
                (for_tests, elsewhere) = (false, None);
            }
        }
        found
    }

    fn is_one_of(&self, files: &[&str]) -> bool {
        files.iter().any(|file| self.path == *file || file.ends_with('/') && self.path.starts_with(file))
    }
}

// ---- the rules ----

fn floors(file: &File) -> Vec<Finding> {
    let Some(own) = file.module() else { return Vec::new() };
    let row = |module: &str| FLOORS.iter().position(|row| row.contains(&module));
    let Some(own_row) = row(own) else {
        return vec![file.finding(1, format!("module `{own}` stands on no floor: add it to the table in tests/tidy.rs"))];
    };
    let mut found = Vec::new();
    for (line, used, whole) in used_modules(&file.code) {
        let Some(used_row) = row(&used) else {
            // A macro or an item of the crate's root.
            continue;
        };
        if used != own && used_row >= own_row {
            found.push(file.finding(line, format!("`{own}` uses `{used}`, which does not stand below it")));
        }
        let behind = FRONT_ENDS.contains(&own) && BEHIND_THE_LOOP.contains(&used.as_str());
        if behind && !SAID_BY_FRONT_ENDS.iter().any(|allowed| whole.starts_with(allowed)) {
            found.push(file.finding(line, format!("the front end `{own}` reaches past the loop into `{used}`")));
        }
    }
    found
}

fn doors(file: &File) -> Vec<Finding> {
    let mut found = Vec::new();
    for door in DOORS.iter().filter(|door| file.path.starts_with("src/") && !file.is_one_of(door.files)) {
        for (line, code) in file.shipped() {
            if let Some(word) = door.words.iter().find(|word| has_word(code, word)) {
                found.push(file.finding(line, format!("`{word}`: {} only in {}", door.effect, door.files.join(", "))));
            }
        }
    }
    found
}

fn opening(file: &File) -> Vec<Finding> {
    // A module's tests stand beside it and are opened by it.
    let tests = file.test && file.path.starts_with("src/");
    let opens = tests || !file.path.ends_with(".rs") || file.text.starts_with("//! ");
    if opens { Vec::new() } else { vec![file.finding(1, "a module opens with `//!`: what it is for, and what it does not know")] }
}

fn length(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().count();
    let long = file.path.starts_with("src/") && lines > LONGEST && !file.is_one_of(FLAT_TABLES);
    if long {
        vec![file.finding(LONGEST, format!("{lines} lines, at most {LONGEST}: split it by what changes together"))]
    } else {
        Vec::new()
    }
}

fn names(file: &File) -> Vec<Finding> {
    let mut found = Vec::new();
    for part in file.path.split('/').map(|part| part.trim_end_matches(".rs")) {
        if file.path.ends_with(".rs") && (BANNED_NAMES.contains(&part) || part.ends_with("_new") || part.ends_with("_utils")) {
            found.push(file.finding(1, format!("the name `{part}` says nothing: name it for what it does")));
        }
    }
    found
}

fn unfinished(file: &File) -> Vec<Finding> {
    let mut found = Vec::new();
    for (i, (code, text)) in file.code.lines().zip(file.text.lines()).enumerate() {
        for word in ["todo!", "unimplemented!", "dbg!"] {
            if file.path.ends_with(".rs") && has_word(code, word) {
                found.push(file.finding(i + 1, format!("`{word}` does not ship")));
            }
        }
        for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")] {
            let numbered = |at: usize| text[at + word.len()..].starts_with("(#");
            if let Some(at) = word_at(text, word).filter(|at| !numbered(*at)) {
                found.push(
                    file.finding(i + 1, format!("`{}` without an issue: write `{word}(#123)`", &text[at..at + word.len()])),
                );
            }
        }
    }
    found
}

fn panics(file: &File) -> Vec<Finding> {
    // A print panics when its reader is gone.
    let words = [".unwrap()", "panic!(", "print!(", "println!("];
    let bad = |code: &str| words.into_iter().find(|word| code.contains(word));
    let lines = file.shipped().filter(|_| file.path.starts_with("src/"));
    lines
        .filter_map(|(line, code)| Some((line, bad(code)?)))
        .map(|(line, word)| {
            file.finding(line, format!("`{word}` outside a test: return an error, or `expect` the invariant by its name"))
        })
        .collect()
}

fn parents(file: &File) -> Vec<Finding> {
    let lines = file.shipped().filter(|(_, code)| file.path.starts_with("src/") && code.contains("super::"));
    lines.map(|(line, _)| file.finding(line, "`super::` hides the floor: write `crate::`")).collect()
}

fn machine_paths(file: &File) -> Vec<Finding> {
    let mut found = Vec::new();
    for (i, line) in file.text.lines().enumerate() {
        for path in [concat!("/wo", "rk/"), concat!("/ro", "ot/")] {
            // Only as the beginning of an absolute path: `src/work/` is a folder like any other.
            let absolute = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_.-~})>*".contains(c));
            if line.match_indices(path).any(|(at, _)| absolute(at)) {
                found.push(file.finding(i + 1, format!("`{path}` is a path of one machine")));
            }
        }
    }
    found
}

/// Each dependency says why it is there: on its own line, or in a line of comment that heads its group.
fn dependencies(file: &File) -> Vec<Finding> {
    if file.path != "Cargo.toml" {
        return Vec::new();
    }
    let (mut found, mut inside, mut headed) = (Vec::new(), false, false);
    for (i, line) in file.text.lines().enumerate() {
        if line.starts_with('[') {
            (inside, headed) = (line.contains("dependencies"), false);
        } else if line.trim().is_empty() {
            headed = false;
        } else if line.starts_with('#') {
            headed = true;
        } else if let Some((name, rest)) = line.split_once(" = ").filter(|_| inside) {
            if !headed && !rest.contains('#') {
                found.push(file.finding(i + 1, format!("`{name}` has no reason: say what it is for in a comment")));
            }
            if name.starts_with("llama-cpp") && !rest.contains("\"=") {
                found.push(file.finding(i + 1, format!("`{name}` changes without notice: pin it with `=`")));
            }
        }
    }
    found
}

const RULES: &[fn(&File) -> Vec<Finding>] =
    &[floors, doors, opening, length, names, unfinished, panics, parents, machine_paths, dependencies];

// ---- reading ----

/// Blanks comments and the insides of strings and characters; lines stay where they are.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = skipped(rest);
        if end == 0 {
            let next = rest.chars().next().expect("`at` is before the end, on a boundary");
            // Of a name with an `r` inside (`for"`), only a whole word may begin a raw string; so words go in one piece.
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()).max(next.len_utf8());
            code.push_str(&rest[..word]);
            at += word;
        } else {
            code.extend(rest[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at += end;
        }
    }
    code
}

/// How many bytes of comment, string or character literal `rest` begins with.
fn skipped(rest: &str) -> usize {
    let to = |found: Option<usize>, len: usize| found.map_or(rest.len(), |i| i + len);
    if rest.starts_with("//") {
        return to(rest.find('\n'), 0);
    }
    if rest.starts_with("/*") {
        return to(rest.find("*/"), 2);
    }
    let raw = rest.trim_start_matches('b');
    let hashes = raw.strip_prefix('r').map(|r| r.len() - r.trim_start_matches('#').len());
    if let Some(hashes) = hashes.filter(|n| raw[1 + n..].starts_with('"')) {
        let open = rest.len() - raw.len() + 2 + hashes;
        let close = format!("\"{}", "#".repeat(hashes));
        return rest[open..].find(&close).map_or(rest.len(), |i| open + i + close.len());
    }
    if let Some(inner) = rest.strip_prefix('"') {
        let mut escaped = false;
        let end = inner.find(|c| {
            let literal = std::mem::take(&mut escaped);
            escaped = c == '\\' && !literal;
            c == '"' && !literal
        });
        return to(end, 2);
    }
    if let Some(inner) = rest.strip_prefix('\'') {
        // A lifetime has no second quote; a character has it after one character or an escape.
        let mut chars = inner.char_indices();
        return match (chars.next(), chars.next()) {
            (Some((_, '\\')), Some((escape, c))) => to(inner[escape + c.len_utf8()..].find('\''), 2 + escape + c.len_utf8()),
            (Some(_), Some((second, '\''))) => second + 2,
            _ => 0,
        };
    }
    0
}

/// Where `word` stands as a whole word. A word that ends in a sign ends where the sign does.
fn word_at(line: &str, word: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let open = word.ends_with(|c: char| !part(c)) || word.ends_with('_');
    line.match_indices(word).map(|(at, _)| at).find(|at| {
        let after = line[at + word.len()..].chars().next();
        !line[..*at].ends_with(part) && (open || !after.is_some_and(part))
    })
}

fn has_word(line: &str, word: &str) -> bool {
    word_at(line, word).is_some()
}

/// Every `crate::x` with its line, and the path as far as it is written in one piece; `crate::{a, b}` counts for both.
fn used_modules(code: &str) -> Vec<(usize, String, String)> {
    let ident = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            let whole: String = code[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
            used.push((line, ident(rest), whole));
            continue;
        };
        let mut depth = 0;
        for (i, c) in group.char_indices() {
            let first = depth == 0 && (i == 0 || group[..i].trim_end().ends_with(','));
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                c if first && (c.is_alphabetic() || c == '_') => {
                    let path =
                        group[i..].chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect::<String>();
                    used.push((line, ident(&group[i..]), format!("crate::{path}")));
                }
                _ => {}
            }
        }
    }
    used
}

/// Every text file that the rules read. This file is left out: it has to name what it forbids.
fn package() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut waiting: Vec<_> = ["src", "tests", "tools", "prompts", "benches", "scripts", "demo", ".ci", ".cargo"]
        .iter()
        .map(|d| root.join(d))
        .collect();
    waiting.extend(["Cargo.toml", "build.rs", "README.md", "ARCHITECTURE.md", "CHANGELOG.md"].iter().map(|f| root.join(f)));
    while let Some(path) = waiting.pop() {
        if let Ok(entries) = path.read_dir() {
            waiting.extend(entries.map(|entry| entry.expect("a readable folder").path()));
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let relative = path.strip_prefix(root).expect("below the root").to_str().expect("our names are UTF-8");
            if relative != "tests/tidy.rs" {
                files.push(File::new(relative, &text));
            }
        }
    }
    assert!(files.len() > 20, "the package was not found");
    let for_tests: Vec<String> = files.iter().flat_map(File::test_modules).collect();
    for file in &mut files {
        let stem = file.path.trim_end_matches(".rs").trim_end_matches("/mod");
        file.test |= for_tests.iter().any(|module| stem == module || stem.starts_with(&format!("{module}/")));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

#[test]
fn the_house_is_tidy() {
    let files = package();
    let found: Vec<String> =
        files.iter().flat_map(|file| RULES.iter().flat_map(|rule| rule(file))).map(|finding| finding.to_string()).collect();
    assert!(found.is_empty(), "{} broken rules:\n{}", found.len(), found.join("\n"));
}

#[test]
fn no_module_stands_on_two_floors() {
    let mut all: Vec<_> = FLOORS.iter().flat_map(|row| row.iter()).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}

// ---- each rule can fail ----

/// Findings of one rule on one snippet, as `line: message`.
fn check(rule: fn(&File) -> Vec<Finding>, path: &str, text: &str) -> Vec<String> {
    rule(&File::new(path, text)).into_iter().map(|f| format!("{}: {}", f.line, f.message)).collect()
}

#[track_caller]
fn breaks(rule: fn(&File) -> Vec<Finding>, path: &str, text: &str, expected: &str) {
    let found = check(rule, path, text);
    assert!(found.iter().any(|f| f.starts_with(expected)), "wanted `{expected}`, found {found:?}");
}

#[track_caller]
fn keeps(rule: fn(&File) -> Vec<Finding>, path: &str, text: &str) {
    assert_eq!(check(rule, path, text), Vec::<String>::new());
}

#[test]
fn a_module_on_the_wrong_floor_is_found() {
    breaks(floors, "src/edit/apply.rs", "\nuse crate::tools::Mode;", "2: `edit` uses `tools`");
    breaks(floors, "src/edit.rs", "use crate::sandbox::Run;", "1: `edit` uses `sandbox`");
    breaks(floors, "src/tools/read.rs", "fn f() { crate::agent::run() }", "1: `tools` uses `agent`");
    breaks(floors, "src/repo/mod.rs", "use crate::{\n path::Root,\n engine::{self, Engine}\n};", "1: `repo` uses `engine`");
    breaks(floors, "src/fix/mod.rs", "use crate::engine::Engine;", "1: the front end `fix` reaches past");
    breaks(floors, "src/nowhere.rs", "", "1: module `nowhere` stands on no floor");
    keeps(
        floors,
        "src/edit/apply.rs",
        "//! [`crate::tools`]\nuse crate::edit::ladder;\nuse crate::path::{Root, a::engine};\n// crate::agent",
    );
    keeps(floors, "src/fix/mod.rs", "use crate::tools::Mode;\nlet text = \"crate::cli\";");
    keeps(floors, "src/cli/run.rs", "use crate::{boot, config::Settings, engine::Engine};");
}

#[test]
fn an_effect_outside_its_door_is_found() {
    breaks(doors, "src/engine/worker.rs", "use llama_cpp_2::model;", "1: `llama_cpp_2`: llama.cpp is named only in");
    breaks(doors, "src/repo/walk.rs", "git2::Repository::open(x)", "1: `git2`");
    breaks(doors, "src/tools/run.rs", "let x =\n std::process::Command::new(\"sh\");", "2: `process::Command`");
    breaks(doors, "src/models/mod.rs", "reqwest::get(url)", "1: `reqwest`");
    breaks(doors, "src/engine/client.rs", "tokio::net::TcpStream::connect(a)", "1: `TcpStream`");
    breaks(doors, "src/tools/write.rs", "std::fs::write(path, text)", "1: `fs::write`");
    breaks(doors, "src/context/mod.rs", "use std::fs;\nfs::remove_file(p);", "2: `fs::remove_`");
    keeps(doors, "src/repo/git.rs", "git2::Repository::open(x)");
    keeps(doors, "src/repo/git/diff.rs", "git2::Repository::open(x)");
    keeps(doors, "src/tools/write.rs", "use std::fs;\nfs::read(p);\n#[cfg(test)]\nmod tests { fn f() { fs::write(p, t) } }");
    breaks(doors, "src/tools/write.rs", "#[cfg(test)]\nmod tests;\nuse x;\nfs::write(p, t);", "4: `fs::write`");
    keeps(doors, "src/cli/mod.rs", "enum Command { A }\nArguments::command()\n// git2::x\nlet s = r#\"git2\"#;");
}

#[test]
fn a_module_without_an_opening_or_too_long_is_found() {
    breaks(opening, "src/a.rs", "use x;\n//! late", "1: a module opens");
    keeps(opening, "src/a.rs", "//! For this.\n");
    breaks(length, "src/a.rs", &"x\n".repeat(LONGEST + 1), "800: 801 lines");
    keeps(length, "src/a.rs", &"x\n".repeat(LONGEST));
}

#[test]
fn a_name_that_says_nothing_is_found() {
    breaks(names, "src/engine/utils.rs", "", "1: the name `utils`");
    breaks(names, "src/core/mod.rs", "", "1: the name `core`");
    breaks(names, "src/edit/apply_new.rs", "", "1: the name `apply_new`");
    keeps(names, "src/edit/apply.rs", "");
}

#[test]
fn what_is_unfinished_is_found() {
    breaks(unfinished, "src/a.rs", "fn f() {\n todo!()\n}", "2: `todo!`");
    breaks(unfinished, "src/a.rs", "dbg!(x);", "1: `dbg!`");
    breaks(unfinished, "src/a.rs", concat!("// TO", "DO later"), "1: `TO");
    keeps(unfinished, "src/a.rs", concat!("// TO", "DO(#12): later\nlet s = \"todo!\";"));
}

#[test]
fn a_panic_and_a_hidden_floor_are_found() {
    breaks(panics, "src/a.rs", "\nx.unwrap();", "2: `.unwrap()`");
    breaks(panics, "src/a.rs", "panic!(\"no\")", "1: `panic!(`");
    breaks(panics, "src/a.rs", "eprintln!(\"no\")", "1: `println!(`");
    keeps(panics, "src/a.rs", "x.unwrap_or(1);\ny.expect(\"held above\");\n#[cfg(test)]\nmod tests { x.unwrap() }");
    breaks(parents, "src/a.rs", "use super::b;", "1: `super::`");
    keeps(parents, "src/a.rs", "use crate::b; // super::");
}

#[test]
fn a_path_of_one_machine_is_found() {
    breaks(machine_paths, "README.md", concat!("see /wo", "rk/main"), "1: ");
    breaks(machine_paths, "src/a.rs", concat!("\nlet p = \"/ro", "ot/x\";"), "2: ");
    keeps(machine_paths, "src/a.rs", concat!("src/wo", "rk/mod.rs and {dir}/wo", "rk/x"));
}

#[test]
fn a_dependency_without_a_reason_or_a_pin_is_found() {
    breaks(dependencies, "Cargo.toml", "[dependencies]\nserde = \"1\"", "2: `serde` has no reason");
    breaks(dependencies, "Cargo.toml", "[dependencies]\n# the grammars\na = \"1\"\n\nb = \"1\"", "5: `b`");
    breaks(dependencies, "Cargo.toml", "[dependencies]\nllama-cpp-2 = \"0.1\" # why", "2: `llama-cpp-2` changes");
    keeps(
        dependencies,
        "Cargo.toml",
        "[package]\nname = \"x\"\n[dev-dependencies]\n# the grammars\na = \"1\"\nb = \"1\"\n\nllama-cpp-2 = \"=0.1\" # why",
    );
}

#[test]
fn files_of_tests_are_known_by_who_declares_them() {
    let declared = |path: &str, text: &str| File::new(path, text).test_modules();
    assert_eq!(
        declared("src/a/mod.rs", "mod x;\n#[cfg(test)]\npub(crate) mod fake;\n#[cfg(test)]\nmod tests;"),
        ["src/a/fake", "src/a/tests"]
    );
    assert_eq!(declared("src/a/b.rs", "#[cfg(test)]\nmod tests;\nmod c;"), ["src/a/b/tests"]);
    assert_eq!(declared("src/a/b.rs", "#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod tests;"), ["src/a/b_tests"]);
    assert_eq!(declared("src/a/b.rs", "#[cfg(test)]\nmod tests {\n    mod c;\n}"), Vec::<String>::new());
}

#[test]
fn comments_and_strings_are_no_code() {
    let text = "a // b\n/* c\nd */ e \"f\\\"g\" 'h' '\\'' 'life r#\"i\"j\"# k b\"l\" m";
    let code = code_only(text);
    assert_eq!(code.split_whitespace().collect::<String>(), "ae'lifekbm");
    assert_eq!(code.lines().count(), text.lines().count());
}
