//! Calls of Rust and Go functions whose results can be written down: a program is made of the module and many calls, compiled
//! and run once.

use crate::chance::Chance;
use crate::project::bounded::{Bounds, run};
use crate::project::closure::{Closed, module};
use crate::project::inputs::{Hints, Type, parse, write};
use crate::project::rows::{Outcome, Row};
use agent::repo::syntax::Language;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tree_sitter::{Node, Parser};

const RUST: &str = include_str!("../../../models/micro/harness/probe.rs");
const GO: &str = include_str!("../../../models/micro/harness/probe.go");
const CALLS: usize = 90;
/// Longer calls and results say nothing to a reader.
const LONGEST: usize = 110;
const COMPILER: Bounds = Bounds { seconds: 40, memory: None };
const PROGRAM: Bounds = Bounds { seconds: 4, memory: Some(4 << 20) };

struct Signature {
    takes: Vec<Type>,
    gives: usize,
    variadic: bool,
}

/// The rows of a function, the most telling first; none where its types are others than these, or it does not compile alone.
pub fn rows(language: Language, closed: &Closed, chance: &mut Chance) -> Vec<Row> {
    let Some(signature) = signature(language, &closed.text) else { return Vec::new() };
    let calls = calls(language, closed, &signature, chance);
    if calls.len() < 8 {
        return Vec::new();
    }
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let program = match language {
        Language::Rust => rust_program(closed, &calls),
        _ => go_program(closed, &calls, signature.gives),
    };
    let (file, compile) = match language {
        Language::Rust => ("main.rs", "rustc --edition 2024 -A warnings -C debuginfo=0 -o probe main.rs"),
        _ => ("main.go", "go build -o probe main.go"),
    };
    if fs::write(scratch.path().join(file), program).is_err() || !run(compile, scratch.path(), "", COMPILER).passed {
        return Vec::new();
    }
    let results = results(scratch.path(), calls.len());
    let found = calls.into_iter().zip(results).filter_map(|(call, results)| {
        let values = results.into_iter().map(|text| tidy(language, &text)).collect::<Option<Vec<_>>>()?;
        (values.len() == signature.gives).then_some(Row { call, outcome: Outcome::Values(values) })
    });
    arrange(found.collect())
}

fn calls(language: Language, closed: &Closed, signature: &Signature, chance: &mut Chance) -> Vec<String> {
    let everything: String = closed.items.iter().map(|item| item.text.as_str()).collect::<Vec<_>>().join("\n");
    let hints = Hints::of(&everything);
    let mut calls = BTreeSet::new();
    let mut listed = Vec::new();
    for _ in 0..CALLS * 3 {
        let mut kinds: Vec<&Type> = signature.takes.iter().collect();
        if signature.variadic
            && let Some(last) = signature.takes.last()
        {
            kinds.pop();
            kinds.extend(std::iter::repeat_n(last, chance.below(4)));
        }
        let texts: Vec<String> = kinds.into_iter().map(|kind| write(kind, language, chance, &hints)).collect();
        let call = format!("{}({})", closed.name, texts.join(", "));
        if call.len() <= LONGEST + closed.name.len() && calls.insert(call.clone()) && listed.len() < CALLS {
            listed.push(call);
        }
    }
    listed
}

fn rust_program(closed: &Closed, calls: &[String]) -> String {
    let listed: Vec<String> = calls.iter().map(|call| format!("|| ({call}).written()")).collect();
    format!("{}\n{}", module(Language::Rust, &closed.items), RUST.replace("CALLS]", &format!("{}]", listed.join(",\n"))))
}

fn go_program(closed: &Closed, calls: &[String], gives: usize) -> String {
    let names: Vec<String> = (0..gives).map(|at| format!("r{at}")).collect();
    let written: Vec<String> = names.iter().map(|name| format!("probeWritten({name})")).collect();
    let listed: Vec<String> = calls
        .iter()
        .map(|call| format!("func() []string {{ {} := {call}; return []string{{{}}} }}", names.join(", "), written.join(", ")))
        .collect();
    let harness = GO.replace("{CALLS}", &format!("{{\n{},\n}}", listed.join(",\n")));
    // Imports come first in a Go file, so the module's own items have to follow the harness's imports.
    let (imports, rest): (BTreeSet<_>, BTreeSet<_>) =
        closed.items.iter().cloned().partition(|item| item.text.starts_with("import "));
    let head = "package main\n";
    format!("{head}\n{}{}\n{}", module(Language::Go, &imports), harness.trim_start_matches(head), module(Language::Go, &rest))
}

/// What the program printed for each call. A call that never comes back is left out and the program begun again behind it.
fn results(dir: &Path, calls: usize) -> Vec<Vec<String>> {
    let mut results = vec![Vec::new(); calls];
    let mut first = 0;
    for _ in 0..3 {
        let ended = run(&format!("./probe {first}"), dir, "", PROGRAM);
        let mut last = first;
        for line in ended.output.lines() {
            let (number, text) = line.split_once('\t').map_or((line, None), |(number, text)| (number, Some(text)));
            let Ok(number) = number.parse::<usize>() else { continue };
            last = number;
            if let (Some(text), Some(result)) = (text, results.get_mut(number)) {
                result.push(text.to_owned());
            }
        }
        if ended.passed {
            break;
        }
        first = last + 1;
    }
    results
}

/// A result as a person would write it in an assertion; `None` where it cannot be.
fn tidy(language: Language, text: &str) -> Option<String> {
    let unusable = ["0xc0", "(*", "NaN", "Inf", "interface {}", "main.", "func("];
    if text.len() > LONGEST || (language == Language::Go && unusable.iter().any(|part| text.contains(part))) {
        return None;
    }
    let bare = text.strip_prefix("String::from(").and_then(|rest| rest.strip_suffix(')'));
    // Bytes are told apart from numbers by nobody who reads them; small unsigned ones are written plainly.
    let number = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()).map(|number| number.to_string());
    Some(number.unwrap_or_else(|| bare.unwrap_or(text).to_owned()))
}

/// Rows with results not seen yet first. None where the results hardly differ.
fn arrange(found: Vec<Row>) -> Vec<Row> {
    let mut seen = BTreeSet::new();
    let (fresh, again): (Vec<Row>, Vec<Row>) = found.into_iter().partition(|row| seen.insert(row.outcome.clone()));
    let logical = fresh
        .iter()
        .all(|row| matches!(&row.outcome, Outcome::Values(values) if values.iter().all(|v| v == "true" || v == "false")));
    if fresh.len() < if logical { 2 } else { 4 } { Vec::new() } else { fresh.into_iter().chain(again).collect() }
}

fn signature(language: Language, text: &str) -> Option<Signature> {
    let grammar = if language == Language::Rust { tree_sitter_rust::LANGUAGE } else { tree_sitter_go::LANGUAGE };
    let mut parser = Parser::new();
    parser.set_language(&grammar.into()).ok()?;
    let tree = parser.parse(text, None)?;
    let mut cursor = tree.walk();
    let function = tree
        .root_node()
        .named_children(&mut cursor)
        .find(|node| matches!(node.kind(), "function_item" | "function_declaration"))?;
    let said = |node: Node<'_>| &text[node.byte_range()];
    let generics: Vec<String> = function
        .child_by_field_name("type_parameters")
        .map(|list| {
            said(list)
                .trim_matches(['<', '>'])
                .split(',')
                .map(|one| one.split(':').next().unwrap_or(one).trim().to_owned())
                .collect()
        })
        .unwrap_or_default();
    let (mut takes, mut variadic) = (Vec::new(), false);
    let parameters = function.child_by_field_name("parameters")?;
    let mut cursor = parameters.walk();
    for parameter in parameters.named_children(&mut cursor).filter(|node| !node.is_extra()) {
        variadic |= parameter.kind() == "variadic_parameter_declaration";
        let kind = parse(language, said(parameter.child_by_field_name("type")?), &generics)?;
        let mut names = parameter.walk();
        let count = parameter.children_by_field_name("name", &mut names).count().max(1);
        takes.extend(std::iter::repeat_n(kind, count));
    }
    let gives = match (language, function.child_by_field_name("return_type"), function.child_by_field_name("result")) {
        (Language::Rust, Some(_), _) => 1,
        (Language::Go, _, Some(list)) if list.kind() == "parameter_list" => {
            let mut cursor = list.walk();
            list.named_children(&mut cursor)
                .map(|one| {
                    let mut names = one.walk();
                    one.children_by_field_name("name", &mut names).count().max(1)
                })
                .sum()
        }
        (Language::Go, _, Some(_)) => 1,
        _ => return None,
    };
    (!takes.is_empty() && (1..=2).contains(&gives)).then_some(Signature { takes, gives, variadic })
}

#[cfg(test)]
mod tests {
    use crate::project::rows::{Outcome, Row};
    use crate::project::typed::{arrange, signature, tidy};
    use agent::repo::syntax::Language;

    #[test]
    fn signatures_are_counted_or_refused() {
        let count = |language, text| signature(language, text).map(|s| (s.takes.len(), s.gives, s.variadic));
        assert_eq!(count(Language::Rust, "pub fn f<T: Ord>(a: &[T], b: u8) -> bool { true }"), Some((2, 1, false)));
        assert_eq!(count(Language::Rust, "fn f(a: u8) {}"), None);
        assert_eq!(count(Language::Rust, "fn f(a: &Path) -> u8 { 1 }"), None);
        assert_eq!(count(Language::Go, "func F(a, b int, c ...string) (int, error) { return 1, nil }"), Some((3, 2, true)));
    }

    #[test]
    fn results_read_as_people_write_them() {
        assert_eq!(tidy(Language::Rust, "String::from(\"a\")").as_deref(), Some("\"a\""));
        assert_eq!(tidy(Language::Go, "0x1f").as_deref(), Some("31"));
        assert_eq!(tidy(Language::Go, "(*main.T)(0xc000)"), None);
    }

    #[test]
    fn functions_whose_results_hardly_differ_are_left_out() {
        let row = |value: &str| Row { call: "f()".into(), outcome: Outcome::Values(vec![value.into()]) };
        assert!(arrange(vec![row("1"), row("2"), row("1")]).is_empty());
        assert_eq!(arrange(vec![row("true"), row("true"), row("false")]).len(), 3);
    }
}
