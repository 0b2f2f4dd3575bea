//! Functions in a text: their lines, which of those are prose, and what two functions that say the same have in common.

use crate::chance::stable;
use agent::repo::syntax::Language;
use std::collections::{BTreeMap, HashMap};
use tree_sitter::{Node, Parser};

/// A function as it stands in its file.
#[derive(Clone)]
pub struct Function {
    pub name: String,
    /// From 1.
    pub first: usize,
    pub lines: Vec<String>,
    /// Which lines hold nothing but a comment or documentation.
    pub prose: Vec<bool>,
    /// The same for functions that differ in names, numbers, strings and prose alone.
    pub likeness: u64,
}

/// Lines of code in a function; prose comes on top.
const LENGTHS: std::ops::RangeInclusive<usize> = 3..=24;
const LONGEST_LINE: usize = 110;
const LONGEST_WITH_PROSE: usize = 40;

impl Function {
    pub fn without_prose(&self) -> Vec<String> {
        self.lines.iter().zip(&self.prose).filter(|(_, prose)| !**prose).map(|(line, _)| line.clone()).collect()
    }
}

/// Parsers, one a language.
#[derive(Default)]
pub struct Reader(BTreeMap<Language, Parser>);

impl Reader {
    /// The functions of a text that are of a size to be shown, in its order. Empty where the text does not parse.
    pub fn functions(&mut self, language: Language, text: &str) -> Vec<Function> {
        let parser = self.0.entry(language).or_insert_with(|| parser(language));
        let Some(tree) = parser.parse(text, None) else { return Vec::new() };
        let page = Page { language, text, lines: text.lines().collect() };
        let mut found = Vec::new();
        page.visit(tree.root_node(), &mut found);
        found
    }
}

fn parser(language: Language) -> Parser {
    let grammar = match language {
        Language::Go => tree_sitter_go::LANGUAGE,
        Language::JavaScript => tree_sitter_javascript::LANGUAGE,
        Language::Rust => tree_sitter_rust::LANGUAGE,
        Language::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
        _ => tree_sitter_python::LANGUAGE,
    };
    let mut parser = Parser::new();
    parser.set_language(&grammar.into()).expect("the grammars are of this build's version");
    parser
}

struct Page<'a> {
    language: Language,
    text: &'a str,
    lines: Vec<&'a str>,
}

impl<'a> Page<'a> {
    fn said(&self, node: Node<'_>) -> &'a str {
        &self.text[node.byte_range()]
    }

    fn visit(&self, node: Node<'_>, found: &mut Vec<Function>) {
        let tests =
            node.kind() == "mod_item" && node.child_by_field_name("name").is_some_and(|name| self.said(name).starts_with("test"));
        if tests {
            return;
        }
        if let Some(name) = self.name(node) {
            found.extend(self.function(node, name));
        }
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            self.visit(child, found);
        }
    }

    /// The name of the function that this node is.
    fn name(&self, node: Node<'_>) -> Option<&'a str> {
        let named = |node: Node<'_>, field: &str| node.child_by_field_name(field).map(|name| self.said(name));
        let is_function = |node: &Node<'_>| matches!(node.kind(), "arrow_function" | "function_expression");
        match node.kind() {
            "function_definition"
            | "function_item"
            | "function_declaration"
            | "method_declaration"
            | "method_definition"
            | "generator_function_declaration" => named(node, "name"),
            "lexical_declaration" | "variable_declaration" if node.named_child_count() == 1 => {
                let one = node.named_child(0)?;
                one.child_by_field_name("value").filter(is_function)?;
                named(one, "name")
            }
            "expression_statement" => {
                let assignment = node.named_child(0).filter(|inner| inner.kind() == "assignment_expression")?;
                assignment.child_by_field_name("right").filter(is_function)?;
                Some(named(assignment, "left")?.rsplit('.').next().unwrap_or_default())
            }
            _ => None,
        }
    }

    fn function(&self, node: Node<'_>, name: &str) -> Option<Function> {
        let (start, end) = (node.start_position(), node.end_position());
        let rows = start.row..end.row + 1;
        let fits = rows.len() <= LONGEST_WITH_PROSE && *LENGTHS.start() <= rows.len();
        if !fits || node.has_error() || !is_word(name) || name.to_lowercase().starts_with("test") {
            return None;
        }
        let lines: Vec<String> = self.lines.get(rows.clone())?.iter().map(|line| line.trim_end().to_owned()).collect();
        let before = &self.lines[start.row][..start.column];
        let after = self.lines[end.row].get(end.column..)?;
        let alone = before.chars().all(|c| c.is_alphanumeric() || " \t()".contains(c))
            && after.trim_matches([';', ',', ')', ' ']).is_empty();
        let tabs = self.language != Language::Go && lines.iter().any(|line| line.contains('\t'));
        let odd = |line: &String| line.len() > LONGEST_LINE || !line.is_ascii() || line.contains("<|");
        if !alone || tabs || lines.iter().any(odd) {
            return None;
        }
        let mut prose = vec![false; lines.len()];
        let mut likeness = Vec::new();
        self.read(node, &mut Reading { rows: rows.clone(), prose: &mut prose, names: HashMap::new(), likeness: &mut likeness });
        for (line, prose) in lines.iter().zip(&mut prose) {
            *prose |= line.trim().is_empty();
        }
        let code = prose.iter().filter(|prose| !**prose).count();
        let likeness = stable(&likeness);
        LENGTHS.contains(&code).then(|| Function { name: name.to_owned(), first: start.row + 1, lines, prose, likeness })
    }

    /// Marks the lines that are prose, and writes down what is left without names.
    fn read<'t>(&self, node: Node<'t>, reading: &mut Reading<'_, 'a>) {
        let kind = node.kind();
        let documentation = kind == "expression_statement"
            && node.named_child(0).is_some_and(|inner| inner.kind() == "string")
            && node.named_child_count() == 1;
        if kind.contains("comment") || documentation {
            reading.mark(self, node);
        } else if kind.contains("string") || kind == "char_literal" || kind.contains("rune") {
            reading.likeness.extend_from_slice(b"\"\"");
        } else if node.child_count() == 0 {
            let text = self.said(node);
            if kind.contains("identifier") {
                let next = reading.names.len();
                let number = *reading.names.entry(text).or_insert(next);
                reading.likeness.extend_from_slice(format!("v{number}").as_bytes());
            } else if text.starts_with(|c: char| c.is_ascii_digit()) {
                reading.likeness.push(b'0');
            } else {
                reading.likeness.extend_from_slice(text.as_bytes());
            }
            reading.likeness.push(b' ');
        } else {
            let mut cursor = node.walk();
            for child in node.children(&mut cursor) {
                self.read(child, reading);
            }
        }
    }
}

struct Reading<'r, 'a> {
    rows: std::ops::Range<usize>,
    prose: &'r mut [bool],
    names: HashMap<&'a str, usize>,
    likeness: &'r mut Vec<u8>,
}

impl Reading<'_, '_> {
    fn mark(&mut self, page: &Page<'_>, node: Node<'_>) {
        let (start, end) = (node.start_position(), node.end_position());
        // A comment of a line may end where the next line begins.
        let last = if end.column == 0 && end.row > start.row { end.row - 1 } else { end.row };
        let before = page.lines[start.row][..start.column].trim();
        let after = page.lines.get(end.row).and_then(|line| line.get(end.column..)).unwrap_or_default();
        if before.is_empty() && (after.trim().is_empty() || last < end.row) {
            for row in start.row..=last {
                if self.rows.contains(&row) {
                    self.prose[row - self.rows.start] = true;
                }
            }
        }
    }
}

pub fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_') && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}
