//! Which engine a run uses: flags, environment and settings in, one choice out. Nothing is started or loaded.

use crate::boot::{BootError, Ground};
use crate::config::Origin;
use crate::engine::endpoint::shown;
use crate::engine::memory::Host;
use crate::models::installed::{self, Installed};
use crate::path::Places;
use crate::units::Bytes;
use std::path::{Path, PathBuf};

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
    // A quarter stays for the cache, the buffers and everybody else.
    let room = Bytes(available.0 - available.0 / 4);
    let fitting = all.iter().filter(|model| model.size <= room).max_by_key(|model| model.size);
    fitting.cloned().ok_or_else(|| BootError::TooLarge { name: smallest.name.clone(), size: smallest.size, available })
}

#[cfg(test)]
mod tests {
    use crate::boot::choice::{Choice, choose};
    use crate::boot::{BootError, Wishes, ground};
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
}
