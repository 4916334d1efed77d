//! Which brokers, who we are there, TLS; and what librdkafka is told of it.

use metlog_settings::{Secret, source};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use serde::Deserialize;
use std::fmt::Display;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Larger than a system's authorities together.
const MAX_FILE: usize = 4 * 1024 * 1024;

/// Brokers that can be named; they tell of the others.
const MOST_BROKERS: usize = 64;

/// Who we are to the brokers, by SASL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// How the password is shown.
    pub mechanism: Mechanism,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: Option<Secret>,
    /// File that holds the password; read again for each connection.
    pub password_file: Option<PathBuf>,
}

/// How a password is shown to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// As it is.
    Plain,
    /// By a challenge.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// By a challenge.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl Mechanism {
    const fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// How connections are encrypted. The table alone requires TLS; certificate and name are always verified.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file of authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with our certificate, for brokers that ask for one.
    pub client_cert: Option<PathBuf>,
    /// PEM file with the key of `client_cert`.
    pub client_key: Option<PathBuf>,
}

pub(crate) fn default_brokers() -> Vec<String> {
    vec!["127.0.0.1:9092".to_owned()]
}

/// All that is needed to connect.
#[derive(Debug, Clone)]
pub(crate) struct Brokers {
    pub addresses: Vec<String>,
    pub login: Option<Login>,
    pub tls: Option<Tls>,
    pub dangerously_unencrypted: bool,
    /// For connecting and for each answer.
    pub timeout: Duration,
}

impl Brokers {
    /// What is wrong with them. Touches nothing.
    pub fn check(&self) -> Result<(), String> {
        if self.addresses.is_empty() || self.addresses.len() > MOST_BROKERS {
            return Err(format!("`brokers` needs 1 to {MOST_BROKERS} of them, such as `kafka1:9092`"));
        }
        for broker in &self.addresses {
            host(broker)?;
        }
        if self.timeout < Duration::from_secs(1) || self.timeout > Duration::from_secs(300) {
            return Err("`timeout` can be 1s to 5m".into());
        }
        if let Some(tls) = &self.tls {
            tls.check()?;
        }
        match &self.login {
            Some(login) => self.check_login(login),
            None if self.dangerously_unencrypted => {
                Err("`dangerously_unencrypted` means something only with a `login` and without `tls`; leave it away"
                    .into())
            }
            None => Ok(()),
        }
    }

    fn check_login(&self, login: &Login) -> Result<(), String> {
        if login.user.is_empty() || login.user.contains('\0') {
            return Err("`login`: `user` is empty or holds a NUL".into());
        }
        match (&login.password, &login.password_file) {
            (Some(_), Some(_)) => {
                return Err("`login`: `password` and `password_file` are both set; keep one".into());
            }
            (None, None) => {
                return Err("`login`: `user` goes with `password` or `password_file`; neither is set".into());
            }
            (Some(password), None) if password.reveal().is_empty() || password.reveal().contains('\0') => {
                return Err("`login`: `password` is empty or holds a NUL".into());
            }
            _ => {}
        }
        if login.mechanism != Mechanism::Plain && !cfg!(feature = "tls") {
            return Err(format!("`login`: `mechanism` {}", absent("SCRAM")));
        }
        match (&self.tls, self.dangerously_unencrypted) {
            (Some(_), true) => Err("`dangerously_unencrypted` and `tls` exclude each other; keep one".into()),
            (None, false) if login.mechanism == Mechanism::Plain && !self.are_here() => {
                Err("`login`: `plain` without `tls` shows the password to everybody on the way; set `tls`, or \
                 `dangerously_unencrypted = true`"
                    .into())
            }
            _ => Ok(()),
        }
    }

    /// What is wrong with the files, of which librdkafka would say so only when it is used.
    pub fn examine(&self) -> Result<Vec<String>, String> {
        if let Some(login) = &self.login {
            login.secret()?;
        }
        if let Some(tls) = &self.tls {
            let files = [
                ("ca_file", &tls.ca_file, "CERTIFICATE"),
                ("client_cert", &tls.client_cert, "CERTIFICATE"),
                ("client_key", &tls.client_key, "PRIVATE KEY"),
            ];
            for (key, path, what) in files.into_iter().filter_map(|(key, path, what)| Some((key, path.as_ref()?, what)))
            {
                let wrong = |why: &dyn Display| format!("`tls.{key}` {why}; it needs a PEM file");
                let text = source::read_file(path, MAX_FILE).map_err(|problem| wrong(&problem))?;
                if !text.contains(what) {
                    return Err(wrong(&format_args!("{}: there is no `{what}` in it", path.display())));
                }
            }
        }
        Ok(Vec::new())
    }

    fn are_here(&self) -> bool {
        let here = |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        self.addresses.iter().all(|broker| host(broker).is_ok_and(here))
    }

    /// The brokers, as people write them.
    pub fn place(&self) -> String {
        self.addresses.join(", ")
    }

    /// What librdkafka is told. Reads the password's file, anew each time, so that it can change under a router that runs.
    pub fn client(&self) -> Result<ClientConfig, String> {
        let mut client = ClientConfig::new();
        let timeout = millis(self.timeout);
        client
            .set("bootstrap.servers", self.addresses.join(","))
            .set("client.id", "metlog")
            .set("socket.connection.setup.timeout.ms", &timeout)
            .set("socket.timeout.ms", &timeout)
            .set("reconnect.backoff.max.ms", "2000")
            .set("security.protocol", self.protocol())
            // What it would print it says as errors as well, to whoever asks.
            .set_log_level(RDKafkaLogLevel::Emerg);
        if let Some(tls) = &self.tls {
            let files = [
                ("ssl.ca.location", &tls.ca_file),
                ("ssl.certificate.location", &tls.client_cert),
                ("ssl.key.location", &tls.client_key),
            ];
            for (key, path) in files.into_iter().filter_map(|(key, path)| Some((key, path.as_ref()?))) {
                client.set(key, path.display().to_string());
            }
        }
        if let Some(login) = &self.login {
            client.set("sasl.mechanism", login.mechanism.name()).set("sasl.username", &login.user);
            client.set("sasl.password", login.secret()?);
        }
        Ok(client)
    }

    fn protocol(&self) -> &'static str {
        match (&self.login, &self.tls) {
            (None, None) => "plaintext",
            (None, Some(_)) => "ssl",
            (Some(_), None) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        }
    }
}

/// As librdkafka wants times.
pub(crate) fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}

/// What a client could not be made for; without values, among which are passwords.
pub(crate) fn unmade(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, what, key, _) => format!("librdkafka does not take `{key}`: {what}"),
        KafkaError::ClientCreation(why) => format!("cannot set up Kafka: {why}"),
        error => format!("cannot set up Kafka: {error}"),
    }
}

fn absent(what: &str) -> String {
    format!(
        "needs {what}, which this program was built without; `cargo install metlog-router --features kafka-tls` brings it"
    )
}

/// The host of `host:port`.
fn host(broker: &str) -> Result<&str, String> {
    let shape = "a broker is written like `kafka1:9092`";
    // A password may stand in it, so it is not shown.
    if broker.contains('@') {
        return Err(format!("`brokers`: a user or password has its place in `login`; {shape}"));
    }
    let wrong = |why: &str| format!("`brokers`: `{broker}` {why}; {shape}");
    if broker.contains("://") {
        return Err(wrong("is a URL; what encrypts is `tls`"));
    }
    let (host, port) = broker.rsplit_once(':').ok_or_else(|| wrong("has no port"))?;
    if !port.parse::<u16>().is_ok_and(|port| port != 0) {
        return Err(wrong("has no port"));
    }
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if host.is_empty() || !host.bytes().all(plain) {
        return Err(wrong("names no host"));
    }
    Ok(host)
}

impl Tls {
    fn check(&self) -> Result<(), String> {
        if !cfg!(feature = "tls") {
            return Err(format!("`tls` {}", absent("TLS for Kafka")));
        }
        if self.client_cert.is_some() != self.client_key.is_some() {
            return Err("`tls`: `client_cert` and `client_key` go together; one of them is missing".into());
        }
        Ok(())
    }
}

impl Login {
    fn secret(&self) -> Result<String, String> {
        match (&self.password, &self.password_file) {
            (Some(password), _) => Ok(password.reveal().to_owned()),
            (None, Some(path)) => Secret::from_file(path)
                .map(|password| password.reveal().to_owned())
                .map_err(|why| format!("`login.password_file` {why}")),
            (None, None) => Err("`login` has no password".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(addresses: &[&str], login: Option<Login>) -> Brokers {
        Brokers {
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
            login,
            tls: None,
            dangerously_unencrypted: false,
            timeout: Duration::from_secs(10),
        }
    }

    fn plain() -> Login {
        Login {
            mechanism: Mechanism::Plain,
            user: "u".into(),
            password: Some(Secret::new("hunter2")),
            password_file: None,
        }
    }

    #[test]
    fn brokers_are_hosts_with_ports() {
        for good in ["kafka1:9092", "10.0.0.1:9093", "[::1]:9092", "a_b.example:1"] {
            assert_eq!(brokers(&[good], None).check(), Ok(()), "{good}");
        }
        for bad in ["", "kafka1", "kafka1:", "kafka1:0", "kafka1:99999", ":9092", "a,b:1", "ssl://a:1", "u:hunter2@a:1"]
        {
            let why = brokers(&[bad], None).check().expect_err(bad);
            assert!(why.contains("kafka1:9092") && !why.contains("hunter2"), "{why}");
        }
        assert!(brokers(&[], None).check().is_err());
    }

    #[test]
    fn a_password_has_one_place_and_does_not_travel_in_the_open() {
        assert_eq!(brokers(&["127.0.0.1:9092", "localhost:1"], Some(plain())).check(), Ok(()));
        let why = brokers(&["127.0.0.1:9092", "kafka1:9092"], Some(plain())).check().expect_err("another machine");
        assert!(why.contains("`dangerously_unencrypted = true`") && !why.contains("hunter2"), "{why}");
        let meant = Brokers { dangerously_unencrypted: true, ..brokers(&["kafka1:9092"], Some(plain())) };
        assert_eq!(meant.check(), Ok(()));
        let pointless = Brokers { dangerously_unencrypted: true, ..brokers(&["kafka1:9092"], None) };
        assert!(pointless.check().is_err());
        for login in [
            Login { password: None, ..plain() },
            Login { password_file: Some("x".into()), ..plain() },
            Login { password: Some(Secret::new("")), ..plain() },
            Login { user: String::new(), ..plain() },
        ] {
            let why = brokers(&["127.0.0.1:1"], Some(login)).check().expect_err("half");
            assert!(why.contains("`login`") && !why.contains("hunter2"), "{why}");
        }
        let missing = Login { password: None, password_file: Some("no/such/file".into()), ..plain() };
        let why = brokers(&["127.0.0.1:1"], Some(missing)).client().expect_err("no file");
        assert!(why.contains("no/such/file"), "{why}");
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn what_was_not_built_in_is_said_with_how_to_get_it() {
        let scram = Login { mechanism: Mechanism::ScramSha512, ..plain() };
        let tls = Brokers { tls: Some(Tls::default()), ..brokers(&["a:1"], None) };
        for brokers in [brokers(&["127.0.0.1:1"], Some(scram)), tls] {
            let why = brokers.check().expect_err("not built");
            assert!(why.contains("--features kafka-tls"), "{why}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn with_tls_librdkafka_takes_all_of_it() {
        for mechanism in [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512] {
            let brokers = Brokers {
                tls: Some(Tls::default()),
                ..brokers(&["kafka1:9092"], Some(Login { mechanism, ..plain() }))
            };
            assert_eq!(brokers.check(), Ok(()));
            let made: Result<rdkafka::producer::BaseProducer, _> = brokers.client().expect("settings").create();
            assert!(made.is_ok(), "{:?}", made.map(drop));
        }
        let half = Tls { client_cert: Some("x".into()), ..Tls::default() };
        assert!(Brokers { tls: Some(half), ..brokers(&["a:1"], None) }.check().is_err());
    }
}
