//! `agent engine`: looks after the engine processes; and, hidden, is one.

use crate::boot;
use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::cli::interrupt::block_on;
use crate::engine::client::{self, StatusOrStale};
use crate::protocol::exit::Exit;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[derive(Debug, clap::Args)]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub struct Engine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Option<Serve>,
}

/// How a front end starts an engine: see `engine::client`.
#[derive(Debug, clap::Args)]
struct Serve {
    #[arg(long, hide = true)]
    socket: PathBuf,
    /// How to load, as JSON.
    #[arg(long, hide = true)]
    options: String,
    #[arg(long, hide = true)]
    idle_seconds: u64,
    /// Where states of the cache are kept.
    #[arg(long, hide = true)]
    states: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say which engines run and what they do
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End all engines and give their memory back
    Stop {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Engine {
    pub fn run(self, globals: Globals) -> Result<Exit, Failure> {
        // An engine reads no settings: all it needs was decided by whoever started it.
        if let Some(serve) = self.serve {
            boot::serve(serve.socket, &serve.options, Duration::from_secs(serve.idle_seconds), &serve.states)
                .map_err(|e| Failure::of(Exit::Engine, e))?;
            return Ok(Exit::Done);
        }
        let runtime = globals.ground(Vec::new())?.places.runtime;
        let cancel = CancellationToken::new();
        match self.command {
            None => Err(Failure::misuse("nothing to do", "`agent engine status` or `agent engine stop`")),
            Some(Command::Status { json }) => {
                let all = block_on(&cancel, async { Ok(client::status(&runtime).await) })?;
                if json {
                    answer::json(&all)?;
                } else {
                    answer::text(&in_words(&all))?;
                }
                Ok(Exit::Done)
            }
            Some(Command::Stop { json }) => {
                let stopped = block_on(&cancel, async { Ok(client::stop(&runtime).await) })?;
                if json {
                    answer::json(&json!({ "stopped": stopped }))?;
                } else {
                    answer::text(&format!("stopped: {stopped}\n"))?;
                }
                Ok(Exit::Done)
            }
        }
    }
}

fn in_words(all: &[StatusOrStale]) -> String {
    if all.is_empty() {
        return "no engine is running\n".into();
    }
    let line = |one: &StatusOrStale| match one {
        StatusOrStale::Running(status) => {
            let state = serde_json::to_value(status.state).ok();
            let state = state
                .as_ref()
                .and_then(|state| state.as_str().or_else(|| state["state"].as_str()))
                .unwrap_or("running")
                .to_owned();
            let window = status.window.map(|window| format!(", window {window}")).unwrap_or_default();
            let memory = status.rss.map(|rss| format!(", {}", rss.spoken())).unwrap_or_default();
            format!("{} (process {}): {state}{window}{memory}, up {} s\n", status.model, status.pid, status.uptime_seconds)
        }
        StatusOrStale::Stale { socket, reason } => format!("`{}` does not answer: {reason}\n", socket.display()),
    };
    all.iter().map(line).collect()
}
