//! The safe face of `bridge.cpp`: chat templates, a rendered prompt with its parser, a turn's sampler, a memory trial.
//!
//! Chat dialects are llama.cpp's: this module knows that there are templates and calls, never how a family writes them.

pub mod imaginary;

use crate::engine::grounding::script::Script;
use crate::engine::habit::Habit;
use crate::engine::llama::{Context, Model, Token};
use crate::engine::memory::Trial;
use crate::protocol::message::{Call, Message};
use crate::protocol::turn::{Profile, Sampling, ToolCard, ToolChoice};
use crate::units::Tokens;
use llama_cpp_sys_2 as sys;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::ffi::{CStr, CString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{NonNull, null, null_mut};

/// What the bridge could not do, in llama.cpp's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BridgeError(String);

#[repr(C)]
struct RawChat(());
#[repr(C)]
struct RawPrompt(());
#[repr(C)]
struct RawSampler(());

unsafe extern "C" {
    fn agent_free(text: *mut c_char);
    fn agent_chat_open(model: *const sys::llama_model, source: *const c_char, error: *mut *mut c_char) -> *mut RawChat;
    fn agent_chat_close(chat: *mut RawChat);
    fn agent_chat_has_thinking_switch(chat: *const RawChat) -> bool;
    fn agent_prompt_render(chat: *const RawChat, request: *const c_char, error: *mut *mut c_char) -> *mut RawPrompt;
    fn agent_prompt_close(prompt: *mut RawPrompt);
    fn agent_prompt_text(prompt: *const RawPrompt, length: *mut usize) -> *const c_char;
    fn agent_prompt_facts(prompt: *const RawPrompt, error: *mut *mut c_char) -> *mut c_char;
    fn agent_prompt_parse(prompt: *const RawPrompt, text: *const c_char, partial: bool, error: *mut *mut c_char) -> *mut c_char;
    fn agent_sampler_open(
        model: *const sys::llama_model,
        prompt: *const RawPrompt,
        settings: *const c_char,
        error: *mut *mut c_char,
    ) -> *mut RawSampler;
    fn agent_sampler_close(sampler: *mut RawSampler);
    fn agent_sampler_draw(
        sampler: *mut RawSampler,
        context: *mut sys::llama_context,
        index: c_int,
        error: *mut *mut c_char,
    ) -> sys::llama_token;
    fn agent_sampler_accept(sampler: *mut RawSampler, token: sys::llama_token, error: *mut *mut c_char) -> bool;
    fn agent_sampler_preserves(sampler: *const RawSampler, token: sys::llama_token) -> bool;
    fn agent_memory_trial(
        path: *const c_char,
        model: *const sys::llama_model_params,
        context: *const sys::llama_context_params,
        branches: u32,
        error: *mut *mut c_char,
    ) -> *mut c_char;
    fn agent_memory_taken(context: *const sys::llama_context, error: *mut *mut c_char) -> *mut c_char;
    fn agent_cpu_threads() -> c_int;
    fn agent_quiet();
}

/// Takes a string of the bridge's over.
fn take(text: *mut c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the bridge hands out NUL-terminated strings from malloc, to be freed once.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        agent_free(text);
        owned
    }
}

/// Runs a call of the bridge that answers null on an error.
fn checked<T>(call: impl FnOnce(*mut *mut c_char) -> *mut T) -> Result<NonNull<T>, BridgeError> {
    let mut error = null_mut();
    NonNull::new(call(&mut error)).ok_or_else(|| BridgeError(take(error)))
}

/// NUL bytes end a C string: they have no place in a prompt and are replaced, visibly.
fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).expect("NUL bytes were replaced")
}

/// Keeps libcommon's own logger off stderr.
pub fn quiet() {
    // SAFETY: sets one number.
    unsafe { agent_quiet() }
}

/// The number of threads that suits arithmetic here.
pub fn cpu_threads() -> i32 {
    // SAFETY: reads the processor's topology.
    unsafe { agent_cpu_threads() }.max(1)
}

/// A model's chat template.
pub struct Chat {
    raw: NonNull<RawChat>,
    /// What the template leaves to us.
    habit: Habit,
    /// How it writes the texts of a call, if that is known.
    script: Option<Script>,
}

// SAFETY: the object is plain data without thread affinity, and is never used from two threads at once.
unsafe impl Send for Chat {}

impl Chat {
    /// Opens the model's own template; llama.cpp falls back to ChatML where it has none.
    pub fn of(model: &Model) -> Result<Self, BridgeError> {
        // SAFETY: the model outlives the call; the template's text is copied.
        let raw = checked(|error| unsafe { agent_chat_open(model.as_ptr(), null(), error) })?;
        Ok(match model.profile() {
            // It knows its tools by heart, and none of the words that would describe them.
            Profile::Micro => Self { raw, habit: Habit::Native, script: None },
            Profile::Full => Self::probed(raw),
        })
    }

    /// Opens a template from its source, without a model.
    pub fn from_source(source: &str) -> Result<Self, BridgeError> {
        let source = c_string(source);
        // SAFETY: as above.
        checked(|error| unsafe { agent_chat_open(null(), source.as_ptr(), error) }).map(Self::probed)
    }

    fn probed(raw: NonNull<RawChat>) -> Self {
        let mut chat = Self { raw, habit: Habit::Native, script: None };
        chat.habit = Habit::of(|messages, tools| chat.probe(messages, tools));
        chat.script = Script::of(|messages, tools| chat.probe(messages, tools));
        chat
    }

    fn probe(&self, messages: &[Message], tools: &[ToolCard]) -> Option<String> {
        let probe = RenderRequest { messages, tools, thinking: false, choice: ToolChoice::Auto };
        self.render(&probe).ok().map(|prompt| prompt.text)
    }

    /// How the texts of a call are written. `None`: nobody can tell.
    pub fn script(&self) -> Option<&Script> {
        self.script.as_ref()
    }

    pub fn has_thinking_switch(&self) -> bool {
        // SAFETY: the handle is live.
        unsafe { agent_chat_has_thinking_switch(self.raw.as_ptr()) }
    }

    /// Renders a conversation. Cost: 1-100 ms, for llama.cpp derives grammar and parser from the template each time.
    pub fn render(&self, request: &RenderRequest<'_>) -> Result<Prompt, BridgeError> {
        let adapted = self.habit.adapt(request.messages, request.tools);
        let tools = if self.habit == Habit::Nothing { &[] } else { request.tools };
        self.render_folded(&RenderRequest { messages: &adapted, tools, ..*request })
    }

    fn render_folded(&self, request: &RenderRequest<'_>) -> Result<Prompt, BridgeError> {
        self.render_as_is(request).or_else(|error| {
            // A few templates (Gemma 2) refuse a system message: its words go in front of the person's.
            let [Message::System { text: system }, Message::User { text }, rest @ ..] = request.messages else {
                return Err(error);
            };
            let mut messages = vec![Message::User { text: format!("{system}\n\n{text}") }];
            messages.extend_from_slice(rest);
            self.render_as_is(&RenderRequest { messages: &messages, ..*request }).map_err(|_| error)
        })
    }

    fn render_as_is(&self, request: &RenderRequest<'_>) -> Result<Prompt, BridgeError> {
        let json = json!({
            "messages": request.messages.iter().map(openai_message).collect::<Vec<_>>(),
            "tools": request.tools.iter().map(openai_tool).collect::<Vec<_>>(),
            "required": request.choice == ToolChoice::Required && !request.tools.is_empty(),
            "parallel": true,
            "enable_thinking": request.thinking,
            "open": true,
        });
        let json = c_string(&json.to_string());
        // SAFETY: handle and string are live during the call.
        let raw = checked(|error| unsafe { agent_prompt_render(self.raw.as_ptr(), json.as_ptr(), error) })?;
        let prompt = PromptHandle(raw);
        // SAFETY: the handle is live.
        let facts = checked(|error| unsafe { agent_prompt_facts(raw.as_ptr(), error) })?;
        let facts = serde_json::from_str(&take(facts.as_ptr())).map_err(|e| BridgeError(e.to_string()))?;
        let mut length = 0;
        // SAFETY: the text is borrowed for as long as the handle lives and is copied at once.
        let text = unsafe {
            let start = agent_prompt_text(raw.as_ptr(), &mut length);
            String::from_utf8_lossy(std::slice::from_raw_parts(start.cast::<u8>(), length)).into_owned()
        };
        Ok(Prompt { text, facts, handle: prompt })
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        // SAFETY: closed once.
        unsafe { agent_chat_close(self.raw.as_ptr()) }
    }
}

/// What a prompt is made of.
#[derive(Clone, Copy, Debug)]
pub struct RenderRequest<'a> {
    pub messages: &'a [Message],
    pub tools: &'a [ToolCard],
    pub thinking: bool,
    pub choice: ToolChoice,
}

struct PromptHandle(NonNull<RawPrompt>);

// SAFETY: as for `Chat`.
unsafe impl Send for PromptHandle {}

impl Drop for PromptHandle {
    fn drop(&mut self) {
        // SAFETY: closed once.
        unsafe { agent_prompt_close(self.0.as_ptr()) }
    }
}

/// A rendered prompt, with the parser of what the model writes after it.
pub struct Prompt {
    pub text: String,
    pub facts: PromptFacts,
    handle: PromptHandle,
}

/// What llama.cpp knows about a prompt's dialect.
#[derive(Debug, Deserialize)]
pub struct PromptFacts {
    pub format: String,
    /// Texts that end the turn beside the end-of-generation tokens.
    pub stops: Vec<String>,
    pub thinks: bool,
    /// Whether the grammar waits for its trigger.
    pub lazy: bool,
    pub grammar: String,
}

/// What the model wrote, parsed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    pub text: String,
    pub thinking: String,
    pub calls: Vec<Call>,
}

impl Prompt {
    /// Parses what the model wrote after this prompt. A cut-off call comes back with cut-off arguments.
    pub fn parse(&self, written: &str, extent: Extent) -> Result<Parsed, BridgeError> {
        let text = c_string(written);
        // SAFETY: handle and string are live during the call.
        let json = checked(|error| unsafe {
            agent_prompt_parse(self.handle.0.as_ptr(), text.as_ptr(), extent == Extent::Partial, error)
        })?;
        let message: Value = serde_json::from_str(&take(json.as_ptr())).map_err(|e| BridgeError(e.to_string()))?;
        let field = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        Ok(Parsed {
            text: field(&message, "content"),
            thinking: field(&message, "reasoning_content"),
            calls: calls
                .map(|call| Call {
                    id: field(call, "id"),
                    name: field(&call["function"], "name"),
                    arguments: field(&call["function"], "arguments"),
                })
                .collect(),
        })
    }
}

/// Whether a text is all that the model wrote, or still grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Partial,
    Whole,
}

/// The sampler of one turn: draws, checks the grammar from its trigger on, keeps the thinking budget.
pub struct Sampler(NonNull<RawSampler>);

#[derive(Serialize)]
struct SamplerSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<u32>,
}

impl Sampler {
    /// Builds the sampler for a prompt. Errors when llama.cpp cannot parse the grammar.
    pub fn open(
        model: &Model,
        prompt: &Prompt,
        sampling: Sampling,
        thinking_budget: Option<Tokens>,
    ) -> Result<Self, BridgeError> {
        let Sampling { temperature, top_p, top_k, min_p, seed } = sampling;
        let budget = thinking_budget.map(|t| t.0.min(i32::MAX as u32));
        let settings = SamplerSettings { temperature, top_p, top_k, min_p, seed, thinking_budget: budget };
        let settings = c_string(&serde_json::to_string(&settings).map_err(|e| BridgeError(e.to_string()))?);
        // SAFETY: all three are live during the call; what it keeps of them it copies.
        checked(|error| unsafe { agent_sampler_open(model.as_ptr(), prompt.handle.0.as_ptr(), settings.as_ptr(), error) })
            .map(Self)
    }

    /// Draws a token from the logits of the last batch's token at `row`, or of its last one. Until it is accepted another may
    /// be drawn in its place.
    pub fn draw(&mut self, context: &mut Context, row: Option<usize>) -> Result<Token, BridgeError> {
        // libcommon ends the process where there are none.
        if context.logits(row).is_none() {
            return Err(BridgeError("llama.cpp kept no logits".into()));
        }
        let mut error = null_mut();
        let row = row.map_or(-1, |row| c_int::try_from(row).unwrap_or(c_int::MAX));
        // SAFETY: both handles are live; the context holds logits of its last decode, and knows which rows it has.
        let token = unsafe { agent_sampler_draw(self.0.as_ptr(), context.as_ptr(), row, &mut error) };
        if token < 0 { Err(BridgeError(take(error))) } else { Ok(Token(token)) }
    }

    /// Takes a token that was drawn: what comes next follows it.
    pub fn accept(&mut self, token: Token) -> Result<(), BridgeError> {
        let mut error = null_mut();
        // SAFETY: the handle is live.
        let accepted = unsafe { agent_sampler_accept(self.0.as_ptr(), token.0, &mut error) };
        if accepted { Ok(()) } else { Err(BridgeError(take(error))) }
    }

    /// Whether a special token belongs to the call syntax, and so is part of the text.
    pub fn preserves(&self, token: Token) -> bool {
        // SAFETY: the handle is live.
        unsafe { agent_sampler_preserves(self.0.as_ptr(), token.0) }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // SAFETY: closed once.
        unsafe { agent_sampler_close(self.0.as_ptr()) }
    }
}

/// Tries a load without allocating, with so many sequences where they share one cache. Cost: 10-80 ms with a small vocabulary, up to 4 s with a large one.
pub fn memory_trial(
    path: &Path,
    model: &sys::llama_model_params,
    context: &sys::llama_context_params,
    branches: u32,
) -> Result<Trial, BridgeError> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|e| BridgeError(e.to_string()))?;
    // SAFETY: all are live during the call.
    let json = checked(|error| unsafe { agent_memory_trial(path.as_ptr(), model, context, branches, error) })?;
    serde_json::from_str(&take(json.as_ptr())).map_err(|e| BridgeError(e.to_string()))
}

/// Says what a model and its context really take. Cheap.
pub fn memory_taken(context: &mut Context) -> Result<Trial, BridgeError> {
    // SAFETY: the context is live.
    let json = checked(|error| unsafe { agent_memory_taken(context.as_ptr(), error) })?;
    serde_json::from_str(&take(json.as_ptr())).map_err(|e| BridgeError(e.to_string()))
}

/// Some templates (Mistral's) take nothing but nine letters or digits as an id; other ids are mapped onto that, steadily.
fn call_id(id: &str) -> String {
    if id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    // FNV-1a: steady across processes, unlike the standard library's hasher.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("c{:08x}", hash as u32)
}

fn openai_message(message: &Message) -> Value {
    match message {
        Message::System { text } => json!({"role": "system", "content": text}),
        Message::User { text } => json!({"role": "user", "content": text}),
        Message::Tool { call, name, text } => {
            json!({"role": "tool", "tool_call_id": call_id(call), "name": name, "content": text})
        }
        Message::Assistant { text, thinking, calls } => {
            let mut value = json!({"role": "assistant", "content": text});
            if !thinking.is_empty() {
                value["reasoning_content"] = json!(thinking);
            }
            if !calls.is_empty() {
                value["tool_calls"] = calls
                    .iter()
                    .map(|c| json!({"type": "function", "id": call_id(&c.id), "function": {"name": c.name, "arguments": c.arguments}}))
                    .collect();
            }
            value
        }
    }
}

fn openai_tool(tool: &ToolCard) -> Value {
    json!({"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters}})
}
