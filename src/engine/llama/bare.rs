//! The yardstick: the same model through llama-cpp-2 as its own examples use it, with nothing of ours in between.

use crate::engine::EngineError;
use crate::engine::backend::LoadOptions;
use crate::engine::bridge;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::sampling::LlamaSampler;
use std::fmt::Display;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A model loaded bare.
pub struct Bare {
    backend: LlamaBackend,
    model: LlamaModel,
    path: PathBuf,
    threads: i32,
    window: Option<NonZeroU32>,
    batch: u32,
}

/// What one bare run took.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    pub prompt: usize,
    pub prefill: Duration,
    pub generated: usize,
    pub decode: Duration,
}

impl Bare {
    /// Loads with the options that matter to speed; the rest is the crate's default.
    pub fn load(options: &LoadOptions, window: u32) -> Result<Self, EngineError> {
        let path = options.model.clone();
        let backend = LlamaBackend::init().map_err(|e| EngineError::Unavailable(e.to_string()))?;
        let params = match options.n_gpu_layers.and_then(|n| u32::try_from(n).ok()) {
            Some(layers) => LlamaModelParams::default().with_n_gpu_layers(layers),
            None => LlamaModelParams::default(),
        };
        let model = LlamaModel::load_from_file(&backend, &path, &params)
            .map_err(|e| EngineError::Load { path: path.clone(), reason: e.to_string() })?;
        let threads = options.threads.map_or_else(bridge::cpu_threads, |t| t.clamp(1, 512) as i32);
        Ok(Self { backend, model, path, threads, window: NonZeroU32::new(window), batch: options.n_batch.unwrap_or(512) })
    }

    /// Processes a text and generates up to `limit` tokens, drawn as our engine draws them by default.
    pub fn run(&self, text: &str, limit: usize, seed: u32) -> Result<Timed, EngineError> {
        let params = LlamaContextParams::default()
            .with_n_ctx(self.window)
            .with_n_batch(self.batch)
            .with_n_ubatch(self.batch)
            .with_n_threads(self.threads)
            .with_n_threads_batch(self.threads);
        let mut context = self.model.new_context(&self.backend, params).map_err(|e| self.failed(e))?;
        let vocab = self.model.vocab();
        let tokens = vocab.tokenize(text.as_bytes(), true, true);
        let mut batch = LlamaBatch::new(self.batch as usize, 1);
        let start = Instant::now();
        for (index, piece) in tokens.chunks(self.batch as usize).enumerate() {
            batch.clear();
            for (i, token) in piece.iter().enumerate() {
                let position = index * self.batch as usize + i;
                batch.add(*token, position as i32, &[0], position + 1 == tokens.len()).map_err(|e| self.failed(e))?;
            }
            context.decode(&mut batch).map_err(|e| self.failed(e))?;
        }
        context.synchronize();
        let prefill = start.elapsed();
        let start = Instant::now();
        let generated = self.generate(&mut context, tokens.len(), limit, seed)?;
        Ok(Timed { prompt: tokens.len(), prefill, generated, decode: start.elapsed() })
    }

    fn generate(&self, context: &mut LlamaContext<'_>, from: usize, limit: usize, seed: u32) -> Result<usize, EngineError> {
        let chain = [
            LlamaSampler::top_k(40),
            LlamaSampler::top_p(0.95, 1),
            LlamaSampler::min_p(0.05, 1),
            LlamaSampler::temp(0.8),
            LlamaSampler::dist(seed),
        ];
        let mut sampler = LlamaSampler::chain_simple(chain);
        let mut batch = LlamaBatch::new(1, 1);
        for generated in 0..limit {
            let token = sampler.sample(context, -1);
            if self.model.vocab().is_eog(token) {
                return Ok(generated);
            }
            batch.clear();
            batch.add(token, (from + generated) as i32, &[0], true).map_err(|e| self.failed(e))?;
            context.decode(&mut batch).map_err(|e| self.failed(e))?;
        }
        context.synchronize();
        Ok(limit)
    }

    fn failed(&self, error: impl Display) -> EngineError {
        EngineError::Load { path: self.path.clone(), reason: error.to_string() }
    }
}
