//! How much window to allocate when nobody said: what the model was trained for, what an agent uses, what the host has.

use crate::engine::EngineError;
use crate::engine::backend::LoadOptions;
use crate::engine::bridge::{MemoryTrial, memory_trial};
use crate::engine::llama::{Parameters, devices};
use crate::units::Bytes;

/// Windows to try, largest first. 32,768 is what an agent's task needs; under 4,096 no turn fits.
const LADDER: [u32; 7] = [32_768, 24_576, 16_384, 12_288, 8_192, 6_144, 4_096];
/// What is left to everything else on the host.
const HOST_RESERVE: Bytes = Bytes(512 << 20);

/// Turns options into parameters, choosing the window by the host's available memory and, where there are accelerators,
/// the placement by llama.cpp's own fit.
pub fn parameters(options: &LoadOptions) -> Result<Parameters, EngineError> {
    let mut parameters = Parameters::new(options)?;
    if options.n_ctx.is_none() {
        let available = available_memory();
        let trial = |window: u32| {
            let mut at = Parameters::new(options)?;
            at.context.n_ctx = window;
            memory_trial(&options.model, &at.model, &at.context)
                .map_err(|e| EngineError::Load { path: options.model.clone(), reason: e.to_string() })
        };
        parameters.context.n_ctx = choose(trial, available)?;
    }
    if options.n_gpu_layers.is_none() && devices().iter().any(|d| d.kind != "cpu") {
        parameters.fit(&options.model);
    }
    Ok(parameters)
}

/// The largest window of the ladder that the model was trained for and whose host share fits; the smallest when none does
/// (loading then says what is missing).
pub fn choose(
    mut trial: impl FnMut(u32) -> Result<MemoryTrial, EngineError>,
    available: Option<Bytes>,
) -> Result<u32, EngineError> {
    let trained = trial(LADDER[LADDER.len() - 1])?.ctx_train.max(1);
    let mut candidates = LADDER.iter().copied().filter(|&w| w <= trained).peekable();
    let Some(&largest) = candidates.peek() else { return Ok(trained) };
    let Some(available) = available else { return Ok(largest) };
    let mut smallest = largest;
    for window in candidates {
        smallest = window;
        // Mapped weights count as well: a model that is paged in for each token is no model.
        let need = trial(window)?.devices.last().map_or(Bytes::ZERO, |host| host.model + host.context + host.compute);
        if need + HOST_RESERVE <= available {
            break;
        }
    }
    Ok(smallest)
}

/// Memory that the host can give without swapping. `None` where the system does not say.
pub fn available_memory() -> Option<Bytes> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes(kib * 1024))
}
