//! What the output of a test run says: where in the code something failed, and which tests.
//!
//! Knows the formats of pytest, unittest, cargo test, nextest, node --test, jest, vitest, mocha and go test as texts; the project
//! it does not know. Whatever it does not recognise says nothing.

use crate::repair::is_known;
use crate::repo::syntax::Language;
use std::collections::BTreeSet;

/// A place in the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// As it was written.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// A number that frames of one trace share.
    pub trace: usize,
}

/// A test that failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failed {
    /// A function's name, or the words in which a test is described.
    pub name: String,
    /// Where it stands, as far as the output says: a path, or a module with `.` or `::`.
    pub place: Option<String>,
}

/// Longer outputs are read at both ends, this many bytes of each.
const READ: usize = 128 << 10;
/// Frames and tests beyond these add nothing.
const FRAMES: usize = 200;
const TESTS: usize = 40;
/// Lines between two frames of one trace.
const APART: usize = 12;
/// Code that is not the project's.
const FOREIGN: &[&str] = &[
    "/site-packages/",
    "/dist-packages/",
    "/node_modules/",
    "/lib/python",
    "/.cargo/",
    "/rustc/",
    "node:",
    "/usr/lib",
    "/usr/local/go",
    "/toolchains/",
];

/// The places that an output names, those where it happened first: Python tells them last, everyone else first.
pub fn frames(output: &str) -> Vec<Frame> {
    let mut found: Vec<Frame> = Vec::new();
    let (mut trace, mut seen) = (0, None::<usize>);
    for (at, line) in ends(output).flat_map(str::lines).enumerate() {
        let begins = ["Traceback (most", "____", "====", "FAIL", "ERROR", "---- ", "--- FAIL", "not ok "];
        if begins.iter().any(|begin| line.starts_with(begin)) || seen.is_some_and(|seen| at > seen + APART) {
            trace += 1;
        }
        let Some((path, number)) = python_frame(line).or_else(|| place(line)) else { continue };
        if found.len() == FRAMES {
            break;
        }
        if !FOREIGN.iter().any(|foreign| path.contains(foreign)) {
            found.push(Frame { path: path.to_owned(), line: number, trace });
        }
        seen = Some(at);
    }
    // Each trace by itself; a trace of Python's is turned round.
    let mut sorted: Vec<Frame> = Vec::with_capacity(found.len());
    for run in found.chunk_by(|a, b| a.trace == b.trace) {
        let python = run.iter().any(|frame| frame.path.ends_with(".py"));
        if python { sorted.extend(run.iter().rev().cloned()) } else { sorted.extend_from_slice(run) }
    }
    sorted
}

/// The beginning and the end of a long text, or the whole of a short one.
fn ends(output: &str) -> impl Iterator<Item = &str> {
    let floor = |at: usize| (0..=at).rev().find(|at| output.is_char_boundary(*at)).unwrap_or(0);
    let (head, tail) =
        if output.len() > 2 * READ { (&output[..floor(READ)], &output[floor(output.len() - READ)..]) } else { (output, "") };
    [head, tail].into_iter()
}

/// `File "cart.py", line 6, in total`.
fn python_frame(line: &str) -> Option<(&str, usize)> {
    let (path, rest) = line.trim_start().strip_prefix("File \"")?.split_once('"')?;
    let number: String = rest.strip_prefix(", line ")?.chars().take_while(char::is_ascii_digit).collect();
    Some((path, number.parse().ok()?))
}

/// `src/cart.rs:6:5`, `file:///src/cart.js:6`, `cart_test.go:12: …`: the first path with a line number in a line.
fn place(line: &str) -> Option<(&str, usize)> {
    for (colon, _) in line.match_indices(':') {
        let digits = line[colon + 1..].len() - line[colon + 1..].trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let Ok(number) = line[colon + 1..colon + 1 + digits].parse::<usize>() else { continue };
        let before = &line[..colon];
        let start = before
            .rfind(|c: char| c.is_whitespace() || "()[]\"'`<>,;|".contains(c))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let path = before[start..].trim_start_matches("file://");
        let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
        let source = |e: &str| Language::of_extension(e).is_some_and(is_known);
        if number > 0 && extension.is_some_and(source) && !path.contains("://") {
            return Some((path, number));
        }
    }
    None
}

/// The tests that failed, in their order, each once.
pub fn failed(output: &str) -> Vec<Failed> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let lines: Vec<&str> = ends(output).flat_map(str::lines).collect();
    for (at, line) in lines.iter().enumerate() {
        let next = lines.get(at + 1).map_or("", |line| *line);
        let one = failing(line, next);
        found.extend(one.filter(|test| !test.name.is_empty() && seen.insert(test.clone())));
        if found.len() == TESTS {
            break;
        }
    }
    found
}

fn failing(line: &str, next: &str) -> Option<Failed> {
    let trimmed = line.trim();
    pytest(trimmed)
        .or_else(|| unittest(trimmed))
        .or_else(|| cargo(trimmed))
        .or_else(|| go(trimmed))
        .or_else(|| script(line, next))
}

fn test(name: &str, place: Option<&str>) -> Option<Failed> {
    // A parameter is no part of a function's name.
    let bare = if name.contains(' ') { name } else { name.split(['[', '/']).next().unwrap_or(name) };
    Some(Failed { name: bare.trim().to_owned(), place: place.map(str::to_owned) })
}

/// `FAILED tests/test_cart.py::Total::test_three[x] - assert …`, `____ Total.test_three ____`.
fn pytest(line: &str) -> Option<Failed> {
    if let Some(rest) = line.strip_prefix("FAILED ").or_else(|| line.strip_prefix("ERROR ")) {
        let id = rest.split(" - ").next()?;
        let (path, names) = id.split_once("::")?;
        return test(names.split('[').next()?.rsplit("::").next()?, Some(path));
    }
    let heading = line.strip_prefix("____")?.trim_matches(['_', ' ']);
    let plain = !heading.is_empty() && !heading.contains(' ');
    if plain { test(heading.split('[').next()?.rsplit('.').next()?, None) } else { None }
}

/// `FAIL: test_three (test_cart.Total.test_three)`, or `(test_cart.Total)` as older ones write.
fn unittest(line: &str) -> Option<Failed> {
    let rest = line.strip_prefix("FAIL: ").or_else(|| line.strip_prefix("ERROR: "))?;
    let (name, place) = rest.split_once(" (")?;
    test(name, place.split(')').next())
}

/// `test tests::three ... FAILED`, `---- tests::three stdout ----`, `FAIL [ 0.01s] shop tests::three`.
fn cargo(line: &str) -> Option<Failed> {
    let listed = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... FAILED")).map(|(name, _)| name);
    let headed = || line.strip_prefix("---- ")?.strip_suffix(" ----")?.strip_suffix(" stdout");
    let nextest = || line.strip_prefix("FAIL [")?.split_once(']').and_then(|(_, rest)| rest.split_whitespace().last());
    let path = listed.or_else(headed).or_else(nextest)?;
    // A test in documentation: `src/cart.rs - cart::total (line 5)`.
    if let Some((file, rest)) = path.split_once(" - ") {
        return test(rest.split(" (line").next()?.rsplit("::").next()?, Some(file));
    }
    let path = path.split(" - should panic").next()?;
    let (module, name) = path.rsplit_once("::").map_or((None, path), |(module, name)| (Some(module), name));
    test(name, module)
}

/// `--- FAIL: TestTotal/three (0.00s)`.
fn go(line: &str) -> Option<Failed> {
    test(line.strip_prefix("--- FAIL: ")?.split(" (").next()?.split('/').next()?, None)
}

/// `not ok 1 - three for two`, `✖ three for two (1.2ms)`, `● Cart › three for two`, `FAIL cart.test.ts > Cart > three for two`,
/// and mocha's `1) Cart` above `three for two:`.
fn script(line: &str, next: &str) -> Option<Failed> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("not ok ") {
        let name = rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches([' ', '-']);
        return test(name.split(" # ").next()?, None);
    }
    let marked = ["✖ ", "✕ ", "● ", "× "].iter().find_map(|mark| line.strip_prefix(mark));
    if let Some(rest) = marked {
        return test(last_level(untimed(rest)), None);
    }
    if let Some((place, rest)) = line.strip_prefix("FAIL ").and_then(|rest| rest.trim().split_once(" > ")) {
        return test(last_level(rest), Some(place));
    }
    let (number, rest) = line.split_once(") ")?;
    if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let below = next.trim().strip_suffix(':').filter(|_| next.starts_with("    "));
    test(below.unwrap_or(rest), None)
}

fn last_level(names: &str) -> &str {
    names.rsplit([" › ", " > "].into_iter().find(|sign| names.contains(sign)).unwrap_or(" › ")).next().unwrap_or(names)
}

/// Without the time in brackets at the end.
fn untimed(name: &str) -> &str {
    let cut = name.rsplit_once(" (").filter(|(_, time)| time.starts_with(|c: char| c.is_ascii_digit()) && time.ends_with("s)"));
    cut.map_or(name, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use crate::repair::suspects::output::{Failed, failed, frames};

    #[test]
    fn every_runner_names_its_failing_tests() {
        for (output, expected) in [
            ("FAILED tests/test_cart.py::Total::test_three[a-b] - assert 1 == 2", "test_three@tests/test_cart.py"),
            ("______ Total.test_three ______", "test_three"),
            ("=========== FAILURES ===========\n_____ short test summary _____", ""),
            ("FAIL: test_three (test_cart.Total.test_three)", "test_three@test_cart.Total.test_three"),
            ("ERROR: test_three (test_cart.Total)", "test_three@test_cart.Total"),
            ("test tests::three ... FAILED\ntest tests::two ... ok\n---- tests::three stdout ----", "three@tests"),
            ("test src/cart.rs - cart::total (line 5) ... FAILED", "total@src/cart.rs"),
            ("        FAIL [   0.005s] shop cart::tests::three", "three@cart::tests"),
            ("--- FAIL: TestTotal (0.00s)\n    --- FAIL: TestTotal/three (0.00s)\n--- PASS: TestTwo (0.00s)", "TestTotal"),
            ("not ok 1 - three for two\nok 2 - two", "three for two"),
            ("✖ three for two (1.2ms)\n✔ two (0.1ms)", "three for two"),
            ("  ● Cart › three for two", "three for two"),
            (" FAIL  cart.test.ts > Cart > three for two", "three for two@cart.test.ts"),
            ("  1) Cart\n       three for two:\n     Error", "three for two"),
            ("3 passed, all is well", ""),
        ] {
            let told = |test: &Failed| match &test.place {
                Some(place) => format!("{}@{place}", test.name),
                None => test.name.clone(),
            };
            let tests: Vec<String> = failed(output).iter().map(told).collect();
            assert_eq!(tests.join(", "), expected, "{output}");
        }
    }

    #[test]
    fn every_trace_begins_where_it_happened() {
        for (output, expected) in [
            (
                "Traceback (most recent call last):\n  File \"/t/test_cart.py\", line 9, in test\n  File \"/t/cart.py\", line 3, in f\n\
                 Traceback (most recent call last):\n  File \"/t/test_cart.py\", line 12, in test",
                "/t/cart.py:3 /t/test_cart.py:9 /t/test_cart.py:12",
            ),
            ("tests/test_cart.py:9: \n_ _ _\ncart.py:3: ZeroDivisionError", "cart.py:3 tests/test_cart.py:9"),
            ("  File \"/usr/lib/python3.12/json/decoder.py\", line 9, in f", ""),
            (
                "    at total (file:///t/src/cart.js:3:15)\n    at /t/test/cart.test.js:9:3",
                "/t/src/cart.js:3 /t/test/cart.test.js:9",
            ),
            ("thread 'tests::three' panicked at src/cart.rs:3:5:\nassertion", "src/cart.rs:3"),
            ("panic: runtime error\n\t/t/cart.go:3 +0x1b\n    cart_test.go:12: got 3", "/t/cart.go:3 cart_test.go:12"),
            ("at 12:30:15 we saw http://a.py:80/ and 3:4", ""),
        ] {
            let told: Vec<String> = frames(output).iter().map(|frame| format!("{}:{}", frame.path, frame.line)).collect();
            assert_eq!(told.join(" "), expected, "{output}");
        }
    }

    #[test]
    fn an_endless_output_is_read_at_its_ends() {
        let noise = "ä noise\n".repeat(200_000);
        let output = format!("FAIL: test_a (t.T)\n{noise}FAIL: test_b (t.T)\n");
        assert_eq!(failed(&output).iter().map(|test| test.name.as_str()).collect::<Vec<_>>(), ["test_a", "test_b"]);
    }
}
