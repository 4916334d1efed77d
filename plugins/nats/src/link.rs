//! One connection, and what its errors mean.

use crate::config::{PLACE, Proof, Servers};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerError};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Of what a server says in an error.
const WORDS: usize = 300;

/// So often a silent connection is asked whether it still is one; it has two such times for an answer.
const PING: Duration = Duration::from_secs(10);

/// Why something did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It may happen later, over a new connection.
    Away(String),
    /// Somebody has to change something first.
    Barred(String),
}

#[cfg(any(feature = "beacon", feature = "input"))]
impl Fault {
    /// The words for people.
    pub fn why(self) -> String {
        match self {
            Fault::Away(why) | Fault::Barred(why) => why,
        }
    }
}

/// How a connection is doing.
#[derive(Debug, Clone, Default)]
struct Health {
    lost: bool,
    /// The server forbade something, and answers nothing else to whoever asked for it.
    forbidden: Option<String>,
    /// Messages, or more, that were thrown away because nobody took them in time.
    missed: u64,
}

/// A connection.
pub(crate) struct Link {
    pub client: Client,
    health: watch::Receiver<Health>,
    timeout: Duration,
}

impl Link {
    /// Connects to one of the servers.
    pub async fn open(servers: &Servers) -> Result<Link, Fault> {
        Self::open_with(servers, options(servers)?).await
    }

    /// The same, for messages that are worth nothing later: no more than so many wait to be taken.
    #[cfg(feature = "beacon")]
    pub async fn open_for_latest(servers: &Servers, most: usize) -> Result<Link, Fault> {
        Self::open_with(servers, options(servers)?.subscription_capacity(most)).await
    }

    async fn open_with(servers: &Servers, options: ConnectOptions) -> Result<Link, Fault> {
        let (tell, health) = watch::channel(Health::default());
        let tell = Arc::new(tell);
        let options = options.event_callback(move |event| {
            note(&tell, event);
            async {}
        });
        let connecting = options.connect(servers.urls.clone());
        match tokio::time::timeout(servers.timeout, connecting).await {
            Ok(Ok(client)) => Ok(Link { client, health, timeout: servers.timeout }),
            Ok(Err(error)) => Err(unconnected(servers, &error)),
            Err(_) => Err(Fault::Away(format!("{} did not answer within {:?}", servers.place(), servers.timeout))),
        }
    }

    /// JetStream's interface there.
    pub fn jetstream(&self) -> jetstream::Context {
        jetstream::ContextBuilder::new().timeout(self.timeout).build(self.client.clone())
    }

    /// How often messages were thrown away so far because nobody took them in time.
    #[cfg(feature = "beacon")]
    pub fn missed(&self) -> u64 {
        self.health.borrow().missed
    }

    /// Ends when the connection is no good any more, with the reason.
    pub async fn broken(&self) -> Fault {
        let mut health = self.health.clone();
        match health.wait_for(|health| health.lost || health.forbidden.is_some()).await {
            Ok(health) => match &health.forbidden {
                Some(why) => Fault::Barred(format!("NATS says: {why}; see the permissions of this `login` there")),
                None => Fault::Away("the connection to NATS was lost".to_owned()),
            },
            Err(_) => Fault::Away("the connection to NATS has ended".to_owned()),
        }
    }

    /// Waits for an answer that a server forbids by a word on the side, or that a lost connection cannot bring any more.
    pub async fn answer<T>(&self, answer: impl Future<Output = T>) -> Result<T, Fault> {
        tokio::select! {
            biased;
            answer = answer => Ok(answer),
            fault = self.broken() => Err(fault),
        }
    }
}

fn note(tell: &watch::Sender<Health>, event: Event) {
    match event {
        Event::Disconnected | Event::Closed => tell.send_modify(|health| health.lost = true),
        Event::ServerError(ServerError::Other(words))
            if words.to_ascii_lowercase().contains("permissions violation") =>
        {
            tell.send_modify(|health| health.forbidden = Some(words.chars().take(WORDS).collect()));
        }
        Event::SlowConsumer(_) => tell.send_modify(|health| health.missed += 1),
        // Whatever else is serious ends the connection as well.
        _ => {}
    }
}

fn options(servers: &Servers) -> Result<ConnectOptions, Fault> {
    let mut options = ConnectOptions::new()
        .name("metlog")
        .connection_timeout(servers.timeout)
        .request_timeout(Some(servers.timeout))
        .ping_interval(PING)
        // One round over the servers. After a loss it may find a new one, which nobody uses: see the head of the crate.
        .max_reconnects(servers.urls.len())
        .ignore_discovered_servers();
    if servers.must_encrypt() {
        options = options.require_tls(true);
    }
    // Read anew for each connection.
    let trusted = servers.tls.trust().open(PLACE, &[]).map_err(Fault::Barred)?;
    options = options.tls_client_config((*trusted.config()).clone());
    match servers.login.proof().map_err(Fault::Barred)? {
        Proof::Nothing => Ok(options),
        Proof::Password(user, password) => Ok(options.user_and_password(user, password)),
        Proof::Token(token) => Ok(options.token(token)),
        Proof::Seed(seed) => Ok(options.nkey(seed)),
        // The error may repeat what was in the file.
        Proof::Credentials(text) => options
            .credentials(&text)
            .map_err(|_| Fault::Barred("`login.creds_file` holds no JWT and seed as `nsc` writes them".to_owned())),
    }
}

fn unconnected(servers: &Servers, error: &ConnectError) -> Fault {
    let place = servers.place();
    let mut why = error.kind().to_string();
    let untrusted = metlog_tls::explain(error, PLACE);
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words: String = inner.to_string().chars().take(WORDS).collect();
        if !why.contains(&words) {
            why = format!("{why}: {words}");
        }
        cause = inner.source();
    }
    if let Some(why) = untrusted {
        return Fault::Barred(format!("{place}: {why}; see `tls`"));
    }
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation => {
            Fault::Barred(format!("{place} does not let us in (authorization violation); see `login`"))
        }
        ConnectErrorKind::Authentication => Fault::Barred(format!("{place}: {why}; `login.nkey` is no seed of a user")),
        ConnectErrorKind::Tls | ConnectErrorKind::ServerParse => Fault::Barred(format!("{place}: {why}; see `tls`")),
        _ => Fault::Away(format!("cannot connect to {place}: {why}")),
    }
}

/// An error that JetStream's interface gave, which is a chain of its own kinds around what the server said.
pub(crate) fn refused(doing: &str, error: &(dyn std::error::Error + 'static)) -> Fault {
    let mut cause = Some(error);
    let mut why = String::new();
    while let Some(inner) = cause {
        if let Some(said) = inner.downcast_ref::<jetstream::Error>() {
            return of_jetstream(doing, said);
        }
        let words = inner.to_string();
        if words.contains("no responders") {
            return Fault::Barred(format!("{doing}: no JetStream answers; start the NATS server with `-js`"));
        }
        if why.is_empty() {
            why = words.chars().take(WORDS).collect();
        }
        cause = inner.source();
    }
    Fault::Away(format!("{doing}: {why}"))
}

/// What JetStream said of a request or a message.
pub(crate) fn of_jetstream(doing: &str, said: &jetstream::Error) -> Fault {
    let words: String = said.to_string().chars().take(WORDS).collect();
    let why = format!("{doing}: {words}");
    match said.error_code() {
        ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            Fault::Barred(format!("{why}; JetStream is not switched on there, for this account"))
        }
        ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED => Fault::Barred(why),
        ErrorCode::STREAM_STORE_FAILED => Fault::Away(format!("{why}; the stream is full or its disk is")),
        _ if said.code() >= 500 => Fault::Away(why),
        _ => Fault::Barred(why),
    }
}
