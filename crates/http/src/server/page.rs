//! A page that brings all it needs and may do nothing else.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{SHA256, digest};
use std::io::Write;

/// An HTML page with one `<script>` and one `<style>`, and the policy that lets these run, lets them ask the server they
/// came from, lets it have an icon of its own, and nothing more: whatever of a message should ever become markup stays
/// dead.
///
/// It is packed once. A browser that has it asks whether it is still the same, and gets a line for an answer.
#[derive(Debug, Clone)]
pub struct Page {
    plain: Form,
    /// None if it would be no smaller.
    packed: Option<Form>,
    policy: HeaderValue,
}

/// The page as it is sent, and what tells it from others.
#[derive(Debug, Clone)]
struct Form {
    bytes: Bytes,
    tag: HeaderValue,
}

impl Form {
    fn of(bytes: Bytes) -> Self {
        let hex: Vec<String> = digest(&SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = format!("\"{}\"", hex.concat());
        // Letters and digits are never refused; if they were, nothing would have this tag.
        Form { bytes, tag: HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\"")) }
    }
}

impl Page {
    /// This one.
    pub fn new(html: &'static str) -> Self {
        let hash = |tag: &str| {
            let (_, behind) = html.split_once(&format!("<{tag}>")).unwrap_or_default();
            let (text, _) = behind.split_once(&format!("</{tag}>")).unwrap_or_default();
            STANDARD.encode(digest(&SHA256, text.as_bytes()))
        };
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash("script"),
            hash("style")
        );
        // Of such text nothing is refused; if it were, nothing would run.
        let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        let packed = packed(html.as_bytes()).filter(|packed| packed.len() < html.len());
        let plain = Form::of(Bytes::from_static(html.as_bytes()));
        Page { plain, packed: packed.map(|packed| Form::of(packed.into())), policy }
    }

    /// The answer to a request with these headers.
    pub fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        let packed = self.packed.as_ref().filter(|_| takes_gzip(headers));
        let form = packed.unwrap_or(&self.plain);
        let known = is_known(headers, &form.tag);
        let mut response = Response::new(if known { Body::empty() } else { Body::from(form.bytes.clone()) });
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(header::ETAG, form.tag.clone());
        // Kept, and asked about each time: another router may be there now, with another page.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        if !known {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            if packed.is_some() {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        response
    }
}

fn packed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// What the values of a header list, one after the other.
fn listed(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// What is said of gzip by name holds, then what is said of everything; who says nothing gets the page as it is.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let said = |coding: &str| {
        listed(headers, header::ACCEPT_ENCODING).find_map(|one| {
            let mut parts = one.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            named.then(|| weight.is_none_or(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight > 0.0)))
        })
    };
    said("gzip").or_else(|| said("*")).unwrap_or(false)
}

/// Whether whoever asks has just this. A proxy that has packed it by itself may call the tag weak.
fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    listed(headers, header::IF_NONE_MATCH).any(|one| one == "*" || one.trim_start_matches("W/").as_bytes() == tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::try_from(value).expect("a header"))])
    }

    async fn body(response: Response<Body>) -> Vec<u8> {
        axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body").to_vec()
    }

    #[test]
    fn the_policy_names_just_what_is_there() {
        let answer = Page::new("<style>a{}</style><p>x<script>1</script>").answer(&HeaderMap::new());
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("ASCII");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'sha256-a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s='"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
    }

    #[tokio::test]
    async fn whoever_takes_gzip_gets_it_and_it_is_the_same_page() {
        let html: &'static str = Box::leak("<p>much of the same".repeat(100).into_boxed_str());
        let page = Page::new(html);
        for (accepted, packed) in [
            ("gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("deflate, GZip;q=0.5", true),
            ("*", true),
            ("br, *;q=0.1", true),
            ("", false),
            ("identity", false),
            ("gzip;q=0", false),
            ("*, gzip; q=0.000", false),
            ("gzip;q=much", false),
            ("gzipped, x-gzip", false),
        ] {
            let answer = page.answer(&with(header::ACCEPT_ENCODING, accepted));
            assert_eq!(answer.headers().contains_key(header::CONTENT_ENCODING), packed, "{accepted}");
            assert_eq!(answer.headers()[header::VARY], "accept-encoding");
            let sent = body(answer).await;
            let mut text = String::new();
            match packed {
                true => flate2::read::GzDecoder::new(&*sent).read_to_string(&mut text).expect("gzip"),
                false => sent.as_slice().read_to_string(&mut text).expect("text"),
            };
            assert_eq!((text == html, sent.len() < html.len()), (true, packed), "{accepted}");
        }
        // What would only grow is left as it is.
        let short = Page::new("<p>x").answer(&with(header::ACCEPT_ENCODING, "gzip"));
        assert!(!short.headers().contains_key(header::CONTENT_ENCODING));
    }

    #[tokio::test]
    async fn whoever_has_it_is_told_so() {
        let html: &'static str = Box::leak("<p>much of the same".repeat(100).into_boxed_str());
        let page = Page::new(html);
        let tag =
            |headers: &HeaderMap| page.answer(headers).headers()[header::ETAG].to_str().expect("ASCII").to_owned();
        let gzip = with(header::ACCEPT_ENCODING, "gzip");
        let (plain, packed) = (tag(&HeaderMap::new()), tag(&gzip));
        assert_ne!(plain, packed, "other bytes");
        for (accepted, known, same) in [
            ("", plain.clone(), true),
            ("", format!("\"other\", W/{plain}"), true),
            ("", "*".to_owned(), true),
            ("", packed.clone(), false),
            ("gzip", plain.clone(), false),
            ("gzip", packed.clone(), true),
            ("gzip", packed.trim_matches('"').to_owned(), false),
        ] {
            let mut headers = with(header::ACCEPT_ENCODING, accepted);
            headers.extend(with(header::IF_NONE_MATCH, &known));
            let answer = page.answer(&headers);
            assert_eq!(answer.status() == StatusCode::NOT_MODIFIED, same, "{accepted} {known}");
            assert!(answer.headers().contains_key(header::CONTENT_SECURITY_POLICY));
            assert_eq!(body(answer).await.is_empty(), same);
        }
    }
}
