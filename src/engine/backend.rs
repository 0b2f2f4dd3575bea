//! What the engine process runs: a loaded model, asked one thing at a time.
//!
//! A backend blocks. The engine process gives it a thread of its own, so nothing here is asynchronous, and nothing here
//! knows sockets, clients or queues.

use crate::engine::EngineError;
use crate::protocol::turn::{Delta, EngineInfo, Rendered, Reply, ScoreRequest, Scores, TurnRequest};
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

    /// Generates several turns that begin alike; the replies come in the order of the requests. The sink hears of loading and
    /// prefill, not of what is written. One after another, unless the backend can do better ([`EngineInfo::forks`]).
    fn turns(
        &mut self,
        requests: &[TurnRequest],
        sink: &mut dyn FnMut(Delta),
        cancel: &AtomicBool,
    ) -> Result<Vec<Reply>, EngineError> {
        one_by_one(self, requests, sink, cancel)
    }

    /// Does what can wait: called when there has been no work for a while, and before the end. Asks `interrupted` between steps,
    /// none longer than copying the cache, and returns once it is true.
    fn rest(&mut self, _interrupted: &mut dyn FnMut() -> bool) {}

    /// Counts the tokens of a text that would stand inside a message: no special tokens are added or parsed.
    fn count(&mut self, text: &str) -> Result<Tokens, EngineError>;

    /// Renders the prompt of a request without generating. `None` where there is no template to see.
    fn render(&mut self, request: &TurnRequest) -> Result<Option<Rendered>, EngineError>;

    /// Says how likely texts are as the model's answer. Reads `cancel` and keeps the cache as `turn` does: a turn that goes on
    /// from the conversation finds it there. `None` where the model cannot say, and once it is cancelled.
    fn score(
        &mut self,
        request: &ScoreRequest,
        sink: &mut dyn FnMut(Delta),
        cancel: &AtomicBool,
    ) -> Result<Option<Scores>, EngineError>;
}

/// Generates turns one after another, with the sink hearing of all but what is written.
pub fn one_by_one(
    backend: &mut (impl Backend + ?Sized),
    requests: &[TurnRequest],
    sink: &mut dyn FnMut(Delta),
    cancel: &AtomicBool,
) -> Result<Vec<Reply>, EngineError> {
    let mut unwritten = |delta: Delta| {
        if !delta.is_written() {
            sink(delta);
        }
    };
    requests.iter().map(|request| backend.turn(request, &mut unwritten, cancel)).collect()
}

/// The most tokens of one batch whose logits are kept, where nothing else is asked for: enough that scoring has whole
/// batches, few enough to cost little (4 bytes for each and each token of the vocabulary).
pub const OUTPUTS: u32 = 32;

/// How a model is to be loaded. What is `None` is left to the plan, and by that filled in before anything is loaded. Two
/// front ends share an engine process only when these are equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadOptions {
    /// The model's file, the first of a split one.
    pub model: PathBuf,
    /// The window in tokens.
    pub n_ctx: Option<u32>,
    /// Layers on the accelerators; -1 is all of them.
    pub n_gpu_layers: Option<i32>,
    /// Each accelerator's part of these layers, in llama.cpp's order.
    pub tensor_split: Option<Vec<f32>>,
    /// For each accelerator, how many of its layers keep their experts on the host, from the first one on.
    pub expert_layers_on_cpu: Option<Vec<u32>>,
    /// The layers that this comes to for the model, by number. Filled in by the plan.
    #[serde(default)]
    pub host_experts: Vec<u32>,
    /// Whether accelerators compute large batches of what stays on the host. Filled in by the plan.
    #[serde(default)]
    pub offload: Option<bool>,
    pub threads: Option<u32>,
    /// The most tokens of one logical batch.
    pub n_batch: Option<u32>,
    /// The most tokens of one physical batch.
    pub n_ubatch: Option<u32>,
    /// The most tokens of one batch whose logits are kept; 1 where no texts are scored.
    pub n_outputs: Option<u32>,
    /// The cache's type for keys, as llama.cpp names it (`f16`, `q8_0`).
    pub type_k: Option<String>,
    /// The cache's type for values.
    pub type_v: Option<String>,
    pub flash_attn: Option<bool>,
    /// Whether sliding-window layers cache the whole window.
    pub swa_full: Option<bool>,
    /// How large the window may become while the engine runs, at most what the model was trained for, when a conversation
    /// outgrows it and memory is free. Filled in by whoever plans a window that nobody asked for.
    #[serde(default)]
    pub grow_to: Option<u32>,
}

impl LoadOptions {
    /// A model with everything left to the backend.
    pub fn of(model: &Path) -> Self {
        Self {
            model: model.to_owned(),
            n_ctx: None,
            n_gpu_layers: None,
            tensor_split: None,
            expert_layers_on_cpu: None,
            host_experts: Vec::new(),
            offload: None,
            threads: None,
            n_batch: None,
            n_ubatch: None,
            n_outputs: None,
            type_k: None,
            type_v: None,
            flash_attn: None,
            swa_full: None,
            grow_to: None,
        }
    }
}
