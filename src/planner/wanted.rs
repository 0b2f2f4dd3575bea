//! What a plan is asked for, beside the model: imaginary hardware, and the smallest window worth having.
//!
//! Sizes are read here as the contract writes them. Real hardware is not looked at.

pub use crate::engine::memory::Imaginary as Device;
use crate::units::{Bytes, Tokens};
use std::str::FromStr;

/// Wishes for a plan. What is `None` or empty is taken from the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub devices: Vec<Device>,
    pub host_memory: Option<Bytes>,
    pub min_ctx: Option<Tokens>,
    /// What stays free beyond the margin.
    pub reserve: Bytes,
}

/// A size as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub Bytes);

/// What is wrong with a size or a device.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unreadable {
    #[error("`{0}` is no size: write 24GiB, 11776MiB or bytes")]
    Size(String),
    #[error("`{0}` is no device: write NAME:SIZE or NAME:SIZE:FREE")]
    Device(String),
    #[error("`{0}` has more free memory than memory")]
    Free(String),
}

impl FromStr for Size {
    type Err = Unreadable;

    fn from_str(written: &str) -> Result<Self, Unreadable> {
        let bad = || Unreadable::Size(written.to_owned());
        let digits = written.find(|c: char| !c.is_ascii_digit()).unwrap_or(written.len());
        let factor: u64 = match &written[digits..] {
            "" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(bad()),
        };
        let number: u64 = written[..digits].parse().map_err(|_| bad())?;
        number.checked_mul(factor).map(|bytes| Self(Bytes(bytes))).ok_or_else(bad)
    }
}

impl FromStr for Device {
    type Err = Unreadable;

    fn from_str(written: &str) -> Result<Self, Unreadable> {
        let bad = || Unreadable::Device(written.to_owned());
        let mut parts = written.split(':');
        let name = parts.next().filter(|name| !name.is_empty()).ok_or_else(bad)?.to_owned();
        let total = parts.next().ok_or_else(bad)?.parse::<Size>()?.0;
        let free = parts.next().map_or(Ok(total), |free| free.parse::<Size>().map(|size| size.0))?;
        match parts.next() {
            Some(_) => Err(bad()),
            None if free > total => Err(Unreadable::Free(written.to_owned())),
            None => Ok(Self { name, total, free }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::planner::wanted::{Device, Size, Unreadable};
    use crate::units::Bytes;

    #[test]
    fn sizes_are_read_as_the_contract_writes_them() {
        let size = |written: &str| written.parse::<Size>().map(|size| size.0.0);
        assert_eq!(size("24GiB"), Ok(24 << 30));
        assert_eq!(size("11776MiB"), Ok(11776 << 20));
        assert_eq!(size("12345"), Ok(12345));
        for bad in ["", "GiB", "24GB", "24 GiB", "-1", "1.5GiB", "99999999999TiB"] {
            assert_eq!(size(bad), Err(Unreadable::Size(bad.into())), "{bad}");
        }
    }

    #[test]
    fn a_device_without_a_third_part_is_all_free() {
        let device = |written: &str| written.parse::<Device>();
        let gpu = |free| Device { name: "GPU0".into(), total: Bytes(24 << 30), free: Bytes(free) };
        assert_eq!(device("GPU0:24GiB"), Ok(gpu(24 << 30)));
        assert_eq!(device("GPU0:24GiB:1GiB"), Ok(gpu(1 << 30)));
        assert_eq!(device("GPU0:1GiB:2GiB"), Err(Unreadable::Free("GPU0:1GiB:2GiB".into())));
        for bad in ["GPU0", ":1GiB", "GPU0:1GiB:1GiB:1GiB"] {
            assert_eq!(device(bad), Err(Unreadable::Device(bad.into())), "{bad}");
        }
    }
}
