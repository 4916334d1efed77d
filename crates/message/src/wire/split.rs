//! A stream of bytes cut into messages: one per line, or concatenated and pretty-printed as the original wrote files.
//!
//! A piece ends where its braces close outside of texts. A line that begins with a brace begins a piece in any case, so
//! that a message cut short costs itself only. What does not begin with a brace is a piece up to the end of its line,
//! for the reader to refuse. A piece beyond the limit is dropped up to the next line that begins with a brace.

use memchr::memchr;

/// What was cut off a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of one message, to be read.
    Message(Vec<u8>),
    /// So many bytes that belonged to a message beyond the limit.
    Oversized(usize),
}

/// Cuts a stream. Holds at most the limit and what one `push` brought.
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
    /// In what is dropped.
    Dropping,
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
            let byte = match self.buffer.get(self.seen) {
                Some(byte) => *byte,
                None if self.state == State::Dropping => {
                    self.drop_seen();
                    return None;
                }
                None => return None,
            };
            match self.state {
                State::Between => self.begin(byte),
                State::Line => {
                    let rest = self.buffer.get(self.seen..).unwrap_or_default();
                    match memchr(b'\n', rest) {
                        Some(at) => {
                            self.seen += at;
                            return Some(self.cut());
                        }
                        None => self.seen = self.buffer.len(),
                    }
                }
                State::Inside { .. } => {
                    if byte == b'{' && self.buffer.get(self.seen.wrapping_sub(1)) == Some(&b'\n') || self.step(byte) {
                        return Some(self.cut());
                    }
                }
                State::Dropping => {
                    // A line that begins with a brace is the first that may be a message again.
                    if byte == b'\n' && self.buffer.get(self.seen + 1) == Some(&b'{') {
                        self.seen += 1;
                        self.drop_seen();
                        self.state = State::Between;
                        return Some(Piece::Oversized(std::mem::take(&mut self.dropped)));
                    }
                    if byte == b'\n' && self.seen + 1 == self.buffer.len() {
                        return None;
                    }
                    self.seen += 1;
                }
            }
            if self.seen - self.start > self.limit && self.state != State::Dropping {
                self.state = State::Dropping;
            }
        }
    }

    /// The last piece of a stream that has ended, whole or not.
    pub fn finish(&mut self) -> Option<Piece> {
        if let Some(piece) = self.next_piece() {
            return Some(piece);
        }
        let state = std::mem::replace(&mut self.state, State::Between);
        self.seen = self.buffer.len();
        match state {
            State::Between => None,
            State::Dropping => {
                self.drop_seen();
                Some(Piece::Oversized(std::mem::take(&mut self.dropped)))
            }
            _ => Some(self.cut()),
        }
    }

    fn begin(&mut self, byte: u8) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
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

    /// Takes a byte of a message in; true when it was the last.
    fn step(&mut self, byte: u8) -> bool {
        self.seen += 1;
        let State::Inside { depth, text, escaped } = &mut self.state else { return false };
        if *text {
            match byte {
                _ if *escaped => *escaped = false,
                b'\\' => *escaped = true,
                b'"' => *text = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => *text = true,
            b'{' => *depth += 1,
            b'}' => *depth -= 1,
            _ => {}
        }
        *depth == 0
    }

    fn cut(&mut self) -> Piece {
        let piece = self.buffer.get(self.start..self.seen).unwrap_or_default();
        self.start = self.seen;
        self.state = State::Between;
        if piece.len() > self.limit { Piece::Oversized(piece.len()) } else { Piece::Message(piece.to_vec()) }
    }

    fn drop_seen(&mut self) {
        self.dropped += self.seen - self.start;
        self.start = self.seen;
    }
}
