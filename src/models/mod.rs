//! Models as files: headers read and checked without llama.cpp, the ones that are installed, the one that is bundled, and what was found out
//! about each.

pub mod bundled;
pub mod gguf;
pub mod installed;
pub mod ledger;
