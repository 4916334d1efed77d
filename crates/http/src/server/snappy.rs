//! Snappy's block form, which shippers of logs compress protobuf with.
//!
//! By hand, since a decoder as one gets it makes room for as much as the block says of itself. Here that number only
//! bounds what is made; room is made for what is really there.

use super::expand::{STEP, Unexpanded};
use super::limits::Share;

/// Expands a block; none if it says that it is more than the cap. `block` keeps what was not looked at.
pub(super) fn unsnappy(block: &mut &[u8], cap: usize, share: &mut Share) -> Result<Option<Vec<u8>>, Unexpanded> {
    if block.starts_with(b"\xff\x06\x00\x00sNaPpY") {
        return Err(garbled("it has frames; send snappy's block form"));
    }
    let length = length(block).ok_or_else(|| garbled("it has no length at its begin"))?;
    if length > cap {
        *block = &[];
        return Ok(None);
    }
    let mut made = Vec::new();
    while let Some((tag, rest)) = block.split_first() {
        *block = rest;
        let (size, offset) = element(*tag, block).ok_or_else(broken_off)?;
        if size > length - made.len() {
            return Err(garbled("it holds more than it says"));
        }
        make_room(&mut made, size, length, share)?;
        match offset {
            None => {
                let (literal, rest) = block.split_at_checked(size).ok_or_else(broken_off)?;
                made.extend_from_slice(literal);
                *block = rest;
            }
            Some(offset) => repeat(&mut made, size, offset)?,
        }
    }
    if made.len() == length { Ok(Some(made)) } else { Err(broken_off()) }
}

/// Of 32 bits, seven in each byte.
fn length(block: &mut &[u8]) -> Option<usize> {
    let mut length = 0_u64;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, rest) = block.split_first()?;
        *block = rest;
        length |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return u32::try_from(length).ok()?.try_into().ok();
        }
    }
    None
}

/// How many bytes come, and from how far back; none: from the block itself.
fn element(tag: u8, block: &mut &[u8]) -> Option<(usize, Option<usize>)> {
    let mut number = |bytes: usize| {
        let (number, rest) = block.split_at_checked(bytes)?;
        *block = rest;
        Some(number.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    let size = usize::from(tag >> 2);
    Some(match tag & 3 {
        0 if size < 60 => (size + 1, None),
        0 => (number(size - 59)? + 1, None),
        1 => ((size & 7) + 4, Some(usize::from(tag >> 5) << 8 | number(1)?)),
        2 => (size + 1, Some(number(2)?)),
        _ => (size + 1, Some(number(4)?)),
    })
}

/// What was made before, once more; it may run into what it makes.
fn repeat(made: &mut Vec<u8>, size: usize, offset: usize) -> Result<(), Unexpanded> {
    let outside = || garbled("it repeats what is not there");
    let begin = made.len().checked_sub(offset).filter(|_| offset > 0).ok_or_else(outside)?;
    if offset >= size {
        made.extend_from_within(begin..begin + size);
        return Ok(());
    }
    for at in begin..begin + size {
        let byte = made.get(at).copied().ok_or_else(outside)?;
        made.push(byte);
    }
    Ok(())
}

/// Doubles as a Vec does, but not beyond the length; accounts for it before.
fn make_room(made: &mut Vec<u8>, size: usize, length: usize, share: &mut Share) -> Result<(), Unexpanded> {
    if made.capacity() - made.len() < size {
        let more = made.len().max(size).max(STEP).min(length - made.len());
        share.grow(more)?;
        made.reserve_exact(more);
    }
    Ok(())
}

fn broken_off() -> Unexpanded {
    garbled("it breaks off")
}

fn garbled(why: &str) -> Unexpanded {
    Unexpanded::Garbled(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Bounds, ServerLimits};
    use proptest::prelude::*;

    const MIB: usize = 1024 * 1024;

    fn expand(mut block: &[u8]) -> Result<Option<Vec<u8>>, Unexpanded> {
        unsnappy(&mut block, 16 * MIB, &mut Bounds::new(ServerLimits::default()).share())
    }

    fn why(block: &[u8]) -> String {
        match expand(block) {
            Err(Unexpanded::Garbled(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_element() {
        let long = [[b'l'; 61].as_slice(), &[b'm'; 300]].concat();
        for (block, text) in [
            (&b"\x00"[..], &b""[..]),
            (b"\x03\x08abc", b"abc"),
            // Back by one, over itself; from further back, in each of the three forms.
            (b"\x06\x00a\x05\x01", b"aaaaaa"),
            (b"\x0b\x14abcdef\x05\x06", b"abcdefabcde"),
            (b"\x05\x08abc\x06\x03\x00", b"abcab"),
            (b"\x05\x08abc\x07\x03\x00\x00\x00", b"abcab"),
        ] {
            assert_eq!(expand(block).expect("right").expect("within"), text);
        }
        let block = [b"\xe9\x02\xf0\x3c".as_slice(), &long[..61], b"\xf4\x2b\x01", &long[61..]].concat();
        assert_eq!(expand(&block).expect("right").expect("within"), long);
    }

    #[test]
    fn what_is_no_block_is_refused_and_makes_no_room() {
        for (block, reason) in [
            (&b""[..], "no length"),
            (b"\x80\x80", "no length"),
            (b"\xff\xff\xff\xff\x1f\x00a", "no length"),
            (b"\x01", "breaks off"),
            (b"\x05\x08ab", "breaks off"),
            (b"\x05\xf4\x01", "breaks off"),
            (b"\x04\x08abc", "breaks off"),
            (b"\x02\x08abc", "more than it says"),
            (b"\x08\x00a\x01\x00", "not there"),
            (b"\x08\x00a\x01\x02", "not there"),
            (b"\xff\x06\x00\x00sNaPpY", "frames"),
        ] {
            assert!(why(block).contains(reason), "{block:?}: {}", why(block));
        }
        // It says four GiB, or sixteen MiB, and holds one byte.
        let bounds = Bounds::new(ServerLimits::default());
        let mut share = bounds.share();
        assert!(matches!(unsnappy(&mut &b"\xff\xff\xff\xff\x0f\x00a"[..], 16 * MIB, &mut share), Ok(None)));
        assert_eq!(bounds.in_flight(), 0);
        assert!(unsnappy(&mut &b"\x80\x80\x80\x08\x00a"[..], 16 * MIB, &mut share).is_err());
        assert!(bounds.in_flight() <= STEP as u64, "{}", bounds.in_flight());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_another_encoder_wrote(
            parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), 1..400_usize), 0..40),
        ) {
            let text: Vec<u8> = parts.into_iter().flat_map(|(part, times)| part.repeat(times)).collect();
            let block = snap::raw::Encoder::new().compress_vec(&text).expect("compressed");
            prop_assert_eq!(expand(&block).expect("right").expect("within"), text);
        }

        #[test]
        fn what_another_decoder_says_of_any_bytes(mut block in prop::collection::vec(any::<u8>(), 1..60), length in 0..128_u8) {
            block[0] = length;
            let theirs = snap::raw::Decoder::new().decompress_vec(&block).ok();
            prop_assert_eq!(expand(&block).ok().flatten(), theirs);
        }
    }
}
