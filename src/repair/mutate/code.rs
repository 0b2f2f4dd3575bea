//! A passage parsed: its syntax as one flat list, and which parts of it may change.
//!
//! Errors of the grammar are no obstacle: a passage is a stretch of a file, and the parts of it that parse are enough.

use crate::repair::Passage;
use crate::repair::is_known;
use crate::repair::mutate::grammar::{DEFAULTS, DEFINITIONS, NEVER, SIGNATURES, STRINGS, THAWING, TYPE_FIELDS};
use crate::repo::syntax::Language;
use std::ops::Range;
use tree_sitter::{Parser, Tree};

/// What may happen to a part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// It may change.
    Live,
    /// It stays as it is, but binds names.
    Signature,
    /// It stays as it is and says nothing.
    Dead,
}

/// A node of the syntax tree.
pub struct Item<'p> {
    pub kind: &'p str,
    pub field: Option<&'p str>,
    pub named: bool,
    pub zone: Zone,
    pub bytes: Range<usize>,
    /// The root is its own.
    pub parent: usize,
    /// The first item behind this one and all within it.
    pub end: usize,
}

/// A passage's syntax tree, whose words the items borrow.
pub struct Parsed {
    language: Language,
    source: String,
    tree: Tree,
    /// How many lines stand before the passage's own.
    skipped: usize,
}

/// The text and its items, each before those within it.
pub struct Code<'p> {
    pub language: Language,
    pub source: &'p str,
    pub items: Vec<Item<'p>>,
    /// Where each line of the source begins.
    starts: Vec<usize>,
    skipped: usize,
}

/// Parses a passage; a method is wrapped in a class where its language knows none outside. `None` for a language without code.
pub fn parse(passage: &Passage) -> Option<Parsed> {
    let language = passage.language;
    if language == Language::Json || !is_known(language) {
        return None;
    }
    let mut parser = Parser::new();
    parser.set_language(&language.grammar()).ok()?;
    let text = passage.lines.join("\n") + "\n";
    let bare = parser.parse(&text, None)?;
    let (before, after) = wrapping(language);
    let indented = language == Language::Python && text.starts_with([' ', '\t']);
    if !before.is_empty() && (indented || bare.root_node().has_error()) {
        let wrapped = [before, &text, after].concat();
        let tree = parser.parse(&wrapped, None)?;
        if errors(&tree) <= errors(&bare) {
            return Some(Parsed { language, source: wrapped, tree, skipped: 1 });
        }
    }
    Some(Parsed { language, source: text, tree: bare, skipped: 0 })
}

impl<'p> Code<'p> {
    pub fn of(parsed: &'p Parsed) -> Self {
        let Parsed { language, source, tree, skipped } = parsed;
        let starts = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { language: *language, items: items(tree), source, starts, skipped: *skipped }
    }

    pub fn text(&self, item: usize) -> &'p str {
        &self.source[self.items[item].bytes.clone()]
    }

    pub fn kind(&self, item: usize) -> &'p str {
        self.items[item].kind
    }

    pub fn parent(&self, item: usize) -> usize {
        self.items[item].parent
    }

    pub fn field(&self, item: usize) -> Option<&'p str> {
        self.items[item].field
    }

    /// The items that may change.
    pub fn live(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.items.len()).filter(|&i| self.items[i].zone == Zone::Live)
    }

    pub fn is_leaf(&self, item: usize) -> bool {
        self.items[item].end == item + 1
    }

    pub fn children(&self, item: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.items[item].end;
        let within = move |at: usize| (at < end).then_some(at);
        std::iter::successors(within(item + 1), move |&at| within(self.items[at].end))
    }

    /// The children that are no punctuation and no comment.
    pub fn parts(&self, item: usize) -> impl Iterator<Item = usize> + '_ {
        self.children(item).filter(|&i| self.items[i].named && !self.kind(i).ends_with("comment"))
    }

    pub fn child(&self, item: usize, field: &str) -> Option<usize> {
        self.children(item).find(|&i| self.field(i) == Some(field))
    }

    pub fn next(&self, item: usize) -> Option<usize> {
        let end = self.items[item].end;
        (item != 0 && end < self.items[self.parent(item)].end).then_some(end)
    }

    pub fn before(&self, item: usize) -> Option<usize> {
        self.children(self.parent(item)).take_while(|&i| i < item).last()
    }

    /// The item's parent, its parent, and so on; not the root.
    pub fn ancestors(&self, item: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(self.parent(item)), |&i| Some(self.parent(i))).take_while(|&i| i != 0)
    }

    pub fn is_string(&self, item: usize) -> bool {
        STRINGS.contains(&self.kind(item))
    }

    /// Whether the language is JavaScript, with types or without.
    pub fn is_script(&self) -> bool {
        matches!(self.language, Language::JavaScript | Language::TypeScript | Language::Tsx)
    }

    /// The line of the passage, from 0, that a stretch lies in, and where in it. `None` for one that leaves its line.
    pub fn place(&self, at: &Range<usize>) -> Option<(usize, Range<usize>)> {
        let row = self.starts.partition_point(|&start| start <= at.start) - 1;
        let start = self.starts[row];
        let end = self.starts.get(row + 1).map_or(self.source.len(), |next| next - 1);
        let row = row.checked_sub(self.skipped)?;
        (at.end <= end).then(|| (row, at.start - start..at.end - start))
    }
}

/// What makes a method whole, on a line of its own before it and after it.
fn wrapping(language: Language) -> (&'static str, &'static str) {
    match language {
        Language::Python => ("class A:\n", ""),
        Language::JavaScript | Language::TypeScript | Language::Tsx | Language::Java => ("class A {\n", "}\n"),
        Language::Cpp => ("class A {\n", "};\n"),
        _ => ("", ""),
    }
}

/// How much of the text the grammar could not read, in bytes.
fn errors(tree: &Tree) -> usize {
    let mut cursor = tree.walk();
    let mut lost = 0;
    loop {
        let node = cursor.node();
        let broken = node.is_error() || node.is_missing();
        lost += if broken { node.byte_range().len().max(1) } else { 0 };
        if !broken && node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return lost;
            }
        }
    }
}

fn items(tree: &Tree) -> Vec<Item<'_>> {
    let mut items: Vec<Item<'_>> = Vec::new();
    let mut above: Vec<usize> = Vec::new();
    let mut cursor = tree.walk();
    loop {
        let (node, field) = (cursor.node(), cursor.field_name());
        let parent = above.last().copied();
        let zone = parent.map_or(Zone::Live, |parent| zone(&items[parent], node.kind(), field));
        let index = items.len();
        let (kind, named, bytes) = (node.kind(), node.is_named(), node.byte_range());
        items.push(Item { kind, field, named, zone, bytes, parent: parent.unwrap_or(0), end: index + 1 });
        if cursor.goto_first_child() {
            above.push(index);
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return items;
            }
            if let Some(whole) = above.pop() {
                items[whole].end = items.len();
            }
        }
    }
}

fn zone(parent: &Item<'_>, kind: &str, field: Option<&str>) -> Zone {
    let name = field == Some("name") && DEFINITIONS.iter().any(|end| parent.kind.ends_with(end));
    let declared = field == Some("declarator") && parent.kind == "function_declarator";
    let never = NEVER.contains(&kind) || STRINGS.contains(&kind) || field.is_some_and(|field| TYPE_FIELDS.contains(&field));
    let default = field.is_some_and(|field| DEFAULTS.contains(&(parent.kind, field)));
    if THAWING.contains(&kind) {
        Zone::Live
    } else if parent.zone == Zone::Dead || never || name || declared {
        Zone::Dead
    } else if SIGNATURES.contains(&kind) || parent.zone == Zone::Signature && !default {
        Zone::Signature
    } else {
        Zone::Live
    }
}
