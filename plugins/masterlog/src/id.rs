//! Ids of events: UUIDs of version 7, whose order as text is that of their making.

use std::time::{SystemTime, UNIX_EPOCH};

const HEX: [u8; 16] = *b"0123456789abcdef";

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
        let places = (0..36).filter(|at| ![8, 13, 18, 23].contains(at));
        for (at, nibble) in places.zip((0..32).rev()) {
            if let Some(place) = id.get_mut(at) {
                *place = HEX[(bits >> (nibble * 4)) as usize & 15];
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
