//! Writes small GGUF files with random weights, so that llama.cpp itself runs in tests without a download.
//!
//! `Gguf` describes a model and writes it; `Raw` is the same file as keys and tensors that a test may spoil first.
//! Tensor lists follow llama.cpp's loaders; weights mean nothing, but the model loads, decodes and generates.
#![allow(dead_code, reason = "every test crate compiles this module and uses its own part of it")]

pub mod bad;
pub mod favour;
pub mod graft;
mod layout;
pub mod raw;
pub mod script;
mod vocab;

use layout::Layout;
use raw::{Raw, Value};
use std::path::Path;

/// The ChatML template without tools: enough for plain turns.
pub const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                          {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// ChatML with tools and calls in Hermes' form.
pub const CHATML_TOOLS: &str = "{% if tools %}<|im_start|>system\n\
{% if messages[0].role == 'system' %}{{ messages[0].content }}\n{% endif %}\
You may call a function as <tool_call>\n{\"name\": ..., \"arguments\": ...}\n</tool_call>. Functions:\n\
{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n\
{% elif messages[0].role == 'system' %}<|im_start|>system\n{{ messages[0].content }}<|im_end|>\n{% endif %}\
{% for m in messages %}{% if m.role == 'user' %}<|im_start|>user\n{{ m.content }}<|im_end|>\n\
{% elif m.role == 'assistant' %}<|im_start|>assistant\n{{ m.content or '' }}\
{% for call in m.tool_calls or [] %}\n<tool_call>\n\
{\"name\": \"{{ call.function.name }}\", \"arguments\": {{ call.function.arguments | tojson }}}\n</tool_call>\
{% endfor %}<|im_end|>\n\
{% elif m.role == 'tool' %}<|im_start|>user\n<tool_response>\n{{ m.content }}\n</tool_response><|im_end|>\n{% endif %}{% endfor %}\
{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Special tokens of the Qwen family, the default of every model here.
pub const QWEN: &[&str] = &[
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
];
/// Special tokens of Llama 3.
pub const LLAMA3: &[&str] = &[
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
];
/// Special tokens of Mistral and Devstral.
pub const MISTRAL: &[&str] = &[
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
];
/// Special tokens of GLM 4.5 and later.
pub const GLM: &[&str] = &[
    "<|endoftext|>",
    "[gMASK]",
    "<sop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
];
/// Special tokens of gpt-oss.
pub const HARMONY: &[&str] = &[
    "<|startoftext|>",
    "<|endoftext|>",
    "<|return|>",
    "<|constrain|>",
    "<|channel|>",
    "<|start|>",
    "<|end|>",
    "<|message|>",
    "<|call|>",
];

/// The architectures that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    Qwen2,
    Llama,
    Qwen3Moe,
    /// Sliding-window attention on five of six layers.
    Gemma3,
    /// Short convolutions on even layers, attention on odd ones.
    Lfm2,
    /// No attention at all.
    Mamba,
}

impl Arch {
    pub const ALL: [Self; 6] = [Self::Qwen2, Self::Llama, Self::Qwen3Moe, Self::Gemma3, Self::Lfm2, Self::Mamba];

    pub fn name(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Llama => "llama",
            Self::Qwen3Moe => "qwen3moe",
            Self::Gemma3 => "gemma3",
            Self::Lfm2 => "lfm2",
            Self::Mamba => "mamba",
        }
    }
}

/// How matrices are stored; vectors are always F32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    F32,
    F16,
    Q8_0,
}

/// A model to be written. Sizes must divide as llama.cpp demands: `embd` by `heads`, and by 32 under `Q8_0`.
#[derive(Clone, Debug)]
pub struct Gguf {
    arch: Arch,
    layers: u32,
    embd: u32,
    heads: u32,
    heads_kv: u32,
    ffn: u32,
    experts: u32,
    context: u32,
    vocab: usize,
    specials: Vec<String>,
    eos: String,
    template: Option<String>,
    profile: Option<String>,
    weights: Weights,
    scale: f32,
    seed: u64,
}

impl Gguf {
    /// Two layers of width 64, four heads over two KV heads, a byte-level vocabulary of about 300 tokens, window 4,096.
    pub fn new(arch: Arch) -> Self {
        Self {
            arch,
            layers: 2,
            embd: 64,
            heads: 4,
            heads_kv: 2,
            ffn: 128,
            experts: 4,
            context: 4096,
            vocab: 0,
            specials: QWEN.iter().map(|s| (*s).to_owned()).collect(),
            eos: "<|im_end|>".into(),
            template: None,
            profile: None,
            weights: Weights::Q8_0,
            scale: 0.02,
            seed: 1,
        }
    }

    pub fn qwen2() -> Self {
        Self::new(Arch::Qwen2)
    }

    pub fn llama() -> Self {
        Self::new(Arch::Llama)
    }

    pub fn qwen3moe() -> Self {
        Self::new(Arch::Qwen3Moe)
    }

    pub fn layers(mut self, n: u32) -> Self {
        self.layers = n;
        self
    }

    pub fn embd(mut self, n: u32) -> Self {
        self.embd = n;
        self
    }

    /// Query heads and KV heads.
    pub fn heads(mut self, heads: u32, kv: u32) -> Self {
        (self.heads, self.heads_kv) = (heads, kv);
        self
    }

    pub fn ffn(mut self, n: u32) -> Self {
        self.ffn = n;
        self
    }

    /// Experts of a mixture; two are used per token.
    pub fn experts(mut self, n: u32) -> Self {
        self.experts = n;
        self
    }

    /// The window the model claims to be trained for, in tokens.
    pub fn context(mut self, tokens: u32) -> Self {
        self.context = tokens;
        self
    }

    /// Fills the vocabulary up to `n` tokens in all with unique random pieces; fewer than it has anyway changes nothing.
    pub fn vocab(mut self, n: usize) -> Self {
        self.vocab = n;
        self
    }

    /// Replaces the special tokens. `<|x|>`, `[X]`, `<s>` and `</s>` become control tokens, others user-defined ones.
    pub fn special(mut self, tokens: &[&str]) -> Self {
        self.specials = tokens.iter().map(|s| (*s).to_owned()).collect();
        self
    }

    /// Names the token that ends a turn; it is added to the special tokens when missing.
    pub fn eos(mut self, token: &str) -> Self {
        self.eos = token.to_owned();
        self
    }

    pub fn template(mut self, jinja: &str) -> Self {
        self.template = Some(jinja.to_owned());
        self
    }

    /// Says in the file which words and tools the model was made for.
    pub fn profile(mut self, name: &str) -> Self {
        self.profile = Some(name.to_owned());
        self
    }

    pub fn weights(mut self, weights: Weights) -> Self {
        self.weights = weights;
        self
    }

    /// The spread of the random weights; larger makes the output more decided.
    pub fn scale(mut self, scale: f32) -> Self {
        self.scale = scale;
        self
    }

    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Writes the file; the same description gives the same bytes.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.raw().bytes()).unwrap_or_else(|e| panic!("cannot write `{}`: {e}", path.display()));
    }

    /// The file as keys and tensors, to be spoiled before it is written.
    pub fn raw(&self) -> Raw {
        let vocab = self.vocabulary();
        let mut raw = Raw::new();
        raw.set("general.architecture", Value::Str(self.arch.name().into()));
        raw.set("general.name", Value::Str(format!("random-{}", self.arch.name())));
        raw.set("general.type", Value::Str("model".into()));
        let label = match self.weights {
            Weights::F32 => 0,
            Weights::F16 => 1,
            Weights::Q8_0 => 7,
        };
        raw.set("general.file_type", Value::U32(label));
        self.hyperparameters(&mut raw);
        let vocab_size = vocab.tokens.len() as u64;
        vocab.store(&mut raw);
        if let Some(template) = &self.template {
            raw.set("tokenizer.chat_template", Value::Str(template.clone()));
        }
        if let Some(profile) = &self.profile {
            raw.set("agent.profile", Value::Str(profile.clone()));
        }
        let mut layout = Layout::new(self.weights, self.scale, self.seed);
        self.tensors(&mut layout, vocab_size);
        raw.tensors = layout.tensors;
        raw
    }

    fn vocabulary(&self) -> vocab::Vocabulary {
        let mut specials = self.specials.clone();
        if !specials.contains(&self.eos) {
            specials.push(self.eos.clone());
        }
        vocab::byte_level(&specials, &self.eos, self.vocab, self.seed)
    }

    fn hyperparameters(&self, raw: &mut Raw) {
        let arch = self.arch;
        let mut set = |key: &str, value: Value| raw.set(&format!("{}.{key}", arch.name()), value);
        set("block_count", Value::U32(self.layers));
        set("context_length", Value::U32(self.context));
        set("embedding_length", Value::U32(self.embd));
        if arch == Arch::Mamba {
            set("feed_forward_length", Value::U32(0));
            set("attention.head_count", Value::U32(0));
            set("attention.layer_norm_rms_epsilon", Value::F32(1e-5));
            set("ssm.conv_kernel", Value::U32(4));
            set("ssm.inner_size", Value::U32(2 * self.embd));
            set("ssm.state_size", Value::U32(16));
            set("ssm.time_step_rank", Value::U32(self.embd / 16));
            return;
        }
        let head = self.embd / self.heads;
        set("feed_forward_length", Value::U32(self.ffn));
        set("attention.head_count", Value::U32(self.heads));
        set("attention.layer_norm_rms_epsilon", Value::F32(1e-6));
        set("rope.freq_base", Value::F32(1e6));
        let heads_kv = match arch {
            Arch::Lfm2 => Value::I32s((0..self.layers).map(|i| if i % 2 == 1 { self.heads_kv as i32 } else { 0 }).collect()),
            _ => Value::U32(self.heads_kv),
        };
        set("attention.head_count_kv", heads_kv);
        match arch {
            Arch::Llama => set("rope.dimension_count", Value::U32(head)),
            Arch::Qwen3Moe => {
                set("expert_count", Value::U32(self.experts));
                set("expert_used_count", Value::U32(2));
                set("expert_feed_forward_length", Value::U32(self.ffn));
            }
            Arch::Gemma3 => {
                set("attention.key_length", Value::U32(head));
                set("attention.value_length", Value::U32(head));
                set("attention.sliding_window", Value::U32(128));
            }
            Arch::Lfm2 => set("shortconv.l_cache", Value::U32(3)),
            Arch::Qwen2 | Arch::Mamba => {}
        }
    }

    fn tensors(&self, out: &mut Layout, vocab: u64) {
        let embd = u64::from(self.embd);
        out.matrix("token_embd.weight", &[embd, vocab]);
        out.ones(if self.arch == Arch::Lfm2 { "token_embd_norm.weight" } else { "output_norm.weight" }, embd);
        if self.arch == Arch::Llama {
            out.matrix("output.weight", &[embd, vocab]);
        }
        for layer in 0..self.layers {
            out.block(layer);
            out.ones("attn_norm.weight", embd);
            if self.arch == Arch::Mamba {
                out.mamba(embd);
                continue;
            }
            if self.arch == Arch::Lfm2 && layer % 2 == 0 {
                out.short_convolution(embd);
            } else {
                self.attention(out, embd);
            }
            self.feed_forward(out, embd);
        }
    }

    fn attention(&self, out: &mut Layout, embd: u64) {
        let head = embd / u64::from(self.heads);
        let kv = head * u64::from(self.heads_kv);
        out.matrix("attn_q.weight", &[embd, embd]);
        out.matrix("attn_k.weight", &[embd, kv]);
        out.matrix("attn_v.weight", &[embd, kv]);
        out.matrix("attn_output.weight", &[embd, embd]);
        match self.arch {
            Arch::Qwen2 => {
                out.zeros("attn_q.bias", embd);
                out.zeros("attn_k.bias", kv);
                out.zeros("attn_v.bias", kv);
            }
            Arch::Qwen3Moe | Arch::Gemma3 | Arch::Lfm2 => {
                out.ones("attn_q_norm.weight", head);
                out.ones("attn_k_norm.weight", head);
            }
            Arch::Llama | Arch::Mamba => {}
        }
    }

    fn feed_forward(&self, out: &mut Layout, embd: u64) {
        let (ffn, experts) = (u64::from(self.ffn), u64::from(self.experts));
        out.ones("ffn_norm.weight", embd);
        if self.arch == Arch::Gemma3 {
            out.ones("post_attention_norm.weight", embd);
            out.ones("post_ffw_norm.weight", embd);
        }
        if self.arch == Arch::Qwen3Moe {
            out.floats("ffn_gate_inp.weight", &[embd, experts]);
            out.matrix("ffn_gate_exps.weight", &[embd, ffn, experts]);
            out.matrix("ffn_up_exps.weight", &[embd, ffn, experts]);
            out.matrix("ffn_down_exps.weight", &[ffn, embd, experts]);
        } else {
            out.matrix("ffn_gate.weight", &[embd, ffn]);
            out.matrix("ffn_up.weight", &[embd, ffn]);
            out.matrix("ffn_down.weight", &[ffn, embd]);
        }
    }
}
