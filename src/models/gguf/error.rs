//! Why a file cannot be used, and what to do about it.

use crate::hint::Hint;
use crate::units::Bytes;
use std::path::PathBuf;

/// A file and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {fault}", path.display())]
pub struct GgufError {
    pub path: PathBuf,
    pub fault: Fault,
}

/// What is wrong with a file; reads as the rest of a sentence that begins with its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("does not exist")]
    Missing,
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("is empty")]
    Empty,
    /// The first bytes, printable.
    #[error("is not a GGUF file: it starts with {0}")]
    NotGguf(String),
    #[error("is a big-endian GGUF file, for another kind of processor")]
    BigEndian,
    #[error("has GGUF version {0}; versions 2 and 3 can be read")]
    Version(u32),
    /// The file ends inside its header.
    #[error("is cut short: it ends inside its header, in {0}")]
    CutHeader(String),
    /// The header is whole, the tensors are not.
    #[error("is cut short: {missing} bytes are missing at its end")]
    CutTensors { missing: Bytes },
    /// The container contradicts itself.
    #[error("is damaged: {0}")]
    Damaged(String),
    /// A GGUF file of another purpose.
    #[error("is {0}, not a model that can write text")]
    NotAModel(String),
    #[error("holds a tokenizer and no weights")]
    NoWeights,
    #[error("is part {part} of a model in {parts} parts")]
    NotFirstPart { part: u64, parts: u64 },
    #[error("is the first of {parts} parts, and its part `{}` is missing", part.display())]
    PartMissing { part: PathBuf, parts: u64 },
    /// The parts do not belong together, or are misnamed.
    #[error("is one of several parts that do not fit: {0}")]
    Parts(String),
    /// Hyperparameters or tensors that llama.cpp would refuse or die of.
    #[error("cannot be loaded: {0}")]
    Unusable(String),
    #[error("has no usable tokenizer: {0}")]
    Tokenizer(String),
}

impl Hint for GgufError {
    fn hint(&self) -> Option<String> {
        let hint = match &self.fault {
            Fault::Missing => "check the path, or list the models with `agent model list`",
            Fault::Unreadable(_) => "name a file that can be read; `agent model list` shows what is installed",
            Fault::Empty | Fault::CutHeader(_) | Fault::CutTensors { .. } => "download it again; the transfer did not finish",
            Fault::NotGguf(start) if start.contains("<!") || start.contains("<html") || start.contains('{') => {
                "the server sent a page instead of the file; check the link and download it again"
            }
            Fault::NotGguf(start) if start.contains("version http") => {
                "this is a Git LFS pointer; fetch the file itself with `git lfs pull`"
            }
            Fault::NotGguf(_) => "name a file in the GGUF format",
            Fault::BigEndian => "look for the little-endian conversion of this model",
            Fault::Version(0..=1) => "look for a newer conversion of this model",
            Fault::Version(_) => "this file is newer than the program or damaged; update, or download it again",
            Fault::Damaged(_) => "download it again, and compare its checksum",
            Fault::NotAModel(_) => "name the model itself, not a file that goes with it",
            Fault::NoWeights => "name a model with weights",
            Fault::NotFirstPart { parts, .. } => return Some(format!("name the first part, `…-00001-of-{parts:05}.gguf`")),
            Fault::PartMissing { .. } => "put all parts into one directory",
            Fault::Parts(_) => "download all parts again, under their own names",
            Fault::Unusable(_) | Fault::Tokenizer(_) => {
                "this conversion is broken or damaged; look for another one of this model"
            }
        };
        Some(hint.into())
    }
}

/// Words from a file as they may stand in a message: nothing a terminal would obey, and not long.
pub(in crate::models::gguf) fn shown(text: &str) -> String {
    const LONGEST: usize = 64;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}
