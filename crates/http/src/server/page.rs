//! A page that brings all it needs and may do nothing else.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

/// An HTML page with one `<script>` and one `<style>`, and the policy that lets these run, lets them ask the server they
/// came from, and nothing more: whatever of a message should ever become markup stays dead.
#[derive(Debug, Clone)]
pub struct Page {
    html: &'static str,
    policy: HeaderValue,
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
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            hash("script"),
            hash("style")
        );
        // Of such text nothing is refused; if it were, nothing would run.
        let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Page { html, policy }
    }

    /// The answer.
    pub fn answer(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.html));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_just_what_is_there() {
        let answer = Page::new("<style>a{}</style><p>x<script>1</script>").answer();
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("ASCII");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'sha256-a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s='"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
    }
}
