//! Streams, cut into messages.
//!
//! The first byte of an input is the limit of a message, the second how the stream is torn.

use crate::{choices, shown, tears};
use metlog_message::wire::{Cut, Piece, Splitter, Stream};

/// What came out: a message without blanks around it, or so many bytes that were too large.
type Cuts = Vec<Result<Vec<u8>, usize>>;

fn limit(byte: u8) -> usize {
    if byte == 0xff { 1 << 20 } else { usize::from(byte) }
}

/// Where the stream is torn makes no difference, nothing is lost, and a line that is a message comes out whole.
pub fn splitter(data: &[u8]) {
    let ([size, seed], bytes) = choices(data);
    let all = tears(bytes, seed).map(|parts| split(&parts, limit(size)));
    let [whole, single, torn] = &all;
    assert_eq!(single, whole, "byte by byte");
    assert_eq!(torn, whole, "torn");
    nothing_is_lost(bytes, whole);
    whole_lines_come_out(bytes, limit(size), whole);
}

/// However it is torn: nothing is lost, a line that is a message comes out whole, and where there are no other lines
/// it is cut as the splitter cuts it.
pub fn stream(data: &[u8]) {
    let ([size, seed], bytes) = choices(data);
    let limit = limit(size);
    let plain = lines(bytes).all(|line| line.iter().all(|byte| b" \t\r".contains(byte)) || is_message(line, limit));
    let expected = split(&[bytes], limit);
    for parts in tears(bytes, seed) {
        let cuts = feed(&parts, limit);
        nothing_is_lost(bytes, &cuts);
        whole_lines_come_out(bytes, limit, &cuts);
        if plain {
            assert_eq!(cuts, expected, "in {} parts, limit {limit}", parts.len());
        }
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n')
}

fn split(parts: &[&[u8]], limit: usize) -> Cuts {
    let mut splitter = Splitter::new(limit);
    let mut pieces = Vec::new();
    for part in parts {
        splitter.push(part);
        pieces.extend(std::iter::from_fn(|| splitter.next_piece()));
    }
    pieces.extend(std::iter::from_fn(|| splitter.finish()));
    let own = |piece| match piece {
        Piece::Message(message) => Ok(message.trim_ascii().to_vec()),
        Piece::Oversized(bytes) => Err(bytes),
    };
    pieces.into_iter().map(own).collect()
}

fn feed(parts: &[&[u8]], limit: usize) -> Cuts {
    let mut stream = Stream::new(limit);
    let mut cuts = Vec::new();
    let mut take = |cut: Cut<'_>| {
        cuts.push(match cut {
            Cut::Message(message) => Ok(message.trim_ascii().to_vec()),
            Cut::Oversized(bytes) => Err(bytes),
        });
    };
    parts.iter().for_each(|part| stream.feed(part, &mut take));
    stream.finish(&mut take);
    cuts
}

/// All bytes but blanks are in what came out, or were counted; none is there twice.
fn nothing_is_lost(bytes: &[u8], cuts: &Cuts) {
    let dense = |bytes: &[u8]| bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
    let counted: usize = cuts.iter().map(|cut| cut.as_ref().map_or_else(|bytes| *bytes, Vec::len)).sum();
    let kept: usize = cuts.iter().map(|cut| cut.as_ref().map_or_else(|bytes| *bytes, |cut| dense(cut))).sum();
    assert!(counted <= bytes.len(), "{counted} bytes of {}", bytes.len());
    assert!(kept >= dense(bytes), "{kept} bytes, and there were {}: {cuts:?}", dense(bytes));
}

/// Whether a line, alone in a stream, is one message from its first byte to its last.
fn is_message(line: &[u8], limit: usize) -> bool {
    let text = line.trim_ascii_end();
    line.first() == Some(&b'{') && split(&[text], limit) == [Ok(text.to_vec())] && {
        let mut splitter = Splitter::new(limit);
        splitter.push(text);
        splitter.next_piece();
        splitter.is_between()
    }
}

/// A line that begins with a brace begins a message in any case: so what is before it, however broken, does not harm it.
fn whole_lines_come_out(bytes: &[u8], limit: usize, cuts: &Cuts) {
    let mut came = cuts.iter();
    for line in lines(bytes).filter(|line| is_message(line, limit)) {
        let line = line.trim_ascii_end();
        let found = came.any(|cut| cut.as_ref().is_ok_and(|cut| cut == line));
        assert!(found, "{} did not come out, or not in its turn: {cuts:?}", shown(line));
    }
}
