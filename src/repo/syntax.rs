//! Which language a file is in, and whether its syntax is whole.
//!
//! The grammars find errors where there are none (macros, new syntax), so only a comparison with the text before means anything.

use crate::path::RepoPath;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use tree_sitter::{ParseOptions, ParseState, Parser, Tree};

/// A language with a grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    Bash,
    C,
    Cpp,
    CSharp,
    Css,
    Elixir,
    Go,
    Java,
    JavaScript,
    Json,
    Kotlin,
    Lua,
    Make,
    Markdown,
    Php,
    Python,
    Ruby,
    Rust,
    Scala,
    Swift,
    Toml,
    Tsx,
    TypeScript,
    Zig,
}

/// Larger texts are data, not code.
const LARGEST: usize = 1 << 20;
/// Text that is no code at all takes a parser a hundred times as long.
const PATIENCE: Duration = Duration::from_secs(1);

impl Language {
    /// All of them, in their order.
    pub const ALL: [Self; 24] = [
        Self::Bash,
        Self::C,
        Self::Cpp,
        Self::CSharp,
        Self::Css,
        Self::Elixir,
        Self::Go,
        Self::Java,
        Self::JavaScript,
        Self::Json,
        Self::Kotlin,
        Self::Lua,
        Self::Make,
        Self::Markdown,
        Self::Php,
        Self::Python,
        Self::Ruby,
        Self::Rust,
        Self::Scala,
        Self::Swift,
        Self::Toml,
        Self::Tsx,
        Self::TypeScript,
        Self::Zig,
    ];

    /// By the file's extension, or by its name where that is a custom.
    pub fn of(path: &RepoPath) -> Option<Self> {
        match path.name() {
            "Makefile" | "makefile" | "GNUmakefile" => Some(Self::Make),
            "Rakefile" | "Gemfile" => Some(Self::Ruby),
            _ => Self::of_extension(&path.extension()),
        }
    }

    /// By an extension in lower case, without its dot.
    pub fn of_extension(extension: &str) -> Option<Self> {
        Some(match extension {
            "sh" | "bash" | "bats" => Self::Bash,
            "c" => Self::C,
            "h" | "hh" | "hpp" | "hxx" | "cc" | "cpp" | "cxx" => Self::Cpp,
            "cs" => Self::CSharp,
            "css" => Self::Css,
            "ex" | "exs" => Self::Elixir,
            "go" => Self::Go,
            "java" => Self::Java,
            "js" | "jsx" | "mjs" | "cjs" => Self::JavaScript,
            "json" => Self::Json,
            "kt" | "kts" => Self::Kotlin,
            "lua" => Self::Lua,
            "mk" | "mak" => Self::Make,
            "md" | "markdown" => Self::Markdown,
            "php" => Self::Php,
            "py" | "pyi" => Self::Python,
            "rb" | "rake" | "gemspec" => Self::Ruby,
            "rs" => Self::Rust,
            "scala" | "sc" | "sbt" => Self::Scala,
            "swift" => Self::Swift,
            "toml" => Self::Toml,
            "tsx" => Self::Tsx,
            "ts" | "mts" | "cts" => Self::TypeScript,
            "zig" => Self::Zig,
            _ => return None,
        })
    }

    pub(crate) fn grammar(self) -> tree_sitter::Language {
        match self {
            Self::Bash => tree_sitter_bash::LANGUAGE,
            Self::C => tree_sitter_c::LANGUAGE,
            Self::Cpp => tree_sitter_cpp::LANGUAGE,
            Self::CSharp => tree_sitter_c_sharp::LANGUAGE,
            Self::Css => tree_sitter_css::LANGUAGE,
            Self::Elixir => tree_sitter_elixir::LANGUAGE,
            Self::Go => tree_sitter_go::LANGUAGE,
            Self::Java => tree_sitter_java::LANGUAGE,
            Self::JavaScript => tree_sitter_javascript::LANGUAGE,
            Self::Json => tree_sitter_json::LANGUAGE,
            Self::Kotlin => tree_sitter_kotlin_ng::LANGUAGE,
            Self::Lua => tree_sitter_lua::LANGUAGE,
            Self::Make => tree_sitter_make::LANGUAGE,
            Self::Markdown => tree_sitter_md::LANGUAGE,
            Self::Php => tree_sitter_php::LANGUAGE_PHP,
            Self::Python => tree_sitter_python::LANGUAGE,
            Self::Ruby => tree_sitter_ruby::LANGUAGE,
            Self::Rust => tree_sitter_rust::LANGUAGE,
            Self::Scala => tree_sitter_scala::LANGUAGE,
            Self::Swift => tree_sitter_swift::LANGUAGE,
            Self::Toml => tree_sitter_toml_ng::LANGUAGE,
            Self::Tsx => tree_sitter_typescript::LANGUAGE_TSX,
            Self::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
            Self::Zig => tree_sitter_zig::LANGUAGE,
        }
        .into()
    }
}

/// Parses a text. `None` once the deadline has passed, which is asked every few thousand tokens.
pub(crate) fn parse(language: Language, text: &str, deadline: Instant) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&language.grammar()).ok()?;
    let mut in_time = |_: &ParseState| if Instant::now() < deadline { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    let options = ParseOptions::new().progress_callback(&mut in_time);
    parser.parse_with_options(&mut |at, _| &text.as_bytes()[at.min(text.len())..], None, Some(options))
}

/// The line, from 1, of the first syntax error that `after` has and `before` had not. `None` when there are no more errors than
/// before, or when nobody can say in time.
///
/// Costs a parse of each text: about 1 ms per 20 KB of code, at most [`PATIENCE`] for both.
pub fn newly_broken(language: Language, before: &str, after: &str) -> Option<usize> {
    if after.len() > LARGEST {
        return None;
    }
    let deadline = Instant::now() + PATIENCE;
    let new = errors(language, after, deadline)?;
    if new.is_empty() {
        return None;
    }
    let old = errors(language, before, deadline)?;
    if new.len() <= old.len() {
        return None;
    }
    let same = new.iter().zip(&old).take_while(|(n, o)| n == o).count();
    new.get(same).copied()
}

/// The lines of the outermost error and missing nodes. `None`: the deadline passed.
fn errors(language: Language, text: &str, deadline: Instant) -> Option<Vec<usize>> {
    let tree = parse(language, text, deadline)?;
    let mut lines = Vec::new();
    // No recursion: a text of brackets alone is nested deeper than any stack.
    let mut cursor = tree.walk();
    loop {
        let node = cursor.node();
        let broken = node.is_error() || node.is_missing();
        if broken {
            lines.push(node.start_position().row + 1);
        }
        if !broken && node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return Some(lines);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::repo::syntax::{Language, PATIENCE, errors, newly_broken};
    use std::time::Instant;

    #[test]
    fn only_new_errors_count() {
        let good = "fn a() {\n    b();\n}\n\nfn c() {}\n";
        assert_eq!(newly_broken(Language::Rust, good, good), None);
        let broken = newly_broken(Language::Rust, good, "fn a() {\n    b(;\n}\n\nfn c() {}\n");
        assert_eq!(broken, Some(2));
        assert_eq!(newly_broken(Language::Rust, "fn a( {\n", "fn b( {\n"), None, "broken before");
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let nested = format!("{}x{}\n", "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(errors(Language::Json, &nested, Instant::now() + 60 * PATIENCE), Some(vec![1]));
    }

    #[test]
    fn what_is_not_parsed_in_time_is_not_judged() {
        assert_eq!(errors(Language::Cpp, &"x<(>[:{*&<;\n".repeat(8_000), Instant::now()), None);
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
            (Language::Bash, "a() {\n  echo b\n}\n", "a() {\n  echo b\n"),
            (Language::CSharp, "class A { void B() {} }\n", "class A { void B( {} }\n"),
            (Language::Css, ".a { color: red; }\n", ".a { color: red; \n"),
            (Language::Elixir, "defmodule A do\n  def b, do: 1\nend\n", "defmodule A do\n  def b( do: 1\nend\n"),
            (Language::Kotlin, "fun a() {\n}\n", "fun a( {\n}\n"),
            (Language::Lua, "local function a()\n  return 1\nend\n", "local function a(\n  return 1\nend\n"),
            (Language::Make, "a: b\n\tc\n", "ifeq (a\n\tb\n"),
            (Language::Php, "<?php\nfunction a() { return 1; }\n", "<?php\nfunction a( { return 1; }\n"),
            (Language::Scala, "object A { def b = 1 }\n", "object A { def = }\n"),
            (Language::Swift, "func a() -> Int { return 1 }\n", "func a( -> Int { return 1 }\n"),
            (Language::Toml, "[a]\nb = 1\n", "[a\nb = 1\n"),
            (Language::Zig, "fn a() void {}\n", "fn a( void {}\n"),
        ] {
            assert_eq!(newly_broken(language, "", good), None, "{language:?}");
            assert!(newly_broken(language, good, bad).is_some(), "{language:?}");
        }
    }
}
