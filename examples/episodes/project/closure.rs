//! What a function needs from its own file to run alone: imports, constants and sibling functions, as text.
//!
//! Names are matched, not resolved: whatever a function's text names and its file declares comes along, and so on from there.
//! What is missing then shows when the text is run. Anything that could reach files, processes, the network or the clock is
//! refused by name, which refuses too much and never too little.

use agent::repo::syntax::Language;
use std::collections::{BTreeMap, BTreeSet};
use tree_sitter::{Node, Parser, Tree};

/// A declaration at the top of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Where it stands in its file: items are put together in this order, imports first.
    pub at: (bool, usize),
    pub text: String,
    names: Vec<String>,
    function: bool,
    /// The words of its code: what it may need.
    words: BTreeSet<String>,
}

/// A function and what it needs, in the order of the file.
#[derive(Clone, Debug)]
pub struct Closed {
    pub name: String,
    /// The function's own text, one of the items'.
    pub text: String,
    pub items: BTreeSet<Item>,
}

/// More than this is a program of its own.
const MOST_ITEMS: usize = 9;
const MOST_LINES: usize = 60;

/// The declarations of one file.
pub struct File {
    language: Language,
    items: Vec<Item>,
}

impl File {
    /// Parses a file. `None` for a language without a harness.
    pub fn parse(language: Language, text: &str) -> Option<Self> {
        let tree = tree(language, text)?;
        let mut items = Vec::new();
        let mut cursor = tree.walk();
        for node in tree.root_node().named_children(&mut cursor) {
            declare(language, node, text, &mut items);
        }
        Some(Self { language, items })
    }

    /// The function `name` with everything that it needs; `None` where that is too much or refused.
    pub fn close(&self, name: &str) -> Option<Closed> {
        let entry = self.items.iter().find(|item| item.function && item.names.iter().any(|n| n == name))?;
        let declared: BTreeMap<&str, &Item> =
            self.items.iter().flat_map(|item| item.names.iter().map(move |name| (name.as_str(), item))).collect();
        let refused: BTreeSet<&str> = refused(self.language).split(' ').collect();
        let (mut items, mut open) = (BTreeSet::from([entry.clone()]), vec![entry]);
        while let Some(item) = open.pop() {
            for word in &item.words {
                if refused.contains(word.as_str()) {
                    return None;
                }
                if let Some(needed) = declared.get(word.as_str()).filter(|needed| !items.contains(**needed)) {
                    items.insert((*needed).clone());
                    open.push(needed);
                }
            }
        }
        let lines: usize = items.iter().map(|item| item.text.lines().count()).sum();
        let outside = items.iter().any(|item| item.at.0 == IMPORT && !allowed_import(self.language, &item.text));
        let small = items.len() <= MOST_ITEMS && lines <= MOST_LINES;
        (small && !outside).then(|| Closed { name: name.to_owned(), text: entry.text.clone(), items })
    }
}

/// `false` sorts first.
const IMPORT: bool = false;

/// The text of a module that holds these items.
pub fn module(language: Language, items: &BTreeSet<Item>) -> String {
    let mut text = String::new();
    let mut previous: Option<&Item> = None;
    for item in items {
        if let Some(previous) = previous {
            let blocks = item.function || previous.function;
            let gap = match (blocks, previous.at.0 == item.at.0) {
                (true, _) if language == Language::Python => "\n\n\n",
                (true, _) | (_, false) => "\n\n",
                _ => "\n",
            };
            text.push_str(gap);
        }
        text.push_str(&item.text);
        previous = Some(item);
    }
    text.push('\n');
    text
}

fn tree(language: Language, text: &str) -> Option<Tree> {
    let grammar = match language {
        Language::Python => tree_sitter_python::LANGUAGE,
        Language::JavaScript => tree_sitter_javascript::LANGUAGE,
        Language::Rust => tree_sitter_rust::LANGUAGE,
        Language::Go => tree_sitter_go::LANGUAGE,
        _ => return None,
    };
    let mut parser = Parser::new();
    parser.set_language(&grammar.into()).ok()?;
    parser.parse(text, None)
}

/// The words of code that stand in a node, those of comments and strings left out.
fn code_words(node: Node<'_>, text: &str, found: &mut BTreeSet<String>) {
    let prose = ["comment", "string", "content", "fragment", "char"];
    if node.kind().contains("comment") {
        return;
    }
    if node.child_count() == 0 {
        if !prose.iter().any(|kind| node.kind().contains(kind)) {
            found.extend(words(&text[node.byte_range()]).map(str::to_owned));
        }
        return;
    }
    let mut cursor = node.walk();
    for child in node.children(&mut cursor) {
        code_words(child, text, found);
    }
}

/// Every word that could be a name, whatever it is in fact.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).filter(|word| !word.is_empty())
}

fn named<'t>(node: Node<'_>, field: &str, text: &'t str) -> Option<&'t str> {
    Some(&text[node.child_by_field_name(field)?.byte_range()])
}

fn declare(language: Language, node: Node<'_>, text: &str, items: &mut Vec<Item>) {
    let source = &text[node.byte_range()];
    let mut used = BTreeSet::new();
    code_words(node, text, &mut used);
    let mut add = |import: bool, function: bool, names: Vec<&str>, text: &str| {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        items.push(Item {
            at: (import, node.start_byte() + items.len()),
            text: text.trim_end().to_owned(),
            names,
            function,
            words: if import == IMPORT { BTreeSet::new() } else { used.clone() },
        });
    };
    match (language, node.kind()) {
        (Language::Python | Language::Rust, "function_definition" | "function_item")
        | (Language::JavaScript | Language::Go, "function_declaration") => {
            if let Some(name) = named(node, "name", text) {
                add(!IMPORT, true, vec![name], source);
            }
        }
        (Language::Python, "import_statement") => {
            for part in source.trim_start_matches("import ").split(',').map(str::trim) {
                let bound = part.rsplit(" as ").next().unwrap_or(part).split('.').next().unwrap_or(part);
                add(IMPORT, false, vec![bound], &format!("import {part}"));
            }
        }
        (Language::Python, "import_from_statement") => {
            if let Some((from, names)) = source.split_once(" import ") {
                for part in names.trim_matches(['(', ')']).split(',').map(str::trim).filter(|part| !part.is_empty()) {
                    let part = part.split('#').next().unwrap_or(part).trim();
                    let bound = part.rsplit(" as ").next().unwrap_or(part);
                    add(IMPORT, false, vec![bound], &format!("{from} import {part}"));
                }
            }
        }
        (Language::Python, "expression_statement") => {
            let assigned = node.named_child(0).filter(|child| child.kind() == "assignment");
            if let Some(name) = assigned.and_then(|assigned| named(assigned, "left", text)) {
                add(!IMPORT, false, vec![name], source);
            }
        }
        (Language::JavaScript, "export_statement") => {
            if let Some(inner) = node.child_by_field_name("declaration") {
                declare(language, inner, text, items);
            }
        }
        (Language::JavaScript, "lexical_declaration" | "variable_declaration") => {
            let mut cursor = node.walk();
            let all: Vec<_> = node.named_children(&mut cursor).filter(|child| child.kind() == "variable_declarator").collect();
            let arrow = all
                .first()
                .and_then(|one| one.child_by_field_name("value"))
                .is_some_and(|value| matches!(value.kind(), "arrow_function" | "function_expression"));
            let names = all.iter().filter_map(|one| named(*one, "name", text)).collect();
            add(!IMPORT, arrow && all.len() == 1, names, source);
        }
        (Language::JavaScript, "import_statement") => add(IMPORT, false, words(source).collect(), source),
        (Language::Rust, "const_item" | "static_item") => {
            add(!IMPORT, false, named(node, "name", text).into_iter().collect(), source);
        }
        (Language::Rust, "use_declaration") => {
            let names = words(source).filter(|word| !["use", "std", "core", "alloc", "crate", "pub"].contains(word)).collect();
            add(IMPORT, false, names, source);
        }
        (Language::Go, "const_declaration" | "var_declaration" | "type_declaration") => {
            let mut names = Vec::new();
            collect_names(node, text, &mut names);
            add(!IMPORT, false, names, source);
        }
        (Language::Go, "import_declaration") => {
            for path in source.split('"').skip(1).step_by(2) {
                add(IMPORT, false, path.rsplit('/').next().into_iter().collect(), &format!("import \"{path}\""));
            }
        }
        _ => {}
    }
}

/// The names that the specs of a Go declaration bind.
fn collect_names<'t>(node: Node<'_>, text: &'t str, names: &mut Vec<&'t str>) {
    let mut cursor = node.walk();
    for child in node.named_children(&mut cursor) {
        if matches!(child.kind(), "const_spec" | "var_spec" | "type_spec") {
            let mut inner = child.walk();
            names.extend(child.children_by_field_name("name", &mut inner).map(|name| &text[name.byte_range()]));
        } else {
            collect_names(child, text, names);
        }
    }
}

/// Libraries that compute and do nothing else.
fn allowed_import(language: Language, text: &str) -> bool {
    let among = |module: &str, list: &str| list.split(' ').any(|allowed| allowed == module);
    match language {
        Language::Python => {
            let module = text.split_whitespace().nth(1).unwrap_or_default();
            among(
                module,
                "__future__ re math string itertools functools collections collections.abc textwrap operator bisect heapq \
                 fractions decimal unicodedata html urllib.parse base64 binascii struct keyword numbers enum types copy \
                 typing dataclasses statistics difflib calendar colorsys posixpath ntpath fnmatch cmath",
            )
        }
        Language::Go => among(
            text.trim_start_matches("import ").trim_matches('"'),
            "strings strconv math math/bits unicode unicode/utf8 sort bytes errors fmt path",
        ),
        Language::Rust => {
            let path = text.trim_start_matches("pub ").trim_start_matches("use ");
            ["cmp", "collections", "iter", "mem", "ops", "str", "string", "char", "borrow", "convert", "num"]
                .iter()
                .any(|module| ["std", "core", "alloc"].iter().any(|root| path.starts_with(&format!("{root}::{module}"))))
        }
        _ => false,
    }
}

/// Words that a function may not hold: what acts on the world, and what answers differently each time.
fn refused(language: Language) -> &'static str {
    match language {
        Language::Python => {
            // What needs a module that is not allowed cannot be done anyway.
            "open exec eval globals locals __import__ breakpoint input exit quit async await __file__"
        }
        Language::JavaScript => {
            "process require fs child_process fetch document window globalThis global eval Function Date random setTimeout \
             setInterval console Promise async await performance crypto Symbol WeakMap this yield Intl Buffer navigator"
        }
        Language::Rust => {
            "unsafe fs process net env thread println print eprintln eprint dbg File Command Instant SystemTime io asm extern self \
             Self async await crate super write cfg include_str include_bytes TokenStream"
        }
        Language::Go => {
            "os exec net syscall unsafe ioutil http time rand go chan Println Printf Print Fprintf Fprintln select C io reflect \
             runtime sync context testing"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use crate::project::closure::{File, module};
    use agent::repo::syntax::Language;

    fn check(language: Language, text: &str, name: &str, expected: Option<&str>) {
        let closed = File::parse(language, text).unwrap().close(name);
        assert_eq!(closed.map(|closed| module(language, &closed.items)).as_deref(), expected);
    }

    #[test]
    fn what_is_named_comes_along_and_nothing_else() {
        let python = "import re, os\nfrom math import floor as fl, ceil\nA = B = 1\nLIMIT = 3\ndef other():\n    return 1\n\
                      def half(n):\n    return fl(n / LIMIT)\n";
        check(
            Language::Python,
            python,
            "half",
            Some("from math import floor as fl\n\nLIMIT = 3\n\n\ndef half(n):\n    return fl(n / LIMIT)\n"),
        );
        let go = "package x\nimport (\n\t\"strings\"\n\t\"os\"\n)\nconst (\n\tA = iota\n\tB\n)\nfunc F(s string) int { return len(strings.TrimSpace(s)) + B }\n";
        check(
            Language::Go,
            go,
            "F",
            Some(
                "import \"strings\"\n\nconst (\n\tA = iota\n\tB\n)\n\nfunc F(s string) int { return len(strings.TrimSpace(s)) + B }\n",
            ),
        );
    }

    #[test]
    fn prose_names_nothing() {
        let python = "def f(x):\n    \"\"\"Like open(), in no time.\"\"\"\n    return x  # print\n";
        check(Language::Python, python, "f", Some(python));
        check(Language::Python, "def f(x):\n    return f'{open(x)}'\n", "f", None);
    }

    #[test]
    fn what_reaches_outside_is_refused_at_any_depth() {
        check(Language::Python, "import json\ndef f(x):\n    return json.loads(x)\n", "f", None);
        check(Language::Python, "def g(p):\n    return open(p)\ndef f(p):\n    return g(p)\n", "f", None);
        check(Language::JavaScript, "import x from 'y';\nexport function f(a) { return x(a); }\n", "f", None);
        check(Language::Rust, "fn f() -> u8 { unsafe { 1 } }\n", "f", None);
    }

    #[test]
    fn an_exported_function_is_taken_without_the_export() {
        check(Language::JavaScript, "export const f = (a) => a + 1;\n", "f", Some("const f = (a) => a + 1;\n"));
    }
}
