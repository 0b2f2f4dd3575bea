//! Files of another purpose, and models in several files.

use crate::models::gguf::error::shown;
use crate::models::gguf::header::Header;
use crate::models::gguf::value::{Kind, Value};
use crate::models::gguf::{Fault, GgufError, Need, container, read};
use crate::units::Bytes;
use std::collections::HashSet;
use std::path::PathBuf;

/// Architectures that cannot write by themselves: projectors for images, drafts that need the model they draft for,
/// encoders. llama.cpp refuses some, dies of others, and gets no text out of the rest.
const OTHER_KINDS: &[(&[&str], &str)] = &[
    (&["clip"], "an image or sound projector (mmproj)"),
    (&["eagle3", "dflash", "gemma4-assistant"], "a draft model that needs the model it drafts for"),
    (&["wavtokenizer-dec"], "a sound decoder"),
    (
        &[
            "bert",
            "modern-bert",
            "nomic-bert",
            "nomic-bert-moe",
            "neo-bert",
            "jina-bert-v2",
            "jina-bert-v3",
            "eurobert",
            "gemma-embedding",
            "llama-embed",
            "t5encoder",
        ],
        "an embedding model",
    ),
];

/// Refuses files that are no models, and says what they are.
pub(in crate::models::gguf) fn refuse_other_kinds(header: &Header, need: Need) -> Result<(), Fault> {
    let arch = match header.keys.get("general.architecture") {
        Some(Value::Str(arch)) if !arch.is_empty() => arch.as_str(),
        Some(Value::Str(_)) | None => return Err(Fault::Unusable("it names no architecture (`general.architecture`)".into())),
        Some(other) => return Err(Fault::Unusable(format!("`general.architecture` is of type {}, not string", other.kind()))),
    };
    let typed = header.text("general.type").unwrap_or("model");
    let is_lora = typed == "adapter" || header.keys.contains_key("adapter.type");
    match typed {
        _ if is_lora => return Err(Fault::NotAModel("an adapter (LoRA)".into())),
        "mmproj" => return Err(Fault::NotAModel(OTHER_KINDS[0].1.into())),
        "imatrix" => return Err(Fault::NotAModel("an importance matrix for quantising".into())),
        _ if need == Need::Tokenizer => return Ok(()),
        "vocab" => return Err(Fault::NoWeights),
        _ => {}
    }
    match OTHER_KINDS.iter().find(|(archs, _)| archs.contains(&arch)) {
        Some((_, what)) => Err(Fault::NotAModel((*what).to_owned())),
        None => Ok(()),
    }
}

/// Finds the other parts of a split model, checks them and takes their tensors into the first part's header.
pub(in crate::models::gguf) fn gather(first: &mut Header) -> Result<(), GgufError> {
    let path = first.path.clone();
    let at = |fault| GgufError { path: path.clone(), fault };
    let parts = sixteen_bits(first, "split.count").map_err(at)?.unwrap_or(0);
    if parts > 1 {
        let part = sixteen_bits(first, "split.no").map_err(at)?.unwrap_or(0);
        if part != 0 {
            return Err(at(Fault::NotFirstPart { part: part + 1, parts }));
        }
        let mut names: HashSet<String> = first.tensors.iter().map(|t| t.name.clone()).collect();
        for (index, path) in siblings(first, parts).map_err(at)?.into_iter().enumerate() {
            let number = index + 1;
            let part = part_header(path.clone(), number as u64, parts).map_err(|e| match e.fault {
                Fault::Missing => at(Fault::PartMissing { part: path.clone(), parts }),
                _ => e,
            })?;
            first.parts.push((path, Bytes(part.file_size)));
            for mut tensor in part.tensors {
                if !names.insert(tensor.name.clone()) {
                    return Err(at(Fault::Parts(format!("tensor `{}` is in two of them", shown(&tensor.name)))));
                }
                tensor.part = number;
                first.tensors.push(tensor);
            }
        }
        let expected = first.integer("split.tensors.count").unwrap_or(first.tensors.len() as i64);
        if expected != first.tensors.len() as i64 {
            return Err(at(Fault::Parts(format!("{expected} tensors are announced and {} there", first.tensors.len()))));
        }
    }
    if first.tensors.is_empty() { Err(at(Fault::NoWeights)) } else { Ok(()) }
}

fn part_header(path: PathBuf, number: u64, parts: u64) -> Result<Header, GgufError> {
    let check = || {
        let part = read::header(&path)?;
        container::check(&part)?;
        match sixteen_bits(&part, "split.no")? {
            Some(n) if n == number => Ok(part),
            Some(n) => {
                Err(Fault::Parts(format!("it is part {} of {parts} and stands in the place of part {}", n + 1, number + 1)))
            }
            None => Err(Fault::Parts("it does not say which part it is".into())),
        }
    };
    check().map_err(|fault| GgufError { path: path.clone(), fault })
}

/// llama.cpp reads these keys as u16 and, in the later parts, dies of any other type.
fn sixteen_bits(header: &Header, key: &str) -> Result<Option<u64>, Fault> {
    match header.keys.get(key) {
        None => Ok(None),
        Some(Value::Int(Kind::U16, n)) => Ok(Some(n.unsigned_abs())),
        Some(other) => Err(Fault::Parts(format!("`{key}` is of type {}, not u16", other.kind()))),
    }
}

/// The paths of the other parts, which llama.cpp derives from the first one's name.
fn siblings(first: &Header, parts: u64) -> Result<Vec<PathBuf>, Fault> {
    let name = first.path.file_name().unwrap_or_default().to_string_lossy();
    let suffix = format!("-00001-of-{parts:05}.gguf");
    let stem = name.strip_suffix(&suffix).filter(|s| !s.is_empty());
    let stem = stem.ok_or_else(|| Fault::Parts(format!("its name should end in `{suffix}`")))?;
    Ok((2..=parts).map(|part| first.directory().join(format!("{stem}-{part:05}-of-{parts:05}.gguf"))).collect())
}
