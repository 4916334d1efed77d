//! Compressing what is sent, by size.

use serde::Deserialize;
use std::io::Write;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// zstd; a peer that answers 415 gets gzip from then on, and after another 415 plain text.
    #[default]
    Auto,
    /// gzip, which everything understands; several times the work of zstd for the same result.
    Gzip,
    /// zstd.
    Zstd,
    /// Not at all.
    None,
}

/// Whether and how to compress one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compress {
    /// With what.
    pub codec: Codec,
    /// Only bodies of at least this many bytes: below about a kilobyte there is nothing to gain.
    pub above: usize,
}

impl Compress {
    /// As it is.
    pub const NONE: Compress = Compress { codec: Codec::None, above: 0 };

    /// Whatever its size.
    pub const fn always(codec: Codec) -> Self {
        Compress { codec, above: 0 }
    }
}

/// Compresses, and remembers what the peer did not understand.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// How often `auto` has stepped down.
    steps: usize,
}

impl Encoder {
    fn choose(&self, compress: &Compress, length: usize) -> Codec {
        if length < compress.above {
            return Codec::None;
        }
        match (compress.codec, self.steps) {
            (Codec::Auto, 0) => Codec::Zstd,
            (Codec::Auto, 1) => Codec::Gzip,
            (Codec::Auto, _) => Codec::None,
            (fixed, _) => fixed,
        }
    }

    /// The next simpler coding, if `auto` leaves one.
    pub(super) fn step_down(&mut self, compress: &Compress, length: usize) -> bool {
        let may = compress.codec == Codec::Auto && self.choose(compress, length) != Codec::None;
        self.steps += usize::from(may);
        may
    }

    /// The compressed body and its `Content-Encoding`; neither when it stays as it is.
    pub(super) fn encode(
        &self,
        body: &[u8],
        compress: &Compress,
    ) -> Result<(Option<Vec<u8>>, Option<&'static str>), String> {
        let failed = |error: std::io::Error| format!("cannot compress {} bytes: {error}", body.len());
        match self.choose(compress, body.len()) {
            Codec::Zstd => Ok((Some(zstd::bulk::compress(body, 1).map_err(failed)?), Some("zstd"))),
            Codec::Gzip => {
                let room = Vec::with_capacity(body.len() / 4);
                let mut gzip = flate2::write::GzEncoder::new(room, flate2::Compression::fast());
                gzip.write_all(body).map_err(failed)?;
                Ok((Some(gzip.finish().map_err(failed)?), Some("gzip")))
            }
            Codec::None | Codec::Auto => Ok((None, None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn compresses_from_the_threshold_on() {
        let encoder = Encoder::default();
        let compress = Compress { codec: Codec::Auto, above: 1024 };
        assert_eq!(encoder.encode(&[b'a'; 1023], &compress).unwrap(), (None, None));
        let (body, coding) = encoder.encode(&[b'a'; 1024], &compress).unwrap();
        assert_eq!(coding, Some("zstd"));
        assert_eq!(zstd::decode_all(body.unwrap().as_slice()).unwrap(), [b'a'; 1024]);
    }

    #[test]
    fn gzip_comes_back_the_same() {
        let (body, coding) = Encoder::default().encode(b"hello hello", &Compress::always(Codec::Gzip)).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(body.unwrap().as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!((coding, text.as_str()), (Some("gzip"), "hello hello"));
    }

    #[test]
    fn auto_steps_down_to_plain_and_no_further() {
        let mut encoder = Encoder::default();
        let auto = Compress::always(Codec::Auto);
        assert!(encoder.step_down(&auto, 1));
        assert_eq!(encoder.encode(b"x", &auto).unwrap().1, Some("gzip"));
        assert!(encoder.step_down(&auto, 1));
        assert_eq!(encoder.encode(b"x", &auto).unwrap(), (None, None));
        assert!(!encoder.step_down(&auto, 1));
        assert!(!Encoder::default().step_down(&Compress::always(Codec::Gzip), 1), "a fixed choice is the operator's");
    }
}
