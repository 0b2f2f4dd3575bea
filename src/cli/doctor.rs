//! `agent doctor`: what this program sees, and whether its own engine works here. It connects to nothing, and changes nothing but
//! its cache: the self-test's engine leaves a second later.

mod self_test;

use crate::boot::{self, Choice, Ground, Local, Otherwise};
use crate::cli::answer;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::config::KEYS;
use crate::engine::endpoint;
use crate::engine::memory::{Device, Host};
use crate::hint::Hint;
use crate::models::{bundled, installed};
use crate::protocol::exit::Exit;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Only look: leave out the self-test, which starts the engine on the bundled model
    #[arg(long)]
    quick: bool,
}

impl Doctor {
    /// Prints the findings by section. A self-test that failed is the exit code's, too.
    pub fn run(self, globals: Globals) -> Result<Exit, Failure> {
        let ground = globals.ground(Vec::new())?;
        let self_test = if self.quick { json!({ "skipped": "--quick" }) } else { self_test::run(&ground)? };
        let report = json!({
            "program": program(),
            "machine": machine(),
            "devices": devices(),
            "directories": directories(&ground),
            "programs": programs(),
            "settings": settings(&ground),
            "models": models(&ground),
            "engine": engine(&ground),
            "self_test": self_test,
            "leaves_the_machine": leaves(&ground),
        });
        if self.json {
            answer::json(&report)?;
        } else {
            answer::text(&render(&report))?;
        }
        Ok(if self_test::has_failed(&report["self_test"]) { Exit::Engine } else { Exit::Done })
    }
}

fn program() -> Value {
    let mut built = Vec::new();
    for (name, on) in [
        ("llama", cfg!(feature = "llama")),
        ("cuda", cfg!(feature = "cuda")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("metal", cfg!(feature = "metal")),
        ("rocm", cfg!(feature = "rocm")),
    ] {
        if on {
            built.push(name);
        }
    }
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        "features": built,
        "built_for": instructions(Side::Build),
    })
}

fn machine() -> Value {
    let here = instructions(Side::Machine);
    let host = Host::look();
    json!({
        "threads": std::thread::available_parallelism().map_or(0, usize::from),
        "instructions": here,
        // A portable build on a better machine works, slower than it could.
        "unused": here.iter().filter(|name| !instructions(Side::Build).contains(name)).collect::<Vec<_>>(),
        "memory": host.map(|host| host.total),
        "available_memory": host.map(|host| host.available),
    })
}

/// The accelerators as llama.cpp sees them, and what others hold of them. The processor's memory stands under `machine`:
/// llama.cpp takes all of it for free.
fn devices() -> Value {
    let told = |device: Device| {
        let mut told = json!(device);
        told["held_by_others"] = json!(device.total - device.free);
        told
    };
    boot::devices().into_iter().filter(|device| device.kind != "cpu").map(told).collect()
}

/// Whose instructions are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Build,
    Machine,
}

/// The vector instructions that llama.cpp's kernels have variants for.
#[cfg(target_arch = "x86_64")]
fn instructions(side: Side) -> Vec<&'static str> {
    macro_rules! known {
        ($($name:tt),*) => {
            [$(($name, cfg!(target_feature = $name), std::arch::is_x86_feature_detected!($name))),*]
        };
    }
    let known = known!("avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vnni", "avx512bf16");
    known.into_iter().filter(|(_, built, here)| if side == Side::Build { *built } else { *here }).map(|(name, ..)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn instructions(_side: Side) -> Vec<&'static str> {
    Vec::new()
}

fn directories(ground: &Ground) -> Value {
    let places = &ground.places;
    let mut found = Map::new();
    found.insert("project".into(), json!(ground.root.as_path().to_string_lossy()));
    for (name, dir) in [
        ("config", &places.config),
        ("state", &places.state),
        ("cache", &places.cache),
        ("models", &places.models),
        ("runtime", &places.runtime),
    ] {
        found.insert(name.into(), json!({ "path": dir.to_string_lossy(), "is": state_of(dir) }));
    }
    Value::Object(found)
}

/// What stands at a path of ours, in words.
fn state_of(dir: &Path) -> String {
    match std::fs::metadata(dir) {
        Err(_) => "not made yet".into(),
        Ok(meta) if !meta.is_dir() => "not a directory".into(),
        Ok(meta) if meta.uid() != rustix::process::getuid().as_raw() => "owned by someone else".into(),
        Ok(meta) => format!("mode {:04o}", meta.mode() & 0o7777),
    }
}

/// Programs that some commands call, by where the search path finds them.
fn programs() -> Value {
    let on_path = |name: &str| {
        let dirs: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
        let found = dirs.into_iter().map(|dir| dir.join(name)).find(|file| file.is_file());
        found.map(|file| file.to_string_lossy().into_owned())
    };
    json!({ "git": on_path("git"), "gh": on_path("gh"), "sh": on_path("sh") })
}

fn settings(ground: &Ground) -> Value {
    let mut found = Map::new();
    for key in KEYS {
        let entry = ground.resolved.values.get(key.name).map_or_else(
            || json!({ "value": null, "origin": "unset", "why": key.why }),
            |setting| {
                let url = setting.value.as_str().filter(|_| key.name == "endpoint");
                let value = url.map_or_else(|| json!(setting.value), |url| json!(endpoint::shown(url)));
                json!({ "value": value, "origin": setting.origin.to_string(), "why": key.why })
            },
        );
        found.insert(key.name.into(), entry);
    }
    let refused: Vec<String> = ground.resolved.warnings.iter().map(ToString::to_string).collect();
    if !refused.is_empty() {
        found.insert("refused".into(), json!(refused));
    }
    Value::Object(found)
}

fn models(ground: &Ground) -> Value {
    let all = installed::list(&ground.places.models);
    all.into_iter()
        .map(|model| json!({ "name": model.name, "path": model.path.to_string_lossy(), "bytes": model.size.0 }))
        .collect()
}

/// The engine that a run would use now, or why there is none.
fn engine(ground: &Ground) -> Value {
    match boot::choose(ground, Otherwise::Nothing) {
        Ok(Choice::Replay(file)) => json!({ "kind": "replay", "file": file.to_string_lossy() }),
        Ok(Choice::Endpoint { url, model }) => json!({ "kind": "endpoint", "url": endpoint::shown(&url), "model": model }),
        Ok(Choice::Llama { model: Local::File(model) }) => {
            json!({ "kind": "llama", "model": model.to_string_lossy(), "built_in": cfg!(feature = "llama") })
        }
        Ok(Choice::Llama { model: Local::Bundled }) => json!({ "kind": "llama", "model": bundled::NAME, "built_in": true }),
        Err(error) => json!({ "kind": null, "error": error.to_string(), "hint": error.hint() }),
    }
}

/// What a run would send to another machine.
fn leaves(ground: &Ground) -> Value {
    match boot::choose(ground, Otherwise::Nothing) {
        Ok(Choice::Endpoint { url, .. }) if !endpoint::is_local(&url) => {
            json!(format!("the conversation, with every file and output in it, goes to {}", endpoint::shown(&url)))
        }
        _ => json!("nothing"),
    }
}

/// Sections of `name  value` lines. A setting shows its value and origin, and only those that somebody can act on.
fn render(report: &Value) -> String {
    let mut text = String::new();
    for (section, value) in report.as_object().into_iter().flatten() {
        let _ = writeln!(text, "{}", section.replace('_', " "));
        match value {
            Value::Object(entries) if entries.is_empty() => text.push_str("  none\n"),
            Value::Object(entries) => {
                for (name, value) in entries {
                    let _ = writeln!(text, "  {name:<28} {}", one_line(value));
                }
            }
            Value::Array(items) if items.is_empty() => text.push_str("  none\n"),
            Value::Array(items) => items.iter().for_each(|item| {
                let _ = writeln!(text, "  {}", one_line(item));
            }),
            other => {
                let _ = writeln!(text, "  {}", one_line(other));
            }
        }
    }
    text
}

fn one_line(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(one_line).collect::<Vec<_>>().join(" "),
        Value::Object(entries) if entries.contains_key("origin") => {
            let shown = one_line(&entries["value"]);
            format!("{shown:<24} ({})", one_line(&entries["origin"]))
        }
        Value::Object(entries) => entries.values().map(one_line).collect::<Vec<_>>().join("  "),
        other => other.to_string(),
    }
}
