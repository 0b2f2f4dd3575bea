//! Loading options in llama.cpp's own form.

use crate::engine::EngineError;
use crate::engine::backend::{LoadOptions, OUTPUTS};
use crate::engine::bridge;
use crate::engine::llama::{Model, start};
use crate::engine::memory::Fit;
use crate::units::Bytes;
use llama_cpp_sys_2 as sys;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};

/// Loading parameters, with the storage that they point into.
pub struct Parameters {
    pub model: sys::llama_model_params,
    pub context: sys::llama_context_params,
    _split: Vec<f32>,
    _overrides: Vec<sys::llama_model_tensor_buft_override>,
    _pattern: Option<CString>,
    _devices: Vec<sys::ggml_backend_dev_t>,
}

const NO_OVERRIDE: sys::llama_model_tensor_buft_override =
    sys::llama_model_tensor_buft_override { pattern: null(), buft: null_mut() };

impl Parameters {
    /// Translates options, for these devices alone; all that llama.cpp finds when there are none. Errors on a cache type
    /// that llama.cpp does not have.
    pub fn new(options: &LoadOptions, devices: &[sys::ggml_backend_dev_t]) -> Result<Self, EngineError> {
        start();
        // SAFETY: plain data.
        let (mut model, mut context) = unsafe { (sys::llama_model_default_params(), sys::llama_context_default_params()) };
        model.n_gpu_layers = options.n_gpu_layers.unwrap_or(-1);
        let split = padded(options.tensor_split.as_deref().unwrap_or_default());
        if split.iter().any(|part| *part > 0.0) {
            model.tensor_split = split.as_ptr();
        }
        let (pattern, overrides) = on_host(&options.host_experts);
        if pattern.is_some() {
            model.tensor_buft_overrides = overrides.as_ptr();
        }
        let mut devices = devices.to_vec();
        if !devices.is_empty() {
            devices.push(null_mut());
            model.devices = devices.as_mut_ptr();
        }
        let threads = options.threads.map_or_else(bridge::cpu_threads, |t| t.clamp(1, 512) as i32);
        context.n_threads = threads;
        context.n_threads_batch = threads;
        context.n_ctx = options.n_ctx.unwrap_or(0);
        context.n_batch = options.n_batch.unwrap_or(512).max(1);
        context.n_ubatch = options.n_ubatch.unwrap_or(512).clamp(1, context.n_batch);
        context.n_seq_max = 1;
        context.kv_unified = true;
        context.swa_full = options.swa_full.unwrap_or(false);
        // A turn asks for the last token's logits alone: with a few instead of all, gpt-oss-20b's compute buffer shrinks from
        // 424 to 99 MiB.
        context.n_outputs_max = options.n_outputs.unwrap_or(OUTPUTS).clamp(1, context.n_batch);
        context.op_offload = options.offload.unwrap_or(true);
        context.no_perf = true;
        context.flash_attn_type = match options.flash_attn {
            None => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
            Some(true) => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
            Some(false) => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
        };
        if let Some(name) = &options.type_k {
            context.type_k = cache_type(name)?;
        }
        if let Some(name) = &options.type_v {
            context.type_v = cache_type(name)?;
        }
        Ok(Self { model, context, _split: split, _overrides: overrides, _pattern: pattern, _devices: devices })
    }

    /// How many sequences a model's context has: the conversation, and branches of it to score texts on. In a unified cache they
    /// share cells and graphs, and take some rows of buffers. The largest is that of logits, on the host, with a row for each
    /// from the start: 19 MiB with 152,000 tokens in the vocabulary.
    ///
    /// One sequence where another would take memory: a sliding-window cache grows by a window for each, and a running state
    /// is whole for each.
    pub fn sequences(&self, model: &Model) -> u32 {
        if model.is_recurrent() || model.sliding_window() > 0 { 1 } else { self.branches() }
    }

    /// The same where another one takes no memory to speak of.
    pub fn branches(&self) -> u32 {
        /// `LLAMA_MAX_SEQ`.
        const MOST: u32 = 256;
        // llama.cpp ends the process where there are more of them than outputs, and rounds the graph's batch up to a multiple.
        let most = self.context.n_outputs_max.min(self.context.n_ubatch).min(MOST);
        (1..=most).rev().find(|count| self.context.n_ubatch.is_multiple_of(*count)).unwrap_or(1)
    }

    /// Asks llama.cpp's own fit which layers and experts go to the accelerators, for the window that is set. `None` when it
    /// finds nothing, or when a placement was set already.
    pub fn fit(&self, path: &Path, margins: &[Bytes]) -> Option<Fit> {
        // SAFETY: plain numbers.
        let (devices, most) = unsafe { (sys::llama_max_devices(), sys::llama_max_tensor_buft_overrides()) };
        let mut split = vec![0.0_f32; devices];
        let mut overrides = vec![NO_OVERRIDE; most];
        let mut keep: Vec<usize> = margins.iter().map(|margin| usize::try_from(margin.0).unwrap_or(usize::MAX)).collect();
        keep.resize(devices.max(1), 0);
        let file = CString::new(path.as_os_str().as_bytes()).ok()?;
        let (mut model, mut context) = (self.model, self.context);
        // SAFETY: every buffer has the length that llama.cpp asks for and outlives the call.
        let status = unsafe {
            sys::llama_rs_fit_params(
                file.as_ptr(),
                &mut model,
                &mut context,
                split.as_mut_ptr(),
                overrides.as_mut_ptr(),
                keep.as_mut_ptr(),
                self.context.n_ctx,
                null(),
                sys::GGML_LOG_LEVEL_ERROR,
            )
        };
        if status != 0 {
            return None;
        }
        split.truncate(margins.len());
        if split.iter().all(|part| *part <= 0.0) {
            split.clear();
        }
        let patterns = overrides.iter().take_while(|one| !one.pattern.is_null());
        // SAFETY: the patterns are strings of llama.cpp's that live as long as the process.
        let patterns = patterns.map(|one| unsafe { CStr::from_ptr(one.pattern) });
        let overflowing = patterns.filter_map(|pattern| layer_of(pattern.to_str().ok()?)).collect();
        Some(Fit { n_gpu_layers: model.n_gpu_layers, tensor_split: split, overflowing })
    }
}

/// llama.cpp reads one number for each device that it could have.
fn padded(split: &[f32]) -> Vec<f32> {
    // SAFETY: a plain number.
    let devices = unsafe { sys::llama_max_devices() };
    let mut split = split.to_vec();
    split.resize(split.len().max(devices), 0.0);
    split
}

/// The override that keeps some layers' experts on the host, fused ones too, and the end of the list.
fn on_host(layers: &[u32]) -> (Option<CString>, Vec<sys::llama_model_tensor_buft_override>) {
    if layers.is_empty() {
        return (None, vec![NO_OVERRIDE]);
    }
    let numbers = layers.iter().map(u32::to_string).collect::<Vec<_>>().join("|");
    let pattern = format!(r"blk\.({numbers})\.ffn_(up|down|gate|gate_up)_(ch|)exps");
    let pattern = CString::new(pattern).expect("numbers and a fixed pattern hold no NUL byte");
    // SAFETY: llama.cpp's own constant.
    let buft = unsafe { sys::ggml_backend_cpu_buffer_type() };
    let overrides = vec![sys::llama_model_tensor_buft_override { pattern: pattern.as_ptr(), buft }, NO_OVERRIDE];
    (Some(pattern), overrides)
}

/// The layer that one of the fit's patterns is about: `blk\.12\.ffn_…`.
fn layer_of(pattern: &str) -> Option<u32> {
    pattern.strip_prefix(r"blk\.")?.split('\\').next()?.parse().ok()
}

/// The name of a cache type, as llama.cpp spells it.
fn cache_type(name: &str) -> Result<sys::ggml_type, EngineError> {
    Ok(match name {
        "f32" => sys::GGML_TYPE_F32,
        "f16" => sys::GGML_TYPE_F16,
        "bf16" => sys::GGML_TYPE_BF16,
        "q8_0" => sys::GGML_TYPE_Q8_0,
        "q5_0" => sys::GGML_TYPE_Q5_0,
        "q5_1" => sys::GGML_TYPE_Q5_1,
        "q4_0" => sys::GGML_TYPE_Q4_0,
        "q4_1" => sys::GGML_TYPE_Q4_1,
        "iq4_nl" => sys::GGML_TYPE_IQ4_NL,
        _ => {
            return Err(EngineError::Unavailable(format!(
                "`{name}` is no cache type (f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl, f32)"
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::engine::llama::parameters::{layer_of, on_host};

    #[test]
    fn experts_are_named_by_layer_fused_ones_too() {
        let (pattern, overrides) = on_host(&[0, 1, 12]);
        assert_eq!(pattern.unwrap().to_str(), Ok(r"blk\.(0|1|12)\.ffn_(up|down|gate|gate_up)_(ch|)exps"));
        assert!(!overrides[0].pattern.is_null() && overrides[1].pattern.is_null());
        assert!(on_host(&[]).0.is_none());
    }

    #[test]
    fn the_fits_patterns_name_their_layer() {
        assert_eq!(layer_of(r"blk\.12\.ffn_(gate|up|gate_up|down).*"), Some(12));
        assert_eq!(layer_of(r"blk\.\d+\.ffn_(up|down)_(ch|)exps"), None);
    }
}
