//! Arguments for functions of typed languages, as source text.

use crate::chance::Chance;
use agent::repo::syntax::Language;
use std::fmt::Write as _;

/// A type that arguments can be written for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    Int {
        name: String,
        signed: bool,
        small: bool,
    },
    Float,
    Bool,
    Char,
    /// Text that is lent, and text that is given away.
    Str,
    Text,
    Bytes,
    /// Elements, and the way to write them.
    List(Box<Type>, Written),
    Borrowed(Box<Type>),
    Optional(Box<Type>),
    Tuple(Vec<Type>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    Slice,
    Vector,
    Array(usize),
    /// Go's `[]T{…}`, with the type's own text.
    Go(String),
}

/// Reads a type of either language. `None`: no argument can be written for it. `generics` are the names of type parameters,
/// for which whole numbers stand in.
pub fn parse(language: Language, text: &str, generics: &[String]) -> Option<Type> {
    let text = text.trim();
    match language {
        Language::Rust => rust(text, generics),
        Language::Go => go(text),
        _ => None,
    }
}

fn whole(name: &str) -> Option<Type> {
    let (signed, bits) = match name.strip_prefix("uint").or_else(|| name.strip_prefix('u')) {
        Some(bits) => (false, bits),
        None => (true, name.strip_prefix("int").or_else(|| name.strip_prefix('i'))?),
    };
    matches!(bits, "" | "size" | "8" | "16" | "32" | "64" | "128").then(|| Type::Int {
        name: name.to_owned(),
        signed,
        small: bits == "8",
    })
}

fn rust(text: &str, generics: &[String]) -> Option<Type> {
    let text = match text.strip_prefix('&') {
        Some(lent) => {
            let lent = lent.trim_start();
            let lent = if lent.starts_with('\'') { lent.split_once(' ')?.1.trim_start() } else { lent };
            if lent.starts_with("mut ") {
                return None;
            }
            return match lent {
                "str" => Some(Type::Str),
                "[u8]" => Some(Type::Bytes),
                _ => match lent.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|rest| !rest.contains(';')) {
                    Some(element) => Some(Type::List(Box::new(rust(element, generics)?), Written::Slice)),
                    None => Some(Type::Borrowed(Box::new(rust(lent, generics)?))),
                },
            };
        }
        None => text,
    };
    let inner = |name: &str| text.strip_prefix(name)?.strip_prefix('<')?.strip_suffix('>');
    match text {
        "bool" => return Some(Type::Bool),
        "char" => return Some(Type::Char),
        "String" | "impl Into<String>" | "impl ToString" => return Some(Type::Text),
        "impl AsRef<str>" | "impl Into<&str>" => return Some(Type::Str),
        "f32" | "f64" => return Some(Type::Float),
        _ => {}
    }
    if text.starts_with(['u', 'i'])
        && let Some(number) = whole(text)
    {
        return Some(number);
    }
    if generics.iter().any(|generic| generic == text) {
        return Some(Type::Int { name: String::new(), signed: true, small: true });
    }
    if let Some(element) = inner("Vec") {
        return Some(Type::List(Box::new(rust(element.trim(), generics)?), Written::Vector));
    }
    if let Some(element) = inner("Option") {
        return Some(Type::Optional(Box::new(rust(element.trim(), generics)?)));
    }
    if let Some(array) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let (element, count) = array.rsplit_once(';')?;
        let count = count.trim().parse().ok().filter(|count| *count <= 16)?;
        return Some(Type::List(Box::new(rust(element.trim(), generics)?), Written::Array(count)));
    }
    let parts = text.strip_prefix('(')?.strip_suffix(')')?;
    (!parts.contains(['(', '<'])).then_some(())?;
    Some(Type::Tuple(parts.split(',').map(|part| rust(part.trim(), generics)).collect::<Option<_>>()?))
}

fn go(text: &str) -> Option<Type> {
    match text {
        "string" => return Some(Type::Text),
        "bool" => return Some(Type::Bool),
        "float64" | "float32" => return Some(Type::Float),
        "byte" => return Some(Type::Char),
        "rune" => return Some(Type::Char),
        "[]byte" => return Some(Type::Bytes),
        _ => {}
    }
    if let Some(element) = text.strip_prefix("...") {
        return go(element);
    }
    if let Some(element) = text.strip_prefix("[]") {
        return Some(Type::List(Box::new(go(element)?), Written::Go(text.to_owned())));
    }
    whole(text).filter(|_| !text.ends_with("128") && !text.ends_with("size") && text.contains("int"))
}

/// Values that a function's own text suggests: its constants and their neighbours.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    numbers: Vec<i64>,
    texts: Vec<String>,
}

impl Hints {
    pub fn of(text: &str) -> Self {
        let mut hints = Self::default();
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if let Ok(number) = word.replace('_', "").parse::<i64>()
                && number < 1_000_000
            {
                hints.numbers.extend([number - 1, number, number + 1]);
            }
        }
        let quoted = text.split('"').skip(1).step_by(2).chain(text.split('\'').skip(1).step_by(2));
        for inner in
            quoted.filter(|inner| (1..=8).contains(&inner.len()) && inner.is_ascii() && !inner.contains(['\\', '\n', '{']))
        {
            hints.texts.extend([inner.to_owned(), format!("ab{inner}cd"), format!("{inner}x"), format!("x{inner}")]);
        }
        hints
    }
}

const NUMBERS: [i64; 18] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 16, 31, 64, 100, 127, 255, 1000];
const FLOATS: [&str; 12] = ["0.0", "1.0", "0.5", "2.25", "-1.5", "10.0", "99.9", "-0.25", "0.1", "3.75", "1000.0", "180.0"];
const TEXTS: [&str; 30] = [
    "",
    "a",
    "abc",
    "Hello World",
    "  padded  ",
    "a,b,,c",
    "key=value",
    "12",
    "-35",
    "foo_bar-baz",
    "CamelCaseName",
    "dir/file.txt",
    "/usr/lib/x.tar.gz",
    "one two",
    "a.b.c",
    "1.2.3",
    "2024-02-29",
    "12:34:56",
    "#ff8800",
    "<b>bold</b>",
    "ann@example.com",
    "AAA",
    "aab",
    "http://example.com/a?b=c",
    "0x1F",
    "true",
    "x ",
    "[x]",
    "(a (b))",
    "--flag",
];

/// A value of the type, as source text of the language.
pub fn write(kind: &Type, language: Language, chance: &mut Chance, hints: &Hints) -> String {
    match kind {
        Type::Int { name, signed, small } => {
            let number = if !hints.numbers.is_empty() && chance.percent(40) {
                *chance.pick(&hints.numbers)
            } else {
                *chance.pick(&NUMBERS)
            };
            let number = if *signed && chance.percent(20) { -number } else { number };
            let number = if *signed {
                number.clamp(if *small { -127 } else { i64::MIN }, if *small { 127 } else { i64::MAX })
            } else {
                number.abs()
            };
            let number = if *small { number.min(if *signed { 127 } else { 255 }) } else { number };
            if language == Language::Rust && chance.percent(3) && !name.is_empty() {
                format!("{name}::MAX")
            } else {
                number.to_string()
            }
        }
        Type::Float => (*chance.pick(&FLOATS)).to_owned(),
        Type::Bool => if chance.percent(50) { "true" } else { "false" }.to_owned(),
        Type::Char => {
            let suggested: Vec<char> =
                hints.texts.iter().filter_map(|text| text.chars().next()).filter(|c| !"'\\".contains(*c)).collect();
            let letter = if !suggested.is_empty() && chance.percent(40) {
                *chance.pick(&suggested)
            } else {
                *chance.pick(&['a', 'Z', '0', '9', ' ', '_', '-', '/', '.', 'x', '\t', 'F'])
            };
            format!("{letter:?}")
        }
        Type::Str => format!("{:?}", some_text(chance, hints)),
        Type::Text if language == Language::Go => format!("{:?}", some_text(chance, hints)),
        Type::Text => format!("{:?}.to_string()", some_text(chance, hints)),
        Type::Bytes if language == Language::Go => format!("[]byte({:?})", some_text(chance, hints)),
        Type::Bytes => format!("b{:?}", some_text(chance, hints)),
        Type::List(element, written) => list(element, written, language, chance, hints),
        Type::Borrowed(inner) => format!("&{}", write(inner, language, chance, hints)),
        Type::Optional(inner) if chance.percent(80) => format!("Some({})", write(inner, language, chance, hints)),
        Type::Optional(_) => "None".into(),
        Type::Tuple(parts) => {
            let parts: Vec<String> = parts.iter().map(|part| write(part, language, chance, hints)).collect();
            format!("({})", parts.join(", "))
        }
    }
}

fn some_text(chance: &mut Chance, hints: &Hints) -> String {
    if !hints.texts.is_empty() && chance.percent(45) {
        chance.pick(&hints.texts).clone()
    } else {
        (*chance.pick(&TEXTS)).to_owned()
    }
}

fn list(element: &Type, written: &Written, language: Language, chance: &mut Chance, hints: &Hints) -> String {
    let count = match written {
        Written::Array(count) => *count,
        // Where the elements' type is the caller's choice, nothing in an empty list would tell it.
        _ if matches!(element, Type::Int { name, .. } if name.is_empty()) => 1 + chance.below(5),
        _ => chance.below(6),
    };
    let mut values: Vec<String> = (0..count).map(|_| write(element, language, chance, hints)).collect();
    if count > 1 && chance.percent(30) {
        let again = values[0].clone();
        values[count - 1] = again;
    }
    let mut text = match written {
        Written::Slice => "&[".to_owned(),
        Written::Vector => "vec![".into(),
        Written::Array(_) => "[".into(),
        Written::Go(name) => format!("{name}{{"),
    };
    let _ = write!(text, "{}", values.join(", "));
    text.push(if matches!(written, Written::Go(_)) { '}' } else { ']' });
    text
}

#[cfg(test)]
mod tests {
    use crate::chance::Chance;
    use crate::project::inputs::{Hints, Type, Written, parse, write};
    use agent::repo::syntax::Language;

    #[test]
    fn types_are_read_or_refused() {
        let rust = |text: &str| parse(Language::Rust, text, &["T".into()]);
        assert_eq!(rust("&'a str"), Some(Type::Str));
        assert_eq!(
            rust("&[T]"),
            Some(Type::List(Box::new(Type::Int { name: String::new(), signed: true, small: true }), Written::Slice))
        );
        assert_eq!(rust("Option<(u8, char)>").map(|kind| matches!(kind, Type::Optional(_))), Some(true));
        assert_eq!(rust("&mut Vec<u8>"), None);
        assert_eq!(rust("Path"), None);
        assert_eq!(parse(Language::Go, "[]string", &[]), Some(Type::List(Box::new(Type::Text), Written::Go("[]string".into()))));
        assert_eq!(parse(Language::Go, "io.Reader", &[]), None);
    }

    #[test]
    fn values_fit_their_type_and_come_near_the_constants() {
        let hints = Hints::of("if n > 59 { \"am\" }");
        let kind = parse(Language::Rust, "u8", &[]).unwrap();
        let mut chance = Chance::of(1, "", 0);
        let all: Vec<String> = (0..200).map(|_| write(&kind, Language::Rust, &mut chance, &hints)).collect();
        assert!(["58", "59", "60"].iter().all(|near| all.iter().any(|value| value == near)));
        assert!(all.iter().all(|value| value == "u8::MAX" || value.parse::<u8>().is_ok()));
    }
}
