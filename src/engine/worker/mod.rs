//! The engine process: one loaded model behind one socket.
//!
//! Two sides. The model has a thread of its own, which loads it and then does one job after the other, blocking
//! (`model`). Everything else is asynchronous on the thread that called: each client is a visit (`visit`) that answers
//! `status`, `cancel` and `stop` at once, whatever the model is doing. Between them stands the queue (`queue`).
//!
//! The process ends when it is told to, when it had no work for a while, when the model cannot be loaded, and when the
//! model's thread breaks. Nothing is caught that might have left the model broken: front ends start another process.

mod model;
mod queue;
mod visit;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use crate::engine::EngineError;
use crate::engine::backend::{Backend, LoadOptions};
use crate::engine::runtime::private_dir;
use crate::engine::wire::{Fault, READY_LINE};
use crate::engine::worker::queue::Queue;
use crate::engine::worker::visit::Visit;
use crate::protocol::turn::EngineInfo;
use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a process whose model could not be loaded stays to tell someone why.
const HANDOVER: Duration = Duration::from_secs(10);
/// How long clients are given to take their last line.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long the model's thread is given to end. A load cannot be interrupted; the process then ends under it.
const UNLOAD: Duration = Duration::from_secs(5);

/// What an engine process is started with.
#[derive(Clone, Debug, PartialEq)]
pub struct ServeSettings {
    /// Where it answers. Its directory is made with mode 0700, and refused when others can enter it.
    pub socket: PathBuf,
    pub options: LoadOptions,
    /// How long it stays without work.
    pub idle: Duration,
    /// After how long without work the backend rests: see [`Backend::rest`].
    pub rest: Duration,
}

/// When an engine rests, where nothing else is asked for: a person who thinks for a minute has stopped, and an agent's tools
/// seldom run as long. States are written then, up to a gigabyte at a time, and disks wear.
pub const REST: Duration = Duration::from_secs(60);

/// Where the model stands.
#[derive(Clone, Debug)]
enum Phase {
    Loading { fraction: f32 },
    Ready(EngineInfo),
    Failed(Fault),
}

/// What the visits share.
struct House {
    options: LoadOptions,
    rest: Duration,
    started: Instant,
    phase: watch::Sender<Phase>,
    queue: Queue,
    stop: CancellationToken,
    /// A client was told why the model could not be loaded.
    told: Notify,
}

/// Runs an engine process until it is to end: binds the socket, prints one line on standard output once it answers, loads
/// the model in the background and serves it. SIGTERM and SIGINT end it as `stop` does. The socket is gone afterwards.
///
/// Errors when the directory is not safe, when another engine answers on the socket, and when the model cannot be loaded
/// or its thread broke; the process then is to end with the status of an engine error.
pub fn serve<B: Backend + 'static>(
    settings: ServeSettings,
    load: impl FnOnce(&LoadOptions, &mut dyn FnMut(f32)) -> Result<B, EngineError> + Send + 'static,
) -> Result<(), EngineError> {
    let listener = bind(&settings.socket)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unavailable)?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(unavailable)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(unavailable)?;
        let signalled = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let mut stdout = io::stdout();
        // Whoever started us may have left already: the socket answers all the same.
        let _ = writeln!(stdout, "{READY_LINE}").and_then(|()| stdout.flush());
        attend(listener, settings, load, signalled).await
    });
    // Not waited for: a model's thread that did not end in time is left to the end of the process.
    runtime.shutdown_background();
    ended
}

/// Serves on a socket that is bound already, until `interrupted` resolves or the process is to end for a reason of its own.
async fn attend<B: Backend + 'static>(
    listener: UnixListener,
    settings: ServeSettings,
    load: impl FnOnce(&LoadOptions, &mut dyn FnMut(f32)) -> Result<B, EngineError> + Send + 'static,
    interrupted: impl Future<Output = ()>,
) -> Result<(), EngineError> {
    let listener = tokio::net::UnixListener::from_std(listener).map_err(unavailable)?;
    let house = Arc::new(House {
        options: settings.options,
        rest: settings.rest,
        started: Instant::now(),
        phase: watch::Sender::new(Phase::Loading { fraction: 0.0 }),
        queue: Queue::new(),
        stop: CancellationToken::new(),
        told: Notify::new(),
    });
    let model = model::start(house.clone(), load).map_err(unavailable)?;
    let mut visits = JoinSet::new();
    let ended = {
        let mut ending = pin!(async {
            tokio::select! {
                biased;
                () = house.stop.cancelled() => Ok(()),
                () = interrupted => Ok(()),
                () = model.cancelled() => Err(break_down(&house).await),
                () = idle(&house, settings.idle) => Ok(()),
            }
        });
        loop {
            tokio::select! {
                biased;
                ended = &mut ending => break ended,
                Some(_) = visits.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => drop(visits.spawn(Visit::new(stream, house.clone()).attend())),
                    Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(e) => break Err(unavailable(e)),
                },
            }
        }
    };
    // First the name, then the listener: who finds the name gone starts an engine of their own, and binds a new one.
    let _ = fs::remove_file(&settings.socket);
    drop(listener);
    if ended.is_ok() || matches!(&*house.phase.borrow(), Phase::Failed(_)) {
        close(&house, visits, model).await;
    }
    ended
}

/// Says farewell to every client and waits for the model's memory to be free. The connections close after that, so that
/// a client which waits for the end of its own knows that a new engine has room.
async fn close(house: &House, mut visits: JoinSet<Visit>, model: CancellationToken) {
    house.stop.cancel();
    let mut ended = Vec::new();
    let farewell = async {
        while let Some(visit) = visits.join_next().await {
            ended.extend(visit.ok());
        }
    };
    // A client that reads nothing does not hold the others up.
    let _ = timeout(FAREWELL, farewell).await;
    house.queue.close();
    let _ = timeout(UNLOAD, model.cancelled()).await;
}

/// Says why the model's thread ended by itself, after someone was told when it is the model that could not be loaded. A
/// thread that broke is told to no one: clients see the process die, and ask the next one again.
async fn break_down(house: &House) -> EngineError {
    let failed = match &*house.phase.borrow() {
        Phase::Failed(fault) => Some(fault.clone()),
        Phase::Loading { .. } | Phase::Ready(_) => None,
    };
    let Some(fault) = failed else {
        return EngineError::Lost { reason: "the model's thread broke".into() };
    };
    let _ = timeout(HANDOVER, house.told.notified()).await;
    fault.into()
}

/// Resolves once the model is loaded and there was no work for `limit`. A client that is merely connected is no work: it
/// can start the engine again.
async fn idle(house: &House, limit: Duration) {
    let mut phase = house.phase.subscribe();
    // Both senders live as long as `house`: waiting for them does not fail.
    let _ = phase.wait_for(|phase| matches!(phase, Phase::Ready(_))).await;
    let mut open = house.queue.open();
    loop {
        let quiet = *open.borrow_and_update() == 0;
        if !quiet {
            let _ = open.changed().await;
        } else if timeout(limit, open.changed()).await.is_err() {
            return;
        }
    }
}

/// Binds the socket in a directory that only we can enter. A name that is left over from a process that died is taken
/// over; one that is answered is not.
fn bind(socket: &Path) -> Result<UnixListener, EngineError> {
    let dir =
        socket.parent().ok_or_else(|| EngineError::Unavailable(format!("`{}` is no path of a socket", socket.display())))?;
    private_dir(dir)?;
    if UnixStream::connect(socket).is_ok() {
        return Err(EngineError::Unavailable(format!("another engine answers on `{}`", socket.display())));
    }
    let _ = fs::remove_file(socket);
    let failed = |e: io::Error| EngineError::Unavailable(format!("cannot listen on `{}`: {e}", socket.display()));
    let listener = UnixListener::bind(socket).map_err(failed)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

fn unavailable(error: io::Error) -> EngineError {
    EngineError::Unavailable(error.to_string())
}
