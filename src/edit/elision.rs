//! Elision marks: `// ... existing code ...` in a replacement means "I left this out", and applying it deletes code.

/// Phrases that stand for left-out code where dots stand beside them.
const LEFT_OUT: [&str; 4] = ["existing code", "rest of the", "rest of your", "same as before"];
/// How a comment without dots begins or ends when it stands for left-out code.
const BEGINS: [&str; 6] =
    ["existing code", "rest of the code", "rest of your code", "rest of the file", "rest of the function", "rest of the class"];
const ENDS: [&str; 5] = ["remains unchanged", "remain unchanged", "code unchanged", "remains the same", "remain the same"];
/// Words that make a comment with dots at its start an elision.
const WORDS: [&str; 9] = ["existing", "rest", "unchanged", "remaining", "remains", "same", "previous", "omitted", "other"];
const OPENERS: [&str; 9] = ["{/*", "/*", "//", "<!--", "--", "#", ";", "%", "*"];
const CLOSERS: [&str; 3] = ["*/}", "*/", "-->"];

/// The first line of `replacement` that marks left-out code and does not stand in `search` too.
pub fn added<'a>(search: &str, replacement: &'a str) -> Option<&'a str> {
    let mut opens_body = false;
    for line in replacement.lines().map(str::trim).filter(|l| !l.is_empty()) {
        // A Python body may really be three dots, also behind what documents it.
        let stub = opens_body && line == "...";
        if !stub && is_mark(line) && !search.lines().any(|s| s.trim() == line) {
            return Some(line);
        }
        opens_body = [":", "\"\"\"", "'''"].iter().any(|end| line.ends_with(end));
    }
    None
}

fn is_mark(line: &str) -> bool {
    let opener = OPENERS.iter().find(|o| line.starts_with(**o));
    let body = opener.map_or(line, |o| &line[o.len()..]);
    let body = CLOSERS.iter().find_map(|c| body.strip_suffix(c)).unwrap_or(body).trim().to_lowercase();
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
        return (leads && bare.split_whitespace().any(|w| WORDS.contains(&w))) || (phrase && (leads || ends)) || (sure && few);
    }
    leads && ends && phrase
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
        ] {
            assert_eq!(added("x\n", line), None, "{line}");
        }
        assert_eq!(added("", "def f(self):\n    ...\n"), None);
        assert_eq!(added("", "def f(self):\n    \"\"\"Does.\"\"\"\n    ...\n"), None);
        assert_eq!(added("a\n  ...\n", "b\n  ...\n"), None);
    }
}
