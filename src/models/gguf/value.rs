//! Metadata values, typed as the file types them.

use std::fmt;

/// A value's type, by GGUF's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    Str = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::Str,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Bytes per value; `None` for strings and arrays, which carry their length.
    pub fn size(self) -> Option<u64> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::Str | Self::Array => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
            Self::Str => "string",
            Self::Array => "array",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F64 => "f64",
        })
    }
}

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any integer type that fits; `Kind` says which it was.
    Int(Kind, i64),
    /// Above `i64::MAX`.
    Huge(u64),
    /// `f32` or `f64`.
    Float(Kind, f64),
    Bool(bool),
    /// Bytes that are no UTF-8 are replaced.
    Str(String),
    Array(Array),
}

impl Value {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Int(kind, _) | Self::Float(kind, _) => *kind,
            Self::Huge(_) => Kind::U64,
            Self::Bool(_) => Kind::Bool,
            Self::Str(_) => Kind::Str,
            Self::Array(_) => Kind::Array,
        }
    }

    /// A scalar of fixed size from its little-endian bytes, padded to eight.
    pub(in crate::models::gguf) fn scalar(kind: Kind, raw: [u8; 8]) -> Self {
        let [a, b, c, d, ..] = raw;
        match kind {
            Kind::U8 => Self::Int(kind, a.into()),
            Kind::I8 => Self::Int(kind, a.cast_signed().into()),
            Kind::U16 => Self::Int(kind, u16::from_le_bytes([a, b]).into()),
            Kind::I16 => Self::Int(kind, i16::from_le_bytes([a, b]).into()),
            Kind::U32 => Self::Int(kind, u32::from_le_bytes([a, b, c, d]).into()),
            Kind::I32 => Self::Int(kind, i32::from_le_bytes([a, b, c, d]).into()),
            Kind::F32 => Self::Float(kind, f32::from_le_bytes([a, b, c, d]).into()),
            Kind::F64 => Self::Float(kind, f64::from_le_bytes(raw)),
            Kind::Bool => Self::Bool(a != 0),
            Kind::I64 => Self::Int(kind, i64::from_le_bytes(raw)),
            Kind::U64 | Kind::Str | Kind::Array => {
                let number = u64::from_le_bytes(raw);
                i64::try_from(number).map_or(Self::Huge(number), |n| Self::Int(Kind::U64, n))
            }
        }
    }
}

/// An array that stays in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    pub kind: Kind,
    pub len: u64,
    /// Where its first element begins, and how many bytes all of them take.
    pub offset: u64,
    pub bytes: u64,
    /// The elements, when they are at most 1,024 integers or truth values.
    pub ints: Option<Vec<i64>>,
}
