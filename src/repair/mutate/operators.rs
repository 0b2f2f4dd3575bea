//! One operator for another: comparisons, arithmetic, `and` and `or`.

use crate::repair::Kind;
use crate::repair::mutate::Edit;
use crate::repair::mutate::code::Code;
use crate::repair::mutate::grammar::{ASSIGNMENTS, BINARIES, INDEXINGS, OPERATIONS};
use crate::repair::mutate::names::Names;
use crate::repair::mutate::tables::ARITHMETIC;
use crate::repo::syntax::Language;

const EQUALITIES: &[&str] = &["==", "!=", "===", "!=="];
const RELATIONS: &[&str] = &["<", "<=", ">", ">="];

pub fn edits(code: &Code<'_>, names: &Names<'_>, found: &mut Vec<Edit>) {
    for item in code.live().filter(|&i| code.is_leaf(i)) {
        if !is_operator(code, item) {
            continue;
        }
        let sign = code.text(item);
        compared(code, item, sign, found);
        counted(code, item, sign, found);
        accumulated(code, item, sign, names, found);
        if let Some(other) = joined(sign).filter(|_| code.kind(code.parent(item)) != "let_chain") {
            found.push(Edit::replace(code, item, other, Kind::Boolean));
        }
    }
}

/// What `and` and `or` are mistaken for; `None` for other words.
pub fn joined(sign: &str) -> Option<&'static str> {
    Some(match sign {
        "and" => "or",
        "or" => "and",
        "&&" => "||",
        "||" => "&&",
        _ => return None,
    })
}

/// Whether a sign means what it looks like: `<` opens a list of types, `*` a pointer, and a macro's words have no syntax but
/// their blanks.
fn is_operator(code: &Code<'_>, item: usize) -> bool {
    let parent = code.kind(code.parent(item));
    if parent == "token_tree" {
        let at = &code.items[item].bytes;
        return code.source[..at.start].ends_with(' ') && code.source[at.end..].starts_with(' ');
    }
    !code.items[item].named && (OPERATIONS.contains(&parent) || ASSIGNMENTS.contains(&parent))
}

fn compared(code: &Code<'_>, item: usize, sign: &str, found: &mut Vec<Edit>) {
    let equality = EQUALITIES.contains(&sign);
    if !equality && !RELATIONS.contains(&sign) {
        return;
    }
    // Scripts say `===`; who writes `==` there means something else, and rarely an order.
    let equalities = if code.is_script() && !["==", "!="].contains(&sign) { &EQUALITIES[2..] } else { &EQUALITIES[..2] };
    let loose = code.is_script() && ["==", "!="].contains(&sign);
    let others = equalities.iter().chain(RELATIONS.iter().filter(|_| !loose));
    for other in others.filter(|other| **other != sign) {
        let edit = Edit::replace(code, item, other, Kind::Compare);
        // Nobody writes `<` for `==`, but a bound may well be tested for equality alone.
        let close = equality == EQUALITIES.contains(other) || [sign, *other].iter().any(|s| matches!(*s, "<=" | ">="));
        found.push(if close { edit } else { edit.mending() });
    }
}

fn counted(code: &Code<'_>, item: usize, sign: &str, found: &mut Vec<Edit>) {
    let beside = [code.before(item), code.next(item)];
    if beside.into_iter().flatten().any(|i| code.is_string(i)) {
        return;
    }
    let other = |pair: &(&'static str, &'static str)| match sign {
        sign if sign == pair.0 => Some(pair.1),
        sign if sign == pair.1 => Some(pair.0),
        _ => None,
    };
    for other in ARITHMETIC.iter().filter_map(other).filter(|other| is_known(code.language, other)) {
        found.push(Edit::replace(code, item, other, Kind::Arithmetic));
    }
}

/// `//` opens a comment in most languages, and `<<` prints or appends in some.
fn is_known(language: Language, sign: &str) -> bool {
    match sign {
        "//" | "//=" => language == Language::Python,
        "**" => {
            matches!(language, Language::Python | Language::JavaScript | Language::TypeScript | Language::Tsx | Language::Ruby)
        }
        "<<" | ">>" => !matches!(language, Language::Cpp | Language::Ruby),
        _ => true,
    }
}

/// A value that is set where it should grow, or the other way round: a variable that has a value already, or an element.
fn accumulated(code: &Code<'_>, item: usize, sign: &str, names: &Names<'_>, found: &mut Vec<Edit>) {
    let parent = code.parent(item);
    let Some(left) = code.child(parent, "left").filter(|_| matches!(sign, "=" | "+=")) else { return };
    let kind = code.kind(left);
    let held = if kind == "expression_list" { code.parts(left).next().unwrap_or(left) } else { left };
    let known =
        code.kind(held) == "identifier" && code.text(held) != "_" && names.bound(code.text(held), code.items[held].bytes.start);
    if !known && !INDEXINGS.contains(&code.kind(held)) || BINARIES.contains(&code.kind(parent)) {
        return;
    }
    if sign == "+=" {
        found.push(Edit::replace(code, item, "=", Kind::Arithmetic));
    } else if code.parts(left).nth(1).is_none() || left == held {
        found.push(Edit::replace(code, item, "+=", Kind::Arithmetic).mending());
    }
}
