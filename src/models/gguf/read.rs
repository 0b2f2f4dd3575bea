//! Reads a header: counts, metadata, tensor table.

use crate::models::gguf::Fault;
use crate::models::gguf::error::shown;
use crate::models::gguf::header::{Header, Tensor};
use crate::models::gguf::source::Source;
use crate::models::gguf::storage::Storage;
use crate::models::gguf::value::{Array, Kind, Value};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// The smallest key and the smallest tensor entry that the format can express, in bytes.
const SMALLEST_KEY: u64 = 8 + 1 + 4 + 1;
const SMALLEST_TENSOR: u64 = 8 + 4 + 4 + 8;
const HONEST: u64 = 1 << 16;
/// The format's own bound on keys.
const LONGEST_KEY: u64 = u16::MAX as u64;
/// ggml's `GGML_MAX_NAME`, without the closing NUL.
const LONGEST_NAME: u64 = 63;
/// Chat templates reach some 30 KB; beyond this a single string is a damaged length.
const LONGEST_STRING: u64 = 16 << 20;
/// `gguf.cpp` refuses longer strings and arrays.
const LONGEST_ITEM: u64 = 1 << 30;
/// Vocabularies have up to some 300,000 tokens and twice as many merges. Strings must be walked one by one, so a count
/// from a damaged file in front of a hole would take minutes.
const MOST_STRINGS: u64 = 1 << 24;
/// Per-layer arrays have up to 512 elements (`LLAMA_MAX_LAYERS`).
const FEW: u64 = 1024;
/// ggml's `GGML_MAX_DIMS`.
const MOST_DIMENSIONS: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;

/// Reads the header of a file.
pub(in crate::models::gguf) fn header(path: &Path) -> Result<Header, Fault> {
    let mut source = Source::open(path)?;
    if source.size == 0 {
        return Err(Fault::Empty);
    }
    let version = version(&mut source)?;
    let tensor_count = count(&mut source, "tensors", SMALLEST_TENSOR)?;
    let key_count = count(&mut source, "keys", SMALLEST_KEY)?;
    let keys = keys(&mut source, key_count)?;
    let alignment = alignment(&keys)?;
    let tensors = tensors(&mut source, tensor_count)?;
    let data_start = source.at.checked_next_multiple_of(alignment).unwrap_or(u64::MAX);
    Ok(Header { path: path.to_owned(), version, alignment, data_start, file_size: source.size, keys, tensors, parts: Vec::new() })
}

fn version(source: &mut Source) -> Result<u32, Fault> {
    let magic = source.bytes(source.left().min(4))?;
    if magic != b"GGUF" {
        let mut start = magic;
        start.extend(source.bytes(source.left().min(12))?);
        return Err(Fault::NotGguf(printable(&start)));
    }
    let version = source.u32()?;
    match version {
        2 | 3 => Ok(version),
        // Version 3 of the other byte order reads as 0x03000000; llama.cpp asks the same.
        v if v != 0 && v & 0xFFFF == 0 => Err(Fault::BigEndian),
        v => Err(Fault::Version(v)),
    }
}

fn printable(start: &[u8]) -> String {
    if start.iter().all(|&b| b == 0) {
        return "zeros".into();
    }
    format!("`{}`", start.escape_ascii())
}

fn count(source: &mut Source, what: &str, smallest: u64) -> Result<u64, Fault> {
    source.place = format!("the number of {what}");
    let claimed = source.u64()?;
    if claimed > source.left() / smallest {
        // The largest models have a few thousand of each: such a count is honest, and the file too short for it.
        if claimed < HONEST {
            return Err(Fault::CutHeader(source.place.clone()));
        }
        return Err(Fault::Damaged(format!("it claims {claimed} {what}, more than its {} bytes can hold", source.size)));
    }
    Ok(claimed)
}

fn keys(source: &mut Source, count: u64) -> Result<BTreeMap<String, Value>, Fault> {
    let mut keys = BTreeMap::new();
    for index in 0..count {
        source.place = format!("key {} of {count}", index + 1);
        let name = source.string(LONGEST_KEY)?;
        let name = match String::from_utf8(name) {
            Ok(name) if !name.is_empty() => name,
            _ => return Err(Fault::Damaged(format!("the name of key {} of {count} is no text", index + 1))),
        };
        source.place = format!("key `{}`", shown(&name));
        let value = value(source)?;
        if keys.contains_key(&name) {
            return Err(Fault::Damaged(format!("{} appears twice", source.place)));
        }
        keys.insert(name, value);
    }
    Ok(keys)
}

fn kind(source: &mut Source) -> Result<Kind, Fault> {
    let number = source.u32()?;
    Kind::from_number(number).ok_or_else(|| Fault::Damaged(format!("{} has the unknown type {number}", source.place)))
}

fn value(source: &mut Source) -> Result<Value, Fault> {
    let kind = kind(source)?;
    match (kind, kind.size()) {
        (Kind::Array, _) => array(source).map(Value::Array),
        (_, Some(size)) => Ok(Value::scalar(kind, source.padded(size)?)),
        (_, None) => Ok(Value::Str(String::from_utf8_lossy(&source.string(LONGEST_STRING)?).into_owned())),
    }
}

fn array(source: &mut Source) -> Result<Array, Fault> {
    let kind = kind(source)?;
    let len = source.u64()?;
    let most = if kind == Kind::Str { MOST_STRINGS } else { LONGEST_ITEM };
    if kind == Kind::Array || len > most {
        return Err(Fault::Damaged(format!("{} is an array of {len} × {kind}", source.place)));
    }
    let offset = source.at;
    let mut ints = None;
    match kind.size() {
        Some(size) if len <= FEW && !matches!(kind, Kind::F32 | Kind::F64) => {
            source.claim(len * size)?;
            let few = (0..len).map(|_| Ok(Value::scalar(kind, source.padded(size)?)));
            ints = Some(few.map(|v| v.map(integer)).collect::<Result<_, Fault>>()?);
        }
        Some(size) => source.skip(len * size)?,
        None => {
            source.claim(len * 8)?;
            for _ in 0..len {
                let bytes = source.u64()?;
                if bytes > LONGEST_ITEM {
                    return Err(Fault::CutHeader(source.place.clone()));
                }
                source.skip(bytes)?;
            }
        }
    }
    Ok(Array { kind, len, offset, bytes: source.at - offset, ints })
}

fn integer(value: Value) -> i64 {
    match value {
        Value::Int(_, n) => n,
        Value::Bool(b) => b.into(),
        _ => i64::MAX,
    }
}

fn alignment(keys: &BTreeMap<String, Value>) -> Result<u64, Fault> {
    match keys.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::Int(Kind::U32, n)) if *n > 0 && n.count_ones() == 1 => Ok(n.unsigned_abs()),
        Some(Value::Int(Kind::U32, n)) => Err(Fault::Damaged(format!("its alignment is {n}, not a power of two"))),
        Some(other) => Err(Fault::Damaged(format!("its alignment is of type {}, not u32", other.kind()))),
    }
}

fn tensors(source: &mut Source, count: u64) -> Result<Vec<Tensor>, Fault> {
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    for index in 0..count {
        source.place = format!("entry {} of {count} of its tensor table", index + 1);
        let name = source.string(LONGEST_NAME)?;
        let name = String::from_utf8(name).map_err(|_| Fault::Damaged(format!("the name in {} is no text", source.place)))?;
        let title = shown(&name);
        source.place = format!("the entry of tensor `{title}`");
        if !names.insert(name.clone()) {
            return Err(Fault::Damaged(format!("tensor `{title}` appears twice")));
        }
        let (dims, elements) = dimensions(source, &title)?;
        let number = source.u32()?;
        let storage = Storage::from_number(number)
            .ok_or_else(|| Fault::Damaged(format!("tensor `{title}` is stored as the unknown type {number}")))?;
        let row = dims.first().copied().unwrap_or(1);
        if row % storage.block != 0 {
            let Storage { name: kind, block, .. } = storage;
            return Err(Fault::Damaged(format!("tensor `{title}` has rows of {row} elements; {kind} stores them by {block}")));
        }
        let bytes = (elements / storage.block).checked_mul(storage.bytes).ok_or_else(|| too_large(&title))?;
        let offset = source.u64()?;
        tensors.push(Tensor { name, dims, storage, offset, elements, bytes, part: 0 });
    }
    Ok(tensors)
}

fn dimensions(source: &mut Source, title: &str) -> Result<(Vec<u64>, u64), Fault> {
    let n = source.u32()?;
    if n > MOST_DIMENSIONS {
        return Err(Fault::Damaged(format!("tensor `{title}` has {n} dimensions, more than {MOST_DIMENSIONS}")));
    }
    let dims = (0..n).map(|_| source.u64()).collect::<Result<Vec<_>, _>>()?;
    // ggml counts in `i64`.
    let elements = dims
        .iter()
        .try_fold(1u64, |all, &d| all.checked_mul(d).filter(|&e| e <= i64::MAX as u64 && d <= i64::MAX as u64))
        .ok_or_else(|| too_large(title))?;
    if elements == 0 {
        return Err(Fault::Damaged(format!("tensor `{title}` has a dimension of 0")));
    }
    Ok((dims, elements))
}

fn too_large(title: &str) -> Fault {
    Fault::Damaged(format!("tensor `{title}` has more elements than can be counted"))
}
