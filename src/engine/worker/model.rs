//! The model's own thread: loads it, then does one job after the other.

use crate::engine::EngineError;
use crate::engine::backend::{Backend, LoadOptions};
use crate::engine::wire::Response;
use crate::engine::worker::queue::{Job, Work};
use crate::engine::worker::{House, Phase};
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use tokio_util::sync::CancellationToken;

/// Starts the thread. The token is cancelled when it has ended, with the model freed: after the queue was closed, after the
/// load failed, or because it panicked.
pub fn start<B: Backend + 'static>(
    house: Arc<House>,
    load: impl FnOnce(&LoadOptions, &mut dyn FnMut(f32)) -> Result<B, EngineError> + Send + 'static,
) -> io::Result<CancellationToken> {
    let ended = CancellationToken::new();
    let alive = ended.clone().drop_guard();
    thread::Builder::new().name("model".into()).spawn(move || {
        // Moved in, so that a panic drops it too.
        let _alive = alive;
        live(&house, load);
    })?;
    Ok(ended)
}

fn live<B: Backend>(house: &House, load: impl FnOnce(&LoadOptions, &mut dyn FnMut(f32)) -> Result<B, EngineError>) {
    let mut progress = |fraction: f32| {
        // JSON has no NaN: it would arrive as null and break the line.
        let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
        house.phase.send_replace(Phase::Loading { fraction });
    };
    let mut backend = match load(&house.options, &mut progress) {
        Ok(backend) => backend,
        Err(error) => {
            // The log may be on a full disk.
            let _ = writeln!(io::stderr(), "{error}");
            house.phase.send_replace(Phase::Failed(error.into()));
            return;
        }
    };
    house.phase.send_replace(Phase::Ready(backend.info()));
    while let Some(job) = house.queue.next() {
        let answers = job.answers.clone();
        let answer = perform(&mut backend, job);
        house.queue.finish();
        // Its client may be gone: then nobody hears the answer.
        let _ = answers.send(answer.unwrap_or_else(|error| Response::Error(error.into())));
    }
}

fn perform(backend: &mut impl Backend, job: Job) -> Result<Response, EngineError> {
    match job.work {
        Work::Turn(request) => {
            let mut sink = |delta| drop(job.answers.send(Response::Delta(delta)));
            backend.turn(&request, &mut sink, &job.cancel).map(Response::Reply)
        }
        Work::Score(request) => {
            let mut sink = |delta| drop(job.answers.send(Response::Delta(delta)));
            backend.score(&request, &mut sink, &job.cancel).map(|scores| Response::Scores { scores })
        }
        Work::Count(text) => backend.count(&text).map(|tokens| Response::Count { tokens }),
        Work::Render(request) => backend.render(&request).map(|rendered| Response::Rendered { rendered }),
    }
}
