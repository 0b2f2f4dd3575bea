//! What is asked of an engine for one turn, and what comes back.

use crate::protocol::grounds::Ground;
use crate::protocol::message::{Call, Message};
use crate::units::Tokens;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A tool as the model is told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCard {
    pub name: String,
    pub description: String,
    /// JSON Schema of the arguments; always an object.
    pub parameters: Value,
}

/// One turn's worth of work for an engine. The whole conversation is always given; an engine reuses what it has of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnRequest {
    pub messages: Vec<Message>,
    pub tools: Vec<ToolCard>,
    pub sampling: Sampling,
    /// The most tokens to generate, thinking included.
    pub max_tokens: Tokens,
    /// The most tokens of thinking; over it the thought is ended and the answer begins. `None`: unbounded.
    pub thinking_budget: Option<Tokens>,
    /// Whether the template's thinking switch is on.
    pub thinking: bool,
    #[serde(default)]
    pub choice: ToolChoice,
    /// What the arguments of calls may be, for engines that can hold them to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grounds: Vec<Ground>,
}

/// Whether the turn may be text, or must be a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    #[default]
    Auto,
    /// The grammar holds from the first token on: the turn is one or more calls.
    Required,
}

/// How the next token is drawn. `None` leaves the engine's (or the model's) default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub top_k: Option<i32>,
    pub min_p: Option<f32>,
    pub seed: Option<u32>,
}

/// A piece of a turn as it happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "delta", rename_all = "snake_case")]
pub enum Delta {
    /// The model is being loaded; `fraction` in 0..=1.
    Load {
        fraction: f32,
    },
    /// Prompt processing: `done` of `total` tokens, those reused from the cache not counted.
    Prefill {
        done: Tokens,
        total: Tokens,
    },
    Text {
        text: String,
    },
    Thinking {
        text: String,
    },
    /// A call has begun; its arguments come whole, with the reply.
    Call {
        name: String,
    },
    /// Something the person should know, in one line (the engine was restarted, say).
    Notice {
        text: String,
    },
}

impl Delta {
    /// Whether it is a piece of what the model writes.
    pub fn is_written(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::Thinking { .. } | Self::Call { .. })
    }
}

/// A whole turn of the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    pub text: String,
    pub thinking: String,
    pub calls: Vec<Call>,
    pub stop: Stop,
    pub usage: Usage,
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The model ended its turn, with or without calls.
    #[default]
    End,
    /// `max_tokens`, or the window, was reached: the last call may be cut off.
    Length,
    /// The stream repeated itself and was cut.
    Repetition,
    Cancelled,
}

/// What a turn cost. `prompt = prefilled + reused`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub prompt: Tokens,
    /// Tokens of the prompt that were processed in this turn.
    pub prefilled: Tokens,
    /// Tokens of the prompt that stood in the KV cache already.
    pub reused: Tokens,
    pub generated: Tokens,
    pub prefill_ms: f64,
    pub decode_ms: f64,
}

/// What an engine is, once it can answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// The model's name, as a person knows it.
    pub model: String,
    /// The window that was really allocated (or that the server really has). `None`: the server does not say.
    pub window: Option<Tokens>,
    /// Whether `count` is the model's own tokenizer or an estimate.
    pub exact: bool,
    /// Whether the model has a thinking switch.
    pub thinks: bool,
    #[serde(default)]
    pub profile: Profile,
    /// Whether it holds calls to what they may name ([`TurnRequest::grounds`]).
    #[serde(default)]
    pub grounds: bool,
    /// How many turns that begin alike it writes side by side, each conversation's tail staying where it is; 0 where they go one
    /// after another.
    #[serde(default)]
    pub forks: u32,
}

/// Which words and tools a model is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    #[default]
    Full,
    /// A model of a few million parameters, trained on this very agent's episodes: no instructions, few tools, small results.
    /// Named by the file itself (`agent.profile`).
    Micro,
}

/// Texts whose likelihood is asked for, each as the beginning of the model's answer to one conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreRequest {
    /// Ends with a message of the user's.
    pub messages: Vec<Message>,
    pub continuations: Vec<String>,
}

/// How likely each text is, and what it cost to know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Natural logarithm of each text's probability, the sum over its tokens; in the order of the request.
    pub logprobs: Vec<f64>,
    /// Of the conversation. `generated` is 0, `decode_ms` is what the texts took.
    pub usage: Usage,
    /// Tokens of the texts that were processed: a beginning that several share once, or once for each chunk of many texts.
    pub scored: Tokens,
}

/// A prompt as the model's template renders it, up to where the last user message's own words begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rendered {
    /// The bytes the model would see, special tokens as text.
    pub text: String,
    pub tokens: Tokens,
}
