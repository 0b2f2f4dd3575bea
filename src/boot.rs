//! The composition root: settings in, a running agent out. Reads top to bottom, in the order of what depends on what.
//!
//! Nothing is kept in globals; a command calls as far down as it needs, so `agent doctor` never starts an engine.

use crate::agent::approval::Policy;
use crate::agent::limits::Limits;
use crate::agent::{Agent, Generation};
use crate::config::layers::ConfigError;
use crate::config::{ApprovalWord, Layers, Origin, Resolved, SamplingSettings, Settings};
use crate::engine::backend::LoadOptions;
use crate::engine::client::{ClientSettings, LlamaEngine};
use crate::engine::endpoint::{Endpoint, EndpointSettings, shown};
use crate::engine::memory::{Device, Host};
use crate::engine::replay::Replay;
use crate::engine::{Engine, EngineError};
#[cfg(feature = "llama")]
use crate::engine::{bench, embedded::Embedded, llama, tokenizer::Tokenizer, worker};
use crate::hint::Hint;
use crate::models::gguf::{self, Need};
use crate::models::installed::{self, Installed};
use crate::path::{PathError, Places, Root};
#[cfg(feature = "llama")]
use crate::planner::shape::Shape;
use crate::planner::wanted::Wanted;
use crate::planner::{Plan, PlanError};
use crate::protocol::exit::Exit;
use crate::protocol::turn::Sampling;
#[cfg(feature = "llama")]
use crate::tools::Mode;
use crate::tools::Toolbox;
use crate::units::{Bytes, Tokens};
use std::ffi::OsString;
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

/// Which engine a run uses, and why that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    Replay(PathBuf),
    Endpoint { url: String, model: Option<String> },
    Llama { model: PathBuf },
}

impl Choice {
    /// The model's name as far as it is known before anything is loaded.
    pub fn model_name(&self) -> String {
        let stem = |file: &Path| file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::Replay(file) => stem(file),
            Self::Endpoint { url, model } => model.clone().unwrap_or_else(|| shown(url)),
            Self::Llama { model } => stem(model),
        }
    }
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
    #[error("no installed model fits: the smallest, `{name}`, has {size}, and {available} are free")]
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
            Self::NoModel { .. } => Some(
                "name a file with `--model PATH.gguf`, a server with `--endpoint URL`, or put a GGUF file there; `agent doctor` shows what was looked at"
                    .into(),
            ),
            Self::Plan(error) => error.hint(),
            Self::NoHost => Some("say it with `--host-memory SIZE`".into()),
            Self::TooLarge { .. } => Some("name it with --model to try all the same, or use a server with --endpoint".into()),
            Self::Unknown { installed, .. } if installed.is_empty() => Some("`agent model list` shows where models are looked for".into()),
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

/// Chooses the engine: recorded turns, then a server, then a model on this machine.
///
/// A server is used whenever one is set, and `model` is then its name for a model. The exception is a GGUF file that a
/// stronger layer names: `--model x.gguf` means that file although the configuration has a server.
pub fn choose(ground: &Ground) -> Result<Choice, BootError> {
    if let Some(file) = &ground.replay {
        return Ok(Choice::Replay(file.clone()));
    }
    let settings = &ground.resolved.settings;
    let rank = |key: &str| ground.resolved.values.get(key).map_or(0, |setting| Origin::rank(&setting.origin));
    let names_a_file = settings.model.as_deref().is_some_and(|m| m.ends_with(".gguf")) && rank("model") > rank("endpoint");
    if let Some(url) = settings.endpoint.clone().filter(|_| !names_a_file) {
        return Ok(Choice::Endpoint { url, model: settings.model.clone() });
    }
    let model = match &settings.model {
        Some(name) => named(name, &ground.places)?,
        None => best(&ground.places)?.path,
    };
    Ok(Choice::Llama { model })
}

/// The file that a name means: a path as it stands, else an installed model.
pub fn named(name: &str, places: &Places) -> Result<PathBuf, BootError> {
    // What is written like a file is one, also when it is missing: the engine's error then names that very path.
    let (exists, with_place) = (Path::new(name).exists(), name.contains('/'));
    if (name.ends_with(".gguf") && (with_place || exists)) || (with_place && exists) {
        return Ok(PathBuf::from(name));
    }
    let all = installed::list(&places.models);
    match all.iter().find(|model| model.name == name.trim_end_matches(".gguf")) {
        Some(model) => Ok(model.path.clone()),
        None => Err(BootError::Unknown {
            name: name.to_owned(),
            models: places.models.clone(),
            installed: all.into_iter().map(|model| model.name).collect(),
        }),
    }
}

/// The largest installed model that fits: of models nobody ranked, size is the best sign of quality there is.
fn best(places: &Places) -> Result<Installed, BootError> {
    let all = installed::list(&places.models);
    let Some(smallest) = all.iter().min_by_key(|model| model.size) else {
        return Err(BootError::NoModel { models: places.models.clone() });
    };
    let Some(available) = Host::look().map(|host| host.available) else {
        return Ok(smallest.clone());
    };
    // An eighth stays for the cache, the buffers and everybody else.
    let room = Bytes(available.0 - available.0 / 8);
    let fitting = all.iter().filter(|model| model.size <= room).max_by_key(|model| model.size);
    fitting.cloned().ok_or_else(|| BootError::TooLarge { name: smallest.name.clone(), size: smallest.size, available })
}

/// Gives the engine that was chosen. Nothing is started, loaded or connected yet. `need` is what a model's file must hold.
pub fn engine(ground: &Ground, choice: Choice, need: Need) -> Result<Box<dyn Engine>, BootError> {
    let settings = &ground.resolved.settings;
    Ok(match (choice, need) {
        (Choice::Replay(file), _) => Box::new(replay(&file)?),
        (Choice::Endpoint { url, model }, _) => {
            let api_key = std::env::var(&settings.api_key_env).ok().filter(|key| !key.is_empty());
            Box::new(Endpoint::new(EndpointSettings { url, model, api_key })?)
        }
        (Choice::Llama { .. }, _) if !cfg!(feature = "llama") => return Err(BootError::Unbuilt),
        (Choice::Llama { model }, Need::Tokenizer) => tokenizer(&model)?,
        (Choice::Llama { model }, Need::Weights) => Box::new(LlamaEngine::new(ClientSettings {
            // The engine is this very program, started again.
            program: std::env::current_exe().map_err(|e| EngineError::Unavailable(format!("cannot find this program: {e}")))?,
            options: load_options(settings, model),
            runtime: ground.places.runtime.clone(),
            idle: Duration::from_secs(settings.engine.idle_seconds),
            log: ground.places.state.join("engine"),
            validate: |file| validate(file, Need::Weights),
        })),
    })
}

/// Gives an engine that only counts.
#[cfg(feature = "llama")]
fn tokenizer(model: &Path) -> Result<Box<dyn Engine>, BootError> {
    validate(model, Need::Tokenizer).map_err(|reason| EngineError::Load { path: model.to_owned(), reason })?;
    Ok(Box::new(Tokenizer::open(model)?))
}

/// Gives an engine that only counts.
#[cfg(not(feature = "llama"))]
fn tokenizer(_model: &Path) -> Result<Box<dyn Engine>, BootError> {
    Err(BootError::Unbuilt)
}

/// Judges a model's header before llama.cpp sees it.
fn validate(file: &Path, need: Need) -> Result<(), String> {
    // Whoever tells of it has named the file; one of several parts is named here.
    gguf::check(file, need).map(drop).map_err(|e| if e.path == file { format!("it {}", e.fault) } else { e.to_string() })
}

fn replay(file: &Path) -> Result<Replay, EngineError> {
    let replay = Replay::open(file)?;
    #[cfg(feature = "llama")]
    let replay = replay.with_parser(Box::new(crate::engine::dialect::parse));
    Ok(replay)
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
        threads: settings.engine.threads,
        n_batch: plan.n_batch,
        n_ubatch: plan.n_ubatch,
        n_outputs: plan.n_outputs,
        type_k: plan.kv_type_k.clone(),
        type_v: plan.kv_type_v.clone(),
        flash_attn: plan.flash_attn,
        swa_full: plan.swa_full,
    }
}

/// Is the engine process, until it is to end.
#[cfg(feature = "llama")]
pub fn serve(socket: PathBuf, options: &str, idle: Duration) -> Result<(), BootError> {
    let options = serde_json::from_str(options).map_err(BootError::Options)?;
    // The memory is planned here, where it is taken: what was free when the front end started may be gone.
    let load = |asked: &LoadOptions, progress: &mut dyn FnMut(f32)| {
        let failed = |e: BootError| match e {
            BootError::Engine(error) | BootError::Plan(PlanError::Engine(error)) => error,
            other => EngineError::Load { path: asked.model.clone(), reason: other.to_string() },
        };
        let plan = planned(asked, &Wanted::default()).map_err(failed)?;
        // Where nobody keeps a log, nothing is lost.
        plan.why.iter().for_each(|sentence| _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{sentence}\n")));
        Embedded::load(&plan.options, progress)
    };
    Ok(worker::serve(worker::ServeSettings { socket, options, idle }, load)?)
}

/// Is the engine process, until it is to end.
#[cfg(not(feature = "llama"))]
pub fn serve(_socket: PathBuf, _options: &str, _idle: Duration) -> Result<(), BootError> {
    Err(BootError::Unbuilt)
}

/// Puts the agent together: the chosen engine, the built-in tools, and what stops both.
pub fn agent(ground: &Ground, cancel: CancellationToken) -> Result<Agent, BootError> {
    let engine = engine(ground, choose(ground)?, Need::Weights)?;
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

/// Plans the memory of a model with what is pinned in the settings. Loads nothing.
#[cfg(feature = "llama")]
pub fn plan(ground: &Ground, model: &Path, wanted: &Wanted) -> Result<Plan, BootError> {
    planned(&load_options(&ground.resolved.settings, model.to_owned()), wanted)
}

/// Plans the memory of a model with what is pinned in the settings. Loads nothing.
#[cfg(not(feature = "llama"))]
pub fn plan(_ground: &Ground, _model: &Path, _wanted: &Wanted) -> Result<Plan, BootError> {
    Err(BootError::Unbuilt)
}

/// The plan that `agent plan` shows and the engine loads by.
#[cfg(feature = "llama")]
fn planned(asked: &LoadOptions, wanted: &Wanted) -> Result<Plan, BootError> {
    let model = &asked.model;
    let unreadable = |e: gguf::GgufError| EngineError::Load { path: model.clone(), reason: e.to_string() };
    let shape = Shape::of(&gguf::check(model, Need::Weights).map_err(unreadable)?);
    let given = wanted.host_memory.map(|size| Host { total: size, available: size });
    let host = given.or_else(Host::look).or_else(host_of_llama).ok_or(BootError::NoHost)?;
    let mut machine = llama::Machine::with(&wanted.devices)?;
    Ok(crate::planner::plan(shape, host, asked, wanted.min_ctx, &mut machine)?)
}

/// The host as llama.cpp sees it: it knows the total on every system, and takes all of it for free.
#[cfg(feature = "llama")]
fn host_of_llama() -> Option<Host> {
    let cpu = devices().into_iter().find(|device| device.kind == "cpu")?;
    Some(Host { total: cpu.total, available: cpu.free })
}

/// The devices that llama.cpp can compute on.
pub fn devices() -> Vec<Device> {
    #[cfg(feature = "llama")]
    let devices = llama::devices();
    #[cfg(not(feature = "llama"))]
    let devices = Vec::new();
    devices
}

/// Measures a model against bare llama.cpp, with the built-in tools' grammar.
#[cfg(feature = "llama")]
pub fn bench(
    ground: &Ground,
    model: &Path,
    extent: bench::Extent,
    say: &mut dyn FnMut(&str),
) -> Result<bench::Figures, BootError> {
    crate::engine::client::start::calm_threads();
    validate(model, Need::Weights).map_err(|reason| EngineError::Load { path: model.to_owned(), reason })?;
    let options = load_options(&ground.resolved.settings, model.to_owned());
    Ok(bench::bench(&options, &toolbox().cards(Mode::Chat), extent, say)?)
}

/// Gives the built-in tools.
pub fn toolbox() -> Toolbox {
    Toolbox::builtin()
}

#[cfg(test)]
mod tests {
    use crate::boot::{BootError, Choice, Wishes, choose, ground};
    use crate::hint::Hint;
    use std::ffi::OsString;
    use std::path::PathBuf;

    /// A machine with a home of its own: models by name and size, a configuration, and nothing of the real environment.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn with(models: &[(&str, usize)], config: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for sub in ["home/config", "home/models", "project/.git", "project/.agent", "project/sub"] {
                std::fs::create_dir_all(dir.path().join(sub)).unwrap();
            }
            for (name, size) in models {
                std::fs::write(dir.path().join("home/models").join(name), vec![0; *size]).unwrap();
            }
            std::fs::write(dir.path().join("home/config/config.toml"), config).unwrap();
            Self(dir)
        }

        fn model(&self, name: &str) -> Choice {
            Choice::Llama { model: self.0.path().join("home/models").join(name) }
        }

        fn choose(&self, model: Option<&str>, endpoint: Option<&str>) -> Result<Choice, BootError> {
            let flags = vec![("--model", "model", model.map(Into::into)), ("--endpoint", "endpoint", endpoint.map(Into::into))];
            let wishes = Wishes { directory: Some(self.0.path().join("project")), flags, ..Wishes::default() };
            choose(&ground(wishes, |name| self.env(name))?)
        }

        fn env(&self, name: &str) -> Option<OsString> {
            (name == "AGENT_HOME").then(|| self.0.path().join("home").into_os_string())
        }
    }

    fn endpoint(url: &str, model: Option<&str>) -> Choice {
        Choice::Endpoint { url: url.into(), model: model.map(Into::into) }
    }

    #[test]
    fn the_largest_installed_model_is_the_default() {
        let machine = Machine::with(&[("small.gguf", 1), ("large.gguf", 2)], "");
        assert_eq!(machine.choose(None, None).unwrap(), machine.model("large.gguf"));
        assert_eq!(machine.choose(Some("small"), None).unwrap(), machine.model("small.gguf"));
        assert_eq!(machine.choose(Some("x/y.gguf"), None).unwrap(), Choice::Llama { model: PathBuf::from("x/y.gguf") });
    }

    #[test]
    fn an_endpoint_is_used_unless_a_stronger_layer_names_a_file() {
        let machine = Machine::with(&[("m.gguf", 1)], "endpoint = 'http://s/v1'\nmodel = 'theirs.gguf'\n");
        assert_eq!(machine.choose(None, None).unwrap(), endpoint("http://s/v1", Some("theirs.gguf")));
        assert_eq!(machine.choose(Some("qwen3:8b"), None).unwrap(), endpoint("http://s/v1", Some("qwen3:8b")));
        assert_eq!(machine.choose(Some("m.gguf"), None).unwrap(), machine.model("m.gguf"));
        assert_eq!(machine.choose(Some("m.gguf"), Some("http://t/v1")).unwrap(), endpoint("http://t/v1", Some("m.gguf")));
    }

    #[test]
    fn without_any_model_the_error_says_what_would_help() {
        let error = Machine::with(&[], "").choose(None, None).unwrap_err();
        assert!(matches!(error, BootError::NoModel { .. }), "{error}");
        assert!(error.hint().unwrap().contains("--endpoint"));
        let error = Machine::with(&[("a.gguf", 1)], "").choose(Some("b"), None).unwrap_err();
        assert_eq!(error.hint().as_deref(), Some("installed: a"));
    }

    #[test]
    fn the_project_file_is_found_from_below_and_not_beyond_the_repository() {
        let machine = Machine::with(&[], "");
        let at = |sub: &str| {
            let wishes = Wishes { directory: Some(machine.0.path().join(sub)), ..Wishes::default() };
            ground(wishes, |name| machine.env(name)).unwrap().resolved.settings.max_steps
        };
        std::fs::write(machine.0.path().join("project/.agent/config.toml"), "max_steps = 7").unwrap();
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
