//! `agent model`: the models that are on disk.

use crate::boot::{self, Choice};
use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::models::installed;
use crate::protocol::exit::Exit;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Model {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the installed models
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Model {
    pub fn run(self, globals: Globals) -> Result<Exit, Failure> {
        let ground = globals.ground(Vec::new())?;
        let Command::List { json } = self.command;
        let models = installed::list(&ground.places.models);
        let chosen = boot::choose(&ground).ok();
        let is_chosen =
            |model: &installed::Installed| matches!(&chosen, Some(Choice::Llama { model: path }) if *path == model.path);
        if json {
            let list: Vec<_> = models
                .iter()
                .map(|m| json!({ "name": m.name, "path": m.path, "bytes": m.size.0, "chosen": is_chosen(m) }))
                .collect();
            answer::json(&list)?;
        } else if models.is_empty() {
            eprintln!(
                "no models in `{}`: put GGUF files there, or name one with --model PATH.gguf",
                ground.places.models.display()
            );
        } else {
            let line = |m: &installed::Installed| {
                let mark = if is_chosen(m) { "*" } else { " " };
                format!("{mark} {:<48} {:>8.2} GiB\n", m.name, m.size.0 as f64 / f64::from(1 << 30))
            };
            answer::text(&models.iter().map(line).collect::<String>())?;
        }
        Ok(Exit::Done)
    }
}
