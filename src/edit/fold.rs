//! Typography that models flatten: curly quotes, dashes, hard blanks, ligatures, accents in two pieces.
//!
//! Folding only finds a place. What is written keeps the file's own characters wherever the edit did not touch them.

use similar::{Algorithm, DiffTag, capture_diff_slices};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// What a character is compared as; `None`: as itself. `base` and `accent` give the two pieces of a composed letter.
fn plain(c: char) -> Option<Cow<'static, str>> {
    let text = match c {
        '\u{2018}'..='\u{201b}' | '\u{2032}' | '\u{00b4}' | '\u{02bc}' | '\u{ff07}' => "'",
        '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{ff02}' => "\"",
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => "-",
        '\u{00a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => " ",
        '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{00ad}' | '\u{fe0f}' => "",
        '\u{2026}' => "...",
        '\u{fb00}' => "ff",
        '\u{fb01}' => "fi",
        '\u{fb02}' => "fl",
        '\u{fb03}' => "ffi",
        '\u{fb04}' => "ffl",
        // Full-width forms of the printable ASCII characters.
        '\u{ff01}'..='\u{ff5e}' => return char::from_u32(u32::from(c) - 0xfee0).map(|c| Cow::Owned(c.to_string())),
        _ => return decomposed(c).map(|(base, accent)| Cow::Owned(String::from_iter([base, accent]))),
    };
    Some(Cow::Borrowed(text))
}

/// Composed letters of Latin alphabets beside their bases, by combining accent (Unicode 16, canonical decompositions).
const ACCENTS: [(char, &str, &str); 9] = [
    ('\u{300}', "àèìòùÀÈÌÒÙǹǸ", "aeiouAEIOUnN"),
    ('\u{301}', "áéíóúýćńśźĺŕÁÉÍÓÚÝĆŃŚŹĹŔ", "aeiouycnszlrAEIOUYCNSZLR"),
    ('\u{302}', "âêîôûĉĝĥĵŝŵŷÂÊÎÔÛĈĜĤĴŜŴŶ", "aeioucghjswyAEIOUCGHJSWY"),
    ('\u{303}', "ãñõĩũÃÑÕĨŨ", "anoiuANOIU"),
    ('\u{308}', "äëïöüÿÄËÏÖÜŸ", "aeiouyAEIOUY"),
    ('\u{30a}', "åůÅŮ", "auAU"),
    ('\u{30c}', "čďěňřšťžČĎĚŇŘŠŤŽ", "cdenrstzCDENRSTZ"),
    ('\u{327}', "çşţÇŞŢ", "cstCST"),
    ('\u{328}', "ąęįųĄĘĮŲ", "aeiuAEIU"),
];

fn decomposed(c: char) -> Option<(char, char)> {
    if c.is_ascii() || c > '\u{1f9}' {
        return None;
    }
    ACCENTS.iter().find_map(|(accent, composed, bases)| {
        let at = composed.chars().position(|composed| composed == c)?;
        Some((bases.chars().nth(at)?, *accent))
    })
}

/// The text as it is compared.
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        match plain(c) {
            Some(plain) => folded.push_str(&plain),
            None => folded.push(c),
        }
    }
    Cow::Owned(folded)
}

/// One character of a folded text, and the bytes of the text that it stands for.
struct Grain {
    c: char,
    from: Range<usize>,
}

fn grains(text: &str) -> Vec<Grain> {
    let mut grains: Vec<Grain> = Vec::with_capacity(text.len());
    // What has no width goes with the character before it, in front of a line with the one behind.
    let mut led = None;
    for (at, c) in text.char_indices() {
        let from = led.take().unwrap_or(at)..at + c.len_utf8();
        match plain(c) {
            None => grains.push(Grain { c, from }),
            Some(plain) => match (plain.is_empty(), grains.last_mut()) {
                (true, Some(last)) => {
                    let start = last.from.start;
                    let pieces = grains.iter_mut().rev().take_while(|grain| grain.from.start == start);
                    pieces.for_each(|grain| grain.from.end = from.end);
                }
                (true, None) => led = Some(from.start),
                (false, _) => grains.extend(plain.chars().map(|c| Grain { c, from: from.clone() })),
            },
        }
    }
    grains
}

/// Where the folded search stands in the folded text: bytes of the text itself.
pub fn places(text: &str, search: &str) -> Vec<Range<usize>> {
    let (text, search) = (grains(text), grains(search));
    let letters = |grains: &[Grain]| grains.iter().map(|grain| grain.c).collect::<Vec<_>>();
    let starts = crate::edit::page::runs(&letters(&text), &letters(&search));
    starts.into_iter().map(|at| text[at].from.start..text[at + search.len() - 1].from.end).collect()
}

/// What the model typed for a character of the file: its curly quote for a straight one.
pub type Typed = BTreeMap<char, char>;

/// Learns how the model types from a line as it wrote it and the same line of the file. Only what it made fancier counts: that
/// it wrote `"` says nothing of the quotes in text that is new.
pub fn learn(typed: &mut Typed, file: &str, search: &str) {
    let letter = |text: &str, grain: &Grain| text[grain.from.clone()].chars().next().unwrap_or(grain.c);
    for (ours, theirs) in grains(file).iter().zip(&grains(search)) {
        let (ours, theirs) = (letter(file, ours), letter(search, theirs));
        if ours != theirs && ours.is_ascii() && plain(theirs).is_some_and(|plain| plain.len() == 1) {
            typed.insert(theirs, ours);
        }
    }
}

/// Lines longer than this are compared from both ends only: a difference by letters costs their product.
const LONGEST: usize = 2_000;

/// The new line, in which all that it shares with the search stands as in the file. `file` and `search` fold to the same text.
pub fn transfer(file: &str, search: &str, new: &str, typed: &Typed) -> String {
    let (ours, theirs, news) = (grains(file), grains(search), grains(new));
    let letters = |grains: &[Grain]| grains.iter().map(|grain| grain.c).collect::<Vec<_>>();
    let (old, wanted) = (letters(&theirs), letters(&news));
    let mut text = String::with_capacity(new.len());
    for (tag, old_range, new_range) in differences(&old, &wanted) {
        if tag == DiffTag::Equal {
            kept(&mut text, file, &ours, old_range);
        } else {
            let piece = source(&news, &new_range);
            text.extend(new[piece].chars().map(|c| typed.get(&c).copied().unwrap_or(c)));
        }
    }
    text
}

fn differences(old: &[char], new: &[char]) -> Vec<(DiffTag, Range<usize>, Range<usize>)> {
    if old.len().max(new.len()) <= LONGEST {
        return capture_diff_slices(Algorithm::Myers, old, new).iter().map(|op| op.as_tag_tuple()).collect();
    }
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    vec![
        (DiffTag::Equal, 0..head, 0..head),
        (DiffTag::Replace, head..old_end, head..new_end),
        (DiffTag::Equal, old_end..old.len(), new_end..new.len()),
    ]
}

fn source(grains: &[Grain], range: &Range<usize>) -> Range<usize> {
    if range.is_empty() { 0..0 } else { grains[range.start].from.start..grains[range.end - 1].from.end }
}

/// Writes characters of the file. One of which only a part is kept, as `…` of which a dot went, is written as it was compared.
fn kept(text: &mut String, file: &str, ours: &[Grain], range: Range<usize>) {
    let mut at = range.start;
    while at < range.end {
        let from = &ours[at].from;
        let same = |grain: &&Grain| grain.from == *from;
        let whole = ours[at..].iter().take_while(same).count();
        let begins = at == 0 || ours[at - 1].from != *from;
        if begins && at + whole <= range.end {
            text.push_str(&file[from.clone()]);
            at += whole;
        } else {
            text.push(ours[at].c);
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::edit::fold::{Typed, fold, learn, places, transfer};
    use proptest::prelude::*;

    #[test]
    fn typography_is_compared_as_it_is_typed() {
        assert_eq!(fold("“a” – b\u{a0}c… ﬁ ﹣ （"), "\"a\" - b c... fi - (");
        assert_eq!(fold("cafe\u{301}"), fold("café"));
        assert_eq!(fold("高さ"), "高さ");
        assert_eq!(places("x – y\nx — y", "x - y"), [0..7, 8..15]);
    }

    fn check(file: &str, search: &str, new: &str, expected: &str) {
        let mut typed = Typed::new();
        learn(&mut typed, file, search);
        assert_eq!(transfer(file, search, new, &typed), expected);
    }

    #[test]
    fn what_was_not_touched_stays_as_it_is_in_the_file() {
        check("t = “Spring”, 9", "t = \"Spring\", 9", "t = \"Spring\", 8", "t = “Spring”, 8");
        check("t = “Spring”", "t = \"Spring\"", "t = \"Summer\"", "t = “Summer”");
        check("f(\"a\")", "f(“a”)", "f(“a”, “b”)", "f(\"a\", \"b\")");
        check("wait…", "wait...", "wait..", "wait..");
        check("a\u{200b}b = 1", "ab = 1", "ab = 2", "a\u{200b}b = 2");
    }

    proptest! {
        #[test]
        fn a_line_that_is_not_changed_is_the_file_s(file in "[a“”–…é\u{200b} ]{0,20}") {
            let search = fold(&file).into_owned();
            prop_assume!(!search.is_empty());
            prop_assert_eq!(transfer(&file, &search, &search, &Typed::new()), file);
        }
    }
}
