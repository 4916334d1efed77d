use metlog_settings::{Secret, Span};
use metlog_tls::{Trust, Trusted};
use serde::Deserialize;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode as Wire};

/// The longest of what is hung behind a table's name, such as `_p2026_11` or `_position`, fits beside it into the 63
/// bytes of a name.
const LONGEST_TABLE: usize = 48;

/// For name, connection, TLS and log-in together.
const CONNECT: Duration = Duration::from_secs(10);

/// Settings of the endpoint `postgres` and of its store.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `postgres://user@host:5432/database`; a socket: `postgres:///database?user=…&host=/var/run/postgresql`. Never shown.
    pub url: Secret,
    /// The user's password, if it is not in `url`.
    pub password: Option<Secret>,
    /// File that holds the password; read again with every connection.
    pub password_file: Option<PathBuf>,
    /// `verify-full` by default, and `disable` for sockets and loopback. `prefer` takes what the server offers. With TLS
    /// the server's certificate and name are always verified, so `require` and `verify-ca` mean `verify-full`.
    pub sslmode: Option<SslMode>,
    /// PEM file of authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Trusts nobody but those in `ca_file`.
    #[serde(default)]
    pub only_ca_file: bool,
    /// PEM file with our certificate, for a server that asks for one.
    pub client_cert: Option<PathBuf>,
    /// PEM file with the key of `client_cert`.
    pub client_key: Option<PathBuf>,
    /// Letters, digits and `_`. `metlog_messages` by default.
    #[serde(default = "table")]
    pub table: String,
    /// Older messages are not found any more, and are dropped a month at a time. For ever by default.
    pub max_age: Option<Span>,
    /// Connections for reading at the most. 4 by default.
    #[serde(default = "readers")]
    pub readers: usize,
    /// For one statement. `30s` by default.
    #[serde(default = "timeout")]
    pub timeout: Span,
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server can; whoever is in between can say that it cannot.
    Prefer,
    /// As `verify-full`.
    Require,
    /// As `verify-full`.
    VerifyCa,
    /// Always, with the server's certificate and name verified.
    VerifyFull,
}

impl SslMode {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "disable" => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => return None,
        })
    }

    fn wire(self) -> Wire {
        match self {
            SslMode::Disable => Wire::Disable,
            SslMode::Prefer => Wire::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Wire::Require,
        }
    }
}

fn table() -> String {
    "metlog_messages".to_owned()
}

fn readers() -> usize {
    4
}

fn timeout() -> Span {
    Span(Duration::from_secs(30))
}

/// The server and the table.
#[derive(Clone)]
pub struct Target {
    pub server: tokio_postgres::Config,
    pub password_file: Option<PathBuf>,
    /// None: not encrypted.
    pub tls: Option<Trusted>,
    pub table: Table,
    pub max_age: Option<Duration>,
    pub readers: usize,
    pub timeout: Duration,
}

/// A checked name, so that it can stand in a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table(String);

impl Table {
    fn new(name: &str) -> Result<Self, String> {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let begins = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if plain && begins && name.len() <= LONGEST_TABLE {
            Ok(Table(name.to_owned()))
        } else {
            Err(format!(
                "`table` is `{name}`; it needs letters, digits and `_`, no digit at the beginning, \
                 {LONGEST_TABLE} characters at the most"
            ))
        }
    }

    /// The name itself.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// In quotes.
    pub fn quoted(&self) -> String {
        self.with("")
    }

    /// Something that belongs to it, in quotes.
    pub fn with(&self, suffix: &str) -> String {
        format!("\"{}{suffix}\"", self.0)
    }

    /// The view with log-collector's columns.
    pub fn view(&self) -> String {
        if self.0 == table() { "metlog_logs".to_owned() } else { format!("{}_logs", self.0) }
    }
}

impl Config {
    /// Everything but the certificates, so that nothing is touched.
    fn server(&self) -> Result<(tokio_postgres::Config, Table), String> {
        let shape = "it looks like `postgres://user@host:5432/database`";
        let url = self.url.reveal();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(format!("`url` is no address of a PostgreSQL server: {shape}"));
        }
        let (url, asked) = without_sslmode(url);
        let mut server: tokio_postgres::Config = url.parse().map_err(|error| {
            // Of the parser's words only those that name one of its own parameters: others may be part of a password.
            let why = std::error::Error::source(&error).map(ToString::to_string);
            let why = why.filter(|why| why.starts_with("invalid value for option"));
            let why = why.unwrap_or_else(|| "it holds an unknown parameter, or is cut off".to_owned());
            format!("`url`: {why}; {shape}")
        })?;
        let named = server.get_hosts().iter().any(|host| matches!(host, Host::Tcp(name) if name.contains(['@', ' '])));
        if named {
            return Err("`url`: an `@` or blank inside user or password is written as `%40` or `%20`".into());
        }
        if server.get_hosts().is_empty() && server.get_hostaddrs().is_empty() {
            return Err(format!("`url` names no host: {shape}"));
        }
        match (server.get_password().is_some(), &self.password, &self.password_file) {
            (true, Some(_), _) | (true, _, Some(_)) => {
                return Err("`password` is set, and `url` holds one as well; keep one of the two".into());
            }
            (_, Some(_), Some(_)) => return Err("`password` and `password_file` are both set; keep one".into()),
            (_, Some(password), None) => drop(server.password(password.reveal())),
            _ => {}
        }
        let asked = match asked.as_deref().map(SslMode::parse) {
            Some(None) => {
                return Err("`url`: sslmode is disable, prefer, require, verify-ca or verify-full".into());
            }
            Some(Some(asked)) if self.sslmode.is_some_and(|mode| mode != asked) => {
                return Err("`sslmode` and the one in `url` differ; keep one of the two".into());
            }
            asked => asked.flatten(),
        };
        let usual = if is_near(&server) { SslMode::Disable } else { SslMode::VerifyFull };
        server.ssl_mode(self.sslmode.or(asked).unwrap_or(usual).wire());
        self.trust().check("")?;
        if self.readers == 0 || self.readers > 64 {
            return Err(format!("`readers` is {}; 1 to 64 are possible, 4 is usual", self.readers));
        }
        if self.timeout.duration() < Duration::from_millis(100) {
            return Err("`timeout` is shorter than 100ms; 30s is usual".into());
        }
        if server.get_application_name().is_none() {
            server.application_name("metlog");
        }
        let patience = self.timeout.duration().min(CONNECT);
        server.connect_timeout(server.get_connect_timeout().copied().unwrap_or(patience).min(patience));
        server.keepalives_idle(Duration::from_secs(60));
        Ok((server, Table::new(&self.table)?))
    }

    /// Whether all of it can be meant.
    pub fn check(&self) -> Result<(), String> {
        self.server().map(drop)
    }

    /// Reads the certificate files, if there is to be TLS, and says what will soon be wrong with them.
    pub fn examine(&self) -> Result<Vec<String>, String> {
        match self.server()?.0.get_ssl_mode() {
            Wire::Disable => Ok(Vec::new()),
            _ => self.trust().examine(""),
        }
    }

    fn trust(&self) -> Trust {
        let Config { ca_file, only_ca_file, client_cert, client_key, .. } = self.clone();
        Trust { ca_file, only_ca_file, client_cert, client_key }
    }

    /// The server and the table, with certificates read.
    pub fn target(self) -> Result<Target, String> {
        let (server, table) = self.server()?;
        let tls = match server.get_ssl_mode() {
            Wire::Disable => None,
            _ => Some(self.trust().open("", &[])?),
        };
        Ok(Target {
            server,
            password_file: self.password_file,
            tls,
            table,
            max_age: self.max_age.map(Span::duration),
            readers: self.readers,
            timeout: self.timeout.duration(),
        })
    }
}

/// The address without its `sslmode`, of which the library knows three words out of libpq's.
fn without_sslmode(url: &str) -> (String, Option<String>) {
    let Some((address, parameters)) = url.rsplit_once('?') else { return (url.to_owned(), None) };
    let (mut mode, mut others) = (None, Vec::new());
    for parameter in parameters.split('&') {
        match parameter.strip_prefix("sslmode=") {
            Some(value) => mode = Some(value.to_owned()),
            None => others.push(parameter),
        }
    }
    (if others.is_empty() { address.to_owned() } else { format!("{address}?{}", others.join("&")) }, mode)
}

/// Whether nobody can be in between.
fn is_near(server: &tokio_postgres::Config) -> bool {
    let near = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
        Host::Unix(_) => true,
    };
    server.get_hosts().iter().all(near) && server.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Config {
        Config {
            url: Secret::new(url),
            password: None,
            password_file: None,
            sslmode: None,
            ca_file: None,
            only_ca_file: false,
            client_cert: None,
            client_key: None,
            table: table(),
            max_age: None,
            readers: readers(),
            timeout: timeout(),
        }
    }

    fn mode(url: &str, sslmode: Option<SslMode>) -> Result<Wire, String> {
        Ok(Config { sslmode, ..config(url) }.server()?.0.get_ssl_mode())
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted_unless_somebody_says_otherwise() {
        assert_eq!(mode("postgres://u@db.example/d", None), Ok(Wire::Require));
        assert_eq!(mode("postgres://u@localhost,db.example/d", None), Ok(Wire::Require));
        for near in ["localhost", "127.0.0.1", "[::1]", "%2Fvar%2Frun%2Fpostgresql"] {
            assert_eq!(mode(&format!("postgres://u@{near}/d"), None), Ok(Wire::Disable), "{near}");
        }
        for (word, wire) in [("disable", Wire::Disable), ("prefer", Wire::Prefer), ("verify-ca", Wire::Require)] {
            assert_eq!(mode(&format!("postgres://u@db/d?sslmode={word}"), None), Ok(wire), "{word}");
            assert_eq!(mode(&format!("postgres://u@db/d?options=-cx%3D1&sslmode={word}"), None), Ok(wire), "{word}");
        }
        assert_eq!(mode("postgres://u@db/d", Some(SslMode::Prefer)), Ok(Wire::Prefer));
        assert!(mode("postgres://u@db/d?sslmode=disable", Some(SslMode::VerifyFull)).is_err());
        assert!(mode("postgres://u@db/d?sslmode=allow", None).is_err());
    }

    #[test]
    fn wrong_settings_are_told_without_the_password() {
        for (url, words) in [
            ("mysql://u:hunter2@h/d", "postgres://user@host:5432/database"),
            ("postgres://u:hunter2/d", "`port`"),
            ("postgres://u:x@hunter2@h/d", "%40"),
            ("postgres://u:x@h/d?passwort=hunter2", "unknown parameter"),
            ("postgres://h/d?password=x&hunter2&user=u", "unknown parameter"),
            ("postgres://u:hunter2@/d", "names no host"),
            ("postgres://u:hunter2@h:port/d", "`port`"),
        ] {
            let why = config(url).check().expect_err(url);
            assert!(why.contains(words) && !why.contains("hunter2"), "{url}: {why}");
        }
        let both = Config { password: Some(Secret::new("hunter2")), ..config("postgres://u:hunter2@h/d") };
        assert!(both.check().is_err_and(|why| !why.contains("hunter2")));
        assert!(!format!("{both:?}").contains("hunter2"));
    }

    #[test]
    fn a_table_is_a_plain_name() {
        for name in ["", "1a", "a.b", "a\"b", "a b", "ä", "x; drop table y", &"a".repeat(49)] {
            let table = name.to_owned();
            assert!(Config { table, ..config("postgres://u@h/d") }.check().is_err(), "{name}");
        }
        let table = Table::new("Logs_2").expect("plain");
        assert_eq!((table.with("_default"), table.view()), ("\"Logs_2_default\"".into(), "Logs_2_logs".into()));
    }
}
