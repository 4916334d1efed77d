//! What must hold of every decoder, whatever bytes it is given: one function for each, which panics if it does not.
//!
//! Two things call them: `tests/corpus.rs`, with the stored inputs in `corpus/` and chance mutations of them, in plain
//! `cargo test`; and the targets of `cargo fuzz` in the folder `fuzz/` at the top. Where a decoder has a public function
//! it is called; otherwise the real thing is opened and fed: a socket, a file, a journal.

mod deadletters;
mod field;
mod http;
mod paths;
mod place;
mod query;
mod settings;
mod spool;
mod statsd;
mod stream;
mod udp;
mod wire;
mod zmtp;

pub use deadletters::dead_letter;
pub use field::field_path;
pub use http::{http_body, http_pieces};
pub use paths::file_path;
pub use query::{query_box, selector};
pub use settings::{settings_ini, settings_toml};
pub use spool::spool;
pub use statsd::statsd;
pub use stream::{splitter, stream};
pub use udp::udp;
pub use wire::{head, message};
pub use zmtp::zmtp;

/// One oracle: bytes in, a panic if something that must hold does not.
pub type Oracle = fn(&[u8]);

/// All of them. The name is that of the function, of the folder in `corpus/`, and of the target in `fuzz/`.
pub const ALL: [(&str, Oracle); 17] = [
    ("dead_letter", dead_letter),
    ("field_path", field_path),
    ("file_path", file_path),
    ("head", head),
    ("http_body", http_body),
    ("http_pieces", http_pieces),
    ("message", message),
    ("query_box", query_box),
    ("selector", selector),
    ("settings_ini", settings_ini),
    ("settings_toml", settings_toml),
    ("splitter", splitter),
    ("spool", spool),
    ("statsd", statsd),
    ("stream", stream),
    ("udp", udp),
    ("zmtp", zmtp),
];

/// Bytes as a person can read and a test can repeat them.
fn shown(bytes: &[u8]) -> String {
    format!("b\"{}\"", bytes.escape_ascii())
}

/// The first bytes, which say how the rest is meant; nought where there are none.
fn choices<const N: usize>(data: &[u8]) -> ([u8; N], &[u8]) {
    let mut chosen = [0; N];
    let (first, rest) = data.split_at_checked(N).unwrap_or((data, &[]));
    chosen.iter_mut().zip(first).for_each(|(place, byte)| *place = *byte);
    (chosen, rest)
}

/// Some ways to tear bytes apart: not at all, each byte by itself, and at places drawn from the seed.
fn tears(bytes: &[u8], seed: u8) -> [Vec<&[u8]>; 3] {
    let mut random = fastrand::Rng::with_seed(seed.into());
    let mut parts = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(random.usize(1..=rest.len().min(40)));
        parts.push(part);
        rest = after;
    }
    [vec![bytes], bytes.chunks(1).collect(), parts]
}
