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

/// Refuses storage that ggml's kernels abort on: norms and biases are F32 in every conversion, matrices never integers
/// (tables of ids, which are, do not end in `.weight` or name what they map).
fn storage(tensor: &Tensor) -> Result<(), Fault> {
    let Tensor { name, dims, storage, .. } = tensor;
    let vector = dims.iter().skip(1).all(|&d| d == 1);
    let single = vector && (name.ends_with("_norm.weight") || name.ends_with(".bias"));
    let table = name.contains("tid2eid") || name.contains("d2t");
    if (single && *storage != Storage::F32) || (name.ends_with(".weight") && !table && !storage.is_weight()) {
        return Err(Fault::Unusable(format!(
            "tensor `{}` is stored as {}, which cannot be computed with",
            shown(name),
            storage.name
        )));
    }
    Ok(())
}
