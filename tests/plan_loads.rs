//! What is planned is loaded, for real, on imaginary accelerators whose memory is capped: their kernels are the processor's,
//! and an allocation beyond what is free fails.
#![cfg(feature = "llama")]

mod support;

use agent::engine::backend::LoadOptions;
use agent::engine::embedded::Embedded;
use agent::engine::llama::Machine;
use agent::engine::memory::{Host, Imaginary};
use agent::models::gguf::{self, Need};
use agent::planner::shape::Shape;
use agent::planner::{Plan, PlanError, Request, plan};
use agent::units::{Bytes, Tokens};
use std::path::{Path, PathBuf};
use support::gguf::{Arch, CHATML, Gguf, Weights};

const MIB: u64 = 1 << 20;

fn imagined(free: &[u64]) -> Vec<Imaginary> {
    let each = free.iter().enumerate();
    each.map(|(i, free)| Imaginary { name: format!("GPU{i}"), total: Bytes(512 * MIB), free: Bytes(*free) }).collect()
}

fn planned(model: &Path, machine: &mut Machine, asked: &LoadOptions, least: Option<u32>) -> Result<Plan, PlanError> {
    let shape = Shape::of(&gguf::check(model, Need::Weights).unwrap());
    let host = Host { total: Bytes(4 << 30), available: Bytes(4 << 30) };
    plan(shape, host, &Request { least: least.map(Tokens), ..Request::of(asked) }, machine)
}

fn models(folder: &Path) -> Vec<PathBuf> {
    let all = Arch::ALL.map(Gguf::new).into_iter().enumerate();
    let written = all.map(|(i, model)| {
        let path = folder.join(format!("{i}.gguf"));
        model.layers(6).embd(128).ffn(512).context(16_384).weights(Weights::F16).template(CHATML).write(&path);
        path
    });
    written.collect()
}

/// Numbers that look random and are the same each time.
fn numbers() -> impl FnMut(u64) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

#[test]
fn no_plan_runs_out_of_memory_also_where_memory_went_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let models = models(folder.path());
    let mut next = numbers();
    let (mut loaded, mut smaller, mut none) = (0, 0, 0);
    for _ in 0..200 {
        let model = &models[next(models.len() as u64) as usize];
        let free: Vec<u64> = (0..1 + next(2)).map(|_| next(48 * MIB)).collect();
        let asked =
            LoadOptions { threads: Some(1), n_ctx: (next(3) == 0).then(|| 512 + next(8192) as u32), ..LoadOptions::of(model) };
        let mut machine = Machine::with(&imagined(&free)).unwrap();
        let Ok(before) = planned(model, &mut machine, &asked, None) else {
            none += 1;
            continue;
        };
        // Others take memory between the plan and the load: what is loaded is planned from what is free then.
        let left: Vec<u64> = free.iter().map(|free| if next(3) == 0 { free / 2 } else { *free }).collect();
        let mut machine = Machine::with(&imagined(&left)).unwrap();
        let Ok(plan) = planned(model, &mut machine, &asked, None) else {
            none += 1;
            continue;
        };
        smaller += u32::from(plan.options != before.options);
        let engine = Embedded::load_on(machine, &plan.options, &mut |_| {});
        let mut engine = engine.unwrap_or_else(|e| panic!("{e}: {left:?} for {:?}", plan.options));
        let taken = engine.taken().unwrap();
        for (planned, taken) in plan.trial.devices.iter().zip(&taken.devices) {
            assert_eq!((planned.weights, planned.kv), (taken.weights, taken.kv), "{:?}", plan.options);
            // Of several devices, each one's graph is cut anew when buffers are there: little is added, some is saved.
            let more = taken.need().0 as f64 / planned.need().0 as f64 - 1.0;
            assert!(more <= 0.01 || planned.need().0 == 0, "{taken:?} for {planned:?}: {:?}", plan.options);
            let alone = plan.trial.devices.len() == 1;
            assert!(!alone || taken.compute == planned.compute, "{taken:?} for {planned:?}: {:?}", plan.options);
        }
        loaded += 1;
    }
    eprintln!("{loaded} loads, {smaller} of them otherwise than planned at first; {none} times nothing fitted");
    assert!(loaded > 100, "{loaded}");
}
