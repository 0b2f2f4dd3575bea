//! Conditions the other way round: `not` where none is, none where one is.

use crate::repair::Kind;
use crate::repair::mutate::Edit;
use crate::repair::mutate::code::Code;
use crate::repair::mutate::grammar::{BINARIES, CALLS, SIMPLE};
use crate::repair::mutate::operators::joined;
use crate::repair::mutate::tables::QUESTIONS;
use crate::repair::mutate::values::callee;
use crate::repo::syntax::Language;

const PARENTHESES: &[&str] = &["parenthesized_expression", "condition_clause", "parenthesized_statements"];

pub fn edits(code: &Code<'_>, found: &mut Vec<Edit>) {
    for item in code.live() {
        straightened(code, item, found);
        worded(code, item, found);
        if let Some(condition) = condition(code, item) {
            turned(code, condition, found);
        } else if let Some((left, right)) = sides(code, item) {
            turned(code, left, found);
            turned(code, right, found);
        } else if asks(code, item) {
            turned(code, item, found);
        }
    }
}

/// A `not` less.
fn straightened(code: &Code<'_>, item: usize, found: &mut Vec<Edit>) {
    let mut children = code.children(item);
    let (Some(sign), Some(argument)) = (children.next(), children.next()) else { return };
    let negation =
        matches!(code.kind(item), "not_operator" | "unary_expression" | "unary") && matches!(code.text(sign), "!" | "not");
    if negation {
        let at = code.items[item].bytes.start..code.items[argument].bytes.start;
        found.push(Edit::remove(code, at, Kind::Negation));
    }
}

/// `is` and `in`, and what denies them.
fn worded(code: &Code<'_>, item: usize, found: &mut Vec<Edit>) {
    if code.language != Language::Python || code.kind(code.parent(item)) != "comparison_operator" {
        return;
    }
    let other = match code.kind(item) {
        "is" => "is not",
        "is not" => "is",
        "in" => "not in",
        "not in" => "in",
        _ => return,
    };
    let mut edit = Edit::replace(code, item, other, Kind::Negation);
    // Only the `not` comes or goes.
    (edit.removed, edit.added) =
        if other.contains("not") { (String::new(), "not".into()) } else { ("not".into(), String::new()) };
    found.push(edit);
}

/// What decides in an item that asks for a decision.
fn condition(code: &Code<'_>, item: usize) -> Option<usize> {
    let after = |word: &str| code.children(item).skip_while(|&i| code.text(i) != word).nth(1);
    let whole = match code.kind(item) {
        "conditional_expression" if code.language == Language::Python => after("if")?,
        "if_clause" => after("if")?,
        "assert_statement" => after("assert")?,
        _ => code.child(item, "condition")?,
    };
    // Parentheses that the statement itself demands.
    let demanded = PARENTHESES.contains(&code.kind(whole)) && code.kind(item).ends_with("_statement");
    let demands = code.is_script() || matches!(code.language, Language::C | Language::Cpp | Language::Java);
    if demanded && demands { code.parts(whole).next() } else { Some(whole) }
}

/// The two conditions that `and` or `or` joins.
fn sides(code: &Code<'_>, item: usize) -> Option<(usize, usize)> {
    if !BINARIES.contains(&code.kind(item)) {
        return None;
    }
    let mut parts = code.children(item);
    let (left, sign, right) = (parts.next()?, parts.next()?, parts.next()?);
    joined(code.text(sign)).map(|_| (left, right))
}

/// A `not` more, where the condition is no comparison: that has other contraries.
fn turned(code: &Code<'_>, item: usize, found: &mut Vec<Edit>) {
    let kind = code.kind(item);
    let simple = SIMPLE.contains(&kind) && !code.is_string(item)
        || CALLS.contains(&kind)
        || PARENTHESES.contains(&kind)
        || matches!(kind, "macro_invocation" | "await" | "await_expression");
    if simple && code.text(item).starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '(' | '@')) {
        let word = if code.language == Language::Python { "not " } else { "!" };
        found.push(Edit::insert(code.items[item].bytes.start, word, Kind::Negation));
    }
}

/// Whether a value is the answer to a question by its name, and is used as such.
fn asks(code: &Code<'_>, item: usize) -> bool {
    let name = if CALLS.contains(&code.kind(item)) {
        callee(code, item)
    } else if SIMPLE.contains(&code.kind(item)) {
        let text = code.text(item);
        text.rsplit(['.', ':']).next().unwrap_or(text)
    } else {
        return false;
    };
    let value = matches!(code.field(item), Some("value" | "right" | "body"))
        || matches!(
            code.kind(code.parent(item)),
            "return_statement"
                | "return_expression"
                | "argument_list"
                | "arguments"
                | "block"
                | "expression_list"
                | "list_comprehension"
        );
    let part = code.child(code.parent(item), "object").is_some() || code.kind(code.parent(item)) == "field_expression";
    value && !part && is_question(name)
}

/// `is_empty`, `hasNext`, `contains`: a whole word of the table begins the name.
fn is_question(name: &str) -> bool {
    let begins = |word: &&&str| name.strip_prefix(**word).is_some_and(|rest| !rest.starts_with(|c: char| c.is_lowercase()));
    QUESTIONS.iter().any(|word| begins(&word))
}
