//! A conversation as every engine understands it.

use serde::{Deserialize, Serialize};

/// One message of a conversation, in the order in which it was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    System {
        text: String,
    },
    User {
        text: String,
    },
    Assistant {
        text: String,
        /// Kept verbatim: the next turn sees the thought it came from.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        thinking: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<Call>,
    },
    Tool {
        /// The `id` of the call that this answers.
        call: String,
        name: String,
        text: String,
    },
}

/// A tool call as the model made it: nothing is checked yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Unique within the conversation.
    pub id: String,
    pub name: String,
    /// The arguments as raw text. JSON when the model got it right; a cut-off call stays cut off.
    pub arguments: String,
}
