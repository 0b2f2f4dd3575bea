//! Numbers, bounds and the order of arguments.

use crate::repair::Kind;
use crate::repair::mutate::Edit;
use crate::repair::mutate::code::Code;
use crate::repair::mutate::grammar::{BINARIES, CALLS, INDEXINGS, INTEGERS, SIMPLE};
use crate::repair::mutate::names::Names;
use crate::repair::mutate::roles::Role;
use crate::repair::mutate::tables::{BOUNDED, LENGTHS, NO_NAMES};
use crate::repo::syntax::Language;

/// Longer numbers are no counts.
const DIGITS: usize = 4;

pub fn edits(code: &Code<'_>, names: &Names<'_>, said: &[String], found: &mut Vec<Edit>) {
    let tight = is_tight(code);
    for item in code.live() {
        if INTEGERS.contains(&code.kind(item)) {
            numbers(code, item, said, found);
        }
        if !code.items[item].named {
            ranges(code, item, found);
            continue;
        }
        shortened(code, item, found);
        if is_bound(code, names, item) {
            let [less, more] = if tight_at(code, item, tight) { ["-1", "+1"] } else { [" - 1", " + 1"] };
            let end = code.items[item].bytes.end;
            found.extend([less, more].map(|step| Edit::insert(end, step, Kind::Bound)));
        }
        swapped(code, item, found);
        turned(code, item, found);
    }
}

/// One more, one less, and what the issue says; behind the number may stand its type.
fn numbers(code: &Code<'_>, item: usize, said: &[String], found: &mut Vec<Edit>) {
    let text = code.text(item);
    let digits = &text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())];
    let suffix = &text[digits.len()..];
    let padded = digits.len() > 1 && digits.starts_with('0');
    // `0x10`, `1_000`, `1.5`, `1e3`
    let written = suffix.starts_with(['x', 'b', 'o', '_', '.', 'e', 'X']);
    let Ok(value) = digits.parse::<u32>() else { return };
    if padded || written || digits.len() > DIGITS {
        return;
    }
    let negative = code.kind(code.parent(item)).starts_with("unary") && code.before(item).is_some_and(|i| code.text(i) == "-");
    let least = u32::from(negative);
    for other in [Some(value + 1), value.checked_sub(1)].into_iter().flatten().filter(|n| *n >= least && *n < 10_000) {
        found.push(Edit::replace(code, item, &format!("{other}{suffix}"), Kind::Number));
    }
    for word in said.iter().filter(|word| word.len() <= 6 && word.bytes().all(|b| b.is_ascii_digit()) && !word.is_empty()) {
        found.push(Edit::replace(code, item, &format!("{word}{suffix}"), Kind::Number));
    }
    if code.language == Language::Python
        && INDEXINGS.contains(&code.kind(if negative { code.parent(code.parent(item)) } else { code.parent(item) }))
    {
        ends(code, item, negative, value, found);
    }
}

/// The first for the last element, where -1 is the last.
fn ends(code: &Code<'_>, item: usize, negative: bool, value: u32, found: &mut Vec<Edit>) {
    match (negative, value) {
        (false, 0) => found.push(Edit::replace(code, item, "-1", Kind::Counterpart)),
        (true, 1) => found.push(Edit::replace(code, code.parent(item), "0", Kind::Counterpart)),
        _ => {}
    }
}

/// A range with its end or without.
fn ranges(code: &Code<'_>, item: usize, found: &mut Vec<Edit>) {
    let ends =
        code.next(item).is_some() && matches!(code.kind(code.parent(item)), "range_expression" | "range_pattern" | "range");
    let other = match (code.language, code.text(item)) {
        (Language::Rust, "..") | (Language::Ruby, "...") => {
            if code.language == Language::Rust {
                "..="
            } else {
                ".."
            }
        }
        (Language::Rust, "..=") => "..",
        (Language::Ruby, "..") => "...",
        _ => return,
    };
    if ends {
        found.push(Edit::replace(code, item, other, Kind::Bound));
    }
}

/// `n - 1` and `n + 1` become `n`.
fn shortened(code: &Code<'_>, item: usize, found: &mut Vec<Edit>) {
    let Some((left, sign, right)) = operands(code, item) else { return };
    if matches!(sign, "+" | "-") && code.text(right) == "1" && !INTEGERS.contains(&code.kind(left)) {
        found.push(Edit::remove(code, code.items[left].bytes.end..code.items[item].bytes.end, Kind::Bound));
    }
}

/// The sides of a binary operation, and its sign.
fn operands<'p>(code: &Code<'p>, item: usize) -> Option<(usize, &'p str, usize)> {
    if !BINARIES.contains(&code.kind(item)) {
        return None;
    }
    let mut parts = code.children(item);
    let (left, sign, right) = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then(|| (left, code.text(sign), right))
}

/// Whether a step more or less is likely here: at the side of a comparison, in an index, a slice or a range; and wherever a
/// number that is known to be one, or a count of elements, is passed on as it is.
fn is_bound(code: &Code<'_>, names: &Names<'_>, item: usize) -> bool {
    let (kind, parent) = (code.kind(item), code.parent(item));
    let length = is_length(code, item);
    let here = code.kind(parent);
    let own = matches!(kind, "attribute" | "member_expression" | "field_expression" | "selector_expression");
    let own = own && code.children(item).next().is_some_and(|object| matches!(code.text(object), "self" | "this"));
    let variable = names.role(item) == Some(Role::Value) && here != "token_tree" && !is_constant(code.text(item));
    let number = variable && names.is_number(code.text(item));
    if !length && !own && !variable
        || matches!(code.field(item), Some("function" | "left" | "name" | "pattern")) && !BINARIES.contains(&here)
    {
        return false;
    }
    let begins = code.children(parent).next() == Some(item);
    match here {
        _ if INDEXINGS.contains(&here) => !begins,
        "slice" | "range_expression" => true,
        "slice_expression" => !begins,
        "argument_list" | "arguments" => {
            length || number || variable && is_counting(code, names, code.parent(parent), code.text(item))
        }
        _ if operands(code, parent).is_some() => compares(code, parent, item, length),
        "assignment" | "return_statement" | "let_declaration" | "variable_declarator" | "expression_list" | "tuple" => {
            length || number
        }
        "assignment_expression" | "short_var_declaration" | "return_expression" | "tuple_expression" => length || number,
        "interpolation" | "template_substitution" | "jsx_expression" => number,
        "parenthesized_expression" => (length || number || own) && !code.kind(code.parent(parent)).ends_with("_statement"),
        _ => false,
    }
}

/// Whether a side of a comparison is one that may be off by one: of an order, or the right one of an equality.
fn compares(code: &Code<'_>, whole: usize, item: usize, length: bool) -> bool {
    let Some((left, sign, right)) = operands(code, whole) else { return false };
    let other = if item == left { right } else { left };
    let fixed = code.is_string(other) || matches!(code.kind(other), "none" | "null" | "nil" | "true" | "false" | "undefined");
    match sign {
        "<" | "<=" | ">" | ">=" => !fixed,
        "==" | "!=" | "===" | "!==" => !fixed && !INTEGERS.contains(&code.kind(other)) && (length || item == right),
        _ => false,
    }
}

/// Whether the arguments of a call are positions or counts, or the call is the function's own and nothing says what it takes.
fn is_counting(code: &Code<'_>, names: &Names<'_>, call: usize, name: &str) -> bool {
    let callee = callee(code, call);
    BOUNDED.contains(&callee) || names.defines(callee) && !names.is_told(name) && !NO_NAMES.contains(&name)
}

/// The last word of what a call calls; empty for what is no call.
pub fn callee<'p>(code: &Code<'p>, call: usize) -> &'p str {
    let named = code.child(call, "function").or_else(|| code.child(call, "name")).or_else(|| code.child(call, "method"));
    let Some(function) = named.filter(|_| CALLS.contains(&code.kind(call))) else { return "" };
    let text = code.text(function);
    text.rsplit(['.', ':']).next().unwrap_or(text)
}

fn is_length(code: &Code<'_>, item: usize) -> bool {
    if CALLS.contains(&code.kind(item)) {
        return LENGTHS.contains(&callee(code, item));
    }
    let called = code.field(item) == Some("function");
    let counted = code.child(item, "property").is_some_and(|i| LENGTHS.contains(&code.text(i)));
    counted && !called
}

/// `MAX_SIZE` is a limit by itself, and rarely one off.
fn is_constant(name: &str) -> bool {
    name.len() > 1 && !name.contains(char::is_lowercase)
}

/// Whether the passage writes `n-1` rather than `n - 1`.
fn is_tight(code: &Code<'_>) -> bool {
    let signs = code.live().filter(|&i| matches!(code.kind(i), "+" | "-") && BINARIES.contains(&code.kind(code.parent(i))));
    let (tight, loose): (Vec<usize>, Vec<usize>) = signs.partition(|&i| !code.source[..code.items[i].bytes.start].ends_with(' '));
    tight.len() > loose.len()
}

/// gofmt closes the gaps within what has gaps of its own; elsewhere each passage has its habit.
fn tight_at(code: &Code<'_>, item: usize, habit: bool) -> bool {
    if code.language != Language::Go {
        return habit;
    }
    let parent = code.parent(item);
    match code.kind(parent) {
        "argument_list" => code.parts(parent).nth(1).is_some(),
        "index_expression" | "slice_expression" | "binary_expression" => true,
        _ => false,
    }
}

/// Two neighbouring arguments the other way round.
fn swapped(code: &Code<'_>, item: usize, found: &mut Vec<Edit>) {
    if !matches!(code.kind(item), "argument_list" | "arguments") {
        return;
    }
    let given: Vec<usize> = code.parts(item).collect();
    for pair in given.windows(2) {
        found.extend(exchange(code, pair[0], pair[1]));
    }
}

/// The sides of what is no sum or product the other way round.
fn turned(code: &Code<'_>, item: usize, found: &mut Vec<Edit>) {
    let Some((left, sign, right)) = operands(code, item) else { return };
    let literal = |i| INTEGERS.contains(&code.kind(i)) || code.is_string(i);
    if matches!(sign, "-" | "/" | "//" | "%") && !literal(left) && !literal(right) {
        found.extend(exchange(code, left, right));
    }
}

fn exchange(code: &Code<'_>, left: usize, right: usize) -> Option<Edit> {
    let simple = |i: usize| SIMPLE.contains(&code.kind(i)) && !code.text(i).contains(['\n', '(']);
    if !simple(left) || !simple(right) || code.text(left) == code.text(right) {
        return None;
    }
    let (first, second) = (&code.items[left].bytes, &code.items[right].bytes);
    let at = first.start..second.end;
    let with = [code.text(right), &code.source[first.end..second.start], code.text(left)].concat();
    let (removed, added) = (code.source[at.clone()].to_owned(), with.clone());
    Some(Edit { at, with, kind: Kind::Swap, removed, added, slip: true })
}
