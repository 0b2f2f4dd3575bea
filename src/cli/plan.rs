//! `agent plan`: the memory plan of a model, without loading it.

use crate::boot::{self, Choice};
use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::planner::wanted::{Device, Size, Wanted};
use crate::protocol::exit::Exit;
use crate::units::Tokens;
use serde_json::Value;

#[derive(Debug, clap::Args)]
pub struct Plan {
    /// Plan for an imaginary device, as GPU0:24GiB or GPU0:24GiB:22GiB (repeatable)
    #[arg(long = "device", value_name = "NAME:SIZE[:FREE]")]
    devices: Vec<Device>,
    /// Plan for a host with this much memory instead of this one
    #[arg(long, value_name = "SIZE")]
    host_memory: Option<Size>,
    /// The smallest window worth having, in tokens
    #[arg(long, value_name = "N")]
    min_ctx: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Plan {
    /// Prints the plan for the model that a run would use.
    pub fn run(self, globals: Globals) -> Result<Exit, Failure> {
        let ground = globals.ground(Vec::new())?;
        let Choice::Llama { model } = boot::choose(&ground).map_err(|e| Failure::of(Exit::Engine, e))? else {
            return Err(Failure::misuse("a plan is made for a model on this machine", "name a file with `--model PATH.gguf`"));
        };
        let wanted =
            Wanted { devices: self.devices, host_memory: self.host_memory.map(|size| size.0), min_ctx: self.min_ctx.map(Tokens) };
        let plan = boot::plan(&ground, &model, &wanted).map_err(|e| Failure::of(Exit::Engine, e))?;
        if self.json {
            answer::json(&plan)?;
        } else {
            answer::line(&in_words(&plan))?;
        }
        Ok(Exit::Done)
    }
}

/// One line for each field, sections of the plan indented below their name.
fn in_words(plan: &Value) -> String {
    let mut lines = Vec::new();
    for (name, value) in plan.as_object().into_iter().flatten() {
        match value {
            Value::Object(fields) => {
                lines.push(name.clone());
                lines.extend(fields.iter().map(|(field, value)| format!("  {field:<24} {value}")));
            }
            Value::Array(items) => {
                lines.push(name.clone());
                lines.extend(
                    items.iter().map(|item| format!("  {}", item.as_str().map_or_else(|| item.to_string(), str::to_owned))),
                );
            }
            value => lines.push(format!("{name:<26} {value}")),
        }
    }
    lines.join("\n")
}
