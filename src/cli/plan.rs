//! `agent plan`: the memory plan of a model, without loading it.

use crate::boot::{self, Choice, Ground, Otherwise};
use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::cli::prompt;
use crate::context::budget;
use crate::planner::report::{Budget, Report};
use crate::planner::wanted::{Device, Size, Wanted};
use crate::protocol::exit::Exit;
use crate::units::{Bytes, Tokens};
use std::fmt::Write;
use std::path::Path;

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
        let Choice::Llama { model } = boot::choose(&ground, Otherwise::Nothing).map_err(|e| Failure::of(Exit::Engine, e))? else {
            return Err(Failure::misuse("a plan is made for a model on this machine", "name a file with `--model PATH.gguf`"));
        };
        let model = model.file(&ground.places).map_err(|e| Failure::of(e.exit(), e))?;
        let wanted = Wanted {
            devices: self.devices,
            host_memory: self.host_memory.map(|size| size.0),
            min_ctx: self.min_ctx.map(Tokens),
            ..Wanted::default()
        };
        let mut plan = boot::plan(&ground, &model, &wanted).map_err(|e| Failure::of(e.exit(), e))?;
        let (budget, exact) = divide(&ground, &model, plan.window())?;
        if !exact {
            plan.why.push("The file has no tokenizer to count with: the budget is an estimate.".into());
        }
        let report = Report::of(plan, budget);
        if self.json {
            answer::json(&report)?;
        } else {
            answer::text(&in_words(&report))?;
        }
        Ok(Exit::Done)
    }
}

/// Divides a window as a chat would: what it begins with, what is kept for an answer, and the rest.
fn divide(ground: &Ground, model: &Path, window: Tokens) -> Result<(Budget, bool), Failure> {
    let (counts, exact) = prompt::counts(ground, model, window)?;
    let answer = boot::generation(&ground.resolved.settings).max_tokens;
    let reserve = budget::Budget::new(Some(window), answer).reserve();
    // What the template puts around the parts is said in front, with the system prompt.
    let system = counts.total - counts.tools - counts.environment;
    Ok((Budget::divide(window, system, counts.tools, counts.environment, reserve), exact))
}

/// The plan for a person: why, then the figures.
fn in_words(report: &Report) -> String {
    let Report { model, plan, memory, budget, why, .. } = report;
    let mut text = format!("{} ({}, {} layers)\n", model.name, model.arch, model.layers);
    for sentence in why {
        let _ = writeln!(text, "  {sentence}");
    }
    let mib = |bytes: Bytes| bytes.0.div_ceil(1 << 20);
    let _ = writeln!(text, "memory, MiB   {:>8} {:>8} {:>8} {:>8} {:>10}", "weights", "cache", "compute", "total", "free after");
    for row in memory {
        let (weights, kv, compute, total, free) =
            (mib(row.weights), mib(row.kv), mib(row.compute), mib(row.total), row.free_after.0 >> 20);
        let _ = writeln!(text, "  {:<11} {weights:>8} {kv:>8} {compute:>8} {total:>8} {free:>10}", row.device);
    }
    let Budget { window, system, tools, environment, map, reserve, conversation } = budget;
    let _ = writeln!(
        text,
        "window        {window} tokens: system {system}, tools {tools}, environment {environment}, map {map}, answer {reserve}, conversation {conversation}"
    );
    let _ = writeln!(
        text,
        "as pins       n_gpu_layers={} n_batch={} n_ubatch={} flash_attn={} swa_full={} kv_type_k={} kv_type_v={} tensor_split={:?} expert_layers_on_cpu={:?}",
        plan.n_gpu_layers,
        plan.n_batch,
        plan.n_ubatch,
        plan.flash_attn,
        plan.swa_full,
        plan.kv_type_k,
        plan.kv_type_v,
        plan.tensor_split,
        plan.expert_layers_on_cpu
    );
    text
}
