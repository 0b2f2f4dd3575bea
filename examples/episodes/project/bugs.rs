//! Bugs that tests catch: single lines of a working function, changed, and kept where the tests then fail.

use crate::chance::Chance;
use crate::project::bounded::{Bounds, Ended, run};
use crate::project::layout::{Layout, write};
use crate::rank::KINDS;
use agent::repair::mutate::injections;
use agent::repair::{Candidate, Kind, Passage};
use agent::repo::syntax::Language;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// A project's files at work, with two sets of tests of which only one is shown.
pub struct Bench<'a> {
    pub dir: &'a Path,
    pub layout: &'a Layout,
    pub visible: &'a str,
    pub hidden: &'a str,
}

/// Bugs of one function that are tried, and how many of them both sets of tests have to catch, in percent: a function of which
/// its tests see little is no measure of anything.
const TRIED: usize = 14;
const CAUGHT: usize = 60;

/// How a bug did before tests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trial {
    Caught,
    Escaped,
    /// It does not compile or never ends: such a bug gives itself away.
    Void,
}

impl Bench<'_> {
    /// Whether both sets of tests pass as it is. The hidden ones run twice: results that change are no results.
    pub fn sound(&self) -> io::Result<bool> {
        write(self.dir, &self.layout.files)?;
        Ok(self.tested(self.visible)?.passed && self.tested(self.hidden)?.passed && self.tested(self.hidden)?.passed)
    }

    /// At most `count` bugs of different kinds that both sets of tests catch; first the kinds that `made` has too few of, beside
    /// how often they are wished for. None where the tests are weak.
    pub fn bugs(&self, count: usize, made: &BTreeMap<Kind, usize>, chance: &mut Chance) -> io::Result<Vec<Candidate>> {
        let mut possible = injections(&self.layout.passage);
        chance.shuffle(&mut possible);
        possible.truncate(TRIED);
        let (mut caught, mut escaped) = (Vec::new(), 0);
        for bug in possible {
            fs::write(self.dir.join(&self.layout.module), self.layout.with_line(bug.label, &bug.new))?;
            match self.trial(self.visible)? {
                Trial::Caught if self.trial(self.hidden)? == Trial::Caught => caught.push(bug),
                Trial::Caught | Trial::Escaped => escaped += 1,
                Trial::Void => {}
            }
        }
        if caught.len() * 100 < (caught.len() + escaped) * CAUGHT {
            return Ok(Vec::new());
        }
        let wish = |kind: Kind| KINDS.iter().find(|(wished, _)| *wished == kind).map_or(1, |(_, wish)| *wish as usize);
        caught.sort_by_key(|bug| 1000 * (1 + made.get(&bug.kind).copied().unwrap_or(0)) / wish(bug.kind));
        let mut kinds = BTreeSet::new();
        caught.retain(|bug| kinds.insert(bug.kind));
        caught.truncate(count);
        Ok(caught)
    }

    fn trial(&self, tests: &str) -> io::Result<Trial> {
        let ended = self.tested(tests)?;
        let unbuilt = ["could not compile", "[build failed]", "[setup failed]", "SyntaxError", "IndentationError"];
        let stopped = ["SIGXCPU", "SIGKILL", "signal: killed", "signal: CPU time limit exceeded"];
        Ok(match ended.passed {
            true => Trial::Escaped,
            false if ended.late || unbuilt.iter().chain(&stopped).any(|sign| ended.output.contains(sign)) => Trial::Void,
            false => Trial::Caught,
        })
    }

    fn tested(&self, tests: &str) -> io::Result<Ended> {
        write(self.dir, [(&self.layout.tests, &tests.to_owned())])?;
        Ok(test(self.layout.language, self.layout.command, self.dir))
    }
}

/// Runs a project's tests.
pub fn test(language: Language, command: &str, dir: &Path) -> Ended {
    let bounds = match language {
        Language::Python => Bounds { seconds: 4, memory: Some(2 << 20) },
        Language::JavaScript => Bounds { seconds: 6, memory: None },
        _ => Bounds { seconds: 12, memory: None },
    };
    run(command, dir, "", bounds)
}

/// The change that takes a bug out again.
pub fn mending(bug: &Candidate) -> Candidate {
    Candidate {
        label: bug.label,
        passage: bug.passage,
        old: bug.new.clone(),
        new: bug.old.clone(),
        kind: bug.kind,
        removed: bug.added.clone(),
        added: bug.removed.clone(),
    }
}

/// The passage with the bug in it.
pub fn broken(passage: &Passage, bug: &Candidate) -> Passage {
    let mut broken = passage.clone();
    broken.lines[bug.label - 1].clone_from(&bug.new);
    broken
}
