//! A request as the server is sent it.
//!
//! Pure, and the same bytes for the same conversation: a server that caches prompts compares them.

use crate::protocol::message::{Call, Message};
use crate::protocol::turn::{ToolCard, ToolChoice, TurnRequest};
use serde_json::{Map, Value, json};

/// How much a server understands beside the plain OpenAI interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// With llama-server's and vLLM's additions, which others ignore.
    Extended,
    /// For servers that refuse a field they do not know.
    Plain,
}

/// The fields that a plain request leaves out.
pub const EXTRAS: [&str; 8] = [
    "cache_prompt",
    "return_progress",
    "chat_template_kwargs",
    "thinking_budget_tokens",
    "top_k",
    "min_p",
    "stream_options",
    "reasoning_content",
];

/// Builds the body of a streamed chat completion.
pub fn chat(request: &TurnRequest, model: &str, dialect: Dialect) -> Value {
    let mut body = prompt(request, model, dialect);
    body.insert("stream".into(), json!(true));
    body.insert("max_tokens".into(), json!(request.max_tokens.0));
    let sampling = request.sampling;
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.into(), value);
        }
    };
    set("temperature", sampling.temperature.map(decimal));
    set("top_p", sampling.top_p.map(decimal));
    set("seed", sampling.seed.map(Value::from));
    if dialect == Dialect::Extended {
        set("top_k", sampling.top_k.map(Value::from));
        set("min_p", sampling.min_p.map(decimal));
        set("stream_options", Some(json!({"include_usage": true})));
        set("cache_prompt", Some(json!(true)));
        set("return_progress", Some(json!(true)));
        set("thinking_budget_tokens", request.thinking_budget.map(|t| t.0.into()));
    }
    body.into()
}

/// Builds the part that the chat template renders: also the body of llama-server's `/apply-template`.
pub fn prompt(request: &TurnRequest, model: &str, dialect: Dialect) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("model".into(), json!(model));
    body.insert("messages".into(), request.messages.iter().map(|m| message(m, dialect)).collect());
    if !request.tools.is_empty() {
        body.insert("tools".into(), request.tools.iter().map(tool).collect());
        if request.choice == ToolChoice::Required {
            body.insert("tool_choice".into(), "required".into());
        }
    }
    if dialect == Dialect::Extended {
        body.insert("chat_template_kwargs".into(), json!({"enable_thinking": request.thinking}));
    }
    body
}

fn message(message: &Message, dialect: Dialect) -> Value {
    match message {
        Message::System { text } => json!({"role": "system", "content": text}),
        Message::User { text } => json!({"role": "user", "content": text}),
        Message::Tool { call, name, text } => json!({"role": "tool", "tool_call_id": call, "name": name, "content": text}),
        Message::Assistant { text, thinking, calls } => {
            // Beside calls, nothing said is null; alone, it has to be text.
            let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { json!(text) };
            let mut said = json!({"role": "assistant", "content": content});
            if !thinking.is_empty() && dialect == Dialect::Extended {
                said["reasoning_content"] = json!(thinking);
            }
            if !calls.is_empty() {
                said["tool_calls"] = calls.iter().map(call).collect();
            }
            said
        }
    }
}

/// Servers parse the arguments of earlier calls for their templates, and refuse the whole conversation over one that is no
/// JSON object. A call that was cut off therefore goes back without its arguments; what was wrong with it stands in its answer.
fn call(call: &Call) -> Value {
    let is_object = serde_json::from_str::<Map<String, Value>>(&call.arguments).is_ok();
    let arguments = if is_object { call.arguments.as_str() } else { "{}" };
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}

fn tool(card: &ToolCard) -> Value {
    let function = json!({"name": card.name, "description": card.description, "parameters": card.parameters});
    json!({"type": "function", "function": function})
}

/// 0.7, not 0.699999988079071: by way of the shortest text that means the same number.
fn decimal(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use crate::engine::endpoint::body::{Dialect, EXTRAS, chat};
    use crate::protocol::message::{Call, Message};
    use crate::protocol::turn::{Sampling, ToolCard, ToolChoice, TurnRequest};
    use crate::units::Tokens;
    use serde_json::json;

    fn request() -> TurnRequest {
        let call = |id: &str, arguments: &str| Call { id: id.into(), name: "read".into(), arguments: arguments.into() };
        TurnRequest {
            messages: vec![
                Message::System { text: "Be brief.".into() },
                Message::User { text: "fix".into() },
                Message::Assistant {
                    text: String::new(),
                    thinking: "The bound, \n probably. ".into(),
                    calls: vec![call("c1", "{\"path\": \"a\"}"), call("c2", "{\"path\": \"b")],
                },
                Message::Tool { call: "c1".into(), name: "read".into(), text: "fn a() {}".into() },
                Message::Assistant { text: "Done.".into(), thinking: String::new(), calls: vec![] },
            ],
            tools: vec![ToolCard { name: "read".into(), description: "Reads.".into(), parameters: json!({"type": "object"}) }],
            sampling: Sampling { temperature: Some(0.7), top_p: Some(0.95), top_k: Some(20), min_p: Some(0.05), seed: Some(7) },
            max_tokens: Tokens(512),
            thinking_budget: Some(Tokens(256)),
            thinking: true,
            choice: ToolChoice::Auto,
            grounds: Vec::new(),
        }
    }

    #[test]
    fn a_conversation_goes_out_whole() {
        let function = json!({"name": "read", "description": "Reads.", "parameters": {"type": "object"}});
        let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "read", "arguments": arguments}});
        let expected = json!({
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "fix"},
                {"role": "assistant", "content": null, "reasoning_content": "The bound, \n probably. ",
                 "tool_calls": [call("c1", "{\"path\": \"a\"}"), call("c2", "{}")]},
                {"role": "tool", "tool_call_id": "c1", "name": "read", "content": "fn a() {}"},
                {"role": "assistant", "content": "Done."},
            ],
            "tools": [{"type": "function", "function": function}],
            "chat_template_kwargs": {"enable_thinking": true},
            "stream": true, "max_tokens": 512, "temperature": 0.7, "top_p": 0.95, "seed": 7, "top_k": 20, "min_p": 0.05,
            "stream_options": {"include_usage": true}, "cache_prompt": true, "return_progress": true, "thinking_budget_tokens": 256,
        });
        assert_eq!(chat(&request(), "m", Dialect::Extended), expected);
    }

    #[test]
    fn a_plain_request_has_none_of_the_extras() {
        let body = chat(&request(), "m", Dialect::Plain).to_string();
        for field in EXTRAS {
            assert!(!body.contains(field), "{field} in {body}");
        }
        let extended = chat(&request(), "m", Dialect::Extended).to_string();
        assert!(EXTRAS.iter().all(|field| extended.contains(field)));
    }

    #[test]
    fn what_is_not_asked_for_is_not_said() {
        let bare = TurnRequest { tools: vec![], sampling: Sampling::default(), thinking_budget: None, ..request() };
        let body = chat(&bare, "m", Dialect::Extended);
        for field in ["tools", "temperature", "top_p", "seed", "top_k", "min_p", "thinking_budget_tokens"] {
            assert!(body.get(field).is_none(), "{field}");
        }
    }
}
