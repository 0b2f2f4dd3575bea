//! The search by trials alone, for models whose anatomy is not known: llama.cpp's own fit in our terms, tried and relieved.

use crate::engine::backend::LoadOptions;
use crate::engine::memory::{Allocator, Share};
use crate::planner::PlanError;
use crate::planner::placement::{Placement, by_free};
use crate::planner::room::{Margins, usable};
use crate::planner::search::{Found, Windows, settled};
use crate::planner::shape::Shape;
use crate::units::{Bytes, Tokens};

/// What is searched, and for what.
pub struct Task<'a> {
    pub shape: &'a Shape,
    pub asked: &'a LoadOptions,
    pub windows: &'a Windows,
    /// The placement that the pins say; `None` when there are none.
    pub pinned: Option<&'a Placement>,
    pub margins: Margins,
}

/// Finds the largest window for which a placement fits. Costs a handful of trials. Errors when there is none.
pub fn first_that_fits(task: Task<'_>, allocator: &mut dyn Allocator) -> Result<Found, PlanError> {
    let devices = allocator.devices()?;
    let all = Placement::by_split(task.shape, -1, &by_free(&devices));
    let mut search = Search { asked: settled(task.asked), allocator, lacks: Vec::new(), task };
    let windows = search.task.windows;
    for window in windows.spacious.iter().filter(|_| !devices.is_empty()) {
        let placement = search.task.pinned.unwrap_or(&all).clone();
        let found = search.try_out(&placement, *window)?;
        if found.placement.is_whole() && search.fits(&found) {
            return Ok(found);
        }
    }
    for window in &windows.useful {
        let found = match search.task.pinned {
            Some(placement) => search.kept(placement, *window)?,
            None if devices.is_empty() => search.try_out(&all, *window)?,
            None => search.fitted(&all, *window)?,
        };
        if search.fits(&found) {
            return Ok(found);
        }
    }
    let window = Tokens(windows.smallest());
    Err(PlanError::NoFit { model: search.task.shape.name.clone(), window, lacks: search.lacks })
}

struct Search<'a> {
    task: Task<'a>,
    asked: LoadOptions,
    allocator: &'a mut dyn Allocator,
    /// What the last placement tried was short of.
    lacks: Vec<String>,
}

impl Search<'_> {
    /// The placement that is pinned. What puts nothing on accelerators does not need them, full as they may be.
    fn kept(&mut self, placement: &Placement, window: u32) -> Result<Found, PlanError> {
        let found = self.try_out(placement, window)?;
        let helped = placement.placed() == 0 && !found.trial.devices.is_empty() && !self.fits(&found);
        if helped { self.try_out(&placement.without_fetching(), window) } else { Ok(found) }
    }

    /// The most that the accelerators hold of the model beside this window.
    fn fitted(&mut self, all: &Placement, window: u32) -> Result<Found, PlanError> {
        let whole = self.try_out(all, window)?;
        if self.fits(&whole) {
            return Ok(whole);
        }
        let free = |share: &Share| share.device.free;
        let devices: Vec<_> = whole.trial.devices.iter().map(|share| share.device.clone()).collect();
        let reserve = self.task.margins.reserve;
        let margins: Vec<Bytes> = whole.trial.devices.iter().map(|s| free(s) - usable(free(s)) + reserve).collect();
        let open = LoadOptions { n_ctx: Some(window), ..self.asked.clone() };
        let fit = self.allocator.fit(&open, &margins)?;
        let shape = self.task.shape;
        let mut placement = match fit {
            Some(fit) => {
                let split = if fit.tensor_split.is_empty() { by_free(&devices) } else { fit.tensor_split };
                let placed = Placement::by_split(shape, fit.n_gpu_layers, &split);
                let overflowing = placed.count(&fit.overflowing);
                placed.with_experts_on_host(&overflowing)
            }
            None => Placement::by_split(shape, 0, &by_free(&devices)),
        };
        loop {
            let found = self.try_out(&placement, window)?;
            let (excess, _) = self.task.margins.excess(&found.trial, self.task.asked);
            let short = excess.iter().enumerate().find(|(_, excess)| **excess > Bytes::ZERO);
            match short {
                Some((device, excess)) if self.relieve(&mut placement, device, *excess) => {}
                _ => return Ok(found),
            }
        }
    }

    /// Frees about what is lacking on a device: as many steps as that comes to, by the layers' average. False when it
    /// holds nothing any more.
    fn relieve(&self, placement: &mut Placement, device: usize, excess: Bytes) -> bool {
        let shape = self.task.shape;
        let average = (shape.file.0 / u64::from(shape.layers.0 + 1)).max(1);
        // Half of them: a step too many costs speed, and a trial too few costs only a second.
        let steps = (excess.0 / average / 2).max(1);
        (0..steps).map(|_| placement.relieve(device)).take_while(|relieved| *relieved).count() > 0
    }

    /// What a placement takes.
    fn try_out(&mut self, placement: &Placement, window: u32) -> Result<Found, PlanError> {
        let mut options = LoadOptions { n_ctx: Some(window), ..self.asked.clone() };
        placement.apply(&mut options);
        let trial = self.allocator.trial(&options)?;
        options.flash_attn = Some(trial.flash_attn);
        Ok(Found { options, placement: placement.clone(), trial })
    }

    /// Whether every device and the host have room, and what is lacking where they have not.
    fn fits(&mut self, found: &Found) -> bool {
        self.lacks = self.task.margins.lacks(&found.trial, self.task.asked);
        self.lacks.is_empty()
    }
}
