//! Where a prompt ends and the person's words begin: a stand-in is rendered in their place, and the prompt cut at it.

use crate::protocol::message::Message;
use crate::protocol::turn::TurnRequest;

/// Letters only, so that no template, escape or trim changes it; in no project and no template.
pub const STAND_IN: &str = "qzStandInzq";

/// The request with the stand-in for the words of the last user message.
pub fn masked(request: &TurnRequest) -> TurnRequest {
    let mut masked = request.clone();
    if let Some(Message::User { text }) = masked.messages.iter_mut().rev().find(|m| matches!(m, Message::User { .. })) {
        *text = STAND_IN.into();
    }
    masked
}

/// What stands before the stand-in; everything where there is none.
pub fn before(rendered: &str) -> &str {
    rendered.split_once(STAND_IN).map_or(rendered, |(before, _)| before)
}
