//! `agent model`: the models that are on disk.

use crate::boot::{self, Choice, Ground};
use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::models::gguf::{self, Need};
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
    /// Say what a model's file says about itself, and whether it can be used
    Show {
        /// A GGUF file, or the name of an installed model
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Model {
    pub fn run(self, globals: Globals) -> Result<Exit, Failure> {
        let ground = globals.ground(Vec::new())?;
        match self.command {
            Command::List { json } => Self::list(&ground, json),
            Command::Show { name, json } => Self::show(&ground, &name, json),
        }
    }

    fn list(ground: &Ground, json: bool) -> Result<Exit, Failure> {
        let models = installed::list(&ground.places.models);
        let chosen = boot::choose(ground).ok();
        let is_chosen =
            |model: &installed::Installed| matches!(&chosen, Some(Choice::Llama { model: path }) if *path == model.path);
        if json {
            let list: Vec<_> = models
                .iter()
                .map(|m| json!({ "name": m.name, "path": m.path.to_string_lossy(), "bytes": m.size.0, "chosen": is_chosen(m) }))
                .collect();
            answer::json(&list)?;
        } else if models.is_empty() {
            let place = ground.places.models.display();
            answer::aside(format!("no models in `{place}`: put GGUF files there, or name one with --model PATH.gguf"));
        } else {
            let line = |m: &installed::Installed| {
                let mark = if is_chosen(m) { "*" } else { " " };
                format!("{mark} {:<48} {:>8.2} GiB\n", m.name, m.size.0 as f64 / f64::from(1 << 30))
            };
            answer::text(&models.iter().map(line).collect::<String>())?;
        }
        Ok(Exit::Done)
    }

    /// Judges the file as the engine would before it loads it. The weights are not read.
    fn show(ground: &Ground, name: &str, json: bool) -> Result<Exit, Failure> {
        let file = boot::named(name, &ground.places).map_err(|e| Failure::of(e.exit(), e))?;
        let header = gguf::check(&file, Need::Weights).map_err(|e| Failure::of(Exit::Engine, e))?;
        let bytes: u64 = header.file_size + header.parts.iter().map(|(_, size)| size.0).sum::<u64>();
        let shown = json!({
            "name": header.name(),
            "path": file.to_string_lossy(),
            "bytes": bytes,
            "arch": header.arch(),
            "quant": header.quant(),
            "layers": header.layers(),
            "ctx_train": header.trained_context(),
        });
        if json {
            answer::json(&shown)?;
        } else {
            let lines = shown.as_object().into_iter().flatten();
            let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            answer::text(&lines.map(|(name, value)| format!("{name:<10} {}\n", text(value))).collect::<String>())?;
        }
        Ok(Exit::Done)
    }
}
