//! What a server means when it says no.
//!
//! Pure: a status and a body in, an error of ours out. A conversation that is too long is told from every other refusal,
//! because it alone can be helped by the loop; servers word it in a dozen ways, collected in [`WORDINGS`].

use crate::engine::EngineError;
use crate::units::Tokens;
use serde_json::Value;

/// An answer with a status that is no success, or an error inside a stream.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub status: u16,
    pub body: String,
}

/// What is known on this side, for servers that say "too long" without figures. Zero: not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    pub prompt: Tokens,
    pub window: Tokens,
}

/// How servers say that a conversation is too long, in lower case: the mark, what stands before the prompt's tokens, and
/// what stands before the window's. An empty text: the server does not say.
struct Wording {
    mark: &'static str,
    prompt: &'static [&'static str],
    window: &'static [&'static str],
}

/// Collected from the servers' sources and issue threads in 2026-11: llama-server, vLLM (three generations), OpenAI, SGLang,
/// LM Studio, Ollama, TGI. The first match counts.
const WORDINGS: &[Wording] = &[
    // llama-server: request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it
    Wording { mark: "exceeds the available context size", prompt: &["request ("], window: &["context size ("] },
    // vLLM, OpenAI: maximum context length is 4096 tokens. However, you requested 9000 tokens (8000 in the messages, …
    // newer vLLM: … However, your request has 8000 input tokens; OpenAI: … your messages resulted in 8000 tokens
    Wording {
        mark: "maximum context length",
        prompt: &["request has ", "resulted in ", "tokens (", "total of ", "requested "],
        window: &["maximum context length is ", "maximum context length of ", "maximum context length "],
    },
    // vLLM: the model's context length is only 4096 tokens
    Wording { mark: "context length is only", prompt: &["you passed ", "request has "], window: &["context length is only "] },
    // vLLM: The decoder prompt (length 9000) is longer than the maximum model length of 4096
    Wording {
        mark: "longer than the maximum model length",
        prompt: &["prompt (length ", "prompt (total length "],
        window: &["maximum model length of "],
    },
    // SGLang: The input (9000 tokens) is longer than the model's context length (4096 tokens)
    Wording { mark: "longer than the model's context length", prompt: &["input ("], window: &["context length ("] },
    // SGLang: Input length (9000 tokens) exceeds the maximum allowed length (4096 tokens)
    Wording { mark: "exceeds the maximum allowed length", prompt: &["input length ("], window: &["allowed length ("] },
    // LM Studio: Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with …
    Wording {
        mark: "loaded with context length of only",
        prompt: &["trying to keep the first "],
        window: &["context length of only "],
    },
    // LM Studio: … initial prompt is greater than the context length (n_keep: 9000>= n_ctx: 4096)
    Wording { mark: "greater than the context length", prompt: &["n_keep: "], window: &["n_ctx: "] },
    // OpenAI: Input tokens exceed the configured limit of 4096 tokens. Your messages resulted in 9000 tokens
    Wording { mark: "exceed the configured limit of", prompt: &["resulted in "], window: &["configured limit of "] },
    // vLLM's scheduler: Input prompt (9000 tokens) is too long and exceeds limit of 4096
    Wording { mark: "is too long and exceeds limit of", prompt: &["prompt ("], window: &["exceeds limit of "] },
    // TGI: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9000 `inputs` tokens …
    Wording { mark: "`inputs` tokens", prompt: &["given: "], window: &["must be <= "] },
    // Ollama: the input length exceeds the context length; prompt too long; exceeded max context length by 42 tokens
    Wording { mark: "exceeds the context length", prompt: &[], window: &[] },
    Wording { mark: "exceeded max context length", prompt: &[], window: &[] },
    Wording { mark: "exceeds context length", prompt: &[], window: &[] },
    // llama.cpp in the middle of a generation; LM Studio's MLX
    Wording { mark: "context size has been exceeded", prompt: &[], window: &[] },
    Wording { mark: "context_length_exceeded", prompt: &[], window: &[] },
    Wording { mark: "exceeds the context window", prompt: &[], window: &["context window of "] },
];

impl Refusal {
    /// The reason in the server's words: the body's message where it has one, else the body, on one line and not too long.
    pub fn reason(&self) -> String {
        const LONGEST: usize = 400;
        let value: Option<Value> = serde_json::from_str(&self.body).ok();
        let message = value.as_ref().and_then(message_of).unwrap_or(&self.body);
        let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.len() {
            0 => "no reason given".into(),
            n if n > LONGEST => format!("{}…", &line[..line.floor_char_boundary(LONGEST)]),
            _ => line,
        }
    }

    /// Whether the server is there but has not loaded its model yet (llama-server: 503, `Loading model`).
    pub fn is_loading(&self) -> bool {
        self.status == 503 && self.body.to_ascii_lowercase().contains("loading model")
    }

    /// Whether the request was refused for its form, naming one of these fields.
    pub fn names_any(&self, fields: &[&str]) -> bool {
        matches!(self.status, 400 | 422) && fields.iter().any(|field| self.body.contains(field))
    }

    /// Turns into an error; figures that the server does not give are taken from `known`.
    pub fn into_error(self, known: Known) -> EngineError {
        match self.overflow() {
            Some((prompt, window)) => {
                EngineError::Overflow { prompt: prompt.unwrap_or(known.prompt), window: window.unwrap_or(known.window) }
            }
            None => EngineError::Refused { status: self.status, reason: self.reason() },
        }
    }

    /// The prompt's tokens and the window, as far as they are told.
    fn overflow(&self) -> Option<(Option<Tokens>, Option<Tokens>)> {
        // A wrong key, a wrong model, too many requests: whatever their message mentions, it is not this.
        if matches!(self.status, 401 | 403 | 404 | 429) {
            return None;
        }
        let value: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let error = value.get("error").unwrap_or(&value);
        if error["type"] == "exceed_context_size_error" {
            return Some((tokens(&error["n_prompt_tokens"]), tokens(&error["n_ctx"])));
        }
        let text = self.body.to_ascii_lowercase();
        let wording = WORDINGS.iter().find(|w| text.contains(w.mark))?;
        let figure = |before: &[&str]| before.iter().find_map(|mark| number_after(&text, mark)).map(Tokens);
        Some((figure(wording.prompt), figure(wording.window)))
    }
}

/// The message of an error body, in the places where servers put it.
fn message_of(body: &Value) -> Option<&str> {
    let error = body.get("error").unwrap_or(body);
    let places = [error.get("message"), error.get("detail"), body.get("message"), body.get("detail"), Some(error)];
    places.into_iter().flatten().find_map(Value::as_str)
}

fn tokens(value: &Value) -> Option<Tokens> {
    value.as_u64().and_then(|n| u32::try_from(n).ok()).map(Tokens)
}

fn number_after(text: &str, mark: &str) -> Option<u32> {
    text.match_indices(mark).find_map(|(at, _)| {
        let rest = &text[at + mark.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use crate::engine::EngineError;
    use crate::engine::endpoint::refusal::{Known, Refusal};
    use crate::units::Tokens;

    const KNOWN: Known = Known { prompt: Tokens(1), window: Tokens(2) };

    fn error(status: u16, body: &str) -> EngineError {
        Refusal { status, body: body.into() }.into_error(KNOWN)
    }

    #[test]
    fn an_overflow_is_recognised_in_every_servers_words() {
        let wordings = [
            (
                400,
                r#"{"error":{"code":400,"message":"request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":4096}}"#,
                9000,
                4096,
            ),
            (
                500,
                r#"{"error":{"code":500,"message":"the request exceeds the available context size. try increasing the context size or enable context shift","type":"server_error"}}"#,
                1,
                2,
            ),
            (500, r#"{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}"#, 1, 2),
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 16384 tokens. However, you requested 122946 tokens (112946 in the messages, 10000 in the completion). Please reduce the length of the messages or completion.","type":"BadRequestError","param":null,"code":400}"#,
                112_946,
                16384,
            ),
            (
                400,
                r#"{"error":{"message":"'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is 4096 tokens and your request has 3500 input tokens (8192 > 4096 - 3500).","type":"BadRequestError","code":400}}"#,
                3500,
                4096,
            ),
            (
                400,
                r#"{"error":{"message":"You passed 9001 input tokens and requested 1024 output tokens. However, the model's context length is only 8192 tokens, resulting in a maximum input length of 7168 tokens."}}"#,
                9001,
                8192,
            ),
            (
                400,
                r#"{"object":"error","message":"The decoder prompt (length 9000) is longer than the maximum model length of 4096. Make sure that `max_model_len` is no smaller","code":400}"#,
                9000,
                4096,
            ),
            (
                400,
                r#"{"object":"error","message":"The input (61709 tokens) is longer than the model's context length (40960 tokens).","type":"BadRequestError","param":null,"code":400}"#,
                61709,
                40960,
            ),
            (
                400,
                r#"{"object":"error","message":"Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens). Use a shorter input."}"#,
                160_062,
                59862,
            ),
            (
                400,
                r#"{"object":"error","message":"Requested token count exceeds the model's maximum context length of 8192 tokens. You requested a total of 9500 tokens: 8500 tokens from the input messages"}"#,
                9500,
                8192,
            ),
            (
                400,
                r#"{"error":"Trying to keep the first 111490 tokens when context the overflows. However, the model is loaded with context length of only 32768 tokens, which is not enough."}"#,
                111_490,
                32768,
            ),
            (
                400,
                r#"{"error":"The number of tokens to keep from the initial prompt is greater than the context length (n_keep: 9000>= n_ctx: 8192). Try to load the model with a larger context length"}"#,
                9000,
                8192,
            ),
            (400, r#"{"error":"the input length exceeds the context length"}"#, 1, 2),
            (
                400,
                r#"{"error":{"message":"prompt too long; exceeded max context length by 42 tokens","type":"invalid_request_error"}}"#,
                1,
                2,
            ),
            (
                400,
                r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens. Please reduce the length of the messages.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
                9000,
                8192,
            ),
            (
                400,
                r#"{"error":{"message":"Your input exceeds the context window of this model. Please adjust your input and try again.","code":"context_length_exceeded"}}"#,
                1,
                2,
            ),
            (
                413,
                r#"{"error":{"message":"Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens."}}"#,
                300_000,
                272_000,
            ),
            (
                422,
                r#"{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9000 `inputs` tokens and 20 `max_new_tokens`","error_type":"validation"}"#,
                9000,
                4096,
            ),
        ];
        for (status, body, prompt, window) in wordings {
            let error = error(status, body);
            let EngineError::Overflow { prompt: p, window: w } = error else { panic!("{error}\nfrom {body}") };
            assert_eq!((p, w), (Tokens(prompt), Tokens(window)), "from {body}");
        }
    }

    #[test]
    fn any_other_refusal_keeps_its_words() {
        let check = |status, body: &str, says: &str| match error(status, body) {
            EngineError::Refused { status: s, reason } => assert_eq!((s, reason.as_str()), (status, says)),
            other => panic!("{other}"),
        };
        check(401, r#"{"error":{"message":"Invalid API Key","type":"authentication_error"}}"#, "Invalid API Key");
        check(404, r#"{"error":{"message":"model 'x' not found"}}"#, "model 'x' not found");
        check(400, r#"{"error":"registry.ollama.ai/x does not support tools"}"#, "registry.ollama.ai/x does not support tools");
        check(422, r#"{"detail":"Field required"}"#, "Field required");
        check(502, "<html>\n<b>Bad Gateway</b>", "<html> <b>Bad Gateway</b>");
        check(500, "", "no reason given");
        check(429, "too many tokens for your context window", "too many tokens for your context window");
        let long = "é".repeat(900);
        assert!(matches!(error(500, &long), EngineError::Refused { reason, .. } if reason.len() < 410 && reason.ends_with('…')));
    }

    #[test]
    fn loading_and_unknown_fields_are_told() {
        let loading = Refusal {
            status: 503,
            body: r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#.into(),
        };
        assert!(loading.is_loading());
        assert!(!Refusal { status: 503, body: "busy".into() }.is_loading());
        let unknown = Refusal { status: 400, body: "Unrecognized request argument supplied: cache_prompt".into() };
        assert!(unknown.names_any(&["return_progress", "cache_prompt"]));
        assert!(!unknown.names_any(&["tools"]));
        assert!(!Refusal { status: 500, ..unknown }.names_any(&["cache_prompt"]));
    }
}
