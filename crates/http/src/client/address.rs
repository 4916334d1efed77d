//! Where to: a URL, checked once, printable without secrets.

use hyper::Uri;
use hyper::header::HeaderValue;
use std::fmt;

/// An absolute `http` or `https` URL, split into what a connection and a request need.
///
/// Its `Display` leaves the query out: a query may hold a token, and addresses end up in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    tls: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    path: String,
    query: String,
}

impl Address {
    /// Reads a URL. `setting` is the name of the setting it came from, for the error text, which never repeats the
    /// URL's user information or query.
    pub fn parse(setting: &str, url: &str) -> Result<Self, String> {
        let url = url.trim();
        let shape = "something like `http://127.0.0.1:8080` or `https://logs.example.org/prefix`";
        if url.is_empty() {
            return Err(format!("`{setting}` is empty; it needs {shape}"));
        }
        if url.contains('#') {
            return Err(format!("`{setting}` holds a `#`, which a server never gets to see; leave that part away"));
        }
        let uri: Uri = url.parse().map_err(|error| format!("`{setting}` is not a URL ({error}); it needs {shape}"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(other) => return Err(format!("`{setting}` has the scheme `{other}`; only http and https work here")),
            None => return Err(format!("`{setting}` has no scheme; it needs {shape}")),
        };
        let Some(authority) = uri.authority() else {
            return Err(format!("`{setting}` names no host; it needs {shape}"));
        };
        if authority.as_str().contains('@') {
            return Err(format!(
                "`{setting}` holds a user name or password; URLs end up in logs, so give them as settings of their own"
            ));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(format!("`{setting}` names no host; it needs {shape}"));
        }
        let port = match (authority.port_u16(), authority.port()) {
            (Some(0), _) => return Err(format!("`{setting}` has port 0, which nothing can listen on")),
            (Some(port), _) => port,
            (None, None) if authority.as_str().ends_with(':') => {
                return Err(format!("`{setting}` has a colon without a port; it needs {shape}"));
            }
            _ if tls => 443,
            _ => 80,
        };
        Ok(Address { tls, host, port, path: uri.path().to_owned(), query: uri.query().unwrap_or("").to_owned() })
    }

    /// The path, `/` at the least.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same place with this path.
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The same place with `ending` at the end of its path, whether it was there already or not, and whether the path
    /// ended in a slash or not. `endings` that are only part of it (`/api/v1` of `/api/v1/logs`) count too.
    ///
    /// This is what lets people give a server's address, its API's address or the full one.
    pub fn ending_in(self, ending: &str, partial: &[&str]) -> Self {
        let trimmed = self.path.trim_end_matches('/');
        let base = std::iter::once(ending)
            .chain(partial.iter().copied())
            .find_map(|known| trimmed.strip_suffix(known))
            .unwrap_or(trimmed);
        let path = format!("{base}{ending}");
        self.with_path(path)
    }

    /// The same place with one more query parameter, percent-encoded here.
    pub fn with_parameter(mut self, name: &str, value: &str) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        percent_encode(&mut self.query, name);
        self.query.push('=');
        percent_encode(&mut self.query, value);
        self
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn path_and_query(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }

    /// `host:port` with the brackets of IPv6, as `Host` wants it.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    pub(crate) fn host_header(&self) -> Result<HeaderValue, String> {
        HeaderValue::try_from(self.authority()).map_err(|_| format!("`{}` cannot stand in a request", self.host))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// RFC 3986's unreserved characters stay, and the few that keep lists of names readable; everything else is encoded.
fn percent_encode(out: &mut String, text: &str) {
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~,".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Address {
        Address::parse("url", url).unwrap()
    }

    #[test]
    fn takes_the_usual_forms() {
        assert_eq!(at("http://localhost").to_string(), "http://localhost:80/");
        assert_eq!(at(" https://h/x/?token=secret ").to_string(), "https://h:443/x/");
        assert_eq!(at("https://h/x?token=1").path_and_query(), "/x?token=1");
        assert_eq!(at("http://[::1]:9/").authority(), "[::1]:9");
        assert_eq!(at("http://[::1]:9/").host(), "::1");
    }

    #[test]
    fn refuses_what_cannot_work_and_says_what_would_without_repeating_secrets() {
        for (url, word) in [
            ("", "is empty"),
            ("localhost:80", "needs"),
            ("ftp://h/", "only http and https"),
            ("http://u:hunter2@h/", "settings of their own"),
            ("http://h/#part", "`#`"),
            ("http://h:0/", "port 0"),
            ("http://h:/", "without a port"),
            ("http:///x", "needs"),
        ] {
            let error = Address::parse("url", url).unwrap_err();
            assert!(error.contains(word), "{url}: {error}");
            assert!(error.starts_with("`url`"), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn completes_a_path_from_any_form_of_it() {
        for url in ["http://h", "http://h/", "http://h/api/v1", "http://h/api/v1/logs/", "http://h/api/v1/logs/batch"] {
            let address = at(url).ending_in("/api/v1/logs/batch", &["/api/v1/logs", "/api/v1"]);
            assert_eq!(address.path(), "/api/v1/logs/batch", "{url}");
        }
        assert_eq!(at("http://h/pre/fix").ending_in("/event", &[]).path(), "/pre/fix/event");
    }

    #[test]
    fn encodes_parameters() {
        let address = at("http://h/x?a=1").with_parameter("_stream_fields", "type,a b").with_parameter("c", "d=e&f");
        assert_eq!(address.path_and_query(), "/x?a=1&_stream_fields=type,a%20b&c=d%3De%26f");
    }
}
