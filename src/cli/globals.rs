//! The flags that every command takes, and the settings they make together with the files and the environment.

use crate::boot::{self, Ground, Wishes};
use crate::cli::answer;
use crate::cli::failure::Failure;
use clap::Args;
use std::path::PathBuf;

/// Flags of every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Globals {
    /// Work in this directory instead of the current one
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// The model: a GGUF file, an installed name, or the endpoint's name for one [env: AGENT_MODEL]
    #[arg(long, value_name = "NAME|PATH.gguf", global = true)]
    pub model: Option<String>,
    /// Use an OpenAI-compatible server, as http://127.0.0.1:8080/v1 [env: AGENT_ENDPOINT]
    #[arg(long, value_name = "URL", global = true)]
    pub endpoint: Option<String>,
    /// Use recorded turns instead of a model
    #[arg(long, value_name = "FILE", global = true)]
    pub replay: Option<PathBuf>,
    /// Set one key of the configuration
    #[arg(short = 'c', value_name = "KEY=VALUE", global = true)]
    pub config: Vec<String>,
}

/// A flag of one command that stands for a key of the configuration.
pub struct KeyFlag {
    pub flag: &'static str,
    pub key: &'static str,
    pub value: Option<toml::Value>,
}

impl KeyFlag {
    /// A number that was given, or not. Numbers beyond `i64` are pinned to it; the key's bounds refuse them.
    pub fn number<N: TryInto<i64>>(flag: &'static str, key: &'static str, value: Option<N>) -> Self {
        Self { flag, key, value: value.map(|n| toml::Value::Integer(n.try_into().unwrap_or(i64::MAX))) }
    }

    pub fn text(flag: &'static str, key: &'static str, value: Option<String>) -> Self {
        Self { flag, key, value: value.map(toml::Value::String) }
    }
}

/// The flags of commands that run the loop: what it may cost.
#[derive(Debug, Args)]
pub struct Costs {
    /// The most turns of the model, in all
    #[arg(long, value_name = "N")]
    max_steps: Option<u32>,
    /// The most seconds, in all
    #[arg(long, value_name = "N")]
    max_seconds: Option<u64>,
    /// The most tokens, processed and generated, in all
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
}

impl Costs {
    /// These flags, and the command's own.
    pub fn and(self, more: impl IntoIterator<Item = KeyFlag>) -> Vec<KeyFlag> {
        let own = [
            KeyFlag::number("--max-steps", "max_steps", self.max_steps),
            KeyFlag::number("--max-seconds", "max_seconds", self.max_seconds),
            KeyFlag::number("--max-tokens", "max_tokens", self.max_tokens),
        ];
        own.into_iter().chain(more).collect()
    }
}

impl Globals {
    /// Reads every layer and says what of it was refused. `more` are the command's own flags.
    pub fn ground(self, more: Vec<KeyFlag>) -> Result<Ground, Failure> {
        let mut flags: Vec<_> = more.into_iter().map(|f| (f.flag, f.key, f.value)).collect();
        flags.push(("--model", "model", self.model.map(Into::into)));
        flags.push(("--endpoint", "endpoint", self.endpoint.map(Into::into)));
        let wishes = Wishes { directory: self.directory, replay: self.replay, assignments: self.config, flags };
        let ground = boot::ground(wishes, |name| std::env::var_os(name)).map_err(|e| Failure::of(e.exit(), e))?;
        for warning in &ground.resolved.warnings {
            answer::aside(format!("warning: {warning}"));
        }
        Ok(ground)
    }
}
