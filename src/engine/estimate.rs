//! Token counts where no tokenizer can be asked: by size alone.
//!
//! It knows nothing of any vocabulary. Three bytes to a token is meant to err on the high side for code and English (whose
//! usual figure is near four), because a prompt that is wrongly thought too large costs a compaction, and one that is
//! wrongly thought to fit costs a refused request. Text outside the Latin script can come out low.

use crate::protocol::message::Message;
use crate::protocol::turn::{ToolCard, TurnRequest};
use crate::units::Tokens;

const BYTES_PER_TOKEN: usize = 3;

/// What a chat template writes round a message: role, markers, line ends.
const FRAME: Tokens = Tokens(4);

/// Estimates a text: its bytes by three, rounded up.
pub fn text(text: &str) -> Tokens {
    of_bytes(text.len())
}

/// Estimates a message with the template's frame round it.
pub fn message(message: &Message) -> Tokens {
    let bytes = match message {
        Message::System { text } | Message::User { text } => text.len(),
        Message::Assistant { text, thinking, calls } => {
            text.len() + thinking.len() + calls.iter().map(|c| c.name.len() + c.arguments.len()).sum::<usize>()
        }
        Message::Tool { name, text, .. } => name.len() + text.len(),
    };
    of_bytes(bytes) + FRAME
}

/// Estimates what the tools cost in the front of the prompt.
pub fn tools(tools: &[ToolCard]) -> Tokens {
    of_bytes(tools.iter().map(|t| t.name.len() + t.description.len() + t.parameters.to_string().len()).sum())
}

/// Estimates the whole prompt of a request.
pub fn prompt(request: &TurnRequest) -> Tokens {
    tools(&request.tools) + request.messages.iter().map(message).sum()
}

fn of_bytes(bytes: usize) -> Tokens {
    Tokens(u32::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use crate::engine::estimate;
    use crate::protocol::message::Message;
    use crate::units::Tokens;

    #[test]
    fn rounds_up_and_counts_bytes() {
        assert_eq!(estimate::text(""), Tokens(0));
        assert_eq!(estimate::text("a"), Tokens(1));
        assert_eq!(estimate::text("abc"), Tokens(1));
        assert_eq!(estimate::text("abcd"), Tokens(2));
        assert_eq!(estimate::text("äöü"), Tokens(2));
        assert_eq!(estimate::message(&Message::User { text: "abcdef".into() }), Tokens(6));
    }
}
