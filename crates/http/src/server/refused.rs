//! A short answer that says why not.
//!
//! Always a JSON object, always ASCII: a client of ours in the field dies of an error text that it cut in the middle of
//! a character, and another of a body that is no object.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use metlog_pipeline::Full;
use std::borrow::Cow;
use std::time::Duration;

/// Longer explanations are cut: many clients keep the first 512 or 4096 bytes only.
const LONGEST: usize = 400;

/// Why a request was refused; becomes `{"error":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status of the answer.
    pub status: StatusCode,
    /// What is wrong, and what would be right.
    pub error: Cow<'static, str>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Refused {
    /// For good.
    pub fn new(status: StatusCode, error: impl Into<Cow<'static, str>>) -> Self {
        Refused { status, error: error.into(), retry_after: None }
    }

    /// For now: 503.
    pub fn later(error: impl Into<Cow<'static, str>>, after: Duration) -> Self {
        Refused { status: StatusCode::SERVICE_UNAVAILABLE, error: error.into(), retry_after: Some(after) }
    }
}

impl From<Full> for Refused {
    fn from(full: Full) -> Self {
        Refused::later(full.why, full.retry_after)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response<Body> {
        let mut body = b"{\"error\":".to_vec();
        quote(&mut body, &self.error);
        body.push(b'}');
        let mut response = json(self.status, body);
        if let Some(after) = self.retry_after {
            // Whole seconds are all the header has; 0 would mean a hot loop.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

/// An answer of JSON.
pub fn json(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Writes a text as a JSON string of ASCII alone, cut where it gets long.
pub fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let end = out.len() + LONGEST;
    for character in text.chars() {
        if out.len() >= end {
            out.extend_from_slice(b"...");
            break;
        }
        match character {
            '"' | '\\' => out.extend([b'\\', character as u8]),
            ' '..='~' => out.push(character as u8),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
        }
    }
    out.push(b'"');
}
