//! What Node says of executed code: V8's counts of stretches of each script, made into lines.
//!
//! `NODE_V8_COVERAGE` has each process write them down when it ends. The stretches are counted in UTF-16 units of the text that
//! was run; a file that a loader rewrote before has other stretches, and says nothing.

use crate::path::{RepoPath, Root};
use crate::repair::suspects::Lines;
use serde::Deserialize;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The variable that names the folder to write to.
pub(crate) const FOLDER: &str = "NODE_V8_COVERAGE";
/// Of all processes together: more takes longer to read than it is worth.
const LARGEST: u64 = 64 << 20;

#[derive(Deserialize)]
struct Told {
    result: Vec<Script>,
    /// Scripts that something rewrote, by their addresses.
    #[serde(default, rename = "source-map-cache")]
    rewritten: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Script {
    url: String,
    functions: Vec<Function>,
}

#[derive(Deserialize)]
struct Function {
    ranges: Vec<Stretch>,
}

/// A stretch of a script, and how often it was run. What lies inside another one counts for itself.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stretch {
    start_offset: usize,
    end_offset: usize,
    count: u64,
}

/// Reads the lines, from 1, of a project's files that any process ran. `None`: something was written that cannot be read, or too
/// much of it.
pub(crate) fn read(root: &Root, folder: &Path) -> Option<Lines> {
    let mut ran = Lines::new();
    let mut left = LARGEST;
    // Without any process of Node there is no folder.
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.ok()?;
        left = left.checked_sub(entry.metadata().ok()?.len())?;
        let told: Told = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
        for script in told.result.iter().filter(|script| !told.rewritten.contains_key(&script.url)) {
            let Some(path) = path_of(root, &script.url) else { continue };
            let Ok(text) = fs::read_to_string(root.join(&path)) else { continue };
            let stretches: Vec<Stretch> = script.functions.iter().flat_map(|function| function.ranges.iter().copied()).collect();
            if let Some(lines) = lines(&text, &stretches) {
                ran.entry(path).or_default().extend(lines);
            }
        }
    }
    Some(ran)
}

/// The project's file that an address means; nobody's dependencies.
fn path_of(root: &Root, url: &str) -> Option<RepoPath> {
    let written = url.strip_prefix("file://")?.split(['?', '#']).next()?;
    let path = root.parse(&decoded(written)?).ok()?;
    (!path.as_str().split('/').any(|part| part == "node_modules")).then_some(path)
}

/// Text with each `%41` as the byte that it stands for.
fn decoded(written: &str) -> Option<String> {
    let mut parts = written.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// The lines of a script of which a word was run. `None`: the stretches are those of another text.
fn lines(text: &str, stretches: &[Stretch]) -> Option<BTreeSet<usize>> {
    let length = text.encode_utf16().count();
    if !stretches.iter().any(|stretch| (stretch.start_offset, stretch.end_offset) == (0, length)) {
        return None;
    }
    let mut order = stretches.to_vec();
    // From the outside in; of two with the same bounds the later one is the inner.
    order.sort_by_key(|stretch| (stretch.start_offset, Reverse(stretch.end_offset)));
    let mut ran = vec![false; length];
    for stretch in order {
        ran.get_mut(stretch.start_offset..stretch.end_offset)?.fill(stretch.count > 0);
    }
    let (mut lines, mut line, mut at) = (BTreeSet::new(), 1, 0);
    for c in text.chars() {
        // Signs alone may be the end of what was not run: `});`.
        if (c.is_alphanumeric() || c == '_' || c == '$') && ran[at] {
            lines.insert(line);
        }
        line += usize::from(c == '\n');
        at += c.len_utf16();
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use crate::fix::ranked::coverage::node::{Stretch, decoded, lines};

    /// Stretches as `START-END:COUNT`.
    fn check(text: &str, stretches: &str, expected: Option<&[usize]>) {
        let number = |text: &str| text.parse().unwrap();
        let stretch = |written: &str| {
            let (range, count) = written.split_once(':').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            Stretch { start_offset: number(start), end_offset: number(end), count: number(count) as u64 }
        };
        let stretches: Vec<Stretch> = stretches.split(' ').map(stretch).collect();
        let expected = expected.map(|lines| lines.iter().copied().collect());
        assert_eq!(lines(text, &stretches), expected, "{text} {stretches:?}");
    }

    #[test]
    fn the_innermost_stretch_counts() {
        let text = "a(() => {\n  b;\n  c;\n});\nd;\n";
        check(text, "0-27:1 2-21:2 12-14:0", Some(&[1, 3, 5]));
        check(text, "12-14:1 2-21:0 0-27:1", Some(&[1, 2, 5]));
        check(text, "0-27:1 2-21:0", Some(&[1, 5]));
        check(text, "0-27:0 2-21:0", Some(&[]));
    }

    #[test]
    fn offsets_are_those_of_utf_16() {
        check("\u{1f980};\nb;c\n", "0-8:1 3-8:0", Some(&[]));
        check("\u{e9};\nb;\nc;\n", "0-9:1 6-8:0", Some(&[1, 2]));
    }

    #[test]
    fn another_text_says_nothing() {
        check("a;\n", "0-4:1", None);
        check("a;\n", "0-2:1", None);
        check("a;\n", "0-3:1 1-9:1", None);
        check("a;\n", "0-3:1 2-1:1", None);
    }

    #[test]
    fn an_address_is_decoded() {
        assert_eq!(decoded("/a%20b/%C3%A9.js").as_deref(), Some("/a b/\u{e9}.js"));
        assert_eq!((decoded("/a%2"), decoded("/a%zz"), decoded("%ff")), (None, None, None));
    }
}
