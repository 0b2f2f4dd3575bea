//! Where a fault may be: the definitions that the issue, the tests and the history point at, best first.
//!
//! Each clue gives weight to definitions; a definition's score is the sum over the kinds of clues. It runs nothing and asks no
//! model: the sources, the issue's text, the tests' output, and what the caller knows of changes and coverage.

mod atlas;
mod board;
mod cases;
mod clues;
mod meaning;
mod mentions;
mod output;
#[cfg(test)]
mod tests;

use crate::path::{RepoPath, Root};
use crate::repair::Passage;
use crate::repair::suspects::atlas::Atlas;
use crate::repair::suspects::board::Board;
use crate::repo::git::recent::Touched;
use std::collections::{BTreeMap, BTreeSet};

/// What is known about the fault. Empty where nothing is.
#[derive(Clone, Copy, Debug)]
pub struct Clues<'a> {
    pub issue: &'a str,
    /// What the failing tests printed.
    pub output: &'a str,
    /// What changed lately, as [`crate::repo::git::recent::recent`] tells it.
    pub recent: &'a [Touched],
    pub covered: Option<&'a Covered>,
}

/// Lines, from 1, by their files.
pub type Lines = BTreeMap<RepoPath, BTreeSet<usize>>;

/// Which lines tests executed. Of a file that is not there nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// Those of the tests that failed, and what is executed for all tests.
    pub failing: Lines,
    /// Those of any test. The same where nobody knows whose they are.
    pub all: Lines,
}

/// How much may be suspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub passages: usize,
    /// Of all passages together. A definition that is longer is shown in part, around its most suspected lines.
    pub lines: usize,
}

/// Where nothing points anywhere, a project with no more functions is suspected as a whole.
const FEW_FUNCTIONS: usize = 12;

/// Lists the suspected passages, best first, none overlapping another; tests never. Empty where nothing points anywhere and the
/// project is not small.
///
/// Reads the project's sources (4,000 files, 16 MiB at most) and parses those where a wanted name stands.
pub fn suspects(root: &Root, clues: &Clues<'_>, bounds: Bounds) -> Vec<Passage> {
    let mut atlas = Atlas::of(root);
    let mut board = Board::default();
    clues::issue(&mut atlas, &mut board, clues.issue);
    clues::output(&mut atlas, &mut board, clues.output);
    clues::recent(&mut atlas, &mut board, clues.recent);
    clues::callees(&mut atlas, &mut board);
    if let Some(covered) = clues.covered {
        clues::covered(&mut atlas, &mut board, covered);
    }
    if board.is_empty() {
        clues::everything(&mut atlas, &mut board, FEW_FUNCTIONS);
    }
    board.passages(&mut atlas, bounds)
}
