//! Whether a name holds a number or something with parts, as far as its uses tell.
//!
//! No types are inferred: a use says something or nothing, and only what contradicts it is left out.

use crate::repair::mutate::code::Code;
use crate::repair::mutate::grammar::{ACCESSES, BINARIES, CALLS, INDEXINGS, INTEGERS, WHOLES};
use crate::repair::mutate::roles::Role;
use crate::repair::mutate::tables::{LENGTHS, NUMERIC};
use crate::repair::mutate::values::callee;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Number,
    Whole,
}

/// What one use of a name says about its value.
pub fn sort(code: &Code<'_>, item: usize, role: Role) -> Option<Sort> {
    match role {
        Role::Value => used(code, item),
        Role::Binding | Role::Target => begun(code, item),
        _ => None,
    }
}

fn used(code: &Code<'_>, item: usize) -> Option<Sort> {
    let (parent, field) = (code.parent(item), code.field(item));
    let kind = code.kind(parent);
    let begins = code.children(parent).next() == Some(item);
    match kind {
        _ if BINARIES.contains(&kind) || kind.contains("assignment") && kind != "assignment" => {
            let signs = || code.children(parent).filter(|&i| !code.items[i].named).map(|i| code.text(i));
            // `%` fills in what a text leaves open.
            if code.parts(parent).any(|i| code.is_string(i)) {
                return signs().any(|sign| matches!(sign, "==" | "!=" | "===" | "!==")).then_some(Sort::Whole);
            }
            let other = code.parts(parent).any(|i| i != item && is_number(code, i));
            (signs().any(|sign| NUMERIC.contains(&sign)) || other).then_some(Sort::Number)
        }
        "update_expression" | "inc_statement" | "dec_statement" | "range_expression" => Some(Sort::Number),
        "slice" => Some(Sort::Number),
        "slice_expression" if field != Some("operand") => Some(Sort::Number),
        "argument_list" | "arguments" => match callee(code, code.parent(parent)) {
            "range" => Some(Sort::Number),
            name if LENGTHS.contains(&name) => Some(Sort::Whole),
            _ => None,
        },
        "for_statement" | "for_in_clause" | "for_in_statement" | "range_clause" | "for_expression" => Some(Sort::Whole),
        _ if begins && (INDEXINGS.contains(&kind) || ACCESSES.contains(&kind) || kind == "slice_expression") => Some(Sort::Whole),
        _ => None,
    }
}

/// The value that a name begins with, or gets.
fn begun(code: &Code<'_>, item: usize) -> Option<Sort> {
    let parent = code.parent(item);
    let listed = code.kind(parent) == "expression_list" && code.parts(parent).nth(1).is_none();
    let holder = if listed { code.parent(parent) } else { parent };
    let value = code.child(holder, "right").or_else(|| code.child(holder, "value"))?;
    let value = if code.kind(value) == "expression_list" { code.parts(value).next()? } else { value };
    if code.kind(holder).starts_with("for") || code.kind(holder) == "range_clause" {
        let counts = code.kind(value) == "range_expression" || callee(code, value) == "range";
        return counts.then_some(Sort::Number);
    }
    held(code, value)
}

/// What an expression is by its looks.
fn held(code: &Code<'_>, value: usize) -> Option<Sort> {
    let kind = code.kind(value);
    if kind == "parenthesized_expression" {
        return code.parts(value).next().and_then(|inner| held(code, inner));
    }
    if code.is_string(value) || kind.starts_with("binary") && code.parts(value).any(|i| code.is_string(i)) {
        return Some(Sort::Whole);
    }
    let length = CALLS.contains(&kind) && LENGTHS.contains(&callee(code, value));
    let counted = code.child(value, "property").is_some_and(|i| LENGTHS.contains(&code.text(i)));
    let computed = kind.starts_with("binary")
        && (code.children(value).any(|i| matches!(code.text(i), "-" | "*" | "/" | "//" | "%"))
            || code.parts(value).any(|i| is_number(code, i)) && code.children(value).any(|i| code.text(i) == "+"));
    if length || counted || computed || is_number(code, value) {
        Some(Sort::Number)
    } else {
        WHOLES.contains(&kind).then_some(Sort::Whole)
    }
}

fn is_number(code: &Code<'_>, item: usize) -> bool {
    INTEGERS.contains(&code.kind(item)) || code.kind(item).starts_with("float")
}
