//! Which layers go to which accelerator, and whose experts stay on the host.
//!
//! The arithmetic is llama.cpp's (`load_tensors` in `llama-model.cpp`): the last `n_gpu_layers` of all layers and the output,
//! which counts as one more, are handed out in order, each device taking its part of the split.

use crate::engine::backend::LoadOptions;
use crate::engine::memory::Device;
use crate::planner::PlanError;
use crate::planner::shape::Shape;

/// llama.cpp's default split.
pub fn by_free(devices: &[Device]) -> Vec<f32> {
    let parts: Vec<f32> = devices.iter().map(|device| device.free.0 as f32).collect();
    // Devices that report nothing: equal parts, so that there is a split at all.
    if parts.iter().sum::<f32>() > 0.0 { parts } else { vec![1.0; parts.len()] }
}

/// The placement that the pins say; `None` when there are none. What is not pinned of it is llama.cpp's default.
pub fn pinned(shape: &Shape, asked: &LoadOptions, devices: &[Device]) -> Result<Option<Placement>, PlanError> {
    let fits = |key, given: Option<usize>| match given {
        Some(given) if given != devices.len() => Err(PlanError::Pinned { key, given, devices: devices.len() }),
        given => Ok(given.is_some()),
    };
    let split = fits("tensor_split", asked.tensor_split.as_ref().map(Vec::len))?;
    let experts = fits("expert_layers_on_cpu", asked.expert_layers_on_cpu.as_ref().map(Vec::len))?;
    if !split && !experts && asked.n_gpu_layers.is_none() {
        return Ok(None);
    }
    let default = by_free(devices);
    let given = asked.tensor_split.as_deref().filter(|split| split.iter().sum::<f32>() > 0.0);
    let placement = Placement::by_split(shape, asked.n_gpu_layers.unwrap_or(-1), given.unwrap_or(&default));
    let experts = asked.expert_layers_on_cpu.as_deref().unwrap_or_default();
    Ok(Some(placement.with_experts_on_host(experts)))
}

/// A placement on a model's layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Layers and output.
    slots: u32,
    /// Slots of each device, in order; what comes before them stays on the host.
    counts: Vec<u32>,
    /// For each device, how many of its layers keep their experts on the host, from the first one on.
    experts: Vec<u32>,
    /// Whether accelerators compute large batches of what stays on the host: that takes room on them, too.
    offload: bool,
    /// The model's layers that have experts.
    expert_layers: Vec<u32>,
}

impl Placement {
    /// Hands `n_gpu_layers` (-1: all) out by the parts of a split, which are positive or all zero.
    pub fn by_split(shape: &Shape, n_gpu_layers: i32, split: &[f32]) -> Self {
        let slots = shape.layers.0 + 1;
        let placed = u32::try_from(n_gpu_layers).map_or(slots, |n| n.min(slots));
        let mut counts = vec![0; split.len()];
        let total: f32 = split.iter().sum();
        let ends: Vec<f32> = split.iter().scan(0.0, |sum, part| Some(*sum + part).inspect(|now| *sum = *now)).collect();
        for slot in 0..if split.is_empty() { 0 } else { placed } {
            let at = slot as f32 / placed as f32;
            let device = ends.iter().position(|end| end / total > at).unwrap_or(split.len() - 1);
            counts[device] += 1;
        }
        Self { slots, experts: vec![0; counts.len()], counts, offload: true, expert_layers: shape.expert_layers.clone() }
    }

    /// Gives each device a piece of the row of slots, the last of which ends with it: how long it is, and before which slot
    /// its experts stay on the host.
    pub fn by_pieces(expert_layers: Vec<u32>, slots: usize, pieces: &[(usize, usize)], offload: bool) -> Self {
        let counts: Vec<u32> = pieces.iter().map(|(length, _)| *length as u32).collect();
        let mut placed = Self { slots: slots as u32, experts: vec![0; counts.len()], counts, offload, expert_layers };
        for (device, (_, cut)) in pieces.iter().enumerate() {
            placed.experts[device] = placed.experts_of(device).iter().filter(|layer| (**layer as usize) < *cut).count() as u32;
        }
        placed
    }

    /// Keeps the experts of so many layers of each device on the host; more than it has are all of them.
    pub fn with_experts_on_host(mut self, wanted: &[u32]) -> Self {
        for device in 0..self.counts.len() {
            let has = self.experts_of(device).len() as u32;
            self.experts[device] = wanted.get(device).map_or(0, |n| (*n).min(has));
        }
        self
    }

    /// Counts, for each device, the layers of this list.
    pub fn count(&self, layers: &[u32]) -> Vec<u32> {
        (0..self.counts.len()).map(|d| layers.iter().filter(|l| self.range(d).contains(l)).count() as u32).collect()
    }

    /// Takes the least harmful step that frees memory on a device: one layer's experts, then one layer, then the help with
    /// what stays on the host. False when it holds nothing any more.
    pub fn relieve(&mut self, device: usize) -> bool {
        if (self.experts[device] as usize) < self.experts_of(device).len() {
            self.experts[device] += 1;
            return true;
        }
        if self.counts[device] == 0 {
            return std::mem::replace(&mut self.offload, false);
        }
        self.counts[device] -= 1;
        // Layers moved between devices: nobody has more experts on the host than layers.
        let wanted = self.experts.clone();
        *self = self.clone().with_experts_on_host(&wanted);
        true
    }

    /// Writes the placement into options.
    pub fn apply(&self, options: &mut LoadOptions) {
        options.n_gpu_layers = Some(self.n_gpu_layers());
        options.tensor_split = Some(self.counts.iter().map(|n| *n as f32).collect());
        options.offload = Some(self.offload);
        options.expert_layers_on_cpu = Some(self.experts.clone());
        let first = |d: usize| self.experts_of(d).into_iter().take(self.experts[d] as usize);
        options.host_experts = (0..self.counts.len()).flat_map(first).collect();
    }

    /// -1 when everything is on accelerators.
    pub fn n_gpu_layers(&self) -> i32 {
        if self.placed() == self.slots { -1 } else { self.placed() as i32 }
    }

    /// Whether no layer and no expert stays on the host.
    pub fn is_whole(&self) -> bool {
        self.placed() == self.slots && self.experts.iter().all(|n| *n == 0)
    }

    /// Whether accelerators compute large batches of what stays on the host.
    pub fn fetches(&self) -> bool {
        self.offload
    }

    /// The same without that.
    pub fn without_fetching(&self) -> Self {
        Self { offload: false, ..self.clone() }
    }

    /// The slots of a device, layers and the output at the very end. `None` when there is no such device.
    pub fn slots_of(&self, device: usize) -> Option<std::ops::Range<u32>> {
        (device < self.counts.len()).then(|| self.range(device))
    }

    /// The slot before which a device's experts stay on the host.
    pub fn cut(&self, device: usize) -> u32 {
        let on_host = (self.experts[device] as usize).checked_sub(1);
        let last = on_host.and_then(|last| self.experts_of(device).get(last).copied());
        last.map_or(self.range(device).start, |layer| layer + 1)
    }

    /// For each slot its device, and whether its experts stay on the host; `None` for those that the host has.
    pub fn homes(&self) -> Vec<Option<(usize, bool)>> {
        let mut homes = vec![None; self.slots as usize];
        for device in 0..self.counts.len() {
            for slot in self.range(device) {
                let divided = slot < self.cut(device) && self.expert_layers.contains(&slot);
                homes[slot as usize] = Some((device, divided));
            }
        }
        homes
    }

    pub fn placed(&self) -> u32 {
        self.counts.iter().sum()
    }

    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    pub fn experts(&self) -> &[u32] {
        &self.experts
    }

    /// Slots of a device: layer numbers, and the output at the very end.
    fn range(&self, device: usize) -> std::ops::Range<u32> {
        let start = self.slots - self.placed() + self.counts[..device].iter().sum::<u32>();
        start..start + self.counts[device]
    }

    fn experts_of(&self, device: usize) -> Vec<u32> {
        let range = self.range(device);
        self.expert_layers.iter().copied().filter(|layer| range.contains(layer)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::backend::LoadOptions;
    use crate::planner::placement::Placement;
    use crate::planner::shape::Shape;
    use crate::units::{Bytes, Layers, Tokens};
    use std::path::Path;

    fn shape(layers: u32, expert_layers: impl Iterator<Item = u32>) -> Shape {
        let (name, arch) = ("m".into(), "a".into());
        let expert_layers = expert_layers.collect();
        Shape {
            name,
            arch,
            layers: Layers(layers),
            experts: 4,
            expert_layers,
            file: Bytes(1),
            trained: Tokens(4096),
            anatomy: None,
        }
    }

    #[test]
    fn layers_are_handed_out_as_llama_cpp_does() {
        let shape = shape(9, 0..0);
        let counts = |n, split: &[f32]| Placement::by_split(&shape, n, split).counts().to_vec();
        assert_eq!(counts(-1, &[1.0, 1.0]), [5, 5]);
        assert_eq!(counts(-1, &[3.0, 1.0]), [8, 2], "the layer at the border is the first one's");
        assert_eq!(counts(4, &[1.0, 1.0]), [2, 2]);
        assert_eq!(counts(99, &[1.0]), [10]);
        assert_eq!(counts(0, &[1.0, 1.0]), [0, 0]);
        assert_eq!(counts(-1, &[]), [0; 0]);
        assert_eq!(counts(7, &[2.0, 5.0]), [2, 5], "counts are their own split");
    }

    #[test]
    fn experts_stay_on_the_host_from_each_devices_first_expert_layer_on() {
        let shape = shape(7, 1..7);
        let placed = Placement::by_split(&shape, -1, &[1.0, 1.0]).with_experts_on_host(&[2, 9]);
        assert_eq!((placed.counts(), placed.experts()), (&[4, 4][..], &[2, 3][..]));
        let mut options = LoadOptions::of(Path::new("m.gguf"));
        placed.apply(&mut options);
        assert_eq!((options.n_gpu_layers, options.host_experts), (Some(-1), vec![1, 2, 4, 5, 6]));
        assert!(!placed.is_whole());
    }

    #[test]
    fn pieces_are_what_they_were_cut_to() {
        let placed = Placement::by_pieces((1..7).collect(), 8, &[(3, 3), (4, 6)], true);
        assert_eq!((placed.counts(), placed.experts()), (&[3, 4][..], &[2, 2][..]));
        assert_eq!((placed.cut(0), placed.cut(1), placed.n_gpu_layers()), (3, 6, 7));
        assert_eq!(placed.homes()[..5], [None, Some((0, true)), Some((0, true)), Some((0, false)), Some((1, true))]);
    }

    #[test]
    fn relief_takes_experts_before_layers_and_ends() {
        let shape = shape(3, 1..3);
        let mut placed = Placement::by_split(&shape, -1, &[1.0]);
        let mut seen = Vec::new();
        while placed.relieve(0) {
            seen.push((placed.placed(), placed.experts()[0]));
        }
        assert_eq!(seen, [(4, 1), (4, 2), (3, 2), (2, 1), (1, 0), (0, 0), (0, 0)]);
        assert!(!placed.offload);
    }
}
