//! Notices a stream that has begun to repeat itself, so that it can be cut while it is short.
//!
//! Two signs: the same line over and over, and a tail that is periodic. What repeats is judged by what is in it: words are
//! cut soonest; marks and numbers are given four times the room, because tables of zeros, separators and drawings repeat
//! rightly; blank space is never wanted by the thousand. The period is found with the failure function of the reversed
//! tail, over at most [`TAIL`] characters and once in [`STRIDE`], so a character costs some twenty steps whatever comes.

use std::collections::{HashSet, VecDeque};

/// How many times a line with words in it may follow itself.
const SAME_LINES: u32 = 12;
/// The longest period that is looked for, in characters.
const LONGEST_PERIOD: usize = 400;
const FEWEST_REPEATS: usize = 8;
const WORDS_COVER: usize = 1_200;
const BLANK_COVER: usize = 1_200;
/// Numbers and marks: a table of two thousand zeros still passes.
const MARKS_COVER: usize = 4_800;
const TAIL: usize = MARKS_COVER;
const STRIDE: usize = 256;

/// Watches one stream; text, thinking and a call's arguments are streams of their own.
#[derive(Clone, Debug, Default)]
pub struct Repetition {
    tail: VecDeque<char>,
    since_check: usize,
    line: String,
    last_line: String,
    same_lines: u32,
}

impl Repetition {
    /// Takes the next piece; true when the stream now repeats itself. Where the pieces are cut makes no difference to
    /// whether it is noticed.
    pub fn push(&mut self, piece: &str) -> bool {
        let mut repeats = false;
        for c in piece.chars() {
            repeats |= self.take(c);
        }
        repeats
    }

    fn take(&mut self, c: char) -> bool {
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(c);
        self.since_check += 1;
        let periodic = self.since_check >= STRIDE && {
            self.since_check = 0;
            is_periodic(self.tail.make_contiguous())
        };
        if c != '\n' {
            self.line.push(c);
            return periodic;
        }
        self.end_line() || periodic
    }

    /// Blank lines between are no difference: models put them there.
    fn end_line(&mut self) -> bool {
        let line = std::mem::take(&mut self.line);
        let line = line.trim_end();
        if line.is_empty() {
            return false;
        }
        if line == self.last_line {
            self.same_lines += 1;
        } else {
            self.last_line = line.to_owned();
            self.same_lines = 1;
        }
        self.same_lines >= SAME_LINES && Stuff::of(line.chars()) == Stuff::Words
    }
}

/// What a repeated piece is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stuff {
    /// Two different words at least: a sentence, a statement.
    Words,
    /// Numbers, marks, one word: what tables and drawings are made of.
    Marks,
    Blank,
}

impl Stuff {
    fn of(chars: impl Iterator<Item = char>) -> Self {
        let text: String = chars.collect();
        let words: HashSet<&str> = text.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()).take(8).collect();
        match words.len() {
            0 if text.trim().is_empty() => Self::Blank,
            0 | 1 => Self::Marks,
            _ => Self::Words,
        }
    }

    fn cover(self) -> usize {
        match self {
            Self::Words => WORDS_COVER,
            Self::Marks => MARKS_COVER,
            Self::Blank => BLANK_COVER,
        }
    }
}

/// Whether some end of the tail is one piece over and over, often and long enough for what it is made of.
fn is_periodic(tail: &[char]) -> bool {
    let from_end = |i: usize| tail[tail.len() - 1 - i];
    // border[i]: the longest proper border of the last i + 1 characters; their period is i + 1 - border[i].
    let mut border = vec![0_usize; tail.len()];
    let mut judged: Option<(usize, Stuff)> = None;
    for i in 1..tail.len() {
        let mut b = border[i - 1];
        while b > 0 && from_end(b) != from_end(i) {
            b = border[b - 1];
        }
        border[i] = b + usize::from(from_end(b) == from_end(i));
        let (length, period) = (i + 1, i + 1 - border[i]);
        if length < WORDS_COVER.min(BLANK_COVER) || period > LONGEST_PERIOD || length < period * FEWEST_REPEATS {
            continue;
        }
        let stuff = match judged {
            Some((p, stuff)) if p == period => stuff,
            _ => Stuff::of(tail[tail.len() - period..].iter().copied()),
        };
        judged = Some((period, stuff));
        if length >= stuff.cover() {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use crate::engine::repetition::Repetition;
    use proptest::prelude::*;

    /// The number of characters after which a stream is cut.
    fn cut_at(text: &str) -> Option<usize> {
        let mut watch = Repetition::default();
        text.chars().position(|c| watch.push(c.encode_utf8(&mut [0; 4])))
    }

    fn check_passes(what: &str, text: &str) {
        assert_eq!(cut_at(text), None, "{what} was cut");
    }

    #[test]
    fn cuts_the_same_line_at_the_twelfth() {
        let line = "I will now read the file.\n";
        assert_eq!(cut_at(&line.repeat(11)), None);
        assert_eq!(cut_at(&line.repeat(40)), Some(line.len() * 12 - 1));
        assert!(cut_at(&"I will now read the file.\n\n".repeat(12)).is_some(), "blank lines between hide nothing");
    }

    #[test]
    fn cuts_a_cycle_of_lines() {
        let cycle = "Let me check the loop bound.\nThe loop bound is wrong, so I fix it.\nWait, is the bound inclusive?\n";
        let at = cut_at(&cycle.repeat(60)).expect("a cycle is cut");
        assert!((1_200..1_600).contains(&at), "cut after {at}");
    }

    #[test]
    fn cuts_a_run_without_line_ends() {
        let at = cut_at(&"and then the value of the sum is ".repeat(100)).expect("a run is cut");
        assert!((1_200..1_600).contains(&at), "cut after {at}");
        assert!(cut_at(&"the ".repeat(2_000)).is_some());
        assert!(cut_at(&"\n".repeat(2_000)).is_some());
        assert!(cut_at(&"日本語の文、それから".repeat(200)).is_some());
    }

    #[test]
    fn cuts_after_a_sound_beginning() {
        let sound: String = (0..400).map(|n| format!("let value_{n} = compute({});\n", n * 7)).collect();
        assert!(cut_at(&(sound + &"the sum is the sum of the sums, and ".repeat(80))).is_some());
    }

    #[test]
    fn passes_what_repeats_rightly() {
        check_passes("a table of zeros", &"    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,\n".repeat(64));
        check_passes("a hex table", &"    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,\n".repeat(64));
        check_passes("a matrix of flags", &"    false, false, false, false,\n".repeat(40));
        check_passes("a separator", &format!("{}\n", "-".repeat(200)).repeat(3));
        check_passes("a long rule", &"=".repeat(1_000));
        check_passes("a drawing", &"|          |          |          |\n+----------+----------+----------+\n".repeat(20));
        check_passes("nested ends", &"    }\n".repeat(30));
        let tests: String = (0..200).map(|n| format!("    assert_eq!(square({n}), {});\n", n * n)).collect();
        check_passes("numbered lines", &tests);
        let cases: String =
            ["add", "sub", "mul", "div"].iter().cycle().take(6).map(|f| format!("#[test]\nfn {f}() {{\n}}\n\n")).collect();
        check_passes("short boilerplate", &cases);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(cuts in proptest::collection::vec(1_usize..40, 1..60), words in "[a-z]{3,9} [a-z]{2,7} ") {
            let text = words.repeat(400);
            let mut watch = Repetition::default();
            let (mut rest, mut seen) = (text.as_str(), false);
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                seen |= watch.push(piece);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(seen, cut_at(&text).is_some());
        }
    }
}
