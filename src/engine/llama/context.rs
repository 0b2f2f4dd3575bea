//! A context over a model: its window, and the tokens that its cache holds.

use crate::engine::EngineError;
use crate::engine::llama::log::{forget_log, reason};
use crate::engine::llama::{Model, Parameters, SEQUENCE, Token};
use llama_cpp_sys_2 as sys;
use std::ffi::c_void;
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    Done,
    /// The cancel flag was seen; what of the batch was processed is in the cache.
    Cancelled,
    /// The cache has no room.
    Full,
}

/// A context over a model: a conversation in one window, and branches of it where the cache can have them.
pub struct Context {
    pub(in crate::engine::llama) raw: NonNull<sys::llama_context>,
    /// The most tokens of one batch whose logits are kept.
    pub(in crate::engine::llama) outputs: usize,
    /// Where the abort callback finds the flag of the turn that runs; null between turns. Not a `Box`: llama.cpp keeps a
    /// pointer into it, and moving a box claims that nobody does.
    flag: Arc<AtomicPtr<AtomicBool>>,
    /// The context points into the model.
    pub(in crate::engine::llama) model: Arc<Model>,
}

// SAFETY: a context may move between threads, not be shared.
unsafe impl Send for Context {}

impl Context {
    /// Allocates the window. The error carries llama.cpp's own reason.
    pub fn new(model: &Arc<Model>, parameters: &Parameters, path: &Path) -> Result<Self, EngineError> {
        unsafe extern "C" fn aborted(data: *mut c_void) -> bool {
            // SAFETY: `data` is the pointer below, which outlives the context; the flag outlives the turn that sets it.
            unsafe {
                let flag = (*data.cast::<AtomicPtr<AtomicBool>>()).load(Ordering::Acquire);
                !flag.is_null() && (*flag).load(Ordering::Relaxed)
            }
        }
        forget_log();
        let flag = Arc::new(AtomicPtr::new(null_mut()));
        let mut params = parameters.context;
        params.n_seq_max = parameters.sequences(model);
        params.abort_callback = Some(aborted);
        params.abort_callback_data = Arc::as_ptr(&flag).cast_mut().cast();
        // SAFETY: the model is live and outlives the context.
        let raw = unsafe { sys::llama_init_from_model(model.raw.as_ptr(), params) };
        let failed = || EngineError::Load {
            path: path.to_owned(),
            reason: format!("no context of {} tokens: {}", params.n_ctx, reason()),
        };
        let outputs = params.n_outputs_max as usize;
        Ok(Self { raw: NonNull::new(raw).ok_or_else(failed)?, outputs, flag, model: Arc::clone(model) })
    }

    pub fn as_ptr(&mut self) -> *mut sys::llama_context {
        self.raw.as_ptr()
    }

    /// The window that was allocated, in tokens.
    pub fn window(&self) -> u32 {
        // SAFETY: the context is live.
        unsafe { sys::llama_n_ctx(self.raw.as_ptr()) }
    }

    /// The most tokens of one `decode`.
    pub fn batch(&self) -> usize {
        // SAFETY: the context is live.
        unsafe { sys::llama_n_batch(self.raw.as_ptr()) }.max(1) as usize
    }

    /// Processes up to [`batch`](Self::batch) tokens after what the cache holds; logits of the last one remain. After an
    /// error the cache is empty: what a failed batch leaves of it is not known.
    ///
    /// A recurrent model's batch runs to its end: its state, half advanced, could not go back, yet llama.cpp counts the
    /// whole batch as processed.
    pub fn decode(&mut self, tokens: &[Token], cancel: &AtomicBool) -> Result<Decoded, EngineError> {
        let tokens = &tokens[..tokens.len().min(self.batch())];
        if tokens.is_empty() {
            return Ok(Decoded::Done);
        }
        // SAFETY: the batch borrows the slice for the call only and is not written to; its length is within n_batch.
        unsafe {
            let batch = sys::llama_batch_get_one(tokens.as_ptr().cast::<sys::llama_token>().cast_mut(), tokens.len() as i32);
            self.process(batch, cancel)
        }
    }

    /// # Safety
    /// The batch's arrays have a row for each of its tokens, which are no more than `n_batch`.
    pub(in crate::engine::llama) unsafe fn process(
        &mut self,
        batch: sys::llama_batch,
        cancel: &AtomicBool,
    ) -> Result<Decoded, EngineError> {
        forget_log();
        if !self.model.is_recurrent() {
            self.flag.store((&raw const *cancel).cast_mut(), Ordering::Release);
        }
        // SAFETY: the context is live, and the batch is as the caller says.
        let status = unsafe { sys::llama_decode(self.raw.as_ptr(), batch) };
        self.flag.store(null_mut(), Ordering::Release);
        match status {
            0 => Ok(Decoded::Done),
            1 => Ok(Decoded::Full),
            2 => Ok(Decoded::Cancelled),
            _ => {
                self.forget();
                Err(EngineError::Lost { reason: format!("llama.cpp could not process a batch ({status}): {}", reason()) })
            }
        }
    }

    pub(in crate::engine::llama) fn memory(&self) -> sys::llama_memory_t {
        // SAFETY: the context is live.
        unsafe { sys::llama_get_memory(self.raw.as_ptr()) }
    }

    /// How many tokens the cache holds.
    pub fn held(&self) -> usize {
        // SAFETY: the context is live; -1 means empty.
        (unsafe { sys::llama_memory_seq_pos_max(self.memory(), SEQUENCE) } + 1).max(0) as usize
    }

    /// Waits until what was asked for is computed: a device works on by itself.
    pub fn wait(&mut self) {
        // SAFETY: the context is live.
        unsafe { sys::llama_synchronize(self.raw.as_ptr()) }
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        // SAFETY: the context is live.
        unsafe { sys::llama_memory_clear(self.memory(), true) }
    }

    /// Whether the cache can go back to `length` by itself: not a running state, nor a sliding window that has moved on.
    pub fn reaches(&self, length: usize) -> bool {
        let held = self.held();
        if length == held || self.model.is_recurrent() {
            return length == held;
        }
        // A sliding-window cache removes gladly what it cannot give back: its oldest cell tells.
        let (window, position) = (self.model.sliding_window(), length as sys::llama_pos);
        // SAFETY: the context is live.
        let oldest = unsafe { sys::llama_memory_seq_pos_min(self.memory(), SEQUENCE) };
        length < held && (window <= 0 || oldest <= (position - window).max(0))
    }

    /// Forgets everything from `length` on. False where the cache cannot go back so far, or holds less than that: it is
    /// empty then.
    pub fn truncate(&mut self, length: usize) -> bool {
        if length == self.held() {
            return true;
        }
        // SAFETY: the context is live; position and sequence are in range.
        let removed = || unsafe { sys::llama_memory_seq_rm(self.memory(), SEQUENCE, length as sys::llama_pos, -1) };
        if length > 0 && self.reaches(length) && removed() && self.held() == length {
            return true;
        }
        self.forget();
        false
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { sys::llama_free(self.raw.as_ptr()) }
    }
}
