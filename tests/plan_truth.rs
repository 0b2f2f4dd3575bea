//! The closed form against what llama.cpp's allocator said about real models, and against claims that were published.
//!
//! The figures stand outside the package: where they are absent, these tests say so and pass.

#[path = "support/shapes.rs"]
mod shapes;

use agent::engine::backend::LoadOptions;
use agent::engine::memory::{Device, Trial};
use agent::planner::closed::{Reckoned, Settings};
use agent::planner::placement::{Placement, by_free};
use agent::planner::shape::Shape;
use agent::units::Bytes;
use serde_json::Value;
use shapes::Dimensions;
use std::collections::BTreeMap;
use std::path::Path;

fn data(name: &str) -> Option<String> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let text = above.map(|dir| dir.join("shared/data").join(name)).find_map(|path| std::fs::read_to_string(path).ok());
    if text.is_none() {
        eprintln!("SKIPPED: needs shared/data/{name} beside the package");
    }
    text
}

fn device(name: String, kind: &str, free: u64) -> Device {
    Device { name, kind: kind.into(), description: String::new(), total: Bytes(free), free: Bytes(free) }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// What the closed form says for one row.
fn reckoned(row: &Value, shape: &Shape) -> Trial {
    let gpus = row["gpus_mib"].as_array().unwrap().iter().enumerate();
    let devices: Vec<Device> = gpus.map(|(i, mib)| device(format!("GPU{i}"), "gpu", number(mib) << 20)).collect();
    let layers = row["n_gpu_layers"].as_i64().unwrap() as i32;
    let placement = Placement::by_split(shape, layers, &by_free(&devices));
    let kv = row["kv"].as_str().map(str::to_owned);
    let options = LoadOptions {
        n_ctx: Some(number(&row["n_ctx"]) as u32),
        n_ubatch: Some(number(&row["n_ubatch"]) as u32),
        n_outputs: Some(number(&row["n_batch"]) as u32),
        type_k: kv.clone(),
        type_v: kv,
        flash_attn: row["flash_attn"].as_bool(),
        swa_full: row["swa_full"].as_bool(),
        ..LoadOptions::of(Path::new("m.gguf"))
    };
    let anatomy = shape.anatomy.as_ref().unwrap_or_else(|| panic!("{} has no anatomy", shape.arch));
    Reckoned::of(anatomy, Settings::of(&options).unwrap()).trial(&placement, &devices, device("CPU".into(), "cpu", 0))
}

fn percent(ours: u64, theirs: u64) -> f64 {
    (ours as f64 / (theirs as f64).max(1.0) - 1.0) * 100.0
}

#[test]
fn the_closed_form_agrees_with_the_allocator() {
    let (Some(rows), Some(models)) = (data("memory-truth.jsonl"), data("models.json")) else { return };
    let models: Value = serde_json::from_str(&models).unwrap();
    let mut shapes: BTreeMap<(String, String), Shape> = BTreeMap::new();
    let (mut compared, mut worst_held, mut worst_all, mut worst_device) = (0, 0.0_f64, 0.0_f64, 0.0_f64);
    for row in rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let (model, quant) = (row["model"].as_str().unwrap(), row["quant"].as_str().unwrap());
        let shape =
            shapes.entry((model.into(), quant.into())).or_insert_with(|| Shape::of(&Dimensions(&models[model]).header(quant)));
        let trial = reckoned(&row, shape);
        let (mut ours, mut theirs) = (0, 0);
        for share in trial.devices.iter().chain([&trial.host]) {
            let truth = &row["buffers"][&share.device.name];
            let held = number(&truth["model"]) + number(&truth["context"]);
            let off = percent((share.weights + share.kv).0, held);
            assert!(off.abs() <= 0.05 || held == 0, "{off:.4} % of {} in {row}", share.device.name);
            worst_held = worst_held.max(off.abs());
            if share.device.kind == "gpu" {
                let total = held + number(&truth["compute"]);
                worst_device = worst_device.max(percent(share.need().0, total).abs());
                (ours, theirs) = (ours + share.need().0, theirs + total);
            }
        }
        let off = percent(ours, theirs);
        assert!(off.abs() <= 3.0, "{off:.2} % of the devices' memory in {row}");
        worst_all = worst_all.max(off.abs());
        compared += 1;
    }
    eprintln!("{compared} rows: weights and cache {worst_held:.4} %, all devices {worst_all:.2} %, any one {worst_device:.2} %");
    assert!(compared > 300, "{compared}");
}

/// What a claim is judged by.
struct Judged {
    size_gb: f64,
    total_gib: f64,
    /// Tokens per second that the bandwidth allows.
    bound: f64,
}

/// A gap of this much between a claimed size and the real one is a wrong claim.
const SIZE: f64 = 0.05;
/// A claimed speed of less than this part of what the bandwidth allows is too low.
const SLOW: f64 = 0.4;

fn judge(claim: &Value, shape: &Shape, all: &Value) -> Judged {
    let anatomy = shape.anatomy.as_ref().unwrap();
    // Where a claim names no window, a conversation that has begun is meant.
    let window = claim["ctx"].as_u64().unwrap_or(2048) as u32;
    let options = LoadOptions { n_ctx: Some(window), n_outputs: Some(1), ..LoadOptions::of(Path::new("m.gguf")) };
    let reckoned = Reckoned::of(anatomy, Settings::of(&options).unwrap());
    let gpu = [device("GPU0".into(), "gpu", 0)];
    let trial = reckoned.trial(&Placement::by_split(shape, -1, &[1.0]), &gpu, device("CPU".into(), "cpu", 0));
    let share = &trial.devices[0];
    let used = if anatomy.of > 0 { anatomy.used as f64 / anatomy.of as f64 } else { 1.0 };
    let experts: f64 = anatomy.layers.iter().map(|layer| layer.experts.0 as f64).sum();
    let read = (share.weights.0 as f64 - experts) + experts * used + share.kv.0 as f64;
    let bandwidth = claim["card"].as_str().and_then(|card| all["bandwidth_gb_s"][card].as_f64()).unwrap_or(0.0) * 1e9;
    let total_gib = (share.need().0 as f64) / f64::from(1 << 30) + all["overhead_assumed_gib"].as_f64().unwrap();
    // What does not fit is read over the bus, at the speed of the host.
    let spilled = (total_gib - memory(claim).unwrap_or(f64::MAX)).max(0.0) * f64::from(1 << 30);
    let spilled = (spilled / share.need().0 as f64).min(1.0) * read;
    let host = all["spill_host_gb_s"].as_f64().unwrap() * 1e9;
    Judged { size_gb: shape.file.0 as f64 / 1e9, total_gib, bound: 1.0 / ((read - spilled) / bandwidth + spilled / host) }
}

/// The memory of the card that a claim names, in GiB.
fn memory(claim: &Value) -> Option<f64> {
    let named = || claim["card"].as_str()?.split_once("GB")?.0.rsplit(' ').next()?.parse().ok();
    claim["vram_gb"].as_f64().or_else(named)
}

fn disagreements(claim: &Value, judged: &Judged) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(claimed) = claim["claimed_size_gb"].as_f64() {
        let off = claimed / judged.size_gb - 1.0;
        if off.abs() > SIZE {
            found.push(format!("the file has {:.2} GB, not {claimed}", judged.size_gb));
        }
    }
    if let Some(claimed) = claim["claimed_vram_gb"].as_f64()
        && judged.total_gib > claimed * 1.1
    {
        found.push(format!("it takes {:.1} GiB, not {claimed}", judged.total_gib));
    }
    if let (Some(claimed), Some(room)) = (claim["fits_claimed"].as_bool(), memory(claim))
        && claimed != (judged.total_gib <= room)
    {
        found.push(format!("it takes {:.1} of {room} GiB", judged.total_gib));
    }
    if let (Some(low), Some(high)) = (claim["claimed_tps"][0].as_f64(), claim["claimed_tps"][1].as_f64()) {
        if high > judged.bound {
            found.push(format!("{high} tokens a second are more than memory gives, {:.0}", judged.bound));
        } else if high < SLOW * judged.bound {
            found.push(format!("{low}-{high} tokens a second are too few for {:.0}", judged.bound));
        }
    }
    found
}

#[test]
fn published_claims_get_the_computed_verdict() {
    let (Some(claims), Some(models)) = (data("published-claims.json"), data("models.json")) else { return };
    let (all, models): (Value, Value) = (serde_json::from_str(&claims).unwrap(), serde_json::from_str(&models).unwrap());
    let (mut compared, mut unknown, mut wrong) = (0, 0, Vec::new());
    for claim in all["claims"].as_array().unwrap() {
        let (model, quant) = (claim["model"].as_str().unwrap_or_default(), claim["quant"].as_str().unwrap_or_default());
        if models[model].is_null() {
            unknown += 1;
            continue;
        }
        compared += 1;
        let judged = judge(claim, &Shape::of(&Dimensions(&models[model]).header(quant)), &all);
        let found = disagreements(claim, &judged);
        let verdict = if found.is_empty() { "agree" } else { "disagree" };
        if verdict != claim["verdict"] {
            wrong.push(format!("{} {model} {quant}: {found:?}, and {}", claim["quote"], claim["disagreements"]));
        }
        // Of the files as they are pulled; what a converted one would take is another question.
        let as_pulled = claim["claimed_vram_gb"].is_null();
        if let (Some(fits), Some(room)) = (claim["fits_computed"].as_bool().filter(|_| as_pulled), memory(claim))
            && fits != (judged.total_gib <= room)
        {
            wrong.push(format!("{} takes {:.2} of {room} GiB, and {}", claim["quote"], judged.total_gib, claim["computed"]));
        }
    }
    eprintln!("{compared} claims compared, {unknown} about models of which no dimensions are at hand");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared >= 70, "{compared}");
}
