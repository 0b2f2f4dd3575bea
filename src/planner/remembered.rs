//! An allocator that asks another one nothing twice: trials are kept in a model's ledger.
//!
//! A trial says what a load takes; what is free is not part of it, and is asked for anew each time.

use crate::engine::EngineError;
use crate::engine::backend::LoadOptions;
use crate::engine::memory::{Allocator, Device, Fit, Trial};
use crate::models::ledger::{Ledger, key};
use crate::units::Bytes;
use std::path::PathBuf;

/// An allocator with a memory.
pub struct Remembered<'a> {
    pub allocator: &'a mut dyn Allocator,
    pub ledger: &'a mut Ledger,
}

/// What a trial depends on, beside the model's file. The default split of layers follows free memory: a plan always says it.
fn key_of(devices: &[Device], options: &LoadOptions) -> String {
    let names: Vec<(&str, &str, Bytes)> = devices.iter().map(|d| (d.name.as_str(), d.kind.as_str(), d.total)).collect();
    // Threads decide about no memory that a trial sees, and the file is the ledger's.
    let options = LoadOptions { model: PathBuf::new(), threads: None, ..options.clone() };
    key("trial", &(names, options))
}

impl Allocator for Remembered<'_> {
    fn devices(&mut self) -> Result<Vec<Device>, EngineError> {
        self.allocator.devices()
    }

    fn trial(&mut self, options: &LoadOptions) -> Result<Trial, EngineError> {
        if options.tensor_split.is_none() {
            return self.allocator.trial(options);
        }
        let devices = self.devices()?;
        let key = key_of(&devices, options);
        let known = self.ledger.get::<Trial>(&key).filter(|trial| trial.devices.len() == devices.len());
        if let Some(mut trial) = known {
            for (share, device) in trial.devices.iter_mut().zip(devices) {
                share.device = device;
            }
            return Ok(trial);
        }
        let trial = self.allocator.trial(options)?;
        // A cache that cannot be written costs time, and nothing else.
        let _ = self.ledger.put(key, &trial);
        Ok(trial)
    }

    fn fit(&mut self, options: &LoadOptions, margins: &[Bytes]) -> Result<Option<Fit>, EngineError> {
        self.allocator.fit(options, margins)
    }
}
