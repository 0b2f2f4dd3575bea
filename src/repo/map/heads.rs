//! Which names a text defines, by the looks of its lines.
//!
//! A grammar knows better, at fifty times the price; and who refers to whom in thousands of files need not be known exactly. What
//! a map shows is parsed. A line counts where a word of the language says that a name is defined next, or where it looks like
//! the head of a function: a name before a parenthesis, behind a type, before a body.

use crate::repo::syntax::Language;

/// Longer lines were not written by hand.
const LINE: usize = 300;
/// Words that stand before the one that defines: `pub(crate) unsafe extern "C" fn`.
const BEFORE: usize = 6;
/// Words between one that defines and the next: `const unsafe fn`, `static mut`, `enum class`.
const MODIFIERS: &[&str] = &["async", "extern", "mut", "unsafe", "C"];
/// Words before a parenthesis that are no function's name, nor the type of one.
const CONTROL: &[&str] = &[
    "if",
    "for",
    "while",
    "switch",
    "return",
    "catch",
    "else",
    "do",
    "new",
    "throw",
    "await",
    "sizeof",
    "assert",
    "super",
    "this",
    "using",
    "lock",
    "yield",
    "delete",
    "case",
    "elif",
    "foreach",
    "synchronized",
    "typeof",
    "defined",
    "function",
    "goto",
    "in",
];

/// The names that a text defines, in its order; one that is defined twice stands there twice. In 1 ms about 150 KB.
pub(crate) fn heads(language: Language, text: &str) -> Vec<&str> {
    let keywords = keywords(language);
    let mut found = Vec::new();
    for line in text.lines().filter(|line| line.len() <= LINE) {
        let trimmed = line.trim();
        let Some(first) = trimmed.bytes().next() else { continue };
        let directive = first == b'#' && matches!(language, Language::C | Language::Cpp) && trimmed.starts_with("#define");
        if !directive && (b"#*\"'-;%)".contains(&first) || trimmed.starts_with("//")) {
            continue;
        }
        let outer = line.len() == line.trim_start().len();
        let told = announced(trimmed, keywords)
            .or_else(|| function(language, trimmed, outer))
            .or_else(|| value(language, trimmed, outer));
        found.extend(told.filter(|name| name.len() > 2));
    }
    found
}

/// The words behind which a definition's name stands.
fn keywords(language: Language) -> &'static [&'static str] {
    match language {
        Language::Bash => &["function"],
        Language::C => &["struct", "union", "enum", "#define"],
        Language::Cpp => &["class", "struct", "union", "enum", "namespace", "concept", "#define"],
        Language::CSharp => &["class", "struct", "enum", "interface", "record", "namespace", "delegate"],
        Language::Elixir => {
            &["def", "defp", "defmacro", "defmacrop", "defmodule", "defprotocol", "defimpl", "defguard", "defdelegate"]
        }
        Language::Go => &["func", "type", "const", "var"],
        Language::Java => &["class", "interface", "enum", "record"],
        Language::JavaScript => &["class", "function"],
        Language::Kotlin => &["class", "interface", "object", "fun", "typealias"],
        Language::Lua => &["function"],
        Language::Php => &["class", "interface", "trait", "enum", "function", "const"],
        Language::Python => &["class", "def"],
        Language::Ruby => &["class", "module", "def"],
        Language::Rust => &["fn", "struct", "enum", "union", "trait", "type", "mod", "const", "static", "macro_rules"],
        Language::Scala => &["class", "trait", "object", "enum", "def", "type"],
        Language::Swift => &["class", "struct", "enum", "protocol", "extension", "actor", "func", "typealias"],
        Language::Tsx | Language::TypeScript => &["class", "function", "interface", "enum", "type", "namespace"],
        Language::Zig => &["fn", "const"],
        Language::Css | Language::Json | Language::Make | Language::Markdown | Language::Toml => &[],
    }
}

/// The name behind the last of the keywords that a line begins with: `const fn name`, `enum class Name`.
fn announced<'t>(line: &'t str, keywords: &[&str]) -> Option<&'t str> {
    let mut rest = line;
    let mut last = None;
    for _ in 0..BEFORE {
        let word = rest.split(|c: char| !is_part(c) && c != '#').next().unwrap_or_default();
        let behind = &rest[word.len()..];
        let announces = keywords.contains(&word) && !behind.starts_with(['(', '.', ',', ';']);
        if announces || last.is_some() && MODIFIERS.contains(&word) {
            last = Some(behind);
        } else if last.is_some() {
            break;
        }
        // What may stand between: `pub(crate)`, `"C"`, `export default`.
        let behind = if behind.starts_with('(') { behind.split_once(')').map_or("", |(_, after)| after) } else { behind };
        rest = behind.trim_start_matches([' ', '\t', '"', '!', '*']);
        if rest.is_empty() || !rest.starts_with(|c: char| is_part(c) || c == '#') {
            break;
        }
    }
    let mut rest = last?.trim_start_matches(['!', '*', ' ', '\t']);
    // A receiver in Go, parameters of types in Kotlin.
    for (open, close) in [('(', ')'), ('<', '>')] {
        if rest.starts_with(open) {
            rest = rest.split_once(close)?.1.trim_start();
        }
    }
    // What an extension extends.
    rest = rest.split_once(">.").filter(|(extended, _)| !extended.contains('(')).map_or(rest, |(_, after)| after);
    let path = rest.split(|c: char| !is_part(c) && c != '.' && c != ':' && c != '\\').next()?.trim_end_matches([':', '.']);
    name(path)
}

/// The last part of `self.name`, `M.name`, `A::name`.
fn name(path: &str) -> Option<&str> {
    let last = path.rsplit(['.', ':', '\\']).next()?.trim_start_matches('&');
    (!last.is_empty() && !last.starts_with(|c: char| c.is_ascii_digit()) && last.chars().all(is_part)).then_some(last)
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The name of a function that no keyword announces.
fn function(language: Language, line: &str, outer: bool) -> Option<&str> {
    use Language::{Bash, C, CSharp, Cpp, Java, JavaScript, Tsx, TypeScript};
    let (before, after) = line.split_once('(')?;
    if before.contains(['=', '"', '\'', '.']) || before.is_empty() {
        return None;
    }
    let body = line.ends_with('{') || line.ends_with("=>");
    let words = before.split_whitespace().count();
    let looks = match language {
        Bash => after.trim_start().starts_with(')'),
        // The type may stand on the line before, the body on the one behind.
        C => outer && !line.ends_with(';'),
        Cpp => outer && !line.ends_with(';') || body && words > 1,
        Java | CSharp => words > 1 && (body || line.ends_with(')') || line.ends_with("throws")),
        JavaScript | Tsx | TypeScript => !outer && body && words <= 3,
        _ => false,
    };
    let spoken = before.split(|c: char| !is_part(c)).any(|word| CONTROL.contains(&word));
    let path = before.trim_end().rsplit(|c: char| !is_part(c) && c != ':').next()?;
    if looks && !spoken { name(path) } else { None }
}

/// The name of a value of the module, or of a function that is one.
fn value(language: Language, line: &str, outer: bool) -> Option<&str> {
    use Language::{C, Cpp, JavaScript, Kotlin, Lua, Make, Python, Ruby, Scala, Tsx, TypeScript};
    if matches!(language, C | Cpp) {
        let named = line.strip_prefix('}').or_else(|| line.strip_prefix("typedef ")).filter(|_| outer)?.strip_suffix(';')?;
        return name(named.rsplit(|c: char| !is_part(c)).next()?);
    }
    if language == Make {
        let end = line.find([':', '=', '?', '+']).filter(|_| outer)?;
        return name(line[..end].trim());
    }
    let (before, after) = line.split_once('=')?;
    if after.starts_with('=') || before.ends_with(['!', '<', '>', '+', '-', '*', '/', '|', '&', '%']) {
        return None;
    }
    let after = after.trim_start();
    let callable = after.starts_with("function") || after.starts_with("async ") || after.contains("=>");
    let before = before.split(':').next()?.trim();
    match language {
        Python if outer => name(before),
        Ruby if before.starts_with(char::is_uppercase) => name(before),
        Lua if callable => name(before.rsplit(' ').next()?),
        JavaScript | Tsx | TypeScript if callable || outer && (before.starts_with("const ") || before.starts_with("export ")) => {
            name(before.rsplit(' ').next()?)
        }
        Scala | Kotlin if before.split(' ').any(|word| word == "val") => name(before.rsplit(' ').next()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::repo::map::heads::heads;
    use crate::repo::syntax::Language;

    #[test]
    fn definitions_are_known_by_their_heads() {
        let check =
            |language, text: &str, expected: &str| assert_eq!(heads(language, text).join(" "), expected, "{language:?} {text}");
        check(Language::Rust, "pub(crate) const unsafe fn total<T>(x: T) {\n  let y = make();\n", "total");
        check(
            Language::Rust,
            "#[derive(Debug)]\npub struct Cart;\nmacro_rules! many {\nimpl Cart {\nstatic MOST: u8 = 1;",
            "Cart many MOST",
        );
        check(
            Language::Python,
            "async def total(x):\n    if total(x):\n        y = 1\nMOST: int = 3\nfrom a import bbb\n",
            "total MOST",
        );
        check(
            Language::Go,
            "func (c *Cart) Total(x int) int {\ntype Price struct {\nfunc main() {\n\tx := Total(1)\n",
            "Total Price main",
        );
        check(
            Language::C,
            "static int\ntotal (int x)\n{\n  other(x);\n#define MOST 3\ntypedef struct {\n} cart_t;\n",
            "total MOST cart_t",
        );
        check(Language::Cpp, "int Cart::total(int x) {\n    void add(int y) {\n    if (x) {\n    return sum(x);\n", "total add");
        check(
            Language::Java,
            "public class Cart {\n  private int total(int x) {\n    return sum(x);\n    int y = add(1);\n",
            "Cart total",
        );
        check(Language::CSharp, "public record Cart(int X);\n  public int Total()\n  {\n    if (Any())\n", "Cart Total");
        check(
            Language::JavaScript,
            "export class Cart {\n  async total(x) {\n    if (x) {\nexport const sum = (x) => 1;\nexports.add = function () {",
            "Cart total sum add",
        );
        check(
            Language::TypeScript,
            "export interface Cart {}\ntype Price = 1;\nexport default function pay<T>() {\n",
            "Cart Price pay",
        );
        check(Language::Ruby, "module Shop\n  class Cart < Base\n    def self.total(x)\nMOST = 3\n", "Shop Cart total MOST");
        check(Language::Php, "abstract class Cart {\n  public static function total() {\n    if (x()) {\n", "Cart total");
        check(
            Language::Kotlin,
            "data class Cart(val x: Int)\nfun <T> List<T>.total(): Int = 1\n  private fun add() {\n",
            "Cart total add",
        );
        check(Language::Scala, "case class Cart(x: Int)\n  def total: Int = 1\nobject Shop {\n", "Cart total Shop");
        check(Language::Swift, "public final class Cart {\n  func total() -> Int {\nextension Shop {\n", "Cart total Shop");
        check(Language::Elixir, "defmodule Shop.Cart do\n  defp total(x), do: x\n", "Cart total");
        check(Language::Lua, "local function total(x)\nfunction M.add(x)\nM.sub = function(x)\n", "total add sub");
        check(Language::Bash, "total() {\n  add \"$1\"\nfunction sub {\n", "total sub");
        check(Language::Zig, "pub fn total(x: u8) u8 {\npub const Cart = struct {\n", "total Cart");
        check(Language::Make, "MOST := 3\ntest: build\n\tcc -c\n", "MOST test");
        check(Language::Markdown, "# Total\n", "");
    }

    #[test]
    fn no_line_is_too_strange() {
        for text in ["(", "def", "fn (", "class é", "= =", "func (", "}", "};", "def é(x)", "\u{2028}class x", "#define"] {
            for language in Language::ALL {
                heads(language, text);
            }
        }
    }
}
