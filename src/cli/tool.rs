//! `agent tool`: one tool, run as the model would call it. The caller is the user: no session, no approvals.

use crate::boot;
use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::cli::interrupt::block_on;
use crate::protocol::exit::Exit;
use crate::protocol::message::Call;
use crate::protocol::tool::ToolAnswer;
use crate::tools::{Mode, Sizes, Workbench};
use std::io::{IsTerminal, Read};
use tokio_util::sync::CancellationToken;

/// The most seconds that a command of `agent tool run` may take, whatever the call asks for.
const MOST_SECONDS: u64 = 3600;

#[derive(Debug, clap::Args)]
pub struct Tool {
    /// The tool: read, search, symbols, edit, write, run, …
    name: String,
    /// Its arguments as a JSON object; read from stdin when not given
    #[arg(value_name = "JSON")]
    arguments: Option<String>,
}

impl Tool {
    /// Prints the tool's answer as JSON; 0 when it is ok, 1 when not, 2 when there is no such tool.
    pub fn run(self, globals: Globals) -> Result<Exit, Failure> {
        let ground = globals.ground(Vec::new())?;
        let toolbox = boot::toolbox();
        let known: Vec<String> = toolbox.cards(Mode::CommandLine).into_iter().map(|card| card.name).collect();
        if !known.contains(&self.name) {
            return Err(Failure::misuse(format!("no tool `{}`", self.name), format!("the tools are {}", known.join(", "))));
        }
        let arguments = self.arguments.map_or_else(from_stdin, Ok)?;
        let call = Call { id: "1".into(), name: self.name, arguments };
        let cancel = CancellationToken::new();
        let mut bench = Workbench {
            root: ground.root,
            sizes: Sizes::FULL,
            reads: None,
            logs: ground.places.state.join("logs"),
            jobs: None,
            // The caller is the user, who may run what is theirs.
            checks: boot::checks(&ground.resolved.settings),
            max_seconds: MOST_SECONDS,
            cancel: cancel.clone(),
        };
        let work = move || match toolbox.check(&call, Mode::CommandLine) {
            Ok(checked) => toolbox.perform(&mut bench, &checked),
            Err(failure) => ToolAnswer::failed(&failure.kind, failure.message, failure.hint),
        };
        let done = block_on(&cancel, async { tokio::task::spawn_blocking(work).await.map_err(Failure::failed) })?;
        answer::json(&done)?;
        Ok(match (done.ok, cancel.is_cancelled()) {
            (true, _) => Exit::Done,
            (false, true) => Exit::Interrupted,
            (false, false) => Exit::Failed,
        })
    }
}

/// The arguments from a pipe. A terminal is not waited for, and nothing at all means no arguments.
fn from_stdin() -> Result<String, Failure> {
    let (mut text, mut stdin) = (String::new(), std::io::stdin().lock());
    if !stdin.is_terminal() {
        stdin.read_to_string(&mut text).map_err(|e| Failure::failed(anyhow::Error::new(e).context("cannot read stdin")))?;
    }
    Ok(if text.trim().is_empty() { "{}".into() } else { text })
}
