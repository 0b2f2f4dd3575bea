//! Memory in the words that a plan is made of: devices, what a load would take on each, and what the host can give.
//!
//! Nothing here knows llama.cpp, so that a plan can be made and tested without it; [`Allocator`] is where it stands behind.

use crate::engine::EngineError;
use crate::engine::backend::LoadOptions;
use crate::units::Bytes;
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

/// A device that llama.cpp computes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub name: String,
    /// `gpu`, `igpu`, `accel` or `cpu`.
    pub kind: String,
    /// What its maker calls it; empty when nobody says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub total: Bytes,
    pub free: Bytes,
}

impl Device {
    /// Whether its memory is the host's: an integrated device's, and all of Apple's.
    pub fn shares_host_memory(&self) -> bool {
        self.kind == "igpu" || self.name.starts_with("MTL") || self.name == "Metal"
    }
}

/// A device that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imaginary {
    pub name: String,
    pub total: Bytes,
    pub free: Bytes,
}

/// What loading would take, by llama.cpp's own allocator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Whether flash attention is used, chosen or asked for.
    pub flash_attn: bool,
    /// The accelerators in llama.cpp's order.
    pub devices: Vec<Share>,
    /// Weights that stay in the mapped file count here too: a model that is paged in for each token is no model.
    pub host: Share,
}

/// What one device holds of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    #[serde(flatten)]
    pub device: Device,
    #[serde(rename = "model")]
    pub weights: Bytes,
    #[serde(rename = "context")]
    pub kv: Bytes,
    pub compute: Bytes,
}

impl Share {
    pub fn need(&self) -> Bytes {
        self.weights + self.kv + self.compute
    }
}

/// What llama.cpp's own fit chose for a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Layers on the accelerators, the output counted as one; -1 is all.
    pub n_gpu_layers: i32,
    /// Each device's part of them; empty is llama.cpp's default, by free memory.
    pub tensor_split: Vec<f32>,
    /// Layers of which something, their experts first, stays on the host.
    pub overflowing: Vec<u32>,
}

/// Whoever can say what a load takes without loading.
pub trait Allocator {
    /// The accelerators that a load would use, in llama.cpp's order, with what is free now. Cheap.
    fn devices(&mut self) -> Result<Vec<Device>, EngineError>;

    /// Tries a load without allocating. Errors when llama.cpp would refuse the file or the options.
    fn trial(&mut self, options: &LoadOptions) -> Result<Trial, EngineError>;

    /// Places layers and experts so that each accelerator keeps its margin, for the window that is set. `None` when nothing
    /// was found.
    fn fit(&mut self, options: &LoadOptions, margins: &[Bytes]) -> Result<Option<Fit>, EngineError>;
}

/// Memory of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    pub total: Bytes,
    /// What can be taken without swapping.
    pub available: Bytes,
}

impl Host {
    /// Looks: the kernel's `MemAvailable`, or less where a control group allows less. `None` where the system does not say.
    pub fn look() -> Option<Self> {
        let host = Self::of_meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        let top = Path::new("/sys/fs/cgroup");
        // A limit of any group above holds as well. In a container the path may be the host's, and only the top is there.
        let group = top.join(own.trim_start_matches('/'));
        Some(group.ancestors().filter(|dir| dir.starts_with(top)).fold(host, |host, dir| {
            let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
            host.within(&read("memory.max"), &read("memory.current"), &read("memory.stat"))
        }))
    }

    /// Measures how many bytes per second all processors together read of its memory. Takes 128 MiB and some 100 ms.
    pub fn read_rate() -> f64 {
        /// Beyond the caches of what people have at home.
        const WORDS: usize = 16 << 20;
        let memory: Vec<u64> = (0..WORDS as u64).collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
        let pass = || {
            let start = Instant::now();
            std::thread::scope(|scope| {
                let sum = |part: &[u64]| black_box(part.iter().fold(0_u64, |sum, word| sum.wrapping_add(*word)));
                for part in memory.chunks(WORDS / threads + 1) {
                    scope.spawn(move || sum(part));
                }
            });
            (WORDS * size_of::<u64>()) as f64 / start.elapsed().as_secs_f64().max(1e-6)
        };
        // The best of a few: others may be busy.
        (0..3).map(|_| pass()).fold(0.0, f64::max)
    }

    fn of_meminfo(text: &str) -> Option<Self> {
        let bytes = |key: &str| {
            let kib =
                text.lines().find_map(|line| line.strip_prefix(key))?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
            Some(Bytes(kib * 1024))
        };
        Some(Self { total: bytes("MemTotal:")?, available: bytes("MemAvailable:")? })
    }

    /// The same host as a control group sees it, by the contents of its files. `max` without a number is no limit.
    fn within(self, max: &str, current: &str, stat: &str) -> Self {
        let Ok(max) = max.trim().parse::<u64>() else { return self };
        if max >= self.total.0 {
            return self;
        }
        let number = |text: &str| text.trim().parse::<u64>().unwrap_or(0);
        // Pages of files are given back when memory is asked for, the model's own from its last load among them.
        let spare = |key: &str| stat.lines().find_map(|line| line.strip_prefix(key)).map_or(0, number);
        let held = number(current).saturating_sub(spare("inactive_file ")).saturating_sub(spare("active_file "));
        Self { total: Bytes(max), available: self.available.min(Bytes(max.saturating_sub(held))) }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::memory::Host;
    use crate::units::Bytes;

    const MEMINFO: &str = "MemTotal:       1000 kB\nMemFree:         10 kB\nMemAvailable:    800 kB\n";

    #[test]
    fn available_is_the_kernels_figure() {
        let host = Host::of_meminfo(MEMINFO).unwrap();
        assert_eq!(host, Host { total: Bytes(1_024_000), available: Bytes(819_200) });
        assert_eq!(Host::of_meminfo("MemTotal: 5 kB\n"), None);
    }

    #[test]
    fn a_control_group_lowers_it_and_never_raises_it() {
        let host = Host::of_meminfo(MEMINFO).unwrap();
        assert_eq!(host.within("max\n", "5\n", ""), host);
        assert_eq!(host.within("", "", ""), host);
        assert_eq!(host.within("9999999999\n", "5\n", ""), host);
        let limited = host.within("500000\n", "300000\n", "anon 1\ninactive_file 60000\nactive_file 40000\n");
        assert_eq!(limited, Host { total: Bytes(500_000), available: Bytes(300_000) });
        assert_eq!(host.within("1000\n", "5000\n", "").available, Bytes::ZERO);
        assert_eq!(host.within("1000000\n", "0\n", "").available, host.available);
    }
}
