//! Memory planning: which window, and what goes where, so that nothing is promised that does not fit.
//!
//! Pure: data in, a plan out, whatever the allocator is that says what a load takes. The window comes first: the largest
//! useful one for which any placement fits, layers on the host included, for an agent without its context is no agent.
//! Windows beyond that are taken only where the whole model stays on accelerators. Placement is llama.cpp's own fit, put
//! in terms of layers and experts per device, tried again in these terms, and relieved step by step where that is needed.
//! What is pinned is kept; everything that is chosen leaves a margin.

mod explain;
pub mod placement;
pub mod report;
pub mod shape;
pub mod wanted;

#[cfg(test)]
mod tests;

use crate::engine::EngineError;
use crate::engine::backend::{LoadOptions, OUTPUTS};
use crate::engine::memory::{Allocator, Host, Share, Trial};
use crate::hint::Hint;
use crate::planner::placement::Placement;
use crate::planner::shape::Shape;
use crate::units::{Bytes, Tokens};

/// What an agent's task needs, and what it can do with when memory is short, largest first. No turn fits below the last.
const USEFUL: [u32; 7] = [32_768, 24_576, 16_384, 12_288, 8_192, 6_144, 4_096];
/// Taken where they cost nothing but free memory of accelerators.
const SPACIOUS: [u32; 4] = [131_072, 98_304, 65_536, 49_152];
/// llama.cpp pads windows to this.
const WINDOW_STEP: u32 = 256;
/// The largest number that is padded already.
const LAST_WINDOW: u32 = u32::MAX / WINDOW_STEP * WINDOW_STEP;
/// What is left to others on each device: a display and a browser, and what a driver takes beside the allocator. The
/// figure is llama.cpp's own; of a small device an eighth, so that something is left to plan with.
const MARGIN: Bytes = Bytes(1 << 30);

/// A plan: options with nothing left open, and what they take.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub shape: Shape,
    pub host: Host,
    pub options: LoadOptions,
    pub placement: Placement,
    pub trial: Trial,
    /// For a person: what was chosen, and what it cost.
    pub why: Vec<String>,
}

impl Plan {
    pub fn window(&self) -> Tokens {
        Tokens(self.options.n_ctx.unwrap_or_default())
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Even the smallest window that may be chosen does not fit.
    #[error("`{model}` does not fit with a window of {window} tokens: {}", lacks.join(", "))]
    NoFit { model: String, window: Tokens, lacks: Vec<String> },
    #[error("`plan.{key}` has {given} numbers, and there are {devices} devices")]
    Pinned { key: &'static str, given: usize, devices: usize },
}

impl Hint for PlanError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Engine(error) => error.hint(),
            Self::NoFit { .. } => Some(
                "close other programs, take a smaller model or quantisation, a smaller cache (`-c plan.kv_type_k=q8_0 -c plan.kv_type_v=q8_0`), or unpin what is pinned"
                    .into(),
            ),
            Self::Pinned { .. } => Some("give one number for each device; `agent doctor` lists them".into()),
        }
    }
}

/// Plans a load. `asked` holds what is pinned; `least` is the smallest window that will do. Costs a handful of trials, of
/// some 10 ms each with a small vocabulary and up to a second or two with a large one.
pub fn plan(
    shape: Shape,
    host: Host,
    asked: &LoadOptions,
    least: Option<Tokens>,
    allocator: &mut dyn Allocator,
) -> Result<Plan, PlanError> {
    let windows = Windows::of(&shape, asked, least);
    let mut search = Search { host, allocator, asked: settled(asked), lacks: Vec::new(), shape };
    let found = search.first_that_fits(&windows)?;
    let Search { shape, lacks, .. } = search;
    let Some(Found { options, placement, trial }) = found else {
        return Err(PlanError::NoFit { model: shape.name, window: Tokens(windows.smallest()), lacks });
    };
    let mut plan = Plan { shape, host, options, placement, trial, why: Vec::new() };
    plan.why = explain::why(&plan, asked, least);
    Ok(plan)
}

/// What is neither pinned nor computed.
fn settled(asked: &LoadOptions) -> LoadOptions {
    let mut options = asked.clone();
    let batch = options.n_batch.unwrap_or(512).max(1);
    options.n_batch = Some(batch);
    options.n_ubatch = Some(options.n_ubatch.unwrap_or(512).clamp(1, batch));
    options.n_outputs = Some(options.n_outputs.unwrap_or(OUTPUTS).clamp(1, batch));
    options.type_k.get_or_insert_with(|| "f16".into());
    options.type_v.get_or_insert_with(|| "f16".into());
    options.swa_full.get_or_insert(false);
    options
}

/// Windows worth trying, each list largest first.
#[derive(Debug, PartialEq, Eq)]
struct Windows {
    spacious: Vec<u32>,
    useful: Vec<u32>,
}

impl Windows {
    fn of(shape: &Shape, asked: &LoadOptions, least: Option<Tokens>) -> Self {
        if let Some(pinned) = asked.n_ctx {
            return Self { spacious: Vec::new(), useful: vec![padded(pinned)] };
        }
        let trained = if shape.trained == Tokens::ZERO { USEFUL[0] } else { shape.trained.0 };
        let least = least.map(|tokens| padded(tokens.0));
        // What a person asks for holds even beyond what the model was trained for.
        let within = |window: &u32| *window <= trained && least.is_none_or(|least| *window >= least);
        let mut all: Vec<u32> = SPACIOUS.iter().chain(&USEFUL).copied().filter(within).collect();
        let whole = (trained / WINDOW_STEP * WINDOW_STEP).max(WINDOW_STEP);
        if whole < SPACIOUS[0] && (whole >= USEFUL[6] || all.is_empty()) && within(&whole) {
            all.push(whole);
        }
        all.extend(least);
        if all.is_empty() {
            all.push(whole);
        }
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.dedup();
        let (spacious, useful) = all.into_iter().partition(|&w| w > USEFUL[0].max(least.unwrap_or(0)));
        Self { spacious, useful }
    }

    fn smallest(&self) -> u32 {
        self.useful.last().copied().unwrap_or_default()
    }
}

/// A window as llama.cpp would allocate it.
fn padded(window: u32) -> u32 {
    window.clamp(1, LAST_WINDOW).next_multiple_of(WINDOW_STEP)
}

/// A placement that was tried.
struct Found {
    options: LoadOptions,
    placement: Placement,
    trial: Trial,
}

/// The search for the first window that fits.
struct Search<'a> {
    shape: Shape,
    host: Host,
    asked: LoadOptions,
    allocator: &'a mut dyn Allocator,
    /// What the last placement tried was short of.
    lacks: Vec<String>,
}

impl Search<'_> {
    fn first_that_fits(&mut self, windows: &Windows) -> Result<Option<Found>, PlanError> {
        // The devices are those that llama.cpp would use, in its order: the allocator knows.
        let devices = self.devices(windows.smallest())?;
        let pinned = self.pinned(&devices)?;
        let all = Placement::by_split(&self.shape, -1, &by_free(&devices));
        for window in windows.spacious.iter().filter(|_| !devices.is_empty()) {
            let placement = pinned.clone().unwrap_or_else(|| all.clone());
            let found = self.try_out(&placement, *window)?;
            if found.placement.is_whole() && self.fits(&found.trial) {
                return Ok(Some(found));
            }
        }
        for window in &windows.useful {
            let found = match &pinned {
                Some(placement) => self.kept(placement, *window)?,
                None if devices.is_empty() => self.try_out(&all, *window)?,
                None => self.fitted(&all, *window)?,
            };
            if self.fits(&found.trial) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn devices(&mut self, window: u32) -> Result<Vec<Share>, PlanError> {
        // Nothing is placed yet: the trial is for the list alone, and the smallest window is the cheapest.
        let mut options = LoadOptions { n_ctx: Some(window), n_gpu_layers: Some(0), ..self.asked.clone() };
        options.tensor_split = None;
        Ok(self.allocator.trial(&options)?.devices)
    }

    /// The placement that the pins say; `None` when there are none. What is not pinned of it is llama.cpp's default.
    fn pinned(&self, devices: &[Share]) -> Result<Option<Placement>, PlanError> {
        let asked = &self.asked;
        let fits = |key, given: Option<usize>| match given {
            Some(given) if given != devices.len() => Err(PlanError::Pinned { key, given, devices: devices.len() }),
            given => Ok(given.is_some()),
        };
        let split = fits("tensor_split", asked.tensor_split.as_ref().map(Vec::len))?;
        let experts = fits("expert_layers_on_cpu", asked.expert_layers_on_cpu.as_ref().map(Vec::len))?;
        if !split && !experts && asked.n_gpu_layers.is_none() {
            return Ok(None);
        }
        let default = by_free(devices);
        let given = asked.tensor_split.as_deref().filter(|split| split.iter().sum::<f32>() > 0.0);
        let placement = Placement::by_split(&self.shape, asked.n_gpu_layers.unwrap_or(-1), given.unwrap_or(&default));
        let experts = asked.expert_layers_on_cpu.as_deref().unwrap_or_default();
        Ok(Some(placement.with_experts_on_host(&self.shape, experts)))
    }

    /// The placement that is pinned. What puts nothing on accelerators does not need them, full as they may be.
    fn kept(&mut self, placement: &Placement, window: u32) -> Result<Found, PlanError> {
        let found = self.try_out(placement, window)?;
        let mut alone = placement.clone();
        let helped = placement.placed() == 0 && !found.trial.devices.is_empty() && !self.fits(&found.trial);
        if helped && alone.relieve(&self.shape, 0) { self.try_out(&alone, window) } else { Ok(found) }
    }

    /// The most that the accelerators hold of the model beside this window.
    fn fitted(&mut self, all: &Placement, window: u32) -> Result<Found, PlanError> {
        let whole = self.try_out(all, window)?;
        if self.fits(&whole.trial) {
            return Ok(whole);
        }
        let margins: Vec<Bytes> = whole.trial.devices.iter().map(|share| share.device.free - usable(share.device.free)).collect();
        let open = LoadOptions { n_ctx: Some(window), ..self.asked.clone() };
        let fit = self.allocator.fit(&open, &margins)?;
        let mut placement = match fit {
            Some(fit) => {
                let split = if fit.tensor_split.is_empty() { by_free(&whole.trial.devices) } else { fit.tensor_split };
                let placed = Placement::by_split(&self.shape, fit.n_gpu_layers, &split);
                let overflowing = placed.count(&fit.overflowing);
                placed.with_experts_on_host(&self.shape, &overflowing)
            }
            None => Placement::by_split(&self.shape, 0, &by_free(&whole.trial.devices)),
        };
        loop {
            let found = self.try_out(&placement, window)?;
            let short = found.trial.devices.iter().position(|share| share.need() > usable(share.device.free));
            match short {
                Some(device) if placement.relieve(&self.shape, device) => {}
                _ => return Ok(found),
            }
        }
    }

    /// What a placement takes.
    fn try_out(&mut self, placement: &Placement, window: u32) -> Result<Found, PlanError> {
        let mut options = LoadOptions { n_ctx: Some(window), ..self.asked.clone() };
        placement.apply(&self.shape, &mut options);
        let trial = self.allocator.trial(&options)?;
        options.flash_attn = Some(trial.flash_attn);
        Ok(Found { options, placement: placement.clone(), trial })
    }

    /// Whether every device and the host have room, and what is lacking where they have not. What is pinned may use all.
    fn fits(&mut self, trial: &Trial) -> bool {
        let asked = &self.asked;
        let placed = asked.n_gpu_layers.is_some() || asked.tensor_split.is_some() || asked.expert_layers_on_cpu.is_some();
        let room = |free: Bytes, pinned: bool| if pinned { free } else { usable(free) };
        let rows = trial.devices.iter().map(|share| (share, room(share.device.free, placed)));
        let host = (&trial.host, room(self.host.available, placed || asked.n_ctx.is_some()));
        let short = rows.chain([host]).filter(|(share, room)| share.need() > *room);
        let lack = |(share, room): (&Share, Bytes)| {
            format!("{} has room for {} and needs {}", share.device.name, room.spoken(), share.need().spoken())
        };
        self.lacks = short.map(lack).collect();
        self.lacks.is_empty()
    }
}

/// What may be used of free memory.
pub fn usable(free: Bytes) -> Bytes {
    free - MARGIN.min(Bytes(free.0 / 8))
}

/// llama.cpp's default split.
fn by_free(devices: &[Share]) -> Vec<f32> {
    let parts: Vec<f32> = devices.iter().map(|share| share.device.free.0 as f32).collect();
    // Devices that report nothing: equal parts, so that there is a split at all.
    if parts.iter().sum::<f32>() > 0.0 { parts } else { vec![1.0; parts.len()] }
}
