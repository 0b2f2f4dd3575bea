//! Which engine a run uses: flags, environment and settings in, one choice out. Nothing is started or loaded.

use crate::boot::{BootError, Ground, load_options, own};
use crate::config::Origin;
use crate::engine::endpoint::shown;
use crate::engine::memory::{Device, Host};
use crate::models::bundled;
use crate::models::gguf::{self, Need};
use crate::models::installed::{self, Installed};
use crate::path::Places;
use crate::planner::shape::Shape;
use crate::planner::{Request, USEFUL_WINDOW, estimate};
use crate::units::Bytes;
use std::path::{Path, PathBuf};

/// Which engine a run uses, and why that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    Replay(PathBuf),
    Endpoint { url: String, model: Option<String> },
    Llama { model: Local },
}

/// A model of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Local {
    File(PathBuf),
    /// The one inside this program.
    Bundled,
}

impl Local {
    /// Gives the model's file; the bundled one is written to the cache when it is not there yet.
    pub fn file(&self, places: &Places) -> Result<PathBuf, BootError> {
        match self {
            Self::File(path) => Ok(path.clone()),
            Self::Bundled => {
                let failed = |source| BootError::Bundled { cache: places.cache.clone(), source };
                bundled::file(&places.cache).map_err(failed)?.ok_or(BootError::Unbuilt)
            }
        }
    }
}

/// What is used where no model is named and none is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    Nothing,
    /// The one inside this program, where the build has it: for work that suits a very small model.
    Bundled,
}

impl Choice {
    /// The model's name as far as it is known before anything is loaded.
    pub fn model_name(&self) -> String {
        let stem = |file: &Path| file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::Replay(file) => stem(file),
            Self::Endpoint { url, model } => model.clone().unwrap_or_else(|| shown(url)),
            Self::Llama { model: Local::File(file) } => stem(file),
            Self::Llama { model: Local::Bundled } => bundled::NAME.to_owned(),
        }
    }
}

/// Chooses the engine: recorded turns, then a server, then a model on this machine.
///
/// A server is used whenever one is set, and `model` is then its name for a model. The exception is a GGUF file that a
/// stronger layer names: `--model x.gguf` means that file although the configuration has a server.
pub fn choose(ground: &Ground, otherwise: Otherwise) -> Result<Choice, BootError> {
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
        None => match best(ground) {
            Err(BootError::NoModel { .. }) if otherwise == Otherwise::Bundled && bundled::size().is_some() => Local::Bundled,
            found => Local::File(found?.path),
        },
    };
    Ok(Choice::Llama { model })
}

/// The model that a name means: a path as it stands, else an installed model, else the bundled one.
pub fn named(name: &str, places: &Places) -> Result<Local, BootError> {
    // What is written like a file is one, also when it is missing: the engine's error then names that very path.
    let (exists, with_place) = (Path::new(name).exists(), name.contains('/'));
    if (name.ends_with(".gguf") && (with_place || exists)) || (with_place && exists) {
        return Ok(Local::File(PathBuf::from(name)));
    }
    let all = installed::list(&places.models);
    match all.iter().find(|model| model.name == name.trim_end_matches(".gguf")) {
        Some(model) => Ok(Local::File(model.path.clone())),
        None if name == bundled::NAME && bundled::size().is_some() => Ok(Local::Bundled),
        None => Err(BootError::Unknown {
            name: name.to_owned(),
            models: places.models.clone(),
            installed: all.into_iter().map(|model| model.name).collect(),
        }),
    }
}

/// A speed below which nobody waits for a model, in tokens per second, where a faster one is there.
const BEARABLE: f64 = 4.0;

/// The installed model to take: the largest one that has the window that a task needs, and does not crawl; else the largest
/// that has a place at all. Of models nobody ranked, size is the best sign of quality there is.
fn best(ground: &Ground) -> Result<Installed, BootError> {
    let places = &ground.places;
    let mut all = installed::list(&places.models);
    all.sort_by_key(|model| std::cmp::Reverse(model.size));
    let Some(smallest) = all.last() else {
        return Err(BootError::NoModel { models: places.models.clone() });
    };
    let Some(host) = Host::look() else {
        return Ok(smallest.clone());
    };
    let devices = own::accelerators();
    let suits: Vec<(&Installed, Suits)> = all.iter().map(|model| (model, suits(ground, model, host, &devices))).collect();
    let first = |least| suits.iter().find(|(_, suits)| *suits >= least).map(|(model, _)| (*model).clone());
    let too_large = || BootError::TooLarge { name: smallest.name.clone(), size: smallest.size, available: host.available };
    first(Suits::Well).or_else(|| first(Suits::Somehow)).ok_or_else(too_large)
}

/// How a model suits this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Suits {
    /// There is no place for it.
    Not,
    Somehow,
    Well,
}

/// Plans a model without looking at more than its header.
fn suits(ground: &Ground, model: &Installed, host: Host, devices: &[Device]) -> Suits {
    let asked = load_options(&ground.resolved.settings, model.path.clone());
    let header = gguf::check(&model.path, Need::Weights).ok();
    let planned = header.and_then(|header| estimate(Shape::of(&header), host, devices, &Request::of(&asked)));
    match planned {
        Some(Ok(plan)) => {
            let window = USEFUL_WINDOW.min(plan.shape.trained.0 / 256 * 256);
            let crawls = plan.speed.decode_tps.is_some_and(|tps| tps < BEARABLE);
            if plan.window().0 >= window && !crawls { Suits::Well } else { Suits::Somehow }
        }
        Some(Err(_)) => Suits::Not,
        // Nothing is known but its size: a quarter stays for the cache, the buffers and everybody else.
        None if model.size <= Bytes(host.available.0 - host.available.0 / 4) => Suits::Well,
        None => Suits::Not,
    }
}

#[cfg(test)]
mod tests {
    use crate::boot::choice::{Choice, Local, Otherwise, choose};
    use crate::boot::{BootError, Wishes, ground};
    use crate::hint::Hint;
    use std::ffi::OsString;

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
            Choice::Llama { model: Local::File(self.0.path().join("home/models").join(name)) }
        }

        fn choose(&self, model: Option<&str>, endpoint: Option<&str>) -> Result<Choice, BootError> {
            self.choose_or(Otherwise::Nothing, model, endpoint)
        }

        fn choose_or(&self, otherwise: Otherwise, model: Option<&str>, endpoint: Option<&str>) -> Result<Choice, BootError> {
            let flags = vec![("--model", "model", model.map(Into::into)), ("--endpoint", "endpoint", endpoint.map(Into::into))];
            let wishes = Wishes { directory: Some(self.0.path().join("project")), flags, ..Wishes::default() };
            choose(&ground(wishes, |name| self.env(name))?, otherwise)
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
        assert_eq!(machine.choose(Some("x/y.gguf"), None).unwrap(), Choice::Llama { model: Local::File("x/y.gguf".into()) });
    }

    #[test]
    fn an_endpoint_is_used_unless_a_stronger_layer_names_a_file() {
        let machine = Machine::with(&[("m.gguf", 1)], "endpoint = 'http://s/v1'\nmodel = 'theirs.gguf'\n");
        assert_eq!(machine.choose(None, None).unwrap(), endpoint("http://s/v1", Some("theirs.gguf")));
        assert_eq!(machine.choose(Some("qwen3:8b"), None).unwrap(), endpoint("http://s/v1", Some("qwen3:8b")));
        assert_eq!(machine.choose(Some("m.gguf"), None).unwrap(), machine.model("m.gguf"));
        assert_eq!(machine.choose(Some("m.gguf"), Some("http://t/v1")).unwrap(), endpoint("http://t/v1", Some("m.gguf")));
    }

    #[cfg(feature = "llama")]
    #[test]
    fn the_bundled_model_stands_in_only_where_that_was_asked_and_nothing_else_is_there() {
        let bundled = Choice::Llama { model: Local::Bundled };
        let bare = Machine::with(&[], "");
        assert_eq!(bare.choose_or(Otherwise::Bundled, None, None).unwrap(), bundled);
        assert_eq!(bare.choose(Some("micro"), None).unwrap(), bundled);
        assert_eq!(bare.choose_or(Otherwise::Bundled, None, Some("http://s/v1")).unwrap(), endpoint("http://s/v1", None));
        assert!(matches!(bare.choose_or(Otherwise::Bundled, Some("other"), None), Err(BootError::Unknown { .. })));
        let own = Machine::with(&[("micro.gguf", 1)], "");
        assert_eq!(own.choose_or(Otherwise::Bundled, None, None).unwrap(), own.model("micro.gguf"));
        assert_eq!(own.choose(Some("micro"), None).unwrap(), own.model("micro.gguf"), "the person's own goes first");
    }

    #[test]
    fn without_any_model_the_error_says_what_would_help() {
        let error = Machine::with(&[], "").choose(None, None).unwrap_err();
        assert!(matches!(error, BootError::NoModel { .. }), "{error}");
        assert!(error.hint().unwrap().contains("--endpoint"));
        let error = Machine::with(&[("a.gguf", 1)], "").choose(Some("b"), None).unwrap_err();
        assert_eq!(error.hint().as_deref(), Some("installed: a"));
    }
}
