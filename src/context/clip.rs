//! Making a tool result fit the room that is left for it.
//!
//! The beginning and the end are kept, whole lines where lines are short enough, and one line in between says what is
//! missing. How much is kept is found by bisection with the caller's counter, so the result fits exactly, not by estimate;
//! that costs about log2(lines) counts, and one when everything fits.

use crate::units::Tokens;
use std::ops::Range;

/// A longer line is cut inside, in pieces of about this many bytes.
const PIECE: usize = 200;

/// What was cut out of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut<'a> {
    /// The text as it was.
    pub text: &'a str,
    /// The lines that are missing, wholly or in part, counted from 1.
    pub first: usize,
    pub last: usize,
    /// Lines of the whole.
    pub lines: usize,
    pub mid_line: bool,
    /// Tokens of the whole.
    pub whole: Tokens,
    /// Tokens that it had to fit in.
    pub limit: Tokens,
}

/// A text that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// `None`: the text fits as it is.
    pub clipped: Option<String>,
    pub tokens: Tokens,
}

/// Why a text could not be made to fit.
#[derive(Debug, thiserror::Error)]
pub enum ClipError<E> {
    /// Not even the line that says what is missing fits.
    #[error("{limit} tokens are too few: saying what was cut takes {need}")]
    NoRoom { need: Tokens, limit: Tokens },
    #[error("cannot count tokens")]
    Count(#[from] E),
}

/// Clips `text` to `limit` tokens. `say` words the line that stands where something was cut; `count` counts tokens.
pub async fn clip<E>(
    text: &str,
    limit: Tokens,
    say: impl Fn(&Cut) -> String,
    mut count: impl AsyncFnMut(&str) -> Result<Tokens, E>,
) -> Result<Fitted, ClipError<E>> {
    let whole = count(text).await?;
    if whole <= limit {
        return Ok(Fitted { clipped: None, tokens: whole });
    }
    let sheet = Sheet { text, pieces: pieces(text), lines: text.lines().count(), whole, limit };
    if sheet.pieces.is_empty() {
        return Err(ClipError::NoRoom { need: whole, limit });
    }
    let nothing = sheet.keep(0, &say);
    let need = count(&nothing).await?;
    if need > limit {
        return Err(ClipError::NoRoom { need, limit });
    }
    let mut best = (nothing, need);
    let (mut fits, mut over) = (0, sheet.pieces.len());
    while over - fits > 1 {
        let middle = fits + (over - fits) / 2;
        let candidate = sheet.keep(middle, &say);
        let tokens = count(&candidate).await?;
        if tokens <= limit {
            (best, fits) = ((candidate, tokens), middle);
        } else {
            over = middle;
        }
    }
    Ok(Fitted { clipped: Some(best.0), tokens: best.1 })
}

/// A part of a text that is kept or cut as one.
struct Piece {
    range: Range<usize>,
    /// The line that it belongs to, counted from 1.
    line: usize,
}

/// A text laid out for cutting.
struct Sheet<'a> {
    text: &'a str,
    pieces: Vec<Piece>,
    lines: usize,
    whole: Tokens,
    limit: Tokens,
}

impl Sheet<'_> {
    /// The text with `kept` of its pieces, three of four from the beginning. Keeps fewer than there are.
    fn keep(&self, kept: usize, say: &impl Fn(&Cut) -> String) -> String {
        let tail = kept / 4;
        let (first, last) = (&self.pieces[kept - tail], &self.pieces[self.pieces.len() - tail - 1]);
        let (head, rest) = (&self.text[..first.range.start], &self.text[last.range.end..]);
        let notice = say(&Cut {
            text: self.text,
            first: first.line,
            last: last.line,
            lines: self.lines,
            mid_line: !(head.is_empty() || head.ends_with('\n'))
                || !(rest.is_empty() || self.text[..last.range.end].ends_with('\n')),
            whole: self.whole,
            limit: self.limit,
        });
        let mut out = String::with_capacity(head.len() + notice.len() + rest.len() + 2);
        out.push_str(head);
        if !head.is_empty() && !head.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&notice);
        if !rest.is_empty() {
            out.push('\n');
        }
        out.push_str(rest);
        out
    }
}

/// Splits a text into lines, and long lines into pieces at character boundaries. The pieces join to the text.
fn pieces(text: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut start = 0;
    for (at, whole) in text.split_inclusive('\n').enumerate() {
        let (line, end) = (at + 1, start + whole.len());
        while end - start > PIECE * 2 {
            let cut = text.floor_char_boundary(start + PIECE);
            out.push(Piece { range: start..cut, line });
            start = cut;
        }
        out.push(Piece { range: start..end, line });
        start = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    /// The counter never waits, so one poll is enough.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("a counter that never waits"),
        }
    }

    /// A token is a word, or a newline.
    fn words(text: &str) -> Tokens {
        Tokens((text.split_whitespace().count() + text.matches('\n').count()) as u32)
    }

    fn say(cut: &Cut) -> String {
        let Cut { first, last, lines, whole, limit, mid_line, .. } = cut;
        format!("[{first}-{last} of {lines}, {whole} over {limit}{}]", if *mid_line { ", inside" } else { "" })
    }

    fn clipped(text: &str, limit: u32) -> Result<Fitted, ClipError<Infallible>> {
        now(clip(text, Tokens(limit), say, async |text: &str| Ok(words(text))))
    }

    fn numbered(lines: usize) -> String {
        (1..=lines).map(|n| format!("line {n}\n")).collect()
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        assert_eq!(clipped(&numbered(10), 30).unwrap(), Fitted { clipped: None, tokens: Tokens(30) });
    }

    #[test]
    fn head_and_tail_stay_and_the_line_between_says_what_is_missing() {
        let fitted = clipped(&numbered(100), 30).unwrap();
        let text = fitted.clipped.unwrap();
        insta::assert_snapshot!(text, @r"
        line 1
        line 2
        line 3
        line 4
        line 5
        line 6
        [7-99 of 100, 300 over 30]
        line 100
        ");
        assert!(fitted.tokens <= Tokens(30));
    }

    #[test]
    fn one_endless_line_is_cut_inside() {
        let text = clipped(&"word ".repeat(2000), 400).unwrap().clipped.unwrap();
        assert!(text.starts_with("word ") && text.contains("[1-1 of 1, 2000 over 400, inside]"), "{text}");
    }

    #[test]
    fn too_little_room_names_what_the_least_takes() {
        let Err(ClipError::NoRoom { need, limit }) = clipped(&numbered(100), 3) else { panic!("nothing fits in 3") };
        assert_eq!((need, limit), (Tokens(6), Tokens(3)));
    }

    proptest! {
        #[test]
        fn never_over_the_limit_and_made_of_the_text(text in "([a-zé ]{0,30}\n?){0,60}", limit in 0u32..80) {
            match clipped(&text, limit) {
                Ok(Fitted { clipped: None, tokens }) => prop_assert!(tokens <= Tokens(limit)),
                Ok(Fitted { clipped: Some(out), tokens }) => {
                    prop_assert_eq!(tokens, words(&out));
                    prop_assert!(tokens <= Tokens(limit) && words(&text) > Tokens(limit));
                    let (head, rest) = out.split_once('[').unwrap();
                    let (_, tail) = rest.split_once(']').unwrap();
                    prop_assert!(text.starts_with(head.trim_end_matches('\n')));
                    prop_assert!(text.ends_with(tail.trim_start_matches('\n')));
                }
                Err(ClipError::NoRoom { need, .. }) => prop_assert!(need > Tokens(limit)),
                Err(ClipError::Count(never)) => match never {},
            }
        }

        #[test]
        fn pieces_join_to_the_text(text in "([a-zé🦀]{0,900}\n?){0,8}") {
            let joined: String = pieces(&text).into_iter().map(|piece| text[piece.range].to_owned()).collect();
            prop_assert_eq!(joined, text);
        }
    }
}
