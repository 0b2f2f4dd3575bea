//! What each clue weighs.
//!
//! The weights are judgement, ordered by how seldom a clue of the kind misleads: a trace and a name in code first, what a failing
//! test calls next, what is only near it last. A name that is defined several times shares its weight among its definitions.

use crate::repair::suspects::Covered;
use crate::repair::suspects::atlas::{Atlas, Sort, Spot};
use crate::repair::suspects::board::{Board, Evidence};
use crate::repair::suspects::cases::{Case, Verdicts, mentioned, verdicts};
use crate::repair::suspects::meaning::{functions, imported, resolve, shipped};
use crate::repair::suspects::mentions::{Form, mentions};
use crate::repair::suspects::output::{Frame, failed, frames};
use crate::repair::words::{Issue, said};
use crate::repo::git::recent::{Touched, When};
use std::collections::{BTreeMap, BTreeSet};

/// The innermost frame of a trace; each further out weighs `OUTWARD` of the one inside it.
const TRACE: f64 = 4.0;
const OUTWARD: f64 = 0.6;
/// A definition that the issue names as code, in a sentence, or by a part of its name.
const NAMED: f64 = 4.0;
const SPOKEN: f64 = 1.5;
const PARTLY: f64 = 0.75;
/// What stands in a class that the issue names, or in a file.
const OWNED: f64 = 1.0;
const IN_FILE: f64 = 1.0;
/// Called by every failing test and by no other; mentioned without a call, and in the very line that failed.
const CALLED: f64 = 3.0;
const UNCALLED: f64 = 0.5;
const ASSERTED: f64 = 1.5;
/// A share of these where the output does not say which tests failed.
const UNSURE: f64 = 0.5;
/// Defined in what the failing tests import.
const IMPORTED: f64 = 0.25;
/// Changed and not committed, or changed by the last commit; shared by all that changed, beyond `FOCUSED` definitions.
const UNCOMMITTED: f64 = 2.5;
const COMMITTED: f64 = 1.0;
const FOCUSED: usize = 3;
/// Run by the failing tests.
const EXECUTED: f64 = 1.0;
/// Called by a suspect: a share of the suspect's own score, over two steps, of so many suspects.
const CALLEE: f64 = 0.4;
const CALLERS: usize = 8;

/// A plain word that stands in more files is everybody's word.
const COMMON: usize = 12;
/// A part of a name that more names have says nothing.
const PART_OF: usize = 8;

/// What the issue names: definitions, classes, files, and the places of traces that it quotes.
pub fn issue(atlas: &mut Atlas, board: &mut Board, text: &str) {
    let issue = Issue::of(text);
    let code: BTreeSet<String> = said(text).into_iter().filter(|word| word.len() > 1).collect();
    let plain: BTreeSet<String> = issue.plain().map(str::to_owned).filter(|word| !code.contains(word)).collect();
    for (words, weight) in [(&code, NAMED), (&plain, SPOKEN)] {
        for word in words {
            if weight == SPOKEN && atlas.spread(word) > COMMON {
                continue;
            }
            if !named(atlas, board, word, weight) {
                partly_named(atlas, board, word);
            }
        }
    }
    for path in issue.paths() {
        let files = atlas.files(path);
        let weight = IN_FILE / files.len().max(1) as f64;
        for file in files {
            functions(atlas, file).into_iter().for_each(|spot| board.add(spot, Evidence::File, weight));
        }
    }
    traces(atlas, board, &frames(text));
}

/// Suspects what a word names exactly. `false`: it names nothing here.
fn named(atlas: &mut Atlas, board: &mut Board, word: &str, weight: f64) -> bool {
    let spots = shipped(atlas, word);
    let share = weight / spots.len().max(1) as f64;
    for spot in &spots {
        let definition = atlas.definition(*spot);
        if definition.sort != Sort::Container {
            board.add(*spot, Evidence::Issue, share);
            continue;
        }
        let members = atlas.definitions(spot.0);
        for at in (0..members.len()).filter(|at| members[*at].sort == Sort::Function && !members[*at].test) {
            if members[at].owner.as_deref() == Some(word) {
                board.add((spot.0, at), Evidence::Issue, OWNED / spots.len() as f64);
            }
        }
    }
    !spots.is_empty()
}

/// Suspects what a word is a plural or a part of: `discounts` means `discount`, then `apply_discount`.
fn partly_named(atlas: &mut Atlas, board: &mut Board, word: &str) {
    let word = word.to_lowercase();
    if word.len() < 4 {
        return;
    }
    let stem = word.trim_end_matches('s');
    if atlas.spread(stem) <= COMMON && named(atlas, board, stem, SPOKEN) {
        return;
    }
    let longer = atlas.names(|name| name.len() > stem.len() && name.to_lowercase().contains(stem));
    if longer.len() > PART_OF {
        return;
    }
    for name in longer {
        let spots = shipped(atlas, &name);
        let share = PARTLY / spots.len().max(1) as f64;
        for spot in spots {
            if atlas.definition(spot).sort != Sort::Container {
                board.add(spot, Evidence::Issue, share);
            }
        }
    }
}

/// What the tests' output points at: traces, and what the failing tests use.
pub fn output(atlas: &mut Atlas, board: &mut Board, text: &str) {
    let frames = frames(text);
    traces(atlas, board, &frames);
    let verdicts = verdicts(atlas, &failed(text), &frames);
    called(atlas, board, &verdicts);
    asserted(atlas, board, &frames);
    let files: BTreeSet<usize> = verdicts.failed.iter().map(|case| case.file).collect();
    let imported: BTreeSet<usize> = files.into_iter().flat_map(|file| imported(atlas, file)).collect();
    for file in imported {
        functions(atlas, file).into_iter().for_each(|spot| board.add(spot, Evidence::Imported, IMPORTED));
    }
}

fn traces(atlas: &mut Atlas, board: &mut Board, frames: &[Frame]) {
    for trace in frames.chunk_by(|a, b| a.trace == b.trace) {
        let mut weight = TRACE;
        for frame in trace {
            let files = atlas.files(&frame.path);
            let share = weight / files.len().max(1) as f64;
            let added = files.iter().filter(|file| board.add_line(atlas, (**file, frame.line), Evidence::Trace, share)).count();
            if added > 0 {
                weight *= OUTWARD;
            }
        }
    }
}

/// Suspects what failing tests mention, the more the less the other tests do (Ochiai: failing / sqrt(all failing · all that mention)).
fn called(atlas: &mut Atlas, board: &mut Board, verdicts: &Verdicts) {
    let mut uses: BTreeMap<String, Use> = BTreeMap::new();
    for case in &verdicts.failed {
        for (name, form) in mentioned(atlas, case) {
            let found = uses.entry(name).or_insert(Use { form, failing: 0.0, passing: 0.0, from: case.clone() });
            found.form = found.form.max(form);
            found.failing += 1.0;
        }
    }
    for case in &verdicts.beside {
        for name in mentioned(atlas, case).into_keys() {
            if let Some(found) = uses.get_mut(&name) {
                found.passing += 1.0;
            }
        }
    }
    let all = verdicts.failed.len() as f64;
    let whole = if verdicts.recognised { CALLED } else { CALLED * UNSURE };
    for (name, found) in uses {
        let telling = found.failing / (all * (found.failing + found.passing)).sqrt();
        use_of(atlas, board, (&name, found.form), (found.from.file, Evidence::Called, whole * telling));
    }
}

/// How tests use a name.
struct Use {
    form: Form,
    failing: f64,
    passing: f64,
    from: Case,
}

/// Suspects what stands in the lines of tests that failed.
fn asserted(atlas: &mut Atlas, board: &mut Board, frames: &[Frame]) {
    for frame in frames {
        for file in atlas.files(&frame.path) {
            let line = frame.line.checked_sub(1).and_then(|at| atlas.sources[file].lines.get(at)).cloned();
            let Some(line) = line.filter(|_| atlas.holding(file, frame.line).1) else { continue };
            for (name, form) in mentions(atlas.sources[file].language, &[line]) {
                use_of(atlas, board, (name, form), (file, Evidence::Asserted, ASSERTED));
            }
        }
    }
}

/// Adds evidence against what a name means in a file.
fn use_of(atlas: &mut Atlas, board: &mut Board, (name, form): (&str, Form), (file, evidence, weight): (usize, Evidence, f64)) {
    let spots = resolve(atlas, name, file);
    let share = weight / spots.len().max(1) as f64;
    for spot in spots {
        // A constant is used without a call.
        let whole = form == Form::Called || atlas.definition(spot).sort == Sort::Constant;
        board.add(spot, evidence, if whole { share } else { share * UNCALLED });
    }
}

/// What changed lately. Many changes at once share what they weigh.
pub fn recent(atlas: &mut Atlas, board: &mut Board, touched: &[Touched]) {
    for (when, weight) in [(When::Uncommitted, UNCOMMITTED), (When::LastCommit, COMMITTED)] {
        let mut lines = BTreeSet::new();
        for change in touched.iter().filter(|change| change.when == when) {
            let Some(file) = atlas.sources.iter().position(|source| source.path == change.path) else { continue };
            let end = atlas.sources[file].lines.len();
            lines.extend(change.lines.iter().flat_map(|range| *range.start()..=(*range.end()).min(end)).map(|line| (file, line)));
        }
        let mut spots = BTreeSet::new();
        for (file, line) in &lines {
            match atlas.holding(*file, *line) {
                (_, true) => {}
                (Some(spot), false) => {
                    spots.insert(spot);
                }
                (None, false) => {
                    spots.insert((*file, usize::MAX));
                }
            }
        }
        let share = weight * FOCUSED as f64 / spots.len().max(FOCUSED) as f64;
        for line in lines {
            board.add_line(atlas, line, Evidence::Recent, share);
        }
    }
}

/// What the suspects themselves call, two steps far: a test calls what is public, and the fault is as often below.
pub fn callees(atlas: &mut Atlas, board: &mut Board) {
    let mut callers: Vec<(Spot, f64)> = board.ranked();
    for _ in 0..2 {
        callers.truncate(CALLERS);
        let mut reached: BTreeMap<Spot, f64> = BTreeMap::new();
        for (caller, score) in callers {
            for name in uses(atlas, caller) {
                let spots = resolve(atlas, &name, caller.0);
                let share = CALLEE * score / spots.len().max(1) as f64;
                for spot in spots {
                    let strongest = reached.entry(spot).or_default();
                    *strongest = strongest.max(share);
                }
            }
        }
        reached.iter().for_each(|(spot, weight)| board.add(*spot, Evidence::Callee, *weight));
        callers = reached.into_iter().collect();
        callers.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    }
}

/// What a definition calls, and the constants that it names: without a call a name in small letters is as likely a variable.
fn uses(atlas: &mut Atlas, spot: Spot) -> BTreeSet<String> {
    let own = atlas.definition(spot);
    let source = &atlas.sources[spot.0];
    let meant = |(name, form): &(&str, Form)| {
        *name != own.name && (*form == Form::Called || name.starts_with(|c: char| c.is_uppercase()))
    };
    let body = &source.lines[own.first - 1..own.last];
    mentions(source.language, body).into_iter().filter(meant).map(|(name, _)| name.to_owned()).collect()
}

/// What the failing tests ran. A function that no test ran is none of theirs, whatever else speaks against it; what only others
/// ran may have left them something.
pub fn covered(atlas: &mut Atlas, board: &mut Board, covered: &Covered) {
    let none = BTreeSet::new();
    for (path, all) in &covered.all {
        let failing = covered.failing.get(path).unwrap_or(&none);
        let Some(file) = atlas.sources.iter().position(|source| source.path == *path) else { continue };
        for (_, at) in functions(atlas, file) {
            let function = atlas.definition((file, at));
            // Where functions are statements, their heads run when they are defined.
            let body = (function.first + 1).min(function.last)..=function.last;
            if all.range(body.clone()).next().is_none() {
                board.clear((file, at));
            }
            for line in failing.range(body) {
                board.add((file, at), Evidence::Executed, EXECUTED);
                board.warm((file, *line), EXECUTED);
            }
        }
    }
}

/// Every function of a project that has no more than `few`.
pub fn everything(atlas: &mut Atlas, board: &mut Board, few: usize) {
    let mut all = Vec::new();
    for file in 0..atlas.sources.len() {
        all.extend(functions(atlas, file));
        if all.len() > few {
            return;
        }
    }
    all.into_iter().for_each(|spot| board.add(spot, Evidence::File, IN_FILE));
}
