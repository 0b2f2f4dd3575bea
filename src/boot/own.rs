//! The engine of our own: what boot does with llama.cpp in the build. `unbuilt` has the same face without it.

use crate::boot::{BootError, Ground, load, load_options, toolbox, validate};
use crate::engine::backend::LoadOptions;
use crate::engine::bench;
use crate::engine::client::start::calm_threads;
use crate::engine::dialect;
use crate::engine::llama;
use crate::engine::memory::{Allocator, Device, Host};
use crate::engine::replay::Replay;
use crate::engine::tokenizer::Tokenizer;
use crate::engine::worker;
use crate::engine::{Engine, EngineError};
use crate::models::gguf::{self, Need};
use crate::models::ledger::Ledger;
use crate::path::Places;
use crate::planner::remembered::Remembered;
use crate::planner::shape::Shape;
use crate::planner::wanted::Wanted;
use crate::planner::{self, Plan, Request};
use crate::tools::Mode;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Recorded turns; what a model wrote itself is parsed by llama.cpp.
pub fn replay(file: &Path) -> Result<Replay, EngineError> {
    Ok(Replay::open(file)?.with_parser(Box::new(dialect::parse)))
}

/// Gives an engine that only counts.
pub fn tokenizer(model: &Path) -> Result<Box<dyn Engine>, BootError> {
    validate(model, Need::Tokenizer).map_err(|reason| EngineError::Load { path: model.to_owned(), reason })?;
    Ok(Box::new(Tokenizer::open(model)?))
}

/// Is the engine process, until it is to end.
pub fn serve(socket: PathBuf, options: &str, idle: Duration, states: &Path) -> Result<(), BootError> {
    let options = serde_json::from_str(options).map_err(BootError::Options)?;
    let cache = Places::from_env(|name| std::env::var_os(name)).map(|places| places.cache);
    let states = states.to_owned();
    let load = move |asked: &LoadOptions, progress: &mut dyn FnMut(f32)| {
        let (engine, options) = load::load(asked, cache.as_deref(), progress)?;
        Ok(engine.with_states(&states, &options))
    };
    Ok(worker::serve(worker::ServeSettings { socket, options, idle, rest: worker::REST }, load)?)
}

/// Plans the memory of a model with what is pinned in the settings. Loads nothing.
pub fn plan(ground: &Ground, model: &Path, wanted: &Wanted) -> Result<Plan, BootError> {
    let asked = load_options(&ground.resolved.settings, model.to_owned());
    Ok(planned(&asked, wanted, Some(&ground.places.cache))?.plan)
}

/// A plan, and what is known of the model's file.
pub struct Planned {
    pub plan: Plan,
    /// `None` where there is no place to keep it.
    pub ledger: Option<Ledger>,
}

/// The plan that `agent plan` shows and the engine loads by. What was tried before is remembered in the cache.
pub fn planned(asked: &LoadOptions, wanted: &Wanted, cache: Option<&Path>) -> Result<Planned, BootError> {
    let model = &asked.model;
    let unreadable = |e: gguf::GgufError| EngineError::Load { path: model.clone(), reason: e.to_string() };
    let header = gguf::check(model, Need::Weights).map_err(unreadable)?;
    let given = wanted.host_memory.map(|size| Host { total: size, available: size });
    let host = given.or_else(Host::look).or_else(host_of_llama).ok_or(BootError::NoHost)?;
    let host_read = cache.filter(|_| given.is_none()).and_then(host_read);
    let request = Request { asked, least: wanted.min_ctx, reserve: wanted.reserve, host_read };
    let mut machine = llama::Machine::with(&wanted.devices)?;
    let mut ledger = cache.map(|cache| Ledger::of_model(cache, &header));
    let shape = Shape::of(&header);
    let mut plan = match &mut ledger {
        Some(ledger) => planner::plan(shape, host, &request, &mut Remembered { allocator: &mut machine, ledger })?,
        None => planner::plan(shape, host, &request, &mut machine)?,
    };
    // What was measured was measured on this machine.
    let real = wanted.devices.is_empty() && given.is_none();
    let measured = ledger.as_ref().filter(|_| real).and_then(|ledger| ledger.get(&load::speed_key(&plan.options)));
    if let Some(tps) = measured {
        plan.measured(tps);
    }
    Ok(Planned { plan, ledger })
}

/// How fast the host's memory is read: measured once, when nobody else keeps the processors busy.
fn host_read(cache: &Path) -> Option<f64> {
    const KEY: &str = "host-read";
    /// One channel of DDR3 gives more. Whoever measures less has measured the others.
    const LEAST: f64 = 8e9;
    let mut ledger = Ledger::of_machine(cache);
    ledger.get(KEY).or_else(|| {
        let rate = Some(Host::read_rate()).filter(|rate| *rate >= LEAST)?;
        // A cache that cannot be written: it is measured again.
        let _ = ledger.put(KEY.into(), &rate);
        Some(rate)
    })
}

/// The accelerators that a load would use.
pub fn accelerators() -> Vec<Device> {
    llama::Machine::real().devices().unwrap_or_default()
}

/// The host as llama.cpp sees it: it knows the total on every system, and takes all of it for free.
fn host_of_llama() -> Option<Host> {
    let cpu = devices().into_iter().find(|device| device.kind == "cpu")?;
    Some(Host { total: cpu.total, available: cpu.free })
}

/// The devices that llama.cpp can compute on.
pub fn devices() -> Vec<Device> {
    llama::devices()
}

/// Measures a model against bare llama.cpp, with the built-in tools' grammar.
pub fn bench(
    ground: &Ground,
    model: &Path,
    extent: bench::Extent,
    say: &mut dyn FnMut(&str),
) -> Result<bench::Figures, BootError> {
    calm_threads();
    validate(model, Need::Weights).map_err(|reason| EngineError::Load { path: model.to_owned(), reason })?;
    let options = load_options(&ground.resolved.settings, model.to_owned());
    Ok(bench::bench(&options, &toolbox().cards(Mode::Chat), extent, say)?)
}
