//! Models as files: headers read and checked without llama.cpp.

pub mod installed;
