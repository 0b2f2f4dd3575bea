//! What a function gives back for some arguments, and tests that say so.

use crate::chance::Chance;
use agent::repo::syntax::Language;
use std::fmt::Write as _;

/// A call and what comes of it, as source text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub call: String,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// One value, or as many as a Go function returns; of an error only whether there was one.
    Values(Vec<String>),
    /// The name of an error's class.
    Raises(String),
}

/// Where the function under test is found by its tests.
#[derive(Clone, Debug)]
pub struct Place {
    pub function: String,
    /// Python's dotted module, JavaScript's relative path, Rust's module, Go's package.
    pub module: String,
    /// Whether JavaScript says `import`.
    pub modern: bool,
}

/// A test file with these assertions, in the language's ordinary form, a few to a test.
pub fn test_file(language: Language, place: &Place, rows: &[Row], chance: &mut Chance) -> String {
    let mut groups = Vec::new();
    let mut rest = rows;
    while !rest.is_empty() {
        let (group, more) = rest.split_at(rest.len().min(1 + chance.below(3)));
        groups.push(group);
        rest = more;
    }
    match language {
        Language::Python => python(place, &groups),
        Language::JavaScript => javascript(place, &groups),
        Language::Rust => rust(place, &groups),
        _ => go(place, &groups),
    }
}

/// `name`, `name_2`, `name_3` …
fn numbered(name: &str, at: usize) -> String {
    if at == 0 { name.to_owned() } else { format!("{name}_{}", at + 1) }
}

fn value(row: &Row) -> &str {
    match &row.outcome {
        Outcome::Values(values) => values.first().map_or("", String::as_str),
        Outcome::Raises(kind) => kind,
    }
}

fn python(place: &Place, groups: &[&[Row]]) -> String {
    let class: String = place.function.split('_').map(capital).collect();
    let mut text = format!(
        "import unittest\n\nfrom {} import {}\n\n\nclass {class}Test(unittest.TestCase):\n",
        place.module, place.function
    );
    for (at, group) in groups.iter().enumerate() {
        let _ = writeln!(
            text,
            "{}    def test_{}(self):",
            if at == 0 { "" } else { "\n" },
            numbered(place.function.trim_matches('_'), at)
        );
        for row in *group {
            let _ = match (&row.outcome, value(row)) {
                (Outcome::Raises(kind), _) => writeln!(text, "        with self.assertRaises({kind}):\n            {}", row.call),
                (_, "True") => writeln!(text, "        self.assertTrue({})", row.call),
                (_, "False") => writeln!(text, "        self.assertFalse({})", row.call),
                (_, "None") => writeln!(text, "        self.assertIsNone({})", row.call),
                (_, value) => writeln!(text, "        self.assertEqual({}, {value})", row.call),
            };
        }
    }
    text.push_str("\n\nif __name__ == '__main__':\n    unittest.main()\n");
    text
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn javascript(place: &Place, groups: &[&[Row]]) -> String {
    let Place { function, module, modern } = place;
    let mut text = if *modern {
        format!(
            "import assert from 'node:assert/strict';\nimport test from 'node:test';\nimport {{ {function} }} from '{module}';\n"
        )
    } else {
        format!(
            "const assert = require('node:assert/strict');\nconst test = require('node:test');\nconst {{ {function} }} = require('{module}');\n"
        )
    };
    for (at, group) in groups.iter().enumerate() {
        let _ = writeln!(text, "\ntest('{}', () => {{", numbered(function, at).replace('_', " ").trim());
        for row in *group {
            let _ = match &row.outcome {
                Outcome::Raises(kind) => writeln!(text, "  assert.throws(() => {}, {kind});", row.call),
                Outcome::Values(_) if value(row).starts_with(['[', '{']) => {
                    writeln!(text, "  assert.deepEqual({}, {});", row.call, value(row))
                }
                Outcome::Values(_) => writeln!(text, "  assert.equal({}, {});", row.call, value(row)),
            };
        }
        text.push_str("});\n");
    }
    text
}

fn rust(place: &Place, groups: &[&[Row]]) -> String {
    let mut text = format!("use crate::{}::{};\n", place.module, place.function);
    for (at, group) in groups.iter().enumerate() {
        let _ = writeln!(text, "\n#[test]\nfn {}() {{", numbered(&format!("{}_works", place.function.trim_matches('_')), at));
        for row in *group {
            let _ = match value(row) {
                "true" => writeln!(text, "    assert!({});", row.call),
                "false" => writeln!(text, "    assert!(!{});", row.call),
                value => writeln!(text, "    assert_eq!({}, {value});", row.call),
            };
        }
        text.push_str("}\n");
    }
    text
}

fn go(place: &Place, groups: &[&[Row]]) -> String {
    let composite = |value: &str| value.contains('{') && !value.starts_with('"') || value.ends_with("(nil)");
    let deep = groups
        .iter()
        .flat_map(|group| group.iter())
        .any(|row| matches!(&row.outcome, Outcome::Values(values) if values.iter().any(|v| composite(v))));
    let mut text =
        format!("package {}\n\nimport (\n{}\t\"testing\"\n)\n", place.module, if deep { "\t\"reflect\"\n" } else { "" });
    for (at, group) in groups.iter().enumerate() {
        let _ = writeln!(text, "\nfunc Test{}(t *testing.T) {{", numbered(&capital(&place.function), at));
        for row in *group {
            let Outcome::Values(values) = &row.outcome else { continue };
            let failed = values.get(1).filter(|_| values.len() == 2);
            let bad = |name: &str, value: &str| match value {
                "true" => format!("!{name}"),
                "false" => name.to_owned(),
                value if composite(value) => format!("!reflect.DeepEqual({name}, {value})"),
                value => format!("{name} != {value}"),
            };
            let names = if values.len() == 2 { "got, second" } else { "got" };
            let mut condition = bad("got", &values[0]);
            if let Some(failed) = failed {
                let _ = write!(condition, " || {}", bad("second", failed));
            }
            let called = format!("{:?}", row.call);
            let _ = writeln!(
                text,
                "\tif {names} := {}; {condition} {{\n\t\tt.Errorf(\"%s = %v, want %s\", {called}, got, {:?})\n\t}}",
                row.call, values[0]
            );
        }
        text.push_str("}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::chance::Chance;
    use crate::project::rows::{Outcome, Place, Row, test_file};
    use agent::repo::syntax::Language;

    fn check(language: Language, rows: &[(&str, &str)], expected: &[&str]) {
        let place = Place { function: "half".into(), module: "m".into(), modern: false };
        let rows: Vec<Row> = rows
            .iter()
            .map(|(call, value)| Row { call: (*call).into(), outcome: Outcome::Values(vec![(*value).into()]) })
            .collect();
        let text = test_file(language, &place, &rows, &mut Chance::of(1, "", 0));
        for part in expected {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }

    #[test]
    fn tests_are_written_as_people_write_them() {
        let rows = [("half(4)", "2"), ("half(0)", "False")];
        check(Language::Python, &rows, &["class HalfTest(", "self.assertEqual(half(4), 2)", "self.assertFalse(half(0))"]);
        check(
            Language::JavaScript,
            &[("half([4])", "[2]"), ("half(1)", "0")],
            &["require('m')", "deepEqual(half([4]), [2])", "assert.equal(half(1), 0)"],
        );
        check(Language::Rust, &[("half(4)", "2"), ("half(1)", "true")], &["assert_eq!(half(4), 2);", "assert!(half(1));"]);
        check(
            Language::Go,
            &[("half(4)", "[]int{2}"), ("half(1)", "false")],
            &["reflect.DeepEqual(got, []int{2})", "if got := half(1); got {"],
        );
    }
}
