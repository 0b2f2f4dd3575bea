//! What the failing tests certainly did not run: a change there cannot make them pass.

use crate::path::Root;
use crate::repair::suspects::Lines;
use crate::repo::statements::extents;
use crate::repo::syntax::Language;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The lines of each measured file of which no part of the statement ran, of the files for which `wanted` holds. Reads those.
pub(crate) fn idle(root: &Root, ran: &Lines, wanted: impl Fn(&str) -> bool) -> Lines {
    let mut idle = BTreeMap::new();
    for (path, ran) in ran.iter().filter(|(path, _)| wanted(path.as_str())) {
        if let (Some(language), Ok(text)) = (Language::of(path), fs::read_to_string(root.join(path))) {
            idle.insert(path.clone(), idle_lines(language, &text, ran));
        }
    }
    idle
}

/// Of each line the whole statement counts: a line that is never told to run may be its second.
fn idle_lines(language: Language, text: &str, ran: &BTreeSet<usize>) -> BTreeSet<usize> {
    let extents = extents(language, text).into_iter().enumerate();
    extents.filter(|(_, extent)| ran.range(extent.clone()).next().is_none()).map(|(at, _)| at + 1).collect()
}

/// Puts what is idle behind all the rest; both stay in their order.
pub(crate) fn idle_last(order: &mut Vec<usize>, is_idle: impl Fn(usize) -> bool) {
    let (idle, mut rest): (Vec<usize>, Vec<usize>) = order.iter().partition(|&&index| is_idle(index));
    rest.extend(idle);
    *order = rest;
}

#[cfg(test)]
mod tests {
    use crate::fix::ranked::coverage::idle::{idle_last, idle_lines};
    use crate::repo::syntax::Language;

    #[track_caller]
    fn check(language: Language, text: &str, ran: &[usize], expected: &[usize]) {
        let idle = idle_lines(language, text, &ran.iter().copied().collect());
        assert_eq!(idle.into_iter().collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn a_statement_runs_as_a_whole() {
        let text = "def f(x):\n    if x:\n        return min(x,\n                   1)\n    return max(x,\n               2)\n";
        check(Language::Python, text, &[1, 2, 5], &[3, 4]);
        check(Language::Python, text, &[1, 2, 3], &[5, 6]);
        check(Language::Python, text, &[1], &[2, 3, 4, 5, 6]);
        let text = "function f(x) {\n  if (x) {\n    return g(\n      x);\n  }\n  return 1;\n}\n";
        check(Language::JavaScript, text, &[1, 2, 6], &[3, 4]);
        check(Language::JavaScript, text, &[], &[1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn what_is_idle_comes_last_and_nothing_is_lost() {
        let mut order = vec![4, 0, 3, 1, 2];
        idle_last(&mut order, |index| index % 2 == 0);
        assert_eq!(order, [3, 1, 4, 0, 2]);
        idle_last(&mut order, |_| true);
        idle_last(&mut order, |_| false);
        assert_eq!(order, [3, 1, 4, 0, 2]);
    }
}
