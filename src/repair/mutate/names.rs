//! What the names of a passage are there for, where each can be seen, and one name for another.

use crate::repair::Kind;
use crate::repair::mutate::Edit;
use crate::repair::mutate::code::{Code, Zone};
use crate::repair::mutate::grammar::{ACCESSES, ASSIGNMENTS, BINARIES};
use crate::repair::mutate::roles::{Role, holder, receiver, role, sight};
use crate::repair::mutate::sorts::{Sort, sort};
use crate::repair::mutate::tables::{FIXED, NO_NAMES};
use crate::repo::syntax::Language;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// How many other names are tried in one place: those that stand nearest.
const NEAREST: usize = 6;
/// How many quoted words that occur nowhere in a passage are tried everywhere in it.
const UNKNOWN: usize = 6;

/// Names that can stand for each other, with the items that say them.
type Pool<'c> = BTreeMap<&'c str, Vec<usize>>;

/// The names of a passage.
pub struct Names<'c> {
    code: &'c Code<'c>,
    /// Every use that has a role, in the order of the text.
    uses: Vec<(usize, Role)>,
    /// Where each bound name can be seen.
    seen: BTreeMap<&'c str, Vec<Range<usize>>>,
    /// Names whose value is read.
    read: BTreeSet<&'c str>,
    /// What each use of a name says about its value, with where it stands.
    sorts: BTreeMap<&'c str, Vec<(usize, Sort)>>,
    /// What a method calls the value that it belongs to, where the language has no word for that.
    receiver: Option<&'c str>,
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
            read: BTreeSet::new(),
            sorts: BTreeMap::new(),
            receiver: receiver(code),
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
        if let Some(sort) = sort(code, item, role) {
            self.sorts.entry(name).or_default().push((item, sort));
        }
        if role == Role::Value {
            self.read.insert(name);
        }
        self.uses.push((item, role));
    }

    /// Whether a use of the name says that its value is a number.
    pub fn is_number(&self, name: &str) -> bool {
        self.sorts.get(name).is_some_and(|sorts| sorts.iter().any(|&(_, sort)| sort == Sort::Number))
    }

    /// Whether any use of the name says what its value is.
    pub fn is_told(&self, name: &str) -> bool {
        self.sorts.contains_key(name)
    }

    /// Whether the passage gives the name a value that can be seen at a place.
    pub fn bound(&self, name: &str, at: usize) -> bool {
        self.seen.get(name).is_some_and(|places| places.iter().any(|place| place.contains(&at)))
    }

    /// Whether the name may be used at a place: bound there, or from outside.
    pub fn visible(&self, name: &str, at: usize) -> bool {
        match self.seen.get(name) {
            Some(_) => self.bound(name, at),
            None => self.read.contains(name),
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
        let mut pools: BTreeMap<(u8, usize), Pool<'c>> = BTreeMap::new();
        for &(item, role) in &self.uses {
            if let Some(pool) = self.pool(item, role) {
                pools.entry(pool).or_default().entry(self.code.text(item)).or_default().push(item);
            }
        }
        for &(item, role) in &self.uses {
            if self.code.items[item].zone != Zone::Live || role == Role::Binding {
                continue;
            }
            let Some(pool) = self.pool(item, role).and_then(|pool| pools.get(&pool)) else { continue };
            let kind = if matches!(role, Role::Field | Role::Method(_)) { Kind::Member } else { Kind::Variable };
            for other in self.nearest(item, role, pool).into_iter().chain(self.quoted(item, role)) {
                found.push(Edit::replace(self.code, item, other, kind));
            }
        }
    }

    /// Which names can stand for each other: values, and functions and members with as many arguments; the members of the value
    /// that a method belongs to are its own. `None` for a name that stays.
    fn pool(&self, item: usize, role: Role) -> Option<(u8, usize)> {
        let name = self.code.text(item);
        let own_member = || u8::from(matches!(self.object(item), "self" | "this") || self.receiver == Some(self.object(item)));
        let constructor = self.code.language == Language::Rust && is_camel(name);
        let own = self.defines(name) && !self.seen.contains_key(name);
        if NO_NAMES.contains(&name) || constructor {
            return None;
        }
        match role {
            Role::Value | Role::Target | Role::Binding => (!own && !self.modules.contains(name)).then_some((0, 0)),
            Role::Callee(arguments) => (!own && !FIXED.contains(&name)).then_some((1, arguments)),
            Role::Field => Some((2 + own_member(), 0)),
            Role::Method(arguments) => Some((4 + own_member(), arguments)),
        }
    }

    /// What a member is taken from; empty for what is no member.
    fn object(&self, item: usize) -> &'c str {
        let (code, parent) = (self.code, self.code.parent(item));
        let object = if code.kind(parent) == "token_tree" {
            code.before(item).and_then(|dot| code.before(dot))
        } else {
            code.children(parent).next().filter(|_| ACCESSES.contains(&code.kind(parent)))
        };
        object.filter(|&object| object != item).map_or("", |object| code.text(object))
    }

    /// Members of the same value first, then what stands nearest.
    fn nearest(&self, item: usize, role: Role, pool: &Pool<'c>) -> Vec<&'c str> {
        let (name, at) = (self.code.text(item), self.code.items[item].bytes.start);
        let object = matches!(role, Role::Field | Role::Method(_)).then(|| self.object(item));
        let distance = |&place: &usize| {
            let elsewhere = object.is_some_and(|object| self.object(place) != object);
            (elsewhere, self.code.items[place].bytes.start.abs_diff(at))
        };
        let mut others: Vec<_> = pool
            .iter()
            .filter(|(other, _)| **other != name && self.fits(item, role, other))
            .map(|(other, places)| (places.iter().map(distance).min(), *other))
            .collect();
        others.sort_unstable();
        others.into_iter().take(NEAREST).map(|(_, other)| other).collect()
    }

    fn fits(&self, item: usize, role: Role, other: &str) -> bool {
        let (name, at) = (self.code.text(item), self.code.items[item].bytes.start);
        is_camel(name) == is_camel(other)
            && match role {
                Role::Target => self.bound(other, at) && self.alike(item, role, other) && !self.doubles(item, other),
                Role::Value => {
                    self.visible(other, at)
                        && self.visible(name, at)
                        && self.alike(item, role, other)
                        && !self.doubles(item, other)
                }
                _ => true,
            }
    }

    /// Whether nothing says that two names hold different things: their other uses, and this place itself.
    fn alike(&self, item: usize, role: Role, other: &str) -> bool {
        let told = |name: &str| {
            let sorts = self.sorts.get(name).into_iter().flatten();
            let says = |sort| sorts.clone().any(|&(i, s)| i != item && s == sort);
            (says(Sort::Number), says(Sort::Whole))
        };
        let here = sort(self.code, item, role);
        let (number, whole) = told(self.code.text(item));
        let (number, whole) = (number || here == Some(Sort::Number), whole || here == Some(Sort::Whole));
        let (other_number, other_whole) = told(other);
        number && other_number || whole && other_whole || !(number || whole) || !(other_number || other_whole)
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
            let member = matches!(role, Role::Field | Role::Method(_));
            let as_member = |role: &Role| matches!(role, Role::Field | Role::Method(_));
            if member && !roles.clone().any(|other| as_member(&other)) {
                // Members are often called like the variables that they come from.
                return true;
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

/// Whether a name is written as types are.
fn is_camel(name: &str) -> bool {
    name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase)
}
