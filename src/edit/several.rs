//! The edits of one call: all of them, or none.
//!
//! A model writes them against the file as it read it, so each is looked for there, and an edit may not hit what another one
//! wrote. Only where one is not found there it may mean the text that those before it leave.

use crate::edit::lines::Lines;
use crate::edit::page::Page;
use crate::edit::place::{Applied, Edit, Hit, How, Located, Refusal, locate, place};
use similar::{Algorithm, DiffTag, capture_diff_slices};
use std::ops::Range;

/// The text after all edits, and of each how it was found and the first line that it touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllApplied {
    pub text: String,
    pub places: Vec<(How, usize)>,
}

/// An edit that was not applied, by its index; so none was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneRefused {
    pub at: usize,
    pub why: Refusal,
}

/// Applies edits to a text.
pub fn place_all(text: &str, edits: &[Edit]) -> Result<AllApplied, OneRefused> {
    let find = |page: &Page, at: usize| locate(page, &edits[at]);
    let then = |text: &str, at: usize| place(text, &edits[at]);
    apply_all(text, edits.len(), find, then)
}

/// Applies `count` changes, each of which `find` finds in the text as it was, and `then` applies to the text as those before leave it.
pub(crate) fn apply_all(
    text: &str,
    count: usize,
    find: impl Fn(&Page, usize) -> Result<Located, Refusal>,
    then: impl Fn(&str, usize) -> Result<Applied, Refusal>,
) -> Result<AllApplied, OneRefused> {
    let lines = Lines::parse(text);
    let page = Page::new(lines.flat());
    let mut found = Vec::with_capacity(count);
    let mut lost = None;
    for at in 0..count {
        match find(&page, at) {
            Ok(located) => found.push(located),
            Err(why @ Refusal::Missing { .. }) if count > 1 => lost = lost.or(Some(OneRefused { at, why })),
            Err(why) => return Err(OneRefused { at, why }),
        }
    }
    if lost.is_none() {
        let places = found.iter().map(|located| (located.how, located.line)).collect();
        match together(page.flat, found) {
            Ok(hunks) => return Ok(AllApplied { text: spliced(text, &hunks), places }),
            Err(at) if count == 1 => return Err(OneRefused { at, why: Refusal::NoChange }),
            Err(at) => lost = Some(OneRefused { at, why: Refusal::Overlaps }),
        }
    }
    let mut after = text.to_owned();
    let mut places = Vec::with_capacity(count);
    for at in 0..count {
        match (then(&after, at), &lost) {
            (Ok(applied), _) => {
                after = applied.text;
                places.push((applied.how, applied.line));
            }
            // What it was refused for in the file that the model has read says more.
            (Err(Refusal::Missing { .. } | Refusal::AlreadyApplied { .. } | Refusal::CutsWord { .. }), Some(lost))
                if lost.at <= at =>
            {
                return Err(OneRefused { at: lost.at, why: lost.why.clone() });
            }
            (Err(why), _) => return Err(OneRefused { at, why }),
        }
    }
    Ok(AllApplied { text: after, places })
}

/// What all hits change, in the order of the text. Fails with the index of a hit that changes what another one changes.
fn together(flat: &str, found: Vec<Located>) -> Result<Vec<Hit>, usize> {
    let mut hunks: Vec<(usize, Hit)> = Vec::new();
    for (at, located) in found.into_iter().enumerate() {
        hunks.extend(changed(flat, located.hit).into_iter().map(|hunk| (at, hunk)));
    }
    // Two that insert at one place do so in the order of the call.
    hunks.sort_by_key(|(_, hunk)| (hunk.range.start, hunk.range.end));
    match hunks.windows(2).find(|pair| pair[1].1.range.start < pair[0].1.range.end) {
        Some(pair) => Err(pair[0].0.max(pair[1].0)),
        None => Ok(hunks.into_iter().map(|(_, hunk)| hunk).collect()),
    }
}

/// The lines of a hit that really change. Lines that it only shows for their surroundings may be another's to change.
fn changed(flat: &str, hit: Hit) -> Vec<Hit> {
    let old: Vec<&str> = flat[hit.range.clone()].split_inclusive('\n').collect();
    if !flat[hit.range.clone()].contains('\n') {
        return vec![hit];
    }
    let new: Vec<&str> = hit.replacement.split_inclusive('\n').collect();
    let at = |line: usize| hit.range.start + old[..line].iter().map(|line| line.len()).sum::<usize>();
    let part =
        |old: Range<usize>, added: Range<usize>| Hit { range: at(old.start)..at(old.end), replacement: new[added].concat() };
    let ops = capture_diff_slices(Algorithm::Myers, &old, &new);
    let changes = ops.iter().map(|op| op.as_tag_tuple()).filter(|(tag, ..)| *tag != DiffTag::Equal);
    changes.map(|(_, old, added)| part(old, added)).collect()
}

/// The text with hunks spliced in, from its end, so that what stands before keeps its place.
fn spliced(text: &str, hunks: &[Hit]) -> String {
    hunks.iter().rev().fold(text.to_owned(), |text, hunk| Lines::parse(&text).splice(hunk.range.clone(), &hunk.replacement))
}

#[cfg(test)]
mod tests {
    use crate::edit::place::{Edit, Refusal};
    use crate::edit::several::place_all;
    use proptest::prelude::*;

    fn edits(pairs: &[(&str, &str)]) -> Vec<Edit> {
        let edit =
            |(search, replace): &(&str, &str)| Edit { search: (*search).into(), replace: (*replace).into(), occurrence: None };
        pairs.iter().map(edit).collect()
    }

    fn check(text: &str, pairs: &[(&str, &str)], expected: Result<&str, (usize, Refusal)>) {
        let result = place_all(text, &edits(pairs)).map(|all| all.text).map_err(|one| (one.at, one.why));
        assert_eq!(result, expected.map(str::to_owned), "{pairs:?}");
    }

    #[test]
    fn edits_mean_the_file_as_it_was() {
        check("a\nb\n", &[("b", "B"), ("a", "A")], Ok("A\nB\n"));
        check("a\nb\n", &[("a", "b"), ("b", "a")], Ok("b\na\n"));
        check("a b\n", &[("a", "b"), ("b", "a")], Ok("b a\n"));
        check("a\nb\nc\n", &[("a\nb\n", "A\nb\n"), ("b\nc\n", "b\nC\n")], Ok("A\nb\nC\n"));
        check("a\n", &[("a\n", "a\nx\n"), ("a\n", "a\ny\n")], Ok("a\nx\ny\n"));
    }

    #[test]
    fn an_edit_may_mean_what_one_before_it_wrote() {
        check("a\nz\n", &[("a", "b c"), ("b c", "d")], Ok("d\nz\n"));
        check("a\nz\n", &[("b c", "d"), ("a", "b c")], Err((0, Refusal::Missing { nearest: None })));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        check("x = 1\n", &[("x = 1", "x = 2"), ("x = 1", "x = 3")], Err((1, Refusal::Overlaps)));
        check("a\nb\nc\n", &[("a\nb\n", "A\n"), ("b\nc\n", "C\n")], Err((1, Refusal::Overlaps)));
        check("a\na\nb\n", &[("b", "B"), ("a", "A")], Err((1, Refusal::Ambiguous { lines: vec![1, 2] })));
    }

    proptest! {
        #[test]
        fn the_order_of_a_call_does_not_matter(order in Just((0..6).collect::<Vec<usize>>()).prop_shuffle(), count in 1usize..6) {
            let lines = ["zero\r\n", "one\n", "two\r\n", "three\n", "four\n", "five"];
            let text = lines.concat();
            let pairs: Vec<(String, String)> =
                order.iter().take(count).map(|at| (lines[*at].trim().to_owned(), format!("<{}>", lines[*at].trim()))).collect();
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(s, r)| (s.as_str(), r.as_str())).collect();
            let expected = pairs.iter().fold(text.clone(), |text, (search, replace)| text.replace(search, replace));
            prop_assert_eq!(place_all(&text, &edits(&pairs)).unwrap().text, expected);
        }
    }
}
