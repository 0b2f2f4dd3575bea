//! The model's own thread: loads it, then does one job after the other.

use crate::engine::EngineError;
use crate::engine::backend::{Backend, LoadOptions};
use crate::engine::wire::Response;
use crate::engine::worker::queue::{Job, Next, Work};
use crate::engine::worker::{House, Phase};
use crate::protocol::turn::EngineInfo;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long the last rest may be: whoever ends an engine waits for its memory.
const LAST_REST: Duration = Duration::from_secs(3);

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
    let mut rested = true;
    loop {
        match house.queue.next((!rested).then_some(house.rest)) {
            Next::Job(job) => {
                rested = false;
                let answers = job.answers.clone();
                let answer = perform(&mut backend, job);
                follow(house, backend.info());
                house.queue.finish();
                // Its client may be gone: then nobody hears the answer.
                let _ = answers.send(answer.unwrap_or_else(|error| Response::Error(error.into())));
            }
            Next::Rest => {
                backend.rest(&mut || house.queue.is_wanted());
                rested = true;
            }
            Next::Closed => break,
        }
    }
    let until = Instant::now() + LAST_REST;
    backend.rest(&mut || Instant::now() >= until);
}

/// Tells the visits when the window is no longer the one that was loaded.
fn follow(house: &House, info: EngineInfo) {
    house.phase.send_if_modified(|phase| {
        let changed = !matches!(phase, Phase::Ready(known) if *known == info);
        *phase = Phase::Ready(info);
        changed
    });
}

fn perform(backend: &mut impl Backend, job: Job) -> Result<Response, EngineError> {
    match job.work {
        Work::Turn(request) => {
            let mut sink = |delta| drop(job.answers.send(Response::Delta(delta)));
            backend.turn(&request, &mut sink, &job.cancel).map(Response::Reply)
        }
        Work::Turns(requests) => {
            let mut sink = |delta| drop(job.answers.send(Response::Delta(delta)));
            backend.turns(&requests, &mut sink, &job.cancel).map(|replies| Response::Replies { replies })
        }
        Work::Score(request) => {
            let mut sink = |delta| drop(job.answers.send(Response::Delta(delta)));
            backend.score(&request, &mut sink, &job.cancel).map(|scores| Response::Scores { scores })
        }
        Work::Count(text) => backend.count(&text).map(|tokens| Response::Count { tokens }),
        Work::Render(request) => backend.render(&request).map(|rendered| Response::Rendered { rendered }),
    }
}
