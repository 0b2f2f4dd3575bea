//! GGUF headers: what is refused, in which words, and that nothing a file says can hurt.

mod support;

use agent::hint::Hint;
use agent::models::gguf::{Fault, Header, Need, check, read};
use agent::units::{Bytes, Layers, Tokens};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::gguf::bad::{bad_files, split};
use support::gguf::raw::{Raw, Value};
use support::gguf::{Arch, CHATML, GLM, Gguf, HARMONY, LLAMA3, MISTRAL};

thread_local! {
    /// The largest single allocation of this thread since it was last set to 0, in bytes.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

struct Watching;

// SAFETY: every call goes to the system's allocator unchanged; a thread-local cell that needs no allocation is noted on.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn write(dir: &Path, name: &str, raw: &Raw) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, raw.bytes()).unwrap();
    path
}

fn accepted(path: &Path, need: Need) -> Header {
    check(path, need).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn bad_files_are_refused_by_name_and_reason() {
    let dir = scratch();
    let files = bad_files(dir.path());
    assert!(files.len() > 90);
    let mut wrong = Vec::new();
    for file in files {
        let error = check(&file.path, Need::Weights).err().unwrap_or_else(|| panic!("`{}` was accepted", file.path.display()));
        let message = error.to_string();
        assert!(message.starts_with(&format!("`{}` ", file.path.display())), "{message}");
        if !message.contains(file.says) {
            wrong.push(format!("{message}\n  should say: {}", file.says));
        }
        assert!(error.hint().is_some(), "{message}");
        let own = message.replace(&file.path.display().to_string(), "");
        assert!(!own.ends_with('.') && own.len() < 160, "{message}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_architecture_is_accepted() {
    let dir = scratch();
    for arch in Arch::ALL {
        let path = dir.path().join(format!("{}.gguf", arch.name()));
        Gguf::new(arch).layers(4).write(&path);
        let header = accepted(&path, Need::Weights);
        assert_eq!(header.arch(), arch.name());
        assert_eq!(header.layers(), Layers(4));
    }
}

#[test]
fn special_tokens_of_every_family_are_accepted() {
    let dir = scratch();
    for (family, eos) in [(LLAMA3, "<|eot_id|>"), (MISTRAL, "</s>"), (GLM, "<|user|>"), (HARMONY, "<|return|>")] {
        let path = dir.path().join("family.gguf");
        Gguf::llama().special(family).eos(eos).write(&path);
        let header = accepted(&path, Need::Weights);
        let tokens = header.strings("tokenizer.ggml.tokens").unwrap();
        let id = header.integer("tokenizer.ggml.eos_token_id").unwrap();
        assert_eq!(tokens[id as usize], eos);
        assert!(family.iter().all(|special| tokens.iter().any(|t| t == special)));
    }
}

#[test]
fn a_header_says_what_the_model_is() {
    let dir = scratch();
    let path = dir.path().join("named.gguf");
    Gguf::qwen2().layers(3).context(8192).template(CHATML).write(&path);
    let header = accepted(&path, Need::Weights);
    assert_eq!((header.arch(), header.name().as_str(), header.quant()), ("qwen2", "random-qwen2", "Q8_0"));
    assert_eq!((header.layers(), header.trained_context(), header.embedding()), (Layers(3), Tokens(8192), 64));
    assert_eq!((header.heads(), header.kv_heads()), (vec![4; 3], vec![2; 3]));
    assert_eq!(header.vocabulary(), Tokens(306));
    assert_eq!(header.chat_template(), Some(CHATML));
    assert_eq!(header.size(), Bytes(std::fs::metadata(&path).unwrap().len()));
    // Embedding and last norm; per layer two norms, attention with biases, the three matrices.
    let layer = 2 * 64 + (64 * 64 + 64 * 32) * 2 + 64 + 32 + 32 + 3 * 64 * 128;
    assert_eq!(header.parameters(), 306 * 64 + 64 + 3 * layer);
}

#[test]
fn what_a_file_leaves_out_is_derived() {
    let dir = scratch();
    let mut raw = Gguf::new(Arch::Lfm2).raw();
    for key in ["general.name", "general.file_type"] {
        raw.remove(key);
    }
    let header = accepted(&write(dir.path(), "some-model.gguf", &raw), Need::Weights);
    assert_eq!((header.name().as_str(), header.quant()), ("some-model", "Q8_0"));
    assert_eq!(header.kv_heads(), [0, 2]);
    assert!(!header.has_template());
    assert_eq!(header.strings("no.such.key").unwrap(), Vec::<String>::new());
}

#[test]
fn version_two_is_read() {
    let dir = scratch();
    let mut raw = Gguf::qwen2().raw();
    raw.version = 2;
    assert_eq!(accepted(&write(dir.path(), "two.gguf", &raw), Need::Weights).version, 2);
}

#[test]
fn a_tokenizer_needs_no_weights() {
    let dir = scratch();
    let mut raw = Gguf::qwen2().raw();
    raw.tensors.clear();
    let path = write(dir.path(), "vocab.gguf", &raw);
    assert_eq!(accepted(&path, Need::Tokenizer).vocabulary(), Tokens(306));
    assert_eq!(check(&path, Need::Weights).unwrap_err().fault, Fault::NoWeights);
}

#[test]
fn parts_are_taken_together() {
    let dir = scratch();
    let model = Gguf::qwen2().layers(4);
    let whole = accepted(&write(dir.path(), "whole.gguf", &model.raw()), Need::Weights);
    let parts = split(&model, dir.path(), 3);
    let header = accepted(&parts[0], Need::Weights);
    assert_eq!(header.parts.len(), 2);
    assert_eq!((header.parameters(), header.tensors.len()), (whole.parameters(), whole.tensors.len()));
    assert_eq!(header.size(), parts.iter().map(|p| Bytes(std::fs::metadata(p).unwrap().len())).sum());

    let last = std::fs::read(&parts[2]).unwrap();
    std::fs::write(&parts[2], &last[..last.len() - 1000]).unwrap();
    let error = check(&parts[0], Need::Weights).unwrap_err();
    assert_eq!((error.path, error.fault), (parts[2].clone(), Fault::CutTensors { missing: Bytes(1000) }));

    std::fs::copy(&parts[1], &parts[2]).unwrap();
    let error = check(&parts[0], Need::Weights).unwrap_err().to_string();
    assert!(error.contains("it is part 2 of 3 and stands in the place of part 3"), "{error}");

    std::fs::remove_file(&parts[2]).unwrap();
    let error = check(&parts[0], Need::Weights).unwrap_err();
    assert_eq!(error.fault, Fault::PartMissing { part: parts[2].clone(), parts: 3 });
    assert_eq!(error.path, parts[0]);
}

#[test]
fn ids_that_stand_for_none_are_no_tokens() {
    let dir = scratch();
    let mut raw = Gguf::qwen2().raw();
    raw.set("tokenizer.ggml.padding_token_id", Value::U32(u32::MAX));
    raw.set("tokenizer.ggml.bos_token_id", Value::U32(u32::MAX));
    accepted(&write(dir.path(), "none.gguf", &raw), Need::Weights);
}

#[test]
fn a_large_vocabulary_is_read_quickly() {
    let dir = scratch();
    let path = dir.path().join("large.gguf");
    Gguf::qwen2().embd(32).heads(2, 1).vocab(152_064).write(&path);
    let start = Instant::now();
    let header = accepted(&path, Need::Weights);
    let spent = start.elapsed();
    assert_eq!(header.vocabulary(), Tokens(152_064));
    println!("read and checked in {spent:?}");
    assert!(spent < Duration::from_secs(5), "{spent:?}");
}

/// Changes bytes of a header as damage would: flips, overwrites, cuts. The same number gives the same change.
fn mutate(bytes: &mut Vec<u8>, header: usize, number: u64) {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % n
    };
    for _ in 0..1 + below(3) {
        let at = below(header);
        match below(6) {
            0 => bytes[at] ^= 1 << below(8),
            1 => bytes[at] = below(256) as u8,
            2 => bytes[at..(at + 8).min(header)].fill(0xFF),
            3 => bytes[at..(at + 4).min(header)].fill(0),
            4 => bytes.swap(at, below(header)),
            _ if below(4) == 0 => return bytes.truncate(at),
            _ => bytes[at] = bytes[at].wrapping_add(1),
        }
    }
}

#[test]
fn damaged_headers_are_judged_quickly_and_without_panic() {
    let dir = scratch();
    let (mut passed, mut refused) = (0, 0);
    for (index, arch) in Arch::ALL.into_iter().enumerate() {
        // Few tokens, so that most changes hit keys and tensors rather than words.
        let mut raw = Gguf::new(arch).raw();
        raw.keys.sort_by_key(|(key, _)| key.starts_with("tokenizer.ggml.tokens"));
        let (whole, header) = (raw.bytes(), raw.header().len());
        let path = dir.path().join("damaged.gguf");
        for number in 0..334 {
            let mut bytes = whole.clone();
            mutate(&mut bytes, header, number * 6 + index as u64);
            std::fs::write(&path, &bytes).unwrap();
            let start = Instant::now();
            LARGEST.set(0);
            match check(&path, Need::Weights) {
                Ok(header) => {
                    passed += 1;
                    assert!(header.tensors.len() < 100 && header.keys.len() < 100);
                }
                Err(e) => {
                    refused += 1;
                    assert!(e.to_string().len() < 250, "{e}");
                }
            }
            let largest = LARGEST.get();
            assert!(largest < bytes.len() + (512 << 10), "{arch:?} {number}: {largest} bytes at once");
            assert!(start.elapsed() < Duration::from_secs(5), "{arch:?} {number}");
        }
    }
    println!("{passed} accepted, {refused} refused");
    assert!(refused > 500, "{refused}");
}

#[test]
fn lengths_that_reach_into_a_hole_cost_nothing() {
    let dir = scratch();
    let hole = 1u64 << 36;
    let claims: [(&str, u32, u64); 3] = [("string", 8, 1 << 34), ("strings", 9, 1 << 29), ("many strings", 9, 1 << 24)];
    for (what, kind, length) in claims {
        let mut raw = Raw::new();
        let mut bytes = if kind == 9 { 8u32.to_le_bytes().to_vec() } else { Vec::new() };
        bytes.extend(length.to_le_bytes());
        raw.set("general.architecture", Value::Str("qwen2".into()));
        raw.set("tokenizer.ggml.tokens", Value::Bytes(kind, bytes));
        let path = write(dir.path(), "hole.gguf", &raw);
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(hole).unwrap();
        LARGEST.set(0);
        check(&path, Need::Weights).unwrap_err();
        assert!(LARGEST.get() < 1 << 20, "{what}: {} bytes at once", LARGEST.get());
    }
}

#[test]
fn the_shared_files_are_accepted() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    if !shared.is_dir() {
        eprintln!("skipped: `{}` is not there", shared.display());
        return;
    }
    for (file, need, arch, tokens) in [
        ("data/vocab/ggml-vocab-deepseek-coder.gguf", Need::Tokenizer, "llama", 32_256),
        ("data/vocab/ggml-vocab-llama-bpe.gguf", Need::Tokenizer, "llama", 128_256),
        ("data/vocab/ggml-vocab-qwen35.gguf", Need::Tokenizer, "qwen2", 151_936),
        ("sketches/micro/micro-q8_0.gguf", Need::Weights, "qwen2", 1_830),
    ] {
        let path = shared.join(file);
        if !path.is_file() {
            eprintln!("skipped: `{}` is not there", path.display());
            continue;
        }
        let header = accepted(&path, need);
        assert_eq!(read(&path).unwrap().keys, header.keys);
        assert_eq!((header.arch(), header.vocabulary()), (arch, Tokens(tokens)), "{file}");
    }
}
