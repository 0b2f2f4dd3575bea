//! GGUF headers, read and judged in Rust before llama.cpp sees the file.
//!
//! llama.cpp ends the process on some bad files and answers others with a null pointer. [`check`] refuses both kinds in
//! words; [`read`] only reads. Neither knows how much memory a model needs, nor what any tensor's numbers mean. No length
//! in the file is trusted: each is held against the file's size before anything is allocated or skipped, and long arrays
//! (a vocabulary has 150,000 strings) stay where they are, remembered by offset.
//!
//! The rules follow llama.cpp as pinned in `Cargo.toml`: `gguf.cpp` (the container), `llama-model.cpp` (`load_hparams`),
//! `llama-vocab.cpp` (`load`). A rule stands here only when llama.cpp would certainly refuse the file or die of it;
//! architectures unknown here pass with the general rules.

mod attention;
mod container;
mod error;
mod experts;
mod file_type;
mod header;
mod hyper;
mod parts;
mod read;
mod source;
mod storage;
mod tokenizer;
mod value;

pub use error::{Fault, GgufError};
pub use header::{Header, Tensor};
pub use storage::Storage;
pub use value::{Array, Kind, Value};

use std::path::Path;

/// What the caller wants from the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A tokenizer and perhaps a chat template; files without tensors will do.
    Tokenizer,
    /// A model that generates text.
    Weights,
}

/// Reads a header. Errors on files that are no readable GGUF (version 2 or 3, little endian); judges nothing else.
///
/// Costs 2-3 ms for a vocabulary of 150,000 tokens.
pub fn read(path: &Path) -> Result<Header, GgufError> {
    read::header(path).map_err(|fault| GgufError { path: path.to_owned(), fault })
}

/// Reads a header and refuses whatever llama.cpp would refuse or die of. Of a split model, give the first part: the
/// others are found beside it, checked, and counted in the returned header. Costs some 10 ms for 150,000 tokens.
pub fn check(path: &Path, need: Need) -> Result<Header, GgufError> {
    let mut header = read(path)?;
    let at = |fault| GgufError { path: path.to_owned(), fault };
    parts::refuse_other_kinds(&header, need).map_err(at)?;
    container::check(&header).map_err(at)?;
    if need == Need::Weights {
        parts::gather(&mut header)?;
        hyper::check(&header).map_err(at)?;
        attention::check(&header).map_err(at)?;
        experts::check(&header).map_err(at)?;
    }
    tokenizer::check(&header, need).map_err(at)?;
    Ok(header)
}
