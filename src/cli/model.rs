//! `agent model`: the models that are on disk.

use crate::boot::{self, Choice, Ground, Local, Otherwise};
use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::models::gguf::{self, Need};
use crate::models::{bundled, installed};
use crate::protocol::exit::Exit;
use crate::units::Bytes;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Model {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the installed models, and the bundled one
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
        let rows = rows(ground);
        let place = ground.places.models.display();
        if json {
            let object = |row: &Row| {
                let path = row.path.as_ref().map(|path| path.to_string_lossy());
                json!({ "name": row.name, "path": path, "bytes": row.size.0, "chosen": row.chosen, "bundled": row.path.is_none() })
            };
            answer::json(&rows.iter().map(object).collect::<Vec<_>>())?;
            return Ok(Exit::Done);
        }
        if rows.iter().all(|row| row.path.is_none()) {
            answer::aside(format!("no models in `{place}`: put GGUF files there, or name one with --model PATH.gguf"));
        }
        let line = |row: &Row| {
            let mark = if row.chosen { "*" } else { " " };
            let note = if row.path.is_none() { "  bundled" } else { "" };
            format!("{mark} {:<48} {:>9}{note}\n", row.name, row.size.spoken())
        };
        answer::text(&rows.iter().map(line).collect::<String>())?;
        Ok(Exit::Done)
    }

    /// Judges the file as the engine would before it loads it. The weights are not read.
    fn show(ground: &Ground, name: &str, json: bool) -> Result<Exit, Failure> {
        let model = boot::named(name, &ground.places).and_then(|model| model.file(&ground.places));
        let file = model.map_err(|e| Failure::of(e.exit(), e))?;
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

/// A model of the list. The bundled one has no path before it is used.
struct Row {
    name: String,
    path: Option<PathBuf>,
    size: Bytes,
    /// Whether a run would use it.
    chosen: bool,
}

fn rows(ground: &Ground) -> Vec<Row> {
    let chosen = match boot::choose(ground, Otherwise::Nothing) {
        Ok(Choice::Llama { model }) => Some(model),
        _ => None,
    };
    let installed = installed::list(&ground.places.models).into_iter().map(|model| Row {
        chosen: chosen == Some(Local::File(model.path.clone())),
        name: model.name,
        path: Some(model.path),
        size: model.size,
    });
    let inside = bundled::size().map(|size| Row {
        name: bundled::NAME.to_owned(),
        path: None,
        size,
        chosen: chosen == Some(Local::Bundled),
    });
    installed.chain(inside).collect()
}
