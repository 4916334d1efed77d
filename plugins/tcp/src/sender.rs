use crate::address::Address;
use crate::connection::{Connection, Terms};
use metlog_message::Lines;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{SendError, Sender, SenderEntry, inventory};
use metlog_settings::Span;
#[cfg(feature = "tls")]
use metlog_tls::Trust;
use serde::Deserialize;
use std::time::Duration;

/// Where the lines go, and how long anything may take.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `host:port`, or several: they are tried in order until one answers. A connection is kept until it breaks, so
    /// after a fail-over the first is used again only when the connection to the second ends.
    pub address: Vec<String>,
    /// How long one address may take to answer.
    pub connect_timeout: Span,
    /// How long one batch may take to be handed over. A router that reads more slowly than this loses the connection
    /// and gets the batch again.
    pub write_timeout: Span,
    /// After this long without traffic the system asks whether the router's host is still there. "0s" turns it off.
    pub keepalive: Span,
    /// Whether small packets leave at once. Turning it off saves packets and costs up to 40 ms per batch.
    pub nodelay: bool,
    /// Speaks TLS, and trusts whom this says; an empty table trusts the system's authorities.
    pub tls: Option<Trust>,
}

/// What stands before the names of settings in error texts.
#[cfg(feature = "tls")]
const PLACE: &str = "tls.";

/// Settings of something this program was built without.
#[cfg(not(feature = "tls"))]
#[derive(Debug, Deserialize)]
pub struct Trust {}

impl Default for Config {
    fn default() -> Self {
        Config {
            address: vec!["127.0.0.1:5567".to_owned()],
            connect_timeout: Span(Duration::from_secs(3)),
            write_timeout: Span(Duration::from_secs(5)),
            keepalive: Span(Duration::from_secs(30)),
            nodelay: true,
            tls: None,
        }
    }
}

/// JSON lines over one connection; connects when there is something to send.
#[derive(Debug)]
pub struct TcpSender {
    addresses: Vec<Address>,
    terms: Terms,
    connection: Option<Connection>,
}

impl TcpSender {
    /// The address it is connected to.
    pub fn connected_to(&self) -> Option<&str> {
        self.connection.as_ref().map(Connection::name)
    }

    fn connect(&self) -> Result<Connection, String> {
        let mut whys = Vec::new();
        for address in &self.addresses {
            match Connection::open(address, &self.terms) {
                Ok(connection) => return Ok(connection),
                Err(why) => whys.push(why),
            }
        }
        Err(whys.join("; "))
    }
}

impl Sender for TcpSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut connection = match self.connection.take().and_then(Connection::unless_gone) {
            Some(connection) => connection,
            None => self.connect().map_err(SendError::retry)?,
        };
        if let Err(stopped) = connection.write_all(batch.bytes(), self.terms.write_timeout) {
            // Whole lines that are on their way to a slow end are not sent again, or a batch that takes it longer
            // than the time-out would begin anew for ever. The torn one is, and so is everything after a break.
            let done = whole_lines(batch, stopped.on_its_way);
            if stopped.on_its_way > 0 {
                connection.close(self.terms.write_timeout);
            }
            return Err(SendError::retry_after_first(done, stopped.why));
        }
        self.connection = Some(connection);
        Ok(())
    }

    fn close(&mut self, within: Duration) -> Result<(), SendError> {
        if let Some(connection) = self.connection.take() {
            connection.close(within);
        }
        Ok(())
    }
}

/// How many messages lie within the first `bytes` of a batch, newline included.
fn whole_lines(batch: &Lines, bytes: usize) -> usize {
    let mut end = 0;
    batch
        .iter()
        .take_while(|line| {
            end += line.len() + 1;
            end <= bytes
        })
        .count()
}

impl Drop for TcpSender {
    fn drop(&mut self) {
        let _ = self.close(Duration::ZERO);
    }
}

/// The addresses, and how long anything may take.
fn plan(config: &Config) -> Result<(Vec<Address>, Terms), String> {
    if config.address.is_empty() {
        return Err("`address` is an empty list; it is written like `127.0.0.1:5567`".to_owned());
    }
    let addresses = config.address.iter().map(|text| Address::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let positive = |span: Duration, name: &str| match span {
        Duration::ZERO => Err(format!("`{name}` is zero: nothing is ever that fast")),
        span => Ok(span),
    };
    let terms = Terms {
        connect_timeout: positive(config.connect_timeout.duration(), "connect_timeout")?,
        write_timeout: positive(config.write_timeout.duration(), "write_timeout")?,
        keepalive: config.keepalive.duration(),
        nodelay: config.nodelay,
        // Read when it is opened.
        #[cfg(feature = "tls")]
        tls: None,
    };
    #[cfg(feature = "tls")]
    config.tls.as_ref().map_or(Ok(()), |trust| trust.check(PLACE))?;
    #[cfg(not(feature = "tls"))]
    if config.tls.is_some() {
        return Err("`tls`: this program was built without it; metlog's feature for it is `tcp-tls`".to_owned());
    }
    Ok((addresses, terms))
}

impl Configured for TcpSender {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        plan(config).map(drop)
    }

    #[cfg(feature = "tls")]
    fn examine(config: &Config) -> Result<Vec<String>, String> {
        config.tls.as_ref().map_or(Ok(Vec::new()), |trust| trust.examine(PLACE))
    }

    fn open(config: Config) -> Result<Self, String> {
        let (addresses, terms) = plan(&config)?;
        #[cfg(feature = "tls")]
        let terms = Terms { tls: config.tls.map(|trust| trust.open(PLACE, &[])).transpose()?, ..terms };
        Ok(TcpSender { addresses, terms, connection: None })
    }
}

inventory::submit! {
    SenderEntry::of::<TcpSender>("tcp", &["metlog.senders.tcp.TcpSender", "TcpSender"], include_str!("../example.toml"))
}
