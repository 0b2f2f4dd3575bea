//! Whether the tensors are where the table says, whole, and of types that can be computed with.

use crate::models::gguf::Fault;
use crate::models::gguf::error::shown;
use crate::models::gguf::header::{Header, Tensor};
use crate::models::gguf::storage::Storage;
use crate::units::Bytes;

/// llama.cpp maps the file and hands the tensors to ggml where they lie; ggml asserts this (`TENSOR_ALIGNMENT`).
const MAPPED_ALIGNMENT: u64 = 32;

/// Checks the tensors of one file.
pub(in crate::models::gguf) fn check(header: &Header) -> Result<(), Fault> {
    let mut expected = 0u64;
    let mut end = 0u64;
    for tensor in &header.tensors {
        if tensor.offset != expected {
            let (name, offset) = (shown(&tensor.name), tensor.offset);
            return Err(Fault::Damaged(format!("tensor `{name}` is said to be at {offset} and belongs at {expected}")));
        }
        let next = tensor.bytes.checked_next_multiple_of(header.alignment).and_then(|b| expected.checked_add(b));
        end = expected.saturating_add(tensor.bytes);
        expected = next.ok_or_else(|| Fault::Damaged("its tensors are larger than can be addressed".into()))?;
        storage(tensor)?;
    }
    if !header.tensors.is_empty() && !header.data_start.is_multiple_of(MAPPED_ALIGNMENT) {
        return Err(Fault::Unusable(format!(
            "its tensors begin at {}, not at a multiple of {MAPPED_ALIGNMENT}",
            header.data_start
        )));
    }
    let missing =
        if header.tensors.is_empty() { 0 } else { header.data_start.saturating_add(end).saturating_sub(header.file_size) };
    if missing > 0 { Err(Fault::CutTensors { missing: Bytes(missing) }) } else { Ok(()) }
}

/// Weights that the kernels want as F32.
const ALWAYS_F32: &[&str] = &["_norm.weight", "attn_sinks.weight", "ssm_conv1d.weight", "shortconv.conv.weight"];

/// Refuses storage that ggml's kernels abort on. Every converter stores as F32 what is no `.weight`, and norms; tables of
/// token ids are integers.
fn storage(tensor: &Tensor) -> Result<(), Fault> {
    let name = tensor.name.as_str();
    if name.contains("tid2eid") || name.contains("d2t") {
        return Ok(());
    }
    let single = !name.ends_with(".weight") || ALWAYS_F32.iter().any(|end| name.ends_with(end));
    if (single && tensor.storage != Storage::F32) || !tensor.storage.is_weight() {
        let (name, kind) = (shown(name), tensor.storage.name);
        return Err(Fault::Unusable(format!("tensor `{name}` is stored as {kind}, which cannot be computed with")));
    }
    Ok(())
}
