use crate::address::Cover;
use crate::{chat, plain};
use metlog_alerts::{Alerting, Carrier, Keys, Notice, Post};
use metlog_http::{Blocking, Compress, Connection, Key, Options};
use metlog_message::wire;
use metlog_pipeline::{EndpointEntry, SendError, inventory};
use metlog_settings::{Secret, Span};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

metlog_alerts::with_keys! {
    /// Settings of the endpoint `webhook`.
    #[derive(Debug, Clone, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Config {
        /// Where notices are posted. For many services whoever knows it may write, so it is never shown.
        #[serde(default)]
        pub url: Option<Secret>,
        /// File that holds the URL.
        #[serde(default)]
        pub url_file: Option<PathBuf>,
        /// `plain`, the default: JSON of our own, for a program. `slack`: for Slack, Mattermost, Rocket.Chat.
        #[serde(default)]
        pub format: Format,
        /// Begins each line in a chat. `[metlog]` by default.
        #[serde(default = "prefix")]
        pub prefix: String,
        /// Sent as `Authorization: Bearer …`.
        #[serde(default)]
        pub key: Option<Secret>,
        /// File that holds the key; read again after a 401 or 403.
        #[serde(default)]
        pub key_file: Option<PathBuf>,
        /// For one request and its answer. `10s` by default.
        #[serde(default = "timeout")]
        pub timeout: Span,
        /// TLS, time to connect, further headers.
        #[serde(default)]
        pub connection: Connection,
    }
}

/// What is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The notice as JSON.
    #[default]
    Plain,
    /// As incoming webhooks of chats take it.
    Slack,
}

fn prefix() -> String {
    "[metlog]".into()
}

fn timeout() -> Span {
    Span(Duration::from_secs(10))
}

/// Posts notices to an address.
pub struct Webhook {
    client: Blocking,
    cover: Cover,
    format: Format,
    prefix: String,
    /// Begins the ids of this instance's notices.
    mark: u64,
}

impl Webhook {
    fn body(&self, notice: &Notice) -> Vec<u8> {
        let value = match self.format {
            Format::Plain => plain::message(&format!("{:016x}.{}", self.mark, notice.number), notice),
            Format::Slack => chat::message(&self.prefix, notice),
        };
        let mut body = Vec::new();
        wire::write_value(&mut body, &value);
        body
    }
}

impl Post for Webhook {
    fn post(&mut self, notice: &Notice, by: Option<Instant>) -> Result<(), SendError> {
        if by.is_some_and(|by| Instant::now() >= by) {
            return Err(SendError::retry("there is no time left to post it"));
        }
        let body = self.body(notice);
        let post = metlog_http::Post { content_type: "application/json", body, compress: Compress::NONE };
        let posted = self.client.post(post).map(drop);
        posted.map_err(|trouble| trouble.reworded(|why| self.cover.over(why)).into_send_error(1))
    }
}

impl Carrier for Webhook {
    type Config = Config;

    fn keys(config: &Config) -> Keys {
        config.keys()
    }

    fn check(config: &Config) -> Result<(), String> {
        match (&config.url, &config.url_file) {
            (Some(url), None) => Cover::of(url).map(drop)?,
            (None, Some(_)) => {}
            (Some(_), Some(_)) => return Err("`url` and `url_file` are both set; which should win? Keep one".into()),
            (None, None) => return Err("`url` is missing, or `url_file`, the file that holds it".into()),
        }
        config.connection.check()?;
        if config.timeout.duration().is_zero() {
            return Err("`timeout` is zero: nothing is ever that fast".into());
        }
        if config.prefix.chars().any(char::is_control) || config.prefix.chars().count() > 60 {
            return Err("`prefix` is a few words, 60 characters at the most".into());
        }
        Key::bearer("key", config.key.clone(), config.key_file.clone()).map(drop)
    }

    fn examine(config: &Config) -> Result<Vec<String>, String> {
        config.connection.examine()
    }

    fn open(config: Config) -> Result<Self, String> {
        let url = match (config.url, config.url_file) {
            (Some(url), _) => url,
            (None, file) => {
                let file = file.unwrap_or_default();
                let text = Secret::from_file(&file).map_err(|why| format!("`url_file` {why}"))?;
                Secret::new(text.reveal().trim())
            }
        };
        let (address, cover) = Cover::of(&url)?;
        let options = Options {
            connection: config.connection,
            key: Key::bearer("key", config.key, config.key_file)?,
            timeout: config.timeout.duration(),
            ..Options::default()
        };
        let client = Blocking::new(address, options).map_err(|why| cover.over(&why))?;
        Ok(Webhook { client, cover, format: config.format, prefix: config.prefix, mark: fastrand::u64(..) })
    }
}

inventory::submit! {
    EndpointEntry::of::<Alerting<Webhook>>("webhook", &[], include_str!("../example.endpoint.toml"))
}
