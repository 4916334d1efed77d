//! Expanding what came compressed, without trust in what it says about itself.
//!
//! Output grows by what was really there, up to the lesser of two caps: the limit of expanded bodies, and the ratio
//! times what came. One layer only: what is inside is JSON or refused.

use super::ServerLimits;
use super::limits::{Exhausted, Share};
use super::snappy::unsnappy;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::Read;

/// Expands to this much whatever its ratio: short texts of much repetition are no attack.
const FREE: usize = 1024 * 1024;

/// Output is made and accounted for in such steps.
pub(super) const STEP: usize = 256 * 1024;

/// The largest window a zstd frame may ask for, as a power of two: 8 MiB, which every decoder has to support.
const WINDOW: u32 = 23;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Zstd,
    Snappy,
}

impl Coding {
    /// By the name in `Content-Encoding`, or the reason why not. None is `identity`.
    pub(super) fn named(name: &str) -> Result<Option<Self>, String> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Coding::Gzip)),
            "deflate" => Ok(Some(Coding::Deflate)),
            "zstd" => Ok(Some(Coding::Zstd)),
            "snappy" => Ok(Some(Coding::Snappy)),
            list if list.contains(',') => Err("a body has one Content-Encoding, not several in turn".to_owned()),
            other => {
                Err(format!("unknown Content-Encoding `{other}`; gzip, deflate, zstd, snappy and identity are known"))
            }
        }
    }

    /// By how a body begins.
    pub(super) fn sniff(body: &[u8]) -> Option<Self> {
        match body {
            [0x1f, 0x8b, ..] => Some(Coding::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Coding::Zstd),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Zstd => "zstd",
            Coding::Snappy => "snappy",
        }
    }
}

/// Why a body was not expanded.
#[derive(Debug)]
pub(super) enum Unexpanded {
    /// It is not what it says.
    Garbled(String),
    /// Beyond the limit.
    TooLarge,
    /// Beyond the ratio.
    Bomb,
    Exhausted,
}

impl From<Exhausted> for Unexpanded {
    fn from(_: Exhausted) -> Self {
        Unexpanded::Exhausted
    }
}

/// Expands a whole body.
pub(super) fn expand(
    coding: Coding,
    body: &[u8],
    limits: &ServerLimits,
    share: &mut Share,
) -> Result<Vec<u8>, Unexpanded> {
    let ratio = usize::try_from(limits.ratio).unwrap_or(usize::MAX);
    let most = usize::try_from(limits.expanded.bytes()).unwrap_or(usize::MAX);
    let cap = most.min(body.len().saturating_mul(ratio).max(FREE));
    let mut rest = body;
    let made = match coding {
        Coding::Gzip => fill(MultiGzDecoder::new(&mut rest), cap, share),
        // RFC 9110 means the zlib format; not every client has read it.
        Coding::Deflate if is_zlib(body) => fill(ZlibDecoder::new(&mut rest), cap, share),
        Coding::Deflate => fill(DeflateDecoder::new(&mut rest), cap, share),
        Coding::Zstd => {
            let garbled = |error: std::io::Error| Unexpanded::Garbled(error.to_string());
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&mut rest).map_err(garbled)?;
            decoder.window_log_max(WINDOW).map_err(garbled)?;
            fill(decoder, cap, share)
        }
        Coding::Snappy => unsnappy(&mut rest, cap, share),
    };
    match made? {
        Some(_) if !rest.is_empty() => Err(Unexpanded::Garbled("something follows its end".to_owned())),
        Some(made) => Ok(made),
        None if cap >= (body.len() - rest.len()).saturating_mul(ratio) => Err(Unexpanded::Bomb),
        None => Err(Unexpanded::TooLarge),
    }
}

/// All of it; none if that is more than the cap.
fn fill(mut from: impl Read, cap: usize, share: &mut Share) -> Result<Option<Vec<u8>>, Unexpanded> {
    let mut made = Vec::new();
    loop {
        // One byte beyond the cap tells whether there is more.
        let step = STEP.min(cap + 1 - made.len());
        share.grow(step)?;
        // Doubles as a Vec does, but not beyond the cap.
        if made.capacity() - made.len() < step {
            made.reserve_exact(made.len().max(step).min(cap + 1 - made.len()));
        }
        let read = from.by_ref().take(step as u64).read_to_end(&mut made);
        let read = read.map_err(|error| Unexpanded::Garbled(error.to_string()))?;
        if made.len() > cap {
            return Ok(None);
        }
        if read < step {
            return Ok(Some(made));
        }
    }
}

fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..]
        if method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)).is_multiple_of(31))
}
