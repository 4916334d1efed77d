//! How what is known about forwarded messages is written: a note beside messages in the spool, and the file of all that.
//!
//! ```text
//!  entries  count, then for each: id (the distance from the one before, 7 bits a byte), checksum (4 bytes)
//!  note     01 'F' 1, name, routers passed, entries          texts: length (2 bytes), bytes
//!  file     "metlog forwards 1\n", upto (8 bytes), count, then for each: name, entries; at the end a checksum
//! ```

const NOTE: &[u8] = b"\x01F1";
const FILE: &[u8] = b"metlog forwards 1\n";

/// Ids and checksums.
pub type Entries = Vec<(u64, u32)>;

/// What is known of one name.
pub type Named = (Box<str>, Entries);

/// What is noted beside forwarded messages.
#[derive(Debug, PartialEq, Eq)]
pub struct Note<'a> {
    pub name: &'a str,
    pub passed: &'a str,
    pub entries: Entries,
}

/// A file's content, and the id of the spool below which it tells everything.
pub struct Saved {
    pub bytes: Vec<u8>,
    pub upto: u64,
}

pub fn write_note(name: &str, passed: &str, entries: &[(u64, u32)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(NOTE.len() + name.len() + passed.len() + 16 + entries.len() * 6);
    out.extend_from_slice(NOTE);
    put_text(&mut out, name);
    put_text(&mut out, passed);
    put_entries(&mut out, [entries].into_iter());
    out
}

pub fn note(bytes: &[u8]) -> Option<Note<'_>> {
    let mut from = Bytes(bytes.strip_prefix(NOTE)?);
    let note = Note { name: from.text()?, passed: from.text()?, entries: from.entries()? };
    from.0.is_empty().then_some(note)
}

/// Of a note, the routers passed.
pub fn passed(bytes: &[u8]) -> Option<&str> {
    let mut from = Bytes(bytes.strip_prefix(NOTE)?);
    from.text()?;
    from.text()
}

/// Writes a file's content.
pub struct Writer {
    bytes: Vec<u8>,
    upto: u64,
}

impl Writer {
    pub fn new(upto: u64, count: usize) -> Self {
        let mut bytes = FILE.to_vec();
        bytes.extend_from_slice(&upto.to_le_bytes());
        bytes.extend_from_slice(&(count as u32).to_le_bytes());
        Writer { bytes, upto }
    }

    pub fn stream<'a>(&mut self, name: &str, pages: impl Iterator<Item = &'a [(u64, u32)]> + Clone) {
        put_text(&mut self.bytes, name);
        put_entries(&mut self.bytes, pages);
    }

    pub fn end(mut self) -> Saved {
        let sum = crc32c::crc32c(&self.bytes);
        self.bytes.extend_from_slice(&sum.to_le_bytes());
        Saved { bytes: self.bytes, upto: self.upto }
    }
}

/// Reads a file's content. `None`: it is damaged.
pub fn read(bytes: &[u8]) -> Option<(u64, Vec<Named>)> {
    let (content, sum) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut from = Bytes(content.strip_prefix(FILE)?);
    let upto = from.u64()?;
    let mut streams = Vec::new();
    for _ in 0..from.u32()? {
        streams.push((from.text()?.into(), from.entries()?));
    }
    from.0.is_empty().then_some((upto, streams))
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    // Headers that long are not read.
    let length = u16::try_from(text.len()).unwrap_or(0);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.get(..usize::from(length)).unwrap_or_default().as_bytes());
}

fn put_entries<'a>(out: &mut Vec<u8>, pages: impl Iterator<Item = &'a [(u64, u32)]> + Clone) {
    let count: usize = pages.clone().map(<[_]>::len).sum();
    out.extend_from_slice(&(count as u32).to_le_bytes());
    let mut last = 0_u64;
    for (id, sum) in pages.flatten() {
        // Of a later page the first may be lower: distances go around.
        put_number(out, id.wrapping_sub(last));
        out.extend_from_slice(&sum.to_le_bytes());
        last = *id;
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = u16::from_le_bytes(self.take(2)?.try_into().ok()?);
        std::str::from_utf8(self.take(length.into())?).ok()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn entries(&mut self) -> Option<Entries> {
        let count = self.u32()?;
        // Each takes five bytes at the least: a number alone reserves nothing.
        let mut entries = Vec::with_capacity((count as usize).min(self.0.len() / 5));
        let mut last = 0_u64;
        for _ in 0..count {
            last = last.wrapping_add(self.number()?);
            entries.push((last, self.u32()?));
        }
        Some(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let entries = vec![(7, 1), (8, u32::MAX), (u64::MAX, 3)];
        let bytes = write_note("key\nab/c", "ab,cd", &entries);
        assert_eq!(note(&bytes), Some(Note { name: "key\nab/c", passed: "ab,cd", entries: entries.clone() }));
        assert_eq!(passed(&bytes), Some("ab,cd"));
        for end in 0..bytes.len() {
            assert_eq!(note(&bytes[..end]), None);
        }
        let more = [(3, 9), (7, 1)];
        let mut writer = Writer::new(77, 2);
        writer.stream("a", [&entries[..], &more[..]].into_iter());
        writer.stream("b", std::iter::empty());
        let saved = writer.end();
        let all = [&entries[..], &more[..]].concat();
        assert_eq!(read(&saved.bytes), Some((77, vec![("a".into(), all), ("b".into(), Vec::new())])));
        for at in 0..saved.bytes.len() {
            assert_eq!(read(&saved.bytes[..at]), None);
            let mut flipped = saved.bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(read(&flipped), None);
        }
    }

    #[test]
    fn garbage_is_no_note_and_reserves_nothing() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut bytes = NOTE.to_vec();
            bytes.extend((0..random.usize(..60)).map(|_| random.u8(..)));
            let _ = (note(&bytes), passed(&bytes));
        }
        let mut huge = NOTE.to_vec();
        huge.extend([0, 0, 0, 0, 255, 255, 255, 255]);
        assert_eq!(note(&huge), None);
    }
}
