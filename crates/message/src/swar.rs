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

/// The same for control characters.
#[inline(always)]
const fn control(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word & HIGHS
}

/// How many bytes there are before a quote, a backslash or a control character.
#[inline(always)]
pub(crate) fn until_special(text: &[u8]) -> usize {
    until(
        text,
        |word| equal(word, b'"') | equal(word, b'\\') | control(word),
        |byte| byte == b'"' || byte == b'\\' || byte < b' ',
    )
}

/// The same, and before DEL and what may be a line separator of Unicode (its first byte).
#[inline(always)]
pub(crate) fn until_escape(text: &[u8]) -> usize {
    until(
        text,
        |word| equal(word, b'"') | equal(word, b'\\') | control(word) | equal(word, 0x7f) | equal(word, 0xe2),
        |byte| matches!(byte, b'"' | b'\\' | 0x7f | 0xe2) || byte < b' ',
    )
}

#[inline(always)]
fn until(text: &[u8], wide: impl Fn(u64) -> u64, narrow: impl Fn(u8) -> bool) -> usize {
    let mut rest = text;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let found = wide(u64::from_le_bytes(*word));
        if found != 0 {
            return text.len() - rest.len() + (found.trailing_zeros() / 8) as usize;
        }
        rest = after;
    }
    text.len() - rest.len() + rest.iter().position(|byte| narrow(*byte)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_same_as_byte_by_byte(text: Vec<u8>) {
            let special = text.iter().position(|byte| matches!(byte, b'"' | b'\\') || *byte < b' ');
            prop_assert_eq!(until_special(&text), special.unwrap_or(text.len()));
            let escape = text.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0x7f | 0xe2) || *byte < b' ');
            prop_assert_eq!(until_escape(&text), escape.unwrap_or(text.len()));
        }
    }
}
