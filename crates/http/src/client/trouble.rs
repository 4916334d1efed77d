//! What an answer means for what was sent: take it as delivered, try again, stop until someone looks, or give it up.

use super::address::Address;
use super::reply::excerpt;
use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderMap, HeaderValue, LOCATION};
use metlog_pipeline::SendError;
use std::fmt;
use std::time::{Duration, SystemTime};

/// A peer cannot send us to sleep for longer than this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Why something did not go through, sorted by what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Later it may work: no connection, a time-out, 408, 425, 429, any 5xx.
    Retry {
        /// For people.
        why: String,
        /// What the peer asked us to wait, an hour at the most.
        after: Option<Duration>,
    },
    /// Nothing will go through until someone changes something: a redirect, wrong path, missing or wrong key.
    Pause {
        /// For people, with what would be right.
        why: String,
        /// The status, if there was an answer.
        status: Option<u16>,
    },
    /// This body will never go through; a part of it may.
    Refuse {
        /// For people.
        why: String,
        /// The status; 413 means too large.
        status: u16,
    },
}

impl Trouble {
    /// Worth trying again, with no wish of the peer about when.
    pub fn retry(why: impl fmt::Display) -> Self {
        Trouble::Retry { why: why.to_string(), after: None }
    }

    /// Someone has to look at it.
    pub fn pause(why: impl fmt::Display) -> Self {
        Trouble::Pause { why: why.to_string(), status: None }
    }

    /// The words for people.
    pub fn why(&self) -> &str {
        match self {
            Trouble::Retry { why, .. } | Trouble::Pause { why, .. } | Trouble::Refuse { why, .. } => why,
        }
    }

    /// The same in other words.
    #[must_use]
    pub fn reworded(mut self, words: impl FnOnce(&str) -> String) -> Self {
        let (Trouble::Retry { why, .. } | Trouble::Pause { why, .. } | Trouble::Refuse { why, .. }) = &mut self;
        *why = words(why);
        self
    }

    /// For a sender that sent all of a batch in one piece and does not want to cut it.
    pub fn into_send_error(self, messages: usize) -> SendError {
        match self {
            Trouble::Retry { why, after } => SendError::Retry { why, after, done: 0 },
            Trouble::Pause { why, .. } => SendError::Pause { why },
            Trouble::Refuse { why, .. } => SendError::Refuse { why, which: (0..messages).collect() },
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())
    }
}

impl std::error::Error for Trouble {}

/// An answer that is not 2xx.
pub(super) struct Answer<'a> {
    pub address: &'a Address,
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    pub retry_after: Option<Duration>,
    /// The start of its body, harmless to print.
    pub excerpt: String,
    /// Bytes of the body that was sent, before compression.
    pub sent: usize,
    /// How that was compressed.
    pub coding: Option<&'static str>,
}

pub(super) fn classify(answer: &Answer<'_>) -> Trouble {
    let Answer { address, status, headers, retry_after, excerpt: body, sent, coding } = answer;
    let said = if body.is_empty() { String::new() } else { format!(": {body}") };
    let text = |hint: &str| match hint {
        "" => format!("{address} answered {status}{said}"),
        hint => format!("{address} answered {status}{said} ({hint})"),
    };
    let pause = |hint: &str| Trouble::Pause { why: text(hint), status: Some(status.as_u16()) };
    match status.as_u16() {
        408 | 425 | 429 | 500..=599 => Trouble::Retry { why: text(""), after: *retry_after },
        300..=399 => match headers.get(LOCATION) {
            Some(to) => pause(&format!(
                "it sends us to {}; writes are never redirected, so set that address if you trust it",
                place(to)
            )),
            None => pause("writes are never redirected"),
        },
        401 | 403 => pause("check the key: it is missing, wrong, or may not write here"),
        402 => pause("the account behind this key cannot take more"),
        404 | 410 => pause("check the URL: nothing takes messages at this path"),
        405 => match headers.get(ALLOW) {
            Some(allowed) => {
                pause(&format!("check the URL: this path takes {}, not POST", excerpt(allowed.as_bytes())))
            }
            None => pause("check the URL: this path takes no POST"),
        },
        407 => {
            pause("a proxy stands in between, and proxies are not supported: give an address that is reached directly")
        }
        415 => match coding {
            Some(coding) => pause(&format!("it may not understand {coding}; try `compress = \"none\"`")),
            None => pause("check the URL: this path takes messages in another format"),
        },
        406 | 411 | 414 | 417 | 421 | 426 | 431 => pause("check the URL and `connection.headers`"),
        413 => Trouble::Refuse { why: text(&format!("{sent} bytes are too many")), status: 413 },
        400..=499 => Trouble::Refuse { why: text(""), status: status.as_u16() },
        _ => pause("this is no answer to a write"),
    }
}

/// A `Location` for an error text: without query and user information, which may be secret.
fn place(location: &HeaderValue) -> String {
    let text = excerpt(location.as_bytes());
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => text.to_owned(),
    }
}

/// `Retry-After`, in seconds or as a date.
pub(super) fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        // A date that has passed means now.
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], coding: Option<&'static str>) -> Trouble {
        let address = Address::parse("url", "http://h/x?token=secret").unwrap();
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (hyper::header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        classify(&Answer {
            address: &address,
            status: StatusCode::from_u16(status).unwrap(),
            headers: &headers,
            retry_after: headers.get("retry-after").and_then(retry_after),
            excerpt: String::new(),
            sent: 10,
            coding,
        })
    }

    #[test]
    fn every_status_has_a_verdict() {
        for status in [408, 425, 429, 500, 501, 502, 503, 504, 507, 599] {
            assert!(matches!(answer(status, &[], None), Trouble::Retry { after: None, .. }), "{status}");
        }
        for status in [101, 300, 301, 302, 303, 304, 307, 308, 401, 402, 403, 404, 405, 406, 407, 410, 415, 426, 431] {
            assert!(matches!(answer(status, &[], None), Trouble::Pause { .. }), "{status}");
        }
        for status in [400, 409, 412, 413, 422, 418, 499] {
            assert!(matches!(answer(status, &[], None), Trouble::Refuse { .. }), "{status}");
        }
    }

    #[test]
    fn words_name_the_place_and_what_would_be_right_but_no_secret() {
        let redirect = answer(307, &[("location", "https://user:hunter2@other/logs?token=secret")], None);
        assert_eq!(
            redirect.why(),
            "http://h:80/x answered 307 Temporary Redirect (it sends us to https://other/logs; writes are never \
             redirected, so set that address if you trust it)"
        );
        assert!(answer(405, &[("allow", "GET")], None).why().contains("takes GET, not POST"));
        assert!(answer(415, &[], Some("zstd")).why().contains("`compress = \"none\"`"));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_has_a_limit() {
        let after = |text: &str| retry_after(&HeaderValue::from_str(text).unwrap());
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("99999999999"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(after(&soon).is_some_and(|wait| wait > Duration::from_secs(90) && wait <= Duration::from_secs(100)));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
        assert!(
            matches!(answer(503, &[("retry-after", "2")], None), Trouble::Retry { after: Some(wait), .. } if wait.as_secs() == 2)
        );
    }
}
