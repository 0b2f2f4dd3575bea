//! What the model can do: one tool a file, its words and schema in `tools/*.toml`.
//!
//! `check` turns a call as the model made it into one that may run; `perform` runs it. Neither knows the loop.

mod card;
pub mod checks;
mod edit;
mod excerpt;
pub mod grounded;
mod patch;
mod read;
mod run;
mod search;
mod seen;
mod suggest;
mod symbols;
mod write;

use crate::path::Root;
use crate::protocol::message::Call;
use crate::protocol::tool::{ToolAnswer, ToolFailure};
use crate::protocol::turn::ToolCard;
use crate::sandbox::jobs::Jobs;
use crate::tools::card::Tool;
use crate::tools::checks::Checks;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// In which kind of work a tool is offered. Named in a tool's TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    Chat,
    Fix,
    Review,
    /// Whatever a model of a few million parameters does: the tools that it was trained with, their answers small.
    Micro,
    /// `agent tool`: everything, also what no model is offered.
    CommandLine,
}

/// What a tool can do to the world; approvals are decided on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    Read,
    Edit,
    Run,
}

/// A call that is whole, of a known tool, with arguments that satisfy its schema.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedCall {
    pub id: String,
    pub name: String,
    pub arguments: Value,
    pub effect: Effect,
}

/// What a tool works on.
#[derive(Debug)]
pub struct Workbench {
    pub root: Root,
    pub sizes: Sizes,
    /// Which files the session has read, and what was in them. `None`: run alone, the caller is the user, no such guard.
    pub reads: Option<Reads>,
    /// Where whole logs of commands go; made when first used.
    pub logs: PathBuf,
    /// The session's commands in the background. `None`: run alone, nothing runs on.
    pub jobs: Option<Arc<Jobs>>,
    /// Whether the project's checkers run after edits. Only where commands may be run.
    pub checks: Checks,
    /// The most seconds a command may take, whatever the call asks for.
    pub max_seconds: u64,
    pub cancel: CancellationToken,
}

/// How much a tool's answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes, lines and bytes of one line that `read` shows of a file.
    read: usize,
    read_lines: usize,
    read_line: usize,
    /// Definitions that are named of the part of a file that `read` does not show.
    outline: usize,
    /// Names of a directory.
    entries: usize,
    /// Bytes, lines (context included) and characters of one line that `search` shows.
    search: usize,
    search_lines: usize,
    search_line: usize,
    /// Bytes of a file that a refused edit quotes.
    quoted: usize,
    /// Bytes of a command's output. The whole is kept in a log where the answer can afford to say so.
    output: usize,
    log: bool,
}

impl Sizes {
    /// For windows of 4,096 tokens and more: about 2,000 tokens of a file or an output, 1,000 of a search.
    pub const FULL: Self = Self {
        read: 8_000,
        read_lines: usize::MAX,
        read_line: 2_000,
        outline: 60,
        entries: 100,
        search: 4_000,
        search_lines: 50,
        search_line: 200,
        quoted: 1_200,
        output: 8_000,
        log: true,
    };
    /// For a window of 1,024: an issue, a search, two readings, two edits and their tests fit.
    pub const MICRO: Self = Self {
        read: 640,
        read_lines: 20,
        read_line: 120,
        outline: 0,
        entries: 16,
        search: 320,
        search_lines: 6,
        search_line: 80,
        quoted: 160,
        output: 240,
        log: false,
    };

    /// The sizes of a mode.
    pub fn of(mode: Mode) -> Self {
        if mode == Mode::Micro { Self::MICRO } else { Self::FULL }
    }
}

/// The files a session has seen, by path relative to the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads(pub BTreeMap<String, Seen>);

/// How much of a file was read, and a hash of the file as it was then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub hash: u64,
    pub whole: bool,
}

/// The tools that exist.
#[derive(Debug)]
pub struct Toolbox {
    tools: Vec<Tool>,
}

/// In the order in which a model is told of them.
const BUILTIN: [&str; 7] = [
    include_str!("../../tools/read.toml"),
    include_str!("../../tools/search.toml"),
    include_str!("../../tools/symbols.toml"),
    include_str!("../../tools/edit.toml"),
    include_str!("../../tools/write.toml"),
    include_str!("../../tools/run.toml"),
    include_str!("../../tools/patch.toml"),
];

/// A tool's work: words for the model either way.
type Work = Result<ToolAnswer, ToolFailure>;

impl Toolbox {
    /// The built-in tools, from `tools/*.toml`. Costs some 100 µs; schemas are compiled with the first call.
    pub fn builtin() -> Self {
        let parse = |text: &&str| Tool::parse(text).expect("the tools' files are part of the program, and a test reads them all");
        Self { tools: BUILTIN.iter().map(parse).collect() }
    }

    /// The tools as the model is told of them in this mode, in a fixed order.
    pub fn cards(&self, mode: Mode) -> Vec<ToolCard> {
        self.offered(mode).map(|tool| tool.told(mode)).collect()
    }

    /// Checks a call. The failure says, in words for the model, what to send instead.
    pub fn check(&self, call: &Call, mode: Mode) -> Result<CheckedCall, ToolFailure> {
        let name = call.name.trim();
        let Some(tool) = self.offered(mode).find(|tool| tool.card.name == name) else {
            let known: Vec<&str> = self.offered(mode).map(|tool| tool.card.name.as_str()).collect();
            return Err(failure(
                "unknown_tool",
                format!("there is no tool `{name}`"),
                format!("The tools are {}.", known.join(", ")),
            ));
        };
        let arguments = tool.arguments(&call.arguments)?;
        if name == "edit" {
            // What the schema cannot say without alternatives, which would cost every constrained call.
            edit::combination(&arguments).map_err(|message| tool.refusal(message))?;
        }
        Ok(CheckedCall { id: call.id.clone(), name: name.to_owned(), arguments, effect: tool.effect })
    }

    /// Runs a checked call. Blocking; ends soon after `bench.cancel`.
    pub fn perform(&self, bench: &mut Workbench, call: &CheckedCall) -> ToolAnswer {
        let work = match call.name.as_str() {
            "read" => arguments(call).and_then(|a| read::perform(bench, &a)),
            "search" => arguments(call).and_then(|a| search::perform(bench, &a)),
            "symbols" => arguments(call).and_then(|a| symbols::perform(bench, &a)),
            "edit" => arguments(call).and_then(|a| edit::perform(bench, a)),
            "write" => arguments(call).and_then(|a| write::perform(bench, &a)),
            "patch" => arguments(call).and_then(|a| patch::perform(bench, &a)),
            "run" => arguments(call).and_then(|a| run::perform(bench, &a)),
            other => Err(failure("unknown_tool", format!("there is no tool `{other}`"), "")),
        };
        work.unwrap_or_else(|f| ToolAnswer::failed(&f.kind, f.message, f.hint))
    }

    fn offered(&self, mode: Mode) -> impl Iterator<Item = &Tool> {
        self.tools.iter().filter(move |tool| tool.modes.contains(&mode))
    }
}

/// The arguments as the tool's own type. They satisfy the schema, so this fails only for a call that was not checked.
fn arguments<T: serde::de::DeserializeOwned>(call: &CheckedCall) -> Result<T, ToolFailure> {
    serde_json::from_value(call.arguments.clone()).map_err(|e| failure("arguments", format!("`{}`: {e}", call.name), ""))
}

fn failure(kind: &str, message: impl Into<String>, hint: impl Into<String>) -> ToolFailure {
    ToolFailure { kind: kind.into(), message: message.into(), hint: hint.into() }
}

#[cfg(test)]
mod tests;
