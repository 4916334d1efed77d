//! What an operator may set about a connection, and the credentials it carries.

use super::trouble::Trouble;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use metlog_settings::{Secret, Span};
use metlog_tls::Trust;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Settings every sender over HTTP has in common, as its `connection` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connection {
    /// How long looking up the name, connecting and the TLS handshake may take together. `5s` by default.
    pub connect_timeout: Span,
    /// Trusts the authorities in this PEM file besides the system's own.
    pub ca_file: Option<PathBuf>,
    /// Trusts nobody but those in `ca_file`. `false` by default.
    pub only_ca_file: bool,
    /// Shows this certificate (PEM, chain included) to a server that asks for one. Needs `client_key`.
    pub client_cert: Option<PathBuf>,
    /// The private key of `client_cert` (PEM).
    pub client_key: Option<PathBuf>,
    /// Further headers of every request. Those that frame the request or that metlog sets itself are refused.
    pub headers: BTreeMap<String, Secret>,
}

impl Default for Connection {
    fn default() -> Self {
        Connection {
            connect_timeout: Span(Duration::from_secs(5)),
            ca_file: None,
            only_ca_file: false,
            client_cert: None,
            client_key: None,
            headers: BTreeMap::new(),
        }
    }
}

/// What stands before the names of settings in error texts.
pub(super) const PLACE: &str = "connection.";

/// Headers that only this crate may set: a second one of them would make two readers see two different requests.
const OURS: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Connection {
    /// What is wrong with these settings, without touching a file: for a plugin's `check`.
    ///
    /// # Errors
    /// Which key, and why.
    pub fn check(&self) -> Result<(), String> {
        self.header_map()?;
        self.trust().check(PLACE)
    }

    /// Reads the certificate files that are named, and says what will soon be wrong with them: for a plugin's `examine`.
    ///
    /// # Errors
    /// Which file, and what is wrong with it.
    pub fn examine(&self) -> Result<Vec<String>, String> {
        let trust = self.trust();
        if trust == Trust::default() { Ok(Vec::new()) } else { trust.examine(PLACE) }
    }

    /// Whom it trusts, and what it shows.
    pub(super) fn trust(&self) -> Trust {
        let Connection { ca_file, only_ca_file, client_cert, client_key, .. } = self.clone();
        Trust { ca_file, only_ca_file, client_cert, client_key }
    }

    pub(super) fn header_map(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            if OURS.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(format!("`connection.headers` sets `{name}`, which the connection itself takes care of"));
            }
            let header = HeaderName::try_from(name.as_str()).map_err(|_| {
                format!("`connection.headers` holds the name {name:?}; a header's name is letters, digits and dashes")
            })?;
            headers.insert(header, header_value(&format!("connection.headers.{name}"), value.reveal())?);
        }
        Ok(headers)
    }
}

/// A value for a header. Control characters would end the header and begin another one, so they are refused.
fn header_value(setting: &str, text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(text).map_err(|_| {
        format!("`{setting}` holds a line break or another control character, which no header can carry")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Everything a client is made from besides its address.
#[derive(Debug)]
pub struct Options {
    /// What the operator set.
    pub connection: Connection,
    /// Who we are.
    pub key: Key,
    /// For one request, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// How much of an answer is kept. What is beyond is read and thrown away, within a limit.
    pub reply_limit: usize,
    /// The name of a header that the caller wants to see of each answer, whatever its status: [`super::Client::heard`].
    pub hear: Option<&'static str>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            connection: Connection::default(),
            key: Key::default(),
            timeout: Duration::from_secs(10),
            reply_limit: 64 * 1024,
            hear: None,
        }
    }
}

/// Credentials: none, a bearer key, or a user name with a password.
#[derive(Debug, Clone, Default)]
pub struct Key(Option<Credentials>);

#[derive(Debug, Clone)]
struct Credentials {
    /// The setting the secret came from, for error texts.
    setting: &'static str,
    /// Of basic authentication.
    user: Option<String>,
    secret: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Given(Secret),
    /// Read again after a 401 or 403, so that a key can be replaced while we run.
    File(PathBuf),
}

impl Source {
    fn either(setting: &str, given: Option<Secret>, file: Option<PathBuf>) -> Result<Option<Self>, String> {
        match (given, file) {
            (Some(_), Some(_)) => {
                Err(format!("both `{setting}` and `{setting}_file` are set; which should win? Keep one"))
            }
            (Some(secret), None) if secret.reveal().is_empty() => {
                Err(format!("`{setting}` is empty; leave it away to send without"))
            }
            (Some(secret), None) => {
                header_value(setting, secret.reveal())?;
                Ok(Some(Source::Given(secret)))
            }
            (given, file) => Ok(given.map(Source::Given).or(file.map(Source::File))),
        }
    }
}

impl Key {
    /// `Authorization: Bearer …`, from the settings `<setting>` and `<setting>_file`, of which one at the most may be
    /// given.
    pub fn bearer(setting: &'static str, key: Option<Secret>, file: Option<PathBuf>) -> Result<Self, String> {
        let secret = Source::either(setting, key, file)?;
        Ok(Key(secret.map(|secret| Credentials { setting, user: None, secret })))
    }

    /// `Authorization: Basic …`, from the settings `username`, `password` and `password_file`.
    pub fn basic(user: Option<String>, password: Option<Secret>, file: Option<PathBuf>) -> Result<Self, String> {
        match (user, Source::either("password", password, file)?) {
            (None, None) => Ok(Key(None)),
            (None, Some(_)) => Err("a password is set without `username`".into()),
            (Some(user), _) if user.contains(':') => {
                Err(format!("`username` {user:?} holds a colon, which basic authentication cannot carry"))
            }
            (Some(_), None) => Err("`username` is set without `password` or `password_file`".into()),
            (Some(user), Some(secret)) => Ok(Key(Some(Credentials { setting: "password", user: Some(user), secret }))),
        }
    }

    /// This key, or if there is none the other; two are one too many.
    pub fn or(self, other: Key) -> Result<Self, String> {
        match (self.0, other.0) {
            (Some(_), Some(_)) => Err("both a key and a user name are set; a request can carry one of them".into()),
            (one, other) => Ok(Key(one.or(other))),
        }
    }
}

/// The `Authorization` header, and when to read its file again.
#[derive(Debug)]
pub(super) struct Authorization {
    key: Key,
    value: Option<HeaderValue>,
    /// What must not appear in an error text although the peer sent it back.
    secret: Option<Secret>,
    stale: bool,
}

impl Authorization {
    pub(super) fn open(key: Key) -> Result<Self, String> {
        let mut authorization = Authorization { key, value: None, secret: None, stale: false };
        authorization.load()?;
        Ok(authorization)
    }

    fn load(&mut self) -> Result<(), String> {
        let Key(Some(Credentials { setting, user, secret })) = &self.key else { return Ok(()) };
        let secret = match secret {
            Source::Given(secret) => secret.clone(),
            Source::File(path) => {
                let text = Secret::from_file(path).map_err(|why| format!("`{setting}_file` {why}"))?;
                Secret::new(text.reveal().trim())
            }
        };
        let text = match user {
            None => format!("Bearer {}", secret.reveal()),
            Some(user) => format!("Basic {}", base64(format!("{user}:{}", secret.reveal()).as_bytes())),
        };
        self.value = Some(header_value(setting, &text)?);
        self.secret = Some(secret);
        self.stale = false;
        Ok(())
    }

    /// The header for the next request.
    pub(super) fn header(&mut self) -> Result<Option<HeaderValue>, Trouble> {
        if self.stale {
            self.load().map_err(Trouble::pause)?;
        }
        Ok(self.value.clone())
    }

    /// The peer did not like it: a file may hold a newer one by the next request.
    pub(super) fn refused(&mut self) {
        self.stale = matches!(self.key, Key(Some(Credentials { secret: Source::File(_), .. })));
    }

    /// A peer may send back what we sent. Then it is not for the log.
    pub(super) fn redact(&self, text: String) -> String {
        match &self.secret {
            Some(secret) => text.replace(secret.reveal(), "***"),
            _ => text,
        }
    }
}

/// RFC 4648 with padding; twelve lines against one more dependency.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(key: &str) -> Key {
        Key::bearer("key", Some(Secret::new(key)), None).unwrap()
    }

    #[test]
    fn base64_pads() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("Aladdin:open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn a_header_cannot_smuggle_another_one() {
        for (name, value) in [("X-A", "a\r\nX-B: b"), ("X-A\r\nX-B", "b"), ("Host", "other"), ("content-length", "0")] {
            let connection = Connection {
                headers: BTreeMap::from([(name.to_owned(), Secret::new(value))]),
                ..Connection::default()
            };
            let error = connection.header_map().unwrap_err();
            assert!(error.contains("connection.headers"), "{error}");
            assert!(!error.contains("X-B: b"), "values are secrets: {error}");
        }
        let key = Key::bearer("key", Some(Secret::new("a\nb")), None);
        assert!(key.unwrap_err().contains("control character"));
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let connection = Connection { client_cert: Some("c.pem".into()), ..Connection::default() };
        assert_eq!(connection.check().unwrap_err(), "`connection.client_cert` is set without `connection.client_key`");
        assert_eq!(Connection::default().check(), Ok(()));
    }

    #[test]
    fn no_secret_is_printed() {
        let options = Options {
            connection: Connection {
                headers: BTreeMap::from([("X-Key".to_owned(), Secret::new("hunter2"))]),
                ..Connection::default()
            },
            key: bearer("hunter2"),
            ..Options::default()
        };
        assert!(!format!("{options:?}").contains("hunter2"));
        let authorization = Authorization::open(options.key).unwrap();
        assert!(!format!("{authorization:?}").contains("hunter2"));
        assert_eq!(authorization.redact("bad token hunter2".into()), "bad token ***");
    }

    #[test]
    fn two_ways_to_authenticate_are_one_too_many() {
        let secret = || Some(Secret::new("s"));
        let user = || Some("u".to_owned());
        assert!(Key::bearer("key", secret(), Some("f".into())).unwrap_err().contains("`key_file`"));
        assert!(Key::bearer("key", Some(Secret::new(String::new())), None).is_err());
        assert!(Key::basic(None, secret(), None).is_err());
        assert!(Key::basic(user(), None, None).is_err());
        assert!(Key::basic(Some("u:x".into()), secret(), None).is_err());
        assert!(bearer("s").or(Key::basic(user(), secret(), None).unwrap()).is_err());
        assert!(bearer("s").or(Key::default()).unwrap().0.is_some());
    }
}
