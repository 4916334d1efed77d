//! One connection, driven only while somebody waits for an answer, on a runtime of its own: it works in threads that
//! know nothing of tokio, and every step has an end.

use crate::config::Target;
use crate::schema;
use metlog_pipeline::SendError;
use metlog_query::{Deadline, Trouble};
use metlog_settings::Secret;
use std::error::Error as _;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Connection, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Of what a server says in an error.
const WORDS: usize = 300;

/// Why something did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It may happen later, over a new connection.
    Away(String),
    /// Somebody has to change something first.
    Barred(String),
    /// These values cannot be stored.
    Data(String),
    /// Time was up.
    Late,
}

impl Fault {
    pub fn trouble(self) -> Trouble {
        match self {
            Fault::Away(why) | Fault::Barred(why) => Trouble::Away(why),
            Fault::Data(why) => Trouble::Refused(why),
            Fault::Late => Trouble::Away("PostgreSQL did not answer in time".into()),
        }
    }
}

impl From<Fault> for SendError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Away(why) | Fault::Data(why) => SendError::retry(why),
            Fault::Barred(why) => SendError::Pause { why },
            Fault::Late => SendError::retry("PostgreSQL did not answer within `timeout`"),
        }
    }
}

/// A connection whose table is there, in our version.
pub struct Link {
    client: Client,
    /// Always there until the end.
    runtime: Option<Runtime>,
}

impl Link {
    /// Connects, and brings the table up to date.
    pub fn open(target: &Target, until: Instant) -> Result<Link, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(|error| Fault::Away(format!("no connection can be made: {error}")))?;
        let mut server = target.server.clone();
        if let Some(path) = &target.password_file {
            let password = Secret::from_file(path);
            server.password(password.map_err(|why| Fault::Barred(format!("`password_file` {why}")))?.reveal());
        }
        let connecting = async {
            Ok(match &target.tls {
                Some(tls) => driven(server.connect(MakeRustlsConnect::new((*tls.config()).clone())).await?),
                None => driven(server.connect(tokio_postgres::NoTls).await?),
            })
        };
        let client = within(&runtime, &until.into(), connecting)?;
        let link = Link { client, runtime: Some(runtime) };
        // The server gives up by itself as well: what we walk away from must not go on holding locks.
        let millis = target.timeout.as_millis();
        let setup = format!("SET statement_timeout = {millis}; SET lock_timeout = {millis}; SET jit = off");
        link.run(until, link.client.batch_execute(&setup))?;
        schema::ensure(&link, &target.table, until)?;
        Ok(link)
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for an answer, until then.
    pub fn run<T>(&self, until: impl Into<Deadline>, work: impl Future<Output = Result<T, Error>>) -> Result<T, Fault> {
        match &self.runtime {
            Some(runtime) => within(runtime, &until.into(), work),
            None => Err(Fault::Away("the connection is closed".into())),
        }
    }

    /// Of statements without parameters.
    pub fn batch(&self, until: impl Into<Deadline>, sql: &str) -> Result<(), Fault> {
        self.run(until, self.client.batch_execute(sql))
    }

    /// Tells the server to stop what it does here: it would not notice that nobody listens before it has something to say.
    /// If it cannot be told, its own `statement_timeout` ends it.
    pub fn cancel(self, target: &Target) {
        let token = self.client.cancel_token();
        let telling = async {
            match &target.tls {
                Some(tls) => token.cancel_query(MakeRustlsConnect::new((*tls.config()).clone())).await,
                None => token.cancel_query(tokio_postgres::NoTls).await,
            }
        };
        let _told = self.run(Instant::now() + target.timeout, telling);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A store may be let go of by an async task, where a runtime must not wait for its threads; it has none.
            runtime.shutdown_background();
        }
    }
}

fn driven<S, T>((client, connection): (Client, Connection<S, T>)) -> Client
where
    Connection<S, T>: Future<Output = Result<(), Error>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    // Whoever waits for an answer hears of an error; here nobody does.
    tokio::spawn(async { drop(connection.await) });
    client
}

fn within<T>(runtime: &Runtime, until: &Deadline, work: impl Future<Output = Result<T, Error>>) -> Result<T, Fault> {
    runtime.block_on(async {
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout(until.nap().max(Duration::from_millis(1)), &mut work).await {
                Ok(answer) => return answer.map_err(|error| fault(&error)),
                Err(_) if until.is_over() => return Err(Fault::Late),
                Err(_) => {}
            }
        }
    })
}

/// What an error means for whoever waits.
pub fn fault(error: &Error) -> Fault {
    let Some(said) = error.as_db_error() else { return of_ours(error) };
    let code = said.code().code();
    let words: String = said.message().chars().take(WORDS).collect();
    let why = format!("PostgreSQL says: {words} (SQLSTATE {code})");
    match code.get(..2).unwrap_or_default() {
        // A row that fits no partition breaks no constraint that has a name.
        "23" if code == "23514" && said.constraint().is_none() => {
            Fault::Barred(format!("{why}; the table's default partition is missing"))
        }
        "22" | "23" | "54" => Fault::Data(why),
        // Our own statement_timeout.
        "57" if code == "57014" => Fault::Late,
        "08" | "40" | "53" | "55" | "57" | "58" | "XX" => Fault::Away(why),
        // A primary that became a standby: the name may soon mean another server.
        "25" => Fault::Away(why),
        "28" => Fault::Barred(format!("{why}; see user and password in `url`, and the server's pg_hba.conf")),
        "3D" => Fault::Barred(format!("{why}; create the database, or name another one in `url`")),
        "42" if code == "42501" => {
            Fault::Barred(format!("{why}; the user must own the table, or be allowed to create it"))
        }
        _ => Fault::Barred(why),
    }
}

/// An error that no server sent.
fn of_ours(error: &Error) -> Fault {
    let mut why = format!("PostgreSQL: {error}");
    let unfit = metlog_tls::explain(error, "");
    let mut cause = error.source().filter(|_| unfit.is_none());
    while let Some(inner) = cause {
        why.push_str(": ");
        why.push_str(&inner.to_string().chars().take(WORDS).collect::<String>());
        cause = inner.source();
    }
    if let Some(words) = &unfit {
        why = format!("{why}: {words}");
    }
    let kind = error.to_string();
    // The library keeps its kinds to itself; these words are theirs.
    if kind == "error performing TLS handshake" {
        let plain =
            error.source().is_some_and(|cause| cause.downcast_ref::<std::io::Error>().is_some()) && unfit.is_none();
        return if plain { Fault::Away(why) } else { Fault::Barred(format!("{why}; see `sslmode`")) };
    }
    match kind.as_str() {
        "authentication error" | "invalid configuration" => Fault::Barred(why),
        "error encoding message to server" => Fault::Data(why),
        _ if kind.starts_with("error serializing parameter") => Fault::Data(why),
        _ => Fault::Away(why),
    }
}
