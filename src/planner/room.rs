//! How much of free memory may be used, and what is lacking.

use crate::engine::backend::LoadOptions;
use crate::engine::memory::{Device, Host, Share, Trial};
use crate::planner::placed::Room;
use crate::units::Bytes;

/// What is left to others on each device: a display and a browser, and what a driver takes beside the allocator. The
/// figure is llama.cpp's own; of a small device an eighth, so that something is left to plan with.
const MARGIN: Bytes = Bytes(1 << 30);

/// What may be used of free memory, where nothing is pinned.
pub fn usable(free: Bytes) -> Bytes {
    free - MARGIN.min(Bytes(free.0 / 8))
}

/// The host's memory, and what is to stay free beyond the margin.
#[derive(Clone, Copy, Debug)]
pub struct Margins {
    pub host: Host,
    pub reserve: Bytes,
}

impl Margins {
    /// What is pinned may use all.
    fn of_device(&self, free: Bytes, asked: &LoadOptions) -> Bytes {
        (if is_placed(asked) { free } else { usable(free) }) - self.reserve
    }

    fn of_host(&self, asked: &LoadOptions) -> Bytes {
        let free = self.host.available;
        (if is_placed(asked) || asked.n_ctx.is_some() { free } else { usable(free) }) - self.reserve
    }

    /// What a plan may take.
    pub fn room(&self, devices: &[Device], asked: &LoadOptions) -> Room {
        Room {
            devices: devices.iter().map(|device| self.of_device(device.free, asked).0).collect(),
            shared: devices.iter().map(Device::shares_host_memory).collect(),
            host: self.of_host(asked).0,
        }
    }

    /// Bytes that each device and the host lack, in this order; zeros where it fits.
    pub fn excess(&self, trial: &Trial, asked: &LoadOptions) -> (Vec<Bytes>, Bytes) {
        let devices = trial.devices.iter().map(|share| share.need() - self.of_device(share.device.free, asked)).collect();
        (devices, needed_of_host(trial) - self.of_host(asked))
    }

    pub fn fits(&self, trial: &Trial, asked: &LoadOptions) -> bool {
        let (devices, host) = self.excess(trial, asked);
        devices.iter().chain([&host]).all(|lack| *lack == Bytes::ZERO)
    }

    /// What is lacking, for a person.
    pub fn lacks(&self, trial: &Trial, asked: &LoadOptions) -> Vec<String> {
        let rows = trial.devices.iter().map(|share| (share, share.need(), self.of_device(share.device.free, asked)));
        let rows = rows.chain([(&trial.host, needed_of_host(trial), self.of_host(asked))]);
        let short = rows.filter(|(_, need, room)| need > room);
        short
            .map(|(share, need, room)| {
                format!("{} has room for {} and needs {}", share.device.name, room.spoken(), need.spoken())
            })
            .collect()
    }
}

/// Memory that devices share with the host is the host's, and counted once.
pub fn needed_of_host(trial: &Trial) -> Bytes {
    let shared = trial.devices.iter().filter(|share| share.device.shares_host_memory());
    trial.host.need() + shared.map(Share::need).sum()
}

/// Whether a placement is pinned, in whole or in part.
fn is_placed(asked: &LoadOptions) -> bool {
    asked.n_gpu_layers.is_some() || asked.tensor_split.is_some() || asked.expert_layers_on_cpu.is_some()
}
