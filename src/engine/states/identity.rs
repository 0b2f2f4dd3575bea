//! Whose state it is: the model's file by what is in it, llama.cpp's version, and the settings that a state depends on.

use crate::engine::backend::LoadOptions;
use crate::engine::states::checksum::checksum;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The llama.cpp of this build, by the version of the crate that carries it: a state of another one may mean something else.
pub const LLAMA_CPP: &str = "0.1.161";

/// Bytes read from the beginning of a file: all of most headers, the tokenizer included.
const HEADER: u64 = 8 << 20;
/// Places among the tensors that are looked at besides, and how much of each.
const SAMPLES: u64 = 64;
const SAMPLE: u64 = 4 << 10;

/// Names whoever can use a state: the same model, the same llama.cpp, the same settings where they change what is in it.
/// `long` is whether the window is one for which the model has other rotations (it then has two sets of them).
///
/// Reads up to 8 MiB of each of the model's files. Errors when one cannot be read.
pub fn identity(options: &LoadOptions, long: bool) -> io::Result<String> {
    let mut facts = format!("llama.cpp {LLAMA_CPP}, long {long}");
    for path in parts(&options.model) {
        let (size, sum) = print_of(&path)?;
        facts.push_str(&format!(", {size} bytes {sum:016x}"));
    }
    let LoadOptions { type_k, type_v, flash_attn, swa_full, .. } = options;
    facts.push_str(&format!(", keys {type_k:?}, values {type_v:?}, flash {flash_attn:?}, full {swa_full:?}"));
    Ok(format!("{:016x}", checksum(facts.as_bytes())))
}

/// The size of a file, and a checksum of its beginning and of samples of the rest. Two models of one shape differ in nearly
/// every byte of their tensors.
fn print_of(path: &Path) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut read = Vec::new();
    Read::by_ref(&mut file).take(HEADER).read_to_end(&mut read)?;
    let rest = size.saturating_sub(HEADER);
    for sample in 1..=SAMPLES.min(rest / SAMPLE) {
        file.seek(SeekFrom::Start(HEADER + rest / SAMPLES * sample - SAMPLE))?;
        Read::by_ref(&mut file).take(SAMPLE).read_to_end(&mut read)?;
    }
    Ok((size, checksum(&read)))
}

/// The files of a model: one, or all of a split one, found by name as llama.cpp finds them.
fn parts(first: &Path) -> Vec<PathBuf> {
    let split = || {
        let name = first.file_name()?.to_str()?;
        let (stem, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let stem = stem.strip_suffix("-00001")?;
        let count: u32 = count.parse().ok().filter(|count| (2..=999).contains(count))?;
        Some((1..=count).map(|part| first.with_file_name(format!("{stem}-{part:05}-of-{count:05}.gguf"))).collect())
    };
    split().unwrap_or_else(|| vec![first.to_owned()])
}

#[cfg(test)]
mod tests {
    use crate::engine::backend::LoadOptions;
    use crate::engine::states::identity::{HEADER, LLAMA_CPP, identity};
    use std::fs;

    #[test]
    fn it_follows_the_files_content_and_what_changes_a_state() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.gguf");
        let large = vec![7_u8; HEADER as usize + (1 << 20)];
        fs::write(&path, &large).unwrap();
        let options = LoadOptions::of(&path);
        let first = identity(&options, false).unwrap();
        assert_eq!(identity(&LoadOptions { n_ctx: Some(9), threads: Some(3), ..options.clone() }, false).unwrap(), first);
        assert_ne!(identity(&options, true).unwrap(), first);
        assert_ne!(identity(&LoadOptions { type_k: Some("q8_0".into()), ..options.clone() }, false).unwrap(), first);
        assert_ne!(identity(&LoadOptions { swa_full: Some(true), ..options.clone() }, false).unwrap(), first);
        for changed in [0, large.len() - 1] {
            let mut other = large.clone();
            other[changed] = 8;
            fs::write(&path, &other).unwrap();
            assert_ne!(identity(&options, false).unwrap(), first, "{changed}");
        }
        fs::write(&path, &large[1..]).unwrap();
        assert_ne!(identity(&options, false).unwrap(), first);
        assert!(identity(&LoadOptions::of(&dir.path().join("none.gguf")), false).is_err());
    }

    #[test]
    fn all_parts_of_a_split_model_count() {
        let dir = tempfile::tempdir().unwrap();
        let part = |n: u32| dir.path().join(format!("m-{n:05}-of-00002.gguf"));
        fs::write(part(1), "one").unwrap();
        assert!(identity(&LoadOptions::of(&part(1)), false).is_err(), "the second is missing");
        fs::write(part(2), "two").unwrap();
        let first = identity(&LoadOptions::of(&part(1)), false).unwrap();
        fs::write(part(2), "too").unwrap();
        assert_ne!(identity(&LoadOptions::of(&part(1)), false).unwrap(), first);
    }

    #[test]
    fn the_version_is_the_one_that_is_built() {
        let manifest = include_str!("../../../Cargo.toml");
        assert!(manifest.contains(&format!("llama-cpp-sys-2 = {{ version = \"={LLAMA_CPP}\"")), "it names another version");
    }
}
