//! Where a key may stand in a request.
//!
//! `Authorization: Bearer K`; `Authorization: Basic` with the key as password, or as user without one; `Authorization:
//! ApiKey` with `id:K` in base64, or with K itself; `X-Api-Key: K`; and `/key/K` before the path, for clients that can be
//! given nothing but an address. Never in a query: those are what proxies and browsers write down.

use super::text::LONGEST;
use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Uri};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Before the key in a path.
const IN_PATH: &str = "/key/";

/// What could be a key in a request. More than one is no mistake: a proxy may add a header of its own.
pub(super) type Candidates = Vec<Vec<u8>>;

/// Headers that are looked at; who repeats one more often is up to no good.
const REPEATED: usize = 2;

/// Cuts every key out of a request, so that nothing behind this can repeat one, in an answer or anywhere.
pub(super) fn cut(head: &mut Parts) -> Candidates {
    let mut found = Candidates::new();
    if let Some((key, rest)) = in_path(&head.uri) {
        found.push(key);
        head.uri = rest;
    }
    let headers = &head.headers;
    found.extend(headers.get_all(API_KEY).iter().take(REPEATED).map(|value| value.as_bytes().trim_ascii().to_vec()));
    found.extend(headers.get_all(AUTHORIZATION).iter().take(REPEATED).filter_map(authorization));
    head.headers.remove(API_KEY);
    head.headers.remove(AUTHORIZATION);
    found
}

fn in_path(uri: &Uri) -> Option<(Vec<u8>, Uri)> {
    let (key, rest) = match uri.path().strip_prefix(IN_PATH)?.split_once('/') {
        Some((key, rest)) => (key, rest),
        None => (uri.path().strip_prefix(IN_PATH)?, ""),
    };
    // Clients put a slash between an address and a path, whether or not there is one already.
    let rest = rest.trim_start_matches('/');
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    let mut parts = uri.clone().into_parts();
    // What was part of a path and query is fit for one.
    parts.path_and_query = Some(PathAndQuery::try_from(format!("/{rest}{query}")).ok()?);
    Some((key.as_bytes().to_vec(), Uri::from_parts(parts).ok()?))
}

/// Longer than the longest of all that hold a key.
const CODED: usize = 2 * LONGEST;

fn authorization(value: &HeaderValue) -> Option<Vec<u8>> {
    let value = value.as_bytes().trim_ascii();
    let (scheme, rest) = value.split_at_checked(value.iter().position(|byte| *byte == b' ')?)?;
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    let basic = scheme.eq_ignore_ascii_case(b"basic");
    if !basic && !scheme.eq_ignore_ascii_case(b"apikey") {
        return None;
    }
    if rest.len() > CODED {
        return Some(rest.to_vec());
    }
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = GeneralPurpose::new(&STANDARD, lenient).decode(rest).ok();
    let pair = decoded.as_deref().and_then(|pair| pair.split_at_checked(pair.iter().position(|byte| *byte == b':')?));
    match pair {
        Some((user, b":")) if basic => Some(user.to_vec()),
        Some((_, key)) => key.get(1..).map(<[u8]>::to_vec),
        // A key of ours holds a `_` and cannot be base64, so this is not guessing.
        None => Some(rest.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn cut_from(uri: &str, headers: &[(&str, &str)]) -> (Vec<String>, Parts) {
        let (found, head) = cut_raw(uri, headers);
        (found.into_iter().map(|key| String::from_utf8(key).expect("UTF-8")).collect(), head)
    }

    fn cut_raw(uri: &str, headers: &[(&str, &str)]) -> (Candidates, Parts) {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut head = request.body(()).expect("a request").into_parts().0;
        (cut(&mut head), head)
    }

    #[test]
    fn every_place_and_none_is_left_with_it() {
        let cases = [
            ("authorization", "Bearer metlog_K"),
            ("authorization", "bearer   metlog_K "),
            ("authorization", "Basic dXNlcjptZXRsb2dfSw=="),
            ("authorization", "Basic dXNlcjptZXRsb2dfSw"),
            ("authorization", "Basic bWV0bG9nX0s6"),
            ("authorization", "ApiKey aWQ6bWV0bG9nX0s="),
            ("authorization", "APIKEY metlog_K"),
            ("x-api-key", "metlog_K"),
        ];
        for (name, value) in cases {
            let (found, head) = cut_from("/logs?a=b", &[(name, value), ("accept", "*/*")]);
            assert_eq!(found, ["metlog_K"], "{name}: {value}");
            assert_eq!((head.uri.to_string().as_str(), head.headers.len()), ("/logs?a=b", 1));
        }
    }

    #[test]
    fn a_path_loses_its_key_and_nothing_else() {
        let cases = [
            ("/key/metlog_K/logs", "/logs"),
            ("/key/metlog_K/logs/?x=/key/y/", "/logs/?x=/key/y/"),
            ("/key/metlog_K", "/"),
            ("/key/metlog_K/", "/"),
            ("/key/metlog_K?q", "/?q"),
            ("/key/metlog_K//logs", "/logs"),
            ("/key/metlog_K/key/other/logs", "/key/other/logs"),
            ("http://localhost:5568/key/metlog_K/logs?a", "http://localhost:5568/logs?a"),
        ];
        for (uri, rest) in cases {
            let (found, head) = cut_from(uri, &[]);
            assert_eq!((found, head.uri.to_string().as_str()), (vec!["metlog_K".to_owned()], rest), "{uri}");
        }
        for uri in ["/", "/key", "/keys/metlog_K/logs", "/v1/key/metlog_K", "/logs?key=metlog_K&/key/x", "/Key/x/y"] {
            let (found, head) = cut_from(uri, &[]);
            assert_eq!((found.len(), head.uri.to_string().as_str()), (0, uri));
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_cut_without_harm(path in "/(key/)?[!-~]{0,40}", values in proptest::collection::vec(
            proptest::prelude::prop_oneof!["[ -~]{0,40}", "(Bearer|Basic|ApiKey) [!-~]{0,40}"], 0..4,
        )) {
            let headers: Vec<_> = values.iter().map(|value| ("authorization", value.as_str())).collect();
            if path.parse::<Uri>().is_ok() {
                let (found, head) = cut_raw(&path, &headers);
                proptest::prop_assert!(found.len() <= 3);
                proptest::prop_assert!(head.headers.is_empty() && head.uri.path().starts_with('/'));
            }
        }
    }

    #[test]
    fn what_is_no_key_is_none_and_what_is_too_much_is_left_out() {
        for value in ["", "Bearer", "Digest username=\"x\"", "Negotiate metlog_K", "metlog_K"] {
            assert_eq!(cut_from("/", &[("authorization", value)]).0, [""; 0], "{value}");
        }
        let four = [("x-api-key", "a"), ("x-api-key", "b"), ("x-api-key", "c"), ("authorization", "Bearer d")];
        let (found, head) = cut_from("/", &four);
        assert_eq!(found, ["a", "b", "d"]);
        assert!(head.headers.is_empty());
        let long = format!("Basic {}", "A".repeat(10_000));
        assert_eq!(cut_from("/", &[("authorization", &long)]).0[0].len(), 10_000);
    }
}
