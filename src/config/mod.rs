//! Settings: what can be set, what it is when nobody sets it, and where each value came from.
//!
//! This module knows keys and types and nothing of files: `layers` reads the sources and lays them over one another.
//! Every key stands once, in [`KEYS`], with its kind, its default, its reason, and whether a repository may set it.

pub mod layers;

pub use layers::{Layers, Origin, Resolved, Setting, Warning};

use serde::Deserialize;
use std::collections::BTreeMap;

/// Everything that can be set, typed. A key that has no default is an `Option`: nobody decided, so the part that uses it does.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub model: Option<String>,
    pub endpoint: Option<String>,
    pub api_key_env: String,
    pub approval: ApprovalWord,
    pub checks: bool,
    pub max_steps: u32,
    pub max_seconds: Option<u64>,
    pub max_tokens: Option<u32>,
    pub turn_tokens: u32,
    pub thinking: bool,
    pub thinking_budget: u32,
    #[serde(default)]
    pub sampling: SamplingSettings,
    pub fix: FixSettings,
    pub engine: EngineSettings,
    #[serde(default)]
    pub plan: PlanPins,
}

/// What may be done without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalWord {
    /// Reading only.
    Reads,
    /// Reading and editing files of the project.
    Edits,
    /// Also running commands.
    All,
}

/// How the next token is drawn; what is not set is left to the model's own defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingSettings {
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub top_k: Option<i32>,
    pub min_p: Option<f32>,
    pub seed: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixSettings {
    pub test: Option<String>,
    pub attempts: u32,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineSettings {
    pub idle_seconds: u64,
    pub threads: Option<u32>,
}

/// Fields of the memory plan that the person pins; the rest is computed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanPins {
    /// -1: all.
    pub n_gpu_layers: Option<i32>,
    /// One number per device.
    pub expert_layers_on_cpu: Option<Vec<u32>>,
    pub n_ctx: Option<u32>,
    pub kv_type_k: Option<String>,
    pub kv_type_v: Option<String>,
    pub n_batch: Option<u32>,
    pub n_ubatch: Option<u32>,
    pub n_outputs: Option<u32>,
    pub flash_attn: Option<bool>,
    pub swa_full: Option<bool>,
    pub tensor_split: Option<Vec<f32>>,
}

/// What a value has to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// An integer within the bounds, both included.
    Integer(i64, i64),
    /// A number within 0 and the bound.
    Number(u32),
    Flag,
    OneOf(&'static [&'static str]),
    /// A list of numbers that are not negative.
    Numbers,
}

/// Who may set a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Also the repository's own file: the key cannot widen what the agent may do or where data goes.
    Project,
    /// The person only.
    Person,
}

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// As written in TOML; empty when there is none.
    pub default: &'static str,
    pub scope: Scope,
    /// What it does, and why the default is what it is.
    pub why: &'static str,
}

const U32: i64 = u32::MAX as i64;
/// The cache types that llama.cpp can attend over.
const KV_TYPES: Kind = Kind::OneOf(&["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]);

/// Every key, in the order in which `agent doctor` prints them.
pub const KEYS: &[Key] = {
    use Kind::*;
    use Scope::*;
    const fn key(name: &'static str, kind: Kind, default: &'static str, scope: Scope, why: &'static str) -> Key {
        Key { name, kind, default, scope, why }
    }
    &[
        key("model", Text, "", Person, "a GGUF file, the name of an installed model, or the endpoint's name for one"),
        key(
            "endpoint",
            Text,
            "",
            Person,
            "an OpenAI-compatible server, ending in /v1; none, because nothing leaves the machine unasked",
        ),
        key(
            "api_key_env",
            Text,
            "\"AGENT_API_KEY\"",
            Person,
            "the variable that holds the endpoint's key, so that no key stands in a file",
        ),
        key(
            "approval",
            OneOf(&["reads", "edits", "all"]),
            "\"edits\"",
            Person,
            "what is done without asking: an edit can be undone, a command cannot",
        ),
        key(
            "checks",
            Flag,
            "false",
            Person,
            "`cargo check`, `ruff` or `tsc` after edits, where the project uses it and commands are allowed; off, as it takes time",
        ),
        key("max_steps", Integer(1, U32), "50", Project, "turns of the model in one run; runs that succeed end well before"),
        key(
            "max_seconds",
            Integer(1, i64::MAX),
            "",
            Project,
            "seconds of one run; none, because local speed differs a hundredfold",
        ),
        key("max_tokens", Integer(1, U32), "", Project, "prompt tokens processed plus tokens generated in one run"),
        key(
            "turn_tokens",
            Integer(16, U32),
            "4096",
            Project,
            "the most tokens of one turn, thinking included: a whole file fits, a loop is cut",
        ),
        key("thinking", Flag, "true", Person, "the template's thinking switch, where the model has one"),
        key(
            "thinking_budget",
            Integer(0, U32),
            "2048",
            Project,
            "tokens of thinking in one turn; over it the answer begins. Half a turn stays for the call",
        ),
        key("sampling.temperature", Number(5), "", Person, "none: the model's own default"),
        key("sampling.top_p", Number(1), "", Person, "none: the model's own default"),
        key("sampling.top_k", Integer(0, i32::MAX as i64), "", Person, "none: the model's own default"),
        key("sampling.min_p", Number(1), "", Person, "none: the model's own default"),
        key("sampling.seed", Integer(0, U32), "", Person, "none: a fresh one each time"),
        key("fix.test", Text, "", Project, "the command that decides whether a fix worked; none: detected"),
        key("fix.attempts", Integer(1, 20), "1", Project, "how often `agent fix` tries; one, as each costs as much as the first"),
        key("engine.idle_seconds", Integer(1, U32), "600", Person, "the engine gives its memory back after ten idle minutes"),
        key("engine.threads", Integer(1, 1024), "", Person, "none: the physical cores"),
        key("plan.n_gpu_layers", Integer(-1, U32), "", Person, "-1 is all; none: what fits"),
        key("plan.expert_layers_on_cpu", Numbers, "", Person, "one number per device"),
        key("plan.n_ctx", Integer(512, U32), "", Person, "the window in tokens; none: what fits"),
        key("plan.kv_type_k", KV_TYPES, "", Person, "the type of the cache's keys"),
        key("plan.kv_type_v", KV_TYPES, "", Person, "the type of the cache's values"),
        key("plan.n_batch", Integer(1, U32), "", Person, "tokens of one logical batch"),
        key("plan.n_ubatch", Integer(1, U32), "", Person, "tokens of one physical batch"),
        key("plan.n_outputs", Integer(1, U32), "", Person, "outputs that are reserved for"),
        key("plan.flash_attn", Flag, "", Person, "none: on where the device has it"),
        key("plan.swa_full", Flag, "", Person, "whether sliding-window layers keep the whole window"),
        key("plan.tensor_split", Numbers, "", Person, "the share of each device"),
    ]
};

impl Key {
    /// Finds a key by its full name.
    pub fn find(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The known name nearest to `written`, when it is near enough to have been meant.
    pub fn nearest(written: &str) -> Option<&'static str> {
        // A swap of two letters costs 2; and the last part alone (`idle_seconds`) is enough to be recognised.
        let limit = (written.chars().count() / 4).max(2);
        let near =
            |key: &Key| distance(written, key.name).min(distance(written, key.name.rsplit('.').next().unwrap_or(key.name)));
        KEYS.iter().map(|key| (near(key), key.name)).filter(|(d, _)| *d <= limit).min().map(|(_, name)| name)
    }
}

impl Kind {
    /// Says what a value should have been, or nothing when it is right.
    pub fn complaint(self, value: &toml::Value) -> Option<String> {
        let number = || value.as_float().or_else(|| value.as_integer().map(|i| i as f64));
        let (fits, expected) = match self {
            Self::Text => (value.is_str(), "text".to_owned()),
            Self::Flag => (value.is_bool(), "true or false".to_owned()),
            Self::Integer(low, high) => {
                let expected =
                    if high >= U32 { format!("an integer, {low} or more") } else { format!("an integer, {low} to {high}") };
                (value.as_integer().is_some_and(|i| (low..=high).contains(&i)), expected)
            }
            Self::Number(high) => {
                (number().is_some_and(|n| (0.0..=f64::from(high)).contains(&n)), format!("a number, 0 to {high}"))
            }
            Self::OneOf(words) => (value.as_str().is_some_and(|s| words.contains(&s)), format!("one of {}", words.join(", "))),
            Self::Numbers => {
                let good = |v: &toml::Value| v.as_float().map_or(v.as_integer().is_some_and(|i| i >= 0), |f| f >= 0.0);
                (value.as_array().is_some_and(|list| list.iter().all(good)), "a list of numbers, [1, 2]".to_owned())
            }
        };
        (!fits).then_some(expected)
    }
}

/// The number of letters to insert, remove or replace to come from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Values by full key, each with where it came from.
pub type Values = BTreeMap<&'static str, Setting>;

#[cfg(test)]
mod tests {
    use crate::config::{KEYS, Key, Kind, Scope};

    #[test]
    fn every_default_satisfies_its_own_kind() {
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            let table: toml::Table = format!("v = {}", key.default).parse().unwrap();
            assert_eq!(key.kind.complaint(&table["v"]), None, "{}", key.name);
        }
    }

    #[test]
    fn names_are_unique_and_every_key_says_why() {
        for (i, key) in KEYS.iter().enumerate() {
            assert!(KEYS[i + 1..].iter().all(|other| other.name != key.name), "{} twice", key.name);
            assert!(key.why.len() > 10, "{}", key.name);
        }
    }

    #[test]
    fn a_repository_cannot_choose_the_model_the_endpoint_or_the_approval() {
        for name in ["model", "endpoint", "api_key_env", "approval", "checks", "plan.n_ctx", "engine.idle_seconds"] {
            assert_eq!(Key::find(name).unwrap().scope, Scope::Person, "{name}");
        }
    }

    #[test]
    fn a_misspelt_key_finds_the_one_that_was_meant() {
        assert_eq!(Key::nearest("modle"), Some("model"));
        assert_eq!(Key::nearest("fix.tests"), Some("fix.test"));
        assert_eq!(Key::nearest("idle_seconds"), Some("engine.idle_seconds"));
        assert_eq!(Key::nearest("zzzzzzzzzzzz"), None);
    }

    #[test]
    fn a_kind_says_what_it_wanted() {
        assert_eq!(Kind::Integer(1, 20).complaint(&21.into()), Some("an integer, 1 to 20".into()));
        assert_eq!(Kind::Number(1).complaint(&1.into()), None);
        assert_eq!(Kind::Number(1).complaint(&1.5.into()), Some("a number, 0 to 1".into()));
        assert_eq!(Kind::OneOf(&["a", "b"]).complaint(&"c".into()), Some("one of a, b".into()));
        assert_eq!(Kind::Numbers.complaint(&vec![1, 2].into()), None);
    }
}
