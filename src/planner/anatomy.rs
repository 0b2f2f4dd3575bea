//! A model's anatomy: what each layer weighs, remembers and computes, from the header alone.
//!
//! Weights come from the tensor table, so they are right for every architecture. What a layer remembers follows each
//! architecture's own rules (`src/models/*.cpp` of llama.cpp): those that are known stand in the tables below, and for
//! the others there is no anatomy. No tensor is read.

use crate::models::gguf::{Header, Tensor};
use crate::units::Bytes;

/// Architectures whose every layer attends to the whole window.
#[rustfmt::skip]
const WHOLE: &[&str] = &[
    "arcee", "command-r", "deepseek", "deepseek2", "dots1", "ernie4_5", "ernie4_5-moe", "exaone", "gemma", "glm4", "glm4moe",
    "granite", "granitemoe", "hunyuan-dense", "hunyuan-moe", "internlm2", "llama", "minimax-m2", "mistral3", "phi3", "qwen2",
    "qwen2moe", "qwen3", "qwen3moe", "seed_oss", "smollm3", "stablelm", "starcoder2",
];
/// Architectures with sliding windows: of so many layers, all but the last have one, unless the file says otherwise.
const SLIDING: &[(&str, u32)] = &[("cohere2", 4), ("exaone4", 4), ("gemma2", 2), ("gemma3", 6), ("gpt-oss", 2), ("olmo2", 4)];
/// Architectures that keep a running state wherever the file gives a layer no KV heads.
const BY_HEADS: &[&str] = &["granitehybrid", "jamba", "lfm2", "lfm2moe", "mamba", "mamba2"];
/// Architectures in which every so-manieth layer attends and the others keep a running state.
const BY_INTERVAL: &[&str] = &["qwen3next", "qwen35", "qwen35moe"];
const DEFAULT_INTERVAL: u32 = 4;

/// What a layer keeps of the tokens that went through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Past {
    /// Nothing: the layer is not loaded (drafts of several tokens), or has no mixer.
    Nothing,
    /// Keys and values of so many elements a token; no values where they are part of the keys (MLA).
    Keys { key: u64, value: u64, head_key: u64, head_value: u64, sliding: bool },
    /// A running state, whatever the window and the cache type.
    State(Bytes),
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Weights without routed experts.
    pub dense: Bytes,
    /// Routed experts, all of them.
    pub experts: Bytes,
    /// The largest tensor, routed experts included.
    pub largest: Bytes,
    /// Parameters that each token is multiplied with, used experts included.
    pub multiplied: u64,
    pub past: Past,
    /// The most numbers per token that its feed-forward part or its state's mixer holds at once.
    pub peak: u64,
    /// Numbers per token of all query heads together.
    pub queries: u64,
}

/// A model as memory and time see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anatomy {
    pub layers: Vec<Layer>,
    /// The table of tokens, which stays on the host.
    pub embedding: Bytes,
    /// What stands behind the last layer. Where the table of tokens is the output too, a copy of it counts here.
    pub output: Bytes,
    /// Whether the output is the table of tokens.
    pub tied: bool,
    pub vocabulary: u64,
    pub width: u64,
    /// Of its layers with a sliding window; 0 where there are none.
    pub sliding_window: u64,
    /// Experts that a token uses, and that a layer has. 0 of 0 where there are none.
    pub used: u64,
    pub of: u64,
    /// Numbers per token of a running state's inner layer; 0 where there are none.
    pub inner: u64,
}

impl Anatomy {
    /// Reads a header that was checked. `None` for an architecture whose memory is not known here.
    pub fn of(header: &Header) -> Option<Self> {
        let mixers = Mixers::of(header)?;
        let count = header.layers().0.min(1024);
        let loaded = count.saturating_sub(header.of_arch("nextn_predict_layers").unwrap_or(0));
        let of = u64::from(header.of_arch("expert_count").unwrap_or(0));
        let used = u64::from(header.per_layer("expert_used_count").unwrap_or_default().into_iter().max().unwrap_or(0)).min(of);
        let mut layers = vec![Parts::default(); count as usize];
        let (mut embedding, mut output, mut tied) = (0, 0, true);
        for tensor in &header.tensors {
            match (tensor.name.as_str(), layer_of(&tensor.name)) {
                (_, Some(layer)) if layer < loaded => layers.get_mut(layer as usize)?.add(tensor),
                (_, Some(_)) => {}
                ("token_embd.weight", None) => embedding = tensor.bytes,
                (name, None) => {
                    tied &= name != "output.weight";
                    output += tensor.bytes;
                }
            }
        }
        let finished = layers.into_iter().enumerate();
        let layers = finished
            .map(|(i, parts)| parts.finish(&mixers, i as u32, Routing { used, of, loaded }))
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            layers,
            embedding: Bytes(embedding),
            output: Bytes(output + if tied { embedding } else { 0 }),
            tied,
            vocabulary: u64::from(header.vocabulary().0),
            width: u64::from(header.embedding()),
            sliding_window: mixers.window,
            used,
            of,
            inner: mixers.inner,
        })
    }

    /// Whether layers have routed experts.
    pub fn is_mixture(&self) -> bool {
        self.of > 0
    }
}

struct Routing {
    used: u64,
    of: u64,
    loaded: u32,
}

/// A layer's tensors, summed up.
#[derive(Clone, Default)]
struct Parts {
    dense: u64,
    experts: u64,
    largest: u64,
    dense_elements: u64,
    expert_elements: u64,
    /// The rows of the projection out of the feed-forward part, and out of the experts.
    hidden: u64,
    expert_hidden: u64,
    up: u64,
    gated: bool,
}

impl Parts {
    fn add(&mut self, tensor: &Tensor) {
        let part = tensor.name.splitn(3, '.').nth(2).unwrap_or_default();
        let first = tensor.dims.first().copied().unwrap_or(1);
        let second = tensor.dims.get(1).copied().unwrap_or(1);
        self.largest = self.largest.max(tensor.bytes);
        if holds_experts(&tensor.name) {
            self.experts += tensor.bytes;
            self.expert_elements += tensor.elements;
            if part.starts_with("ffn_down_exps.weight") {
                self.expert_hidden = first;
            }
            return;
        }
        self.dense += tensor.bytes;
        self.dense_elements += tensor.elements;
        match part {
            "ffn_down.weight" => self.hidden = first,
            "ffn_up.weight" => self.up = second,
            "ffn_gate.weight" => self.gated = true,
            _ => {}
        }
    }

    /// The feed-forward part's peak: gate, up and their product, or the experts' answers beside that.
    fn finish(self, mixers: &Mixers, layer: u32, routing: Routing) -> Option<Layer> {
        let past = if layer < routing.loaded { mixers.past(layer)? } else { Past::Nothing };
        // Gate and up may be one tensor of twice the rows.
        let gated = self.gated || self.up == 2 * self.hidden;
        let feed = if gated { 3 * self.hidden } else { 2 * self.hidden };
        let routed = if self.experts > 0 { routing.used * (mixers.width + 2 * self.expert_hidden) } else { 0 };
        let state = if matches!(past, Past::State(_)) { mixers.state_peak } else { 0 };
        let share = |elements: u64| elements.saturating_mul(routing.used).checked_div(routing.of).unwrap_or(0);
        Some(Layer {
            dense: Bytes(self.dense),
            experts: Bytes(self.experts),
            largest: Bytes(self.largest),
            multiplied: self.dense_elements.saturating_add(share(self.expert_elements)),
            peak: feed.max(routed).max(state),
            queries: if matches!(past, Past::Keys { .. }) { mixers.queries(layer) } else { 0 },
            past,
        })
    }
}

/// How the layers of an architecture mix tokens.
struct Mixers {
    heads: Vec<u32>,
    kv_heads: Vec<u32>,
    head_key: u64,
    head_value: u64,
    /// Whether values are part of the keys.
    latent: bool,
    width: u64,
    window: u64,
    sliding: Vec<bool>,
    recurrent: Vec<bool>,
    state: u64,
    inner: u64,
    state_peak: u64,
}

impl Mixers {
    fn of(header: &Header) -> Option<Self> {
        let arch = header.arch();
        let count = header.layers().0.min(1024);
        let (heads, kv_heads) = (header.heads(), header.kv_heads());
        let number = |key: &str| header.of_arch(key).map_or(0, u64::from);
        let width = u64::from(header.embedding());
        let most = u64::from(heads.iter().copied().max().unwrap_or(0));
        let length = |key: &str| header.of_arch(key).map_or_else(|| width.checked_div(most).unwrap_or(0), u64::from);
        let (sliding, window) = sliding(header, count)?;
        let recurrent = recurrent(header, count, &kv_heads)?;
        let (inner, state, peak) = state(header, width);
        Some(Self {
            head_key: length("attention.key_length"),
            head_value: length("attention.value_length"),
            latent: number("attention.key_length_mla") > 0 && number("attention.value_length_mla") > 0,
            window: if sliding.contains(&true) { window } else { 0 },
            inner: if recurrent.contains(&true) && !arch.starts_with("lfm2") { inner } else { 0 },
            state_peak: peak,
            heads,
            kv_heads,
            width,
            sliding,
            recurrent,
            state,
        })
    }

    /// `None` where the header does not give what the architecture needs.
    fn past(&self, layer: u32) -> Option<Past> {
        let at = layer as usize;
        if *self.recurrent.get(at)? {
            return (self.state > 0).then_some(Past::State(Bytes(4 * self.state)));
        }
        let kv = u64::from(*self.kv_heads.get(at)?);
        if kv == 0 || self.head_key == 0 {
            return None;
        }
        let value = if self.latent { 0 } else { kv * self.head_value };
        let (head_key, head_value) = (self.head_key, if self.latent { 0 } else { self.head_value });
        Some(Past::Keys { key: kv * self.head_key, value, head_key, head_value, sliding: *self.sliding.get(at)? })
    }

    fn queries(&self, layer: u32) -> u64 {
        let heads = self.heads.get(layer as usize).copied().unwrap_or(0);
        u64::from(heads) * self.head_key
    }
}

/// Which layers have a sliding window, and how long it is. `None` where that is not known.
fn sliding(header: &Header, count: u32) -> Option<(Vec<bool>, u64)> {
    let window = u64::from(header.of_arch("attention.sliding_window").unwrap_or(0));
    let none = vec![false; count as usize];
    let known = SLIDING.iter().find(|(arch, _)| *arch == header.arch());
    let Some((_, pattern)) = known else {
        // Phi 3 names a window that llama.cpp does not use.
        let unused = WHOLE.contains(&header.arch()) || window == 0;
        return unused.then_some((none, 0));
    };
    if window == 0 {
        return Some((none, 0));
    }
    let key = header.arch_key("attention.sliding_window_pattern");
    if let Some(given) = header.array(&key) {
        let flags: Vec<bool> = given.ints.as_ref()?.iter().map(|flag| *flag != 0).collect();
        return (flags.len() >= count as usize).then_some((flags, window));
    }
    let pattern = header.of_arch("attention.sliding_window_pattern").unwrap_or(*pattern);
    Some(((0..count).map(|layer| pattern == 0 || layer % pattern < pattern - 1).collect(), window))
}

/// Which layers keep a running state. `None` for an architecture that is not known.
fn recurrent(header: &Header, count: u32, kv_heads: &[u32]) -> Option<Vec<bool>> {
    let arch = header.arch();
    if BY_HEADS.contains(&arch) {
        let pure = arch.starts_with("mamba");
        return Some((0..count as usize).map(|layer| pure || kv_heads.get(layer).is_none_or(|heads| *heads == 0)).collect());
    }
    if BY_INTERVAL.contains(&arch) {
        if header.keys.contains_key(&header.arch_key("attention.recurrent_layers")) {
            return None;
        }
        let interval = header.of_arch("full_attention_interval").unwrap_or(DEFAULT_INTERVAL).max(1);
        return Some((0..count).map(|layer| !(layer + 1).is_multiple_of(interval)).collect());
    }
    let plain = WHOLE.contains(&arch) || SLIDING.iter().any(|(known, _)| *known == arch);
    plain.then(|| vec![false; count as usize])
}

/// The width of the inner layer, the numbers of one sequence's state (`n_embd_r` and `n_embd_s` of `llama-hparams.cpp`), and
/// those that a token needs while it goes through.
fn state(header: &Header, width: u64) -> (u64, u64, u64) {
    let number = |key: &str| u64::from(header.of_arch(key).unwrap_or(0));
    let short = number("shortconv.l_cache");
    if short > 0 {
        return (width, width * (short - 1), 4 * width);
    }
    let (inner, size, groups) = (number("ssm.inner_size"), number("ssm.state_size"), number("ssm.group_count"));
    let convolved = inner.saturating_add(2 * groups.saturating_mul(size));
    let kept = number("ssm.conv_kernel").saturating_sub(1).saturating_mul(convolved).saturating_add(size.saturating_mul(inner));
    (inner, kept, 4 * inner + 2 * groups.saturating_mul(size))
}

/// The layer that a tensor belongs to.
pub fn layer_of(name: &str) -> Option<u32> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

/// Whether a tensor holds routed experts: what can stay on the host by itself.
pub fn holds_experts(name: &str) -> bool {
    name.contains(".ffn_") && (name.contains("_exps.") || name.contains("_chexps."))
}
