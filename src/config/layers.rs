//! Settings in layers: defaults, the person's file, the project's file, the environment, `-c`, flags. The later one wins.
//!
//! A source is flattened to full keys and checked against the table of keys at once, so an error names the source and the
//! key, and every value that survives knows its origin. The project's file is someone else's text: it may set what the table
//! marks harmless, and no limit above the person's; anything else is dropped with a warning. A file that does not exist is an
//! empty layer.

use crate::config::{KEYS, Key, Scope, Settings, Values};
use crate::hint::Hint;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value was set. Ordered: a greater origin is stronger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Default,
    Person(PathBuf),
    Project(PathBuf),
    /// The variable's name.
    Environment(&'static str),
    /// `-c key=value`
    Override,
    /// The flag's name.
    Flag(&'static str),
}

impl Origin {
    /// How strong the layer is; two values of one layer have the same rank.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::Person(_) => 1,
            Self::Project(_) => 2,
            Self::Environment(_) => 3,
            Self::Override => 4,
            Self::Flag(_) => 5,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Person(path) | Self::Project(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Override => f.write_str("-c"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub value: toml::Value,
    pub origin: Origin,
}

/// A key that a repository tried to set and may not, or not so high.
#[derive(Clone, Debug, PartialEq)]
pub struct Warning {
    pub key: String,
    pub origin: Origin,
    /// What the person allows.
    pub limit: Option<toml::Value>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` in {} is ignored: a repository may not ", self.key, self.origin)?;
        match &self.limit {
            None => f.write_str("set it"),
            Some(limit) => write!(f, "raise it above the {limit} that you set"),
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("`{}` is not TOML", path.display())]
    Syntax { path: PathBuf, source: toml::de::Error },
    #[error("{origin}: unknown key `{key}`")]
    Unknown { origin: Origin, key: String, nearest: Option<&'static str> },
    #[error("{origin}: `{key}` is {value}, expected {expected}")]
    Value { origin: Origin, key: &'static str, value: String, expected: String },
    #[error("-c takes key=value, not `{0}`")]
    Override(String),
    #[error("the settings do not fit together: {0}")]
    Whole(toml::de::Error),
}

impl Hint for ConfigError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest: Some(key), .. } => Some(format!("did you mean `{key}`?")),
            Self::Unknown { .. } | Self::Override(_) => Some("`agent doctor` lists every key with its value and origin".into()),
            _ => None,
        }
    }
}

/// Layers as they are laid, weakest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Layers {
    values: Values,
    warnings: Vec<Warning>,
}

/// The settings, where each came from, and what was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    pub settings: Settings,
    pub values: Values,
    pub warnings: Vec<Warning>,
}

impl Layers {
    /// The built-in defaults, ready for stronger layers.
    pub fn new() -> Result<Self, ConfigError> {
        let mut layers = Self { values: Values::new(), warnings: Vec::new() };
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            layers.put(key.name, literal(key.default), Origin::Default)?;
        }
        Ok(layers)
    }

    /// Lays the person's own file on top.
    pub fn person(self, file: &Path) -> Result<Self, ConfigError> {
        self.file(file, Origin::Person(file.to_owned()))
    }

    /// Lays a repository's file on top: harmless keys count, others become warnings.
    pub fn project(self, file: &Path) -> Result<Self, ConfigError> {
        self.file(file, Origin::Project(file.to_owned()))
    }

    /// Lays the environment on top. `env` reads one variable; an empty one counts as unset.
    pub fn environment(mut self, env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        for (name, key) in [("AGENT_MODEL", "model"), ("AGENT_ENDPOINT", "endpoint")] {
            if let Some(value) = env(name).filter(|v| !v.is_empty()) {
                self.put(key, value.into(), Origin::Environment(name))?;
            }
        }
        Ok(self)
    }

    /// Lays one `key=value` on top. The value is TOML; what is not TOML is text, so `model=qwen3.gguf` needs no quotes.
    pub fn assignment(mut self, written: &str) -> Result<Self, ConfigError> {
        let Some((key, value)) = written.split_once('=') else {
            return Err(ConfigError::Override(written.to_owned()));
        };
        self.put(key.trim(), literal(value.trim()), Origin::Override)?;
        Ok(self)
    }

    /// Lays the value of a flag on top.
    pub fn flag(mut self, flag: &'static str, key: &'static str, value: Option<toml::Value>) -> Result<Self, ConfigError> {
        if let Some(value) = value {
            self.put(key, value, Origin::Flag(flag))?;
        }
        Ok(self)
    }

    /// Ends the laying: typed settings, with every origin.
    pub fn resolve(self) -> Result<Resolved, ConfigError> {
        let mut root = toml::Table::new();
        for (name, setting) in &self.values {
            let (section, leaf) = name.rsplit_once('.').unwrap_or(("", name));
            let table = if section.is_empty() {
                &mut root
            } else {
                let slot = root.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
                slot.as_table_mut().expect("no key is both a value and a section")
            };
            table.insert(leaf.to_owned(), setting.value.clone());
        }
        let settings = root.try_into().map_err(ConfigError::Whole)?;
        Ok(Resolved { settings, values: self.values, warnings: self.warnings })
    }

    fn file(mut self, path: &Path, origin: Origin) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => return Ok(self),
            Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
        };
        let table = text.parse().map_err(|source| ConfigError::Syntax { path: path.to_owned(), source })?;
        for (key, value) in flatten("", table) {
            self.put(&key, value, origin.clone())?;
        }
        Ok(self)
    }

    fn put(&mut self, written: &str, value: toml::Value, origin: Origin) -> Result<(), ConfigError> {
        let Some(key) = Key::find(written) else {
            return Err(ConfigError::Unknown { origin, key: written.to_owned(), nearest: Key::nearest(written) });
        };
        if matches!(origin, Origin::Project(_)) && key.scope != Scope::Project {
            self.warnings.push(Warning { key: written.to_owned(), origin, limit: None });
            return Ok(());
        }
        // `-c sampling.seed="7"` and `-c model=7`: text is what a shell has, so a text key takes any scalar as written.
        let value = match (key.kind, &value) {
            (crate::config::Kind::Text, toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_))
                if origin == Origin::Override =>
            {
                value.to_string().into()
            }
            _ => value,
        };
        if let Some(expected) = key.kind.complaint(&value) {
            return Err(ConfigError::Value { origin, key: key.name, value: value.to_string(), expected });
        }
        // What a repository may set of a number is a budget, and those are the person's to widen.
        let limit = self.values.get(key.name).filter(|set| matches!(set.origin, Origin::Person(_))).map(|set| &set.value);
        match limit.filter(|limit| matches!(origin, Origin::Project(_)) && value.as_integer() > limit.as_integer()) {
            Some(limit) => self.warnings.push(Warning { key: written.to_owned(), limit: Some(limit.clone()), origin }),
            None => drop(self.values.insert(key.name, Setting { value, origin })),
        }
        Ok(())
    }
}

/// Reads a value as TOML, and as plain text where it is not.
fn literal(written: &str) -> toml::Value {
    let parsed = format!("v = {written}").parse::<toml::Table>().ok();
    // A line break could smuggle a second key into the little document; then it is text.
    parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("v")).unwrap_or_else(|| written.into())
}

/// Turns nested tables into full keys. A known key's own value is never taken apart.
fn flatten(prefix: &str, table: toml::Table) -> Vec<(String, toml::Value)> {
    let mut flat = Vec::new();
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) if !inner.is_empty() && Key::find(&key).is_none() => flat.extend(flatten(&key, inner)),
            toml::Value::Table(inner) if inner.is_empty() => {}
            value => flat.push((key, value)),
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use crate::config::layers::{ConfigError, Layers, Origin};
    use crate::hint::Hint;
    use std::path::PathBuf;

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    #[test]
    fn the_defaults_alone_resolve() {
        let resolved = Layers::new().unwrap().resolve().unwrap();
        assert_eq!(resolved.settings.max_steps, 50);
        assert_eq!(resolved.settings.model, None);
        assert_eq!(resolved.values["max_steps"].origin, Origin::Default);
    }

    #[test]
    fn the_later_layer_wins_and_each_value_knows_its_origin() {
        let dir = Dir::new();
        let person = dir.write("person.toml", "model = 'a'\nmax_steps = 9\n[fix]\ntest = 'make'\n[sampling]\nseed = 3\n");
        let project = dir.write("project.toml", "max_steps = 6\nmax_seconds = 7\n");
        let env = |name: &str| (name == "AGENT_MODEL").then(|| "b".to_owned());
        let resolved = Layers::new()
            .and_then(|l| l.person(&person))
            .and_then(|l| l.project(&project))
            .and_then(|l| l.environment(env))
            .and_then(|l| l.assignment("max_seconds=8"))
            .and_then(|l| l.flag("--max-seconds", "max_seconds", Some(9.into())))
            .and_then(Layers::resolve)
            .unwrap();
        let settings = &resolved.settings;
        assert_eq!((settings.model.as_deref(), settings.max_steps, settings.max_seconds), (Some("b"), 6, Some(9)));
        assert_eq!((settings.fix.test.as_deref(), settings.sampling.seed), (Some("make"), Some(3)));
        assert_eq!(resolved.values["model"].origin, Origin::Environment("AGENT_MODEL"));
        assert_eq!(resolved.values["max_steps"].origin, Origin::Project(project));
        assert_eq!(resolved.values["fix.test"].origin, Origin::Person(person));
        assert_eq!(resolved.values["max_seconds"].origin, Origin::Flag("--max-seconds"));
    }

    #[test]
    fn a_repository_sets_harmless_keys_and_is_refused_the_rest() {
        let dir = Dir::new();
        let file = dir.write("c.toml", "endpoint = 'http://evil.example/v1'\napproval = 'all'\nmodel = 'x'\nmax_tokens = 9\n");
        let resolved = Layers::new().and_then(|l| l.project(&file)).and_then(Layers::resolve).unwrap();
        assert_eq!(resolved.settings.max_tokens, Some(9));
        assert_eq!((resolved.settings.endpoint, resolved.settings.model), (None, None));
        let refused: Vec<_> = resolved.warnings.iter().map(|w| w.key.as_str()).collect();
        assert_eq!(refused, ["approval", "endpoint", "model"]);
        assert!(resolved.warnings[0].to_string().contains("c.toml"), "{}", resolved.warnings[0]);
    }

    #[test]
    fn a_repository_lowers_a_limit_of_the_persons_and_does_not_raise_it() {
        let dir = Dir::new();
        let person = dir.write("person.toml", "max_steps = 9\nmax_seconds = 60\n");
        let project = dir.write("project.toml", "max_steps = 10\nmax_seconds = 30\nturn_tokens = 9999\n[fix]\ntest = 'make'\n");
        let resolved = Layers::new().and_then(|l| l.person(&person)).and_then(|l| l.project(&project)).and_then(Layers::resolve);
        let resolved = resolved.unwrap();
        assert_eq!((resolved.settings.max_steps, resolved.settings.max_seconds), (9, Some(30)));
        assert_eq!((resolved.settings.turn_tokens, resolved.settings.fix.test.as_deref()), (9999, Some("make")));
        let [warning] = &resolved.warnings[..] else { panic!("{:?}", resolved.warnings) };
        assert!(warning.to_string().ends_with("may not raise it above the 9 that you set"), "{warning}");
    }

    #[test]
    fn an_unknown_key_names_its_file_and_the_nearest_known_one() {
        let dir = Dir::new();
        let file = dir.write("c.toml", "[engine]\nidle_second = 3\n");
        let error = Layers::new().and_then(|l| l.person(&file)).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: unknown key `engine.idle_second`", file.display()));
        assert_eq!(error.hint().as_deref(), Some("did you mean `engine.idle_seconds`?"));
    }

    #[test]
    fn a_wrong_value_says_what_was_expected() {
        let error = Layers::new().and_then(|l| l.assignment("max_steps=none")).unwrap_err();
        assert_eq!(error.to_string(), "-c: `max_steps` is \"none\", expected an integer, 1 or more");
        let error = Layers::new().and_then(|l| l.assignment("approval=everything")).unwrap_err();
        assert!(error.to_string().ends_with("expected one of reads, edits, all"), "{error}");
        assert!(matches!(Layers::new().and_then(|l| l.assignment("max_steps")), Err(ConfigError::Override(_))));
    }

    #[test]
    fn an_assignment_needs_no_quotes_for_text() {
        let cases = [("model=a/b.gguf", "a/b.gguf"), ("model='q'", "q"), ("model=7", "7"), ("model=a\nb=1", "a\nb=1")];
        for (written, model) in cases {
            let resolved = Layers::new().and_then(|l| l.assignment(written)).and_then(Layers::resolve).unwrap();
            assert_eq!(resolved.settings.model.as_deref(), Some(model), "{written}");
        }
        let resolved = Layers::new().and_then(|l| l.assignment("plan.tensor_split=[1, 2]")).and_then(Layers::resolve).unwrap();
        assert_eq!(resolved.settings.plan.tensor_split, Some(vec![1.0, 2.0]));
    }

    #[test]
    fn a_broken_file_names_itself_and_a_missing_one_is_empty() {
        let dir = Dir::new();
        let file = dir.write("c.toml", "model = \n");
        let error = Layers::new().and_then(|l| l.person(&file)).unwrap_err();
        assert!(matches!(error, ConfigError::Syntax { .. }), "{error}");
        assert!(error.to_string().contains("c.toml"));
        let missing = dir.0.path().join("no/such.toml");
        assert_eq!(Layers::new().and_then(|l| l.person(&missing)).unwrap(), Layers::new().unwrap());
    }
}
