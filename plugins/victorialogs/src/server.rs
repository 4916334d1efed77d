//! The server as sender and endpoint reach it: address, tenant, credentials; and what both take for granted of it.

use metlog_http::{Address, Blocking, Codec, Connection, Key, Options};
use metlog_settings::{Secret, Size, Span};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub fn compress() -> Codec {
    Codec::Zstd
}

pub fn retention() -> Span {
    Span(Duration::from_secs(7 * 86400))
}

pub fn future_retention() -> Span {
    Span(Duration::from_secs(2 * 86400))
}

pub fn max_line() -> Size {
    Size(256 * 1024)
}

pub fn flush_interval() -> Span {
    Span(Duration::from_secs(1))
}

pub fn timeout() -> Span {
    Span(Duration::from_secs(10))
}

/// What the settings say of it, and which fields of a line hold what it has names for.
#[derive(Debug)]
pub struct Server<'a> {
    pub url: &'a str,
    pub stream_fields: &'a [String],
    pub time_field: &'a str,
    pub message_field: &'a str,
    pub extra_fields: &'a BTreeMap<String, String>,
    pub account_id: Option<u32>,
    pub project_id: Option<u32>,
    pub key: Key,
    pub connection: Connection,
    pub timeout: Duration,
}

/// Basic authentication or a bearer key.
pub fn key(
    (username, password, password_file): (Option<String>, Option<Secret>, Option<PathBuf>),
    (key, key_file): (Option<Secret>, Option<PathBuf>),
) -> Result<Key, String> {
    Key::basic(username, password, password_file)?.or(Key::bearer("key", key, key_file)?)
}

impl Server<'_> {
    /// Where JSON lines are posted to.
    pub fn address(&self) -> Result<Address, String> {
        let mut address = Address::parse("url", self.url)?.ending_in("/insert/jsonline", &["/insert"]);
        let streams = list("stream_fields", self.stream_fields.iter().map(String::as_str))?;
        if !streams.is_empty() {
            address = address.with_parameter("_stream_fields", &streams);
        }
        address =
            address.with_parameter("_time_field", self.time_field).with_parameter("_msg_field", self.message_field);
        let extra = self.extra_fields;
        if extra.iter().any(|(name, value)| name.is_empty() || name.contains('=') || value.is_empty()) {
            return Err("`extra_fields` needs names without `=`, and values that are not empty".into());
        }
        let pairs: Vec<String> = extra.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !pairs.is_empty() {
            address = address.with_parameter("extra_fields", &list("extra_fields", pairs.iter().map(String::as_str))?);
        }
        Ok(address)
    }

    /// A client that posts JSON lines.
    pub fn lines(&self) -> Result<Blocking, String> {
        let address = self.address()?;
        let mut connection = self.connection.clone();
        for (header, id) in [("AccountID", self.account_id), ("ProjectID", self.project_id)] {
            if let Some(id) = id {
                connection.headers.insert(header.into(), Secret::new(id.to_string()));
            }
        }
        let (key, timeout) = (self.key.clone(), self.timeout);
        Blocking::new(address, Options { connection, key, timeout, ..Options::default() })
    }

    /// A client that asks for the server's own numbers.
    #[cfg(feature = "endpoint")]
    pub fn metrics(&self) -> Result<Blocking, String> {
        /// The page has some hundred lines; more is somebody else's.
        const PAGE: usize = 1024 * 1024;
        let address = Address::parse("url", self.url)?.ending_in("/metrics", &["/insert/jsonline", "/insert"]);
        let (connection, key, timeout) = (self.connection.clone(), self.key.clone(), self.timeout);
        Blocking::new(address, Options { connection, key, timeout, reply_limit: PAGE, ..Options::default() })
    }
}

/// Names or pairs as the server's list parameters take them. An empty item there changes the meaning of others.
fn list<'a>(setting: &str, items: impl Iterator<Item = &'a str>) -> Result<String, String> {
    let items: Vec<&str> = items.map(str::trim).collect();
    match items.iter().find(|item| item.is_empty() || item.contains([',', '\0'])) {
        Some(item) => Err(format!("`{setting}` holds {item:?}; its parts may not be empty or hold a comma")),
        None => Ok(items.join(",")),
    }
}
