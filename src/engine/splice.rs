//! Continuing a conversation without rendering its past again.
//!
//! What the model wrote is kept as the tokens that it wrote: a template that renders a turn differently from how it was
//! generated (other blanks in a call, thoughts left out) would otherwise change the prefix and cost a full prefill. So
//! only what comes after the model's turn is rendered, behind a stand-in for that turn, and cut off at its end.

use crate::engine::bridge::{Chat, Prompt, RenderRequest};
use crate::engine::llama::{Model, Special, Token};
use crate::engine::words::STAND_IN;
use crate::protocol::message::{Call, Message};
use crate::protocol::turn::TurnRequest;
use serde_json::json;

/// A conversation whose past is in tokens.
pub struct Past {
    /// All that was said, the model's last turn included, but for its end token.
    pub tokens: Vec<Token>,
    /// The token that ended the last turn, when one did.
    pub end: Option<Token>,
    /// The request that the turn answered, and its answer.
    pub request: TurnRequest,
    pub reply: Message,
}

impl Past {
    /// Whether `request` goes on from here: the same past and tools, then nothing but answers and words of the person.
    pub fn leads_to(&self, request: &TurnRequest) -> bool {
        let said = &self.request.messages;
        let (past, rest) = request.messages.split_at(request.messages.len().min(said.len()));
        let Some((Message::Assistant { text, calls, .. }, new)) = rest.split_first() else { return false };
        let Message::Assistant { text: own_text, calls: own_calls, .. } = &self.reply else { return false };
        // Ids and broken arguments may have been mended on the way; names and words are the model's.
        let same_turn = text.trim() == own_text.trim() && calls.iter().map(|c| &c.name).eq(own_calls.iter().map(|c| &c.name));
        let fresh = !new.is_empty() && !new.iter().any(|m| matches!(m, Message::Assistant { .. } | Message::System { .. }));
        same_turn && fresh && past == said && self.request.tools == request.tools && self.request.thinking == request.thinking
    }

    /// The prompt of `request` as this past plus what is new, with the parser and grammar of the new turn. `None` where
    /// the template leaves no trace of the stand-in: then everything is rendered anew.
    pub fn extend(&self, chat: &Chat, model: &Model, request: &TurnRequest) -> Option<(Prompt, Vec<Token>)> {
        let new = &request.messages[self.request.messages.len() + 1..];
        let mut messages = vec![Message::User { text: ".".into() }, stand_in(&request.messages[self.request.messages.len()])];
        messages.extend_from_slice(new);
        let render =
            RenderRequest { messages: &messages, tools: &request.tools, thinking: request.thinking, choice: request.choice };
        let prompt = chat.render(&render).ok()?;
        let (_, rest) = prompt.text.split_once(STAND_IN)?;
        let rest = model.tokenize(rest, Special::Parsed);
        // First the very end that the model wrote; a model may end a turn as its template never does (`<|return|>` for
        // `<|end|>`, `<|eom_id|>` for `<|eot_id|>`): then the template's own end.
        let written = self.end.and_then(|end| rest.iter().position(|&t| t == end));
        let start = written
            .or_else(|| rest.iter().position(|&t| model.is_end(t)))
            .or_else(|| rest.iter().position(|&t| model.is_control(t)))
            .or_else(|| rest.iter().position(|&t| model.is_markup(t)))?;
        let tokens = self.tokens.iter().chain(&rest[start..]).copied().collect();
        Some((prompt, tokens))
    }
}

/// The model's turn with nothing in it but the stand-in, in the last place that the template renders.
fn stand_in(turn: &Message) -> Message {
    match turn {
        Message::Assistant { calls, .. } if !calls.is_empty() => {
            let mut calls = calls.clone();
            for call in &mut calls {
                call.arguments = "{}".into();
            }
            if let Some(Call { arguments, .. }) = calls.last_mut() {
                *arguments = json!({ "path": STAND_IN }).to_string();
            }
            Message::Assistant { text: String::new(), thinking: String::new(), calls }
        }
        _ => Message::Assistant { text: STAND_IN.into(), thinking: String::new(), calls: Vec::new() },
    }
}
