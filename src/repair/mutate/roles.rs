//! What the names of a passage are there for, and where each begins and ends.

use crate::repair::mutate::code::{Code, Zone};
use crate::repair::mutate::grammar::{
    ACCESSED, ACCESSES, ASSIGNMENTS, BINDERS, BLOCKS, CALLS, COMPREHENSIONS, FUNCTIONS, PATTERNS, WORDS,
};
use crate::repo::syntax::Language;
use std::ops::Range;

/// What a name is there for. A call has a number of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A value is read, or read and changed.
    Value,
    /// A variable that has a value already gets another.
    Target,
    /// A name begins.
    Binding,
    Callee(usize),
    Field,
    Method(usize),
}

/// What a name is there for. `None` for what is no name of a value: types, paths, keywords of arguments.
pub fn role(code: &Code<'_>, item: usize) -> Option<Role> {
    let (kind, field, parent) = (code.kind(item), code.field(item), code.parent(item));
    let here = code.kind(parent);
    let live = code.items[item].zone == Zone::Live;
    if !code.is_leaf(item) || code.items[item].zone == Zone::Dead {
        return None;
    }
    if matches!(kind, "shorthand_property_identifier_pattern" | "shorthand_field_identifier") {
        return Some(Role::Binding);
    }
    if !WORDS.contains(&kind) {
        return None;
    }
    if !live {
        return (kind == "identifier").then_some(Role::Binding);
    }
    if here == "token_tree" {
        return role_in_macro(code, item);
    }
    let receiver = here != "method_invocation" && here != "call" || code.children(parent).any(|i| code.text(i) == ".");
    if ACCESSES.contains(&here) && receiver && field.is_some_and(|field| ACCESSED.contains(&field)) {
        let direct = ["call", "method_invocation"].contains(&here);
        return Some(arguments(code, if direct { item } else { parent }).map_or(Role::Field, Role::Method));
    }
    if kind != "identifier" || is_no_value(code, item, here, field) {
        return None;
    }
    if is_bound(code, item) {
        return Some(Role::Binding);
    }
    Some(arguments(code, item).map_or(Role::Value, Role::Callee))
}

fn is_no_value(code: &Code<'_>, item: usize, here: &str, field: Option<&str>) -> bool {
    let label = matches!((here, field), ("keyword_argument" | "field_initializer" | "named_argument", Some("name" | "field")));
    let key = here == "literal_element" && code.field(code.parent(item)) == Some("key");
    let path =
        ["scoped_identifier", "dotted_name", "macro_invocation", "generic_function", "qualified_identifier"].contains(&here);
    let made = ["new_expression", "jsx_opening_element", "jsx_closing_element", "jsx_self_closing_element"].contains(&here);
    label || key || path || made || here == "ERROR"
}

/// Macros have no syntax: what stands beside a word says what it is.
fn role_in_macro(code: &Code<'_>, item: usize) -> Option<Role> {
    let beside = |item: Option<usize>| item.map_or("", |i| code.text(i));
    let (before, after) = (beside(code.before(item)), beside(code.next(item)));
    match (before, after) {
        ("::", _) | (_, "::" | "!" | "=" | ":") => None,
        (".", after) if after.starts_with('(') => None,
        (".", _) => Some(Role::Field),
        (_, after) if after.starts_with('(') => None,
        _ => Some(Role::Value),
    }
}

/// How many arguments the call has whose function the item is; `None` where nothing is called.
fn arguments(code: &Code<'_>, item: usize) -> Option<usize> {
    let call = code.parent(item);
    let called = CALLS.contains(&code.kind(call)) && matches!(code.field(item), Some("function" | "method" | "name"));
    called.then(|| code.child(call, "arguments").map_or(0, |list| code.parts(list).count()))
}

/// The name that Go's methods give the value that they belong to.
pub fn receiver<'p>(code: &Code<'p>) -> Option<&'p str> {
    let list = (0..code.items.len()).find(|&i| code.field(i) == Some("receiver") && code.kind(i) == "parameter_list")?;
    let declared = code.parts(list).next()?;
    code.child(declared, "name").map(|name| code.text(name))
}

/// What holds the pattern that a name is part of, or the name itself.
pub fn holder(code: &Code<'_>, item: usize) -> usize {
    let mut at = item;
    while PATTERNS.contains(&code.kind(code.parent(at))) && code.field(at) != Some("condition") {
        at = code.parent(at);
    }
    code.parent(at)
}

fn is_bound(code: &Code<'_>, item: usize) -> bool {
    let mut at = item;
    while PATTERNS.contains(&code.kind(code.parent(at))) {
        if matches!(code.field(at), Some("condition" | "size" | "right")) {
            return false;
        }
        at = code.parent(at);
    }
    let (holder, field) = (code.parent(at), code.field(at).unwrap_or_default());
    let kind = code.kind(holder);
    if kind == "as_pattern_target" || kind == "case_pattern" {
        return true;
    }
    // Go has one statement for `=` and `+=`.
    let sets = ASSIGNMENTS.contains(&kind) && code.child(holder, "operator").is_none_or(|i| code.text(i) == "=");
    sets && field == "left" || BINDERS.contains(&(kind, field))
}

/// Where a name that begins here can be seen.
pub fn sight(code: &Code<'_>, item: usize) -> Range<usize> {
    let holder = holder(code, item);
    // A name begins behind its own value; the `value` of an arm is what its names are for.
    let value =
        ["right", "value"].iter().find_map(|field| code.child(holder, field)).filter(|_| code.kind(holder) != "match_arm");
    let at = value.map_or(code.items[item].bytes.start, |value| code.items[value].bytes.end);
    let flat = matches!(code.language, Language::Python | Language::Ruby);
    let within = |i: &usize| {
        let kind = code.kind(*i);
        // Python's `block` is only indentation.
        let functions = FUNCTIONS.contains(&kind) && (kind != "block" || code.language == Language::Ruby);
        COMPREHENSIONS.contains(&kind) || if flat { functions } else { BLOCKS.contains(&kind) }
    };
    let outer = code.ancestors(item).find(within).unwrap_or(0);
    let whole = &code.items[outer].bytes;
    if COMPREHENSIONS.contains(&code.kind(outer)) { whole.clone() } else { at..whole.end }
}
