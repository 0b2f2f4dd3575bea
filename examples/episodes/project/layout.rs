//! A small project around a function: its module among others of its file, tests, a manifest where the language wants one.

use crate::chance::Chance;
use crate::naming::Namer;
use crate::project::closure::{Closed, Item, module};
use crate::project::rows::Place;
use agent::repair::Passage;
use agent::repo::syntax::Language;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// A project without its tests.
#[derive(Clone)]
pub struct Layout {
    pub language: Language,
    /// All files but the tests, the module among them.
    pub files: BTreeMap<String, String>,
    pub module: String,
    pub tests: String,
    pub place: Place,
    /// What `agent fix` finds out by itself.
    pub command: &'static str,
    /// The function as it stands in the module.
    pub passage: Passage,
}

/// Lays out a project. `None` where the function cannot be found again in its module.
pub fn lay_out(language: Language, own: &Closed, others: &[Closed], namer: &Namer<'_>, chance: &mut Chance) -> Option<Layout> {
    let mut items: BTreeSet<Item> = own.items.clone();
    items.extend(others.iter().flat_map(|closed| closed.items.iter().cloned()));
    let names: BTreeSet<&str> = others.iter().map(|closed| closed.name.as_str()).chain([own.name.as_str()]).collect();
    let path = namer.path(language, chance);
    let file = path.rsplit('/').next().unwrap_or(&path);
    let (stem, ending) = file.rsplit_once('.')?;
    let mut text = module(language, &items);
    let mut files = BTreeMap::new();
    let mut place = Place { function: own.name.clone(), module: String::new(), modern: false };
    let (path, tests, command) = match language {
        Language::Python => {
            place.module = path.trim_end_matches(".py").replace('/', ".");
            let apart = chance.percent(70);
            let from_src = path.starts_with("src/");
            let tests = if apart { format!("tests/test_{stem}.py") } else { format!("test_{stem}.py") };
            let command = match (apart, from_src) {
                (true, true) => "PYTHONPATH=src python3 -m unittest discover -s tests",
                (true, false) => "python3 -m unittest discover -s tests",
                (false, true) => "PYTHONPATH=src python3 -m unittest discover",
                (false, false) => "python3 -m unittest discover",
            };
            (path, tests, command)
        }
        Language::JavaScript => {
            place.modern = ending == "mjs" || ending == "js" && chance.percent(50);
            let kind = if place.modern { "module" } else { "commonjs" };
            files.insert(
                "package.json".into(),
                format!(
                    "{{\n  \"name\": \"{}\",\n  \"version\": \"1.0.0\",\n  \"type\": \"{kind}\"\n}}\n",
                    stem.replace('_', "-")
                ),
            );
            let listed: Vec<&str> = names.iter().copied().collect();
            let listed = listed.join(", ");
            text.push_str(&if place.modern {
                format!("\nexport {{ {listed} }};\n")
            } else {
                format!("\nmodule.exports = {{ {listed} }};\n")
            });
            place.module = format!("../{path}");
            let tests = format!("test/{stem}.test.{}", if place.modern { "mjs" } else { "cjs" });
            (path, tests, "node --test")
        }
        Language::Rust => {
            place.module = stem.to_owned();
            text = published(&text, &names);
            files.insert(
                "Cargo.toml".into(),
                format!("[package]\nname = \"{stem}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ndoctest = false\n"),
            );
            files.insert("src/lib.rs".into(), format!("pub mod {stem};\n\n#[cfg(test)]\nmod tests;\n"));
            files.insert(".gitignore".into(), "target\nCargo.lock\n".into());
            (format!("src/{stem}.rs"), "src/tests.rs".into(), "cargo test -q --offline")
        }
        _ => {
            place.module = stem.replace('_', "");
            text = format!("package {}\n\n{text}", place.module);
            files.insert("go.mod".into(), format!("module example.com/{}\n\ngo 1.19\n", place.module));
            (format!("{stem}.go"), format!("{stem}_test.go"), "GOPROXY=off go test ./...")
        }
    };
    let passage = passage(language, &path, &text, own)?;
    files.insert(path.clone(), text);
    Some(Layout { language, files, module: path, tests, place, command, passage })
}

/// Makes the functions visible from outside.
fn published(text: &str, names: &BTreeSet<&str>) -> String {
    let opens = |line: &str| {
        let rest = line.strip_prefix("const ").unwrap_or(line);
        rest.strip_prefix("fn ")
            .is_some_and(|rest| names.iter().any(|name| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['(', '<']))))
    };
    let bare = |line: &str| line.replacen("pub(crate) ", "pub ", 1).replacen("pub(super) ", "pub ", 1);
    text.lines().map(|line| if opens(line) { format!("pub {line}\n") } else { format!("{}\n", bare(line)) }).collect()
}

fn passage(language: Language, path: &str, text: &str, own: &Closed) -> Option<Passage> {
    // The first line may have been made public since.
    let all: Vec<&str> = text.lines().collect();
    let wanted: Vec<&str> = own.text.lines().collect();
    let bare = |line: &str| {
        line.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ").trim_start_matches("pub ").to_owned()
    };
    let at = all.windows(wanted.len()).position(|here| bare(here[0]) == bare(wanted[0]) && here[1..] == wanted[1..])?;
    let lines = all[at..at + wanted.len()].iter().map(|line| (*line).to_owned()).collect();
    Some(Passage { path: serde_json::from_value(path.into()).ok()?, language, first: at + 1, lines })
}

/// Writes files below `dir`.
pub fn write<'t>(dir: &Path, files: impl IntoIterator<Item = (&'t String, &'t String)>) -> io::Result<()> {
    for (path, text) in files {
        let full = dir.join(path);
        fs::create_dir_all(full.parent().unwrap_or(dir))?;
        fs::write(full, text)?;
    }
    Ok(())
}

impl Layout {
    /// The module's text with one line of the function another one. `label` counts the function's lines, from 1.
    pub fn with_line(&self, label: usize, line: &str) -> String {
        let at = self.passage.first - 1 + label - 1;
        self.files[&self.module]
            .lines()
            .enumerate()
            .map(|(number, old)| if number == at { line } else { old })
            .flat_map(|line| [line, "\n"])
            .collect()
    }
}
