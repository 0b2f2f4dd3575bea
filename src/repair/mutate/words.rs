//! Words that are missing or too many, and words for their counterparts.

use crate::repair::Kind;
use crate::repair::mutate::Edit;
use crate::repair::mutate::code::{Code, Zone};
use crate::repair::mutate::grammar::CALLS;
use crate::repair::mutate::names::Names;
use crate::repair::mutate::roles::Role;
use crate::repair::mutate::tables::{BUILTINS, COUNTERPARTS, FIXED, INSTANT, KEYWORDS};
use crate::repair::mutate::values::callee;
use crate::repo::syntax::Language;

pub fn edits(code: &Code<'_>, names: &Names<'_>, found: &mut Vec<Edit>) {
    let waits = code.items.iter().any(|item| item.kind == "async" && item.zone != Zone::Dead);
    let fails = fails(code);
    for item in code.live() {
        returned(code, item, found);
        awaited(code, item, waits, found);
        if code.language == Language::Rust {
            tried(code, item, fails, found);
            ended(code, item, found);
        }
        if code.is_leaf(item) {
            counterparts(code, item, names, found);
        }
    }
}

/// `return` before a value that nobody takes, or before none. Languages with a compiler find that by themselves.
fn returned(code: &Code<'_>, item: usize, found: &mut Vec<Edit>) {
    if code.language != Language::Python && !code.is_script() {
        return;
    }
    let Some(value) = code.parts(item).next() else { return };
    let start = code.items[item].bytes.start;
    match code.kind(item) {
        "return_statement" => {
            found.push(Edit::remove(code, start..code.items[value].bytes.start, Kind::Missing));
        }
        "expression_statement" => {
            let parent = code.parent(item);
            let last = code.parts(parent).last() == Some(item) && matches!(code.kind(parent), "block" | "statement_block");
            let effect =
                code.kind(value).contains("assignment") || code.kind(value).starts_with("update") || code.kind(value) == "yield";
            if last && !effect && !code.is_string(value) && !matches!(callee(code, value), "print" | "super") {
                found.push(Edit::insert(start, "return ", Kind::Missing).mending());
            }
        }
        _ => {}
    }
}

/// `await` before a call, or behind one in Rust.
fn awaited(code: &Code<'_>, item: usize, waits: bool, found: &mut Vec<Edit>) {
    let at = &code.items[item].bytes;
    let rust = code.language == Language::Rust;
    if matches!(code.kind(item), "await" | "await_expression") {
        let Some(value) = code.parts(item).next() else { return };
        let value = &code.items[value].bytes;
        let gone = if rust { value.end..at.end } else { at.start..value.start };
        let mut edit = Edit::remove(code, gone, Kind::Missing);
        edit.removed = "await".into();
        found.push(edit);
    } else if waits
        && is_open_call(code, item)
        && !INSTANT.contains(&callee(code, item))
        && !code.kind(code.parent(item)).starts_with("await")
    {
        let mut edit =
            if rust { Edit::insert(at.end, ".await", Kind::Missing) } else { Edit::insert(at.start, "await ", Kind::Missing) };
        edit.added = "await".into();
        found.push(edit.mending());
    }
}

/// A call that may wait or fail, for all that its name says.
fn is_open_call(code: &Code<'_>, item: usize) -> bool {
    let name = callee(code, item);
    CALLS.contains(&code.kind(item)) && !FIXED.contains(&name) && !name.starts_with(char::is_uppercase) && !name.is_empty()
}

/// Whether the function may fail: its own `?` can only then have been lost.
fn fails(code: &Code<'_>) -> bool {
    let results = |i: usize| code.field(i) == Some("return_type");
    let mut types = (0..code.items.len()).filter(|&i| results(i)).peekable();
    types.peek().is_none() || types.any(|i| ["Result", "Option"].iter().any(|word| code.text(i).contains(word)))
}

fn tried(code: &Code<'_>, item: usize, fails: bool, found: &mut Vec<Edit>) {
    let at = &code.items[item].bytes;
    if code.kind(item) == "try_expression" {
        found.push(Edit::remove(code, at.end - 1..at.end, Kind::Missing));
    } else if fails
        && code.kind(code.parent(item)) != "try_expression"
        && (is_open_call(code, item) || code.kind(item) == "await_expression")
    {
        found.push(Edit::insert(at.end, "?", Kind::Missing).mending());
    }
}

/// The semicolon that makes a function's value nothing.
fn ended(code: &Code<'_>, item: usize, found: &mut Vec<Edit>) {
    let function = code.parent(item);
    let valued =
        code.kind(item) == "block" && code.kind(function) == "function_item" && code.child(function, "return_type").is_some();
    let Some(last) = code.parts(item).last().filter(|_| valued) else { return };
    let at = code.items[last].bytes.clone();
    let text = code.text(last);
    if code.kind(last) == "expression_statement" && text.ends_with(';') && !text.starts_with("return") {
        found.push(Edit::remove(code, at.end - 1..at.end, Kind::Missing));
    } else if code.kind(last) != "expression_statement" && !code.kind(last).ends_with("_declaration") {
        found.push(Edit::insert(at.end, ";", Kind::Missing));
    }
}

fn counterparts(code: &Code<'_>, item: usize, names: &Names<'_>, found: &mut Vec<Edit>) {
    let text = code.text(item);
    let at = code.items[item].bytes.start;
    let mut put = |table: &[(&'static str, &'static str)], known: &dyn Fn(&str) -> bool| {
        for &(one, other) in table {
            for (_, other) in [(one, other), (other, one)]
                .into_iter()
                .filter(|(one, other)| *one == text && is_spelt(code, other) && known(other))
            {
                found.push(Edit::replace(code, item, other, Kind::Counterpart));
            }
        }
    };
    match names.role(item) {
        Some(Role::Field | Role::Method(_)) => put(COUNTERPARTS, &|_| true),
        Some(Role::Callee(_)) => {
            put(BUILTINS, &|_| true);
            put(COUNTERPARTS, &|other| names.calls(other));
        }
        Some(Role::Value) => put(COUNTERPARTS, &|other| names.visible(other, at)),
        Some(Role::Target) => put(COUNTERPARTS, &|other| names.bound(other, at)),
        Some(Role::Binding) => {}
        // `Ordering::Less`, `std::cmp::min`
        None if code.kind(code.parent(item)) == "scoped_identifier" => {
            put(KEYWORDS, &|_| true);
            put(BUILTINS, &|_| true);
        }
        None => put(KEYWORDS, &|_| true),
    }
}

/// Whether a word may be one of the language's: `findLast` is no Python, `trim_end` no script.
fn is_spelt(code: &Code<'_>, word: &str) -> bool {
    match code.language {
        Language::Python | Language::Rust | Language::Ruby => {
            !word[1..].contains(char::is_uppercase) || word == "MAX" || word == "MIN"
        }
        Language::Go | Language::Java | Language::JavaScript | Language::TypeScript | Language::Tsx => !word.contains('_'),
        _ => true,
    }
}
