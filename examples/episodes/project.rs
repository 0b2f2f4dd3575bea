//! Projects whose tests fail because of one line of a real function: what ranked repair is measured on.
//!
//! A project is one module, the function among a few others of its file, tests of what it did before the bug, and an issue. A
//! second set of tests lies beside it, which nobody sees who mends it.

mod bounded;
mod bugs;
mod closure;
mod generate;
mod inputs;
mod keep;
mod layout;
pub mod outcomes;
mod rows;
mod typed;

use crate::Inputs;
use crate::issue::texts;
use crate::naming::words;
use crate::pool::Split;
use crate::project::generate::{Shop, Stock, pages, projects};
use crate::sources::listed;
use agent::repo::syntax::Language;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::thread;

/// What `projects` takes.
#[derive(clap::Args)]
pub struct Projects {
    #[command(flatten)]
    inputs: Inputs,
    /// Where the projects go: DIR/001 and on, with gaps where a language had too few. It must not be there yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[arg(long, value_enum, default_value = "dev")]
    split: Split,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many of Python, JavaScript, Rust and Go
    #[arg(long, num_args = 4, value_names = ["PYTHON", "JAVASCRIPT", "RUST", "GO"], default_values_t = [120, 60, 35, 25])]
    count: Vec<usize>,
}

/// Makes the projects, the languages side by side.
pub fn run(args: &Projects) -> Result<()> {
    let Inputs { sources, texts: lists } = &args.inputs;
    let (in_splits, held) = (listed(&lists.join("sources.toml"))?, listed(&lists.join("held.toml"))?);
    let (words, texts) = (words(&lists.join("words.toml"))?, texts(&lists.join("issues.toml"))?);
    std::fs::create_dir(&args.out).with_context(|| format!("cannot make `{}`", args.out.display()))?;
    let pages = pages(&Stock { folder: sources, listed: &in_splits, held: &held }, args.split)?;
    eprintln!("{} files, {} functions", pages.len(), pages.iter().map(|page| page.functions.len()).sum::<usize>());
    let harness = lists.join("harness");
    let shop = Shop { split: args.split, seed: args.seed, words: &words, texts: &texts, harness: &harness };
    let languages = [Language::Python, Language::JavaScript, Language::Rust, Language::Go];
    // Each language has its own numbers, so that what is made is kept at once, whichever comes first.
    let first = |at: usize| 1 + args.count[..at].iter().sum::<usize>();
    thread::scope(|scope| {
        let (shop, pages) = (&shop, &pages);
        let running: Vec<_> = languages
            .into_iter()
            .zip(&args.count)
            .enumerate()
            .map(|(at, (language, count))| {
                let first = first(at);
                let keep = move |number, made: &_| keep::keep(&args.out.join(format!("{:03}", first + number)), made);
                scope.spawn(move || projects(shop, pages, (language, *count), keep))
            })
            .collect();
        running.into_iter().try_for_each(|one| one.join().expect("a thread that panicked has said why"))
    })
}
