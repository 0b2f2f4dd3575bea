//! Plans for imaginary machines, by the closed form: nothing is promised twice, the window comes first, and more memory
//! never makes a plan worse.
//!
//! Without optimisation only a part of the machines is looked at: a plan takes a second there, and milliseconds else.
//!
//! The models' dimensions stand outside the package: where they are absent, these tests say so and pass.

#[path = "support/shapes.rs"]
mod shapes;

use agent::engine::backend::LoadOptions;
use agent::engine::memory::{Device, Host};
use agent::planner::closed::{Reckoned, Settings};
use agent::planner::placement::Placement;
use agent::planner::shape::Shape;
use agent::planner::{Plan, Request, estimate};
use agent::units::Bytes;
use serde_json::Value;
use shapes::Dimensions;
use std::path::Path;

const GIB: u64 = 1 << 30;
const FLOOR: u32 = 32_768;

fn models() -> Vec<Shape> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let text = above.map(|dir| dir.join("shared/data/models.json")).find_map(|path| std::fs::read_to_string(path).ok());
    let Some(text) = text else {
        eprintln!("SKIPPED: needs shared/data/models.json beside the package");
        return Vec::new();
    };
    let all: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    let quant = |name: &str| if name.starts_with("gpt-oss") { "MXFP4_MOE" } else { "Q4_K_M" };
    all.iter().map(|(name, dimensions)| Shape::of(&Dimensions(dimensions).header(quant(name)))).collect()
}

/// A machine, in GiB: accelerators, and the host.
#[derive(Clone, Debug)]
struct Machine {
    devices: Vec<u64>,
    shared: bool,
    host: u64,
}

/// Fifty machines: what people have, and what they nearly have.
fn machines() -> Vec<Machine> {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let sizes = [0, 1, 2, 4, 6, 8, 10, 11, 12, 16, 20, 24, 32, 48, 80];
    let count = if cfg!(debug_assertions) { 8 } else { 50 };
    (0..count)
        .map(|_| {
            let count = [0, 1, 1, 1, 2, 2, 3][next(7) as usize];
            let devices = (0..count).map(|_| sizes[next(sizes.len() as u64) as usize]).collect();
            Machine { devices, shared: next(8) == 0, host: [2, 4, 8, 12, 16, 24, 32, 64, 128][next(9) as usize] }
        })
        .collect()
}

impl Machine {
    fn devices(&self) -> Vec<Device> {
        let kind = if self.shared { "igpu" } else { "gpu" };
        let each = self.devices.iter().enumerate();
        each.map(|(i, gib)| device(&format!("GPU{i}"), kind, gib * GIB)).collect()
    }

    fn plan(&self, shape: &Shape) -> Option<Plan> {
        let host = Host { total: Bytes(self.host * GIB), available: Bytes(self.host * GIB) };
        let asked = LoadOptions::of(Path::new("m.gguf"));
        estimate(shape.clone(), host, &self.devices(), &Request::of(&asked)).unwrap().ok()
    }

    fn with_more(&self, place: usize, gib: u64) -> Self {
        let mut richer = self.clone();
        match richer.devices.get_mut(place) {
            Some(device) => *device += gib,
            None => richer.host += gib,
        }
        richer
    }
}

fn device(name: &str, kind: &str, free: u64) -> Device {
    Device { name: name.into(), kind: kind.into(), description: String::new(), total: Bytes(free), free: Bytes(free) }
}

/// What may be used: an eighth stays free, a GiB at most.
fn usable(bytes: u64) -> u64 {
    bytes - GIB.min(bytes / 8)
}

/// Whether the least hungry placement of all layers in one place fits at the floor: then some placement does.
fn floor_is_possible(shape: &Shape, machine: &Machine) -> bool {
    let q4 = Some("q4_0".to_owned());
    let options = LoadOptions {
        n_ctx: Some(FLOOR.min(shape.trained.0)),
        n_ubatch: Some(128),
        n_outputs: Some(1),
        type_k: q4.clone(),
        type_v: q4,
        ..LoadOptions::of(Path::new("m.gguf"))
    };
    let anatomy = shape.anatomy.as_ref().unwrap();
    let settings = Settings::of(&options).unwrap();
    if !settings.suit(anatomy) {
        return false;
    }
    let reckoned = Reckoned::of(anatomy, settings);
    let devices = machine.devices();
    let nothing = vec![0.0; devices.len()];
    let on_host = Placement::by_split(shape, 0, &nothing).without_fetching();
    let mut candidates = vec![on_host];
    if devices.len() == 1 {
        candidates.push(Placement::by_split(shape, -1, &[1.0]));
    }
    candidates.iter().any(|placement| {
        let trial = reckoned.trial(placement, &devices, device("CPU", "cpu", 0));
        let shared: u64 = trial.devices.iter().filter(|_| machine.shared).map(|share| share.need().0).sum();
        trial.devices.iter().all(|share| share.need().0 <= usable(share.device.free.0))
            && trial.host.need().0 + shared <= usable(machine.host * GIB)
    })
}

/// What a plan is worth: the larger the better, in this order.
fn worth(plan: Option<&Plan>) -> (u32, bool, f64) {
    let Some(plan) = plan else { return (0, false, f64::NEG_INFINITY) };
    let cache = plan.options.type_k.as_deref();
    let harm = if cache == Some("q8_0") { 1.1 } else { 1.0 };
    let harm = if plan.options.n_outputs == Some(1) { harm * 1.001 } else { harm };
    (plan.window().0, cache != Some("q4_0"), -plan.turn.unwrap() * harm)
}

fn is_worse(then: (u32, bool, f64), now: (u32, bool, f64)) -> bool {
    if then.0 != now.0 {
        return then.0 < now.0;
    }
    if then.1 != now.1 { now.1 } else { then.2 < now.2 * (1.0 + 1e-9) }
}

#[test]
fn all_machines_and_all_models() {
    let models = models();
    let (mut plans, mut none, mut at_floor) = (0, 0, 0);
    for machine in machines() {
        for shape in &models {
            let plan = machine.plan(shape);
            let what = || format!("{} on {machine:?}", shape.name);
            let possible = floor_is_possible(shape, &machine);
            let Some(plan) = plan else {
                assert!(!possible, "no plan for {}", what());
                none += 1;
                continue;
            };
            plans += 1;
            let mut host = plan.trial.host.need();
            for share in &plan.trial.devices {
                assert!(share.need().0 <= usable(share.device.free.0), "{share:?} of {}", what());
                host = if machine.shared { host + share.need() } else { host };
            }
            assert!(host.0 <= usable(machine.host * GIB), "{} takes {host} of the host", what());
            let floor = FLOOR.min(shape.trained.0 / 256 * 256);
            assert!(!possible || plan.window().0 >= floor, "{} has {}", what(), plan.window());
            at_floor += u32::from(plan.window().0 >= floor);
        }
    }
    eprintln!("{plans} plans, {at_floor} with {FLOOR} tokens or all that the model was trained for; {none} times nothing fits");
    assert!(models.is_empty() || plans > 100, "{plans}");
}

#[test]
fn more_memory_is_never_worse() {
    let models = models();
    let mut compared = 0;
    for (at, machine) in machines().iter().enumerate() {
        // Each machine meets a part of the models: all of them with all would take minutes.
        for shape in models.iter().skip(at % 5).step_by(5) {
            let now = worth(machine.plan(shape).as_ref());
            for place in 0..=machine.devices.len() {
                for more in [1, 7] {
                    let richer = machine.with_more(place, more);
                    let then = worth(richer.plan(shape).as_ref());
                    compared += 1;
                    assert!(!is_worse(then, now), "{} on {machine:?}: {now:?}, on {richer:?} {then:?}", shape.name);
                }
            }
        }
    }
    eprintln!("{compared} pairs of machines compared");
}
