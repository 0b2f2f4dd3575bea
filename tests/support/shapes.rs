//! Headers of real models, written from their published dimensions: tensor tables as llama.cpp's quantizer makes them, and
//! no tensors.
//!
//! The dimensions are the rows of `models.json`; which tensor is stored how follows `llama_tensor_get_type_impl` in
//! `llama-quant.cpp`, without an importance matrix.

use agent::models::gguf::{Header, Kind, Storage, Tensor, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A model's dimensions.
pub struct Dimensions<'a>(pub &'a Json);

type Named = (String, Vec<u64>);

impl Dimensions<'_> {
    fn number(&self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap_or(0)
    }

    fn of_state(&self, key: &str) -> u64 {
        self.0["ssm"][key].as_u64().unwrap_or(0)
    }

    fn has(&self, key: &str) -> bool {
        self.0[key].as_bool().unwrap_or(false)
    }

    fn arch(&self) -> &str {
        self.0["arch"].as_str().unwrap_or_default()
    }

    fn attends(&self, layer: u64) -> bool {
        match self.arch() {
            "mamba2" => false,
            "granitehybrid" => self.0["attn_layers"].as_array().is_some_and(|all| all.iter().any(|l| l.as_u64() == Some(layer))),
            "qwen3next" => (layer + 1).is_multiple_of(self.number("full_attention_interval")),
            _ => true,
        }
    }

    /// The header of a quantisation.
    pub fn header(&self, quant: &str) -> Header {
        let tensors: Vec<Tensor> = self.stored(quant);
        let size = tensors.iter().map(|tensor| tensor.bytes.next_multiple_of(32)).sum();
        Header {
            path: PathBuf::from("m.gguf"),
            version: 3,
            alignment: 32,
            data_start: 0,
            file_size: size,
            keys: self.keys(),
            tensors,
            parts: Vec::new(),
        }
    }

    fn keys(&self) -> BTreeMap<String, Value> {
        let arch = self.arch();
        let mut keys = BTreeMap::from([("general.architecture".to_owned(), Value::Str(arch.into()))]);
        let mut add = |key: &str, number: u64| {
            if number > 0 {
                keys.insert(format!("{arch}.{key}"), Value::Int(Kind::U32, number as i64));
            }
        };
        for (key, from) in [
            ("block_count", "n_layer"),
            ("context_length", "ctx_train"),
            ("embedding_length", "n_embd"),
            ("vocab_size", "n_vocab"),
            ("feed_forward_length", "n_ff"),
            ("attention.head_count", "n_head"),
            ("attention.head_count_kv", "n_head_kv"),
            ("attention.key_length", "head_dim_k"),
            ("attention.value_length", "head_dim_v"),
            ("expert_count", "n_expert"),
            ("expert_used_count", "n_expert_used"),
            ("nextn_predict_layers", "n_layer_nextn"),
            ("attention.sliding_window", "sliding_window"),
            ("full_attention_interval", "full_attention_interval"),
        ] {
            add(key, self.number(from));
        }
        for (key, from) in [
            ("ssm.conv_kernel", "d_conv"),
            ("ssm.inner_size", "d_inner"),
            ("ssm.state_size", "d_state"),
            ("ssm.time_step_rank", "dt_rank"),
            ("ssm.group_count", "n_group"),
        ] {
            add(key, self.of_state(from));
        }
        if arch == "granitehybrid" {
            let layers = self.number("n_layer");
            let heads = (0..layers).map(|l| if self.attends(l) { self.number("n_head_kv") as i64 } else { 0 }).collect();
            let array = agent::models::gguf::Array { kind: Kind::I32, len: layers, offset: 0, bytes: 0, ints: Some(heads) };
            keys.insert(format!("{arch}.attention.head_count_kv"), Value::Array(array));
        }
        keys
    }

    fn tensors(&self) -> Vec<Named> {
        let (width, vocabulary) = (self.number("n_embd"), self.number("n_vocab"));
        let mut all: Vec<Named> =
            vec![("token_embd.weight".into(), vec![width, vocabulary]), ("output_norm.weight".into(), vec![width])];
        if !self.has("tied") {
            all.push(("output.weight".into(), vec![width, vocabulary]));
        }
        if self.has("rope_freqs") {
            all.push(("rope_freqs.weight".into(), vec![self.number("head_dim_k") / 2]));
        }
        for layer in 0..self.number("n_layer") {
            let mut add = |name: &str, dims: &[u64]| all.push((format!("blk.{layer}.{name}"), dims.to_vec()));
            add("attn_norm.weight", &[width]);
            self.mixer(layer, &mut add);
            self.norms(&mut add);
            self.feed_forward(layer, &mut add);
        }
        all
    }

    fn mixer(&self, layer: u64, add: &mut dyn FnMut(&str, &[u64])) {
        let arch = self.arch();
        let number = |key: &str| self.number(key);
        let (e, heads, kv) = (number("n_embd"), number("n_head"), number("n_head_kv"));
        let (dk, dv) = (number("head_dim_k"), number("head_dim_v"));
        let state = |key: &str| self.of_state(key);
        let (inner, size, groups, rank, kernel) =
            (state("d_inner"), state("d_state"), state("n_group"), state("dt_rank"), state("d_conv"));
        if matches!(arch, "mamba2" | "granitehybrid") && !self.attends(layer) {
            add("ssm_in.weight", &[e, 2 * inner + 2 * groups * size + rank]);
            add("ssm_conv1d.weight", &[kernel, inner + 2 * groups * size]);
            add("ssm_conv1d.bias", &[inner + 2 * groups * size]);
            add("ssm_dt.bias", &[rank]);
            add("ssm_a", &[1, rank]);
            add("ssm_d", &[1, rank]);
            add("ssm_norm.weight", &[inner / groups, groups]);
            add("ssm_out.weight", &[inner, e]);
        } else if arch == "qwen3next" && !self.attends(layer) {
            let (keys, values) = (size * groups, size * rank);
            add("attn_qkv.weight", &[e, 2 * keys + values]);
            add("attn_gate.weight", &[e, values]);
            add("ssm_conv1d.weight", &[kernel, 2 * keys + values]);
            add("ssm_dt.bias", &[rank]);
            add("ssm_a", &[rank]);
            add("ssm_ba.weight", &[e, 2 * rank]);
            add("ssm_norm.weight", &[size]);
            add("ssm_out.weight", &[values, e]);
        } else if arch == "deepseek2" {
            let (lora, rope, q_lora) = (number("kv_lora_rank"), number("qk_rope_head_dim"), number("q_lora_rank"));
            if q_lora > 0 {
                add("attn_q_a.weight", &[e, q_lora]);
                add("attn_q_a_norm.weight", &[q_lora]);
                add("attn_q_b.weight", &[q_lora, heads * dk]);
            } else {
                add("attn_q.weight", &[e, heads * dk]);
            }
            add("attn_kv_a_mqa.weight", &[e, lora + rope]);
            add("attn_kv_a_norm.weight", &[lora]);
            add("attn_kv_b.weight", &[lora, heads * (dk - rope + dv)]);
            add("attn_output.weight", &[heads * dv, e]);
        } else {
            let queries = heads * dk * if arch == "qwen3next" { 2 } else { 1 };
            if self.has("fused_qkv") {
                add("attn_qkv.weight", &[e, queries + kv * (dk + dv)]);
            } else {
                add("attn_q.weight", &[e, queries]);
                add("attn_k.weight", &[e, kv * dk]);
                add("attn_v.weight", &[e, kv * dv]);
            }
            if self.has("qkv_bias") || arch == "gpt-oss" {
                add("attn_q.bias", &[queries]);
                add("attn_k.bias", &[kv * dk]);
                add("attn_v.bias", &[kv * dv]);
            }
            add("attn_output.weight", &[heads * dv, e]);
            if matches!(arch, "gpt-oss" | "starcoder2") {
                add("attn_output.bias", &[e]);
            }
            if arch == "gpt-oss" {
                add("attn_sinks.weight", &[heads]);
            }
            if self.has("qk_norm") {
                add("attn_q_norm.weight", &[dk]);
                add("attn_k_norm.weight", &[dk]);
            }
        }
    }

    fn norms(&self, add: &mut dyn FnMut(&str, &[u64])) {
        let width = [self.number("n_embd")];
        match self.arch() {
            "gpt-oss" | "qwen3next" | "glm4moe" => add("post_attention_norm.weight", &width),
            "gemma2" | "gemma3" | "glm4" => {
                for name in ["post_attention_norm.weight", "ffn_norm.weight", "post_ffw_norm.weight"] {
                    add(name, &width);
                }
            }
            "mamba2" => {}
            _ => add("ffn_norm.weight", &width),
        }
        if self.arch() == "starcoder2" {
            add("attn_norm.bias", &width);
            add("ffn_norm.bias", &width);
        }
    }

    fn feed_forward(&self, layer: u64, add: &mut dyn FnMut(&str, &[u64])) {
        let (e, hidden, experts, expert) =
            (self.number("n_embd"), self.number("n_ff"), self.number("n_expert"), self.number("n_ff_exp"));
        let arch = self.arch();
        if arch == "mamba2" {
            return;
        }
        if experts > 0 && layer >= self.number("n_layer_dense_lead") {
            add("ffn_gate_inp.weight", &[e, experts]);
            add("ffn_gate_exps.weight", &[e, expert, experts]);
            add("ffn_down_exps.weight", &[expert, e, experts]);
            add("ffn_up_exps.weight", &[e, expert, experts]);
            if arch == "qwen3next" {
                add("ffn_gate_inp_shexp.weight", &[e]);
            }
            if arch == "gpt-oss" {
                add("ffn_gate_inp.bias", &[experts]);
                add("ffn_gate_exps.bias", &[expert, experts]);
                add("ffn_down_exps.bias", &[e, experts]);
                add("ffn_up_exps.bias", &[expert, experts]);
            }
            let given = self.number("n_ff_shexp");
            let shared = if given > 0 { given } else { expert * self.number("n_expert_shared") };
            if shared > 0 {
                add("ffn_gate_shexp.weight", &[e, shared]);
                add("ffn_down_shexp.weight", &[shared, e]);
                add("ffn_up_shexp.weight", &[e, shared]);
            }
            return;
        }
        let fused = matches!(arch, "phi3" | "glm4");
        add("ffn_down.weight", &[hidden, e]);
        add("ffn_up.weight", &[e, if fused { 2 * hidden } else { hidden }]);
        if arch == "starcoder2" {
            add("ffn_down.bias", &[e]);
            add("ffn_up.bias", &[hidden]);
        } else if !fused {
            add("ffn_gate.weight", &[e, hidden]);
        }
    }

    fn stored(&self, quant: &str) -> Vec<Tensor> {
        let mut named = self.tensors();
        let order = |name: &str| name.strip_prefix("blk.").and_then(|n| n.split('.').next()?.parse::<i64>().ok()).unwrap_or(-1);
        named.sort_by(|a, b| (order(&a.0), &a.0).cmp(&(order(&b.0), &b.0)));
        let values = named.iter().filter(|(name, _)| matches!(kind(name), "v" | "qkv" | "kvb")).count() as u64;
        let mut mix = Mix { dimensions: self, quant, values, at_value: 0, at_down: 0 };
        let mut tensors = Vec::new();
        for (name, dims) in named {
            let storage = mix.storage(&name, &dims);
            let elements: u64 = dims.iter().product();
            let bytes = elements / storage.block * storage.bytes;
            tensors.push(Tensor { name, dims, storage, offset: 0, elements, bytes, part: 0 });
        }
        tensors
    }
}

/// What a tensor is to the quantizer.
fn kind(name: &str) -> &'static str {
    match name {
        "output.weight" => return "output",
        "token_embd.weight" => return "embd",
        _ => {}
    }
    let kinds = [
        ("attn_qkv.weight", "qkv"),
        ("attn_kv_b.weight", "kvb"),
        ("attn_v.weight", "v"),
        ("attn_k.weight", "k"),
        ("attn_q.weight", "q"),
        ("attn_output.weight", "out"),
        ("ffn_up", "up"),
        ("ffn_gate", "gate"),
        ("ffn_down", "down"),
    ];
    kinds.into_iter().find(|(part, _)| name.contains(part)).map_or("other", |(_, kind)| kind)
}

fn named(name: &str) -> Storage {
    (0..64).filter_map(Storage::from_number).find(|storage| storage.name == name).expect("a type that exists")
}

/// A quantisation in progress: some tensors get more bits by their number.
struct Mix<'a> {
    dimensions: &'a Dimensions<'a>,
    quant: &'a str,
    values: u64,
    at_value: u64,
    at_down: u64,
}

impl Mix<'_> {
    fn storage(&mut self, name: &str, dims: &[u64]) -> Storage {
        let matrix = dims.iter().rposition(|n| *n > 1).map_or(0, |last| last + 1) >= 2;
        let plain = ["_norm.weight", "ffn_gate_inp.weight", "ssm_conv1d"].iter().any(|part| name.contains(part));
        if !matrix || plain || !name.ends_with("weight") {
            return Storage::F32;
        }
        if self.quant == "F16" {
            return named("F16");
        }
        let mut chosen = self.chosen(name, dims);
        let row = dims[0];
        if !row.is_multiple_of(named(chosen).block) {
            chosen = match chosen {
                "Q2_K" | "Q3_K" => "Q4_0",
                "Q4_K" => "Q5_0",
                "Q5_K" => "Q5_1",
                "Q6_K" => "Q8_0",
                other => other,
            };
        }
        if row.is_multiple_of(named(chosen).block) { named(chosen) } else { named("F16") }
    }

    fn chosen(&mut self, name: &str, dims: &[u64]) -> &'static str {
        let base = match self.quant {
            "Q8_0" => "Q8_0",
            "Q6_K" => "Q6_K",
            "Q5_K_M" => "Q5_K",
            "Q4_K_M" => "Q4_K",
            "Q4_0" => "Q4_0",
            "Q3_K_M" => "Q3_K",
            "Q2_K" => "Q2_K",
            "MXFP4_MOE" => "MXFP4",
            other => panic!("{other} is not written"),
        };
        let model = self.dimensions;
        let (experts, layers) = (model.number("n_expert"), model.number("n_layer"));
        let groups = model.number("n_head").checked_div(model.number("n_head_kv")).unwrap_or(0);
        let legacy = model.has("legacy_qkv_mix");
        let mixed = matches!(self.quant, "Q4_K_M" | "Q5_K_M");
        let more_bits = |i: u64, n: u64| i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
        let what = kind(name);
        if what == "output" || (model.has("tied") && what == "embd") {
            let whole = dims[0].is_multiple_of(named(base).block);
            return if base == "MXFP4" || !whole || base == "Q8_0" { "Q8_0" } else { "Q6_K" };
        }
        if base == "MXFP4" {
            return if dims.len() > 2 && dims[2] > 1 { "MXFP4" } else { "Q8_0" };
        }
        match what {
            "v" | "kvb" => self.value(base, groups, experts, layers),
            "qkv" if !legacy => self.value(base, groups, experts, layers),
            "k" if experts == 8 => "Q8_0",
            "down" => {
                let number = || name.split('.').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
                let layer = if experts > 1 { number() } else { self.at_down };
                self.at_down += 1;
                match self.quant {
                    "Q2_K" => "Q3_K",
                    "Q3_K_M" if layer < layers / 16 => "Q5_K",
                    "Q3_K_M" => "Q4_K",
                    _ if mixed && more_bits(layer, layers) => "Q6_K",
                    _ => base,
                }
            }
            "out" if experts == 8 && matches!(self.quant, "Q2_K" | "Q3_K_M" | "Q4_K_M") => "Q5_K",
            "out" if self.quant == "Q2_K" => "Q3_K",
            "out" if self.quant == "Q3_K_M" => "Q4_K",
            "qkv" if self.quant == "Q3_K_M" => "Q4_K",
            "qkv" if self.quant == "Q4_K_M" => "Q5_K",
            "qkv" if self.quant == "Q5_K_M" => "Q6_K",
            _ => base,
        }
    }

    fn value(&mut self, base: &'static str, groups: u64, experts: u64, layers: u64) -> &'static str {
        let more_bits = |i: u64, n: u64| i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
        let mut chosen = match self.quant {
            "Q2_K" if groups >= 4 => "Q4_K",
            "Q2_K" => "Q3_K",
            "Q3_K_M" if self.at_value < 2 => "Q5_K",
            "Q3_K_M" => "Q4_K",
            "Q4_K_M" | "Q5_K_M" if more_bits(self.at_value, self.values) => "Q6_K",
            _ => base,
        };
        let large = self.dimensions.arch() == "llama" && layers == 80 && groups > 1;
        if large && matches!(chosen, "Q3_K" | "Q4_K") {
            chosen = "Q5_K";
        }
        self.at_value += 1;
        if experts == 8 { "Q8_0" } else { chosen }
    }
}
