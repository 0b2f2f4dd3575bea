//! What the model can do: one tool a file, its words and schema in `tools/*.toml`.
//!
//! `check` turns a call as the model made it into one that may run; `perform` runs it. Neither knows the loop.

use crate::path::Root;
use crate::protocol::message::Call;
use crate::protocol::tool::{ToolAnswer, ToolFailure};
use crate::protocol::turn::ToolCard;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// In which kind of work a tool is offered. Named in a tool's TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    Chat,
    Fix,
    Review,
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
    /// Which files the session has read, and what was in them. `None`: run alone, the caller is the user, no such guard.
    pub reads: Option<Reads>,
    /// Where whole logs of commands go; made when first used.
    pub logs: PathBuf,
    /// The most seconds a command may take, whatever the call asks for.
    pub max_seconds: u64,
    pub cancel: CancellationToken,
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
pub struct Toolbox {}

impl Toolbox {
    /// The built-in tools, from `tools/*.toml`.
    pub fn builtin() -> Self {
        todo!()
    }

    /// The tools as the model is told of them in this mode, in a fixed order.
    pub fn cards(&self, _mode: Mode) -> Vec<ToolCard> {
        todo!()
    }

    /// Checks a call. The failure says, in words for the model, what to send instead.
    pub fn check(&self, _call: &Call, _mode: Mode) -> Result<CheckedCall, ToolFailure> {
        todo!()
    }

    /// Runs a checked call. Blocking; ends soon after `bench.cancel`.
    pub fn perform(&self, _bench: &mut Workbench, _call: &CheckedCall) -> ToolAnswer {
        todo!()
    }
}
