//! What several integration tests share.

#[cfg(feature = "llama")]
pub mod families;
pub mod gguf;
pub mod machine;
pub mod server;
pub mod tree;
