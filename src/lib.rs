//! A coding agent that brings its own model.
//!
//! Modules stand on floors and use strictly lower ones; siblings never meet (`tests/tidy.rs` holds the table).
//!
//! - 5 root: `cli`, `boot`, `config`
//! - 4 front ends: `fix`, `headless`
//! - 3 loop: `agent`
//! - 2 compositions: `tools`, `context`, `planner`, `repair`
//! - 1 mechanisms: `engine`, `repo`, `edit`, `sandbox`, `models`, `sessions`, `prompts`
//! - 0 ground: `protocol`, `text`, `units`, `path`, `rpc`, `hint`

pub mod agent;
pub mod boot;
pub mod cli;
pub mod config;
pub mod context;
pub mod edit;
pub mod engine;
pub mod fix;
pub mod headless;
pub mod hint;
pub mod models;
pub mod path;
pub mod planner;
pub mod prompts;
pub mod protocol;
pub mod repair;
pub mod repo;
pub mod rpc;
pub mod sandbox;
pub mod sessions;
pub mod text;
pub mod tools;
pub mod units;
