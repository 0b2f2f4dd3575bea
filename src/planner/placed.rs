//! The best placement of a reckoned model on given devices: exact, whatever the devices.
//!
//! Layers stand in a row, and each device takes a piece of it; the first piece is the host's. What a piece costs in memory and
//! in time does not depend on the other pieces, but for which part a device has in the whole, of which there are few. So the
//! best of all placements is found from the end, piece by piece, keeping for each beginning the placements that are not both
//! slower and hungrier for host memory than another. It is the best of a set that does not depend on how much memory there is:
//! more memory never gives a worse placement.

use crate::planner::anatomy::Anatomy;
use crate::planner::closed::{Part, Reckoned};
use crate::planner::placement::Placement;
use crate::planner::speed::{Home, Pace, Seconds};

/// What may be taken, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    pub devices: Vec<u64>,
    /// Whether a device's memory is the host's.
    pub shared: Vec<bool>,
    pub host: u64,
}

/// A placement and the seconds of a typical turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    pub placement: Placement,
    pub seconds: f64,
}

/// How the devices work together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Nothing stays on the host.
    Whole,
    /// The first device fetches what stays on the host: experts alone, or layers too.
    Fetching { layers: bool },
    /// What stays on the host is computed there.
    Apart,
}

const MODES: [Mode; 4] = [Mode::Whole, Mode::Fetching { layers: false }, Mode::Fetching { layers: true }, Mode::Apart];

/// The best end of a row: from some slot on, on the devices from some one on.
#[derive(Clone)]
struct End {
    seconds: f64,
    host: u64,
    /// Where the piece of the first of these devices ends, and where its experts begin to be on the device.
    to: usize,
    cut: usize,
    /// Which of the ends behind it goes on.
    next: usize,
}

/// Places everything that has a place. `None` when there is not enough memory, wherever things are put.
pub fn best(anatomy: &Anatomy, reckoned: &Reckoned<'_>, pace: &Pace, room: &Room) -> Option<Placed> {
    let times = Times::of(anatomy, pace);
    let found = MODES.iter().filter_map(|mode| Row { reckoned, times: &times, room, mode: *mode }.best());
    found.min_by(|a, b| a.seconds.total_cmp(&b.seconds))
}

/// The best placement that keeps nothing on the host.
pub fn whole(anatomy: &Anatomy, reckoned: &Reckoned<'_>, pace: &Pace, room: &Room) -> Option<Placed> {
    Row { reckoned, times: &Times::of(anatomy, pace), room, mode: Mode::Whole }.best()
}

/// Seconds of a typical turn, summed over the slots before each.
struct Times {
    /// By device: with its experts, with experts fetched from the host, with experts computed there.
    devices: Vec<[Vec<f64>; 3]>,
    fetched: Vec<f64>,
    apart: Vec<f64>,
}

impl Times {
    fn of(anatomy: &Anatomy, pace: &Pace) -> Self {
        let sums = |home: Home| {
            let layers = anatomy.layers.iter().map(|layer| pace.layer(anatomy, layer, home));
            let each = layers.chain([pace.output(anatomy, home)]).map(Seconds::of_turn);
            let mut sum = 0.0;
            [0.0]
                .into_iter()
                .chain(each.map(|one| {
                    sum += one;
                    sum
                }))
                .collect::<Vec<f64>>()
        };
        let of_device = |device| {
            let divided = |fetched| sums(Home::Divided { device, fetched });
            [sums(Home::Device(device)), divided(true), divided(false)]
        };
        Self {
            devices: (0..pace.devices.len()).map(of_device).collect(),
            fetched: sums(Home::Host { fetched: true }),
            apart: sums(Home::Host { fetched: false }),
        }
    }
}

struct Row<'a> {
    reckoned: &'a Reckoned<'a>,
    times: &'a Times,
    room: &'a Room,
    mode: Mode,
}

impl Row<'_> {
    fn best(&self) -> Option<Placed> {
        let (slots, devices) = (self.reckoned.slots(), self.room.devices.len());
        let mixed = self.reckoned.experts(0, slots) > 0;
        let needless = devices == 0 && self.mode != Mode::Apart;
        if needless || (self.mode == Mode::Fetching { layers: false } && !mixed) {
            return None;
        }
        // The ends behind the last device: nothing is left.
        let nothing = End { seconds: 0.0, host: 0, to: slots, cut: slots, next: 0 };
        let mut ends: Vec<Vec<Vec<End>>> = vec![Vec::new(); devices + 1];
        ends[devices] = (0..=slots).map(|from| if from == slots { vec![nothing.clone()] } else { Vec::new() }).collect();
        for device in (0..devices).rev() {
            ends[device] = (0..=slots).map(|from| self.ends(device, from, &ends[device + 1])).collect();
        }
        let firsts = match self.mode {
            Mode::Whole | Mode::Fetching { layers: false } => 0..1,
            Mode::Fetching { layers: true } | Mode::Apart => 1..slots + 1,
        };
        let complete = firsts.flat_map(|first| {
            let (time, held) = self.on_host(first);
            let ends = ends[0][first].iter().enumerate();
            ends.filter(move |(_, end)| end.host.saturating_add(held) <= self.room.host)
                .map(move |(index, end)| (end.seconds + time, first, index))
        });
        let (seconds, first, index) = complete.min_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(Placed { placement: self.placement(&ends, first, index), seconds })
    }

    /// Seconds and bytes of the host's piece.
    fn on_host(&self, first: usize) -> (f64, u64) {
        let fetched = self.mode != Mode::Apart;
        let time = if fetched { self.times.fetched[first] } else { self.times.apart[first] };
        let alone = !fetched && (first > 0 || !self.room.devices.is_empty());
        (time, self.reckoned.host_held(first).saturating_add(self.reckoned.host_compute(alone)))
    }

    fn ends(&self, device: usize, from: usize, behind: &[Vec<End>]) -> Vec<End> {
        let slots = self.reckoned.slots();
        let mut found = Vec::new();
        let to = if device + 1 == self.room.devices.len() { slots..slots + 1 } else { from..slots + 1 };
        for to in to {
            if behind[to].is_empty() || (self.divides(device) && self.reckoned.experts(from, to) == 0) {
                continue;
            }
            let Some((cut, held)) = self.piece(device, from, to) else { break };
            let away = self.reckoned.experts(from, cut);
            let shared = if self.room.shared[device] { held } else { 0 };
            let [whole, fetched, apart] = &self.times.devices[device];
            let divided = if self.mode == Mode::Apart { apart } else { fetched };
            let time = divided[cut] - divided[from] + whole[to] - whole[cut];
            for (next, end) in behind[to].iter().enumerate() {
                let host = end.host.saturating_add(away).saturating_add(shared);
                if host <= self.room.host {
                    found.push(End { seconds: end.seconds + time, host, to, cut, next });
                }
            }
        }
        found.sort_by(|a, b| a.seconds.total_cmp(&b.seconds).then(a.host.cmp(&b.host)));
        let mut least = u64::MAX;
        found.retain(|end| {
            end.host < least && {
                least = end.host;
                true
            }
        });
        found
    }

    /// The fewest experts that leave a device, and what it holds then. `None` when even all of them are not enough.
    fn piece(&self, device: usize, from: usize, to: usize) -> Option<(usize, u64)> {
        let slots = self.reckoned.slots();
        let last = to == slots && from < to;
        let part = match self.mode {
            Mode::Whole if self.room.devices.len() == 1 => Part::Alone,
            Mode::Whole => Part::Pipeline { last },
            Mode::Fetching { layers } if device == 0 => Part::Fetching { layers, last },
            _ => Part::Beside { last },
        };
        let idle = from == to && !matches!(part, Part::Fetching { .. });
        let compute = if idle { 0 } else { self.reckoned.compute(part) };
        let need = |cut: usize| self.reckoned.held(from, cut, to).saturating_add(compute);
        let room = self.room.devices[device];
        let least = if self.divides(device) { self.after_experts(from, to) } else { from };
        if need(least) <= room {
            return Some((least, need(least)));
        }
        if self.mode == Mode::Whole || need(to) > room {
            return None;
        }
        let (mut short, mut enough) = (least, to);
        while enough - short > 1 {
            let middle = short + (enough - short) / 2;
            *(if need(middle) <= room { &mut enough } else { &mut short }) = middle;
        }
        Some((enough, need(enough)))
    }

    /// Whether a device's first experts stay on the host in any case: fetching experts alone is what its name says only where
    /// there are some.
    fn divides(&self, device: usize) -> bool {
        device == 0 && self.mode == Mode::Fetching { layers: false }
    }

    /// Behind the first slot with experts of a piece; its end where it has none.
    fn after_experts(&self, from: usize, to: usize) -> usize {
        (from..to).find(|slot| self.reckoned.experts(*slot, slot + 1) > 0).map_or(to, |slot| slot + 1)
    }

    fn placement(&self, ends: &[Vec<Vec<End>>], first: usize, index: usize) -> Placement {
        let (mut from, mut index) = (first, index);
        let mut pieces = Vec::new();
        for row in &ends[..self.room.devices.len()] {
            let end = &row[from][index];
            pieces.push((end.to - from, end.cut));
            (from, index) = (end.to, end.next);
        }
        Placement::by_pieces(self.reckoned.expert_layers(), self.reckoned.slots(), &pieces, self.mode != Mode::Apart)
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::backend::LoadOptions;
    use crate::engine::memory::Device;
    use crate::planner::anatomy::{Anatomy, Layer, Past};
    use crate::planner::closed::{Reckoned, Settings};
    use crate::planner::placed::{Room, best};
    use crate::planner::placement::Placement;
    use crate::planner::room::needed_of_host;
    use crate::planner::speed::{Pace, Rate};
    use crate::units::{Bytes, Tokens};
    use proptest::prelude::*;
    use std::path::Path;

    const MIB: u64 = 1 << 20;

    fn layer(dense: u64, experts: u64) -> Layer {
        Layer {
            dense: Bytes(dense * MIB),
            experts: Bytes(experts * MIB),
            largest: Bytes((dense / 3 + experts / 3) * MIB),
            multiplied: (dense + experts / 8) * MIB,
            past: Past::Keys { key: 1024, value: 1024, head_key: 128, head_value: 128, sliding: false },
            peak: 3 * 4096,
            queries: 4096,
        }
    }

    /// A small model: which layers have experts is free, as are their sizes.
    fn model() -> impl Strategy<Value = Anatomy> {
        let layers = prop::collection::vec((20..200_u64, prop_oneof![Just(0), 100..800_u64]), 1..5);
        layers.prop_map(|layers| Anatomy {
            of: if layers.iter().any(|(_, experts)| *experts > 0) { 8 } else { 0 },
            used: 1,
            layers: layers.into_iter().map(|(dense, experts)| layer(dense, experts)).collect(),
            embedding: Bytes(100 * MIB),
            output: Bytes(100 * MIB),
            tied: false,
            vocabulary: 32_000,
            width: 4096,
            sliding_window: 0,
            inner: 0,
        })
    }

    fn devices(room: &Room) -> Vec<Device> {
        let kind = |shared: bool| if shared { "igpu" } else { "gpu" };
        let each = room.devices.iter().zip(&room.shared).enumerate();
        each.map(|(i, (free, shared))| Device {
            name: format!("GPU{i}"),
            kind: kind(*shared).into(),
            description: String::new(),
            total: Bytes(*free),
            free: Bytes(*free),
        })
        .collect()
    }

    /// All placements of so many slots, but those that the search leaves out: what is whole and not fetched for, and experts
    /// on the host without the first device's first.
    fn all(anatomy: &Anatomy, devices: usize) -> Vec<Placement> {
        let slots = anatomy.layers.len() + 1;
        let expert_layers: Vec<u32> =
            (0..anatomy.layers.len() as u32).filter(|l| anatomy.layers[*l as usize].experts > Bytes::ZERO).collect();
        let mut rows: Vec<Vec<(usize, usize)>> = vec![Vec::new()];
        for _ in 0..devices {
            let pieces = (0..=slots).flat_map(|length| (0..=slots).map(move |cut| (length, cut)));
            rows = rows.iter().flat_map(|row| pieces.clone().map(|piece| [&row[..], &[piece]].concat())).collect();
        }
        rows.retain(|row| row.iter().map(|(length, _)| length).sum::<usize>() <= slots);
        let fetching = [true, false].into_iter().flat_map(|fetches| rows.iter().map(move |row| (fetches, row)));
        fetching
            .map(|(fetches, row)| Placement::by_pieces(expert_layers.clone(), slots, row, fetches))
            .filter(|placement| {
                let on_host = placement.placed() < slots as u32;
                let first = placement.experts().first().is_some_and(|experts| *experts > 0);
                if placement.fetches() { on_host || placement.is_whole() || first } else { on_host }
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_placement_that_fits_is_quicker(
            anatomy in model(),
            free in prop::collection::vec((0..2_500_u64, any::<bool>()), 0..3),
            host in 100..4_000_u64,
        ) {
            let room = Room {
                devices: free.iter().map(|(mib, _)| mib * MIB).collect(),
                shared: free.iter().map(|(_, shared)| *shared).collect(),
                host: host * MIB,
            };
            let options = LoadOptions { n_ctx: Some(4096), n_ubatch: Some(128), ..LoadOptions::of(Path::new("m.gguf")) };
            let settings = Settings::of(&options).unwrap();
            let reckoned = Reckoned::of(&anatomy, settings);
            let devices = devices(&room);
            let rates = devices.iter().map(Rate::of).collect();
            let pace = Pace { devices: rates, host: Rate::of_host(None), ubatch: 128, depth: Tokens(4096) };
            let fits = |placement: &Placement| {
                let trial = reckoned.trial(placement, &devices, Device { kind: "cpu".into(), ..devices.first().cloned().unwrap_or(nowhere()) });
                trial.devices.iter().zip(&room.devices).all(|(share, room)| share.need().0 <= *room) && needed_of_host(&trial).0 <= room.host
            };
            let quickest = all(&anatomy, devices.len()).into_iter().filter(fits).map(|placement| pace.turn(&anatomy, &placement));
            let quickest = quickest.min_by(f64::total_cmp);
            let found = best(&anatomy, &reckoned, &pace, &room);
            prop_assert_eq!(found.is_some(), quickest.is_some());
            if let (Some(found), Some(quickest)) = (found, quickest) {
                prop_assert!(fits(&found.placement), "{:?}", found.placement);
                let turn = pace.turn(&anatomy, &found.placement);
                prop_assert!((turn - found.seconds).abs() < 1e-9 * turn, "{turn} and {}", found.seconds);
                prop_assert!(turn <= quickest * (1.0 + 1e-9), "{turn} and {quickest}");
            }
        }
    }

    fn nowhere() -> Device {
        Device { name: "CPU".into(), kind: "cpu".into(), description: String::new(), total: Bytes::ZERO, free: Bytes::ZERO }
    }
}
