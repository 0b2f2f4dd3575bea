//! What the engine process runs: a loaded model, asked one thing at a time.
//!
//! A backend blocks. The engine process gives it a thread of its own, so nothing here is asynchronous, and nothing here
//! knows sockets, clients or queues.

use crate::engine::EngineError;
use crate::protocol::turn::{Delta, EngineInfo, Rendered, Reply, TurnRequest};
use crate::units::Tokens;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// A loaded model. After an error it stays usable; what it must not survive, it does not catch (the process is the fence).
pub trait Backend: Send {
    /// Says what was loaded: the window is the one that was really allocated. Cheap.
    fn info(&self) -> EngineInfo;

    /// Generates one turn and hands out its pieces as they come. Reads `cancel` at least every 200 ms, in prefill too;
    /// once it is set, ends with `Stop::Cancelled` and what there is so far, and keeps the cache.
    fn turn(&mut self, request: &TurnRequest, sink: &mut dyn FnMut(Delta), cancel: &AtomicBool) -> Result<Reply, EngineError>;

    /// Counts the tokens of a text that would stand inside a message: no special tokens are added or parsed.
    fn count(&mut self, text: &str) -> Result<Tokens, EngineError>;

    /// Renders the prompt of a request without generating. `None` where there is no template to see.
    fn render(&mut self, request: &TurnRequest) -> Result<Option<Rendered>, EngineError>;
}

/// How a model is to be loaded. `None` leaves the backend's own choice. Two front ends share an engine process only when
/// these are equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadOptions {
    /// The model's file, the first of a split one.
    pub model: PathBuf,
    /// The window in tokens.
    pub n_ctx: Option<u32>,
    /// Layers on the accelerator; -1 is all of them.
    pub n_gpu_layers: Option<i32>,
    pub threads: Option<u32>,
    /// The most tokens of one logical batch.
    pub n_batch: Option<u32>,
    /// The most tokens of one physical batch.
    pub n_ubatch: Option<u32>,
    /// The cache's type for keys, as llama.cpp names it (`f16`, `q8_0`).
    pub type_k: Option<String>,
    /// The cache's type for values.
    pub type_v: Option<String>,
    pub flash_attn: Option<bool>,
}

impl LoadOptions {
    /// A model with everything left to the backend.
    pub fn of(model: &Path) -> Self {
        Self {
            model: model.to_owned(),
            n_ctx: None,
            n_gpu_layers: None,
            threads: None,
            n_batch: None,
            n_ubatch: None,
            type_k: None,
            type_v: None,
            flash_attn: None,
        }
    }
}
