//! `agent plan` from outside: the contract's shape, on imaginary devices and small models of random weights, through
//! llama.cpp's own fit and allocator.
#![cfg(feature = "llama")]

mod support;

use agent::engine::backend::{Backend, LoadOptions};
use agent::engine::embedded::Embedded;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::gguf::{Arch, CHATML, Gguf, Weights};

/// A model file and a home of its own.
struct Case(tempfile::TempDir);

impl Case {
    fn of(model: &Gguf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // F16 is repacked on no processor: the figures are the same everywhere.
        model.clone().weights(Weights::F16).template(CHATML).write(&folder.path().join("m.gguf"));
        Self(folder)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        plan(self.0.path(), &self.0.path().join("m.gguf"), arguments)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        json(&self.run(arguments))
    }
}

fn plan(home: &Path, model: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.args(["plan", "--json", "--model"]).arg(model).args(arguments).current_dir(home);
    command.env_clear().env("AGENT_HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.output().unwrap()
}

fn json(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"))
}

fn small() -> Gguf {
    Gguf::qwen2().layers(8).embd(256).ffn(1024).vocab(2000).context(32_768)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no whole number"))
}

/// Sums that hold for every plan: rows add up, nothing takes more than there is, and the window divides.
fn sound(plan: &Value) {
    for row in plan["memory"].as_array().unwrap() {
        let [weights, kv, compute, total] = ["weights", "kv", "compute", "total"].map(|key| number(&row[key]));
        assert_eq!(weights + kv + compute, total, "{row}");
        let device = plan["devices"].as_array().unwrap().iter().find(|device| device["name"] == row["device"]);
        let free = device.map_or_else(|| number(&plan["host"]["available"]), |device| number(&device["free"]));
        assert_eq!(free - total, number(&row["free_after"]), "{row}");
    }
    let budget = plan["budget"].as_object().unwrap();
    let parts: u64 = budget.iter().filter(|(key, _)| *key != "window").map(|(_, value)| number(value)).sum();
    assert_eq!(parts, number(&budget["window"]), "{budget:?}");
}

#[test]
fn plans_have_the_contracts_shape() {
    let cases: [(&str, Gguf, &[&str]); 5] = [
        ("no accelerator", small(), &[]),
        ("one device", small(), &["--device", "GPU0:1GiB:900MiB"]),
        ("a device too small for all of it", small(), &["--device", "GPU0:96MiB"]),
        ("two devices", small(), &["--device", "GPU0:512MiB", "--device", "GPU1:256MiB"]),
        ("a mixture", Gguf::qwen3moe().layers(6).embd(256).ffn(512).experts(16).context(8192), &["--device", "GPU0:64MiB"]),
    ];
    for (name, model, arguments) in cases {
        let mut plan = Case::of(&model).json(&[arguments, &["--host-memory", "4GiB"]].concat());
        sound(&plan);
        assert_eq!(
            plan.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["model", "devices", "host", "plan", "memory", "speed", "budget", "why"]
        );
        // What the prompt costs is not what this is about, and changes with its words.
        plan.as_object_mut().unwrap().remove("budget");
        insta::assert_json_snapshot!(name, plan);
    }
}

#[test]
fn pins_reach_llama_cpp() {
    let case = Case::of(&small());
    let gpu = ["--device", "GPU0:4GiB", "--host-memory", "8GiB"];
    let with = |pins: &[&str]| {
        let pins: Vec<&str> = pins.iter().flat_map(|pin| ["-c", pin]).collect();
        let plan = case.json(&[&gpu[..], &pins].concat());
        sound(&plan);
        plan
    };
    let cache = |plan: &Value| number(&plan["memory"][0]["kv"]);
    let f16 = with(&["plan.n_ctx=8192"]);
    assert_eq!(f16["plan"]["n_ctx"], 8192);
    let q8 = with(&["plan.n_ctx=8192", "plan.kv_type_k=\"q8_0\"", "plan.kv_type_v=\"q8_0\""]);
    // Rows are padded on devices: a little more than 34 bytes for each 64.
    let expected = cache(&f16) * 34 / 64;
    assert!((expected..expected + expected / 1000).contains(&cache(&q8)), "{} for {expected}", cache(&q8));
    let half = with(&["plan.n_ctx=8192", "plan.n_gpu_layers=5"]);
    assert_eq!(cache(&half) * 2, cache(&f16), "the output is one of five");
    assert_eq!(half["plan"]["n_gpu_layers"], 5);
    let compute = |plan: &Value| number(&plan["memory"][0]["compute"]);
    assert!(compute(&with(&["plan.n_ctx=8192", "plan.n_ubatch=64"])) < compute(&f16));
    assert!(compute(&with(&["plan.n_ctx=8192", "plan.n_outputs=512"])) > compute(&f16));
    assert!(compute(&with(&["plan.n_ctx=8192", "plan.flash_attn=false"])) > compute(&f16));
}

#[test]
fn sliding_windows_are_cached_whole_only_when_asked() {
    let case = Case::of(&Gguf::new(Arch::Gemma3).layers(12).embd(256).context(32_768));
    let cache = |pin: &str| number(&case.json(&["--host-memory", "8GiB", "-c", pin])["memory"][0]["kv"]);
    assert!(cache("plan.swa_full=true") > 3 * cache("plan.swa_full=false"));
}

#[test]
fn every_architecture_is_planned_on_a_device() {
    for arch in Arch::ALL {
        let plan = Case::of(&Gguf::new(arch)).json(&["--device", "GPU0:1GiB", "--host-memory", "4GiB"]);
        sound(&plan);
        assert_eq!(plan["plan"]["n_gpu_layers"], -1, "{arch:?}: {}", plan["why"]);
        assert!(number(&plan["memory"][0]["kv"]) > 0, "{arch:?}");
    }
}

#[test]
fn experts_can_be_pinned_to_the_host_per_device() {
    let case = Case::of(&Gguf::qwen3moe().layers(6).embd(256).ffn(512).experts(16).context(8192));
    let devices = ["--device", "GPU0:1GiB", "--device", "GPU1:1GiB", "--host-memory", "8GiB"];
    let weights = |pin: &str| {
        let plan = case.json(&[&devices[..], &["-c", "plan.tensor_split=[3,4]", "-c", pin]].concat());
        sound(&plan);
        [0, 1, 2].map(|row| number(&plan["memory"][row]["weights"]))
    };
    let none = weights("plan.expert_layers_on_cpu=[0,0]");
    let some = weights("plan.expert_layers_on_cpu=[1,2]");
    let layer = 3 * 16 * 256 * 512 * 2;
    assert_eq!([none[0] - some[0], none[1] - some[1], some[2] - none[2]], [layer, 2 * layer, 3 * layer]);
}

#[test]
fn what_does_not_fit_is_an_error_that_says_what_is_missing() {
    let case = Case::of(&small());
    let output = case.run(&["--host-memory", "8MiB"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("does not fit") && said.contains("CPU has room for 7 MiB and needs"), "{said}");
    let output = case.run(&["--host-memory", "4GiB", "-c", "plan.tensor_split=[1,1,1]", "--device", "A:1GiB"]);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_accelerator_that_others_fill_is_left_alone() {
    let case = Case::of(&small());
    let plan = case.json(&["--host-memory", "4GiB", "--device", "GPU0:1GiB:64KiB"]);
    sound(&plan);
    assert_eq!((number(&plan["memory"][0]["total"]), &plan["plan"]["n_gpu_layers"]), (0, &Value::from(0)));
}

#[test]
fn more_accelerators_than_llama_cpp_takes_are_an_error() {
    let devices: Vec<String> = (0..17).flat_map(|i| ["--device".to_owned(), format!("GPU{i}:64MiB")]).collect();
    let output = Case::of(&small()).run(&devices.iter().map(String::as_str).collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("no more than 15 accelerators"), "{said}");
}

#[test]
fn what_is_planned_is_what_is_loaded() {
    let case = Case::of(&small());
    let plan = case.json(&["--host-memory", "8GiB", "--min-ctx", "10000", "-c", "plan.n_gpu_layers=0"]);
    let fields = &plan["plan"];
    let mut options = LoadOptions::of(&case.0.path().join("m.gguf"));
    options.n_ctx = fields["n_ctx"].as_u64().map(|n| n as u32);
    options.threads = Some(1);
    let engine = Embedded::load(&options, &mut |_| {}).unwrap();
    assert_eq!(engine.info().window.unwrap().0 as u64, number(&fields["n_ctx"]));
}

#[test]
fn a_plan_is_remembered_with_its_file() {
    let case = Case::of(&small());
    let devices = ["--device", "GPU0:512MiB", "--host-memory", "4GiB"];
    let first = case.json(&devices);
    assert_eq!(case.json(&devices), first);
    let kept = || std::fs::read_dir(case.0.path().join("cache/plans")).unwrap().count();
    assert_eq!(kept(), 1, "one ledger for one file, written once");
    // Free memory is not what is remembered.
    let others = case.json(&["--device", "GPU0:512MiB:500MiB", "--host-memory", "4GiB"]);
    assert_eq!(number(&others["devices"][0]["free"]), 500 << 20);
    sound(&others);
    // Another file under the same name is another file.
    small().layers(9).weights(Weights::F16).template(CHATML).write(&case.0.path().join("m.gguf"));
    let other = case.json(&devices);
    assert_eq!((number(&other["model"]["layers"]), kept()), (9, 2));
    sound(&other);
}

#[test]
fn what_a_known_card_gives_is_predicted() {
    let case = Case::of(&small());
    let on = |card: &str| case.json(&["--device", card, "--host-memory", "4GiB"]);
    let speed = |plan: &Value| plan["speed"]["decode_tps"].as_f64();
    let (slow, fast) = (on("RTX 3060:4GiB"), on("RTX 3090:4GiB"));
    assert!(speed(&slow) < speed(&fast) && speed(&slow) > Some(0.0), "{slow}");
    assert_eq!(slow["speed"]["is_predicted"], true);
    assert_eq!(on("GPU0:4GiB")["speed"]["decode_tps"], Value::Null);
}

/// A row of measured truth: how far weights and cache, and all memory of the devices, are off, in percent.
fn off(row: &Value, plan: &Value) -> (f64, f64) {
    let (mut worst, mut planned, mut measured) = (0.0_f64, 0.0, 0.0);
    for (name, truth) in row["buffers"].as_object().unwrap() {
        let found = plan["memory"].as_array().unwrap().iter().find(|one| one["device"] == *name).unwrap();
        let sum = |of: &Value, keys: &[&str]| keys.iter().map(|key| number(&of[*key]) as f64).sum::<f64>();
        let (ours, theirs) = (sum(found, &["weights", "kv"]), sum(truth, &["model", "context"]));
        worst = worst.max((ours / theirs.max(1.0) - 1.0).abs() * 100.0);
        if name != "CPU" {
            planned += sum(found, &["total"]);
            measured += sum(truth, &["model", "context", "compute"]);
        }
    }
    (worst, (planned / measured - 1.0_f64).abs() * 100.0)
}

/// The models that are written beforehand, by `tools/make_shape_gguf.py`, into the folder that `AGENT_SHAPES` names.
#[test]
fn plans_agree_with_measured_memory() {
    let truth = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/memory-truth.jsonl");
    let (Ok(rows), Some(shapes)) = (std::fs::read_to_string(&truth), std::env::var_os("AGENT_SHAPES").map(PathBuf::from)) else {
        eprintln!("SKIPPED: needs {} and AGENT_SHAPES, a folder of models without weights", truth.display());
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for row in rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        let model = shapes.join(format!("{}-{}.gguf", text("model"), text("quant")));
        if !model.exists() {
            continue;
        }
        let mut arguments = vec!["--host-memory".to_owned(), "900GiB".into()];
        for (i, mib) in row["gpus_mib"].as_array().unwrap().iter().enumerate() {
            arguments.extend(["--device".into(), format!("GPU{i}:{mib}MiB")]);
        }
        let pins = ["n_ctx", "n_gpu_layers", "n_batch", "n_ubatch", "flash_attn", "swa_full"];
        let mut pins: Vec<String> = pins.iter().map(|key| format!("plan.{key}={}", row[*key])).collect();
        pins.extend([format!("plan.kv_type_k={}", row["kv"]), format!("plan.kv_type_v={}", row["kv"])]);
        pins.push(format!("plan.n_outputs={}", row["n_batch"]));
        arguments.extend(pins.into_iter().flat_map(|pin| ["-c".to_owned(), pin]));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (held, all) = off(&row, &json(&plan(home.path(), &model, &arguments)));
        eprintln!(
            "{} {} {} {}: weights and cache {held:.4} %, devices {all:.3} %",
            text("model"),
            text("quant"),
            row["n_ctx"],
            row["gpus_mib"]
        );
        assert!(held <= 0.05 && all <= 3.0, "{row}");
        compared += 1;
    }
    eprintln!("{compared} rows compared");
    assert!(compared > 0, "AGENT_SHAPES holds no model that the rows name");
}
