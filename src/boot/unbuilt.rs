//! In place of `own` in a build without llama.cpp: recordings play, everything else says what is missing.

use crate::boot::{BootError, Ground};
use crate::engine::memory::Device;
use crate::engine::replay::Replay;
use crate::engine::{Engine, EngineError};
use crate::planner::Plan;
use crate::planner::wanted::Wanted;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Recorded turns; what a model wrote itself is read as text.
pub fn replay(file: &Path) -> Result<Replay, EngineError> {
    Replay::open(file)
}

pub fn tokenizer(_model: &Path) -> Result<Box<dyn Engine>, BootError> {
    Err(BootError::Unbuilt)
}

pub fn serve(_socket: PathBuf, _options: &str, _idle: Duration, _states: &Path) -> Result<(), BootError> {
    Err(BootError::Unbuilt)
}

pub fn plan(_ground: &Ground, _model: &Path, _wanted: &Wanted) -> Result<Plan, BootError> {
    Err(BootError::Unbuilt)
}

pub fn devices() -> Vec<Device> {
    Vec::new()
}

pub fn accelerators() -> Vec<Device> {
    Vec::new()
}
