//! The table of files that must be refused: each with a name and the words that the refusal must hold.

use super::Gguf;
use super::raw::{Raw, Tensor, Value};
use std::path::{Path, PathBuf};

/// A file that is wrong in one way.
pub struct BadFile {
    pub path: PathBuf,
    /// What the refusal says after the file's name.
    pub says: &'static str,
}

/// Writes every bad file into `dir`.
pub fn bad_files(dir: &Path) -> Vec<BadFile> {
    let spoiled = SPOILED.iter().map(|(name, says, spoil)| {
        let mut raw = Gguf::qwen2().raw();
        spoil(&mut raw);
        (*name, *says, raw.bytes())
    });
    let mixture = MIXTURES.iter().map(|(name, says, spoil)| {
        let mut raw = Gguf::qwen3moe().raw();
        spoil(&mut raw);
        (*name, *says, raw.bytes())
    });
    let files = not_gguf().into_iter().chain(cut()).chain(spoiled).chain(mixture);
    let mut bad: Vec<BadFile> = files
        .map(|(name, says, bytes)| {
            let path = dir.join(format!("{name}.gguf"));
            std::fs::write(&path, bytes).unwrap_or_else(|e| panic!("cannot write `{}`: {e}", path.display()));
            BadFile { path, says }
        })
        .collect();
    bad.push(BadFile { path: dir.join("missing.gguf"), says: "does not exist" });
    bad.push(BadFile { path: dir.to_owned(), says: "it is a directory" });
    bad
}

type Bytes = (&'static str, &'static str, Vec<u8>);

fn not_gguf() -> Vec<Bytes> {
    let page = b"<!DOCTYPE html><html><body>404 Not Found</body></html>";
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n";
    vec![
        ("empty", "is empty", Vec::new()),
        ("one-byte", "is not a GGUF file: it starts with `G`", b"G".to_vec()),
        ("zeros", "is not a GGUF file: it starts with zeros", vec![0; 65_536]),
        ("page", "is not a GGUF file: it starts with `<!DOCTYPE html><`", page.to_vec()),
        ("pointer", "is not a GGUF file: it starts with `version https://`", pointer.to_vec()),
        ("safetensors", "is not a GGUF file", b"\x40\0\0\0\0\0\0\0{\"__metadata__\":{}}".to_vec()),
    ]
}

fn cut() -> Vec<Bytes> {
    let raw = Gguf::qwen2().raw();
    let (whole, header) = (raw.bytes(), raw.header().len());
    let cut = |at: usize| whole[..at].to_vec();
    vec![
        ("cut-in-magic", "is not a GGUF file: it starts with `GG`", cut(2)),
        ("cut-in-version", "ends inside its header, in its first bytes", cut(6)),
        ("cut-in-counts", "ends inside its header, in the number of tensors", cut(20)),
        ("cut-in-keys", "ends inside its header, in key `tokenizer.ggml.tokens`", cut(2_000)),
        ("cut-in-table", "ends inside its header, in the entry of tensor", cut(header - 100)),
        ("cut-before-data", "bytes are missing at its end", cut(header)),
        ("cut-in-data", "100 bytes are missing at its end", cut(whole.len() - 100)),
    ]
}

type Row = (&'static str, &'static str, fn(&mut Raw));

const SPOILED: &[Row] = &[
    // The container.
    ("version-0", "has GGUF version 0", |r| r.version = 0),
    ("version-1", "has GGUF version 1", |r| r.version = 1),
    ("version-99", "has GGUF version 99", |r| r.version = 99),
    ("big-endian", "is a big-endian GGUF file", |r| r.version = 3u32.swap_bytes()),
    ("huge-key-count", "it claims 18446744073709551615 keys", |r| r.key_count = Some(u64::MAX)),
    ("huge-tensor-count", "it claims 1000000000 tensors", |r| r.tensor_count = Some(1_000_000_000)),
    ("one-key-more", "is", |r| r.key_count = Some(r.keys.len() as u64 + 1)),
    ("one-tensor-more", "is", |r| r.tensor_count = Some(r.tensors.len() as u64 + 1)),
    ("key-twice", "key `qwen2.block_count` appears twice", |r| r.keys.push(("qwen2.block_count".into(), Value::U32(2)))),
    ("key-empty", "the name of key 1 of", |r| r.keys.insert(0, (String::new(), Value::U32(2)))),
    ("unknown-value-type", "key `x` has the unknown type 13", |r| r.set("x", Value::Bytes(13, vec![0; 8]))),
    ("huge-string", "ends inside its header, in key `x`", |r| r.set("x", Value::Bytes(8, u64::MAX.to_le_bytes().to_vec()))),
    ("huge-array", "key `x` is an array of", |r| {
        r.set("x", Value::Bytes(9, [4u32.to_le_bytes().as_slice(), &u64::MAX.to_le_bytes()].concat()));
    }),
    ("long-array", "ends inside its header, in key `x`", |r| {
        r.set("x", Value::Bytes(9, [4u32.to_le_bytes().as_slice(), &(1u64 << 29).to_le_bytes()].concat()));
    }),
    ("array-of-arrays", "key `x` is an array of 1 × array", |r| {
        r.set("x", Value::Bytes(9, [9u32.to_le_bytes().as_slice(), &1u64.to_le_bytes()].concat()));
    }),
    ("alignment-0", "its alignment is 0", |r| r.set("general.alignment", Value::U32(0))),
    ("alignment-24", "its alignment is 24", |r| r.set("general.alignment", Value::U32(24))),
    ("alignment-typed", "its alignment is of type u64", |r| r.set("general.alignment", Value::U64(32))),
    ("alignment-small", "its tensors begin at", |r| {
        // Eight bytes that shift the data off the boundary which mapped tensors need.
        (r.alignment, *r) = (8, r.clone());
        r.alignment = 8;
        r.set("general.alignment", Value::U32(8));
        while r.header().len().is_multiple_of(32) {
            r.keys.push((format!("pad.{}", r.keys.len()), Value::U32(0)));
        }
    }),
    // The tensor table.
    ("tensor-twice", "tensor `output_norm.weight` appears twice", |r| {
        let twice = r.tensor("output_norm.weight").clone();
        r.tensors.push(twice);
    }),
    ("tensor-long-name", "of its tensor table is 64 bytes long", |r| r.tensors[0].name = "x".repeat(64)),
    ("tensor-five-dimensions", "has 5 dimensions", |r| r.tensors[0].dims = vec![1; 5]),
    ("tensor-no-elements", "has a dimension of 0", |r| r.tensors[0].dims = vec![64, 0]),
    ("tensor-overflow", "more elements than can be counted", |r| r.tensors[0].dims = vec![1 << 32, 1 << 32]),
    ("tensor-negative", "more elements than can be counted", |r| r.tensors[0].dims = vec![u64::MAX]),
    ("tensor-unknown-type", "is stored as the unknown type 4", |r| r.tensors[0].kind = 4),
    ("tensor-far-type", "is stored as the unknown type 4000000000", |r| r.tensors[0].kind = 4_000_000_000),
    ("tensor-broken-rows", "has rows of 33 elements; Q8_0 stores them by 32", |r| r.tensors[0].dims[0] = 33),
    ("tensor-misplaced", "is said to be at 32 and belongs at", |r| r.tensors[1].offset = Some(32)),
    ("tensor-integer-norm", "`output_norm.weight` is stored as I32", |r| r.tensor("output_norm.weight").kind = 26),
    // What kind of file it is.
    ("no-architecture", "it names no architecture", |r| r.remove("general.architecture")),
    ("architecture-typed", "`general.architecture` is of type u32", |r| r.set("general.architecture", Value::U32(1))),
    ("adapter", "is an adapter (LoRA)", |r| r.set("general.type", Value::Str("adapter".into()))),
    ("projector", "is an image or sound projector (mmproj)", |r| r.set("general.architecture", Value::Str("clip".into()))),
    ("embedder", "is an embedding model", |r| r.set("general.architecture", Value::Str("bert".into()))),
    ("no-tensors", "holds a tokenizer and no weights", |r| r.tensors.clear()),
    ("second-part", "is part 2 of a model in 3 parts", |r| {
        r.set("split.count", Value::Bytes(2, 3u16.to_le_bytes().to_vec()));
        r.set("split.no", Value::Bytes(2, 1u16.to_le_bytes().to_vec()));
    }),
    ("split-renamed", "its name should end in `-00001-of-00003.gguf`", |r| {
        r.set("split.count", Value::Bytes(2, 3u16.to_le_bytes().to_vec()));
    }),
    ("lone-00001-of-00002", "is the first of 2 parts, and its part", |r| {
        r.set("split.count", Value::Bytes(2, 2u16.to_le_bytes().to_vec()));
    }),
    // Hyperparameters.
    ("no-layers", "`qwen2.block_count` is 0", |r| r.set("qwen2.block_count", Value::U32(0))),
    ("absurd-layers", "`qwen2.block_count` is 4000000000; 512 is the most", |r| {
        r.set("qwen2.block_count", Value::U32(4_000_000_000))
    }),
    ("layers-typed", "`qwen2.block_count` is of type u64", |r| r.set("qwen2.block_count", Value::U64(2))),
    ("layers-missing", "`qwen2.block_count` is missing", |r| r.remove("qwen2.block_count")),
    ("only-drafts", "`qwen2.nextn_predict_layers` is 2", |r| r.set("qwen2.nextn_predict_layers", Value::U32(2))),
    ("no-context", "`qwen2.context_length` is 0", |r| r.set("qwen2.context_length", Value::U32(0))),
    ("no-width", "`qwen2.embedding_length` is 0", |r| r.set("qwen2.embedding_length", Value::U32(0))),
    ("other-width", "`token_embd.weight` is 64 wide, and the model 128", |r| r.set("qwen2.embedding_length", Value::U32(128))),
    ("no-heads", "`qwen2.attention.head_count` is 0", |r| r.set("qwen2.attention.head_count", Value::U32(0))),
    ("odd-heads", "`qwen2.attention.head_count` makes heads of 21 dimensions", |r| {
        r.set("qwen2.attention.head_count", Value::U32(3));
        r.set("qwen2.attention.head_count_kv", Value::U32(3));
    }),
    ("no-kv-heads", "`qwen2.attention.head_count_kv` is 0", |r| r.set("qwen2.attention.head_count_kv", Value::U32(0))),
    ("uneven-heads", "is 3, which does not divide 4 heads", |r| r.set("qwen2.attention.head_count_kv", Value::U32(3))),
    ("heads-per-layer", "has 3 numbers for 2 layers", |r| r.set("qwen2.attention.head_count_kv", Value::U32s(vec![2; 3]))),
    ("negative-heads", "has a negative number", |r| r.set("qwen2.attention.head_count_kv", Value::I32s(vec![2, -2]))),
    ("heads-typed", "is an array of f32", |r| r.set("qwen2.attention.head_count_kv", Value::F32s(vec![2.0; 2]))),
    ("odd-rotation", "`qwen2.rope.dimension_count` is 7, and heads have 16", |r| {
        r.set("qwen2.rope.dimension_count", Value::U32(7))
    }),
    ("wide-rotation", "is 32, and heads have 16 dimensions", |r| r.set("qwen2.rope.dimension_count", Value::U32(32))),
    ("few-projections", "`blk.0.attn_q.weight` is 64 wide, and the heads together 16", |r| {
        r.set("qwen2.attention.head_count", Value::U32(2));
        r.set("qwen2.attention.head_count_kv", Value::U32(2));
        r.set("qwen2.attention.key_length", Value::U32(8));
        r.set("qwen2.attention.value_length", Value::U32(8));
    }),
    ("long-keys", "`qwen2.attention.key_length` is 32, and values are 16 long", |r| {
        r.set("qwen2.attention.key_length", Value::U32(32));
    }),
    ("unknown-scaling", "is the unknown `su`", |r| r.set("qwen2.rope.scaling.type", Value::Str("su".into()))),
    ("negative-epsilon", "is -1", |r| r.set("qwen2.attention.layer_norm_rms_epsilon", Value::F32(-1.0))),
    ("no-number-epsilon", "is NaN", |r| r.set("qwen2.attention.layer_norm_rms_epsilon", Value::F32(f32::NAN))),
    ("stray-experts", "is 2 of 0 experts", |r| r.set("qwen2.expert_used_count", Value::U32(2))),
    ("no-embedding", "tensor `token_embd.weight` is missing", |r| {
        r.tensors.remove(0);
    }),
    // The tokenizer.
    ("no-tokenizer", "the file has none (`tokenizer.ggml.model`)", |r| r.remove("tokenizer.ggml.model")),
    ("tokenizer-none", "the file says that it has none", |r| {
        let vocab = r.tensor("token_embd.weight").dims[1] as u32;
        r.remove("tokenizer.ggml.tokens");
        r.set("tokenizer.ggml.model", Value::Str("none".into()));
        r.set("qwen2.vocab_size", Value::U32(vocab));
    }),
    ("no-tokens", "`token_embd.weight` has 306 rows for 0 tokens", |r| r.remove("tokenizer.ggml.tokens")),
    ("token-missing", "`token_embd.weight` has 306 rows for 305 tokens", |r| {
        tokens(r).pop();
    }),
    ("token-twice", "token 33, `!`, appears twice", |r| tokens(r)[5] = "!".into()),
    ("token-twice-to-nul", "token 33, `!`, appears twice", |r| tokens(r)[5] = "!\0x".into()),
    ("tokens-typed", "is an array of 306 × u32", |r| r.set("tokenizer.ggml.tokens", Value::U32s(vec![0; 306]))),
    ("sentencepiece-without-bytes", "it has no token for the byte 0x00", |r| {
        r.set("tokenizer.ggml.model", Value::Str("llama".into()));
    }),
    ("few-types", "`tokenizer.ggml.token_type` has 3 entries", |r| r.set("tokenizer.ggml.token_type", Value::I32s(vec![1; 3]))),
    ("types-typed", "`tokenizer.ggml.token_type` is an array of u32", |r| {
        r.set("tokenizer.ggml.token_type", Value::U32s(vec![1; 306]));
    }),
    ("few-scores", "`tokenizer.ggml.scores` has 3 entries", |r| r.set("tokenizer.ggml.scores", Value::F32s(vec![0.0; 3]))),
    ("no-merges", "`tokenizer.ggml.merges` is missing", |r| r.remove("tokenizer.ggml.merges")),
    ("merges-typed", "`tokenizer.ggml.merges` is an array of u32", |r| r.set("tokenizer.ggml.merges", Value::U32s(vec![1]))),
    ("eos-outside", "`tokenizer.ggml.eos_token_id` is 306", |r| r.set("tokenizer.ggml.eos_token_id", Value::U32(306))),
    ("flag-typed", "`tokenizer.ggml.add_bos_token` is of type u32", |r| r.set("tokenizer.ggml.add_bos_token", Value::U32(0))),
    ("phi-without-tokens", "must have the token `</s>`", |r| r.set("general.name", Value::Str("My Phi-3 tune".into()))),
];

const MIXTURES: &[Row] = &[
    ("many-experts-used", "is 9 of 4 experts", |r| r.set("qwen3moe.expert_used_count", Value::U32(9))),
    ("no-experts-used", "is 0 or missing for 4 experts", |r| r.set("qwen3moe.expert_used_count", Value::U32(0))),
    ("absurd-experts", "`qwen3moe.expert_count` is 5000", |r| r.set("qwen3moe.expert_count", Value::U32(5000))),
    ("expert-groups", "`qwen3moe.expert_group_count` is 3 for 4 experts", |r| {
        r.set("qwen3moe.expert_group_count", Value::U32(3));
    }),
    ("unknown-gating", "names no known function", |r| r.set("qwen3moe.expert_gating_func", Value::U32(99))),
];

fn tokens(raw: &mut Raw) -> &mut Vec<String> {
    match raw.keys.iter_mut().find(|(key, _)| key == "tokenizer.ggml.tokens") {
        Some((_, Value::Strs(tokens))) => tokens,
        _ => panic!("every model here has tokens"),
    }
}

/// A whole model in `parts` files; gives their paths, the first one first.
pub fn split(model: &Gguf, dir: &Path, parts: u16) -> Vec<PathBuf> {
    let whole = model.raw();
    let share = whole.tensors.len().div_ceil(usize::from(parts));
    let chunks: Vec<&[Tensor]> = whole.tensors.chunks(share).collect();
    let write = |(part, tensors): (usize, &&[Tensor])| {
        let mut raw = Raw::new();
        if part == 0 {
            raw.keys = whole.keys.clone();
        }
        raw.set("split.no", Value::Bytes(2, (part as u16).to_le_bytes().to_vec()));
        raw.set("split.count", Value::Bytes(2, parts.to_le_bytes().to_vec()));
        raw.set("split.tensors.count", Value::I32(whole.tensors.len() as i32));
        raw.tensors = tensors.to_vec();
        let path = dir.join(format!("split-{:05}-of-{parts:05}.gguf", part + 1));
        std::fs::write(&path, raw.bytes()).unwrap_or_else(|e| panic!("cannot write `{}`: {e}", path.display()));
        path
    };
    chunks.iter().enumerate().map(write).collect()
}
