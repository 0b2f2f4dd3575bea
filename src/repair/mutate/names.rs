//! What the names of a passage are there for, where each can be seen, and one name for another.

use crate::repair::Kind;
use crate::repair::mutate::Edit;
use crate::repair::mutate::code::{Code, Zone};
use crate::repair::mutate::tables::{
    ACCESSED, ACCESSES, ASSIGNMENTS, BINARIES, BINDERS, BLOCKS, CALLS, COMPREHENSIONS, FIXED, FUNCTIONS, NO_NAMES, PATTERNS, WORDS,
};
use crate::repo::syntax::Language;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// How many other names are tried in one place: those that stand nearest.
const NEAREST: usize = 8;
/// How many quoted words that occur nowhere in a passage are tried everywhere in it.
const UNKNOWN: usize = 6;

/// What a name is there for. A call has a number of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A value is read, or read and changed.
    Value,
    /// A variable that has a value already gets another.
    Target,
    /// A name begins.
    Binding,
    Callee(usize),
    Field,
    Method(usize),
}

/// The names of a passage.
pub struct Names<'c> {
    code: &'c Code<'c>,
    /// Every use that has a role, in the order of the text.
    uses: Vec<(usize, Role)>,
    /// Where each bound name can be seen.
    seen: BTreeMap<&'c str, Vec<Range<usize>>>,
    /// Names that are nothing but what members are taken from: modules, as a rule.
    modules: BTreeSet<&'c str>,
    /// Names that the passage defines.
    defined: BTreeSet<&'c str>,
    said: Vec<&'c str>,
}

impl<'c> Names<'c> {
    pub fn of(code: &'c Code<'c>, said: &'c [String]) -> Self {
        let mut names = Self {
            code,
            uses: Vec::new(),
            seen: BTreeMap::new(),
            modules: BTreeSet::new(),
            defined: BTreeSet::new(),
            said: words(said),
        };
        for item in 0..code.items.len() {
            names.note(item);
        }
        let value = |&&(i, role): &&(usize, Role)| role == Role::Value && !names.seen.contains_key(code.text(i));
        let unbound: Vec<usize> = names.uses.iter().filter(value).map(|&(i, _)| i).collect();
        let object = |&i: &usize| matches!(code.field(i), Some("object" | "value" | "operand" | "receiver" | "argument"));
        let accessed = |i: usize| ACCESSES.contains(&code.kind(code.parent(i))) && object(&i);
        let alone: BTreeSet<&str> = unbound.iter().filter(|&&i| !accessed(i)).map(|&i| code.text(i)).collect();
        names.modules = unbound.iter().map(|&i| code.text(i)).filter(|name| !alone.contains(name)).collect();
        names
    }

    fn note(&mut self, item: usize) {
        let code = self.code;
        if code.field(item) == Some("name") && code.items[item].zone == Zone::Dead && code.is_leaf(item) {
            self.defined.insert(code.text(item));
        }
        let Some(mut role) = role(code, item) else { return };
        let name = code.text(item);
        if role == Role::Binding {
            let direct = ASSIGNMENTS.contains(&code.kind(holder(code, item)));
            if direct && self.bound(name, code.items[item].bytes.start) {
                role = Role::Target;
            } else {
                self.seen.entry(name).or_default().push(sight(code, item));
            }
        }
        self.uses.push((item, role));
    }

    /// Whether the passage gives the name a value that can be seen at a place.
    pub fn bound(&self, name: &str, at: usize) -> bool {
        self.seen.get(name).is_some_and(|places| places.iter().any(|place| place.contains(&at)))
    }

    /// Whether the name may be used at a place: bound there, or from outside.
    pub fn visible(&self, name: &str, at: usize) -> bool {
        match self.seen.get(name) {
            Some(_) => self.bound(name, at),
            None => self.uses.iter().any(|&(i, role)| role == Role::Value && self.code.text(i) == name),
        }
    }

    pub fn role(&self, item: usize) -> Option<Role> {
        self.uses.binary_search_by_key(&item, |&(i, _)| i).ok().map(|at| self.uses[at].1)
    }

    /// Whether the passage calls a function of that name.
    pub fn calls(&self, name: &str) -> bool {
        self.uses.iter().any(|&(i, role)| matches!(role, Role::Callee(_)) && self.code.text(i) == name)
    }

    /// Whether the passage itself defines the name.
    pub fn defines(&self, name: &str) -> bool {
        self.defined.contains(name)
    }

    /// Every name that may change, for each of its nearest likes.
    pub fn edits(&self, found: &mut Vec<Edit>) {
        let mut places: BTreeMap<(u8, usize), BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
        for &(item, role) in &self.uses {
            let name = self.code.text(item);
            if let Some(pool) = self.pool(role, name) {
                places.entry(pool).or_default().entry(name).or_default().push(self.code.items[item].bytes.start);
            }
        }
        for &(item, role) in &self.uses {
            let (name, live) = (self.code.text(item), self.code.items[item].zone == Zone::Live);
            if !live || role == Role::Binding {
                continue;
            }
            let Some(pool) = self.pool(role, name).and_then(|pool| places.get(&pool)) else { continue };
            let kind = if matches!(role, Role::Field | Role::Method(_)) { Kind::Member } else { Kind::Variable };
            for other in self.nearest(item, role, pool).into_iter().chain(self.quoted(item, role)) {
                found.push(Edit::replace(self.code, item, other, kind));
            }
        }
    }

    /// Which names can stand for each other: values, and functions and members with as many arguments. `None` for a name that
    /// stays.
    fn pool(&self, role: Role, name: &str) -> Option<(u8, usize)> {
        let constructor = self.code.language == Language::Rust && is_camel(name);
        let own = self.defines(name) && !self.seen.contains_key(name);
        if NO_NAMES.contains(&name) || constructor {
            return None;
        }
        match role {
            Role::Value | Role::Target | Role::Binding => (!own && !self.modules.contains(name)).then_some((0, 0)),
            Role::Callee(arguments) => (!own && !FIXED.contains(&name)).then_some((1, arguments)),
            Role::Field => Some((2, 0)),
            Role::Method(arguments) => Some((3, arguments)),
        }
    }

    fn nearest(&self, item: usize, role: Role, pool: &BTreeMap<&'c str, Vec<usize>>) -> Vec<&'c str> {
        let (name, at) = (self.code.text(item), self.code.items[item].bytes.start);
        let distance = |places: &Vec<usize>| places.iter().map(|place| place.abs_diff(at)).min();
        let mut others: Vec<_> = pool
            .iter()
            .filter(|(other, _)| **other != name && self.fits(item, role, other))
            .map(|(other, places)| (distance(places), *other))
            .collect();
        others.sort_unstable();
        others.into_iter().take(NEAREST).map(|(_, other)| other).collect()
    }

    fn fits(&self, item: usize, role: Role, other: &str) -> bool {
        let (name, at) = (self.code.text(item), self.code.items[item].bytes.start);
        is_camel(name) == is_camel(other)
            && match role {
                Role::Target => self.bound(other, at) && !self.doubles(item, other),
                Role::Value => self.visible(other, at) && self.visible(name, at) && !self.doubles(item, other),
                _ => true,
            }
    }

    /// Whether the change gives what nobody writes: `x = x`, `x < x`, `x - x`.
    fn doubles(&self, item: usize, other: &str) -> bool {
        let code = self.code;
        let parent = code.parent(item);
        let sums = code.children(parent).any(|i| matches!(code.text(i), "+" | "*"));
        let mirrored = BINARIES.contains(&code.kind(parent)) && !sums || ASSIGNMENTS.contains(&code.kind(parent));
        mirrored && code.parts(parent).any(|i| i != item && code.text(i) == other)
    }

    /// The quoted words that may stand here. A word that the passage knows stands only where its likes do.
    fn quoted(&self, item: usize, role: Role) -> Vec<&'c str> {
        let (name, at) = (self.code.text(item), self.code.items[item].bytes.start);
        let mut unknown = 0;
        let fits = |word: &&&str| {
            let alike = |&&(i, _): &&(usize, Role)| self.code.text(i) == **word;
            let mut roles = self.uses.iter().filter(alike).map(|&(_, other)| other).peekable();
            if roles.peek().is_none() && !self.defines(word) {
                unknown += 1;
                return unknown <= UNKNOWN;
            }
            roles.any(|other| match (role, other) {
                (Role::Value, Role::Value | Role::Target | Role::Binding) => self.visible(word, at) && !self.doubles(item, word),
                (Role::Target, Role::Value | Role::Target | Role::Binding) => self.bound(word, at) && !self.doubles(item, word),
                (Role::Callee(_), Role::Callee(_)) | (Role::Field, Role::Field) | (Role::Method(_), Role::Method(_)) => true,
                _ => false,
            })
        };
        let alike = |word: &&&str| **word != name && (is_camel(word) == is_camel(name));
        self.said.iter().filter(alike).filter(fits).copied().collect()
    }
}

/// The quoted words that can be names, each once.
fn words(said: &[String]) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for word in said.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric() && c != '_')) {
        let name = word.starts_with(|c: char| c.is_alphabetic() || c == '_') && !NO_NAMES.contains(&word);
        if name && !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

/// What a name is there for. `None` for what is no name of a value: types, paths, keywords of arguments.
fn role(code: &Code<'_>, item: usize) -> Option<Role> {
    let (kind, field, parent) = (code.kind(item), code.field(item), code.parent(item));
    let here = code.kind(parent);
    let live = code.items[item].zone == Zone::Live;
    if !code.is_leaf(item) || code.items[item].zone == Zone::Dead {
        return None;
    }
    if matches!(kind, "shorthand_property_identifier_pattern" | "shorthand_field_identifier") {
        return Some(Role::Binding);
    }
    if !WORDS.contains(&kind) {
        return None;
    }
    if !live {
        return (kind == "identifier").then_some(Role::Binding);
    }
    if here == "token_tree" {
        return role_in_macro(code, item);
    }
    let receiver = here != "method_invocation" && here != "call" || code.children(parent).any(|i| code.text(i) == ".");
    if ACCESSES.contains(&here) && receiver && field.is_some_and(|field| ACCESSED.contains(&field)) {
        return Some(arguments(code, item).map_or(Role::Field, Role::Method));
    }
    if kind != "identifier" || is_no_value(code, item, here, field) {
        return None;
    }
    if is_bound(code, item) {
        return Some(Role::Binding);
    }
    Some(arguments(code, item).map_or(Role::Value, Role::Callee))
}

fn is_no_value(code: &Code<'_>, item: usize, here: &str, field: Option<&str>) -> bool {
    let label = matches!((here, field), ("keyword_argument" | "field_initializer" | "named_argument", Some("name" | "field")));
    let key = here == "literal_element" && code.field(code.parent(item)) == Some("key");
    let path = ["scoped_identifier", "dotted_name", "macro_invocation", "generic_function", "qualified_identifier"].contains(&here);
    let made = ["new_expression", "jsx_opening_element", "jsx_closing_element", "jsx_self_closing_element"].contains(&here);
    label || key || path || made || here == "ERROR"
}

/// Macros have no syntax: what stands beside a word says what it is.
fn role_in_macro(code: &Code<'_>, item: usize) -> Option<Role> {
    let beside = |item: Option<usize>| item.map_or("", |i| code.text(i));
    let (before, after) = (beside(code.before(item)), beside(code.next(item)));
    match (before, after) {
        ("::", _) | (_, "::" | "!" | "=" | ":") => None,
        (".", after) if after.starts_with('(') => None,
        (".", _) => Some(Role::Field),
        (_, after) if after.starts_with('(') => None,
        _ => Some(Role::Value),
    }
}

/// How many arguments the call has whose function the item names; `None` where nothing is called.
fn arguments(code: &Code<'_>, item: usize) -> Option<usize> {
    let parent = code.parent(item);
    let whole = code.field(item) == Some("function") || code.kind(parent) == "method_invocation" || code.field(item) == Some("method");
    let callee = if whole { item } else { parent };
    let call = if whole { parent } else { code.parent(parent) };
    let function = code.field(callee) == Some("function") || whole;
    if !function || !CALLS.contains(&code.kind(call)) {
        return None;
    }
    Some(code.child(call, "arguments").map_or(0, |list| code.parts(list).count()))
}

/// What holds the pattern that a name is part of, or the name itself.
fn holder(code: &Code<'_>, item: usize) -> usize {
    let mut at = item;
    while PATTERNS.contains(&code.kind(code.parent(at))) && code.field(at) != Some("condition") {
        at = code.parent(at);
    }
    code.parent(at)
}

fn is_bound(code: &Code<'_>, item: usize) -> bool {
    let mut at = item;
    while PATTERNS.contains(&code.kind(code.parent(at))) {
        if matches!(code.field(at), Some("condition" | "size" | "right")) {
            return false;
        }
        at = code.parent(at);
    }
    let (holder, field) = (code.parent(at), code.field(at).unwrap_or_default());
    let kind = code.kind(holder);
    if kind == "as_pattern_target" || kind == "case_pattern" {
        return true;
    }
    // Go has one statement for `=` and `+=`.
    let sets = ASSIGNMENTS.contains(&kind) && code.child(holder, "operator").is_none_or(|i| code.text(i) == "=");
    sets && field == "left" || BINDERS.contains(&(kind, field))
}

/// Where a name that begins here can be seen.
fn sight(code: &Code<'_>, item: usize) -> Range<usize> {
    let at = code.items[item].bytes.start;
    let flat = matches!(code.language, Language::Python | Language::Ruby);
    let within = |i: &usize| {
        let kind = code.kind(*i);
        // Python's `block` is only indentation.
        let functions = FUNCTIONS.contains(&kind) && (kind != "block" || code.language == Language::Ruby);
        COMPREHENSIONS.contains(&kind) || if flat { functions } else { BLOCKS.contains(&kind) }
    };
    let outer = code.ancestors(item).find(within).unwrap_or(0);
    let whole = &code.items[outer].bytes;
    if COMPREHENSIONS.contains(&code.kind(outer)) { whole.clone() } else { at..whole.end }
}

/// Whether a name is written as types are.
fn is_camel(name: &str) -> bool {
    name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase)
}
