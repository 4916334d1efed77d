//! A stream of bytes cut into messages without copying them, where each stands on a line of its own; whatever is laid
//! out otherwise goes the long way through the [`Splitter`].

use super::{Piece, Splitter};
use memchr::memchr;

/// What was cut off a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut<'a> {
    /// Bytes of one message, or of several without anything between them.
    Message(&'a [u8]),
    /// So many bytes that belonged to a message beyond the limit.
    Oversized(usize),
}

/// Cuts a stream. Holds at most one message that has not come whole.
#[derive(Debug, Clone)]
pub struct Stream {
    limit: usize,
    /// A line whose end has not come.
    carry: Vec<u8>,
    /// The long way, while a message lies over several lines.
    splitter: Splitter,
    long: bool,
}

impl Stream {
    /// For messages of at most so many bytes.
    pub fn new(limit: usize) -> Self {
        Stream { limit, carry: Vec::new(), splitter: Splitter::new(limit), long: false }
    }

    /// Takes what came, and gives what is whole.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Cut<'_>)) {
        while !bytes.is_empty() {
            bytes = if self.long { self.long_way(bytes, &mut each) } else { self.lines(bytes, &mut each) };
        }
    }

    /// Line by line, up to what is no message on a line of its own. What is left goes the long way.
    fn lines<'a>(&mut self, mut bytes: &'a [u8], each: &mut impl FnMut(Cut<'_>)) -> &'a [u8] {
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
            let rest = rest.get(1..).unwrap_or_default();
            if !self.carry.is_empty() {
                self.carry.extend_from_slice(line);
                if !self.fits(&self.carry) {
                    // The newline goes along, since it ends a line also there.
                    self.carry.push(b'\n');
                    self.carry_on(each);
                    return rest;
                }
                each(Cut::Message(&self.carry));
                self.carry.clear();
            } else if self.fits(line) {
                each(Cut::Message(line));
            } else if !line.trim_ascii().is_empty() {
                self.long = true;
                return bytes;
            }
            bytes = rest;
        }
        self.carry.extend_from_slice(bytes);
        // Perhaps it is whole and no newline will come, perhaps it is too long: the long way tells.
        if self.carry.len() > self.limit || self.carry.last() == Some(&b'}') {
            self.carry_on(each);
        }
        &[]
    }

    fn fits(&self, line: &[u8]) -> bool {
        line.len() <= self.limit && is_whole(line)
    }

    /// What was carried goes the long way.
    fn carry_on(&mut self, each: &mut impl FnMut(Cut<'_>)) {
        let mut carry = std::mem::take(&mut self.carry);
        let mut rest = carry.as_slice();
        while !rest.is_empty() {
            rest = self.long_way(rest, each);
        }
        carry.clear();
        self.carry = carry;
    }

    /// A line at a time, until a message ends with a line. What is left may go the short way again.
    fn long_way<'a>(&mut self, bytes: &'a [u8], each: &mut impl FnMut(Cut<'_>)) -> &'a [u8] {
        let end = memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
        let (line, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        self.splitter.push(line);
        while let Some(piece) = self.splitter.next_piece() {
            give(piece, each);
        }
        self.long = !self.splitter.is_between();
        rest
    }

    /// Gives what is left at the end of the stream, whole or not.
    pub fn finish(&mut self, mut each: impl FnMut(Cut<'_>)) {
        if !self.carry.trim_ascii().is_empty() {
            each(Cut::Message(&self.carry));
        }
        self.carry.clear();
        while let Some(piece) = self.splitter.finish() {
            give(piece, &mut each);
        }
        self.long = false;
    }
}

/// Whether a line looks like a message from its first byte to its last.
fn is_whole(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.first() == Some(&b'{') && line.last() == Some(&b'}')
}

fn give(piece: Piece, each: &mut impl FnMut(Cut<'_>)) {
    match piece {
        Piece::Message(message) => each(Cut::Message(&message)),
        Piece::Oversized(bytes) => each(Cut::Oversized(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(pushes: &[&[u8]], limit: usize) -> Vec<Result<String, usize>> {
        let mut pieces = Vec::new();
        let mut stream = Stream::new(limit);
        let mut take = |cut: Cut<'_>| {
            pieces.push(match cut {
                Cut::Message(bytes) => Ok(String::from_utf8_lossy(bytes).trim().to_owned()),
                Cut::Oversized(bytes) => Err(bytes),
            });
        };
        for push in pushes {
            stream.feed(push, &mut take);
        }
        stream.finish(take);
        pieces
    }

    fn split(text: &[u8], limit: usize) -> Vec<Result<String, usize>> {
        let mut splitter = Splitter::new(limit);
        splitter.push(text);
        let pieces = std::iter::from_fn(|| splitter.finish());
        let pieces = pieces.map(|piece| match piece {
            Piece::Message(bytes) => Ok(String::from_utf8_lossy(&bytes).trim().to_owned()),
            Piece::Oversized(bytes) => Err(bytes),
        });
        pieces.collect()
    }

    #[test]
    fn lines_are_cut_wherever_they_are_torn() {
        let text = b"{\"a\":1}\n\n{\"b\":2}\r\n{\"c\":\"}{\"}\n{\"last\":1}";
        for at in 0..=text.len() {
            let (first, second) = text.split_at(at);
            let whole = [r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":"}{"}"#, r#"{"last":1}"#];
            assert_eq!(pieces(&[first, second], 100), whole.map(|line| Ok(line.to_owned())), "at {at}");
        }
    }

    #[test]
    fn what_is_beyond_the_limit_costs_itself_only() {
        let long = format!("{{\"a\":1}}\n{{\"{}\"}}\n{{\"b\":2}}\n", "x".repeat(100));
        let expected = [Ok("{\"a\":1}".to_owned()), Err(104), Ok("{\"b\":2}".to_owned())];
        for at in 0..long.len() {
            let (first, second) = long.as_bytes().split_at(at);
            let got = pieces(&[first, second], 50);
            assert_eq!(
                (got.first(), got.last(), got.len()),
                (expected.first(), expected.last(), 3),
                "at {at}: {got:?}"
            );
        }
    }

    proptest! {
        /// Wherever each message has its line or lines, fast and long way agree, however the stream is torn.
        #[test]
        fn the_same_pieces_as_the_splitter(
            parts in prop::collection::vec(prop::sample::select(vec![
                "{\"a\":1}\n", "{\n  \"a\": \"}\\\"\",\n  \"b\": {}\n}\n", "no json\n", "{\"t\":\"{\"}\r\n", "\n", "{\"cut\":\n",
                "{\"x\":{\"y\":[1,2]}}\n", "  \n",
            ]), 0..12),
            tears in prop::collection::vec(0_usize..200, 0..6),
        ) {
            let text = parts.concat();
            let mut tears: Vec<usize> = tears.into_iter().map(|tear| tear.min(text.len())).collect();
            tears.extend([0, text.len()]);
            tears.sort_unstable();
            let pushes: Vec<&[u8]> = tears.windows(2).map(|tear| &text.as_bytes()[tear[0]..tear[1]]).collect();
            prop_assert_eq!(pieces(&pushes, 1000), split(text.as_bytes(), 1000));
        }
    }
}
