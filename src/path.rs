//! Paths that say whose they are: `RepoPath` is inside the project and portable, `Root` is the project's directory.
//!
//! `Root::resolve` is the one place where a path that a model wrote becomes a path of this machine.

use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt::{self, Write};
use std::path::{Component, Path, PathBuf};

/// A path relative to the project's root: `/`-separated, never absolute, no `.` or `..`, empty for the root itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RepoPath(String);

impl RepoPath {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component, empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The extension in lower case, empty when there is none.
    pub fn extension(&self) -> String {
        self.name().rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase()).unwrap_or_default()
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A name may hold a newline, and must not begin a line of its own where paths are listed.
        if self.0.contains(char::is_control) {
            return self.0.chars().try_for_each(|c| if c.is_control() { c.escape_default().fmt(f) } else { f.write_char(c) });
        }
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

/// Why a path is not one of the project's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    #[error("`{0}` is outside the project")]
    Outside(String),
    #[error("`{0}` leads outside the project, or nowhere, through a symlink")]
    Escapes(String),
    #[error("a path contains a NUL byte")]
    Nul,
    #[error("cannot read `{0}`: {1}")]
    Io(String, String),
}

/// The project's directory, canonical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// Opens a directory as a root. Errors when it does not exist or is no directory.
    pub fn open(dir: &Path) -> Result<Self, PathError> {
        let io = |e: std::io::Error| PathError::Io(dir.display().to_string(), e.to_string());
        let canonical = dir.canonicalize().map_err(io)?;
        if !canonical.is_dir() {
            return Err(PathError::Io(dir.display().to_string(), "not a directory".into()));
        }
        Ok(Self(canonical))
    }

    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// Normalises what a model or a person wrote: relative to the root, or absolute and inside it. Purely lexical.
    pub fn parse(&self, written: &str) -> Result<RepoPath, PathError> {
        if written.contains('\0') {
            return Err(PathError::Nul);
        }
        let outside = || PathError::Outside(written.to_owned());
        let path = Path::new(written.trim());
        let relative = if path.is_absolute() { path.strip_prefix(&self.0).map_err(|_| outside())? } else { path };
        let mut parts: Vec<&str> = Vec::new();
        for component in relative.components() {
            match component {
                Component::Normal(part) => parts.push(part.to_str().ok_or_else(outside)?),
                Component::CurDir => {}
                Component::ParentDir => {
                    parts.pop().ok_or_else(outside)?;
                }
                Component::RootDir | Component::Prefix(_) => return Err(outside()),
            }
        }
        Ok(RepoPath(parts.join("/")))
    }

    /// Joins without touching the disk. For paths that the program made itself.
    pub fn join(&self, path: &RepoPath) -> PathBuf {
        if path.0.is_empty() { self.0.clone() } else { self.0.join(&path.0) }
    }

    /// Resolves to a path of this machine whose every existing ancestor, symlinks followed, stays inside the root.
    /// The file itself need not exist.
    pub fn resolve(&self, written: &str) -> Result<(RepoPath, PathBuf), PathError> {
        let path = self.parse(written)?;
        let full = self.join(&path);
        let mut existing = full.as_path();
        // A dangling symlink does not `exist`, yet a write would follow it: ask for the link itself.
        while existing.symlink_metadata().is_err() {
            existing = existing.parent().ok_or_else(|| PathError::Outside(written.to_owned()))?;
        }
        let real = existing.canonicalize().map_err(|_| PathError::Escapes(written.to_owned()))?;
        if !real.starts_with(&self.0) {
            return Err(PathError::Escapes(written.to_owned()));
        }
        Ok((path, full))
    }
}

/// Where the program keeps what is its own. Nothing here is created until it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    pub config: PathBuf,
    /// Sessions, logs of commands.
    pub state: PathBuf,
    pub cache: PathBuf,
    pub models: PathBuf,
    /// Sockets and locks; made with mode 0700.
    pub runtime: PathBuf,
}

impl Places {
    /// `AGENT_HOME` with everything under it, else the XDG directories. `env` reads one variable. `None` without any home: a
    /// place that everybody can write to would let anybody set this person's configuration.
    pub fn from_env(env: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let dir = |name: &str| env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        if let Some(home) = dir("AGENT_HOME") {
            let sub = |name: &str| home.join(name);
            return Some(Self {
                config: sub("config"),
                state: sub("state"),
                cache: sub("cache"),
                models: sub("models"),
                runtime: sub("run"),
            });
        }
        let home = dir("HOME").or_else(std::env::home_dir).filter(|home| home.is_absolute())?;
        let xdg = |name: &str, default: &str| dir(name).unwrap_or_else(|| home.join(default)).join("agent");
        let cache = xdg("XDG_CACHE_HOME", ".cache");
        Some(Self {
            config: xdg("XDG_CONFIG_HOME", ".config"),
            state: xdg("XDG_STATE_HOME", ".local/state"),
            models: xdg("XDG_DATA_HOME", ".local/share").join("models"),
            runtime: dir("XDG_RUNTIME_DIR").map_or_else(|| cache.join("run"), |d| d.join("agent")),
            cache,
        })
    }
}
