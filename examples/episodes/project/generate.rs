//! From sources to projects: functions that run alone, tests of what they do, and bugs that these tests catch.

use crate::chance::Chance;
use crate::functions::Reader;
use crate::issue::{Bug, Level, Texts};
use crate::naming::{Namer, Words};
use crate::pool::{self, Split};
use crate::project::bounded::{Bounds, run};
use crate::project::bugs::{Bench, broken, mending};
use crate::project::closure::{Closed, File, module};
use crate::project::layout::{Layout, lay_out};
use crate::project::rows::{Outcome, Row, test_file};
use crate::project::typed;
use crate::rank::{LEVELS, wished};
use crate::sources::{self, Listed};
use agent::repair::{Candidate, Kind};
use agent::repo::syntax::Language;
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// What all languages share.
pub struct Shop<'a> {
    pub split: Split,
    pub seed: u64,
    pub words: &'a Words,
    pub texts: &'a Texts,
    /// The folder of the harnesses.
    pub harness: &'a Path,
}

/// A file of the split, and the functions in it that no other split has.
pub struct Page {
    pub source: String,
    pub unit: String,
    pub language: Language,
    pub text: String,
    pub functions: Vec<String>,
}

/// One project with a bug.
pub struct Made {
    pub layout: Layout,
    pub bug: Candidate,
    pub level: Level,
    pub issue: String,
    pub source: String,
    pub visible: String,
    pub hidden: String,
}

const LANGUAGES: [Language; 4] = [Language::Python, Language::JavaScript, Language::Rust, Language::Go];
const FEWEST_VISIBLE: usize = 5;
const FEWEST_HIDDEN: usize = 20;
const MOST_HIDDEN: usize = 40;
const BUGS_PER_FUNCTION: usize = 3;
/// So that no source is most of a language's projects.
const PROJECTS_PER_UNIT: usize = 12;

/// Where functions come from: sources that are divided into splits, and those that only measurements are made from.
pub struct Stock<'a> {
    pub folder: &'a Path,
    pub listed: &'a Listed,
    pub held: &'a Listed,
}

/// The files of one split; the held sources are in `Test`. Reads every source twice: what is in another split too is nobody's to
/// test with.
pub fn pages(stock: &Stock<'_>, split: Split) -> Result<Vec<Page>> {
    let (mut own, mut known) = (HashSet::new(), HashSet::new());
    for page in pool::pages(stock.folder, stock.listed)? {
        let likenesses = page.functions.iter().map(|member| member.function.likeness);
        if page.split == split { own.extend(likenesses) } else { known.extend(likenesses) }
    }
    let (mut reader, mut pages) = (Reader::default(), Vec::new());
    let mut take = |file: sources::File, wanted: &mut dyn FnMut(u64) -> bool| {
        if !LANGUAGES.contains(&file.language) {
            return;
        }
        let mut functions = reader.functions(file.language, &file.text);
        functions.retain(|function| wanted(function.likeness));
        if !functions.is_empty() {
            let functions = functions.into_iter().map(|function| function.name).collect();
            let sources::File { source, unit, language, text } = file;
            pages.push(Page { source, unit, language, text, functions });
        }
    };
    if split == Split::Test {
        known.extend(&own);
        sources::read(stock.folder, stock.held, |file| take(file, &mut |likeness| known.insert(likeness)))?;
    }
    sources::read(stock.folder, stock.listed, |file| {
        if Split::of(&file.unit) == split {
            take(file, &mut |likeness| own.remove(&likeness));
        }
    })?;
    Ok(pages)
}

/// Makes up to `wanted` projects of one language and hands each to `keep` with its number, from 0.
pub fn projects(
    shop: &Shop<'_>,
    pages: &[Page],
    (language, wanted): (Language, usize),
    keep: impl Fn(usize, &Made) -> Result<()>,
) -> Result<()> {
    let mut chance = Chance::of(shop.seed, &format!("projects {language:?}"), 0);
    let mut order: Vec<(&Page, &str)> = pages
        .iter()
        .filter(|page| page.language == language)
        .flat_map(|page| page.functions.iter().map(move |name| (page, name.as_str())))
        .collect();
    chance.shuffle(&mut order);
    let (mut made, mut kinds, mut units) = (0, BTreeMap::<Kind, usize>::new(), BTreeMap::<&str, usize>::new());
    let (mut closed, mut ran) = (0, 0);
    for (number, (page, name)) in order.iter().enumerate() {
        if made >= wanted {
            break;
        }
        if units.get(page.unit.as_str()).copied().unwrap_or(0) >= PROJECTS_PER_UNIT {
            continue;
        }
        let Some(file) = File::parse(language, &page.text) else { continue };
        let Some(own) = file.close(name) else { continue };
        closed += 1;
        let mut chance = Chance::of(shop.seed, &format!("{} {name}", page.source), number);
        let rows = rows(shop, language, &own, &mut chance);
        if rows.len() < FEWEST_VISIBLE + FEWEST_HIDDEN {
            continue;
        }
        ran += 1;
        let others: Vec<Closed> = neighbours(page, name, &file, &mut chance);
        let count = BUGS_PER_FUNCTION.min(wanted - made);
        for project in bugged(shop, page, (&own, &others), (&rows, count, &kinds), &mut chance)? {
            *kinds.entry(project.bug.kind).or_default() += 1;
            *units.entry(&page.unit).or_default() += 1;
            keep(made, &project)?;
            made += 1;
        }
        if ran % 10 == 0 {
            eprintln!("{language:?}: {made} projects; {ran} of {closed} functions run alone, of {} looked at", number + 1);
        }
    }
    eprintln!("{language:?}: {made} projects of {wanted}; {ran} of {closed} functions run alone; {kinds:?}");
    Ok(())
}

/// Up to three other functions of the file.
fn neighbours(page: &Page, name: &str, file: &File, chance: &mut Chance) -> Vec<Closed> {
    let mut names: Vec<&String> = page.functions.iter().filter(|other| *other != name).collect();
    chance.shuffle(&mut names);
    let count = chance.below(4);
    names.into_iter().filter_map(|other| file.close(other)).take(count).collect()
}

/// Projects with a bug each of one function.
fn bugged(
    shop: &Shop<'_>,
    page: &Page,
    (own, others): (&Closed, &[Closed]),
    (rows, count, kinds): (&[Row], usize, &BTreeMap<Kind, usize>),
    chance: &mut Chance,
) -> Result<Vec<Made>> {
    let namer = Namer::of(shop.words, shop.split.held());
    let shown = FEWEST_VISIBLE + chance.below(6);
    let (visible, hidden) = rows.split_at(shown.min(rows.len() - FEWEST_HIDDEN));
    let hidden = &hidden[..hidden.len().min(MOST_HIDDEN)];
    // Neighbours may need what is not there; the function alone was seen to run.
    for others in [others, &[]] {
        let scratch = tempfile::tempdir()?;
        let Some(layout) = lay_out(page.language, own, others, &namer, chance) else { continue };
        let visible = test_file(page.language, &layout.place, visible, chance);
        let hidden = test_file(page.language, &layout.place, hidden, chance);
        let bench = Bench { dir: scratch.path(), layout: &layout, visible: &visible, hidden: &hidden };
        if !bench.sound()? {
            continue;
        }
        let bugs = bench.bugs(count, kinds, chance)?;
        let made = bugs.into_iter().map(|bug| {
            let level = wished(LEVELS, chance);
            let mending = mending(&bug);
            let said = Bug { function: &own.name, mending: &mending, passages: &[broken(&layout.passage, &bug)] };
            let templates = if shop.split.held() { &shop.texts.held } else { &shop.texts.train };
            let issue = templates.issue(&said, level, chance);
            (bug, level, issue)
        });
        let made: Vec<(Candidate, Level, String)> = made.collect();
        return Ok(made
            .into_iter()
            .map(|(bug, level, issue)| {
                let (visible, hidden, source) = (visible.clone(), hidden.clone(), page.source.clone());
                Made { layout: layout.clone(), bug, level, issue, source, visible, hidden }
            })
            .collect());
    }
    Ok(Vec::new())
}

fn rows(shop: &Shop<'_>, language: Language, own: &Closed, chance: &mut Chance) -> Vec<Row> {
    let (command, bounds) = match language {
        Language::Python => ("python3 python.py", Bounds { seconds: 20, memory: Some(4 << 20) }),
        Language::JavaScript => ("node javascript.mjs 2>/dev/null", Bounds { seconds: 20, memory: None }),
        _ => return typed::rows(language, own, chance),
    };
    let seed = chance.below(1 << 30);
    let task = json!({ "id": 0, "module": module(language, &own.items), "name": own.name, "seed": seed });
    let ended = run(command, shop.harness, &format!("{task}\n"), bounds);
    let answer: Value = serde_json::from_str(&ended.output).unwrap_or_default();
    let listed = answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    listed
        .iter()
        .filter_map(|row| {
            let outcome = match (row["expected"].as_str(), row["raises"].as_str()) {
                (Some(value), _) => Outcome::Values(vec![value.to_owned()]),
                (_, kind) => Outcome::Raises(kind?.to_owned()),
            };
            Some(Row { call: row["call"].as_str()?.to_owned(), outcome })
        })
        .collect()
}
