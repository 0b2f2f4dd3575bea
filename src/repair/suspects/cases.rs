//! The cases of test files: which lines are whose, and which of them failed.

use crate::repair::suspects::atlas::{Atlas, Sort, attributes};
use crate::repair::suspects::mentions::{Form, mentions};
use crate::repair::suspects::output::{Failed, Frame};
use crate::repo::syntax::Language;
use std::collections::{BTreeMap, BTreeSet};

/// One test. Lines from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    pub file: usize,
    pub first: usize,
    pub last: usize,
    /// A function's name, or the words in which the test is described.
    name: String,
}

/// The tests that failed, and those that stand beside them in the same files.
#[derive(Debug)]
pub struct Verdicts {
    /// Whether the output says which failed: else every test stands among them.
    pub recognised: bool,
    pub failed: BTreeSet<Case>,
    pub beside: BTreeSet<Case>,
}

/// Where no failing test is recognised all test files count, if there are no more.
const FEW_FILES: usize = 6;

/// Finds the failing tests that the output names, or points into. Where it does neither, every test counts as failing.
pub fn verdicts(atlas: &mut Atlas, named: &[Failed], frames: &[Frame]) -> Verdicts {
    let mut verdicts = Verdicts { recognised: true, failed: BTreeSet::new(), beside: BTreeSet::new() };
    let mut files = BTreeSet::new();
    for test in named {
        let found = find(atlas, test);
        files.extend(found.iter().map(|case| case.file));
        verdicts.failed.extend(found);
    }
    if verdicts.failed.is_empty() {
        for frame in frames {
            for file in atlas.files(&frame.path) {
                let here = cases(atlas, file).into_iter().filter(|case| (case.first..=case.last).contains(&frame.line));
                verdicts.failed.extend(here);
                if atlas.sources[file].test {
                    files.insert(file);
                }
            }
        }
    }
    if verdicts.failed.is_empty() {
        verdicts.recognised = false;
        if files.is_empty() {
            let tests: Vec<usize> = (0..atlas.sources.len()).filter(|file| atlas.sources[*file].test).collect();
            files.extend(tests.into_iter().take(FEW_FILES + 1));
        }
        if files.len() <= FEW_FILES {
            verdicts.failed.extend(files.into_iter().flat_map(|file| whole(atlas, file)));
        }
        return verdicts;
    }
    files.extend(verdicts.failed.iter().map(|case| case.file));
    for file in files {
        verdicts.beside.extend(cases(atlas, file).into_iter().filter(|case| !verdicts.failed.contains(case)));
    }
    verdicts
}

/// The cases of a file; the file itself where it has none that are recognised.
fn whole(atlas: &mut Atlas, file: usize) -> Vec<Case> {
    let found = cases(atlas, file);
    if !found.is_empty() {
        return found;
    }
    vec![Case { file, first: 1, last: atlas.sources[file].lines.len(), name: String::new() }]
}

fn find(atlas: &mut Atlas, test: &Failed) -> Vec<Case> {
    let defining = atlas.definers(&test.name).to_vec();
    let mut files: Vec<usize> =
        if defining.is_empty() { (0..atlas.sources.len()).filter(|file| atlas.sources[*file].test).collect() } else { defining };
    if let Some(place) = &test.place {
        let there = |ends: &[String], file: usize| {
            let path = atlas.sources[file].path.as_str();
            ends.iter().any(|end| path == end || path.strip_suffix(end.as_str()).is_some_and(|dir| dir.ends_with('/')))
        };
        if let Some(ends) = places(place).into_iter().find(|ends| files.iter().any(|file| there(ends, *file))) {
            files.retain(|file| there(&ends, *file));
        }
    }
    files.into_iter().flat_map(|file| cases(atlas, file)).filter(|case| case.name == test.name).collect()
}

/// What a place may mean, as ends of paths, the longest first: it is a path, or a module (`tests.test_cart.Total`, `cart::tests`)
/// whose last parts are no files.
fn places(place: &str) -> Vec<Vec<String>> {
    let parts: Vec<&str> = if place.contains("::") { place.split("::").collect() } else { place.split('.').collect() };
    let file =
        |stem: String| ["py", "rs"].map(|extension| format!("{stem}.{extension}")).into_iter().chain([format!("{stem}/mod.rs")]);
    let modules = (1..=parts.len()).rev().map(|count| file(parts[..count].join("/")).collect());
    std::iter::once(vec![place.to_owned()]).chain(modules).collect()
}

/// Whether tests are described in words there.
fn is_script(language: Language) -> bool {
    matches!(language, Language::JavaScript | Language::TypeScript | Language::Tsx)
}

/// The cases of a file, in its order.
fn cases(atlas: &mut Atlas, file: usize) -> Vec<Case> {
    if is_script(atlas.sources[file].language) {
        let source = &atlas.sources[file];
        return if source.test { described(file, &source.lines) } else { Vec::new() };
    }
    let definitions = atlas.definitions(file);
    let source = &atlas.sources[file];
    let is_case = |name: &str, line: usize| match source.language {
        Language::Rust => attributes(source, line).any(|a| a.contains("test") && !a.contains("cfg(")),
        Language::Go => ["Test", "Example", "Fuzz"].iter().any(|begin| name.starts_with(begin)),
        _ => name.starts_with("test"),
    };
    let tests = definitions.iter().filter(|d| d.test && d.sort == Sort::Function && is_case(&d.name, d.first));
    tests.map(|d| Case { file, first: d.first, last: d.last, name: d.name.clone() }).collect()
}

/// The blocks of `test("words", …` and `it("words", …`: until a line closes that stands no further in.
fn described(file: usize, lines: &[String]) -> Vec<Case> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let head = line.trim_start().trim_start_matches("await ");
        let word = head.split(['(', '.']).next().unwrap_or_default();
        let opens = ["test", "it", "t", "Deno"].contains(&word) && head[word.len()..].starts_with(['(', '.']);
        let quote = |c: char| "\"'`".contains(c);
        let Some(from) = head.find(quote).filter(|_| opens) else { continue };
        let mark = &head[from..from + 1];
        let Some(name) = head[from + 1..].split(mark).next() else { continue };
        let end = lines[at + 1..].iter().position(|next| !next.trim().is_empty() && indent(next) <= indent(line));
        let oneliner = line.trim_end().ends_with(");") || line.trim_end().ends_with(')');
        let last = if oneliner { at + 1 } else { end.map_or(lines.len(), |end| at + 2 + end) };
        found.push(Case { file, first: at + 1, last, name: name.to_owned() });
    }
    found
}

/// The names that a case mentions, also through what it uses of its own file: a test's own `check` is no suspect.
pub fn mentioned(atlas: &mut Atlas, case: &Case) -> BTreeMap<String, Form> {
    let definitions = atlas.definitions(case.file);
    let source = &atlas.sources[case.file];
    let mut names: BTreeMap<String, Form> = BTreeMap::new();
    let mut read = |first: usize, last: usize| {
        let mut new = Vec::new();
        for (name, form) in mentions(source.language, &source.lines[first - 1..last.min(source.lines.len())]) {
            match names.get_mut(name) {
                Some(known) => *known = form.max(*known),
                None => {
                    names.insert(name.to_owned(), form);
                    new.push(name.to_owned());
                }
            }
        }
        new
    };
    let direct = read(case.first, case.last);
    let own = |name: &String| {
        definitions.iter().find(|d| d.test && d.sort == Sort::Function && d.name == *name && d.first != case.first)
    };
    for definition in direct.iter().filter_map(own) {
        read(definition.first, definition.last);
    }
    names
}
