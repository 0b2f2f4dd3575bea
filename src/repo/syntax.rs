//! Which language a file is in, and whether its syntax is whole.
//!
//! The grammars find errors where there are none (macros, new syntax), so only a comparison with the text before means anything.

use crate::path::RepoPath;
use tree_sitter::{Node, Parser};

/// A language with a grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    C,
    Cpp,
    Go,
    Java,
    JavaScript,
    Json,
    Python,
    Ruby,
    Rust,
    Tsx,
    TypeScript,
}

/// Larger texts are data, not code.
const LARGEST: usize = 1 << 20;

impl Language {
    /// By the file's extension.
    pub fn of(path: &RepoPath) -> Option<Self> {
        Some(match path.extension().as_str() {
            "c" => Self::C,
            "h" | "hh" | "hpp" | "hxx" | "cc" | "cpp" | "cxx" => Self::Cpp,
            "go" => Self::Go,
            "java" => Self::Java,
            "js" | "jsx" | "mjs" | "cjs" => Self::JavaScript,
            "json" => Self::Json,
            "py" | "pyi" => Self::Python,
            "rb" | "rake" | "gemspec" => Self::Ruby,
            "rs" => Self::Rust,
            "tsx" => Self::Tsx,
            "ts" | "mts" | "cts" => Self::TypeScript,
            _ => return None,
        })
    }

    pub(crate) fn grammar(self) -> tree_sitter::Language {
        match self {
            Self::C => tree_sitter_c::LANGUAGE,
            Self::Cpp => tree_sitter_cpp::LANGUAGE,
            Self::Go => tree_sitter_go::LANGUAGE,
            Self::Java => tree_sitter_java::LANGUAGE,
            Self::JavaScript => tree_sitter_javascript::LANGUAGE,
            Self::Json => tree_sitter_json::LANGUAGE,
            Self::Python => tree_sitter_python::LANGUAGE,
            Self::Ruby => tree_sitter_ruby::LANGUAGE,
            Self::Rust => tree_sitter_rust::LANGUAGE,
            Self::Tsx => tree_sitter_typescript::LANGUAGE_TSX,
            Self::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
        }
        .into()
    }
}

/// The line, from 1, of the first syntax error that `after` has and `before` had not. `None` when there are no more errors than before.
///
/// Costs a parse of each text: about 1 ms per 20 KB.
pub fn newly_broken(language: Language, before: &str, after: &str) -> Option<usize> {
    if after.len() > LARGEST {
        return None;
    }
    let new = errors(language, after);
    if new.is_empty() {
        return None;
    }
    let old = errors(language, before);
    if new.len() <= old.len() {
        return None;
    }
    let same = new.iter().zip(&old).take_while(|(n, o)| n == o).count();
    new.get(same).copied()
}

/// The lines of the outermost error and missing nodes.
fn errors(language: Language, text: &str) -> Vec<usize> {
    let mut parser = Parser::new();
    if parser.set_language(&language.grammar()).is_err() {
        return Vec::new();
    }
    let mut lines = Vec::new();
    if let Some(tree) = parser.parse(text, None) {
        collect(tree.root_node(), &mut lines);
    }
    lines
}

fn collect(node: Node<'_>, lines: &mut Vec<usize>) {
    if !node.has_error() {
        return;
    }
    if node.is_error() || node.is_missing() {
        lines.push(node.start_position().row + 1);
        return;
    }
    let mut cursor = node.walk();
    for child in node.children(&mut cursor) {
        collect(child, lines);
    }
}

#[cfg(test)]
mod tests {
    use crate::repo::syntax::{Language, newly_broken};

    #[test]
    fn only_new_errors_count() {
        let good = "fn a() {\n    b();\n}\n\nfn c() {}\n";
        assert_eq!(newly_broken(Language::Rust, good, good), None);
        let broken = newly_broken(Language::Rust, good, "fn a() {\n    b(;\n}\n\nfn c() {}\n");
        assert_eq!(broken, Some(2));
        assert_eq!(newly_broken(Language::Rust, "fn a( {\n", "fn b( {\n"), None, "broken before");
    }

    #[test]
    fn every_grammar_loads_and_knows_good_from_bad() {
        for (language, good, bad) in [
            (Language::C, "int a(void) { return 1; }\n", "int a(void) { return 1;\n"),
            (Language::Cpp, "class A { int b; };\n", "class A { int b; \n"),
            (Language::Go, "package a\n\nfunc b() {}\n", "package a\n\nfunc b( {}\n"),
            (Language::Java, "class A { void b() {} }\n", "class A { void b( {} }\n"),
            (Language::JavaScript, "const a = (b) => b;\n", "const a = (b => b;\n"),
            (Language::Json, "{\"a\": 1}\n", "{\"a\": }\n"),
            (Language::Python, "def a():\n    return 1\n", "def a(:\n    return 1\n"),
            (Language::Ruby, "def a\n  1\nend\n", "def a\n  (1\nend\n"),
            (Language::Rust, "fn a() {}\n", "fn a( {}\n"),
            (Language::Tsx, "const a = <p>b</p>;\n", "const a = <p>b</;\n"),
            (Language::TypeScript, "let a: number = 1;\n", "let a: = ;\n"),
        ] {
            assert_eq!(newly_broken(language, "", good), None, "{language:?}");
            assert!(newly_broken(language, good, bad).is_some(), "{language:?}");
        }
    }
}
