//! Plans on an allocator in closed form: choices, pins, what is never exceeded.

use crate::engine::EngineError;
use crate::engine::backend::LoadOptions;
use crate::engine::memory::{Allocator, Device, Fit, Host, Share, Trial};
use crate::planner::report::{Budget, Report};
use crate::planner::room::usable;
use crate::planner::search::Windows;
use crate::planner::shape::Shape;
use crate::planner::{Plan, PlanError, Request, plan};
use crate::units::{Bytes, Layers, Tokens};
use proptest::prelude::*;
use std::path::Path;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// An allocator by a closed form, with a greedy fit: what llama.cpp does, in miniature.
#[derive(Clone, Debug)]
struct Closed {
    layers: u32,
    /// A layer's weights without experts, and its experts.
    dense: u64,
    experts: u64,
    /// Of one layer and one token.
    kv: u64,
    compute: u64,
    free: Vec<u64>,
    trials: usize,
    /// How many bytes more a trial finds than the fit reckoned with.
    surprise: u64,
}

impl Closed {
    fn shape(&self) -> Shape {
        Shape {
            name: "m".into(),
            arch: "qwen3moe".into(),
            layers: Layers(self.layers),
            experts: if self.experts > 0 { 8 } else { 0 },
            expert_layers: (0..self.layers).filter(|_| self.experts > 0).collect(),
            file: Bytes(self.file()),
            trained: Tokens(262_144),
            anatomy: None,
        }
    }

    fn file(&self) -> u64 {
        u64::from(self.layers + 1) * self.dense + u64::from(self.layers) * self.experts
    }

    fn measured(&self, options: &LoadOptions, extra: u64) -> Trial {
        let share = |name: String, kind: &str, free: u64| Share {
            device: Device { name, kind: kind.into(), description: String::new(), total: Bytes(free), free: Bytes(free) },
            weights: Bytes::ZERO,
            kv: Bytes::ZERO,
            compute: Bytes::ZERO,
        };
        let mut devices: Vec<Share> =
            self.free.iter().enumerate().map(|(i, free)| share(format!("GPU{i}"), "gpu", *free)).collect();
        let mut host = share("CPU".into(), "cpu", 0);
        let window = u64::from(options.n_ctx.unwrap());
        let slots = self.layers + 1;
        let placed =
            if devices.is_empty() { 0 } else { options.n_gpu_layers.map_or(slots, |n| u32::try_from(n).unwrap_or(slots)) };
        let split: Vec<f32> = options.tensor_split.clone().unwrap_or_else(|| self.free.iter().map(|f| *f as f32).collect());
        for slot in 0..slots {
            let home = (slot + placed >= slots).then(|| {
                let at = (slot + placed - slots) as f32 / placed as f32;
                let total: f32 = split.iter().sum();
                split
                    .iter()
                    .scan(0.0, |sum, part| Some(*sum + part).inspect(|s| *sum = *s))
                    .position(|end| end / total > at)
                    .unwrap()
            });
            let experts = if slot < self.layers { self.experts } else { 0 };
            let (there, here) = if options.host_experts.contains(&slot) { (0, experts) } else { (experts, 0) };
            let cache = if slot < self.layers { self.kv * window } else { 0 };
            let home = home.map_or(&mut host, |device| &mut devices[device]);
            home.weights += Bytes(self.dense + there);
            home.kv += Bytes(cache);
            home.compute = Bytes(self.compute + extra);
            host.weights += Bytes(here);
        }
        // Large batches of what stays on the host are computed on the first device.
        if options.offload != Some(false)
            && placed < slots
            && let Some(first) = devices.first_mut()
        {
            first.compute = Bytes(self.compute + extra);
        }
        Trial { flash_attn: true, devices, host }
    }
}

impl Allocator for Closed {
    fn devices(&mut self) -> Result<Vec<Device>, EngineError> {
        let nothing = LoadOptions { n_ctx: Some(256), n_gpu_layers: Some(0), ..open() };
        Ok(self.measured(&nothing, 0).devices.into_iter().map(|share| share.device).collect())
    }

    fn trial(&mut self, options: &LoadOptions) -> Result<Trial, EngineError> {
        self.trials += 1;
        Ok(self.measured(options, self.surprise))
    }

    /// Fills devices from the last to the first; experts go to the host wherever the model does not fit whole.
    fn fit(&mut self, options: &LoadOptions, margins: &[Bytes]) -> Result<Option<Fit>, EngineError> {
        let window = u64::from(options.n_ctx.unwrap());
        let mut left = self.layers + 1;
        let mut counts = vec![0.0; self.free.len()];
        for device in (0..self.free.len()).rev() {
            let mut room = self.free[device].saturating_sub(margins[device].0).saturating_sub(self.compute);
            while left > 0 {
                let cost = self.dense + if left <= self.layers { self.kv * window } else { 0 };
                if cost > room {
                    break;
                }
                room -= cost;
                left -= 1;
                counts[device] += 1.0;
            }
        }
        let overflowing = if self.experts > 0 { (0..self.layers).collect() } else { Vec::new() };
        Ok(Some(Fit { n_gpu_layers: (self.layers + 1 - left) as i32, tensor_split: counts, overflowing }))
    }
}

fn host(available: u64) -> Host {
    Host { total: Bytes(available), available: Bytes(available) }
}

fn open() -> LoadOptions {
    LoadOptions::of(Path::new("m.gguf"))
}

fn made(closed: &Closed, memory: u64, asked: &LoadOptions, least: Option<u32>) -> Result<Plan, PlanError> {
    plan(closed.shape(), host(memory), &Request { least: least.map(Tokens), ..Request::of(asked) }, &mut closed.clone())
}

/// 4.1 GiB of weights, 4 GiB of cache at 32,768 tokens.
fn dense(free: &[u64]) -> Closed {
    Closed { layers: 32, dense: 128 * MIB, experts: 0, kv: 4096, compute: 200 * MIB, free: free.to_vec(), trials: 0, surprise: 0 }
}

/// 17 GiB of weights, nearly all in experts.
fn mixture(free: &[u64]) -> Closed {
    Closed { dense: 32 * MIB, experts: 512 * MIB, kv: 1024, ..dense(free) }
}

#[test]
fn a_model_that_fits_an_accelerator_whole_gets_a_spacious_window() {
    let plan = made(&dense(&[24 * GIB]), 8 * GIB, &open(), None).unwrap();
    assert_eq!((plan.window(), plan.placement.n_gpu_layers()), (Tokens(131_072), -1));
    let plan = made(&dense(&[10 * GIB]), 8 * GIB, &open(), None).unwrap();
    assert_eq!((plan.window(), plan.placement.n_gpu_layers()), (Tokens(32_768), -1));
}

#[test]
fn layers_go_to_the_host_before_the_window_shrinks() {
    let plan = made(&dense(&[6 * GIB]), 16 * GIB, &open(), None).unwrap();
    assert_eq!(plan.window(), Tokens(32_768));
    let placed = plan.placement.placed();
    assert!((1..33).contains(&placed), "{placed}");
    assert!(plan.why.iter().any(|s| s.contains("computed by the processor")), "{:?}", plan.why);
}

#[test]
fn without_accelerators_the_host_decides_the_window() {
    let window = |available: u64| made(&dense(&[]), available, &open(), None).unwrap().window();
    assert_eq!(window(16 * GIB), Tokens(32_768));
    assert_eq!(window(8 * GIB), Tokens(16_384));
    assert_eq!(window(5_900 * MIB), Tokens(4_096));
}

#[test]
fn what_does_not_fit_says_what_is_missing() {
    let error = made(&dense(&[GIB]), 2 * GIB, &open(), None).unwrap_err();
    let PlanError::NoFit { window, lacks, .. } = &error else { panic!("{error}") };
    assert_eq!(*window, Tokens(4096));
    assert!(lacks.iter().any(|lack| lack.starts_with("CPU has room for 1.8 GiB and needs ")), "{error}");
}

#[test]
fn experts_of_a_mixture_go_to_the_host_first() {
    let plan = made(&mixture(&[8 * GIB]), 32 * GIB, &open(), None).unwrap();
    assert_eq!((plan.window(), plan.placement.placed()), (Tokens(32_768), 33));
    assert!(plan.placement.experts()[0] > 0);
    assert_eq!(plan.options.host_experts.len() as u32, plan.placement.experts()[0]);
}

#[test]
fn a_fit_that_reckoned_too_low_is_relieved() {
    let closed = Closed { surprise: 300 * MIB, ..dense(&[6 * GIB]) };
    let plan = made(&closed, 16 * GIB, &open(), None).unwrap();
    assert!(plan.trial.devices[0].need() <= usable(Bytes(6 * GIB)));
}

#[test]
fn pins_are_kept_and_refused_where_they_do_not_fit() {
    let asked = LoadOptions { n_ctx: Some(5000), n_gpu_layers: Some(10), type_k: Some("q8_0".into()), ..open() };
    let plan = made(&dense(&[24 * GIB]), 16 * GIB, &asked, None).unwrap();
    assert_eq!((plan.window(), plan.placement.n_gpu_layers()), (Tokens(5120), 10));
    assert_eq!(plan.options.type_k.as_deref(), Some("q8_0"));
    assert!(plan.why.contains(&"Pinned, and so not chosen: n_ctx, n_gpu_layers, kv_type_k.".to_owned()), "{:?}", plan.why);
    let all = LoadOptions { n_gpu_layers: Some(-1), ..open() };
    assert!(matches!(made(&dense(&[4 * GIB]), 16 * GIB, &all, None), Err(PlanError::NoFit { .. })));
    let split = LoadOptions { tensor_split: Some(vec![1.0, 1.0]), ..open() };
    assert!(matches!(made(&dense(&[24 * GIB]), GIB, &split, None), Err(PlanError::Pinned { key: "tensor_split", .. })));
}

#[test]
fn the_least_window_is_respected() {
    let window = |least, free: &[u64]| made(&dense(free), 8 * GIB, &open(), Some(least)).map(|plan| plan.window());
    assert_eq!(window(20_000, &[]).unwrap(), Tokens(20_224));
    assert!(matches!(window(60_000, &[]), Err(PlanError::NoFit { window: Tokens(60_160), .. })));
    assert_eq!(window(300_000, &[80 * GIB]).unwrap(), Tokens(300_032));
}

#[test]
fn the_reason_of_a_window_is_true() {
    let window = |trained, least| {
        let shape = Shape { trained: Tokens(trained), ..dense(&[]).shape() };
        plan(shape, host(16 * GIB), &Request { least, ..Request::of(&open()) }, &mut dense(&[])).unwrap().why.swap_remove(0)
    };
    assert_eq!(window(262_144, Some(Tokens(40_000))), "The window has 40192 tokens, the least that was asked for.");
    assert_eq!(window(10_000, None), "The window has 9984 tokens, all that the model was trained for.");
}

#[test]
fn a_window_beyond_all_numbers_is_a_window() {
    let asked = LoadOptions { n_ctx: Some(u32::MAX), ..open() };
    assert_eq!(Windows::of(&dense(&[]).shape(), &asked, None).useful, [u32::MAX - 255]);
}

#[test]
fn an_accelerator_that_others_fill_is_left_alone() {
    let plan = made(&dense(&[0]), 16 * GIB, &open(), None).unwrap();
    assert_eq!((plan.placement.placed(), plan.options.offload), (0, Some(false)));
    let asked = LoadOptions { n_gpu_layers: Some(0), ..open() };
    assert_eq!(made(&dense(&[0]), 16 * GIB, &asked, None).unwrap().options.offload, Some(false));
    assert_eq!(made(&dense(&[GIB]), 16 * GIB, &asked, None).unwrap().options.offload, Some(true));
    let plan = made(&dense(&[0, 3 * GIB]), 16 * GIB, &open(), None).unwrap();
    assert!(plan.placement.counts()[0] == 0 && plan.placement.counts()[1] > 0);
}

#[test]
fn windows_end_where_the_model_was_trained_to() {
    let of = |trained| Windows::of(&Shape { trained: Tokens(trained), ..dense(&[]).shape() }, &open(), None);
    assert_eq!(of(2048), Windows { spacious: vec![], useful: vec![2048] });
    assert_eq!(of(8192).useful, [8192, 6144, 4096]);
    assert_eq!(of(10_000).useful, [9984, 8192, 6144, 4096]);
    assert_eq!(of(40_960).spacious, [40_960]);
    assert_eq!(of(100), Windows { spacious: vec![], useful: vec![256] });
}

#[test]
fn the_report_has_the_contracts_shape() {
    let plan = made(&mixture(&[8 * GIB, 4 * GIB]), 32 * GIB, &open(), None).unwrap();
    let budget = Budget::divide(plan.window(), Tokens(300), Tokens(500), Tokens(100), Tokens(4096));
    assert_eq!(budget.conversation, Tokens(32_768 - 300 - 500 - 100 - 4096));
    insta::assert_json_snapshot!(Report::of(plan, budget));
}

fn machines() -> impl Strategy<Value = (Closed, u64)> {
    let devices = prop::collection::vec(0..48_u64, 0..4);
    let model = (1..64_u32, 1..512_u64, prop_oneof![Just(0), 1..1024_u64], 1..16_u64, 1..600_u64);
    (model, devices, 1..128_u64).prop_map(|((layers, dense, experts, kv, compute), free, available)| {
        let free = free.into_iter().map(|gib| gib * GIB).collect();
        let (dense, experts, compute) = (dense * MIB, experts * MIB, compute * MIB);
        (Closed { layers, dense, experts, kv: kv * 1024, compute, free, trials: 0, surprise: 0 }, available * GIB)
    })
}

proptest! {
    #[test]
    fn no_plan_takes_more_than_is_free((closed, available) in machines()) {
        let Ok(plan) = made(&closed, available, &open(), None) else { return Ok(()) };
        for share in &plan.trial.devices {
            prop_assert!(share.need() <= usable(share.device.free), "{share:?}");
        }
        prop_assert!(plan.trial.host.need() <= usable(Bytes(available)));
        // What is loaded is what was tried.
        prop_assert_eq!(closed.measured(&plan.options, 0), plan.trial);
    }

    /// With one accelerator at most: among several, more memory on one changes the shares of all, and rounding may hand a
    /// small one a layer too much.
    #[test]
    fn more_memory_never_gives_a_smaller_window((closed, available) in machines(), more in 0..64_u64, which in 0..2_usize) {
        let mut closed = closed;
        closed.free.truncate(1);
        let window = |closed: &Closed, available| made(closed, available, &open(), None).map_or(0, |plan| plan.window().0);
        let before = window(&closed, available);
        let mut richer = closed.clone();
        let mut memory = available;
        match richer.free.get_mut(which) {
            Some(free) => *free += more * GIB,
            None => memory += more * GIB,
        }
        prop_assert!(window(&richer, memory) >= before, "{closed:?} with {more} GiB more");
    }

    #[test]
    fn trials_are_few((closed, available) in machines()) {
        let mut closed = closed;
        let _ = plan(closed.shape(), host(available), &Request::of(&open()), &mut closed);
        prop_assert!(closed.trials <= 80, "{} trials", closed.trials);
    }
}
