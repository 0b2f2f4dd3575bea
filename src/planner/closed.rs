//! What a load takes, in closed form: weights, cache and compute buffers of each device, without asking llama.cpp.
//!
//! Weights and cache are exact (`llama-kv-cache.cpp`, `llama-memory-recurrent.cpp`). Compute buffers are what ggml's graph
//! allocator makes of a graph, which no formula says exactly: the terms here were fitted, by hand, to its figures for 33
//! models on imaginary devices, and err by a percent of a device's total, rarely by three. So the closed form searches, and
//! a trial confirms.

use crate::engine::backend::LoadOptions;
use crate::engine::memory::{Device, Share, Trial};
use crate::planner::anatomy::{Anatomy, Layer, Past};
use crate::planner::placement::Placement;
use crate::units::Bytes;

/// llama.cpp pads windows to this.
pub const WINDOW_STEP: u32 = 256;
/// Copies that a pipeline of several devices keeps of its inputs (`GGML_SCHED_MAX_COPIES`).
const COPIES: u64 = 4;
const F16: Cell = Cell { block: 1, bytes: 2 };

/// How a number of the cache is stored: `block` numbers in `bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    block: u64,
    bytes: u64,
}

impl Cell {
    /// A cache type by llama.cpp's name for it.
    pub fn named(name: &str) -> Option<Self> {
        let (block, bytes) = match name {
            "f32" => (1, 4),
            "f16" | "bf16" => (1, 2),
            "q8_0" => (32, 34),
            "q5_1" => (32, 24),
            "q5_0" => (32, 22),
            "q4_1" => (32, 20),
            "q4_0" | "iq4_nl" => (32, 18),
            _ => return None,
        };
        Some(Self { block, bytes })
    }

    fn row(self, numbers: u64) -> u64 {
        numbers / self.block * self.bytes
    }

    /// Whether attention unpacks it first.
    fn is_packed(self) -> bool {
        self != F16
    }

    fn is_quantized(self) -> bool {
        self.block > 1
    }
}

/// The settings of a load that decide about memory, beside the placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Padded.
    pub window: u32,
    pub ubatch: u32,
    pub outputs: u32,
    pub keys: Cell,
    pub values: Cell,
    pub flash: bool,
    pub swa_full: bool,
}

impl Settings {
    /// Reads options in which only the placement may be open. `None` for cache types that do not exist.
    pub fn of(options: &LoadOptions) -> Option<Self> {
        let cell = |name: &Option<String>| Cell::named(name.as_deref().unwrap_or("f16"));
        let (keys, values) = (cell(&options.type_k)?, cell(&options.type_v)?);
        let ubatch = options.n_ubatch.unwrap_or(512).max(1);
        Some(Self {
            window: options.n_ctx?.max(1).checked_next_multiple_of(WINDOW_STEP)?,
            ubatch,
            outputs: options.n_outputs.unwrap_or(1).min(ubatch),
            keys,
            values,
            flash: options.flash_attn != Some(false),
            swa_full: options.swa_full == Some(true),
        })
    }

    /// Whether llama.cpp makes such a cache: rows of whole blocks, and no quantized values without flash attention.
    pub fn suit(&self, anatomy: &Anatomy) -> bool {
        let whole = |cell: Cell, length: u64| length.is_multiple_of(cell.block);
        let suits = |layer: &Layer| match layer.past {
            Past::Keys { head_key, head_value, .. } => whole(self.keys, head_key) && whole(self.values, head_value),
            Past::Nothing | Past::State(_) => true,
        };
        (self.flash || !self.values.is_quantized()) && anatomy.layers.iter().all(suits)
    }
}

/// The part that a device has in the computation: it decides about the compute buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything is on this device.
    Alone,
    /// One of several that hold everything, in a pipeline. The last one has the output.
    Pipeline { last: bool },
    /// Fetches what the host holds, to compute large batches of it. `layers`: whole ones, with their caches.
    Fetching { layers: bool, last: bool },
    /// Computes what it holds while something else stays on the host.
    Beside { last: bool },
}

/// A model under some settings, reckoned once and asked often.
pub struct Reckoned<'a> {
    anatomy: &'a Anatomy,
    settings: Settings,
    /// Sums over the slots before this one, of layers and then the output.
    dense: Vec<u64>,
    experts: Vec<u64>,
    cache: Vec<u64>,
    peaks: Peaks,
}

/// The largest of all layers, in bytes of a physical batch.
struct Peaks {
    mask: u64,
    width: u64,
    feed: u64,
    attention: u64,
    output: u64,
    /// The caches of one layer, as they are stored.
    layer_cache: u64,
    inner: u64,
    largest: u64,
}

impl<'a> Reckoned<'a> {
    pub fn of(anatomy: &'a Anatomy, settings: Settings) -> Self {
        let sums = |each: &dyn Fn(&Layer) -> u64, output: u64| {
            let slots = anatomy.layers.iter().map(each).chain([output]);
            let mut sum = 0;
            [0].into_iter()
                .chain(slots.map(|bytes| {
                    sum += bytes;
                    sum
                }))
                .collect::<Vec<u64>>()
        };
        Self {
            dense: sums(&|layer| layer.dense.0, anatomy.output.0),
            experts: sums(&|layer| layer.experts.0, 0),
            cache: sums(&|layer| cache(layer, anatomy, settings), 0),
            peaks: peaks(anatomy, settings),
            anatomy,
            settings,
        }
    }

    /// Layers, and the output.
    pub fn slots(&self) -> usize {
        self.anatomy.layers.len() + 1
    }

    /// Weights and caches of some slots; the experts of those before `cut` stay on the host.
    pub fn held(&self, from: usize, cut: usize, to: usize) -> u64 {
        let between = |sums: &[u64], from: usize, to: usize| sums[to] - sums[from];
        between(&self.dense, from, to) + between(&self.cache, from, to) + between(&self.experts, cut, to)
    }

    /// The experts of some slots.
    pub fn experts(&self, from: usize, to: usize) -> u64 {
        self.experts[to] - self.experts[from]
    }

    fn cached(&self, from: usize, to: usize) -> u64 {
        self.cache[to] - self.cache[from]
    }

    /// What the host holds when the slots before `first` are its own, experts of others apart.
    pub fn host_held(&self, first: usize) -> u64 {
        // The output is the table of tokens itself where both are here.
        let twice = if first == self.slots() && self.anatomy.tied { self.anatomy.embedding.0 } else { 0 };
        self.anatomy.embedding.0 + self.held(0, 0, first) - twice
    }

    /// The compute buffer of a device.
    pub fn compute(&self, part: Part) -> u64 {
        let Peaks { mask, width, feed, attention, output, layer_cache, inner, largest } = self.peaks;
        match part {
            Part::Alone => mask + (output + 4 * width).max(feed + 4 * width).max(attention + 4 * width),
            Part::Pipeline { last: false } => COPIES * (mask + inner) + feed.max(attention) + 16 * width,
            Part::Pipeline { last: true } => {
                let answer = output + 9 * width;
                COPIES * (mask + 2 * inner) + answer.max(feed.max(attention) + 11 * width)
            }
            Part::Fetching { layers, last } => {
                let weights = mask + largest + feed + 4 * width;
                let unpacked = if self.settings.keys.is_packed() { 2 * width } else { 0 };
                // A hybrid's plain caches are not fetched: its attention stays where its neighbours are.
                let layers = layers && (inner == 0 || self.settings.keys.is_packed());
                let caches = if layers { mask + layer_cache + attention + 4 * width + unpacked } else { 0 };
                let answer = if last { output + 4 * width } else { 0 };
                weights.max(caches).max(answer)
            }
            Part::Beside { last } => {
                let answer = if last { output + width + 6 * inner } else { 0 };
                answer.max(mask + feed + 2 * width).max(mask + attention + 3 * width)
            }
        }
    }

    /// The compute buffer of the host. `alone`: it computes large batches of what it holds.
    pub fn host_compute(&self, alone: bool) -> u64 {
        let Peaks { mask, width, feed, output, .. } = self.peaks;
        mask + 4 * width + if alone { feed.max(output) } else { 0 }
    }

    /// What a placement takes, as the allocator would say it.
    pub fn trial(&self, placement: &Placement, devices: &[Device], cpu: Device) -> Trial {
        let slots = self.slots();
        let on_host = placement.slots_of(0).map_or(slots, |range| range.start as usize);
        let fetches = placement.fetches() && !devices.is_empty();
        let whole = placement.is_whole() && on_host == 0;
        let (mut shares, mut away) = (Vec::new(), 0);
        for (index, device) in devices.iter().enumerate() {
            let range = placement.slots_of(index).unwrap_or_default();
            let (from, to) = (range.start as usize, range.end as usize);
            let cut = (placement.cut(index) as usize).clamp(from, to);
            let last = to == slots && from < to;
            let part = match (whole, devices.len()) {
                (true, 1) => Part::Alone,
                (true, _) => Part::Pipeline { last },
                _ if index == 0 && fetches => Part::Fetching { layers: on_host > 0, last },
                _ => Part::Beside { last },
            };
            let idle = from == to && !matches!(part, Part::Fetching { .. });
            let (kv, compute) = (self.cached(from, to), if idle { 0 } else { self.compute(part) });
            let held = self.held(from, cut, to);
            away += self.experts(from, cut);
            shares.push(share(device.clone(), held - kv, kv, compute));
        }
        let held = self.host_held(on_host);
        let kv = self.cached(0, on_host);
        let alone = !fetches && (on_host > 0 || away > 0);
        let host = share(cpu, held - kv + away, kv, self.host_compute(alone));
        Trial { flash_attn: self.settings.flash, devices: shares, host }
    }

    /// The layers that have experts.
    pub fn expert_layers(&self) -> Vec<u32> {
        let layers = self.anatomy.layers.iter().enumerate();
        layers.filter(|(_, layer)| layer.experts > Bytes::ZERO).map(|(i, _)| i as u32).collect()
    }
}

fn share(device: Device, weights: u64, kv: u64, compute: u64) -> Share {
    Share { device, weights: Bytes(weights), kv: Bytes(kv), compute: Bytes(compute) }
}

/// Cells of a layer's cache.
fn cells(sliding: bool, anatomy: &Anatomy, settings: Settings) -> u64 {
    let window = u64::from(settings.window);
    if !sliding || settings.swa_full {
        return window;
    }
    window.min(anatomy.sliding_window + u64::from(settings.ubatch)).next_multiple_of(u64::from(WINDOW_STEP))
}

fn cache(layer: &Layer, anatomy: &Anatomy, settings: Settings) -> u64 {
    match layer.past {
        Past::Nothing => 0,
        Past::State(bytes) => bytes.0,
        Past::Keys { key, value, sliding, .. } => {
            cells(sliding, anatomy, settings) * (settings.keys.row(key) + settings.values.row(value))
        }
    }
}

fn peaks(anatomy: &Anatomy, settings: Settings) -> Peaks {
    let batch = 4 * u64::from(settings.ubatch);
    let most = |each: &dyn Fn(&Layer) -> u64| anatomy.layers.iter().map(each).max().unwrap_or(0);
    let kinds = |wanted: bool| anatomy.layers.iter().any(|l| matches!(l.past, Past::Keys { sliding, .. } if sliding == wanted));
    // One mask for each kind of cache, two bytes a cell.
    let masked = [false, true].into_iter().filter(|kind| kinds(*kind)).map(|kind| cells(kind, anatomy, settings)).sum::<u64>();
    let unpacked = |layer: &Layer| match layer.past {
        Past::Keys { key, value, sliding, .. } => {
            let numbers = if settings.keys.is_packed() { key } else { 0 } + if settings.values.is_packed() { value } else { 0 };
            2 * cells(sliding, anatomy, settings) * numbers
        }
        Past::Nothing | Past::State(_) => 0,
    };
    // Without flash attention the products of queries and keys are kept.
    let products = |layer: &Layer| match layer.past {
        Past::Keys { head_key, sliding, .. } if !settings.flash => {
            batch * cells(sliding, anatomy, settings) * layer.queries.checked_div(head_key).unwrap_or(0)
        }
        _ => 0,
    };
    Peaks {
        mask: u64::from(settings.ubatch) * masked * if settings.flash { 2 } else { 4 },
        width: batch * anatomy.width,
        feed: batch * most(&|layer| layer.peak),
        attention: most(&|layer| unpacked(layer) + products(layer) + batch * layer.queries),
        output: 4 * u64::from(settings.outputs) * anatomy.vocabulary,
        layer_cache: most(&|layer| if matches!(layer.past, Past::Keys { .. }) { cache(layer, anatomy, settings) } else { 0 }),
        inner: batch * anatomy.inner,
        largest: most(&|layer| layer.largest.0),
    }
}
