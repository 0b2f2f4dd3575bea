//! The asynchronous part of a command: one thread, and Ctrl-C that asks first and kills second.

use crate::cli::failure::Failure;
use crate::protocol::exit::Exit;
use std::future::Future;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Runs a command's future to its end on this thread. The first SIGINT or SIGTERM cancels the token, so that the work can
/// end in order; the second ends the process with 130 at once.
pub fn block_on<T>(cancel: &CancellationToken, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?);
        let cancel = cancel.clone();
        let watcher = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if cancel.is_cancelled() {
                    std::process::exit(Exit::Interrupted as i32);
                }
                eprintln!("stopping; once more to stop at once");
                cancel.cancel();
            }
        });
        let result = work.await;
        watcher.abort();
        result
    })
}

fn watch(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(|e| Failure::failed(anyhow::Error::new(e).context("cannot watch for signals")))
}
