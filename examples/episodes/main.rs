//! Makes training data for the micro model from fetched sources: `cargo run --release --no-default-features --example episodes --
//! rank --split train --count 10000 --sources CACHE --out train-0.jsonl`. The same arguments give the same bytes.

mod chance;
mod functions;
mod issue;
mod naming;
mod oracle;
mod pool;
mod project;
mod rank;
mod report;
mod sources;
mod stage;
mod tally;

use crate::pool::Split;
use agent::tools::Toolbox;
use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bugs in real functions, and all candidates that might mend them.
    Rank(Ranks),
    /// Whole episodes of the loop, played by an engine that knows the bug.
    Episodes(Ranks),
    /// Small projects whose tests fail because of one line.
    Projects(project::Projects),
    /// Every candidate of such projects, tried.
    Outcomes(project::outcomes::Outcomes),
    /// The table of sources for people.
    Sources(Inputs),
}

/// Where sources and words are.
#[derive(Args)]
struct Inputs {
    /// The folder that `fetch.py` filled.
    #[arg(long)]
    sources: PathBuf,
    /// The folder with `sources.toml`, `issues.toml` and `words.toml`.
    #[arg(long, default_value = "models/micro")]
    texts: PathBuf,
}

#[derive(Args)]
struct Ranks {
    #[command(flatten)]
    inputs: Inputs,
    #[arg(long, value_enum)]
    split: Split,
    /// How many examples.
    #[arg(long)]
    count: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The file; with `--shard`, what stands before `-0.jsonl`.
    #[arg(long)]
    out: PathBuf,
    /// A new file after that many examples.
    #[arg(long)]
    shard: Option<usize>,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Rank(ranks) => rank(&ranks),
        Command::Episodes(ranks) => episodes(&ranks),
        Command::Projects(projects) => project::run(&projects),
        Command::Outcomes(outcomes) => project::outcomes::run(&outcomes),
        Command::Sources(inputs) => report::sources(&inputs),
    }
}

fn rank(ranks: &Ranks) -> Result<()> {
    let material = Material::load(ranks)?;
    for (language, functions) in material.pool.languages() {
        println!("{language:?}: {functions} functions");
    }
    let maker = material.maker(ranks);
    let mut tally = tally::Tally::default();
    write(ranks, |number| {
        let example = maker.example(number, &mut tally);
        example.iter().for_each(|example| tally.written(example));
        Ok(example)
    })?;
    println!("{tally}");
    Ok(())
}

fn episodes(ranks: &Ranks) -> Result<()> {
    let material = Material::load(ranks)?;
    let theatre = oracle::Theatre {
        maker: material.maker(ranks),
        toolbox: Arc::new(Toolbox::builtin()),
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
    };
    let mut tried = 0;
    write(ranks, |number| {
        tried += 1;
        theatre.episode(number)
    })?;
    println!("{} of {tried} were kept", ranks.count);
    Ok(())
}

/// What examples are made from.
struct Material {
    texts: issue::Texts,
    words: naming::Words,
    pool: pool::Pool,
}

impl Material {
    fn load(ranks: &Ranks) -> Result<Self> {
        let listed = sources::listed(&ranks.inputs.texts.join("sources.toml"))?;
        Ok(Self {
            texts: issue::texts(&ranks.inputs.texts.join("issues.toml"))?,
            words: naming::words(&ranks.inputs.texts.join("words.toml"))?,
            pool: pool::load(&ranks.inputs.sources, &listed, ranks.split)?,
        })
    }

    fn maker(&self, ranks: &Ranks) -> rank::Maker<'_> {
        rank::Maker { pool: &self.pool, texts: &self.texts, words: &self.words, split: ranks.split, seed: ranks.seed }
    }
}

/// Writes as many examples as wished for, by their numbers; a number without one is passed over.
fn write<T: Serialize>(ranks: &Ranks, mut example: impl FnMut(usize) -> Result<Option<T>>) -> Result<()> {
    // A wish that cannot be met leaves a gap in the numbers, not in the data.
    let mut number = 0;
    let shard = ranks.shard.unwrap_or(ranks.count).max(1);
    for first in (0..ranks.count).step_by(shard) {
        let path = match ranks.shard {
            Some(_) => PathBuf::from(format!("{}-{}.jsonl", ranks.out.display(), first / shard)),
            None => ranks.out.clone(),
        };
        // Under another name until it is whole: a trainer may be watching.
        let partial = path.with_extension("partial");
        let mut out = BufWriter::new(File::create(&partial).with_context(|| format!("cannot write `{}`", partial.display()))?);
        let mut left = ranks.count.min(first + shard) - first;
        while left > 0 {
            if let Some(example) = example(number)? {
                serde_json::to_writer(&mut out, &example)?;
                out.write_all(b"\n")?;
                left -= 1;
            }
            number += 1;
        }
        out.flush()?;
        std::fs::rename(&partial, &path)?;
        println!("{}", path.display());
    }
    Ok(())
}
