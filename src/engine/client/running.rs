//! All engines of a runtime directory: what they do, and how to end them.

use crate::engine::runtime::{private_dir, sockets, sockets_dir, start_lock};
use crate::engine::wire::{LINE_LIMIT, Request, Response, Status, VERSION};
use crate::rpc::{self, Lines, RpcError};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::time::timeout;

/// How long an engine is given to say how it is. It answers at once, whatever its model does.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an engine is given to end.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// A socket, and what stands behind it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "engine", rename_all = "snake_case")]
pub enum StatusOrStale {
    Running(Status),
    /// Nobody answers.
    Stale {
        socket: PathBuf,
        reason: String,
    },
}

/// Asks every engine how it is, in order of their sockets' names. Empty where the directory is not there, or not ours.
pub async fn status(runtime: &Path) -> Vec<StatusOrStale> {
    let mut all = Vec::new();
    for socket in ours(runtime) {
        let answer = timeout(PATIENCE, ask(&socket, Request::Status)).await;
        all.push(match answer {
            Ok(Ok((Some(Response::Status(status)), _))) => StatusOrStale::Running(status),
            Ok(Ok((other, _))) => StatusOrStale::Stale { socket, reason: format!("it answered {other:?}") },
            Ok(Err(error)) => StatusOrStale::Stale { socket, reason: error.to_string() },
            Err(_) => StatusOrStale::Stale { socket, reason: "no answer".into() },
        });
    }
    all
}

/// Ends every engine and waits until their memory is free; returns how many there were. Sockets that nobody answers on
/// are removed.
pub async fn stop(runtime: &Path) -> usize {
    let mut stopped = 0;
    for socket in ours(runtime) {
        match timeout(PATIENCE, ask(&socket, Request::Stop)).await {
            Ok(Ok((Some(Response::Stopping), mut lines))) => {
                stopped += 1;
                let ended = async { while let Ok(Some(_)) = lines.next::<Response>().await {} };
                // One that hangs in its model is counted all the same: it was told.
                let _ = timeout(END_PATIENCE, ended).await;
            }
            Ok(Err(RpcError::Io(_))) => sweep(&socket).await,
            _ => {}
        }
    }
    stopped
}

fn ours(runtime: &Path) -> Vec<PathBuf> {
    let dir = sockets_dir(runtime);
    // Looking must not make it.
    if dir.is_dir() && private_dir(&dir).is_ok() { sockets(&dir) } else { Vec::new() }
}

/// Greets the engine and asks one thing. The connection comes with the answer.
async fn ask(socket: &Path, request: Request) -> Result<(Option<Response>, Lines<OwnedReadHalf>), RpcError> {
    let (reader, mut writer) = UnixStream::connect(socket).await?.into_split();
    let mut lines = Lines::new(reader, LINE_LIMIT);
    rpc::write(&mut writer, &Request::Hello { version: VERSION }).await?;
    rpc::write(&mut writer, &request).await?;
    let mut answer = lines.next().await?;
    if matches!(answer, Some(Response::Hello { .. })) {
        answer = lines.next().await?;
    }
    Ok((answer, lines))
}

/// Removes a socket that nobody answers on, unless someone is just starting an engine there.
async fn sweep(socket: &Path) {
    let Some(dir) = socket.parent() else { return };
    let Ok(_lock) = start_lock(dir).await else { return };
    if UnixStream::connect(socket).await.is_err() {
        let _ = fs::remove_file(socket);
    }
}
