//! ULIDs: 48 bits of milliseconds, 80 bits that make it unique, in 26 letters and digits that sort by time.
//!
//! The event manager drops an event whose id it has already. So the id of a message that tells its sender and running
//! number is made from those: sent twice, it is stored once.

use metlog_message::{Message, Timestamp};

/// Crockford's: without I, L, O and U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The id of a message.
pub fn of(message: &Message) -> String {
    match &message.origin {
        Some(origin) => made(message.timestamp, fnv(&[origin.client.as_bytes(), &origin.seq.to_be_bytes()])),
        None => new(message.timestamp),
    }
}

/// The id of something that has none.
pub fn new(at: Timestamp) -> String {
    made(at, fastrand::u128(..))
}

fn made(at: Timestamp, unique: u128) -> String {
    let milliseconds = u128::try_from(at.nanos() / 1_000_000).unwrap_or(0);
    text((milliseconds & ((1 << 48) - 1)) << 80 | unique & ((1 << 80) - 1))
}

/// The millisecond that an id was made in, if it is one.
pub fn millisecond(id: &str) -> Option<Timestamp> {
    if !is_valid(id) {
        return None;
    }
    let digit = |byte: u8| DIGITS.iter().position(|digit| *digit == byte.to_ascii_uppercase());
    let milliseconds = id.bytes().take(10).try_fold(0i64, |sum, byte| Some(sum * 32 + digit(byte)? as i64))?;
    milliseconds.checked_mul(1_000_000).map(Timestamp::from_nanos)
}

/// Whether a text is one, in either case. The first digit holds three bits only.
pub fn is_valid(text: &str) -> bool {
    let digit = |byte: u8| DIGITS.contains(&byte.to_ascii_uppercase());
    text.len() == 26 && text.bytes().all(digit) && text.as_bytes().first().is_some_and(|&first| first <= b'7')
}

fn text(bits: u128) -> String {
    (0..26).rev().map(|place| char::from(DIGITS[(bits >> (5 * place)) as usize & 31])).collect()
}

/// FNV-1a, 128 bits: the same in every release, which the standard library's hasher does not promise.
fn fnv(parts: &[&[u8]]) -> u128 {
    let bytes = parts.iter().copied().flatten();
    bytes.fold(0x6c62272e07bb014262b821756295c58d, |hash, &byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000000001000000000000000000013b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::message::Origin;

    #[test]
    fn fnv_is_the_published_one() {
        assert_eq!(fnv(&[]), 0x6c62272e07bb014262b821756295c58d);
        assert_eq!(fnv(&[b"a"]), 0xd228cb696f1a8caf78912b704e4a8964);
    }

    #[test]
    fn is_the_same_for_the_same_message_and_no_other() {
        let mut message = Message::new("oldstyle");
        assert_ne!(of(&message), of(&message), "without a running number there is nothing to go by");
        message.origin = Some(Origin { client: "c1".into(), seq: 1 });
        let first = of(&message);
        assert_eq!(first, of(&message));
        message.origin = Some(Origin { client: "c1".into(), seq: 2 });
        assert_ne!(first, of(&message));
        assert!(is_valid(&first), "{first}");
    }

    #[test]
    fn knows_one_when_it_sees_one() {
        assert!(is_valid("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
        assert!(is_valid("01arz3ndektsv4rrffq69g5fav"));
        assert!(!is_valid("81ARZ3NDEKTSV4RRFFQ69G5FAV"), "more than 128 bits");
        assert!(!is_valid("01ARZ3NDEKTSV4RRFFQ69G5FAU"), "no U");
        assert!(!is_valid("01ARZ3NDEKTSV4RRFFQ69G5FA"));
    }

    #[test]
    fn sorts_by_time() {
        assert_eq!(text(0), "0".repeat(26));
        assert_eq!(text(u128::MAX), format!("7{}", "Z".repeat(25)));
        // The specification's example of a time.
        assert!(text(1_469_918_176_385 << 80).starts_with("01ARYZ6S41"));
        let at = Timestamp::from_nanos(1_469_918_176_385_999_999);
        assert_eq!(millisecond(&new(at)), Some(Timestamp::from_nanos(1_469_918_176_385_000_000)));
        assert_eq!(millisecond("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"), None, "beyond our times");
    }
}
