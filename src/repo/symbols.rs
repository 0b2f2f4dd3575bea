//! Definitions and references in a text, by tags queries: each grammar's own, and what `tags/*.scm` adds.
//!
//! The queries are read as `tree-sitter tags` reads them: of several tags on one name the one whose pattern stands first counts,
//! and a pattern that only captures `@ignore` takes its name away from the patterns behind it.

use crate::repo::syntax::{self, Language};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tree_sitter::{Query, QueryCursor, QueryCursorOptions, QueryCursorState, StreamingIterator};

/// A definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The line of its name, from 1.
    pub line: usize,
    /// Its last line. In C and C++ that of its head: their own queries mark no more.
    pub end: usize,
    /// The grammar's word: `function`, `class`, `method`, …
    pub kind: String,
    pub name: String,
    /// The line that the definition begins on, trimmed.
    pub signature: String,
}

/// A place where something is used by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// From 1.
    pub line: usize,
    pub name: String,
}

/// Text that is no code at all takes a parser a hundred times as long as code does.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads definitions and references. A language's query is compiled when its first file comes (1 to 20 ms) and kept; clones, each
/// for a thread of its own, share them.
#[derive(Clone, Default)]
pub struct Tagger {
    queries: Arc<[Slots; Language::ALL.len()]>,
}

/// The two queries of a language: definitions alone cost a fifth less.
#[derive(Default)]
struct Slots {
    definitions: OnceLock<Option<Tags>>,
    all: OnceLock<Option<Tags>>,
}

/// A query, and what its captures mean.
struct Tags {
    query: Query,
    name: Option<u32>,
    ignore: Option<u32>,
    /// By capture: the kind, and whether it is a definition's.
    kinds: Vec<Option<(String, bool)>>,
}

/// What stands on a name.
struct Tag {
    pattern: usize,
    /// The capture that says what it is. `None`: to be ignored.
    kind: Option<u32>,
    line: usize,
    end: usize,
}

impl Tagger {
    /// The definitions in a text, in its order; empty where the language has none to offer, or the parser was not done in time.
    pub fn symbols(&mut self, language: Language, text: &str) -> Vec<Symbol> {
        let slot = &self.queries[language as usize].definitions;
        let Some(tags) = slot.get_or_init(|| Tags::new(language, true)) else { return Vec::new() };
        let lines: Vec<&str> = text.lines().collect();
        let found = tags.read(language, text).into_iter().filter_map(|(name, tag)| {
            let (kind, _) = tags.kinds[tag.kind? as usize].as_ref().filter(|(_, defines)| *defines)?;
            let signature = lines.get(tag.line - 1).map_or("", |line| line.trim()).to_owned();
            Some(Symbol { line: tag.line, end: tag.end, kind: kind.clone(), name: name.to_owned(), signature })
        });
        found.collect()
    }

    /// The references in a text, in its order, as far as the language's query knows them.
    pub fn references(&mut self, language: Language, text: &str) -> Vec<Reference> {
        let slot = &self.queries[language as usize].all;
        let Some(tags) = slot.get_or_init(|| Tags::new(language, false)) else { return Vec::new() };
        let found = tags.read(language, text).into_iter().filter_map(|(name, tag)| {
            tags.kinds[tag.kind? as usize].as_ref().filter(|(_, defines)| !defines)?;
            Some(Reference { line: tag.line, name: name.to_owned() })
        });
        found.collect()
    }
}

impl Tags {
    fn new(language: Language, definitions_only: bool) -> Option<Self> {
        let source = source(language)?;
        // A query that does not fit its grammar is a fault of this build; the tests below would say so.
        let mut query = Query::new(&language.grammar(), &source).ok()?;
        for pattern in 0..query.pattern_count() {
            let written = &source[query.start_byte_for_pattern(pattern)..query.end_byte_for_pattern(pattern)];
            if definitions_only && written.contains("@reference") {
                query.disable_pattern(pattern);
            }
        }
        let kind = |name: &&str| match name.split_once('.')? {
            ("definition", kind) => Some((kind.to_owned(), true)),
            ("reference", kind) => Some((kind.to_owned(), false)),
            _ => None,
        };
        let kinds = query.capture_names().iter().map(kind).collect();
        let (name, ignore) = (query.capture_index_for_name("name"), query.capture_index_for_name("ignore"));
        Some(Self { query, name, ignore, kinds })
    }

    /// The names that are tagged, each with its tag, in the order of the text.
    fn read<'t>(&self, language: Language, text: &'t str) -> Vec<(&'t str, Tag)> {
        let deadline = Instant::now() + PATIENCE;
        let Some(tree) = syntax::parse(language, text, deadline) else { return Vec::new() };
        let mut found: HashMap<(usize, usize), Tag> = HashMap::new();
        let mut cursor = QueryCursor::new();
        let mut in_time =
            |_: &QueryCursorState| if Instant::now() < deadline { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        let options = QueryCursorOptions::new().progress_callback(&mut in_time);
        let mut matches = cursor.matches_with_options(&self.query, tree.root_node(), text.as_bytes(), options);
        while let Some(one) = matches.next() {
            let capture = |index: Option<u32>| one.captures().iter().find(|capture| Some(capture.index) == index);
            let tagged = one.captures().iter().find(|capture| self.kinds[capture.index as usize].is_some());
            // A pattern without a kind only says what the language has.
            let named = if tagged.is_some() { capture(self.name) } else { capture(self.ignore) };
            let Some(name) = named.map(|capture| capture.node) else { continue };
            let tag = Tag {
                pattern: one.pattern_index,
                kind: tagged.map(|capture| capture.index),
                line: name.start_position().row + 1,
                end: tagged.map_or(0, |capture| last_line(capture.node)),
            };
            let place = (name.start_byte(), name.end_byte());
            // A method also matches its grammar's pattern for functions.
            if found.get(&place).is_none_or(|before| tag.pattern < before.pattern) {
                found.insert(place, tag);
            }
        }
        let mut found: Vec<((usize, usize), Tag)> = found.into_iter().collect();
        found.sort_unstable_by_key(|(place, _)| *place);
        found.into_iter().filter_map(|((start, end), tag)| Some((text.get(start..end)?.trim(), tag))).collect()
    }
}

/// The last line that a node has something on, from 1: one that ends behind a newline does not reach the next line.
fn last_line(node: tree_sitter::Node<'_>) -> usize {
    let end = node.end_position();
    if end.column == 0 && end.row > node.start_position().row { end.row } else { end.row + 1 }
}

/// Tells apart what was read with other queries, or of other languages.
pub fn fingerprint() -> u64 {
    let mut hasher = DefaultHasher::new();
    for language in Language::ALL {
        source(language).hash(&mut hasher);
    }
    hasher.finish()
}

/// The query of a language: our additions stand behind the grammar's own patterns, which win.
fn source(language: Language) -> Option<String> {
    let (own, more): (&[&str], &str) = match language {
        Language::Bash => (&[], include_str!("tags/bash.scm")),
        Language::C => (&[tree_sitter_c::TAGS_QUERY], include_str!("tags/c.scm")),
        Language::Cpp => (&[tree_sitter_cpp::TAGS_QUERY, include_str!("tags/c.scm")], include_str!("tags/cpp.scm")),
        Language::CSharp => (&[tree_sitter_c_sharp::TAGS_QUERY], include_str!("tags/csharp.scm")),
        Language::Css => (&[], include_str!("tags/css.scm")),
        Language::Elixir => (&[tree_sitter_elixir::TAGS_QUERY], include_str!("tags/elixir.scm")),
        Language::Go => (&[tree_sitter_go::TAGS_QUERY], include_str!("tags/go.scm")),
        Language::Java => (&[tree_sitter_java::TAGS_QUERY], ""),
        Language::JavaScript => (&[tree_sitter_javascript::TAGS_QUERY], include_str!("tags/javascript.scm")),
        Language::Kotlin => (&[], include_str!("tags/kotlin.scm")),
        Language::Lua => (&[tree_sitter_lua::TAGS_QUERY], include_str!("tags/lua.scm")),
        Language::Make => (&[], include_str!("tags/make.scm")),
        Language::Markdown => (&[], include_str!("tags/markdown.scm")),
        Language::Php => (&[tree_sitter_php::TAGS_QUERY], include_str!("tags/php.scm")),
        Language::Python => (&[tree_sitter_python::TAGS_QUERY], ""),
        Language::Ruby => (&[tree_sitter_ruby::TAGS_QUERY], ""),
        Language::Rust => (&[tree_sitter_rust::TAGS_QUERY], include_str!("tags/rust.scm")),
        Language::Scala => (&[], include_str!("tags/scala.scm")),
        Language::Swift => (&[tree_sitter_swift::TAGS_QUERY], include_str!("tags/swift.scm")),
        Language::Toml => (&[], include_str!("tags/toml.scm")),
        // TypeScript's query holds only what it adds to JavaScript's.
        Language::Tsx | Language::TypeScript => (
            &[tree_sitter_javascript::TAGS_QUERY, include_str!("tags/javascript.scm"), tree_sitter_typescript::TAGS_QUERY],
            include_str!("tags/typescript.scm"),
        ),
        Language::Zig => (&[], include_str!("tags/zig.scm")),
        Language::Json => return None,
    };
    Some([&own.join("\n"), more].join("\n"))
}

#[cfg(test)]
mod tests {
    use crate::repo::symbols::Tagger;
    use crate::repo::syntax::Language;

    fn check(language: Language, text: &str, expected: &str) {
        let symbols = Tagger::default().symbols(language, text);
        let told: Vec<String> = symbols.iter().map(|s| format!("{} {} {}", s.line, s.kind, s.name)).collect();
        assert_eq!(told.join(", "), expected, "{language:?}");
    }

    #[test]
    fn every_language_names_its_definitions() {
        check(
            Language::Rust,
            "const A: u8 = 1;\nimpl B {\n    fn c(&self) {}\n}\nstruct D;\n",
            "1 constant A, 3 method c, 5 class D",
        );
        check(Language::Python, "class A:\n    def b(self):\n        pass\n", "1 class A, 2 function b");
        check(
            Language::JavaScript,
            "class A { b() {} }\nconst c = () => 1;\nexport const d = [1];\nlet e = f();\n",
            "1 class A, 1 method b, 2 function c, 3 constant d",
        );
        check(
            Language::TypeScript,
            "class A {}\nfunction b() {}\ninterface C {}\ntype D = 1;\n",
            "1 class A, 2 function b, 3 interface C, 4 type D",
        );
        check(Language::Tsx, "function A() { return <p/>; }\n", "1 function A");
        check(
            Language::Go,
            "package a\n\nfunc b() {}\n\ntype C struct{}\n\nconst D = 1\n",
            "3 function b, 5 type C, 7 constant D",
        );
        check(Language::C, "struct a { int b; };\nint c(void) { return 1; }\n", "1 class a, 2 function c");
        check(Language::Cpp, "class A { void b(); };\nint c() { return 1; }\n", "1 class A, 1 function b, 2 function c");
        check(Language::Java, "class A {\n  void b() {}\n}\n", "1 class A, 2 method b");
        check(Language::Ruby, "class A\n  def b\n  end\nend\n", "1 class A, 2 method b");
        check(Language::Json, "{}", "");
        check(
            Language::C,
            "#ifndef A_H\n#define A_H\n#define MOST 3\n#define MIN(a, b) a\ntypedef int num;\n#endif\n",
            "3 constant MOST, 4 macro MIN, 5 type num",
        );
        check(
            Language::CSharp,
            "namespace A { struct B { int C() {} int D { get; } } }",
            "1 module A, 1 class B, 1 method C, 1 property D",
        );
        check(Language::Php, "<?php\nconst A = 1;\nclass B {\n  function c() {}\n}\n", "2 constant A, 3 class B, 4 function c");
        check(Language::Lua, "local M = {}\nfunction M.a() end\nfunction M:b() end\n", "1 constant M, 2 function a, 3 method b");
        check(Language::Swift, "class A {\n  func b() {}\n}\ntypealias C = Int\n", "1 class A, 2 method b, 4 type C");
        check(Language::Kotlin, "class A {\n  val b = 1\n  fun c() { val d = 2 }\n}\n", "1 class A, 2 property b, 3 function c");
        check(
            Language::Scala,
            "object A {\n  val b = 1\n  def c = { val d = 2; d }\n}\n",
            "1 object A, 2 constant b, 3 function c",
        );
        check(
            Language::Elixir,
            "defmodule A do\n  def b(c), do: c\n  defp d, do: 1\nend\n",
            "1 module A, 2 function b, 3 function d",
        );
        check(Language::Bash, "A=1\nb() {\n  local c=2\n}\n", "1 constant A, 2 function b");
        check(
            Language::Zig,
            "const A = struct { const B = 1; };\nfn c() void { const d = 2; }\n",
            "1 constant A, 1 constant B, 2 function c",
        );
        check(Language::Make, "A := 1\nb: c\n\td\n", "1 constant A, 2 target b");
        check(Language::Css, ".a { --b: 1; }\n#c {}\n", "1 class a, 1 property --b, 2 id c");
        check(Language::Toml, "[a.b]\nc = 1\n[[d]]\n", "1 table a.b, 3 table d");
        check(Language::Markdown, "# A b\n\ntext\n\nC\n---\n", "1 heading A b, 5 heading C");
    }

    #[test]
    fn every_language_names_its_references() {
        let check = |language: Language, text: &str, expected: &str| {
            let found = Tagger::default().references(language, text);
            let told: Vec<String> = found.iter().map(|r| format!("{} {}", r.line, r.name)).collect();
            assert_eq!(told.join(", "), expected, "{language:?}");
        };
        check(Language::Rust, "use a::{B, c};\nfn d(e: F) {\n    g(h::i());\n}\n", "1 B, 1 c, 2 F, 3 g, 3 i");
        check(Language::Python, "class A:\n    def b(self):\n        c(self.d())\n", "3 c, 3 d");
        check(Language::JavaScript, "a(b.c());\nnew D();\n", "1 a, 1 c, 2 D");
        check(Language::TypeScript, "let a: B = new C();\n", "1 B, 1 C");
        check(Language::Go, "package a\n\nfunc b(c D) {\n\te(f.g())\n}\n", "3 D, 4 e, 4 g");
        check(Language::C, "void a(struct b *c, d_t e) { f(c->g(1)); }\n", "1 b, 1 d_t, 1 f, 1 g");
        check(Language::Cpp, "void a(B c) { d::e(c.f()); }\n", "1 B, 1 e, 1 f");
        check(Language::CSharp, "class A : B { void c() { D(e.F()); new G(); } }\n", "1 B, 1 D, 1 F, 1 G");
        check(Language::Java, "class A extends B {\n  void c() { d(); new E(); }\n}\n", "1 B, 2 d, 2 E");
        check(Language::Ruby, "class A\n  def b\n    c(d)\n  end\nend\n", "3 c, 3 d");
        check(Language::Php, "<?php\na(new B(), $c->d());\n", "2 a, 2 B, 2 d");
        check(Language::Lua, "a(b.c())\n", "1 a, 1 c");
        check(Language::Swift, "func a(b: C) { d(e.f()) }\n", "1 C, 1 d, 1 f");
        check(Language::Kotlin, "fun a(b: C) { d(e.f()) }\n", "1 C, 1 d, 1 f");
        check(Language::Scala, "object A { def b(c: D) = e(f.g()) }\n", "1 D, 1 e, 1 g");
        check(Language::Elixir, "defmodule A do\n  def b(c), do: D.e(f(c))\nend\n", "2 D, 2 e, 2 f");
        check(Language::Bash, "a() { b $C \"${D}\"; }\n", "1 b, 1 C, 1 D");
        check(Language::Zig, "fn a() void { b(c.d()); }\n", "1 b, 1 d");
        check(Language::Make, "a: b\n\t$(C)\n", "1 b, 2 C");
        check(Language::Css, ".a { color: var(--b); }\n", "1 --b");
    }

    #[test]
    fn a_definition_ends_with_its_body() {
        for (language, text, expected) in [
            (Language::Rust, "fn a() {\n    1;\n}\n\nfn b() {}\n", [3, 5]),
            (Language::Python, "def a():\n    if 1:\n        return 2\n\n\nB = [\n    1,\n]\n", [3, 8]),
            (Language::JavaScript, "export const a = (b) => {\n  return b;\n};\nfunction c() {}", [3, 4]),
            (Language::TypeScript, "class A {\n  b(): number {\n    return 1;\n  }\n}\n", [5, 4]),
            (Language::Go, "package a\n\nfunc b() {\n\tc()\n}\n\nfunc c() {}\n", [5, 7]),
        ] {
            let ends: Vec<usize> = Tagger::default().symbols(language, text).iter().map(|s| s.end).collect();
            assert_eq!(ends, expected, "{language:?}");
        }
    }

    #[test]
    fn the_signature_is_the_line_as_it_stands() {
        let symbols = Tagger::default().symbols(Language::Rust, "mod x {\n    pub fn f(a: u8) -> u8 {\n        a\n    }\n}\n");
        assert_eq!(symbols[1].signature, "pub fn f(a: u8) -> u8 {");
    }
}
