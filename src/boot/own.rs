//! The engine of our own: what boot does with llama.cpp in the build. `unbuilt` has the same face without it.

use crate::boot::{BootError, Ground, load_options, toolbox, validate};
use crate::engine::backend::LoadOptions;
use crate::engine::bench;
use crate::engine::client::start::calm_threads;
use crate::engine::dialect;
use crate::engine::embedded::Embedded;
use crate::engine::llama;
use crate::engine::memory::{Device, Host};
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
use crate::planner::{self, Plan, PlanError, Request};
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
    // The memory is planned here, where it is taken: what was free when the front end started may be gone.
    let states = states.to_owned();
    let load = move |asked: &LoadOptions, progress: &mut dyn FnMut(f32)| {
        let failed = |e: BootError| match e {
            BootError::Engine(error) | BootError::Plan(PlanError::Engine(error)) => error,
            other => EngineError::Load { path: asked.model.clone(), reason: other.to_string() },
        };
        let mut plan = planned(asked, &Wanted::default(), cache.as_deref()).map_err(failed)?.plan;
        // A window that the plan chose may grow later on.
        plan.options.grow_to = asked.n_ctx.is_none().then_some(u32::MAX);
        // Where nobody keeps a log, nothing is lost.
        plan.why.iter().for_each(|sentence| _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{sentence}\n")));
        Ok(Embedded::load(&plan.options, progress)?.with_states(&states, &plan.options))
    };
    Ok(worker::serve(worker::ServeSettings { socket, options, idle, rest: worker::REST }, load)?)
}

/// Plans the memory of a model with what is pinned in the settings. Loads nothing.
pub fn plan(ground: &Ground, model: &Path, wanted: &Wanted) -> Result<Plan, BootError> {
    let asked = load_options(&ground.resolved.settings, model.to_owned());
    Ok(planned(&asked, wanted, Some(&ground.places.cache))?.plan)
}

/// A plan.
pub struct Planned {
    pub plan: Plan,
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
    let plan = match &mut ledger {
        Some(ledger) => planner::plan(shape, host, &request, &mut Remembered { allocator: &mut machine, ledger })?,
        None => planner::plan(shape, host, &request, &mut machine)?,
    };
    Ok(Planned { plan })
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
