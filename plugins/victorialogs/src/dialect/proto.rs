//! Protobuf as far as Loki's push needs it: fields one after another, each a number or a slice of what came. Nothing is
//! allocated, whatever a length says.

/// The fields of a message, in order. An error is the rest that cannot be read, and the last.
pub struct Proto<'a>(pub &'a [u8]);

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// Any number, as its bits.
    Number(u64),
    /// Text, bytes or a message.
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    /// Of a field that is text or a message.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Field::Bytes(bytes) => bytes,
            Field::Number(_) => &[],
        }
    }
}

impl<'a> Iterator for Proto<'a> {
    type Item = Result<(u64, Field<'a>), &'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut rest = self.0;
        let field = field(&mut rest);
        let all = std::mem::replace(&mut self.0, if field.is_some() { rest } else { &[] });
        Some(field.ok_or(all))
    }
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let key = varint(rest)?;
    let value = match key & 7 {
        0 => Field::Number(varint(rest)?),
        1 => Field::Number(fixed(rest, 8)?),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Field::Bytes(take(rest, length)?)
        }
        5 => Field::Number(fixed(rest, 4)?),
        _ => return None,
    };
    Some((key >> 3, value)).filter(|(number, _)| *number > 0)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn fixed(rest: &mut &[u8], bytes: usize) -> Option<u64> {
    Some(take(rest, bytes)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Result<(u64, Field<'_>), &[u8]>> {
        Proto(bytes).collect()
    }

    #[test]
    fn every_kind() {
        let bytes = b"\x08\x96\x01\x12\x03abc\x1d\x01\x00\x00\x80\x21\x02\x00\x00\x00\x00\x00\x00\x80\x82\x01\x00";
        assert_eq!(
            read(bytes),
            [
                Ok((1, Field::Number(150))),
                Ok((2, Field::Bytes(b"abc"))),
                Ok((3, Field::Number(0x8000_0001))),
                Ok((4, Field::Number(0x8000_0000_0000_0002))),
                Ok((16, Field::Bytes(b""))),
            ]
        );
        assert_eq!(read(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), [Ok((1, Field::Number(u64::MAX)))]);
    }

    #[test]
    fn what_breaks_off_or_is_none_ends_it() {
        for bytes in [
            &b"\x08"[..],
            b"\x08\x80",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x12\x04abc",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01abc",
            b"\x1d\x01\x00\x00",
            b"\x21\x01",
            b"\x0b",
            b"\x0c",
            b"\x02\x00",
        ] {
            assert_eq!(read(bytes), [Err(bytes)]);
            let behind = [b"\x08\x01", bytes].concat();
            assert_eq!(read(&behind), [Ok((1, Field::Number(1))), Err(bytes)]);
        }
    }
}
