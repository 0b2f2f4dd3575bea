//! A model's template and tokenizer without its weights: says what a prompt is and what it costs, and generates nothing.
//!
//! It lives in the front end's own process: there is nothing to share and little to lose, for the header was checked.

use crate::engine::bridge::Chat;
use crate::engine::embedded::render;
use crate::engine::llama::{Model, Special};
use crate::engine::{Answer, Engine, EngineError, Sink};
use crate::protocol::turn::{EngineInfo, Rendered, Reply, TurnRequest};
use crate::units::Tokens;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// A vocabulary and a chat template.
pub struct Tokenizer {
    model: Model,
    chat: Chat,
    info: EngineInfo,
}

impl Tokenizer {
    /// Loads the vocabulary alone. Cost: 10-300 ms, about 100 MB with 150,000 tokens.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let model = Model::vocabulary(path)?;
        let chat = Chat::of(&model).map_err(|e| EngineError::Template { reason: e.to_string() })?;
        let info = EngineInfo {
            model: model.name(path),
            window: None,
            exact: true,
            thinks: chat.has_thinking_switch(),
            profile: model.profile(),
            grounds: chat.script().is_some(),
            forks: 0,
        };
        Ok(Self { model, chat, info })
    }
}

impl Engine for Tokenizer {
    fn ready<'a>(&'a mut self, _sink: Sink<'a>, _cancel: &'a CancellationToken) -> Answer<'a, EngineInfo> {
        Box::pin(async { Ok(self.info.clone()) })
    }

    fn turn<'a>(&'a mut self, _request: &'a TurnRequest, _sink: Sink<'a>, _cancel: &'a CancellationToken) -> Answer<'a, Reply> {
        Box::pin(async { Err(EngineError::Unavailable("a tokenizer without weights writes nothing".into())) })
    }

    fn count<'a>(&'a mut self, text: &'a str) -> Answer<'a, Tokens> {
        let count = Tokens(self.model.tokenize(text, Special::Plain).len() as u32);
        Box::pin(async move { Ok(count) })
    }

    fn render<'a>(&'a mut self, request: &'a TurnRequest) -> Answer<'a, Option<Rendered>> {
        let rendered = render(&self.chat, &self.model, request).map(Some);
        Box::pin(async { rendered })
    }
}
