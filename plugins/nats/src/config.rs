//! Which servers, who we are there, TLS.

use async_nats::ServerAddr;
use metlog_settings::{Secret, Span};
use metlog_tls::Trust;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Who we are to the servers: one of the ways NATS knows.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Login {
    /// Goes with `password` or `password_file`.
    pub user: Option<String>,
    /// Goes with `user`.
    pub password: Option<Secret>,
    /// File that holds the password.
    pub password_file: Option<PathBuf>,
    /// A token.
    pub token: Option<Secret>,
    /// File that holds the token.
    pub token_file: Option<PathBuf>,
    /// The seed of an nkey, `SU…`.
    pub nkey: Option<Secret>,
    /// File that holds the seed of an nkey.
    pub nkey_file: Option<PathBuf>,
    /// A credentials file, `.creds`, with a user's JWT and seed.
    pub creds_file: Option<PathBuf>,
}

/// How connections are encrypted. A `tls://` URL, or any of these, requires TLS; certificate and name are always verified.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// No connection without TLS, whatever the URL and the server say.
    pub required: bool,
    /// PEM file of authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Trusts nobody but those in `ca_file`.
    pub only_ca_file: bool,
    /// PEM file with our certificate, for a server that asks for one.
    pub client_cert: Option<PathBuf>,
    /// PEM file with the key of `client_cert`.
    pub client_key: Option<PathBuf>,
}

/// What stands before the names of settings in error texts.
pub(crate) const PLACE: &str = "tls.";

impl Tls {
    /// Whom it trusts, and what it shows.
    pub(crate) fn trust(&self) -> Trust {
        let Tls { required: _, ca_file, only_ca_file, client_cert, client_key } = self.clone();
        Trust { ca_file, only_ca_file, client_cert, client_key }
    }
}

pub(crate) fn default_urls() -> Vec<String> {
    vec!["nats://127.0.0.1:4222".to_owned()]
}

pub(crate) fn timeout() -> Span {
    Span(Duration::from_secs(10))
}

/// All that is needed to connect.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    pub urls: Vec<ServerAddr>,
    pub login: Login,
    pub tls: Tls,
    /// For connecting and for each answer.
    pub timeout: Duration,
}

/// What the servers are shown.
pub(crate) enum Proof {
    Nothing,
    Password(String, String),
    Token(String),
    Seed(String),
    Credentials(String),
}

impl Servers {
    /// What the settings say, if they are right. Touches nothing.
    pub fn new(urls: &[String], login: &Login, tls: &Tls, timeout: Span) -> Result<Self, String> {
        let timeout = timeout.duration();
        if urls.is_empty() || urls.len() > 64 {
            return Err("`urls` needs 1 to 64 servers, such as `nats://127.0.0.1:4222`".into());
        }
        if timeout < Duration::from_millis(100) {
            return Err("`timeout` is shorter than 100ms; 10s is usual".into());
        }
        login.check()?;
        tls.trust().check(PLACE)?;
        let urls = urls.iter().map(|url| address(url)).collect::<Result<_, _>>()?;
        Ok(Servers { urls, login: login.clone(), tls: tls.clone(), timeout })
    }

    /// The servers, as people write them.
    pub fn place(&self) -> String {
        self.urls.iter().map(|url| url.as_url_str().trim_end_matches('/')).collect::<Vec<_>>().join(", ")
    }

    /// Reads the certificate files, if there is to be TLS, and says what will soon be wrong with them.
    pub fn examine(&self) -> Result<Vec<String>, String> {
        if self.must_encrypt() { self.tls.trust().examine(PLACE) } else { Ok(Vec::new()) }
    }

    /// Whether a connection without TLS is no connection.
    pub fn must_encrypt(&self) -> bool {
        let Tls { required, ca_file, client_cert, .. } = &self.tls;
        *required || ca_file.is_some() || client_cert.is_some() || self.urls.iter().any(ServerAddr::tls_required)
    }
}

fn address(url: &str) -> Result<ServerAddr, String> {
    let shape = "a server is written like `nats://host:4222`, or `tls://host:4222` where TLS is a must";
    // A password may stand in it, so it is not shown.
    if url.contains('@') {
        return Err("`urls`: a user or password does not stand in the URL; it has its place in `login`".into());
    }
    let wrong = |why: &str| format!("`urls`: `{url}` {why}; {shape}");
    let address: ServerAddr = url.trim().parse().map_err(|_| wrong("is no server"))?;
    match address.scheme() {
        "nats" | "tls" if address.host().is_empty() => Err(wrong("names no host")),
        "nats" | "tls" if address.port() == 0 => Err(wrong("has port 0")),
        "nats" | "tls" => Ok(address),
        scheme => Err(wrong(&format!("is of the kind `{scheme}`, which is not supported"))),
    }
}

impl Login {
    fn check(&self) -> Result<(), String> {
        let two = |a: bool, b: bool, name: &str| match a && b {
            true => Err(format!("`login`: `{name}` and `{name}_file` are both set; keep one")),
            false => Ok(()),
        };
        two(self.password.is_some(), self.password_file.is_some(), "password")?;
        two(self.token.is_some(), self.token_file.is_some(), "token")?;
        two(self.nkey.is_some(), self.nkey_file.is_some(), "nkey")?;
        let password = self.password.is_some() || self.password_file.is_some();
        if self.user.is_some() != password {
            return Err("`login`: `user` goes with `password` or `password_file`; one of them is missing".into());
        }
        let token = self.token.is_some() || self.token_file.is_some();
        let nkey = self.nkey.is_some() || self.nkey_file.is_some();
        let ways = [password, token, nkey, self.creds_file.is_some()];
        if ways.iter().filter(|way| **way).count() > 1 {
            return Err("`login` takes one of: user and password, token, nkey, creds_file; keep one".into());
        }
        Ok(())
    }

    /// Files are read anew for each connection, so that a key can change under a program that runs.
    pub(crate) fn proof(&self) -> Result<Proof, String> {
        if let Some(path) = &self.creds_file {
            // async-nats wants the end of the last line as well.
            return read("creds_file", path).map(|text| Proof::Credentials(format!("{text}\n")));
        }
        if let Some(seed) = either("nkey_file", self.nkey.as_ref(), self.nkey_file.as_deref())? {
            return Ok(Proof::Seed(seed.trim().to_owned()));
        }
        if let Some(token) = either("token_file", self.token.as_ref(), self.token_file.as_deref())? {
            return Ok(Proof::Token(token));
        }
        let password = either("password_file", self.password.as_ref(), self.password_file.as_deref())?;
        Ok(match (&self.user, password) {
            (Some(user), Some(password)) => Proof::Password(user.clone(), password),
            _ => Proof::Nothing,
        })
    }
}

fn either(key: &str, given: Option<&Secret>, file: Option<&Path>) -> Result<Option<String>, String> {
    match (given, file) {
        (Some(secret), _) => Ok(Some(secret.reveal().to_owned())),
        (None, Some(path)) => read(key, path).map(Some),
        (None, None) => Ok(None),
    }
}

fn read(key: &str, path: &Path) -> Result<String, String> {
    let secret = Secret::from_file(path).map_err(|why| format!("`login.{key}` {why}"))?;
    Ok(secret.reveal().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(urls: &[&str], login: &Login) -> Result<Servers, String> {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        Servers::new(&urls, login, &Tls::default(), timeout())
    }

    #[test]
    fn servers_are_nats_or_tls_and_hold_no_password() {
        let two = servers(&["nats://a:4222", "b"], &Login::default()).expect("two");
        assert_eq!(two.place(), "nats://a:4222, nats://b");
        assert!(!two.must_encrypt());
        assert!(servers(&["tls://a"], &Login::default()).is_ok_and(|servers| servers.must_encrypt()));
        for (url, words) in [
            ("nats://u:hunter2@a", "`login`"),
            ("http://a", "nats://host:4222"),
            ("wss://a", "not supported"),
            ("nats://", "nats://host:4222"),
            ("nats://a:99999", "nats://host:4222"),
        ] {
            let why = servers(&[url], &Login::default()).expect_err(url);
            assert!(why.contains(words) && !why.contains("hunter2"), "{why}");
        }
        assert!(servers(&[], &Login::default()).is_err());
    }

    #[test]
    fn one_way_to_log_in_and_nothing_half() {
        let secret = || Some(Secret::new("hunter2"));
        for (login, words) in [
            (Login { user: Some("u".into()), ..Login::default() }, "goes with"),
            (Login { password: secret(), ..Login::default() }, "goes with"),
            (Login { token: secret(), nkey: secret(), ..Login::default() }, "keep one"),
            (Login { token: secret(), token_file: Some("x".into()), ..Login::default() }, "keep one"),
        ] {
            let why = servers(&["a"], &login).expect_err("wrong");
            assert!(why.contains(words) && !why.contains("hunter2"), "{why}");
        }
        let missing = Login { creds_file: Some("no/such/file".into()), ..Login::default() };
        assert!(missing.proof().is_err_and(|why| why.contains("no/such/file")));
    }
}
