//! One layer of escapes too many: `\n` for a new line, `\"` for a quote, `&lt;` for `<`.
//!
//! Whether a side has one too many is read off that side alone: a text with real newlines and `\n` in it means the escape, one
//! with bare quotes and `\"` means that.

use crate::edit::place::Pair;
use crate::edit::repair::Repaired;

/// What one side shows.
struct Signs {
    /// `\n` outside of quotes, and not one real newline before the end.
    newlines: bool,
    /// `\"`, and no quote without it.
    quotes: bool,
    /// `\u003c` and the like.
    unicode: bool,
    /// Backslashes in pairs only.
    pairs: bool,
}

impl Signs {
    fn of(text: &str) -> Self {
        let (mut bare, mut quoted, mut newline, mut unicode, mut odd, mut any) = (false, false, false, false, false, false);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            bare |= c == '"';
            if c == '\\' {
                any = true;
                match chars.next() {
                    Some('\\') => continue,
                    Some('"') => quoted = true,
                    Some('n' | 'r') => newline = true,
                    Some('u') => unicode = true,
                    _ => {}
                }
                odd = true;
            }
        }
        Self {
            newlines: newline && !text.trim_end_matches('\n').contains('\n'),
            quotes: quoted && !bare,
            unicode,
            pairs: any && !odd,
        }
    }
}

/// Which escapes are taken for what they stand for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Layer {
    backslashes: bool,
    quotes: bool,
    /// `\n` and `\t`.
    controls: Controls,
    /// `\u003c` and the like.
    unicode: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Controls {
    None,
    /// Those inside quotes are meant.
    OutsideQuotes,
    All,
}

impl Layer {
    const ALL: Self = Self { backslashes: true, quotes: true, controls: Controls::All, unicode: true };
    const QUOTES: Self = Self { backslashes: false, quotes: true, controls: Controls::None, unicode: false };
    const BACKSLASHES: Self = Self { backslashes: true, quotes: false, controls: Controls::None, unicode: false };
    const NEWLINES: Self = Self { backslashes: false, quotes: false, controls: Controls::OutsideQuotes, unicode: false };

    fn outside_quotes(self) -> Self {
        Self { controls: Controls::OutsideQuotes, ..self }
    }
}

/// A text with every escape taken for what it stands for.
pub(super) fn decode_all(text: &str) -> String {
    decode(text, Layer::ALL)
}

fn decode(text: &str, layer: Layer) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    let mut within: Option<char> = None;
    while let Some(c) = rest.chars().next() {
        let escape = if c == '\\' { rest[1..].chars().next() } else { None };
        let (shown, length) = match escape {
            None => (Some(c), c.len_utf8()),
            Some('\\') if layer.backslashes => (Some('\\'), 2),
            Some(quote @ ('"' | '\'' | '`')) if layer.quotes => (Some(quote), 2),
            Some('u') if layer.unicode && unicode(rest).is_some() => (unicode(rest), 6),
            Some(c) => {
                let length = 1 + c.len_utf8();
                let taken = match layer.controls {
                    Controls::None => false,
                    Controls::OutsideQuotes => breaks(within, &rest[length..]),
                    Controls::All => true,
                };
                (if taken { control(c) } else { None }, length)
            }
        };
        if let Some(quote) = shown.filter(|c| matches!(c, '"' | '\'' | '`')) {
            within = if within == Some(quote) { None } else { within.or(Some(quote)) };
        } else if shown == Some('\n') {
            within = None;
        }
        // An escape that is not decoded goes in one piece.
        match shown {
            Some(shown) => decoded.push(shown),
            None => decoded.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    decoded
}

/// Whether an escape in front of `rest` is a line's end: not inside quotes. An apostrophe is no quote where indentation follows.
fn breaks(within: Option<char>, rest: &str) -> bool {
    let indented = rest.is_empty() || ["  ", "\\n", "\\t", "\t"].iter().any(|start| rest.starts_with(start));
    within.is_none() || (within == Some('\'') && indented)
}

fn control(c: char) -> Option<char> {
    match c {
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        '/' => Some('/'),
        _ => None,
    }
}

fn unicode(rest: &str) -> Option<char> {
    rest.get(2..6).and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32)
}

/// Off the search, and off the replacement where it has the layer as well.
pub(super) fn decoded(pair: &Pair) -> Vec<Repaired> {
    let (old, new) = (Signs::of(&pair.search), Signs::of(&pair.replace));
    let mut layers = Vec::new();
    if old.newlines && pair.search.contains('"') && !old.quotes {
        layers.push(Layer::NEWLINES);
    }
    if old.newlines || old.quotes || old.unicode {
        layers.push(Layer::ALL);
    }
    if old.quotes {
        layers.extend([Layer::QUOTES.outside_quotes(), Layer::QUOTES]);
    }
    if old.pairs {
        layers.push(Layer::BACKSLASHES);
    }
    let repaired = layers.into_iter().map(|layer| {
        let shows = (layer.controls != Controls::None && new.newlines)
            || (layer.quotes && new.quotes)
            || (layer.backslashes && new.pairs)
            || (layer.unicode && new.unicode);
        // The search shows no newline: in the replacement one inside quotes is the escape.
        let of_new = if layer == Layer::ALL && !old.newlines { layer.outside_quotes() } else { layer };
        // Bare quotes are meant as they stand.
        let of_new = Layer { quotes: of_new.quotes && (new.quotes || !pair.replace.contains('"')), ..of_new };
        let replace = if shows { decode(&pair.replace, of_new).replace("\r\n", "\n") } else { pair.replace.clone() };
        Repaired { pair: Pair { search: decode(&pair.search, layer).replace("\r\n", "\n"), replace }, line: None }
    });
    repaired.chain(with_lost_backslashes(pair)).collect()
}

/// The other way round: the model lost one of two backslashes. Only where what it changes holds none: how many are meant
/// there, nobody knows.
fn with_lost_backslashes(pair: &Pair) -> Option<Repaired> {
    let fresh = |line: &&str| !pair.search.lines().any(|old| old == *line);
    if !pair.search.contains('\\') || pair.replace.lines().filter(fresh).any(|line| line.contains('\\')) {
        return None;
    }
    let doubled = |text: &str| text.replace('\\', "\\\\");
    Some(Repaired { pair: Pair { search: doubled(&pair.search), replace: doubled(&pair.replace) }, line: None })
}

/// The replacement alone, where it has newlines as escapes outside of quotes and the search has none to show: no language has a
/// backslash there, and what follows is indented as a new line is, or the search itself stands beside it.
pub(super) fn decoded_replacement(pair: &Pair) -> Option<String> {
    let (old, new) = (Signs::of(&pair.search), Signs::of(&pair.replace));
    if pair.search.contains("\\n") || old.newlines || !new.newlines {
        return None;
    }
    let layer = if new.quotes { Layer::QUOTES.outside_quotes() } else { Layer::NEWLINES };
    let decoded = decode(&pair.replace, layer);
    let indented = |rest: &str| rest.is_empty() || rest.starts_with("  ") || rest.starts_with("\\t") || rest.starts_with('\t');
    let known = pair.search.trim();
    let beside = pair.replace.trim().strip_prefix(known).is_some_and(|rest| rest.starts_with("\\n"))
        || pair.replace.trim().strip_suffix(known).is_some_and(|rest| rest.ends_with("\\n"));
    let evident = beside || pair.replace.match_indices("\\n").any(|(at, _)| indented(&pair.replace[at + 2..]));
    (evident && decoded.lines().count() > pair.replace.lines().count()).then_some(decoded)
}

/// Entities, by the character that each stands for.
const ENTITIES: [(&str, char); 8] = [
    ("&lt;", '<'),
    ("&gt;", '>'),
    ("&quot;", '"'),
    ("&#34;", '"'),
    ("&#39;", '\''),
    ("&#x27;", '\''),
    ("&apos;", '\''),
    ("&amp;", '&'),
];

/// Entities off the search, and off the replacement where it has no bare one of their characters: all of them, or all but `&amp;`.
pub(super) fn entities(pair: &Pair) -> Vec<Repaired> {
    let known = [&ENTITIES[..], &ENTITIES[..ENTITIES.len() - 1]];
    let mut found = Vec::new();
    for entities in known {
        let search = without(&pair.search, entities);
        if search != pair.search {
            let wrapped = !pair.replace.contains(['<', '>']);
            let replace = if wrapped { without(&pair.replace, entities) } else { pair.replace.clone() };
            found.push(Repaired { pair: Pair { search, replace }, line: None });
        }
    }
    found
}

fn without(text: &str, entities: &[(&str, char)]) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity = entities.iter().find(|(entity, _)| rest.starts_with(entity));
        let (shown, length) = entity.map_or(('&', 1), |(entity, c)| (*c, entity.len()));
        decoded.push(shown);
        rest = &rest[length..];
    }
    decoded.push_str(rest);
    decoded
}
