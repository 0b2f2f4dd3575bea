//! The door to llama.cpp: a model, a context over it, tokens in and out. Safe to call, whatever the arguments.
//!
//! llama-cpp-2 keeps its model and context pointers to itself, and neither the sampler of libcommon nor the abort
//! callback can do without them; so these two wrap llama-cpp-sys-2, and everything that can end the process is clamped
//! here: batches to the allocated size, sequences to those that there are, positions left to llama.cpp or judged by it.

mod allocator;
pub mod bare;
mod branches;
mod context;
mod log;
mod model;
mod parameters;
mod state;

pub use allocator::{Machine, devices};
pub use branches::Placed;
pub use context::{Context, Decoded};
pub use log::echo_log;
pub use model::{Model, Special};
pub use parameters::Parameters;
pub use state::Part;

use crate::engine::bridge;
use llama_cpp_sys_2 as sys;
use serde::{Deserialize, Serialize};
use std::ptr::null_mut;
use std::sync::Once;

/// A token of the model's vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[repr(transparent)]
pub struct Token(pub sys::llama_token);

/// A context's main sequence: the conversation.
const SEQUENCE: sys::llama_seq_id = 0;

/// Starts llama.cpp, once per process.
pub fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        bridge::quiet();
        // SAFETY: called once, before anything else of llama.cpp.
        unsafe {
            sys::llama_log_set(Some(log::log), null_mut());
            sys::llama_backend_init();
        }
    });
}
