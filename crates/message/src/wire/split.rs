//! A stream of bytes cut into messages: one per line, or concatenated and pretty-printed as the original wrote files.
//!
//! A piece ends where its braces close outside of texts. A line that begins with a brace begins a piece in any case, so
//! that a message cut short costs itself only. What does not begin with a brace is a piece up to the end of its line,
//! for the reader to refuse. Beyond the limit such a line is dropped up to its end, and a message up to the next line
//! that begins with a brace. Where the stream is cut into pushes makes no difference.

use crate::swar::until_special;
use memchr::memchr;

/// What was cut off a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of one message, to be read.
    Message(Vec<u8>),
    /// So many bytes that belonged to a message beyond the limit.
    Oversized(usize),
}

/// What a packet holds, a datagram or a frame: a message, or several on lines of their own; says whether there is anything.
/// A brace alone on its line begins a message laid out over several.
pub fn packet(bytes: &[u8], mut each: impl FnMut(&[u8])) -> bool {
    let text = bytes.trim_ascii();
    match memchr(b'\n', text).and_then(|end| text.get(..end)) {
        Some(first) if first.trim_ascii() != b"{" => {
            let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            lines.filter(|line| !line.is_empty()).for_each(each);
        }
        _ if text.is_empty() => return false,
        _ => each(text),
    }
    true
}

/// Cuts a stream. Holds at most the limit and what one `push` brought, if all pieces are taken before the next one.
#[derive(Debug, Clone)]
pub struct Splitter {
    limit: usize,
    buffer: Vec<u8>,
    /// The first bytes of the buffer that have been cut off already.
    start: usize,
    /// How far the piece that begins at `start` has been looked at.
    seen: usize,
    state: State,
    dropped: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Before a piece.
    Between,
    /// In a piece with open braces; in a text; after a backslash in it.
    Inside { depth: usize, text: bool, escaped: bool },
    /// In a piece that ends with its line.
    Line,
    /// In what is dropped up to the end of a line.
    DroppingLine,
    /// In what is dropped up to a line that begins with a brace.
    DroppingMessage,
}

impl Splitter {
    /// For messages of at most so many bytes.
    pub fn new(limit: usize) -> Self {
        Splitter { limit, buffer: Vec::new(), start: 0, seen: 0, state: State::Between, dropped: 0 }
    }

    /// Adds what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole piece, if there is one.
    pub fn next_piece(&mut self) -> Option<Piece> {
        loop {
            let byte = *self.buffer.get(self.seen)?;
            let piece = match self.state {
                State::Between => {
                    self.begin(byte);
                    None
                }
                State::Inside { depth, text, escaped } => self.inside(byte, depth, text, escaped),
                State::Line => self.line(),
                State::DroppingLine | State::DroppingMessage => return self.drop_on(),
            };
            if piece.is_some() {
                return piece;
            }
            if self.seen - self.start > self.limit {
                self.begin_dropping();
            }
        }
    }

    /// Whether nothing but blanks has come since the last piece.
    pub fn is_between(&self) -> bool {
        self.state == State::Between && self.seen == self.buffer.len()
    }

    /// Bytes of a piece that has begun and not ended, if all whole ones have been taken.
    pub fn held(&self) -> usize {
        self.dropped + self.buffer.len() - self.start
    }

    /// The last pieces of a stream that has ended, whole or not: to be called until there is none.
    pub fn finish(&mut self) -> Option<Piece> {
        if let Some(piece) = self.next_piece() {
            return Some(piece);
        }
        self.seen = self.buffer.len();
        match self.state {
            State::Between => None,
            State::DroppingLine | State::DroppingMessage => Some(self.dropped()),
            State::Inside { .. } | State::Line => Some(self.cut()),
        }
    }

    fn begin(&mut self, byte: u8) {
        match byte {
            blank if blank.is_ascii_whitespace() => {
                self.seen += 1;
                self.start = self.seen;
            }
            b'{' => {
                self.seen += 1;
                self.state = State::Inside { depth: 1, text: false, escaped: false };
            }
            _ => self.state = State::Line,
        }
    }

    /// What has come and not been looked at.
    fn ahead(&self) -> &[u8] {
        self.buffer.get(self.seen..).unwrap_or_default()
    }

    fn line(&mut self) -> Option<Piece> {
        let ahead = self.ahead();
        let end = memchr(b'\n', ahead);
        self.seen += end.unwrap_or(ahead.len());
        end.map(|_| self.cut())
    }

    /// Takes some of a message in.
    fn inside(&mut self, byte: u8, mut depth: usize, mut text: bool, mut escaped: bool) -> Option<Piece> {
        if byte == b'{' && self.buffer.get(self.seen.wrapping_sub(1)) == Some(&b'\n') {
            return Some(self.cut());
        }
        if text && !escaped {
            let (plain, _) = until_special(self.ahead());
            if plain > 0 {
                self.seen += plain;
                return None;
            }
        }
        self.seen += 1;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            b'{' if !text => depth += 1,
            b'}' if !text => depth -= 1,
            _ => {}
        }
        self.state = State::Inside { depth, text, escaped };
        if depth == 0 { Some(self.cut()) } else { None }
    }

    fn begin_dropping(&mut self) {
        self.state = if self.state == State::Line { State::DroppingLine } else { State::DroppingMessage };
        // A message may begin right after the last byte looked at.
        if self.buffer.get(self.seen - 1) == Some(&b'\n') {
            self.seen -= 1;
        }
        self.forget();
    }

    /// Drops what there is, up to where a piece may begin again; nothing if that is yet to come.
    fn drop_on(&mut self) -> Option<Piece> {
        while let Some(line) = memchr(b'\n', self.ahead()) {
            self.seen += line;
            match self.buffer.get(self.seen + 1) {
                _ if self.state == State::DroppingLine => return Some(self.dropped()),
                Some(b'{') => return Some(self.dropped()),
                Some(_) => self.seen += 1,
                None => {
                    // What follows the newline will tell, so it stays; what is before it does not.
                    self.forget();
                    return None;
                }
            }
        }
        self.seen = self.buffer.len();
        self.forget();
        None
    }

    fn forget(&mut self) {
        self.dropped += self.seen - self.start;
        self.start = self.seen;
    }

    fn dropped(&mut self) -> Piece {
        self.forget();
        self.state = State::Between;
        Piece::Oversized(std::mem::take(&mut self.dropped))
    }

    fn cut(&mut self) -> Piece {
        let piece = self.buffer.get(self.start..self.seen).unwrap_or_default();
        self.start = self.seen;
        self.state = State::Between;
        if piece.len() > self.limit { Piece::Oversized(piece.len()) } else { Piece::Message(piece.to_vec()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn memory_stays_bounded(pushes in prop::collection::vec(prop::sample::select(vec![
            "{", "\n", "x\n", "xxxxxxxxxxxxxxxxxxxx\n", "\"", "    \"a\": 1,\n", "}", "{\"a\":\"", "\\",
        ]), 0..200)) {
            let mut splitter = Splitter::new(16);
            for push in pushes {
                splitter.push(push.as_bytes());
                while splitter.next_piece().is_some() {}
                let held = splitter.buffer.len() - splitter.start;
                prop_assert!(held <= 16, "{held} bytes are held");
                let rest = match splitter.clone().finish() {
                    Some(Piece::Message(part)) => part.len(),
                    Some(Piece::Oversized(bytes)) => bytes,
                    None => 0,
                };
                prop_assert_eq!(splitter.held(), rest);
            }
        }
    }
}
