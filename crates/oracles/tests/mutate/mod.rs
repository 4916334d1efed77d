//! Chance changes to stored inputs: bits, bytes, words of the formats, parts left out, repeated, and taken from others.

use fastrand::Rng;
use std::ops::Range;

/// No input gets longer.
const LONGEST: usize = 16 * 1024;
/// Mutations that may be mutated further, beside the stored inputs.
const DESCENDANTS: usize = 64;

/// What means something to one decoder or another.
const WORDS: [&[u8]; 58] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"\0",
    b"\x7f",
    b"\xff",
    b"\xc3",
    b"\x1b[2J",
    b"null",
    b"true",
    b"NaN",
    b"-Infinity",
    b"-0",
    b"1e999",
    b"-1e-999",
    b"0.5",
    b"01",
    b"18446744073709551616",
    b"9223372036854775808",
    b"99999999999999999999999999999999999999999",
    b"\\u0000",
    b"\\ud83e",
    b"\\udd80",
    b"\\u0022",
    b"\\u000a",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\xa6\x80",
    b"..",
    b"../",
    b"/",
    b"{type}",
    b"{logger}",
    b"${",
    b"${HOST:-x}",
    b"%(",
    b"|",
    b"|@0.1",
    b"|#",
    b";",
    b"=",
    b"@",
    b"#",
    b"'",
    b"\"\"\"",
    b"[a.b]\n",
    b"\x04PING",
    b"\x05READY",
    b"\x28\xb5\x2f\xfd",
];

pub struct Mutator {
    random: Rng,
    stored: Vec<Vec<u8>>,
    descendants: Vec<Vec<u8>>,
}

impl Mutator {
    pub fn new(seed: u64, stored: Vec<Vec<u8>>) -> Self {
        Mutator { random: Rng::with_seed(seed), stored, descendants: Vec::new() }
    }

    /// The next input.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.some().to_vec();
        loop {
            self.change(&mut input);
            // One change more often than two, two more often than three.
            if self.random.bool() {
                break;
            }
        }
        input.truncate(LONGEST);
        if self.random.u8(..) < 8 {
            if self.descendants.len() < DESCENDANTS {
                self.descendants.push(input.clone());
            } else {
                let at = self.random.usize(..DESCENDANTS);
                self.descendants[at].clone_from(&input);
            }
        }
        input
    }

    fn some(&mut self) -> &[u8] {
        let from =
            if self.descendants.is_empty() || self.random.u8(..) < 192 { &self.stored } else { &self.descendants };
        &from[self.random.usize(..from.len())]
    }

    /// A part of something so long; short ones are likelier.
    fn part(&mut self, length: usize) -> Range<usize> {
        if length == 0 {
            return 0..0;
        }
        let most = 1 << self.random.u32(0..=usize::BITS - length.leading_zeros());
        let start = self.random.usize(..length);
        start..(start + self.random.usize(1..=most)).min(length)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.random.usize(..=input.len());
        match self.random.u8(..12) {
            0 => flip(input, at, self.random.u8(..8)),
            1 => input.get_mut(at).into_iter().for_each(|byte| *byte = self.random.u8(..)),
            2 => insert(input, at, WORDS[self.random.usize(..WORDS.len())]),
            3 => drop(input.drain(self.part(input.len()))),
            4 => {
                let part = input[self.part(input.len())].to_vec();
                let times = 1 << self.random.u32(0..8);
                insert(input, at, &part.repeat(times.min(1 + LONGEST / (part.len() + 1))));
            }
            5 => {
                let other = self.some().to_vec();
                let from = self.random.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            6 => input.truncate(at),
            7 => {
                let other = self.some().to_vec();
                insert(input, at, &other[self.part(other.len())]);
            }
            8 => self.number(input, at),
            9 => {
                let word = WORDS[self.random.usize(..WORDS.len())];
                let part = self.part(input.len());
                input.splice(part, word.iter().copied());
            }
            10 => {
                let part = self.part(input.len());
                input[part].reverse();
            }
            _ => self.line(input),
        }
    }

    /// A number near a border, in a binary format.
    fn number(&mut self, input: &mut [u8], at: usize) {
        let border = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];
        let number = border[self.random.usize(..border.len())].wrapping_add(self.random.u64(..3)).wrapping_sub(1);
        let size = 1 << self.random.u32(..4);
        let mut bytes = number.to_le_bytes();
        if self.random.bool() {
            bytes[..size].reverse();
        }
        input.iter_mut().skip(at).take(size).zip(bytes).for_each(|(place, byte)| *place = byte);
    }

    /// A line elsewhere, or twice.
    fn line(&mut self, input: &mut Vec<u8>) {
        let mut lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
        let (from, to) = (self.random.usize(..lines.len()), self.random.usize(..lines.len()));
        if self.random.bool() {
            lines.swap(from, to)
        } else {
            lines.insert(to, lines[from])
        }
        *input = lines.join(&b'\n');
    }
}

fn flip(input: &mut [u8], at: usize, bit: u8) {
    input.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << bit);
}

fn insert(input: &mut Vec<u8>, at: usize, part: &[u8]) {
    input.splice(at..at, part.iter().copied());
}
