//! Makes training data for the micro model from fetched sources: `cargo run --release --no-default-features --example episodes --
//! rank --split train --count 10000 --sources CACHE --out train-0.jsonl`. The same arguments give the same bytes.

mod chance;
mod functions;
mod issue;
mod naming;
mod oracle;
mod pool;
mod rank;
mod report;
mod sources;
mod stage;
mod tally;

use crate::pool::Split;
use agent::tools::Toolbox;
use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
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
        Command::Sources(inputs) => report::sources(&inputs),
    }
}

fn rank(ranks: &Ranks) -> Result<()> {
    let listed = sources::listed(&ranks.inputs.texts.join("sources.toml"))?;
    let texts = issue::texts(&ranks.inputs.texts.join("issues.toml"))?;
    let words = naming::words(&ranks.inputs.texts.join("words.toml"))?;
    let pool = pool::load(&ranks.inputs.sources, &listed, ranks.split)?;
    for (language, functions) in pool.languages() {
        println!("{language:?}: {functions} functions");
    }
    let maker = rank::Maker { pool: &pool, texts: &texts, words: &words, split: ranks.split, seed: ranks.seed };
    let mut tally = tally::Tally::default();
    // A wish that cannot be met leaves a gap in the numbers, not in the data.
    let mut examples = 0..;
    let shard = ranks.shard.unwrap_or(ranks.count).max(1);
    for first in (0..ranks.count).step_by(shard) {
        let path = match ranks.shard {
            Some(_) => PathBuf::from(format!("{}-{}.jsonl", ranks.out.display(), first / shard)),
            None => ranks.out.clone(),
        };
        // Under another name until it is whole: a trainer may be watching.
        let partial = path.with_extension("partial");
        let mut out = BufWriter::new(File::create(&partial).with_context(|| format!("cannot write `{}`", partial.display()))?);
        for _ in first..ranks.count.min(first + shard) {
            let example =
                examples.by_ref().find_map(|number| maker.example(number, &mut tally)).context("the numbers ran out")?;
            tally.written(&example);
            serde_json::to_writer(&mut out, &example)?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
        std::fs::rename(&partial, &path)?;
        println!("{}", path.display());
    }
    println!("{tally}");
    Ok(())
}

fn episodes(ranks: &Ranks) -> Result<()> {
    let listed = sources::listed(&ranks.inputs.texts.join("sources.toml"))?;
    let texts = issue::texts(&ranks.inputs.texts.join("issues.toml"))?;
    let words = naming::words(&ranks.inputs.texts.join("words.toml"))?;
    let pool = pool::load(&ranks.inputs.sources, &listed, ranks.split)?;
    let theatre = oracle::Theatre {
        maker: rank::Maker { pool: &pool, texts: &texts, words: &words, split: ranks.split, seed: ranks.seed },
        toolbox: Arc::new(Toolbox::builtin()),
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
    };
    let partial = ranks.out.with_extension("partial");
    let mut out = BufWriter::new(File::create(&partial).with_context(|| format!("cannot write `{}`", partial.display()))?);
    let (mut written, mut tried) = (0, 0);
    while written < ranks.count {
        if let Some(episode) = theatre.episode(tried)? {
            serde_json::to_writer(&mut out, &episode)?;
            out.write_all(b"\n")?;
            written += 1;
        }
        tried += 1;
    }
    out.flush()?;
    std::fs::rename(&partial, &ranks.out)?;
    println!("{written} of {tried} in {}", ranks.out.display());
    Ok(())
}
