//! The words of an issue: which pieces of code it names, and whether it names a given one.
//!
//! A person marks code or does not. In backquotes everything is code; in a sentence a name is known by its looks (`a_b`, `aB`,
//! `f(`, `.name`). A word that is also English (`not`, `-`) is code only in marks, or where one thing is set against another:
//! "or instead of and". Blocks between fences show how to reproduce, and name nothing.

mod marks;

use crate::repair::Passage;
use crate::repair::words::marks::{Place, Word, words};
use std::collections::BTreeSet;

pub(crate) use crate::repair::words::marks::pieces;

/// English as often as code: these name nothing unless they are marked.
const ENGLISH: &[&str] = &[
    "a", "I", "and", "or", "not", "in", "is", "if", "else", "for", "while", "with", "as", "from", "this", "that", "to", "at",
    "no", "on", "of", "by", "do", "return", "break", "continue", "pass", "new", "try", "then", "the", "it", "be", "but", "so",
    "are", "was", "has", "have", "when", "an", "than", "its", "only", "one", "does", "gives", "should", "must",
];

/// The pieces of code that an issue names, in its order, each once: names, operators and numbers.
pub fn said(issue: &str) -> Vec<String> {
    let all = words(issue);
    let mut seen = BTreeSet::new();
    let names = |at: usize| match all[at].place {
        Place::Code | Place::Quote => all[at].is_name() || all[at].is_number() || all[at].is_operator(),
        Place::Prose => {
            let wished = contrast(&all, at) == Contrast::Wished && all[at].is_number();
            looks_like_code(&all, at) || contrast(&all, at) == Contrast::Against || wished
        }
        Place::Fence => looks_like_code(&all, at),
        Place::Path => false,
    };
    let named = (0..all.len()).filter(|at| names(*at)).map(|at| all[at].text);
    // A dot alone is how members are written, not what is said about them.
    named.filter(|text| *text != "." && seen.insert(*text)).map(str::to_owned).collect()
}

/// Whether a piece of code stands in the issue as words of its own: `<` does not stand in `<=`, nor `not` in "does not work".
/// Several words must follow each other as they do here. Nothing is never named.
pub fn named(code: &str, issue: &str) -> bool {
    Issue::of(issue).names(code)
}

/// The issue as evidence for changes of these passages: without paths, and without the names of what the passages define, except
/// where such a name is set against another. That a function is named says where the fault is, not what. Same length.
pub fn evidence(issue: &str, passages: &[Passage]) -> String {
    let own: BTreeSet<&str> = passages.iter().flat_map(definitions).collect();
    let all = words(issue);
    let mut left = String::with_capacity(issue.len());
    for (at, word) in all.iter().enumerate() {
        let hidden = word.place == Place::Path || own.contains(word.text) && contrast(&all, at) == Contrast::None;
        if hidden {
            left.push_str(&issue[left.len()..word.at]);
            left.extend(std::iter::repeat_n(' ', word.text.len()));
        }
    }
    left.push_str(&issue[left.len()..]);
    left
}

/// An issue that is asked about many words.
pub(crate) struct Issue<'a> {
    words: Vec<Word<'a>>,
    text: &'a str,
}

impl<'a> Issue<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self { words: words(text), text }
    }

    /// As [`named`].
    pub(crate) fn names(&self, code: &str) -> bool {
        let wanted = pieces(code);
        let count = wanted.len();
        count > 0
            && (0..(self.words.len() + 1).saturating_sub(count)).any(|at| {
                let here = &self.words[at..at + count];
                here.iter().map(|word| word.text).eq(wanted.iter().copied())
                    && here.iter().all(|word| word.span == here[0].span && word.place == here[0].place)
                    && self.counts(at, count)
            })
    }

    /// The words of sentences and marks, as a person would look for them: no English, no signs.
    pub(crate) fn plain(&self) -> impl Iterator<Item = &'a str> {
        let told = self.words.iter().filter(|word| !matches!(word.place, Place::Fence | Place::Path));
        told.filter(|word| word.is_name() && word.text.len() > 2 && !ENGLISH.contains(&word.text)).map(|word| word.text)
    }

    /// The names of files.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &'a str> {
        self.words.iter().filter(|word| word.is_path()).map(|word| word.text)
    }

    /// Whether words that agree in letters are meant as code.
    fn counts(&self, at: usize, count: usize) -> bool {
        match self.words[at].place {
            Place::Code | Place::Quote => true,
            Place::Fence | Place::Path => false,
            Place::Prose => {
                let mut here = at..at + count;
                let strong = |i: usize| self.strong(i, count);
                here.any(strong) || count == 1 && contrast(&self.words, at) == Contrast::Against
            }
        }
    }

    /// Whether a word in a sentence is code by itself.
    fn strong(&self, at: usize, count: usize) -> bool {
        let word = &self.words[at];
        let (before, after) = (&self.text[..word.at], &self.text[word.end()..]);
        let line_begins = before.trim_end_matches([' ', '\t']).is_empty() || before.trim_end_matches([' ', '\t']).ends_with('\n');
        if word.is_number() {
            // Neither "1. first" nor "#12".
            return !(before.ends_with('#') || line_begins && after.starts_with(['.', ')']));
        }
        if word.is_name() {
            return !ENGLISH.contains(&word.text);
        }
        let spaced = before.ends_with(' ') && after.starts_with(' ') && !line_begins;
        count == 1 && spaced && (word.text.len() > 1 && word.text != "--" || ["<", ">", "%"].contains(&word.text))
    }
}

/// What a sentence sets a word against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contrast {
    None,
    /// "should be X".
    Wished,
    /// "X instead of Y": both.
    Against,
}

fn contrast(all: &[Word<'_>], at: usize) -> Contrast {
    let pair = |first: Option<usize>| {
        let two = first.and_then(|first| all.get(first..first + 2));
        two.map_or(("", ""), |two| (two[0].text, two[1].text))
    };
    let against = |pair| matches!(pair, ("instead", "of") | ("rather", "than"));
    let before = pair(at.checked_sub(2));
    if against(before) || against(pair(Some(at + 1))) {
        return Contrast::Against;
    }
    match before {
        ("should" | "must", "be" | "call" | "use" | "return" | "say") => Contrast::Wished,
        _ => Contrast::None,
    }
}

/// Whether a name in a sentence is code by its looks: called, a member, or written as no English word is.
fn looks_like_code(all: &[Word<'_>], at: usize) -> bool {
    let word = &all[at];
    if !word.is_name() {
        return false;
    }
    let next = |steps: usize| all.get(at + steps).filter(|next| next.span == word.span);
    let previous = |steps: usize| at.checked_sub(steps).map(|at| &all[at]).filter(|previous| previous.span == word.span);
    let glued = |left: &Word<'_>, right: &Word<'_>| left.end() == right.at;
    // "item(s)" is a plural.
    let called = next(1).is_some_and(|paren| paren.text == "(" && glued(word, paren)) && next(2).is_none_or(|s| s.text != "s");
    let joined = |sign: &Word<'_>, far: Option<&Word<'_>>| {
        let long = |name: &Word<'_>| name.is_name() && name.text.len() > 1;
        [".", "::", "?."].contains(&sign.text) && far.is_some_and(long) && word.text.len() > 1
    };
    let owner = next(1).is_some_and(|sign| glued(word, sign) && joined(sign, next(2).filter(|far| glued(sign, far))));
    let member = previous(1).is_some_and(|sign| glued(sign, word) && joined(sign, previous(2).filter(|far| glued(far, sign))));
    let bare =
        previous(1).is_some_and(|sign| sign.text == "." && glued(sign, word) && previous(2).is_none_or(|far| !glued(far, sign)));
    called || owner || member || bare || looks_like_name(word.text)
}

/// `a_b`, `aB`, `AbCd`, `a1`.
fn looks_like_name(word: &str) -> bool {
    let inner = word.trim_matches('_');
    let humps = inner.as_bytes().windows(2).any(|two| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase());
    let digit = inner.contains(|c: char| c.is_ascii_digit()) && inner.starts_with(char::is_alphabetic);
    inner.contains('_') || humps || digit || word.contains('$') || word.starts_with('_') && !inner.is_empty()
}

/// The names that a passage defines: functions wherever they stand, and what its first line names.
fn definitions(passage: &Passage) -> Vec<&str> {
    let mut names = Vec::new();
    for (at, line) in passage.lines.iter().enumerate() {
        let words = pieces(line);
        let keyword = |word: &&str| ["def", "fn", "func", "function", "class", "struct", "enum"].contains(word);
        if let Some(place) = words.iter().position(keyword) {
            // Go names the receiver first, in brackets.
            let after = &words[place + 1..];
            let skipped =
                if after.first() == Some(&"(") { after.iter().position(|word| *word == ")").map_or(0, |at| at + 1) } else { 0 };
            names.extend(after[skipped..].iter().find(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_')));
        } else if at == 0 {
            names.extend(words.iter().find(|word| is_name(word) && !BEFORE_A_NAME.contains(word)));
        }
    }
    names
}

/// What may stand before the name of a method, a constant or a variable.
const BEFORE_A_NAME: &[&str] = &[
    "async",
    "static",
    "get",
    "set",
    "public",
    "private",
    "protected",
    "readonly",
    "export",
    "default",
    "const",
    "let",
    "var",
    "pub",
    "crate",
    "mut",
    "override",
    "abstract",
    "final",
];

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '$')
}

#[cfg(test)]
mod tests {
    use crate::path::Root;
    use crate::repair::Passage;
    use crate::repair::words::{evidence, named, said};
    use crate::repo::syntax::Language;

    #[test]
    fn what_an_issue_says_in_code() {
        for (issue, expected) in [
            ("With three the cheapest should be free, but `total` charges all.", "total"),
            ("uses `<` where `<=` is right", "< <="),
            ("call parse_header() or readLine or .items or cart.total", "parse_header readLine items cart total"),
            ("returns 4 instead of 3; it should be 7, not 12", "4 3 7"),
            ("uses cost rather than price", "cost price"),
            ("\"free\" and 'is not' and 'it does not work' and don't", "free is not"),
            ("see src/cart.py:12 and web/app.min.js, e.g. item(s)", ""),
            ("`a` and `a.b` and `a`", "a b"),
            ("```py\nx = 3 if free else y_z\n```\nand `q`", "y_z q"),
            ("an open ` quote and a_b", "a_b"),
            ("", ""),
        ] {
            assert_eq!(said(issue).join(" "), expected, "{issue}");
        }
    }

    #[test]
    fn a_piece_of_code_is_named_as_words_of_its_own() {
        for (code, issue, expected) in [
            ("<", "`x < 3` fails", true),
            ("<", "`x <= 3` fails", false),
            ("<=", "the test with <= is right", true),
            ("not", "it does not work", false),
            ("not", "the `not` is missing", true),
            ("and", "it uses or instead of and", true),
            ("or", "it uses or instead of and", true),
            ("or", "one or two", false),
            ("-", "off-by-one - sometimes", false),
            ("-", "adds with `-`", true),
            ("n - 1", "up to `n - 1` only", true),
            ("n - 1", "up to n-1 only", true),
            ("n - 1", "up to `n` and 1", false),
            ("is not", "this is not good", false),
            ("is not", "it says 'is not'", true),
            ("3", "with 3 items", true),
            ("3", "with 33 items or 3.5", false),
            ("1", "1. open it\n2. see #1", false),
            ("price", "the price is wrong", true),
            ("price", "the prices are wrong", false),
            ("py", "see cart.py", false),
            ("12", "see `cart.py:12`", false),
            ("free", "```\nfree = 1\n```", false),
            ("return", "the return value", false),
            ("", "anything", false),
        ] {
            assert_eq!(named(code, issue), expected, "{code} in {issue}");
        }
    }

    fn passage(language: Language, text: &str) -> Passage {
        let path = Root::open(std::path::Path::new("/")).unwrap().parse("src/cart.x").unwrap();
        Passage { path, language, first: 1, lines: text.lines().map(str::to_owned).collect() }
    }

    #[test]
    fn the_names_of_the_suspects_are_no_evidence() {
        for (language, text, name) in [
            (Language::Python, "    def total(self, price):\n        return price", "total"),
            (Language::Rust, "pub(crate) const fn total(price: u8) -> u8 {", "total"),
            (Language::Go, "func (c *Cart) total(price int) int {", "total"),
            (Language::JavaScript, "  async total(price) {", "total"),
            (Language::JavaScript, "export const total = (price) => {", "total"),
        ] {
            let passages = [passage(language, text)];
            let check = |issue: &str, expected: [bool; 2]| {
                let left = evidence(issue, &passages);
                assert_eq!(left.len(), issue.len());
                assert_eq!([named(name, &left), named("price", &left)], expected, "{language:?}: {issue}: {left}");
            };
            check("`total` in src/price.py forgets the `price`: total(price) is 0 – schade", [false, true]);
            check("total is wrong", [false, false]);
            check("it calls price instead of total", [true, true]);
            check("`total` must call `total` again", [true, false]);
        }
    }
}
