//! Bodies: cut into messages, and expanded.

use crate::{choices, shown};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use metlog_http::axum::body::Body;
use metlog_http::axum::http::Request;
use metlog_http::server::{Bounds, Content, Piece, Refused, ServerLimits, limited_body, pieces};
use metlog_settings::Size;
use serde_json::Value;
use std::io::Write;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// Pieces come in order and hold everything but what stands between them; and where a body is JSON they are exactly its
/// values.
pub fn http_pieces(data: &[u8]) {
    let mut all = Vec::new();
    let mut unfinished = false;
    pieces(data, |piece| match piece {
        Piece::Message(bytes) => all.push(bytes),
        Piece::Unfinished(bytes) => {
            unfinished = true;
            all.push(bytes);
        }
    });
    in_order(data, &all);
    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let Some(values) = values(text) else { return };
    assert!(!unfinished, "JSON has an end");
    let cut: Vec<Value> = all
        .iter()
        .map(|piece| serde_json::from_slice(piece).unwrap_or_else(|error| panic!("{}: {error}", shown(piece))))
        .collect();
    assert_eq!(cut, values);
}

/// Between two pieces, and around them, there are only blanks, and the signs of a list.
fn in_order(data: &[u8], all: &[&[u8]]) {
    let between = |from: usize, to: usize| {
        let part = data.get(from..to).unwrap_or_else(|| panic!("the piece at {to} begins before {from}"));
        let free = |byte: &u8| byte.is_ascii_whitespace() || b"[],\xef\xbb\xbf".contains(byte);
        assert!(part.iter().all(free), "{} is in no piece", shown(part));
    };
    let mut at = 0;
    for piece in all.iter().filter(|piece| !piece.is_empty()) {
        let begin = piece.as_ptr() as usize - data.as_ptr() as usize;
        between(at, begin);
        at = begin + piece.len();
    }
    between(at, data.len());
}

/// What a body means, if it is one list and nothing else, or objects and nothing else.
fn values(text: &[u8]) -> Option<Vec<Value>> {
    let all = serde_json::Deserializer::from_slice(text).into_iter::<Value>().collect::<Result<Vec<_>, _>>().ok()?;
    match all.as_slice() {
        [Value::Array(list)] => Some(list.clone()),
        objects if objects.iter().all(Value::is_object) => Some(all),
        _ => None,
    }
}

const BODY: usize = 64 * 1024;
const EXPANDED: usize = 256 * 1024;

/// The first byte says which coding the body claims. It is expanded within its limits or refused; what was compressed
/// well comes back as it was; and nothing stays counted as in flight.
pub fn http_body(data: &[u8]) {
    thread_local! {
        static SERVER: (Runtime, Arc<Bounds>) = {
            let limits = ServerLimits {
                body: Size(BODY as u64),
                expanded: Size(EXPANDED as u64),
                in_flight: Size(4 << 20),
                ..ServerLimits::default()
            };
            (Builder::new_current_thread().enable_time().build().expect("a runtime"), Bounds::new(limits))
        };
    }
    let ([coding], body) = choices(data);
    SERVER.with(|(runtime, bounds)| {
        let receive = |coding: &str, body: &[u8]| {
            let request = Request::builder().header("content-encoding", coding).body(Body::from(body.to_vec()));
            let content = runtime.block_on(limited_body(request.expect("a request"), bounds));
            check(body, &content);
            content.map(|content| content.to_vec())
        };
        let coding = ["gzip", "deflate", "zstd", "identity", "x-gzip", "br", "gzip, zstd", ""]
            .get(usize::from(coding % 8))
            .copied()
            .unwrap_or_default();
        let _either = receive(coding, body);
        let inner = [&b"\x1f\x8b"[..], b"\x28\xb5\x2f\xfd"].iter().any(|magic| body.starts_with(magic));
        for (coding, packed) in packed(body) {
            let fits = packed.len() <= BODY && body.len() <= EXPANDED && !inner;
            match receive(coding, &packed) {
                Ok(content) => assert!(fits && content == body, "{coding} came back otherwise"),
                Err(refused) => assert!(!fits, "{coding} refused: {}", refused.error),
            }
        }
        assert_eq!(bounds.in_flight(), 0, "bytes in flight that nobody holds");
    });
}

fn check(body: &[u8], content: &Result<Content, Refused>) {
    match content {
        Ok(content) => assert!(content.len() <= EXPANDED, "{} bytes from {}", content.len(), body.len()),
        Err(refused) => {
            let status = refused.status.as_u16();
            assert!([400, 413, 415].contains(&status), "{status}: {}", refused.error);
        }
    }
}

fn packed(body: &[u8]) -> [(&'static str, Vec<u8>); 4] {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::fast());
    for writer in [&mut gzip as &mut dyn Write, &mut zlib, &mut deflate] {
        writer.write_all(body).expect("memory takes all");
    }
    let finished = "memory takes all";
    [
        ("gzip", gzip.finish().expect(finished)),
        ("deflate", zlib.finish().expect(finished)),
        ("deflate", deflate.finish().expect(finished)),
        ("zstd", zstd::bulk::compress(body, 1).expect(finished)),
    ]
}
