//! The search in closed form: windows, batches and cache types, each with the best placement, and one trial to confirm.
//!
//! A choice is worth the seconds of a typical turn at the window's depth. Some choices also harm the answers, which no second
//! shows: a smaller cache type has to buy a tenth of the time, and the smallest one is taken only where nothing else fits.

use crate::engine::EngineError;
use crate::engine::backend::{LoadOptions, OUTPUTS};
use crate::engine::memory::{Allocator, Device, Share, Trial};
use crate::planner::PlanError;
use crate::planner::Request;
use crate::planner::anatomy::Anatomy;
use crate::planner::closed::{Reckoned, Settings, WINDOW_STEP};
use crate::planner::placed::{self, Placed, Room};
use crate::planner::placement::Placement;
use crate::planner::room::Margins;
use crate::planner::shape::Shape;
use crate::planner::speed::{Pace, Rate, Speed};
use crate::units::{Bytes, Tokens};

/// What an agent's task needs, and what it can do with when memory is short, largest first. No turn fits below the last.
pub const USEFUL: [u32; 7] = [32_768, 24_576, 16_384, 12_288, 8_192, 6_144, 4_096];
/// Taken where they cost nothing but free memory of accelerators.
const SPACIOUS: [u32; 4] = [131_072, 98_304, 65_536, 49_152];
/// The largest number that is padded already.
const LAST_WINDOW: u32 = u32::MAX / WINDOW_STEP * WINDOW_STEP;
/// Physical batches, largest first: each half costs time in prefill and frees what a batch computes with.
const BATCHES: [u32; 3] = [512, 256, 128];
/// Cache types worth choosing between by time, with what they have to buy; and the one for when nothing else fits.
const CACHES: [(&str, f64); 2] = [("f16", 1.0), ("q8_0", 1.1)];
const SMALLEST_CACHE: &str = "q4_0";
/// One answered token a batch instead of some: scoring then takes longer, which no turn shows.
const LAST_RESORT: f64 = 1.001;
/// How often a choice is mended by what a trial said.
const ROUNDS: usize = 6;
/// What a person who thinks of buying memory asks about.
pub const MORE: Bytes = Bytes(2 << 30);

/// Windows worth trying, each list largest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    pub spacious: Vec<u32>,
    pub useful: Vec<u32>,
}

impl Windows {
    pub fn of(shape: &Shape, asked: &LoadOptions, least: Option<Tokens>) -> Self {
        if let Some(pinned) = asked.n_ctx {
            return Self { spacious: Vec::new(), useful: vec![padded(pinned)] };
        }
        let trained = if shape.trained == Tokens::ZERO { USEFUL[0] } else { shape.trained.0 };
        let least = least.map(|tokens| padded(tokens.0));
        // What a person asks for holds even beyond what the model was trained for.
        let within = |window: &u32| *window <= trained && least.is_none_or(|least| *window >= least);
        let mut all: Vec<u32> = SPACIOUS.iter().chain(&USEFUL).copied().filter(within).collect();
        let whole = (trained / WINDOW_STEP * WINDOW_STEP).max(WINDOW_STEP);
        if whole < SPACIOUS[0] && (whole >= USEFUL[6] || all.is_empty()) && within(&whole) {
            all.push(whole);
        }
        all.extend(least);
        if all.is_empty() {
            all.push(whole);
        }
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.dedup();
        let (spacious, useful) = all.into_iter().partition(|&w| w > USEFUL[0].max(least.unwrap_or(0)));
        Self { spacious, useful }
    }

    pub fn smallest(&self) -> u32 {
        self.useful.last().copied().unwrap_or_default()
    }
}

/// A window as llama.cpp would allocate it.
pub fn padded(window: u32) -> u32 {
    window.clamp(1, LAST_WINDOW).next_multiple_of(WINDOW_STEP)
}

/// What is neither pinned nor computed.
pub fn settled(asked: &LoadOptions) -> LoadOptions {
    let mut options = asked.clone();
    let batch = options.n_batch.unwrap_or(512).max(1);
    options.n_batch = Some(batch);
    options.n_ubatch = Some(options.n_ubatch.unwrap_or(512).clamp(1, batch));
    options.n_outputs = Some(options.n_outputs.unwrap_or(OUTPUTS).clamp(1, batch));
    options.type_k.get_or_insert_with(|| "f16".into());
    options.type_v.get_or_insert_with(|| "f16".into());
    options.swa_full.get_or_insert(false);
    options
}

/// A placement that was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub options: LoadOptions,
    pub placement: Placement,
    pub trial: Trial,
}

/// What more memory would give.
#[derive(Clone, Debug, PartialEq)]
pub struct Richer {
    /// The device that has more, or the host.
    pub device: String,
    pub window: Tokens,
    pub placement: Placement,
    pub cache: Option<String>,
    /// How many times as fast a typical turn would be.
    pub faster: f64,
}

/// What stands before a search begins.
pub struct Search<'a> {
    anatomy: &'a Anatomy,
    asked: &'a LoadOptions,
    windows: &'a Windows,
    devices: &'a [Device],
    pinned: Option<&'a Placement>,
    rates: Vec<Rate>,
    host: Rate,
}

/// A choice in closed form.
struct Chosen {
    options: LoadOptions,
    placed: Placed,
}

/// How the cache may be stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caches {
    Any,
    /// What is asked for, and not smaller: llama.cpp refuses others here.
    AsAsked,
}

impl<'a> Search<'a> {
    /// `None` where the model's anatomy is not known.
    pub fn of(
        shape: &'a Shape,
        request: &Request<'a>,
        devices: &'a [Device],
        windows: &'a Windows,
        pinned: Option<&'a Placement>,
    ) -> Option<Self> {
        let rates = devices.iter().map(Rate::of).collect();
        let host = Rate::of_host(request.host_read);
        Some(Self { anatomy: shape.anatomy.as_ref()?, asked: request.asked, windows, devices, pinned, rates, host })
    }

    /// The best choice for which a trial agrees. What the trial finds beyond the closed form is taken from the room, and the
    /// choice made again: one round mends it, however many layers that is. `None` when there is no choice left.
    pub fn confirmed(&self, margins: Margins, allocator: &mut dyn Allocator) -> Result<Option<Found>, PlanError> {
        let mut room = margins.room(self.devices, self.asked);
        let mut caches = Caches::Any;
        for _ in 0..ROUNDS {
            let Some(Chosen { mut options, placed }) = self.chosen(&room, caches) else { return Ok(None) };
            let trial = match allocator.trial(&options) {
                Ok(trial) => trial,
                Err(EngineError::Load { .. }) if caches == Caches::Any && options.type_k != settled(self.asked).type_k => {
                    caches = Caches::AsAsked;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if margins.fits(&trial, self.asked) {
                options.flash_attn = Some(trial.flash_attn);
                return Ok(Some(Found { options, placement: placed.placement, trial }));
            }
            let (devices, host) = margins.excess(&trial, self.asked);
            for (room, excess) in room.devices.iter_mut().zip(devices) {
                *room = room.saturating_sub(excess.0);
            }
            room.host = room.host.saturating_sub(host.0);
        }
        Ok(None)
    }

    /// The predicted speed of a placement.
    pub fn speed(&self, found: &Found) -> Speed {
        let window = found.options.n_ctx.unwrap_or_default();
        // What a turn meets in a conversation that has begun, and not at the window's end.
        let depth = Tokens(window.min(2_048));
        self.pace(found.options.n_ubatch.unwrap_or(512), depth).of_placement(self.anatomy, &found.placement)
    }

    /// Seconds of a typical turn at the window's depth.
    pub fn turn(&self, found: &Found) -> f64 {
        let window = found.options.n_ctx.unwrap_or_default();
        self.pace(found.options.n_ubatch.unwrap_or(512), Tokens(window)).turn(self.anatomy, &found.placement)
    }

    /// What would be chosen with more memory on the largest device, or on the host where there is none. `None` where that is
    /// the same.
    pub fn richer(&self, margins: Margins) -> Option<Richer> {
        let before = margins.room(self.devices, self.asked);
        let largest = (0..before.devices.len()).max_by_key(|device| before.devices[*device]);
        let mut room = before.clone();
        let device = match largest {
            Some(device) => {
                room.devices[device] += MORE.0;
                if room.shared[device] {
                    room.host += MORE.0;
                }
                self.devices[device].name.clone()
            }
            None => {
                room.host += MORE.0;
                "the host".into()
            }
        };
        let now = self.chosen(&before, Caches::Any)?;
        let then = self.chosen(&room, Caches::Any)?;
        let faster = now.placed.seconds / then.placed.seconds;
        let same = then.options == now.options;
        (!same).then(|| Richer {
            device,
            window: Tokens(then.options.n_ctx.unwrap_or_default()),
            placement: then.placed.placement,
            cache: then.options.type_k,
            faster,
        })
    }

    fn pace(&self, ubatch: u32, depth: Tokens) -> Pace {
        Pace { devices: self.rates.clone(), host: self.host, ubatch, depth }
    }

    fn chosen(&self, room: &Room, caches: Caches) -> Option<Chosen> {
        let spacious = self.windows.spacious.iter().filter(|_| !self.devices.is_empty());
        let spacious = spacious.filter_map(|window| self.whole(*window, room));
        let useful = self.windows.useful.iter().filter_map(|window| {
            let chosen = self.quickest(*window, room, if caches == Caches::Any { &CACHES } else { &CACHES[..1] });
            let smallest = || self.quickest(*window, room, &[(SMALLEST_CACHE, 1.0)]).filter(|_| caches == Caches::Any);
            chosen.or_else(smallest)
        });
        spacious.chain(useful).next()
    }

    /// Everything on accelerators, in a window beyond the useful ones, with nothing given up for it.
    fn whole(&self, window: u32, room: &Room) -> Option<Chosen> {
        let options = LoadOptions { n_ctx: Some(window), ..settled(self.asked) };
        let placed = self.placed(&options, room, |reckoned, pace| placed::whole(self.anatomy, reckoned, pace, room))?;
        placed.placement.is_whole().then(|| self.finished(options, placed))
    }

    /// The choice with the quickest turn at a window.
    fn quickest(&self, window: u32, room: &Room, caches: &[(&str, f64)]) -> Option<Chosen> {
        let base = LoadOptions { n_ctx: Some(window), ..settled(self.asked) };
        let mut best: Option<(f64, Chosen)> = None;
        for (cache, harm) in caches.iter().filter(|(cache, _)| self.may_store(cache)) {
            for (batch, outputs, cost) in self.batches(&base) {
                let mut options = LoadOptions { n_ubatch: Some(batch), n_outputs: Some(outputs), ..base.clone() };
                if !self.cache_is_pinned() {
                    options.type_k = Some((*cache).to_owned());
                    options.type_v = Some((*cache).to_owned());
                }
                let placed = self.placed(&options, room, |reckoned, pace| placed::best(self.anatomy, reckoned, pace, room));
                let Some(placed) = placed else { continue };
                let cost = placed.seconds * harm * cost;
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, self.finished(options, placed)));
                }
            }
        }
        best.map(|(_, chosen)| chosen)
    }

    fn cache_is_pinned(&self) -> bool {
        self.asked.type_k.is_some() || self.asked.type_v.is_some()
    }

    /// What is pinned is tried under the name of the best there is.
    fn may_store(&self, cache: &str) -> bool {
        !self.cache_is_pinned() || cache == CACHES[0].0
    }

    /// Physical batches and answered tokens, with what they cost beside time.
    fn batches(&self, base: &LoadOptions) -> Vec<(u32, u32, f64)> {
        let (most, outputs) = (base.n_ubatch.unwrap_or(512), base.n_outputs.unwrap_or(1));
        let smaller = BATCHES.iter().copied().filter(|batch| *batch < most && self.asked.n_ubatch.is_none());
        let mut all: Vec<(u32, u32, f64)> =
            [most].into_iter().chain(smaller).map(|batch| (batch, outputs.min(batch), 1.0)).collect();
        let last = all.last().copied().filter(|_| self.asked.n_outputs.is_none() && outputs > 1);
        all.extend(last.map(|(batch, ..)| (batch, 1, LAST_RESORT)));
        all
    }

    /// A placement under some options: the pinned one where it fits, else what `place` finds.
    fn placed(
        &self,
        options: &LoadOptions,
        room: &Room,
        place: impl FnOnce(&Reckoned<'_>, &Pace) -> Option<Placed>,
    ) -> Option<Placed> {
        let settings = Settings::of(options).filter(|settings| settings.suit(self.anatomy))?;
        let reckoned = Reckoned::of(self.anatomy, settings);
        let pace = self.pace(settings.ubatch, Tokens(settings.window));
        let Some(pinned) = self.pinned else { return place(&reckoned, &pace) };
        // What puts nothing on accelerators does not need them, full as they may be.
        let alone = (pinned.placed() == 0).then(|| pinned.without_fetching());
        let fitting = [Some(pinned.clone()), alone].into_iter().flatten().find(|placement| {
            let trial = reckoned.trial(placement, self.devices, nowhere());
            let fits = |(share, room): (&Share, &u64)| share.need().0 <= *room;
            trial.devices.iter().zip(&room.devices).all(fits) && crate::planner::room::needed_of_host(&trial).0 <= room.host
        });
        fitting.map(|placement| Placed { seconds: pace.turn(self.anatomy, &placement), placement })
    }

    fn finished(&self, mut options: LoadOptions, placed: Placed) -> Chosen {
        placed.placement.apply(&mut options);
        Chosen { options, placed }
    }
}

/// A host for sums in which only the needs count.
fn nowhere() -> Device {
    Device { name: "CPU".into(), kind: "cpu".into(), description: String::new(), total: Bytes::ZERO, free: Bytes::ZERO }
}
