//! Which names a stretch of code mentions, and how: by looking at the text alone.
//!
//! A parser would not do: what a Rust test calls stands inside `assert_eq!(…)`, where no grammar looks.

use crate::repo::syntax::Language;

/// How a name is mentioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    Plain,
    Called,
}

/// Words that are called or named everywhere and defined nowhere that matters.
const KEYWORDS: &[&str] = &[
    "if",
    "else",
    "for",
    "while",
    "return",
    "match",
    "switch",
    "catch",
    "fn",
    "def",
    "func",
    "function",
    "class",
    "self",
    "this",
    "super",
    "let",
    "const",
    "var",
    "in",
    "is",
    "not",
    "and",
    "or",
    "await",
    "async",
    "yield",
    "import",
    "from",
    "use",
    "mod",
    "pub",
    "struct",
    "enum",
    "impl",
    "trait",
    "type",
    "interface",
    "new",
    "try",
    "except",
    "finally",
    "raise",
    "throw",
    "with",
    "as",
    "None",
    "True",
    "False",
    "true",
    "false",
    "null",
    "nil",
    "undefined",
    "Some",
    "Ok",
    "Err",
    "package",
    "lambda",
];

pub fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word)
}

/// The names in a text, wherever they stand: in strings and comments too.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    text.split(move |c| !part(c)).filter(|word| word.len() > 1 && !word.starts_with(|c: char| c.is_ascii_digit()))
}

/// What stands before the name of a definition.
const DEFINERS: &[&str] = &[
    "def",
    "class",
    "fn",
    "func",
    "function",
    "struct",
    "enum",
    "union",
    "trait",
    "type",
    "interface",
    "mod",
    "const",
    "static",
    "let",
    "var",
    "macro_rules",
    "namespace",
    "module",
];
/// What may stand before the name of a method.
const MODIFIERS: &[&str] =
    &["async", "static", "get", "set", "public", "private", "protected", "readonly", "export", "default", "abstract", "override"];

/// The names that a line may define, by its looks: too many rather than too few.
pub fn defining(language: Language, line: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    let mut before = "";
    for (at, name) in names(line).enumerate() {
        // Rust's `let` defines nothing that another place could mean.
        let follows = DEFINERS.contains(&before) && !(before == "let" && language == Language::Rust);
        let leads = at == 0 || MODIFIERS.contains(&before);
        let typed = matches!(language, Language::C | Language::Cpp | Language::Java | Language::Ruby);
        let leading = match language {
            Language::Rust => false,
            Language::Python => leads && line.starts_with(name),
            _ => leads,
        };
        // Go names a method after its receiver, JavaScript a function where it is assigned.
        let after = &line[name.as_ptr() as usize - line.as_ptr() as usize + name.len()..];
        let assigned = language == Language::Go && line.starts_with("func (")
            || matches!(after.trim_start().strip_prefix(['=', ':']), Some(rest) if rest.contains("=>") || rest.contains("function"));
        if follows || leading || typed || assigned {
            found.push(name);
        }
        before = name;
    }
    found
}

/// The names that lines of code mention outside strings and comments, in their order, repeatedly.
pub fn mentions(language: Language, lines: &[String]) -> Vec<(&str, Form)> {
    let mut found = Vec::new();
    for line in lines {
        for (from, to) in code(language, line) {
            let piece = &line[from..to];
            for name in names(piece).filter(|name| !is_keyword(name)) {
                let end = name.as_ptr() as usize - line.as_ptr() as usize + name.len();
                found.push((name, form(&line[end..])));
            }
        }
    }
    found
}

fn form(after: &str) -> Form {
    // `f::<u8>(x)` and `f<T>(x)` call as well.
    let generic = after.strip_prefix("::").unwrap_or(after);
    let after = match generic.strip_prefix('<').and_then(|inner| inner.split_once(">(")) {
        Some((inner, _)) if !inner.contains(['(', ';', '=']) => return Form::Called,
        _ => after,
    };
    if after.starts_with('(') { Form::Called } else { Form::Plain }
}

/// The stretches of a line outside strings and comments. What runs over several lines is taken for code.
fn code(language: Language, line: &str) -> Vec<(usize, usize)> {
    let hash = matches!(language, Language::Python | Language::Ruby);
    // In Rust an apostrophe begins a lifetime as often as a character.
    let quotes: &[char] = if matches!(language, Language::Rust) { &['"'] } else { &['"', '\''] };
    let (mut found, mut start, mut open, mut escaped) = (Vec::new(), 0, None, false);
    for (at, c) in line.char_indices() {
        match open {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(quote) if c == quote => (open, start) = (None, at + 1),
            Some(_) => {}
            None if hash && c == '#' || !hash && line[at..].starts_with("//") => {
                found.push((start, at));
                return found;
            }
            None if quotes.contains(&c) && line[at + 1..].contains(c) => {
                found.push((start, at));
                open = Some(c);
            }
            None => {}
        }
    }
    if open.is_none() {
        found.push((start, line.len()));
    }
    found
}

/// What a file imports, as ends of paths without extension: `cart`, `pkg/cart`, `../src/cart`. Of Rust the parts of its paths.
pub fn imports(language: Language, lines: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for line in lines.iter().map(|line| line.trim()) {
        match language {
            Language::Python => python_import(line, &mut found),
            Language::Rust => {
                let path = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("use ");
                found.extend(path.into_iter().flat_map(names).map(str::to_owned));
            }
            Language::Go => {
                let quoted = line.trim_start_matches("import ").split('"').nth(1);
                found.extend(quoted.filter(|path| !path.contains(' ') && line.ends_with('"')).map(str::to_owned));
            }
            _ if line.contains("from ") || line.contains("require(") || line.contains("import") => {
                let quote = |c: char| c == '"' || c == '\'';
                found.extend(line.split(quote).nth(1).filter(|path| path.starts_with('.')).map(|path| {
                    let name = path.rsplit('/').next().unwrap_or(path);
                    let stem = name
                        .rsplit_once('.')
                        .filter(|(stem, _)| !stem.is_empty())
                        .map_or(path.len(), |(_, e)| path.len() - e.len() - 1);
                    path[..stem].to_owned()
                }));
            }
            _ => {}
        }
    }
    found
}

fn python_import(line: &str, found: &mut Vec<String>) {
    let path = |dotted: &str| dotted.trim_matches('.').replace('.', "/");
    if let Some((module, what)) = line.strip_prefix("from ").and_then(|rest| rest.split_once(" import ")) {
        let module = path(module.trim());
        for name in what.split(',').map(|name| name.trim_matches([' ', '(', ')']).split(' ').next().unwrap_or_default()) {
            // It may be a module as well as something in one.
            found.push(if module.is_empty() { name.to_owned() } else { format!("{module}/{name}") });
        }
        found.push(module);
    } else if let Some(modules) = line.strip_prefix("import ") {
        found.extend(modules.split(',').filter_map(|module| module.split_whitespace().next()).map(path));
    }
    found.retain(|path| !path.is_empty());
}

#[cfg(test)]
mod tests {
    use crate::repair::suspects::mentions::{Form, defining, imports, mentions};
    use crate::repo::syntax::Language;

    #[test]
    fn names_are_found_in_code_and_not_in_what_is_said() {
        for (language, line, expected) in [
            (Language::Python, "self.assertEqual(total([a1]), 'free(x)')  # see b(c)", "assertEqual() total() a1"),
            (Language::Rust, "assert_eq!(cart::total::<u8>(&'a x), MAX); // sum(y)", "assert_eq cart total() u8 MAX"),
            (Language::JavaScript, "expect(await cart.total(\"a\\\"b(c)\")).toBe(price)", "expect() cart total() toBe() price"),
            (Language::Go, "if got := Total(in); got != want {", "got Total() got want"),
            (Language::TypeScript, "const it's = load<Item>(path)", "it load() Item path"),
        ] {
            let lines = [line.to_owned()];
            let called =
                |(name, form): &(&str, Form)| if *form == Form::Called { format!("{name}()") } else { (*name).to_owned() };
            let told: Vec<String> = mentions(language, &lines).iter().map(called).collect();
            assert_eq!(told.join(" "), expected, "{line}");
        }
    }

    #[test]
    fn what_a_line_may_define() {
        for (language, line, expected) in [
            (Language::Python, "    async def total(self, prices):", "total"),
            (Language::Python, "LIMIT: int = 3", "LIMIT"),
            (Language::Python, "    limit = total(x)", ""),
            (Language::Rust, "pub(crate) const fn total(x: u8) -> u8 {", "fn total"),
            (Language::Rust, "    total(x);", ""),
            (Language::JavaScript, "  static async total(prices) {", "static async total"),
            (Language::JavaScript, "exports.total = (prices) => 1;", "exports total"),
            (Language::TypeScript, "export const total = (x: number) => x;", "export const total"),
        ] {
            assert_eq!(defining(language, line).join(" "), expected, "{line}");
        }
        assert!(defining(Language::Go, "func (c *Cart) Total(x int) int {").contains(&"Total"));
        assert!(defining(Language::Java, "    public int total(int x) {").contains(&"total"));
    }

    #[test]
    fn imports_are_ends_of_paths() {
        for (language, line, expected) in [
            (Language::Python, "from shop.cart import total, Cart as C", "shop/cart/total shop/cart/Cart shop/cart"),
            (Language::Python, "from . import cart", "cart"),
            (Language::Python, "import cart, shop.price as p", "cart shop/price"),
            (Language::JavaScript, "import { total } from '../src/cart.js';", "../src/cart"),
            (Language::JavaScript, "const assert = require('node:assert');", ""),
            (Language::TypeScript, "const { total } = require(\"./cart\")", "./cart"),
            (Language::Rust, "use shop::cart::{total, Cart};", "shop cart total Cart"),
            (Language::Go, "\t\"example.com/shop/cart\"", "example.com/shop/cart"),
            (Language::Go, "import \"fmt\"", "fmt"),
        ] {
            assert_eq!(imports(language, &[line.to_owned()]).join(" "), expected, "{line}");
        }
    }
}
