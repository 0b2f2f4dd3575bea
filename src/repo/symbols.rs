//! Definitions in a text, by each grammar's own tags query.

use crate::repo::syntax::Language;
use std::collections::BTreeMap;
use tree_sitter_tags::{TagsConfiguration, TagsContext};

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

/// Reads definitions. A language's query is compiled when its first file comes (1 to 20 ms) and kept.
#[derive(Default)]
pub struct Tagger {
    context: Option<TagsContext>,
    queries: BTreeMap<Language, Option<TagsConfiguration>>,
}

/// What the grammars' own queries leave out.
const RUST_MORE: &str = "(const_item name: (identifier) @name) @definition.constant
(static_item name: (identifier) @name) @definition.constant";
/// Of JavaScript's variables only those of the module that hold data: a call is as a rule an import.
const JAVASCRIPT_MORE: &str = "(program (lexical_declaration (variable_declarator name: (identifier) @name
  value: [(number) (string) (array) (object) (unary_expression) (binary_expression) (regex) (new_expression)]) @definition.constant))
(program (export_statement (lexical_declaration (variable_declarator name: (identifier) @name
  value: [(number) (string) (array) (object) (unary_expression) (binary_expression) (regex) (new_expression)]) @definition.constant)))";
const GO_MORE: &str = "(source_file (const_declaration (const_spec name: (identifier) @name) @definition.constant))
(source_file (var_declaration (var_spec name: (identifier) @name) @definition.constant))";
const TYPESCRIPT_MORE: &str = "(type_alias_declaration name: (type_identifier) @name) @definition.type
(enum_declaration name: (identifier) @name) @definition.enum";

impl Tagger {
    /// The definitions in a text, in its order; empty where the language has none to offer.
    pub fn symbols(&mut self, language: Language, text: &str) -> Vec<Symbol> {
        let query = self.queries.entry(language).or_insert_with(|| query(language));
        let Some(query) = query else { return Vec::new() };
        let context = self.context.get_or_insert_with(TagsContext::new);
        let Ok((tags, _)) = context.generate_tags(query, text.as_bytes(), None) else { return Vec::new() };
        let lines: Vec<&str> = text.lines().collect();
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let mut found: Vec<Symbol> = Vec::new();
        for tag in tags.filter_map(Result::ok).filter(|tag| tag.is_definition) {
            let name = text.get(tag.name_range).unwrap_or_default();
            let line = tag.span.start.row + 1;
            // A method also matches its grammar's pattern for functions.
            if found.iter().rev().take(4).any(|s| s.line == line && s.name == name) {
                continue;
            }
            let signature = lines.get(line - 1).map_or("", |line| line.trim()).to_owned();
            found.push(Symbol {
                line,
                end: ends.partition_point(|end| *end + 1 < tag.range.end) + 1,
                kind: query.syntax_type_name(tag.syntax_type_id).to_owned(),
                name: name.to_owned(),
                signature,
            });
        }
        found.sort_by_key(|symbol| symbol.line);
        found
    }
}

fn query(language: Language) -> Option<TagsConfiguration> {
    let tags = match language {
        Language::C => tree_sitter_c::TAGS_QUERY.to_owned(),
        Language::Cpp => tree_sitter_cpp::TAGS_QUERY.to_owned(),
        Language::Go => [tree_sitter_go::TAGS_QUERY, GO_MORE].join("\n"),
        Language::Java => tree_sitter_java::TAGS_QUERY.to_owned(),
        Language::JavaScript => [tree_sitter_javascript::TAGS_QUERY, JAVASCRIPT_MORE].join("\n"),
        Language::Python => tree_sitter_python::TAGS_QUERY.to_owned(),
        Language::Ruby => tree_sitter_ruby::TAGS_QUERY.to_owned(),
        Language::Rust => [tree_sitter_rust::TAGS_QUERY, RUST_MORE].join("\n"),
        // TypeScript's query holds only what it adds to JavaScript's.
        Language::Tsx | Language::TypeScript => {
            let javascript = [tree_sitter_javascript::TAGS_QUERY, JAVASCRIPT_MORE].join("\n");
            [&javascript, tree_sitter_typescript::TAGS_QUERY, TYPESCRIPT_MORE].join("\n")
        }
        Language::Json => return None,
    };
    // A query that does not fit its grammar is a fault of this build; the test below would say so.
    TagsConfiguration::new(language.grammar(), &tags, "").ok()
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
