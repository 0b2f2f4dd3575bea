//! The composition root: settings in, a running agent out. Reads top to bottom, in the order of what depends on what.
//!
//! Nothing is kept in globals; a command calls as far down as it needs, so `agent doctor` never starts an engine.

pub mod choice;
#[cfg(feature = "llama")]
mod load;
#[cfg(feature = "llama")]
mod own;
#[cfg(not(feature = "llama"))]
#[path = "boot/unbuilt.rs"]
mod own;

pub use crate::boot::choice::{Choice, Local, Otherwise, choose, named};
#[cfg(feature = "llama")]
pub use crate::boot::own::bench;
pub use crate::boot::own::{devices, plan, serve};

use crate::agent::approval::Policy;
use crate::agent::limits::Limits;
use crate::agent::{Agent, Generation};
use crate::config::layers::ConfigError;
use crate::config::{ApprovalWord, Layers, Resolved, SamplingSettings, Settings};
use crate::engine::backend::LoadOptions;
use crate::engine::client::{ClientSettings, LlamaEngine};
use crate::engine::endpoint::{Endpoint, EndpointSettings};
use crate::engine::{Engine, EngineError};
use crate::hint::Hint;
use crate::models::bundled;
use crate::models::gguf::{self, Need};
use crate::models::ledger::Ledger;
use crate::path::{PathError, Places, Root};
use crate::planner::PlanError;
use crate::protocol::exit::Exit;
use crate::protocol::turn::Sampling;
use crate::tools::Toolbox;
use crate::tools::checks::Checks;
use crate::units::{Bytes, Tokens};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the command line asked for, before anything was read.
#[derive(Debug, Default)]
pub struct Wishes {
    pub directory: Option<PathBuf>,
    pub replay: Option<PathBuf>,
    /// `key=value`, in the order given.
    pub assignments: Vec<String>,
    /// Flag, key and value of every flag that stands for a key.
    pub flags: Vec<(&'static str, &'static str, Option<toml::Value>)>,
}

/// What stands before any engine: whose machine, which project, which settings.
#[derive(Clone, Debug)]
pub struct Ground {
    pub places: Places,
    pub root: Root,
    pub resolved: Resolved,
    pub replay: Option<PathBuf>,
}

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("there is no home directory to keep settings and sessions in")]
    NoHome,
    #[error("cannot work in the directory")]
    Root(#[from] PathError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("this build has no engine of its own: it was made without the feature `llama`")]
    Unbuilt,
    #[error("the engine's options are not readable")]
    Options(#[source] serde_json::Error),
    #[error("no model: none was named, and none is installed in `{}`", models.display())]
    NoModel { models: PathBuf },
    #[error("cannot write the bundled model to `{}`", cache.display())]
    Bundled { cache: PathBuf, source: io::Error },
    #[error("no installed model fits: the smallest, `{name}`, has {}, and {} are free", size.spoken(), available.spoken())]
    TooLarge { name: String, size: Bytes, available: Bytes },
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("this system does not say how much memory it has")]
    NoHost,
    #[error("no model `{name}`: it is no file, and not installed in `{}`", models.display())]
    Unknown { name: String, models: PathBuf, installed: Vec<String> },
}

impl Hint for BootError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Engine(error) => error.hint(),
            Self::Unbuilt => Some("use a server with `--endpoint URL`, or build with the default features".into()),
            Self::Options(_) => None,
            Self::NoHome => Some("set HOME, or AGENT_HOME to a directory that is yours".into()),
            Self::Root(_) => Some("name an existing directory with -C".into()),
            Self::NoModel { .. } => {
                let hint = "name a file with `--model PATH.gguf`, a server with `--endpoint URL`, or put a GGUF file there; `agent doctor` shows what was looked at";
                let bundled = "; `agent fix` can do with the small one inside this program, `--model micro`";
                Some(format!("{hint}{}", if bundled::size().is_some() { bundled } else { "" }))
            }
            Self::Bundled { .. } => Some("make room there, or set AGENT_HOME to a directory that can be written".into()),
            Self::Plan(error) => error.hint(),
            Self::NoHost => Some("say it with `--host-memory SIZE`".into()),
            Self::TooLarge { .. } => Some("name it with --model to try all the same, or use a server with --endpoint".into()),
            Self::Unknown { installed, .. } if installed.is_empty() => {
                Some("`agent model list` shows where models are looked for".into())
            }
            Self::Unknown { installed, .. } => Some(format!("installed: {}", installed.join(", "))),
        }
    }
}

impl BootError {
    /// The class of the error: what was asked for wrongly, or an engine that is not to be had.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::NoHome | Self::Root(_) | Self::Options(_) | Self::Plan(PlanError::Pinned { .. }) => {
                Exit::Usage
            }
            _ => Exit::Engine,
        }
    }
}

/// Reads where and how: places, the project, and every layer of settings. `env` reads one variable.
pub fn ground(wishes: Wishes, env: impl Fn(&str) -> Option<OsString>) -> Result<Ground, BootError> {
    let places = Places::from_env(&env).ok_or(BootError::NoHome)?;
    let root = Root::open(wishes.directory.as_deref().unwrap_or(Path::new(".")))?;
    let mut layers = Layers::new()?
        .person(&places.config.join("config.toml"))?
        .project(&project_file(root.as_path()))?
        .environment(|name| env(name).and_then(|v| v.into_string().ok()))?;
    for written in &wishes.assignments {
        layers = layers.assignment(written)?;
    }
    for (flag, key, value) in wishes.flags {
        layers = layers.flag(flag, key, value)?;
    }
    Ok(Ground { places, root, resolved: layers.resolve()?, replay: wishes.replay })
}

/// The project's own configuration: the nearest one between the directory and the top of its repository.
fn project_file(root: &Path) -> PathBuf {
    let named = |dir: &Path| dir.join(".agent/config.toml");
    let top = root.ancestors().find(|dir| dir.join(".git").exists()).unwrap_or(root);
    let inside = root.ancestors().take_while(|dir| dir.starts_with(top));
    inside.map(named).find(|file| file.exists()).unwrap_or_else(|| named(root))
}

/// Gives the engine that was chosen. Nothing is started, loaded or connected yet. `need` is what a model's file must hold.
pub fn engine(ground: &Ground, choice: Choice, need: Need) -> Result<Box<dyn Engine>, BootError> {
    let settings = &ground.resolved.settings;
    Ok(match (choice, need) {
        (Choice::Replay(file), _) => Box::new(own::replay(&file)?),
        (Choice::Endpoint { url, model }, _) => {
            let api_key = std::env::var(&settings.api_key_env).ok().filter(|key| !key.is_empty());
            Box::new(Endpoint::new(EndpointSettings { url, model, api_key })?)
        }
        (Choice::Llama { .. }, _) if !cfg!(feature = "llama") => return Err(BootError::Unbuilt),
        (Choice::Llama { model }, Need::Tokenizer) => own::tokenizer(&model.file(&ground.places)?)?,
        (Choice::Llama { model }, Need::Weights) => Box::new(LlamaEngine::new(ClientSettings {
            // The engine is this very program, started again.
            program: std::env::current_exe().map_err(|e| EngineError::Unavailable(format!("cannot find this program: {e}")))?,
            options: load_options(settings, model.file(&ground.places)?),
            runtime: ground.places.runtime.clone(),
            idle: Duration::from_secs(settings.engine.idle_seconds),
            states: ground.places.cache.join("kv"),
            log: ground.places.state.join("engine"),
            validate: |file| validate(file, Need::Weights),
        })),
    })
}

/// What was found out about a model's file before. `None` where its header cannot be read.
pub fn ledger(ground: &Ground, model: &Path) -> Option<Ledger> {
    Some(Ledger::of_model(&ground.places.cache, &gguf::read(model).ok()?))
}

/// Judges a model's header before llama.cpp sees it.
fn validate(file: &Path, need: Need) -> Result<(), String> {
    // Whoever tells of it has named the file; one of several parts is named here.
    gguf::check(file, need).map(drop).map_err(|e| if e.path == file { format!("it {}", e.fault) } else { e.to_string() })
}

fn load_options(settings: &Settings, model: PathBuf) -> LoadOptions {
    let plan = &settings.plan;
    LoadOptions {
        model,
        n_ctx: plan.n_ctx,
        n_gpu_layers: plan.n_gpu_layers,
        tensor_split: plan.tensor_split.clone(),
        expert_layers_on_cpu: plan.expert_layers_on_cpu.clone(),
        host_experts: Vec::new(),
        offload: None,
        threads: settings.engine.threads,
        n_batch: plan.n_batch,
        n_ubatch: plan.n_ubatch,
        n_outputs: plan.n_outputs,
        type_k: plan.kv_type_k.clone(),
        type_v: plan.kv_type_v.clone(),
        flash_attn: plan.flash_attn,
        swa_full: plan.swa_full,
        grow_to: None,
    }
}

/// Puts the agent together: the chosen engine, the built-in tools, and what stops both.
pub fn agent(ground: &Ground, choice: Choice, cancel: CancellationToken) -> Result<Agent, BootError> {
    let engine = engine(ground, choice, Need::Weights)?;
    Ok(Agent { engine, toolbox: Arc::new(toolbox()), cancel })
}

/// What a run may cost.
pub fn limits(settings: &Settings) -> Limits {
    Limits {
        steps: Some(settings.max_steps),
        time: settings.max_seconds.map(Duration::from_secs),
        tokens: settings.max_tokens.map(Tokens),
    }
}

/// How each turn is generated.
pub fn generation(settings: &Settings) -> Generation {
    let SamplingSettings { temperature, top_p, top_k, min_p, seed } = settings.sampling;
    Generation {
        sampling: Sampling { temperature, top_p, top_k, min_p, seed },
        max_tokens: Tokens(settings.turn_tokens),
        thinking_budget: Some(Tokens(settings.thinking_budget)),
        thinking: settings.thinking,
    }
}

/// What a run may do without asking.
pub fn approval(settings: &Settings) -> Policy {
    match settings.approval {
        ApprovalWord::Reads => Policy::Reads,
        ApprovalWord::Edits => Policy::Edits,
        ApprovalWord::All => Policy::All,
    }
}

/// Whether the project's checkers run after edits.
pub fn checks(settings: &Settings) -> Checks {
    if settings.checks { Checks::On } else { Checks::Off }
}

/// Gives the built-in tools.
pub fn toolbox() -> Toolbox {
    Toolbox::builtin()
}

#[cfg(test)]
mod tests {
    use crate::boot::{BootError, Wishes, ground};
    use std::ffi::OsString;

    #[test]
    fn the_project_file_is_found_from_below_and_not_beyond_the_repository() {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["home", "project/.git", "project/.agent", "project/sub"] {
            std::fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        let env = |name: &str| (name == "AGENT_HOME").then(|| -> OsString { dir.path().join("home").into() });
        let at = |sub: &str| {
            let wishes = Wishes { directory: Some(dir.path().join(sub)), ..Wishes::default() };
            ground(wishes, env).unwrap().resolved.settings.max_steps
        };
        std::fs::write(dir.path().join("project/.agent/config.toml"), "max_steps = 7").unwrap();
        assert_eq!((at("project/sub"), at("project"), at("home")), (7, 7, 50));
    }

    #[test]
    fn without_a_home_nothing_is_kept_where_everybody_writes() {
        let relative = ground(Wishes::default(), |name| (name == "HOME").then(|| "here".into()));
        assert!(matches!(relative, Err(BootError::NoHome)));
        let places = ground(Wishes::default(), |_| None).map(|ground| ground.places.config);
        assert!(!places.is_ok_and(|config| config.starts_with(std::env::temp_dir())));
    }
}
