//! The table behind every comparison of orders: each candidate of each project, really tried.
//!
//! Who passes does not depend on the order in which changes are tried, so one table of outcomes answers for all orders, those that
//! nobody has thought of yet included. A project whose candidates stand in the table already is not tried again.

use crate::project::bugs::test;
use crate::project::layout::write;
use agent::path::Root;
use agent::prompts::{Allowance, RepairOpening, repair_opening};
use agent::repair::order::{Order, features};
use agent::repair::suspects::{Bounds, Clues, suspects};
use agent::repair::{Candidate, Kind, Passage, mutate, notation, words};
use agent::repo::git::recent::recent;
use agent::repo::syntax::Language;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What `outcomes` takes.
#[derive(clap::Args)]
pub struct Outcomes {
    /// The folder that `projects` made
    #[arg(long, value_name = "DIR")]
    projects: PathBuf,
    /// The table; what it holds already is kept
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Projects at the same time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// What `meta.json` says, as far as it matters here.
#[derive(Deserialize)]
struct Meta {
    language: String,
    path: String,
    line: usize,
    right: String,
    issue: String,
    test: String,
}

/// One project's row of the table. Candidates stand in the order of their lines.
#[derive(Serialize, Deserialize)]
struct Outcome {
    project: String,
    suspects: Vec<String>,
    /// What a micro model is asked, and what it could answer.
    messages: Value,
    continuations: Vec<String>,
    kinds: Vec<Kind>,
    /// As `repair::order` has them, without a model.
    features: Vec<Vec<f64>>,
    /// The order that needs no model.
    modelless: Vec<usize>,
    /// The candidate that takes the bug out again as it was put in.
    right: Option<usize>,
    passes: Vec<bool>,
    /// Whether the tests pass that nobody saw; only asked of those that pass the others.
    hidden_passes: Vec<bool>,
}

/// What a micro model may be shown.
const BOUNDS: Bounds = Bounds { passages: 3, lines: 48 };

/// Tries everything that is not in the table yet.
pub fn run(args: &Outcomes) -> Result<()> {
    let mut dirs: Vec<PathBuf> = fs::read_dir(&args.projects)
        .with_context(|| format!("cannot read `{}`", args.projects.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()).filter(|path| path.join("meta.json").exists()))
        .collect();
    dirs.sort();
    let known = known(&args.out)?;
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| -> Result<()> {
        let work = || -> Result<()> {
            while let Some(dir) = dirs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let outcome = outcome(dir, &known).with_context(|| format!("in `{}`", dir.display()))?;
                let mut rows = rows.lock().expect("no thread panics while it holds the rows");
                rows.insert(outcome.project.clone(), outcome);
                // Written as it grows: hours of test runs are not lost to a power cut.
                save(&args.out, &rows, &known)?;
                if rows.len() % 10 == 0 {
                    eprintln!("{} of {} projects", rows.len(), dirs.len());
                }
            }
            Ok(())
        };
        let running: Vec<_> = (0..args.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|one| one.join().expect("a thread that panicked has said why"))
    })?;
    let rows = rows.into_inner().expect("no thread panics while it holds the rows");
    save(&args.out, &rows, &BTreeMap::new())
}

fn known(path: &Path) -> Result<BTreeMap<String, Outcome>> {
    let Ok(text) = fs::read_to_string(path) else { return Ok(BTreeMap::new()) };
    let read = |line: &str| serde_json::from_str(line).map(|outcome: Outcome| (outcome.project.clone(), outcome));
    text.lines().map(read).collect::<Result<_, _>>().with_context(|| format!("`{}` is no table of outcomes", path.display()))
}

fn save(path: &Path, rows: &BTreeMap<String, Outcome>, known: &BTreeMap<String, Outcome>) -> Result<()> {
    let mut all: BTreeMap<&String, &Outcome> = known.iter().collect();
    all.extend(rows);
    let lines = all.values().map(|outcome| Ok(serde_json::to_string(outcome)? + "\n")).collect::<Result<String>>()?;
    let partial = path.with_extension("partial");
    fs::write(&partial, lines)?;
    Ok(fs::rename(partial, path)?)
}

fn outcome(dir: &Path, known: &BTreeMap<String, Outcome>) -> Result<Outcome> {
    let meta: Meta = serde_json::from_str(&fs::read_to_string(dir.join("meta.json"))?)?;
    let language = language(&meta.language)?;
    let scratch = tempfile::tempdir()?;
    copy(&dir.join("project"), scratch.path())?;
    let failing = test(language, &meta.test, scratch.path());
    ensure!(!failing.passed, "the tests pass as it is");
    let root = Root::open(scratch.path())?;
    let recent = recent(&root).unwrap_or_default();
    let clues = Clues { issue: &meta.issue, output: &failing.output, recent: &recent, covered: None };
    let passages = suspects(&root, &clues, BOUNDS);
    let candidates = mutate::candidates(&passages, &words::said(&meta.issue));
    let evidence = words::evidence(&meta.issue, &passages);
    let listing = notation::listing(&passages);
    let opening = RepairOpening { issue: &meta.issue, listing: &listing, output: None };
    let mut outcome = Outcome {
        project: dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        suspects: passages.iter().map(|p| format!("{}:{}-{}", p.path, p.first, p.first + p.lines.len() - 1)).collect(),
        messages: json!([{ "role": "user", "content": repair_opening(&opening, &Allowance::MICRO) }]),
        continuations: candidates.iter().map(|one| notation::change(one.label, &one.old, &one.new)).collect(),
        kinds: candidates.iter().map(|one| one.kind).collect(),
        features: features(&candidates, &evidence, None).iter().map(|one| one.as_array().to_vec()).collect(),
        modelless: self::Order::Modelless.of(&candidates, &evidence, None),
        right: None,
        passes: Vec::new(),
        hidden_passes: Vec::new(),
    };
    let places: Vec<(&Passage, usize)> = candidates.iter().filter_map(|one| place(&passages, one)).collect();
    ensure!(places.len() == candidates.len(), "a candidate's label is none of the passages'");
    outcome.right = candidates.iter().zip(&places).position(|(one, (passage, at))| {
        passage.path.as_str() == meta.path && passage.first + at == meta.line && one.new == meta.right
    });
    if let Some(before) = known.get(&outcome.project).filter(|before| before.same_candidates(&outcome)) {
        (outcome.passes, outcome.hidden_passes) = (before.passes.clone(), before.hidden_passes.clone());
        return Ok(outcome);
    }
    let hidden = files(&dir.join("hidden"))?;
    let visible: BTreeMap<String, String> =
        files(&dir.join("project"))?.into_iter().filter(|(path, _)| hidden.contains_key(path)).collect();
    for (candidate, (passage, at)) in candidates.iter().zip(places) {
        let file = scratch.path().join(passage.path.as_str());
        let before = fs::read_to_string(&file)?;
        fs::write(&file, with_line(&before, passage.first + at, &candidate.new))?;
        let passes = test(language, &meta.test, scratch.path()).passed;
        outcome.passes.push(passes);
        outcome.hidden_passes.push(
            passes && {
                write(scratch.path(), &hidden)?;
                let passes = test(language, &meta.test, scratch.path()).passed;
                write(scratch.path(), &visible)?;
                passes
            },
        );
        fs::write(&file, before)?;
    }
    Ok(outcome)
}

impl Outcome {
    /// Whether the other one tries the same changes of the same lines.
    fn same_candidates(&self, other: &Self) -> bool {
        (&self.suspects, &self.messages, &self.continuations) == (&other.suspects, &other.messages, &other.continuations)
    }
}

fn language(name: &str) -> Result<Language> {
    Ok(match name {
        "python" => Language::Python,
        "javascript" => Language::JavaScript,
        "rust" => Language::Rust,
        "go" => Language::Go,
        other => anyhow::bail!("projects in `{other}` are not run"),
    })
}

/// The passage of a candidate's line, and where in it.
fn place<'p>(passages: &'p [Passage], candidate: &Candidate) -> Option<(&'p Passage, usize)> {
    let mut at = candidate.label.checked_sub(1)?;
    for passage in passages {
        if at < passage.lines.len() {
            return Some((passage, at));
        }
        at -= passage.lines.len();
    }
    None
}

/// The text with its line `number`, from 1, another one.
fn with_line(text: &str, number: usize, line: &str) -> String {
    text.lines().enumerate().flat_map(|(at, old)| [if at + 1 == number { line } else { old }, "\n"]).collect()
}

/// The files below `dir` by their paths, but not git's.
fn files(dir: &Path) -> Result<BTreeMap<String, String>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != ".git") {
                    open.push(path);
                }
            } else {
                found.insert(path.strip_prefix(dir)?.to_string_lossy().into_owned(), fs::read_to_string(&path)?);
            }
        }
    }
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            fs::create_dir(&target)?;
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::project::outcomes::{place, with_line};
    use agent::repair::{Candidate, Kind, Passage};
    use agent::repo::syntax::Language;

    #[test]
    fn labels_run_through_all_passages() {
        let passage = |path: &str, lines: &[&str]| Passage {
            path: serde_json::from_value(path.into()).unwrap(),
            language: Language::Python,
            first: 5,
            lines: lines.iter().map(|line| (*line).into()).collect(),
        };
        let passages = [passage("a.py", &["x", "y"]), passage("b.py", &["z"])];
        let at = |label| {
            let none = String::new;
            let candidate =
                Candidate { label, passage: 0, old: none(), new: none(), kind: Kind::Number, removed: none(), added: none() };
            place(&passages, &candidate).map(|(passage, at)| (passage.path.as_str().to_owned(), at))
        };
        assert_eq!(at(2), Some(("a.py".into(), 1)));
        assert_eq!(at(3), Some(("b.py".into(), 0)));
        assert_eq!(at(4), None);
    }

    #[test]
    fn one_line_is_replaced() {
        assert_eq!(with_line("a\nb\nc\n", 2, "B"), "a\nB\nc\n");
    }
}
