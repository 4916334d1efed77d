//! Eight bytes looked at in one go: where a text stops being plain. Safe code, no table, no dependency; on the short
//! texts that messages are made of it beats calls into vectorised searches.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The high bit of each byte that equals `byte`; exact up to the first, which is all that is asked.
#[inline(always)]
const fn equal(word: u64, byte: u8) -> u64 {
    let differing = word ^ (ONES * byte as u64);
    differing.wrapping_sub(ONES) & !differing & HIGHS
}

/// The same for control characters and quotes, in one: with its second bit turned a quote is a blank, the blank comes two
/// behind it, and control characters stay among themselves.
#[inline(always)]
const fn control_or_quote(word: u64) -> u64 {
    (word ^ (ONES * 2)).wrapping_sub(ONES * 0x21) & !word & HIGHS
}

/// How many bytes there are before a quote, a backslash or a control character; and all that was looked at, one on the
/// other, for [`is_ascii`].
#[inline(always)]
pub(crate) fn until_special(text: &[u8]) -> (usize, u64) {
    until(text, |word| control_or_quote(word) | equal(word, b'\\'), |byte| byte == b'"' || byte == b'\\' || byte < b' ')
}

/// How many there are before one of these, a DEL or what may be a line separator of Unicode (its first byte).
#[inline(always)]
pub(crate) fn until_escape(text: &[u8]) -> usize {
    until(
        text,
        |word| control_or_quote(word) | equal(word, b'\\') | equal(word, 0x7f) | equal(word, 0xe2),
        |byte| matches!(byte, b'"' | b'\\' | 0x7f | 0xe2) || byte < b' ',
    )
    .0
}

/// Whether all that was looked at was ASCII. That may be some bytes more than there are before what was found.
#[inline(always)]
pub(crate) const fn is_ascii(seen: u64) -> bool {
    seen & HIGHS == 0
}

#[inline(always)]
fn until(text: &[u8], wide: impl Fn(u64) -> u64, narrow: impl Fn(u8) -> bool) -> (usize, u64) {
    let (mut rest, mut seen) = (text, 0);
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        seen |= word;
        let found = wide(word);
        if found != 0 {
            return (text.len() - rest.len() + (found.trailing_zeros() / 8) as usize, seen);
        }
        rest = after;
    }
    let end = rest.iter().position(|byte| {
        seen |= u64::from(*byte);
        narrow(*byte)
    });
    (text.len() - rest.len() + end.unwrap_or(rest.len()), seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_same_as_byte_by_byte(text: Vec<u8>) {
            let special = text.iter().position(|byte| matches!(byte, b'"' | b'\\') || *byte < b' ');
            let special = special.unwrap_or(text.len());
            let (length, seen) = until_special(&text);
            prop_assert_eq!(length, special);
            prop_assert!(!is_ascii(seen) || text[..special].is_ascii());
            prop_assert!(is_ascii(seen) || !text[..text.len().min(special + 8)].is_ascii());
            let escape = text.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0x7f | 0xe2) || *byte < b' ');
            prop_assert_eq!(until_escape(&text), escape.unwrap_or(text.len()));
        }
    }
}
