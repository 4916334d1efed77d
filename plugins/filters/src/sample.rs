use crate::path::{Found, Path};
use metlog_message::Severity;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Event, Filter, FilterEntry, inventory};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Settings of `sample`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleConfig {
    /// The part that passes: 0.1 is one in ten. 0 to 1.
    #[serde(deserialize_with = "rate")]
    pub rate: f64,
    /// Messages with the same value here pass together or not at all, in every program and after every restart; and
    /// what passes at a rate also passes at any higher one. Those without it, or with `null`, are drawn one by one.
    pub key: Option<Path>,
}

fn rate<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let rate = f64::deserialize(from)?;
    checked(rate).map_err(D::Error::custom)
}

fn checked(rate: f64) -> Result<f64, String> {
    let right = || format!("expected a part of all messages, 0 to 1, such as 0.1; found {rate}");
    if (0.0..=1.0).contains(&rate) { Ok(rate) } else { Err(right()) }
}

/// Passes a part of the messages.
#[derive(Debug)]
pub struct Sample {
    rate: f64,
    key: Option<Path>,
    dice: fastrand::Rng,
}

impl Sample {
    /// This part of all messages, each drawn for itself.
    ///
    /// # Errors
    /// If it is not 0 to 1.
    pub fn new(rate: f64) -> Result<Self, String> {
        Ok(Sample { rate: checked(rate)?, key: None, dice: fastrand::Rng::new() })
    }

    /// Together where this value is the same.
    #[must_use]
    pub fn by(self, key: Path) -> Self {
        Sample { key: Some(key), ..self }
    }

    fn passes(&self, key: &Found<'_>) -> bool {
        // As many bits as a float between 0 and 1 tells apart; 1 itself is never reached.
        let share = (mixed(key.as_written()) >> 11) as f64 / (1_u64 << 53) as f64;
        share < self.rate
    }
}

/// FNV-1a, whose upper bits are poor, and after it the finisher of MurmurHash3. Must never change: programs that know
/// nothing of each other sample the same traces by it.
fn mixed(bytes: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

impl Filter for Sample {
    fn keep(&mut self, event: &Event<'_>) -> bool {
        match self.key.as_ref().and_then(|key| key.find(event)) {
            None | Some(Found::Null) => self.dice.f64() < self.rate,
            Some(key) => self.passes(&key),
        }
    }

    fn peek(&mut self, event: &Event<'_>) -> bool {
        Sample { rate: self.rate, key: self.key.clone(), dice: self.dice.clone() }.keep(event)
    }

    fn decide(&self, kind: &str, severity: Severity) -> Option<bool> {
        if self.rate == 0.0 || self.rate == 1.0 {
            return Some(self.rate == 1.0);
        }
        self.key.as_ref()?.known(kind, severity).map(|key| self.passes(&key))
    }
}

impl Configured for Sample {
    type Config = SampleConfig;
    fn open(config: SampleConfig) -> Result<Self, String> {
        Ok(Sample { key: config.key, ..Sample::new(config.rate)? })
    }
}

inventory::submit! {
    FilterEntry::of::<Sample>("sample", &[], include_str!("../example-sample.toml"))
}

#[cfg(test)]
mod tests {
    use super::mixed;

    #[test]
    fn the_mixture_is_what_it_always_was() {
        assert_eq!(mixed(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(mixed(b"0af7651916cd43dd8448eb211c80319c"), 0xbc8e_95ca_3626_5c92);
    }
}
