//! How lines are shown to a model and how it names a change of one: short, and the same in training and in use.
//!
//! A change is told by the tokens that differ and no more, for a small model pays for every token that it must copy. The lexer
//! here knows no language: it only has to cut a line the same way each time, and never through a word or an operator.

use crate::repair::Passage;
use std::ops::Range;

/// Longest first, so that a beginning never hides the whole.
const OPERATORS: &[&str] = &[
    ">>>=", "===", "!==", "**=", "//=", "<<=", ">>=", ">>>", "<=>", "...", "..=", "&&=", "||=", "??=", "&^=", "<=", ">=", "==",
    "!=", "&&", "||", "**", "//", "<<", ">>", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "@=", "->", "=>", "::", ":=", "..",
    "??", "?.", "++", "--", "<-", "&^", "&.", "=~",
];

/// Tokens that say nothing about the change to their left.
const CLOSING: &[&str] = &[")", "]", "}", ":", ";", ","];

/// Passages as the model sees them: a path, then its lines without their common indentation, each behind `LABEL|`; labels count
/// from 1 through all passages. Ends without a line end.
pub fn listing(passages: &[Passage]) -> String {
    let mut label = 0;
    let mut blocks = Vec::with_capacity(passages.len());
    for passage in passages {
        let common = indentation(&passage.lines);
        let mut block = passage.path.to_string();
        for line in &passage.lines {
            label += 1;
            // A blank line may be shorter than the indentation of the others.
            let shown = if line.trim().is_empty() { "" } else { &line[common..] };
            block += &format!("\n{label}|{shown}");
        }
        blocks.push(block);
    }
    blocks.join("\n\n")
}

/// A change of one line as the model would write it: ``LABEL|`wrong` -> `right` ``, where `wrong` occurs once in the line and
/// neither side is empty. The lines differ, and neither is blank.
pub fn change(label: usize, old: &str, new: &str) -> String {
    let (wrong, right) = segments(old, new);
    format!("{label}|`{wrong}` -> `{right}`")
}

/// What a micro model has learnt to say behind a change that is right, and behind one that is wrong: each one token.
pub const MARKS: [&str; 2] = ["+", "-"];

/// What a model wrote as a change, in its first line that says anything: the label, what is wrong, and what is right.
pub fn parse(text: &str) -> Option<(usize, &str, &str)> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let (label, sides) = line.split_once('|')?;
    let (wrong, right) = sides.trim().strip_prefix('`')?.strip_suffix('`')?.split_once("` -> `")?;
    let label = label.trim().parse().ok()?;
    (!wrong.is_empty()).then_some((label, wrong, right))
}

/// The line with `right` in the place of `wrong`; `None` unless `wrong` occurs exactly once.
pub fn apply(line: &str, wrong: &str, right: &str) -> Option<String> {
    let at = line.find(wrong)?;
    let once = !wrong.is_empty() && line.rfind(wrong) == Some(at);
    once.then(|| [&line[..at], right, &line[at + wrong.len()..]].concat())
}

/// How many bytes of white space all lines that are not blank begin with.
fn indentation(lines: &[String]) -> usize {
    let mut filled = lines.iter().filter(|line| !line.trim().is_empty());
    let Some(first) = filled.next() else { return 0 };
    let mut common = &first[..first.len() - first.trim_start().len()];
    for line in filled {
        let same = common.char_indices().zip(line.chars()).find(|((_, a), b)| a != b).map_or(common.len(), |((at, _), _)| at);
        common = &common[..same];
    }
    common.len()
}

/// The smallest stretch of whole tokens that differs, and what stands there afterwards.
fn segments<'a>(old: &'a str, new: &'a str) -> (&'a str, &'a str) {
    let (cut_old, cut_new) = (tokens(old), tokens(new));
    let before = cut_old.iter().zip(&cut_new).take_while(|(a, b)| a == b).count();
    let rest = cut_old.len().min(cut_new.len()) - before;
    let after = cut_old.iter().rev().zip(cut_new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let mut kept = before..cut_old.len() - after;
    // What comes or goes belongs to what it is written behind, unless it is a word or a `!`.
    let alone = [&cut_old[kept.clone()], &cut_new[before..cut_new.len() - after]];
    let moved = if alone[0].is_empty() { alone[1] } else { alone[0] };
    let first = moved.iter().find(|token| !token.trim().is_empty());
    let leans_left = alone.iter().any(|side| side.is_empty()) && first.is_some_and(|token| !is_word(token) && *token != "!");
    let side = if leans_left { Side::Left } else { Side::Right };
    // `b {` to `b - 1 {` may be read as ` - 1` after `b`, or as `- 1 ` before `{`.
    if leans_left && kept.start > 0 && moved.last() == Some(&cut_old[kept.start - 1]) {
        kept = kept.start - 1..kept.end - 1;
    }
    loop {
        let start: usize = cut_old[..kept.start].iter().map(|token| token.len()).sum();
        let end = old.len() - cut_old[kept.end..].iter().map(|token| token.len()).sum::<usize>();
        let (wrong, right) = (&old[start..end], &new[start..new.len() - (old.len() - end)]);
        if says_enough(old, wrong) && says_enough(new, right) && old.find(wrong) == old.rfind(wrong) {
            return (wrong, right);
        }
        match widened(&cut_old, &kept, side) {
            Some(wider) => kept = wider,
            // The line ends in blanks, which have no neighbour.
            None => return (wrong, right),
        }
    }
}

/// Blanks at an end of a segment are easily lost; those that the line itself ends with cannot be avoided.
fn says_enough(line: &str, segment: &str) -> bool {
    segment == segment.trim() && !segment.is_empty() || segment == line && !line.trim().is_empty()
}

/// On which side a change looks for its neighbour first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// One more token that is not blank: the next one, or the one before where nothing follows, or nothing but a closing bracket
/// after a word.
fn widened(tokens: &[&str], kept: &Range<usize>, first: Side) -> Option<Range<usize>> {
    let filled = |token: &&str| !token.trim().is_empty();
    let right = tokens[kept.end..].iter().position(filled).map(|n| kept.end + n);
    let left = tokens[..kept.start].iter().rposition(filled);
    match (left, right) {
        (Some(left), Some(right)) if CLOSING.contains(&tokens[right]) && is_word(tokens[left]) => Some(left..kept.end),
        (Some(left), _) if first == Side::Left => Some(left..kept.end),
        (_, Some(right)) => Some(kept.start..right + 1),
        (Some(left), None) => Some(left..kept.end),
        (None, None) => (*kept != (0..tokens.len())).then_some(0..tokens.len()),
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Words, whole numbers, operators, runs of blanks, and every other character by itself; together they are the line.
fn tokens(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let run = |member: &dyn Fn(char) -> bool| rest.find(|c| !member(c)).unwrap_or(rest.len());
        let length = if first.is_ascii_digit() {
            run(&|c| c.is_ascii_digit() || c == '_')
        } else if first.is_alphanumeric() || first == '_' {
            run(&|c| c.is_alphanumeric() || c == '_')
        } else if first.is_whitespace() {
            run(&char::is_whitespace)
        } else {
            OPERATORS.iter().find(|op| rest.starts_with(**op)).map_or(first.len_utf8(), |op| op.len())
        };
        let (token, after) = rest.split_at(length);
        found.push(token);
        rest = after;
    }
    found
}

#[cfg(test)]
#[path = "notation_tests.rs"]
mod tests;
