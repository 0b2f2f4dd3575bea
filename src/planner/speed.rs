//! How fast a placement is: from what each token reads and what a prompt computes.
//!
//! The time of a token is what it reads over what memory gives, plus something for each layer. The figures of devices are
//! the makers' (`bandwidth.tsv`); how much of them is reached was read off published measurements (see the constants). A
//! prediction is no measurement: it ranks placements, and tells a person what to expect.

use crate::engine::memory::Device;
use crate::planner::anatomy::{Anatomy, Layer, Past};
use crate::planner::placement::Placement;
use crate::units::Tokens;
use serde::Serialize;

const TABLE: &str = include_str!("bandwidth.tsv");

/// Parts of a device's bandwidth that are reached by dense weights (0.81-0.86 on an RTX 3080), by experts (gpt-oss-20b on an
/// RTX 3090) and by the cache.
const DENSE: f64 = 0.83;
const EXPERTS: f64 = 0.5;
const CACHE: f64 = 0.7;
/// Part of what the host's memory was measured to give that is reached in arithmetic.
const ON_HOST: f64 = 0.8;
/// Part of the makers' matrix throughput that prefill reaches.
const PREFILL: f64 = 0.4;
/// Seconds that a layer takes beside reading, on a device: gpt-oss-20b's 24 layers take some 2 ms of it, a dense model's half.
const LAYER: f64 = 40e-6;
const MIXED_LAYER: f64 = 80e-6;
/// Bytes per second from the host to a device: PCIe 4.0 with sixteen lanes gives about this to plain memory.
const BUS: f64 = 12e9;
/// A device and a host that nothing is known of. They only rank placements: no speed is told that rests on them.
const SOME_DEVICE: Rate = Rate { read: 400e9, compute: 60e12, known: false };
const SOME_HOST: f64 = 40e9;
/// Operations of the host per byte that its memory gives: eight cores with AVX2 and two channels are near this.
const HOST_OPERATIONS: f64 = 8.0;

/// A typical turn: what is read of the project, and what is answered.
const PROMPT: f64 = 2048.0;
const ANSWER: f64 = 300.0;

/// What a device gives, per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Bytes read.
    pub read: f64,
    /// Operations, two for a product and its sum.
    pub compute: f64,
    /// Whether a prediction may rest on it.
    pub known: bool,
}

impl Rate {
    /// Finds a device by its description or its name.
    pub fn of(device: &Device) -> Self {
        named(&device.description).or_else(|| named(&device.name)).unwrap_or(SOME_DEVICE)
    }

    /// A host whose memory gives so many bytes per second, where that was measured.
    pub fn of_host(read: Option<f64>) -> Self {
        let known = read.is_some_and(|read| read > 0.0);
        let read = read.filter(|_| known).unwrap_or(SOME_HOST);
        Self { read, compute: read * HOST_OPERATIONS, known }
    }
}

/// The row of the table with the longest name that is in this one, word for word.
fn named(name: &str) -> Option<Rate> {
    let words = |text: &str| text.to_lowercase().split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect::<Vec<_>>();
    let given = words(name);
    let rows = TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.split('\t');
        let name = words(fields.next()?);
        let numbers: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
        let [bits, rate, teraflops] = numbers[..] else { return None };
        Some((name, Rate { read: bits / 8.0 * rate * 1e9, compute: teraflops * 1e12, known: true }))
    });
    let fits = |row: &[String]| given.windows(row.len()).any(|part| part == row);
    rows.filter(|(name, _)| fits(name)).max_by_key(|(name, _)| name.len()).map(|(_, rate)| rate)
}

/// Tokens per second; `None` where nothing is known to predict them from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Speed {
    pub prefill_tps: Option<f64>,
    /// Where the conversation is short; it becomes slower as the window fills.
    pub decode_tps: Option<f64>,
    /// Whether these are predictions and were not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_predicted: Option<bool>,
}

/// Seconds of one layer, or of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seconds {
    /// For a prompt of 2,048 tokens.
    pub prefill: f64,
    /// For one token.
    pub token: f64,
}

impl Seconds {
    /// What it adds to a typical turn.
    pub fn of_turn(self) -> f64 {
        self.prefill + ANSWER * self.token
    }
}

impl std::ops::Add for Seconds {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { prefill: self.prefill + other.prefill, token: self.token + other.token }
    }
}

/// The circumstances of a computation.
#[derive(Clone, Debug)]
pub struct Pace {
    pub devices: Vec<Rate>,
    pub host: Rate,
    pub ubatch: u32,
    /// Tokens that the conversation has.
    pub depth: Tokens,
}

/// Where a layer's weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    Device(usize),
    /// On a device, its experts on the host. `fetched`: a device computes large batches of them.
    Divided {
        device: usize,
        fetched: bool,
    },
    Host {
        fetched: bool,
    },
}

/// What one layer asks of memory and arithmetic, per token.
struct Demand {
    dense: f64,
    experts: f64,
    all_experts: f64,
    cache: f64,
    operations: f64,
    attention: f64,
}

impl Pace {
    /// The time of a layer.
    pub fn layer(&self, anatomy: &Anatomy, layer: &Layer, home: Home) -> Seconds {
        let fixed = if layer.experts.0 > 0 { MIXED_LAYER } else { LAYER };
        // Without experts there is nothing to divide.
        let home = match home {
            Home::Divided { device, .. } if layer.experts.0 == 0 => Home::Device(device),
            home => home,
        };
        self.seconds(&demand(anatomy, layer, self.depth), home, fixed)
    }

    /// The time of the output: of every token that is answered, and of one of each prompt.
    pub fn output(&self, anatomy: &Anatomy, home: Home) -> Seconds {
        let bytes = anatomy.output.0 as f64;
        let nothing = Demand { dense: bytes, experts: 0.0, all_experts: 0.0, cache: 0.0, operations: 0.0, attention: 0.0 };
        let home = if let Home::Divided { device, .. } = home { Home::Device(device) } else { home };
        let seconds = self.seconds(&nothing, home, LAYER);
        Seconds { prefill: seconds.token, ..seconds }
    }

    fn seconds(&self, demand: &Demand, home: Home, fixed: f64) -> Seconds {
        let Demand { dense, experts, all_experts, cache, operations, attention } = *demand;
        let batches = (PROMPT / f64::from(self.ubatch.max(1))).ceil();
        let host = self.host;
        // A batch of many tokens uses nearly all experts.
        let computed = |rate: Rate, bytes: f64| {
            let arithmetic = PROMPT * (operations + attention) / (rate.compute * PREFILL);
            arithmetic.max(batches * bytes / (rate.read * DENSE))
        };
        match home {
            Home::Device(device) => {
                let rate = self.devices[device];
                Seconds {
                    prefill: computed(rate, dense + all_experts),
                    token: dense / (DENSE * rate.read) + experts / (EXPERTS * rate.read) + cache / (CACHE * rate.read) + fixed,
                }
            }
            Home::Divided { device, fetched } => {
                let rate = self.devices[device];
                let away = if fetched { batches * all_experts / BUS } else { PROMPT * operations / host.compute };
                let token = dense / (DENSE * rate.read) + cache / (CACHE * rate.read) + experts / (ON_HOST * host.read);
                Seconds { prefill: computed(rate, dense) + away, token: token + 2.0 * fixed }
            }
            Home::Host { fetched } => {
                let bytes = dense + all_experts;
                let first = self.devices.first().filter(|_| fetched);
                let prefill = first.map_or(PROMPT * (operations + attention) / host.compute, |rate| {
                    computed(*rate, bytes) + batches * (bytes + cache) / BUS
                });
                let token = (dense + experts) / (ON_HOST * host.read) + cache / (CACHE * host.read);
                Seconds { prefill, token: token + fixed }
            }
        }
    }

    /// Seconds of a typical turn on a placement.
    pub fn turn(&self, anatomy: &Anatomy, placement: &Placement) -> f64 {
        self.sum(anatomy, &homes(placement)).of_turn()
    }

    /// The speed of a placement. `None` where it rests on a device that is not known.
    pub fn of_placement(&self, anatomy: &Anatomy, placement: &Placement) -> Speed {
        let homes = homes(placement);
        let known = |home: &Home| match home {
            Home::Device(device) => self.devices[*device].known,
            Home::Divided { device, .. } => self.devices[*device].known && self.host.known,
            Home::Host { .. } => self.host.known,
        };
        if !homes.iter().all(known) {
            return Speed::default();
        }
        let sum = self.sum(anatomy, &homes);
        // The processor's arithmetic is not known: it depends on more than its memory.
        let computed =
            homes.iter().all(|home| !matches!(home, Home::Host { fetched: false } | Home::Divided { fetched: false, .. }));
        let rounded = |tps: f64| (tps * 10.0).round() / 10.0;
        let said = |tps: f64| tps.is_finite().then(|| rounded(tps));
        Speed {
            prefill_tps: said(PROMPT / sum.prefill).filter(|_| computed),
            decode_tps: said(1.0 / sum.token),
            is_predicted: Some(true),
        }
    }

    fn sum(&self, anatomy: &Anatomy, homes: &[Home]) -> Seconds {
        let layers = anatomy.layers.iter().zip(homes).map(|(layer, home)| self.layer(anatomy, layer, *home));
        let output = homes.last().map(|home| self.output(anatomy, *home));
        layers.chain(output).fold(Seconds::default(), |sum, one| sum + one)
    }
}

/// Where each slot of a placement is.
fn homes(placement: &Placement) -> Vec<Home> {
    let fetched = placement.fetches() && !placement.counts().is_empty();
    let home = |slot: Option<(usize, bool)>| match slot {
        None => Home::Host { fetched },
        Some((device, false)) => Home::Device(device),
        Some((device, true)) => Home::Divided { device, fetched },
    };
    placement.homes().into_iter().map(home).collect()
}

fn demand(anatomy: &Anatomy, layer: &Layer, depth: Tokens) -> Demand {
    let share = if anatomy.of > 0 { anatomy.used as f64 / anatomy.of as f64 } else { 0.0 };
    let all_experts = layer.experts.0 as f64;
    let depth = f64::from(depth.0);
    let (cache, seen) = match layer.past {
        Past::Nothing => (0.0, 0.0),
        Past::State(bytes) => (bytes.0 as f64, 0.0),
        Past::Keys { key, value, sliding, .. } => {
            let seen = if sliding { depth.min(anatomy.sliding_window as f64) } else { depth };
            // Smaller caches are unpacked as they are read: they save memory, and hardly time.
            (seen * 2.0 * (key + value) as f64, seen)
        }
    };
    Demand {
        dense: layer.dense.0 as f64,
        experts: all_experts * share,
        all_experts,
        cache,
        operations: 2.0 * layer.multiplied as f64,
        attention: 4.0 * seen * layer.queries as f64,
    }
}

#[cfg(test)]
mod tests {
    use crate::planner::speed::{TABLE, named};

    #[test]
    fn every_row_of_the_table_is_read() {
        for row in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let name = row.split('\t').next().unwrap();
            let rate = named(name).unwrap_or_else(|| panic!("{row}"));
            assert!((30e9..9e12).contains(&rate.read) && (1e12..5e15).contains(&rate.compute), "{row}: {rate:?}");
        }
    }

    #[test]
    fn a_device_is_known_by_the_longest_name_that_it_bears() {
        let gigabytes = |name: &str| named(name).map(|rate| (rate.read / 1e9).round());
        assert_eq!(gigabytes("NVIDIA GeForce RTX 3090"), Some(936.0));
        assert_eq!(gigabytes("NVIDIA GeForce RTX 3090 Ti"), Some(1008.0));
        assert_eq!(gigabytes("RTX 3060 12GB"), Some(360.0));
        assert_eq!(gigabytes("NVIDIA H200"), Some(4800.0));
        assert_eq!(gigabytes("Apple M3 Max"), Some(410.0));
        assert_eq!(gigabytes("AMD Radeon RX 7900 XTX (RADV NAVI31)"), Some(960.0));
        assert_eq!(gigabytes("GPU0"), None);
        assert_eq!(gigabytes("RTX 30900"), None);
    }
}
