//! Quantities with their unit in the type, so that tokens are never added to bytes.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident($repr:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $repr);

        impl $name {
            pub const ZERO: Self = Self(0);

            /// Subtracts, stopping at zero.
            pub fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                self.saturating_sub(other)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::ZERO, Add::add)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

quantity! {
    /// A number of tokens of the model's own vocabulary. Arithmetic saturates.
    Tokens(u32)
}
quantity! {
    /// A number of bytes. Arithmetic saturates.
    Bytes(u64)
}
quantity! {
    /// A number of transformer layers. Arithmetic saturates.
    Layers(u32)
}

impl Bytes {
    /// The amount in the unit that a person reads it in: `22.7 GiB`, `512 MiB`, `3 KiB`.
    pub fn spoken(self) -> String {
        const MIB: f64 = (1 << 20) as f64;
        match self.0 as f64 / MIB {
            mib if mib >= 1024.0 => format!("{:.1} GiB", mib / 1024.0),
            mib if mib >= 1.0 => format!("{mib:.0} MiB"),
            mib => format!("{:.0} KiB", mib * 1024.0),
        }
    }
}
