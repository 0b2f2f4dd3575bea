//! A plan by the closed form alone, without llama.cpp: for choosing between models before any is looked at more closely.

use crate::engine::EngineError;
use crate::engine::backend::LoadOptions;
use crate::engine::memory::{Allocator, Device, Fit, Host, Trial};
use crate::planner::anatomy::Anatomy;
use crate::planner::closed::{Reckoned, Settings};
use crate::planner::placement::{self, Placement};
use crate::planner::shape::Shape;
use crate::planner::{Outlook, Plan, PlanError, Request, planned};
use crate::units::Bytes;

/// Plans without trials. `None` where the model's anatomy is not known. Costs a few milliseconds.
pub fn estimate(shape: Shape, host: Host, devices: &[Device], request: &Request<'_>) -> Option<Result<Plan, PlanError>> {
    let anatomy = shape.anatomy.clone()?;
    let mut reckoner = Reckoner { shape: shape.clone(), anatomy, devices: devices.to_vec(), host };
    Some(planned(shape, host, request, &mut reckoner, Outlook::Left))
}

/// The closed form in the place of an allocator.
struct Reckoner {
    shape: Shape,
    anatomy: Anatomy,
    devices: Vec<Device>,
    host: Host,
}

impl Allocator for Reckoner {
    fn devices(&mut self) -> Result<Vec<Device>, EngineError> {
        Ok(self.devices.clone())
    }

    fn trial(&mut self, options: &LoadOptions) -> Result<Trial, EngineError> {
        let unknown = || EngineError::Unavailable("a cache type or a window that does not exist".into());
        let settings = Settings::of(options).ok_or_else(unknown)?;
        let placement = match placement::pinned(&self.shape, options, &self.devices) {
            Ok(Some(placement)) => placement,
            _ => Placement::by_split(&self.shape, -1, &placement::by_free(&self.devices)),
        };
        let placement = if options.offload == Some(false) { placement.without_fetching() } else { placement };
        let Host { total, available } = self.host;
        let cpu = Device { name: "CPU".into(), kind: "cpu".into(), description: String::new(), total, free: available };
        Ok(Reckoned::of(&self.anatomy, settings).trial(&placement, &self.devices, cpu))
    }

    fn fit(&mut self, _options: &LoadOptions, _margins: &[Bytes]) -> Result<Option<Fit>, EngineError> {
        Ok(None)
    }
}
