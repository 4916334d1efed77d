//! Sizes that carry their unit: `"10 MiB"`.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

const UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kb", 1000),
    ("mb", 1000 * 1000),
    ("gb", 1000 * 1000 * 1000),
    ("tb", 1000 * 1000 * 1000 * 1000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

const RIGHT: &str = "a size such as `512 KiB`, `10 MiB` or `1 GB`, or a number of bytes";

/// A number of bytes. Written as a plain number or with a unit: KiB, MiB, GiB, TiB count in 1024s, kB, MB, GB, TB in
/// 1000s; case and the space before it do not matter. A lone `M` is refused, because people mean either by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(pub u64);

impl Size {
    /// How many bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not {RIGHT}");
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at_checked(end).ok_or_else(wrong)?;
        let unit = unit.trim().to_ascii_lowercase();
        if let "k" | "m" | "g" | "t" = unit.as_str() {
            let unit = unit.to_ascii_uppercase();
            return Err(format!(
                "`{text}` can be meant in two ways; write {number} {unit}iB (1024s) or {number} {unit}B (1000s)"
            ));
        }
        let known = UNITS.iter().find(|(name, _)| *name == unit || (unit.is_empty() && *name == "b"));
        let (_, factor) = known.ok_or_else(wrong)?;
        let too_large = || format!("`{text}` is more than 2^64 bytes");
        if number.contains('.') {
            let bytes = number.parse::<f64>().map_err(|_| wrong())? * *factor as f64;
            return if bytes < 2f64.powi(64) { Ok(Size(bytes.round() as u64)) } else { Err(too_large()) };
        }
        if number.is_empty() {
            return Err(wrong());
        }
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
        bytes.map(Size).ok_or_else(too_large)
    }
}

impl fmt::Display for Size {
    /// In the largest unit that loses nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.into_iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{} {unit}", self.0 / factor),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sizes;
        impl Visitor<'_> for Sizes {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(RIGHT)
            }
            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }
            fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes).map(Size).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Sizes)
    }
}
