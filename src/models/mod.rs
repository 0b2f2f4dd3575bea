//! Models as files: headers read and checked without llama.cpp, and the ones that are installed.

pub mod gguf;
pub mod installed;
