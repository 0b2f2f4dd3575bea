//! What a plan has to know of a model, from its header alone.

use crate::models::gguf::Header;
use crate::planner::anatomy::{Anatomy, holds_experts, layer_of};
use crate::units::{Bytes, Layers, Tokens};
use std::collections::BTreeSet;

/// A model as a plan sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub name: String,
    pub arch: String,
    pub layers: Layers,
    /// Experts of a layer, 0 where there are none.
    pub experts: u32,
    /// The layers that have experts, in order: the first layers of some mixtures are dense.
    pub expert_layers: Vec<u32>,
    pub file: Bytes,
    /// The window that the model was trained for; 0 when the file does not say.
    pub trained: Tokens,
    /// `None` for an architecture whose memory is not known beforehand: it is tried out.
    pub anatomy: Option<Anatomy>,
}

impl Shape {
    pub fn of(header: &Header) -> Self {
        let with_experts = header.tensors.iter().filter(|tensor| holds_experts(&tensor.name));
        let expert_layers: BTreeSet<u32> = with_experts.filter_map(|tensor| layer_of(&tensor.name)).collect();
        Self {
            name: header.name(),
            arch: header.arch().to_owned(),
            layers: header.layers(),
            experts: header.of_arch("expert_count").unwrap_or_default(),
            expert_layers: expert_layers.into_iter().collect(),
            file: header.size(),
            trained: header.trained_context(),
            anatomy: Anatomy::of(header),
        }
    }
}
