//! What happens in a run, in order: the one queue that front ends, `--output events` and the session log read.

use crate::protocol::message::{Call, Message};
use crate::protocol::tool::ToolAnswer;
use crate::protocol::turn::{Delta, Usage};
use crate::protocol::window::Shares;
use crate::units::Tokens;
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
    /// The window is divided like this; said once it is known exactly.
    Window(Shares),
    /// The conversation's end was replaced by something shorter. What it was stands in the events before.
    Compacted(Compacted),
    Done {
        outcome: Outcome,
    },
}

/// How a conversation became shorter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compacted {
    pub stage: Stage,
    /// How many messages were taken from the conversation's end.
    pub replaced: usize,
    /// What stands in their place. All of it is processed anew; what stands before is not.
    pub messages: Vec<Message>,
    /// Tokens before and after: of the conversation but for the task, or of the whole prompt where the latest results were cut.
    pub before: Tokens,
    pub after: Tokens,
    /// What the model's summary cost. Zero where it was not asked.
    #[serde(default)]
    pub usage: Usage,
}

/// What a conversation was shortened by; each comes when the one before it freed too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Old results of tools became one line each.
    Results,
    /// The model summed up the older steps.
    Summary,
    /// What the older steps did was listed without the model.
    Facts,
    /// The latest results, which the model has not read yet, were cut.
    Latest,
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
