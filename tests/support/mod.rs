//! What several integration tests share.

pub mod gguf;
pub mod machine;
pub mod server;
pub mod tree;
