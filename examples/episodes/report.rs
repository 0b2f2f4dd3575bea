//! `models/micro/SOURCES.md`: what the data are made from, for whoever reads the model's card.

use crate::pool;
use crate::{Inputs, sources};
use anyhow::Result;
use std::collections::BTreeMap;

/// Prints the table: every source, its version and licence, and how many of its functions each split has.
pub fn sources(inputs: &Inputs) -> Result<()> {
    let listed = sources::listed(&inputs.texts.join("sources.toml"))?;
    let mut counts: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    for page in pool::pages(&inputs.sources, &listed)? {
        counts.entry(page.source).or_default()[page.split as usize] += page.functions.len();
    }
    println!("# Sources of the training data\n");
    println!("Made by `cargo run --release --no-default-features --example episodes -- sources`. A source belongs to one split;");
    println!("the standard libraries are divided by module. Functions that repeat others are not counted.\n");
    println!("| source | version | licence | train | dev | test |");
    println!("|---|---|---|---:|---:|---:|");
    for (registry, names) in &listed {
        for (name, source) in names {
            let [train, dev, test] = counts.get(&format!("{registry}/{name}")).copied().unwrap_or_default();
            println!("| {registry}: {name} | {} | {} | {train} | {dev} | {test} |", source.version, source.licence);
        }
    }
    Ok(())
}
