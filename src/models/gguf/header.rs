//! A header as read, and the questions others ask of it.

use crate::models::gguf::source::Source;
use crate::models::gguf::storage::Storage;
use crate::models::gguf::value::{Array, Kind, Value};
use crate::models::gguf::{Fault, GgufError, file_type};
use crate::units::{Bytes, Layers, Tokens};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A tensor's entry in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    /// The row's length first, as ggml orders them; empty for a single number.
    pub dims: Vec<u64>,
    pub storage: Storage,
    /// From the start of the data of its part.
    pub offset: u64,
    pub elements: u64,
    pub bytes: u64,
    /// The part of a split model that holds it, 0 for the first.
    pub part: usize,
}

/// What a GGUF file says about itself. After `check` the tensors and the size are those of all parts.
#[derive(Clone, Debug)]
pub struct Header {
    pub path: PathBuf,
    pub version: u32,
    pub alignment: u64,
    /// Where this file's tensor data begins.
    pub data_start: u64,
    /// This file's bytes.
    pub file_size: u64,
    pub keys: BTreeMap<String, Value>,
    pub tensors: Vec<Tensor>,
    /// The other parts of a split model with their sizes, filled in by `check`.
    pub parts: Vec<(PathBuf, Bytes)>,
}

impl Header {
    /// The architecture, as llama.cpp names it; empty when the file does not say.
    pub fn arch(&self) -> &str {
        self.text("general.architecture").unwrap_or_default()
    }

    /// The name that the file gives the model, or the file's own.
    pub fn name(&self) -> String {
        let named = self.text("general.name").map(str::trim).filter(|n| !n.is_empty());
        named.map_or_else(|| self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), str::to_owned)
    }

    /// The quantisation: as the file labels it, else the storage that most bytes are in.
    pub fn quant(&self) -> &'static str {
        let labelled = self.integer("general.file_type").and_then(file_type::label);
        labelled.unwrap_or_else(|| {
            let mut bytes: BTreeMap<&'static str, u64> = BTreeMap::new();
            for tensor in &self.tensors {
                *bytes.entry(tensor.storage.name).or_default() += tensor.bytes;
            }
            bytes.into_iter().max_by_key(|(_, n)| *n).map_or("unknown", |(name, _)| name)
        })
    }

    pub fn layers(&self) -> Layers {
        Layers(self.of_arch("block_count").unwrap_or_default())
    }

    /// The window that the model was trained for; 0 when the file does not say.
    pub fn trained_context(&self) -> Tokens {
        Tokens(self.of_arch("context_length").unwrap_or_default())
    }

    pub fn embedding(&self) -> u32 {
        self.of_arch("embedding_length").unwrap_or_default()
    }

    /// Query heads of each layer; zeros where there is no attention.
    pub fn heads(&self) -> Vec<u32> {
        self.per_layer("attention.head_count").unwrap_or_else(|| vec![0; self.layer_slots()])
    }

    /// KV heads of each layer: as many as query heads unless the file says otherwise.
    pub fn kv_heads(&self) -> Vec<u32> {
        self.per_layer("attention.head_count_kv").unwrap_or_else(|| self.heads())
    }

    /// Tokens in the vocabulary.
    pub fn vocabulary(&self) -> Tokens {
        let listed = self.array("tokenizer.ggml.tokens").and_then(|a| u32::try_from(a.len).ok());
        Tokens(listed.or_else(|| self.of_arch("vocab_size")).unwrap_or_default())
    }

    pub fn chat_template(&self) -> Option<&str> {
        self.text("tokenizer.chat_template").filter(|t| !t.is_empty())
    }

    pub fn has_template(&self) -> bool {
        self.chat_template().is_some()
    }

    /// Bytes on disk, all parts together.
    pub fn size(&self) -> Bytes {
        Bytes(self.file_size) + self.parts.iter().map(|(_, size)| *size).sum()
    }

    /// Parameters, counted from the tensors.
    pub fn parameters(&self) -> u64 {
        self.tensors.iter().fold(0, |all, t| all.saturating_add(t.elements))
    }

    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|t| t.name == name)
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        match self.keys.get(key)? {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// An integer of any type.
    pub fn integer(&self, key: &str) -> Option<i64> {
        match self.keys.get(key)? {
            Value::Int(_, n) => Some(*n),
            _ => None,
        }
    }

    pub fn array(&self, key: &str) -> Option<&Array> {
        match self.keys.get(key)? {
            Value::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The full name of one of the architecture's keys.
    pub fn arch_key(&self, key: &str) -> String {
        format!("{}.{key}", self.arch())
    }

    /// A number under one of the architecture's keys.
    pub fn of_arch(&self, key: &str) -> Option<u32> {
        self.integer(&self.arch_key(key)).and_then(|n| u32::try_from(n).ok())
    }

    /// A number per layer: one for all of them, or an array. `None` when the key is absent or fits neither.
    pub fn per_layer(&self, key: &str) -> Option<Vec<u32>> {
        let key = self.arch_key(key);
        match self.keys.get(&key)? {
            Value::Int(_, n) => Some(vec![u32::try_from(*n).ok()?; self.layer_slots()]),
            Value::Array(array) => array.ints.as_ref()?.iter().map(|&n| u32::try_from(n).ok()).collect(),
            _ => None,
        }
    }

    /// Layers, bounded so that a damaged count allocates nothing to speak of.
    fn layer_slots(&self) -> usize {
        self.layers().0.min(1024) as usize
    }

    /// Decodes an array of strings, such as the tokens, from the file; empty when the key holds none. Reads the file
    /// again; bytes that are no UTF-8 are replaced.
    pub fn strings(&self, key: &str) -> Result<Vec<String>, GgufError> {
        let decode = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let raw = self.raw_strings(key).map_err(|fault| GgufError { path: self.path.clone(), fault })?;
        Ok(split_strings(&raw).map(decode).collect())
    }

    /// The bytes of an array of strings, lengths included; empty when the key holds none.
    pub(in crate::models::gguf) fn raw_strings(&self, key: &str) -> Result<Vec<u8>, Fault> {
        /// A hundred times the largest vocabulary: beyond this, lengths are damaged.
        const MOST: u64 = 1 << 29;
        let Some(array) = self.array(key).filter(|a| a.kind == Kind::Str) else { return Ok(Vec::new()) };
        if array.bytes > MOST {
            return Err(Fault::Damaged(format!("the strings of `{key}` take {} bytes", array.bytes)));
        }
        let mut source = Source::open_at(&self.path, array.offset)?;
        source.place = format!("key `{key}`");
        source.bytes(array.bytes)
    }

    /// The directory that the file is in.
    pub(in crate::models::gguf) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// Strings behind their lengths, one after another; stops where a length does not fit.
pub(in crate::models::gguf) fn split_strings(mut raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = raw.split_first_chunk::<8>()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        raw = rest;
        Some(text)
    })
}
