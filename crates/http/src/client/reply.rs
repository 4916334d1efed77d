//! What came back, and no more of it than anyone needs.

use super::dial::Link;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

/// Beyond the kept part, so many bytes are read and thrown away to keep the connection; a longer answer costs it.
const DISCARD_LIMIT: usize = 1024 * 1024;

/// A good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 299.
    pub status: u16,
    /// Its body, up to the configured limit.
    pub body: Vec<u8>,
    /// Whether the body went on.
    pub cut: bool,
}

impl Reply {
    /// The start of the body for an error text: one line, nothing a terminal would act on.
    pub fn excerpt(&self) -> String {
        excerpt(&self.body)
    }
}

/// At most 200 characters, every control or invisible character escaped.
pub(super) fn excerpt(body: &[u8]) -> String {
    const LIMIT: usize = 200;
    let start = body.get(..LIMIT * 4).unwrap_or(body);
    let text = String::from_utf8_lossy(start);
    let mut characters = text.trim().chars();
    let mut out = String::new();
    for character in characters.by_ref().take(LIMIT) {
        match character {
            '"' | '\'' | '\\' => out.push(character),
            other => out.extend(other.escape_debug()),
        }
    }
    if characters.next().is_some() || start.len() < body.len() {
        out.push('…');
    }
    out
}

pub(super) struct ReadBody {
    pub body: Vec<u8>,
    pub cut: bool,
    /// Whether the whole answer was read, so that the connection can carry another request.
    pub reusable: bool,
}

/// Reads a body, keeps its start. A body that breaks off or takes too long is a body cut short: the status has come,
/// and the status decides.
pub(super) async fn read(link: &mut Link, mut incoming: Incoming, limit: usize, deadline: Instant) -> ReadBody {
    let mut read = ReadBody { body: Vec::new(), cut: false, reusable: false };
    let mut discarded = 0;
    loop {
        if incoming.is_end_stream() {
            read.reusable = true;
            return read;
        }
        let data = match timeout_at(deadline, link.with(incoming.frame())).await {
            Ok(None) => {
                read.reusable = true;
                return read;
            }
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => data,
                Err(_trailers) => continue,
            },
            Ok(Some(Err(_))) | Err(_) => {
                read.cut = true;
                return read;
            }
        };
        let (kept, rest) = data.split_at(data.len().min(limit - read.body.len()));
        read.body.extend_from_slice(kept);
        if !rest.is_empty() {
            read.cut = true;
            discarded += rest.len();
            if discarded > DISCARD_LIMIT {
                return read;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn an_excerpt_is_short_and_harmless() {
        assert_eq!(excerpt(b"  {\"detail\": \"no\"}\n"), "{\"detail\": \"no\"}");
        assert_eq!(excerpt(b"a\x1b[31mred\nline \xff"), "a\\u{1b}[31mred\\nline \u{fffd}");
        assert_eq!(excerpt("\u{202e}x".as_bytes()), "\\u{202e}x");
        assert_eq!(excerpt(&[b'x'; 100_000]).chars().count(), 201);
    }
}
