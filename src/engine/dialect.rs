//! What a model wrote, read as its template's dialect; a recording can be read without the model.

use crate::engine::EngineError;
use crate::engine::bridge::{Chat, Extent, Parsed, Prompt, RenderRequest};
use crate::engine::recover::recover_or_begun;
use crate::protocol::message::Call;
use crate::protocol::turn::{Reply, ToolCard, TurnRequest};
use std::path::Path;

/// ChatML, which llama.cpp takes for a model that brings no template.
const CHATML: &str = "chatml";

/// Parses a recorded output as the engine would have parsed it after this request, under the template in `file`.
pub fn parse(raw: &str, request: &TurnRequest, file: Option<&Path>) -> Result<Reply, EngineError> {
    let failed = |reason: String| EngineError::Template { reason };
    let source = match file {
        Some(file) => std::fs::read_to_string(file).map_err(|e| failed(format!("cannot read `{}`: {e}", file.display())))?,
        None => CHATML.to_owned(),
    };
    let chat = Chat::from_source(&source).map_err(|e| failed(e.to_string()))?;
    let render =
        RenderRequest { messages: &request.messages, tools: &request.tools, thinking: request.thinking, choice: request.choice };
    let prompt = chat.render(&render).map_err(|e| failed(e.to_string()))?;
    let Parsed { text, thinking, calls } = read(&prompt, raw.to_owned(), Extent::Whole, &request.tools);
    Ok(Reply { text, thinking, calls, ..Reply::default() })
}

/// Reads a model's whole output. What llama.cpp's parser cannot take is still the model's answer, and may hold calls as text.
pub fn read(prompt: &Prompt, text: String, extent: Extent, tools: &[ToolCard]) -> Parsed {
    let mut parsed = prompt
        .parse(&text, extent)
        .or_else(|_| prompt.parse(&without_blank_ends(&text), extent))
        .or_else(|_| prompt.parse(&text, Extent::Partial))
        .unwrap_or_default();
    if parsed == Parsed::default() {
        parsed.text = text;
    }
    if parsed.calls.is_empty()
        && let Some(found) = recover_or_begun(&parsed.text, tools)
    {
        parsed.text = found.text;
        parsed.calls = found.calls.into_iter().map(|(name, arguments)| Call { id: String::new(), name, arguments }).collect();
    }
    parsed
}

/// Drops blank lines before the ends of calls: llama.cpp's grammars allow them in GLM's dialect, its parser does not
/// (seen at 0.1.161; `tests/embedded.rs` meets it).
fn without_blank_ends(text: &str) -> String {
    const END: &str = "</tool_call>";
    let parts: Vec<_> = text.split(END).collect();
    let (last, calls) = parts.split_last().unwrap_or((&"", &[]));
    calls.iter().map(|call| format!("{}\n{END}", call.trim_end())).chain([(*last).to_owned()]).collect()
}
