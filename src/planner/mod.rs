//! Memory planning: which window, and what goes where, so that nothing is promised that does not fit.
//!
//! Pure: data in, a plan out, whatever the allocator is that says what a load takes. The window comes first: an agent without
//! its context is no agent. What it takes is paid for by what a typical turn suffers least from: smaller batches, experts on
//! the host, a smaller cache, layers on the host. Windows beyond the useful ones are taken only where the whole model stays on
//! accelerators all the same.
//!
//! Where the model's anatomy is known, its memory is reckoned in closed form (`closed`), the best of all placements is found
//! exactly (`placed`), and the allocator is asked once whether that is right. Where it is not known, llama.cpp's own fit is
//! put in our terms and tried out (`tried`). What is pinned is kept; everything that is chosen leaves a margin.

pub mod anatomy;
pub mod closed;
mod estimate;
mod explain;
mod placed;
pub mod placement;
pub mod remembered;
pub mod report;
mod room;
mod search;
pub mod shape;
pub mod speed;
mod tried;
pub mod wanted;

#[cfg(test)]
mod tests;

pub use crate::planner::estimate::estimate;

use crate::engine::EngineError;
use crate::engine::backend::LoadOptions;
use crate::engine::memory::{Allocator, Host, Trial};
use crate::hint::Hint;
use crate::planner::placement::Placement;
use crate::planner::room::Margins;
use crate::planner::search::{Search, Windows};
use crate::planner::shape::Shape;
use crate::planner::speed::Speed;
use crate::units::{Bytes, Tokens};

/// The window that an agent's task needs.
pub const USEFUL_WINDOW: u32 = search::USEFUL[0];

/// A plan: options with nothing left open, and what they take.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub shape: Shape,
    pub host: Host,
    pub options: LoadOptions,
    pub placement: Placement,
    pub trial: Trial,
    pub speed: Speed,
    /// Seconds of a typical turn at the window's depth, by figures that only rank: a prompt of 2,048 tokens, an answer of 300.
    /// `None` where the model's anatomy is not known.
    pub turn: Option<f64>,
    /// For a person: what was chosen, and what it cost.
    pub why: Vec<String>,
}

impl Plan {
    pub fn window(&self) -> Tokens {
        Tokens(self.options.n_ctx.unwrap_or_default())
    }

    /// Puts what was measured in place of what was predicted.
    pub fn measured(&mut self, decode_tps: f64) {
        let predicted = explain::speed(&self.speed);
        self.speed.decode_tps = Some(decode_tps);
        self.speed.is_predicted = Some(false);
        let told = explain::speed(&self.speed);
        self.why.iter_mut().filter(|sentence| **sentence == predicted).for_each(|sentence| sentence.clone_from(&told));
    }
}

/// What is wished for, and what is known beside the model.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// What is pinned.
    pub asked: &'a LoadOptions,
    /// The smallest window that will do.
    pub least: Option<Tokens>,
    /// What stays free on each device and on the host beyond the margin: more after a load that failed.
    pub reserve: Bytes,
    /// Bytes per second that the host's memory was measured to give.
    pub host_read: Option<f64>,
}

impl<'a> Request<'a> {
    /// A plan with nothing but pins.
    pub fn of(asked: &'a LoadOptions) -> Self {
        Self { asked, least: None, reserve: Bytes::ZERO, host_read: None }
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

/// Plans a load. Costs a trial or two of the allocator where the model's anatomy is known, of some 10 ms each with a small
/// vocabulary and up to a second or two with a large one; a handful where it is not.
pub fn plan(shape: Shape, host: Host, request: &Request<'_>, allocator: &mut dyn Allocator) -> Result<Plan, PlanError> {
    planned(shape, host, request, allocator, Outlook::Told)
}

/// Whether a plan says what more memory would buy: it takes two more searches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outlook {
    Told,
    Left,
}

fn planned(
    shape: Shape,
    host: Host,
    request: &Request<'_>,
    allocator: &mut dyn Allocator,
    outlook: Outlook,
) -> Result<Plan, PlanError> {
    let margins = Margins { host, reserve: request.reserve };
    let devices = allocator.devices()?;
    let windows = Windows::of(&shape, request.asked, request.least);
    let pinned = placement::pinned(&shape, request.asked, &devices)?;
    let pinned = pinned.as_ref();
    let search = Search::of(&shape, request, &devices, &windows, pinned);
    let confirmed = match &search {
        Some(search) => search.confirmed(margins, allocator)?,
        None => None,
    };
    let task = tried::Task { shape: &shape, asked: request.asked, windows: &windows, pinned, margins };
    let found = confirmed.map_or_else(|| tried::first_that_fits(task, allocator), Ok)?;
    let speed = search.as_ref().map_or_else(Speed::default, |search| search.speed(&found));
    let turn = search.as_ref().map(|search| search.turn(&found));
    let outlook = search.as_ref().filter(|_| outlook == Outlook::Told).map(|search| search.richer(margins));
    let search::Found { options, placement, trial } = found;
    let mut plan = Plan { shape, host, options, placement, trial, speed, turn, why: Vec::new() };
    plan.why = explain::why(&plan, request, outlook.as_ref());
    Ok(plan)
}
