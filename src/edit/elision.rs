//! Elision marks: `// ... existing code ...` in a replacement means "I left this out", and applying it deletes code.

/// Phrases that stand for left-out code where dots stand beside them.
const LEFT_OUT: [&str; 6] =
    ["existing code", "existing implementation", "rest of the", "rest of your", "rest of code", "same as before"];
/// How a comment without dots begins or ends when it stands for left-out code.
const BEGINS: [&str; 12] = [
    "existing code",
    "rest of the code",
    "rest of code",
    "rest of your code",
    "rest of the file",
    "rest of file",
    "rest of the function",
    "rest of the method",
    "rest of the class",
    "rest of the implementation",
    "remaining code",
    "existing implementation",
];
const ENDS: [&str; 6] =
    ["remains unchanged", "remain unchanged", "code unchanged", "rest unchanged", "remains the same", "remain the same"];
/// Words that make a comment with dots at its start an elision.
const WORDS: [&str; 9] = ["existing", "rest", "unchanged", "remaining", "remains", "same", "previous", "omitted", "other"];
/// What a comment says, and nothing else, when it stands for left-out code.
const ALONE: [&str; 6] = ["unchanged", "no change", "no changes", "same as before", "same as above", "as before"];
const OPENERS: [&str; 9] = ["{/*", "/*", "//", "<!--", "--", "#", ";", "%", "*"];
const CLOSERS: [&str; 3] = ["*/}", "*/", "-->"];

/// The first line of `replacement` that marks left-out code, and stands in it more often than in `search`.
pub fn added<'a>(search: &str, replacement: &'a str) -> Option<&'a str> {
    let times = |text: &str, line: &str| text.lines().filter(|l| l.trim() == line).count();
    marks(replacement).into_iter().find(|mark| times(search, mark) < times(replacement, mark))
}

/// The lines that mark left-out code, trimmed.
pub fn marks(text: &str) -> Vec<&str> {
    let mut opens_body = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        // A Python body may really be three dots, also behind what documents it.
        let stub = opens_body && line == "...";
        if !stub && (is_mark(line) || is_inline(line)) {
            found.push(line);
        }
        opens_body = [":", "\"\"\"", "'''"].iter().any(|end| line.ends_with(end));
    }
    found
}

/// Whether a line is nothing but a mark for left-out code.
pub fn is_mark(line: &str) -> bool {
    let line = line.trim();
    let opener = OPENERS.iter().find(|o| line.starts_with(**o));
    let body = opener.map_or(line, |o| &line[o.len()..]);
    let body = CLOSERS.iter().find_map(|c| body.strip_suffix(c)).unwrap_or(body);
    let body = body.trim_matches(|c: char| c.is_whitespace() || "()[]<>".contains(c)).to_lowercase();
    let dots = |c: char| c == '.' || c == '…';
    let bare = body.trim_matches(dots).trim();
    let (leads, ends) = (body.starts_with("...") || body.starts_with('…'), body.ends_with("...") || body.ends_with('…'));
    if bare.is_empty() {
        return leads;
    }
    let sure = BEGINS.iter().any(|p| bare.starts_with(p)) || ENDS.iter().any(|p| bare.ends_with(p));
    let phrase = sure || LEFT_OUT.iter().any(|p| bare.contains(p));
    if opener.is_some() {
        let few = bare.split(' ').count() <= 7;
        let word = bare.split(|c: char| !c.is_alphanumeric()).any(|w| WORDS.contains(&w));
        return (leads && word) || (phrase && (leads || ends)) || (sure && few) || ALONE.contains(&bare);
    }
    (leads && ends && phrase) || (phrase && line.starts_with(['[', '<', '(']) && (leads || ends))
}

/// Whether a line of code holds a mark in a comment or in a body of dots alone: `fn f() { /* ... */ }`.
fn is_inline(line: &str) -> bool {
    if OPENERS.iter().any(|o| line.starts_with(*o)) || line.contains(['"', '\'', '`']) {
        return false;
    }
    let commented = ["/*", "//", "# "].iter().filter_map(|opener| line.split_once(opener)).any(|(code, comment)| {
        let comment = comment.trim().trim_end_matches(['}', ';', ')', ' ']);
        let lower = comment.to_lowercase();
        let body = code.trim_end().ends_with(['{', ':', '[', '(']);
        (body && is_mark(&format!("//{}", comment.trim_end_matches("*/"))))
            || (LEFT_OUT.iter().any(|p| lower.contains(p)) && (lower.contains("...") || lower.contains('…')))
    });
    let dotted = line.rsplit_once('{').and_then(|(_, body)| body.trim().strip_suffix('}'));
    commented || dotted.is_some_and(|body| matches!(body.trim(), "..." | "…"))
}

#[cfg(test)]
mod tests {
    use crate::edit::elision::added;

    #[test]
    fn marks_are_found() {
        for mark in [
            "// ... existing code ...",
            "    # ... rest of the function ...",
            "...",
            "/* … */",
            "<!-- ... unchanged ... -->",
            "// rest of the code remains unchanged",
            "... existing code ...",
            "{/* ... other items ... */}",
            "// ... (rest of the function unchanged)",
            "# (unchanged)",
            "[... rest of file ...]",
            "def f(): # ... existing code ...",
            "fn f() { /* ... */ }",
            "function f() { ... }",
        ] {
            assert_eq!(added("x\n", &format!("a\n{mark}\nb\n")), Some(mark.trim()), "{mark}");
        }
    }

    #[test]
    fn code_and_prose_are_not_marks() {
        for line in [
            "foo(...args)",
            "..Default::default()",
            "// wait for the others...",
            "x = 1  # ...",
            "def f(): ...",
            "...rest",
            "// handle the rest",
            "# Rest of the world",
            "// reuse existing code paths",
            "// leave the value unchanged",
            "let all = [...a, ...b];",
            "f({ ...a })",
            "x = a[...]",
            "print(\"{ ... }\")",
            "match x { A { .. } => 1 }",
            "/// fn f() { ... }",
            "x = Callable[..., int]  # as before",
        ] {
            assert_eq!(added("x\n", line), None, "{line}");
        }
        assert_eq!(added("", "def f(self):\n    ...\n"), None);
        assert_eq!(added("", "def f(self):\n    \"\"\"Does.\"\"\"\n    ...\n"), None);
        assert_eq!(added("a\n  ...\n", "b\n  ...\n"), None);
        assert_eq!(added("// ...\n", "// ...\nx\n// ...\n"), Some("// ..."), "one more than before");
    }
}
