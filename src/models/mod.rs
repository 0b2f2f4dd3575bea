//! Models as files: headers read and checked without llama.cpp, the ones that are installed, and the one that is bundled.

pub mod bundled;
pub mod gguf;
pub mod installed;
