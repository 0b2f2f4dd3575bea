//! What models do to an edit, done to edits of real files: the place is found all the same, or the edit is refused.

use crate::edit::place::{Edit, Refusal, place};
use proptest::prelude::*;

const FILES: [&str; 4] = [
    include_str!("indent.rs"),
    include_str!("../../tests/fixtures/mutate/cart.py"),
    include_str!("../../tests/fixtures/mutate/page.js"),
    include_str!("../../tests/fixtures/mutate/window.go"),
];

/// Search and replacement.
type Pair = (String, String);

/// One thing that a model does to both sides of an edit.
#[derive(Clone, Copy, Debug)]
enum Defect {
    Dedented,
    Shifted(usize),
    Doubled,
    Halved,
    Tabs,
    Trimmed,
    TrailingBlanks,
    Curly,
    Numbers(&'static str),
    Fence,
    Entities,
    Escapes,
    OtherEnds,
}

fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

fn by_line(text: &str, mut change: impl FnMut(&str) -> String) -> String {
    text.split_inclusive('\n')
        .map(|line| match line.strip_suffix('\n') {
            Some(bare) => change(bare) + "\n",
            None => change(line),
        })
        .collect()
}

fn indented(text: &str, change: impl Fn(&str) -> String) -> String {
    by_line(text, |line| {
        if line.trim().is_empty() { String::new() } else { change(indent(line)) + line.trim_start_matches([' ', '\t']) }
    })
}

impl Defect {
    fn of(self, (search, replace): Pair, first: usize) -> Pair {
        let least = [&search, &replace]
            .iter()
            .flat_map(|text| text.lines())
            .filter(|l| !l.trim().is_empty())
            .map(|l| indent(l).len())
            .min()
            .unwrap_or(0);
        let both = |change: &dyn Fn(&str) -> String| (change(&search), change(&replace));
        match self {
            Self::Dedented => both(&|text| indented(text, |indent| indent[least..].to_owned())),
            Self::Shifted(by) => both(&|text| indented(text, |indent| format!("{}{indent}", " ".repeat(by)))),
            Self::Doubled => both(&|text| indented(text, |indent| indent.repeat(2))),
            // Half a tab is none, and no block would be left.
            Self::Halved if search.contains('\t') => (search, replace),
            Self::Halved => both(&|text| indented(text, |indent| indent[indent.len() / 2..].to_owned())),
            Self::Tabs => both(&|text| {
                indented(
                    text,
                    |indent| if indent.contains('\t') { indent.replace('\t', "    ") } else { indent.replace("    ", "\t") },
                )
            }),
            Self::Trimmed => both(&|text| text.trim().to_owned()),
            Self::TrailingBlanks => (by_line(&search, |line| format!("{line}  ")), replace),
            Self::Curly => both(&|text| text.replace(" \"", " “").replace('"', "”")),
            Self::Numbers(sign) => both(&|text| {
                let mut number = first;
                by_line(text, |line| {
                    number += 1;
                    format!("{number}{sign}{line}")
                })
            }),
            Self::Fence => both(&|text| format!("```\n{}\n```\n", text.trim_end_matches('\n'))),
            Self::Entities => both(&|text| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")),
            Self::Escapes => both(&|text| {
                let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\t', "\\t");
                text.replace('\n', "\\n")
            }),
            Self::OtherEnds => both(&|text| text.replace('\n', "\r\n")),
        }
    }
}

/// What was done to the lines of the file.
#[derive(Clone, Copy, Debug)]
enum Change {
    Append,
    Insert,
    Delete,
}

/// The edit of a window of lines, and the text that it should come to.
fn edit(text: &str, start: usize, length: usize, change: (Change, usize)) -> Option<(Pair, String)> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let end = (start + length).min(lines.len());
    let window = lines
        .get(start..end)
        .filter(|window| !window.is_empty() && !window[0].trim().is_empty() && !window[window.len() - 1].trim().is_empty())?;
    let at = change.1 % window.len();
    let mut new: Vec<String> = window.iter().map(|line| (*line).to_owned()).collect();
    let changed = window[at].trim_end();
    match change.0 {
        _ if changed.is_empty() => return None,
        Change::Append => new[at] = format!("{changed} added(7)\n"),
        Change::Insert => new.insert(at, format!("{}inserted(7)\n", indent(changed))),
        // Of a block without its head, and of one brace of two, nobody knows how deep it is meant.
        Change::Delete
            if at == 0
                && window
                    .get(1)
                    .is_some_and(|next| indent(next).len() > indent(changed).len() || next.trim() == changed.trim()) =>
        {
            return None;
        }
        Change::Delete if window.len() > 1 => drop(new.remove(at)),
        Change::Delete => return None,
    }
    if new[0].trim().is_empty() || new[new.len() - 1].trim().is_empty() {
        // A blank line at an end is lost to whoever trims.
        return None;
    }
    let expected = [&lines[..start].concat(), &new.concat(), &lines[end..].concat()].map(String::as_str).concat();
    Some(((window.concat(), new.concat()), expected))
}

fn any_defect() -> impl Strategy<Value = Vec<Defect>> {
    use Defect::{
        Curly, Dedented, Doubled, Entities, Escapes, Fence, Halved, Numbers, OtherEnds, Shifted, Tabs, TrailingBlanks, Trimmed,
    };
    let signs = prop_oneof![Just(": "), Just(" | "), Just("\t"), Just("→"), Just("|")];
    let inner = prop_oneof![
        Just(Dedented),
        (0usize..4).prop_map(|by| Shifted(2 * by + 1)),
        Just(Doubled),
        Just(Halved),
        Just(Tabs),
        Just(Trimmed),
        Just(TrailingBlanks),
        Just(Curly)
    ];
    let outer = prop_oneof![signs.prop_map(Numbers), Just(Fence), Just(Entities), Just(Escapes), Just(OtherEnds)];
    (prop::option::of(inner), prop::collection::vec(outer, 0..3)).prop_map(|(inner, mut outer)| {
        // Escapes are laid over everything else, numbers under a fence.
        outer.sort_by_key(|defect| match defect {
            Numbers(_) => 0,
            Entities => 1,
            Fence => 2,
            OtherEnds => 3,
            _ => 4,
        });
        outer.dedup_by_key(|defect| std::mem::discriminant(defect));
        // One line without its end does not show that it was escaped.
        let shows = !matches!((inner, outer.last()), (Some(Trimmed), Some(Escapes)));
        inner.filter(|_| shows).into_iter().chain(outer).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]
    #[test]
    fn a_defect_is_undone_or_the_edit_refused(
        file in 0usize..4,
        (start, length) in (0usize..60, 1usize..6),
        change in (prop_oneof![Just(Change::Append), Just(Change::Insert), Just(Change::Delete)], 0usize..6),
        defects in any_defect(),
        crlf in any::<bool>(),
    ) {
        let text = FILES[file];
        let Some((pair, expected)) = edit(text, start, length, change) else { return Ok(()) };
        let ends = |text: &str| if crlf { text.replace('\n', "\r\n") } else { text.to_owned() };
        let (search, replace) = defects.iter().fold(pair, |pair, defect| defect.of(pair, start));
        let shown = format!("{search}\n->\n{replace}");
        match place(&ends(text), &Edit { search, replace, occurrence: None }) {
            Ok(applied) => prop_assert_eq!(applied.text, ends(&expected), "{}", shown),
            // Lines that stand twice, a block whose shift cannot be told, a search that is a part of a line once it is shifted.
            Err(Refusal::Ambiguous { .. } | Refusal::CutsWord { .. } | Refusal::AlreadyApplied { .. }) => {}
            Err(refusal) => prop_assert!(false, "{:?}\n{}", refusal, shown),
        }
    }
}
