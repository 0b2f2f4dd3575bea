//! Cutting text into identifiers, and identifiers into the words that people write in an issue.

/// Shorter ones are loop variables, longer ones are data.
const LENGTHS: std::ops::RangeInclusive<usize> = 3..=64;

/// English that says nothing about any code, and what issues and commits are full of. Sorted.
const STOP: &[&str] = &[
    "about", "add", "added", "after", "all", "allow", "also", "and", "any", "are", "because", "been", "before", "being", "but",
    "can", "cannot", "change", "could", "did", "does", "doesn", "don", "each", "fix", "fixed", "fixes", "for", "from", "get",
    "had", "has", "have", "here", "how", "into", "its", "just", "make", "may", "more", "most", "must", "new", "not", "now",
    "off", "one", "only", "other", "our", "out", "over", "remove", "same", "should", "since", "some", "such", "than", "that",
    "the", "their", "them", "then", "there", "these", "they", "this", "those", "through", "too", "under", "update", "use",
    "used", "using", "very", "was", "were", "what", "when", "where", "which", "while", "who", "why", "will", "with", "without",
    "would", "you", "your",
];

/// The identifiers of a text, each time they stand there: letters, digits and `_`, of some length, no numbers. In 1 ms about
/// 200 KB.
pub fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    // Bytes: a character beyond ASCII is a part of a name as a whole, so every cut is on a boundary.
    text.as_bytes()
        .chunk_by(move |a, b| part(*a) == part(*b))
        .scan(0, move |at, chunk| {
            let start = *at;
            *at += chunk.len();
            Some(text.get(start..*at).filter(|_| {
                part(chunk[0]) && !chunk[0].is_ascii_digit() && LENGTHS.contains(&chunk.len()) && chunk.iter().any(|b| *b != b'_')
            }))
        })
        .flatten()
}

/// The parts of an identifier: `parse_HTTPHeader2` is `parse`, `HTTP`, `Header2`.
pub(crate) fn parts(identifier: &str) -> impl Iterator<Item = &str> {
    identifier.split(|c: char| !c.is_alphanumeric()).flat_map(humps)
}

/// Cuts before an upper-case letter that begins a word: one behind a lower-case letter, or before one.
fn humps(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let bytes = rest.as_bytes();
        let begins = |i: usize| {
            bytes[i].is_ascii_uppercase()
                && (!bytes[i - 1].is_ascii_uppercase() || bytes.get(i + 1).is_some_and(u8::is_ascii_lowercase))
        };
        let end = (1..bytes.len()).find(|i| begins(*i)).unwrap_or(bytes.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}

/// A word as it is compared: lower case, without the ends that grammar puts on it. `None` for one that says nothing.
pub(crate) fn stem(part: &str) -> Option<String> {
    let mut word = part.to_lowercase();
    if word.len() < 3 || word.bytes().all(|b| b.is_ascii_digit()) || STOP.binary_search(&word.as_str()).is_ok() {
        return None;
    }
    for (end, instead) in [("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", "e"), ("s", "")] {
        let inside = |cut: &&str| cut.len() + instead.len() >= 4 && !(end == "s" && cut.ends_with('s'));
        if let Some(cut) = word.strip_suffix(end).filter(inside) {
            word = format!("{cut}{instead}");
            break;
        }
    }
    // `writing`, `write`; `stopped`, `stop`.
    let bytes = word.as_bytes();
    if word.len() > 4 && word.is_ascii() && (word.ends_with('e') || bytes[bytes.len() - 1] == bytes[bytes.len() - 2]) {
        word.pop();
    }
    Some(word)
}

/// Whether a name is written as code alone writes it: `snake_case`, `camelCase`, `HTTPServer`.
pub(crate) fn is_compound(name: &str) -> bool {
    name.trim_matches('_').contains('_') || humps(name).nth(1).is_some()
}

#[cfg(test)]
mod tests {
    use crate::repo::map::words::{STOP, identifiers, is_compound, parts, stem};

    #[test]
    fn identifiers_are_names_of_some_length() {
        let found: Vec<&str> = identifiers("if ab(total, 12, x1y, ___) == größe_2 // 3rd\n").collect();
        assert_eq!(found, ["total", "x1y", "größe_2"]);
        assert_eq!(identifiers(&"x".repeat(65)).count() + identifiers("").count() + identifiers("\u{fffd}").count(), 1);
    }

    #[test]
    fn names_come_apart_at_their_humps() {
        let check = |name: &str, expected: &[&str]| assert_eq!(parts(name).collect::<Vec<_>>(), expected, "{name}");
        check("parse_HTTPHeader2", &["parse", "HTTP", "Header2"]);
        check("__init__", &["init"]);
        check("größeÄndern", &["größeÄndern"]);
        assert!(is_compound("a_b") && is_compound("aB") && !is_compound("_ab") && !is_compound("Abc"));
    }

    #[test]
    fn words_of_one_stem_are_one() {
        for (a, b) in
            [("parsing", "parsed"), ("queries", "query"), ("writes", "writing"), ("Caches", "cache"), ("stopped", "stops")]
        {
            assert_eq!(stem(a), stem(b), "{a} {b}");
        }
        assert_eq!((stem("the"), stem("12"), stem("class").as_deref()), (None, None, Some("clas")));
        assert!(STOP.is_sorted());
    }
}
