//! The asynchronous part of a command: one thread, and Ctrl-C that asks first and kills second.

use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::protocol::exit::Exit;
use std::future::Future;
use std::io;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Runs a command's future to its end on this thread. The first SIGINT or SIGTERM cancels the token, so that the work can
/// end in order; the second ends the process with 130 at once.
pub fn block_on<T>(cancel: &CancellationToken, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    watch(cancel.clone()).map_err(|e| Failure::failed(anyhow::Error::new(e).context("cannot watch for signals")))?;
    runtime().map_err(Failure::failed)?.block_on(work)
}

/// Watches from a thread of its own: the work may be reading a large tree, and hears nothing meanwhile.
fn watch(cancel: CancellationToken) -> io::Result<()> {
    let runtime = runtime()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let watching = async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if cancel.is_cancelled() {
                std::process::exit(Exit::Interrupted as i32);
            }
            answer::aside("stopping; once more to stop at once");
            cancel.cancel();
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(watching)).map(drop)
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
