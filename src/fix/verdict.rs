//! What an attempt proves: pure, evidence in, verdict out.

/// What is known of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// How the test command ended on the start state. `None`: there is no command.
    pub before: Option<i32>,
    /// How it ended on the result.
    pub after: Option<i32>,
    /// How it ended on the result with the tests that were there put back. `None`: none of them was touched.
    pub old_tests: Option<i32>,
    /// How many files changed, tests or not.
    pub changed: usize,
    /// How many of them are tests.
    pub tests: usize,
    /// Whether something else would do as well for all that the tests and the issue say.
    pub rivalled: Rivalled,
}

/// Whether a result is the only one of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rivalled {
    No,
    /// Another change passes the tests too, and the issue does not tell them apart.
    Yes,
}

/// What to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The command failed before and passes now.
    Fixed,
    /// Something changed that nothing vouches for; the reason is a clause for the person.
    Unverified(&'static str),
    Unfixed(&'static str),
}

/// Judges an attempt. Only a command that failed before and passes now proves anything, and not if its own tests were bent.
pub fn judge(evidence: &Evidence) -> Verdict {
    let Evidence { before, after, old_tests, changed, tests, rivalled } = evidence;
    match (before, after) {
        _ if *changed == 0 => Verdict::Unfixed("nothing was changed"),
        (Some(0), Some(0)) => Verdict::Unverified("the tests passed before the change too, so they prove nothing"),
        (Some(0), _) => Verdict::Unfixed("the tests passed before the change and fail now"),
        (Some(_), Some(0)) if changed == tests => Verdict::Unverified("the tests pass now, but nothing except tests was changed"),
        (Some(_), Some(0)) if old_tests.is_some_and(|code| code != 0) => {
            Verdict::Unverified("the tests pass now, but with the tests as they were before they still fail")
        }
        (Some(_), Some(0)) if *rivalled == Rivalled::Yes => {
            Verdict::Unverified("different changes pass the tests, so they do not say which is right")
        }
        (Some(_), Some(0)) => Verdict::Fixed,
        (Some(_), _) => Verdict::Unfixed("the tests still fail"),
        (None, _) => Verdict::Unverified("no test command is known, so nothing was run"),
    }
}

#[cfg(test)]
mod tests {
    use crate::fix::verdict::{Evidence, Rivalled, Verdict, judge};

    /// `before after old_tests changed tests`, `-` for none, and `rival` where there is one; then the verdict with its reason's
    /// last word.
    fn check(evidence: &str, expected: &str) {
        let code = |word: &str| word.parse::<i32>().ok();
        let words: Vec<&str> = evidence.split(' ').collect();
        let verdict = judge(&Evidence {
            before: code(words[0]),
            after: code(words[1]),
            old_tests: code(words[2]),
            changed: words[3].parse().unwrap(),
            tests: words[4].parse().unwrap(),
            rivalled: if words.len() > 5 { Rivalled::Yes } else { Rivalled::No },
        });
        let last = |reason: &str| reason.rsplit(' ').next().unwrap_or_default().to_owned();
        let said = match verdict {
            Verdict::Fixed => "fixed".into(),
            Verdict::Unverified(reason) => format!("unverified {}", last(reason)),
            Verdict::Unfixed(reason) => format!("unfixed {}", last(reason)),
        };
        assert_eq!(said, expected, "{evidence}");
    }

    #[test]
    fn only_red_then_green_is_fixed() {
        check("101 0 - 1 0", "fixed");
        check("1 0 - 2 1", "fixed");
        check("1 0 0 2 1", "fixed");
        check("1 0 1 2 1", "unverified fail");
        check("1 0 0 1 1", "unverified changed");
        check("1 1 - 1 0", "unfixed fail");
        check("1 2 - 1 0", "unfixed fail");
        check("1 0 - 1 0 rival", "unverified right");
        check("1 1 - 1 0 rival", "unfixed fail");
        check("0 0 - 1 0", "unverified nothing");
        check("0 1 - 1 0", "unfixed now");
        check("- - - 1 0", "unverified run");
        check("- - - 0 0", "unfixed changed");
        check("1 0 - 0 0", "unfixed changed");
    }
}
