//! Ids of events: UUIDs of version 7, whose order as text is that of their making.

use std::time::{SystemTime, UNIX_EPOCH};

/// Where the bytes of an id stand in its text.
const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

const fn hex(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble }
}

/// Ids of the events of one request.
pub struct Ids {
    /// 48 bits of milliseconds, 12 bits of parts of one.
    moment: u64,
    /// 38 bits.
    random: u64,
}

/// `01234567-89ab-7def-8123-456789abcdef`
pub type Id = [u8; 36];

impl Ids {
    /// Of now.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let part = u64::from(since.subsec_nanos() % 1_000_000) * 4096 / 1_000_000;
        Ids { moment: (since.as_millis() as u64) << 12 | part, random: fastrand::u64(..1 << 38) }
    }

    /// Of the event at this place; those of one request differ up to sixteen million, which is more than a body holds.
    pub fn at(&self, place: usize) -> Id {
        let bits = u128::from(self.moment >> 12) << 80
            | 0x7 << 76
            | u128::from(self.moment & 0xfff) << 64
            | 0b10 << 62
            | (place as u128 & 0xff_ffff) << 38
            | u128::from(self.random);
        let mut id = [b'-'; 36];
        for (at, byte) in PLACES.into_iter().zip(bits.to_be_bytes()) {
            if let Some([high, low]) = id.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
                *high = hex(byte >> 4);
                *low = hex(byte & 15);
            }
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_order_and_of_version_7() {
        let mut all = Vec::new();
        for _ in 0..200 {
            let ids = Ids::now();
            all.extend((0..50).map(|place| ids.at(place)));
            std::thread::sleep(std::time::Duration::from_micros(5));
        }
        assert!(all.is_sorted());
        let before = all.len();
        all.dedup();
        assert_eq!(all.len(), before);
        let ids = Ids { moment: 0x0123_4567_89ab << 12 | 0xdef, random: 0 };
        assert_eq!(ids.at(0), *b"01234567-89ab-7def-8000-000000000000");
        assert_eq!(ids.at(5), *b"01234567-89ab-7def-8000-014000000000");
    }
}
