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
        if self.long {
            return self.feed_long(bytes, &mut each);
        }
        if !self.carry.is_empty() {
            let end = memchr(b'\n', bytes);
            let (line, rest) = bytes.split_at_checked(end.unwrap_or(bytes.len())).unwrap_or((bytes, &[]));
            self.carry.extend_from_slice(line);
            if end.is_none() || !is_whole(&self.carry) || self.carry.len() > self.limit {
                return self.carried(rest, &mut each);
            }
            each(Cut::Message(&self.carry));
            self.carry.clear();
            bytes = rest.get(1..).unwrap_or_default();
        }
        while let Some(end) = memchr(b'\n', bytes) {
            let Some(line) = bytes.get(..end) else { break };
            if is_whole(line) && end <= self.limit {
                each(Cut::Message(line));
            } else if !line.trim_ascii().is_empty() {
                return self.feed_long(bytes, &mut each);
            }
            bytes = bytes.get(end + 1..).unwrap_or_default();
        }
        self.carry.extend_from_slice(bytes);
        self.carried(&[], &mut each);
    }

    /// The carried line goes the long way if it may be whole without its newline, or is no line of ours.
    fn carried(&mut self, rest: &[u8], each: &mut impl FnMut(Cut<'_>)) {
        if !rest.is_empty() || self.carry.len() > self.limit || self.carry.last() == Some(&b'}') {
            let carry = std::mem::take(&mut self.carry);
            self.feed_long(&carry, each);
            if !rest.is_empty() {
                self.feed_long(rest, each);
            }
            if !self.long {
                self.carry = carry;
                self.carry.clear();
            }
        }
    }

    fn feed_long(&mut self, bytes: &[u8], each: &mut impl FnMut(Cut<'_>)) {
        self.splitter.push(bytes);
        while let Some(piece) = self.splitter.next_piece() {
            give(piece, each);
        }
        self.long = !self.splitter.is_between();
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
            assert_eq!((got.first(), got.last(), got.len()), (expected.first(), expected.last(), 3), "at {at}: {got:?}");
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
