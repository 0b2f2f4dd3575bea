//! What happens in a run, in order: the one queue that front ends, `--output events` and the session log read.

use crate::protocol::message::Call;
use crate::protocol::tool::ToolAnswer;
use crate::protocol::turn::{Delta, Usage};
use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A piece of the model's turn, as it streams.
    Delta(Delta),
    /// The model's turn is whole.
    Turn {
        step: u32,
        text: String,
        thinking: String,
        calls: Vec<Call>,
        usage: Usage,
    },
    /// A checked call is about to run.
    Calling {
        call: Call,
    },
    /// A call was answered, or refused before it ran.
    Called {
        id: String,
        name: String,
        answer: ToolAnswer,
    },
    /// The loop said something to the model that no tool said (a nudge, a malformed call).
    Nudge {
        text: String,
    },
    Done {
        outcome: Outcome,
    },
}

/// How a run of the loop ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The model ended its work and said `text`.
    Finished {
        text: String,
    },
    /// The run was ended without a result: `reason` is one sentence for the person.
    Failed {
        reason: String,
    },
    /// A limit was reached.
    Budget {
        reason: String,
    },
    /// The engine gave out and could not be brought back.
    Engine {
        reason: String,
    },
    Denied {
        reason: String,
    },
    Interrupted,
}
