use crate::address::Mailbox;
use crate::letter::Letter;
use crate::session::{Credentials, Fate, Fault, Security, Server, Session};
use metlog_alerts::{Alerting, Carrier, Keys, Notice, Post};
use metlog_message::Timestamp;
use metlog_pipeline::{EndpointEntry, SendError, inventory};
use metlog_settings::{Secret, Span};
use metlog_tls::Trust;
use metlog_tls::rustls::pki_types::ServerName;
use serde::Deserialize;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Recipients at the most; a list is the mail server's business.
const RECIPIENTS: usize = 50;
/// So often a mail that some have got is tried for those whom the server puts off.
const TRIES: usize = 3;

metlog_alerts::with_keys! {
    /// Settings of the endpoint `email`.
    #[derive(Debug, Clone, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Config {
        /// The mail server's name or address.
        pub server: String,
        /// Its port. 587 by default, 465 with `tls = "tls"`, 25 with `tls = "none"`.
        #[serde(default)]
        pub port: Option<u16>,
        /// `starttls`, the default: a connection that the server does not encrypt is given up. `tls`: encrypted from the
        /// first byte. `none`: to this machine only.
        #[serde(default)]
        pub tls: Tls,
        /// Lets `tls = "none"` send to another machine, where everybody on the way reads mails and password.
        #[serde(default)]
        pub dangerously_unencrypted: bool,
        /// Trusts the authorities in this PEM file besides the system's own.
        #[serde(default)]
        pub ca_file: Option<PathBuf>,
        /// Trusts nobody but those in `ca_file`. `false` by default.
        #[serde(default)]
        pub only_ca_file: bool,
        /// Shows this certificate (PEM, chain included) to a server that asks for one. Needs `client_key`.
        #[serde(default)]
        pub client_cert: Option<PathBuf>,
        /// The private key of `client_cert` (PEM).
        #[serde(default)]
        pub client_key: Option<PathBuf>,
        /// Who we are to the server.
        #[serde(default)]
        pub username: Option<String>,
        /// The password of `username`.
        #[serde(default)]
        pub password: Option<Secret>,
        /// File that holds the password; read again for each connection.
        #[serde(default)]
        pub password_file: Option<PathBuf>,
        /// Whom mails are from: `metlog@example.org`, or `metlog <metlog@example.org>`.
        pub from: String,
        /// Whom they are for.
        pub to: Vec<String>,
        /// A mail of its own for each of them, instead of one that shows them all. `false` by default.
        #[serde(default)]
        pub separate: bool,
        /// Begins each subject. `[metlog]` by default.
        #[serde(default = "prefix")]
        pub prefix: String,
        /// What we call ourselves to the server. Our address by default.
        #[serde(default)]
        pub hello: Option<String>,
        /// For one mail, from looking up the name to the server's last word. `30s` by default.
        #[serde(default = "timeout")]
        pub timeout: Span,
    }
}

/// How the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// After asking for it, and not otherwise.
    #[default]
    StartTls,
    /// From the first byte.
    Tls,
    /// Not.
    None,
}

fn prefix() -> String {
    "[metlog]".into()
}

fn timeout() -> Span {
    Span(Duration::from_secs(30))
}

/// Hands notices to a mail server.
pub struct Mailer {
    server: Server,
    account: Option<Account>,
    from: Mailbox,
    to: Vec<Mailbox>,
    separate: bool,
    prefix: String,
    timeout: Duration,
    /// Begins the ids of this instance's mails.
    mark: u64,
    way: Option<Way>,
    remarks: Vec<String>,
}

struct Account {
    user: String,
    password: Source,
}

enum Source {
    Given(Secret),
    File(PathBuf),
}

impl Account {
    fn credentials(&self) -> Result<Credentials, String> {
        let password = match &self.password {
            Source::Given(password) => password.clone(),
            Source::File(path) => Secret::from_file(path).map_err(|why| format!("`password_file` {why}"))?,
        };
        Ok(Credentials { user: self.user.clone(), password })
    }
}

/// How far a notice has come.
struct Way {
    number: u64,
    date: Timestamp,
    /// Of each recipient.
    fates: Vec<Option<Fate>>,
    tries: usize,
}

impl Mailer {
    /// Mails of one notice: for whom each is, of those who have not got theirs.
    fn envelopes(&self, way: &Way) -> Vec<Vec<usize>> {
        let open: Vec<usize> =
            way.fates.iter().enumerate().filter(|(_, fate)| fate.is_none()).map(|(at, _)| at).collect();
        match (self.separate, open.is_empty()) {
            (_, true) => Vec::new(),
            (true, _) => open.into_iter().map(|at| vec![at]).collect(),
            (false, _) => vec![open],
        }
    }

    fn hand_over(&self, notice: &Notice, way: &mut Way, by: Option<Instant>) -> Result<(), Fault> {
        let until = || {
            let limit = Instant::now() + self.timeout;
            by.map_or(limit, |by| by.min(limit))
        };
        let credentials = self.account.as_ref().map(Account::credentials).transpose().map_err(Fault::Stop)?;
        let mut session = Session::open(&self.server, credentials.as_ref(), until())?;
        let id = format!("metlog.{:016x}.{}", self.mark, notice.number);
        for envelope in self.envelopes(way) {
            let to: Vec<&Mailbox> = envelope.iter().filter_map(|at| self.to.get(*at)).collect();
            // A mail of its own has an id of its own.
            let id = if self.separate { format!("{id}.{}", envelope.first().unwrap_or(&0)) } else { id.clone() };
            let letter = Letter { from: &self.from, prefix: &self.prefix, notice, id: &id, date: way.date };
            let (text, addresses) = (letter.text(&to), to.iter().map(|to| to.address.as_str()).collect::<Vec<_>>());
            let fates = session.send(&self.from.address, &addresses, &text, until())?;
            for (at, fate) in envelope.into_iter().zip(fates) {
                if let Some(place) = way.fates.get_mut(at) {
                    *place = Some(fate);
                }
            }
        }
        session.quit();
        Ok(())
    }

    /// What the fates of all recipients make of the notice.
    fn verdict(&mut self, mut way: Way) -> Result<(), SendError> {
        let (mut taken, mut refused, mut later) = (0, Vec::new(), Vec::new());
        for fate in way.fates.iter().flatten() {
            match fate {
                Fate::Taken => taken += 1,
                Fate::Refused(why) => refused.push(why.clone()),
                Fate::Later(why) => later.push(why.clone()),
            }
        }
        way.tries += 1;
        if taken == 0 && later.is_empty() {
            // Recipients are in the configuration, not in the message.
            return Err(SendError::Pause { why: format!("{}; check `to`", refused.join("; ")) });
        }
        if !later.is_empty() && (taken == 0 || way.tries < TRIES) {
            for fate in way.fates.iter_mut().filter(|fate| matches!(fate, Some(Fate::Later(_)))) {
                *fate = None;
            }
            self.way = Some(way);
            return Err(SendError::retry(later.join("; ")));
        }
        // Whoever waits for the next notice must not wait for one whose mailbox is full.
        self.remarks.extend(refused.into_iter().chain(later).map(|why| format!("others got the mail, but {why}")));
        Ok(())
    }
}

impl Post for Mailer {
    fn post(&mut self, notice: &Notice, by: Option<Instant>) -> Result<(), SendError> {
        let way = self.way.take().filter(|way| way.number == notice.number);
        let mut way = way.unwrap_or_else(|| Way {
            number: notice.number,
            date: Timestamp::now(),
            fates: vec![None; self.to.len()],
            tries: 0,
        });
        let handed = self.hand_over(notice, &mut way, by);
        let some = way.fates.contains(&Some(Fate::Taken));
        match handed {
            Ok(()) => self.verdict(way),
            Err(Fault::Refused(why)) if some => {
                self.remarks.push(format!("some got the mail, but {why}"));
                Ok(())
            }
            Err(Fault::Refused(why)) => Err(SendError::Refuse { why, which: vec![0] }),
            Err(fault) => {
                // Who has got it does not get it again.
                self.way = Some(way);
                match fault {
                    Fault::Stop(why) => Err(SendError::Pause { why }),
                    Fault::Later(why) | Fault::Refused(why) => Err(SendError::retry(why)),
                }
            }
        }
    }

    fn remark(&mut self) -> Option<String> {
        let remarks = std::mem::take(&mut self.remarks);
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }
}

/// What the settings say, found right without touching anything.
struct Plan {
    port: u16,
    name: Option<ServerName<'static>>,
    account: Option<Account>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Plan {
    fn of(config: &Config) -> Result<Self, String> {
        let (port, name) = reach(config)?;
        trust(config).check("")?;
        if config.to.is_empty() || config.to.len() > RECIPIENTS {
            return Err(format!("`to` names {} recipients; 1 to {RECIPIENTS} are possible", config.to.len()));
        }
        if config.prefix.chars().any(char::is_control) || config.prefix.chars().count() > 60 {
            return Err("`prefix` is a few words, 60 characters at the most".into());
        }
        let hello = config.hello.as_deref().unwrap_or("localhost");
        if hello.is_empty() || !hello.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("`hello` needs our host's name, without blanks".into());
        }
        let timeout = config.timeout.duration();
        if timeout < Duration::from_millis(100) || timeout > Duration::from_secs(600) {
            return Err("`timeout` can be 100ms to 10m; 30s is usual".into());
        }
        Ok(Plan {
            port,
            name,
            account: account(config)?,
            from: Mailbox::parse("from", &config.from)?,
            to: config.to.iter().map(|to| Mailbox::parse("to", to)).collect::<Result<_, _>>()?,
        })
    }
}

/// The port, and the name on the certificate where there is to be one.
fn reach(config: &Config) -> Result<(u16, Option<ServerName<'static>>), String> {
    let host = config.server.trim();
    if host.is_empty() || host.contains(['/', '@', ' ']) || host.contains(':') && host.parse::<IpAddr>().is_err() {
        return Err(format!("`server` is {host:?}; it needs a host's name, and the port is `port`"));
    }
    let usual = match config.tls {
        Tls::StartTls => 587,
        Tls::Tls => 465,
        Tls::None => 25,
    };
    let name = match config.tls {
        Tls::None => None,
        _ => Some(
            ServerName::try_from(host.to_owned())
                .map_err(|_| format!("`server` is {host:?}, which is no name a certificate could be for"))?,
        ),
    };
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match (config.tls, config.dangerously_unencrypted) {
        (Tls::None, false) if !here => {
            return Err(format!(
                "`tls` is `none`, and {host} is another machine: everybody on the way could read along; encrypt, or set \
                 `dangerously_unencrypted = true`"
            ));
        }
        (Tls::StartTls | Tls::Tls, true) => {
            return Err("`dangerously_unencrypted` means something only with `tls = \"none\"`; leave it away".into());
        }
        _ => {}
    }
    let port = config.port.unwrap_or(usual);
    if port == 0 {
        return Err(format!("`port` is 0, which nothing can listen on; {usual} is usual here"));
    }
    Ok((port, name))
}

fn trust(config: &Config) -> Trust {
    let Config { ca_file, only_ca_file, client_cert, client_key, .. } = config;
    Trust {
        ca_file: ca_file.clone(),
        only_ca_file: *only_ca_file,
        client_cert: client_cert.clone(),
        client_key: client_key.clone(),
    }
}

fn account(config: &Config) -> Result<Option<Account>, String> {
    let password = match (&config.password, &config.password_file) {
        (Some(_), Some(_)) => {
            return Err("`password` and `password_file` are both set; which should win? Keep one".into());
        }
        (Some(password), None) => Some(Source::Given(password.clone())),
        (None, file) => file.clone().map(Source::File),
    };
    match (&config.username, password) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err("`username` is missing beside the password".into()),
        (Some(_), None) => Err("`username` is set without `password` or `password_file`".into()),
        (Some(user), _) if user.is_empty() || user.chars().any(char::is_control) => {
            Err("`username` is empty or holds a control character".into())
        }
        (Some(_), Some(Source::Given(password)))
            if password.reveal().is_empty() || password.reveal().contains('\0') =>
        {
            Err("`password` is empty or holds a NUL".into())
        }
        (Some(user), Some(password)) => Ok(Some(Account { user: user.clone(), password })),
    }
}

impl Mailer {
    fn new(config: &Config) -> Result<Self, String> {
        let Plan { port, name, account, from, to } = Plan::of(config)?;
        if let Some(account) = &account {
            account.credentials()?;
        }
        let security = match (config.tls, name) {
            (Tls::StartTls, Some(name)) => Security::StartTls(trust(config).open("", &[])?, name),
            (Tls::Tls, Some(name)) => Security::Tls(trust(config).open("", &[])?, name),
            _ => Security::None { only_here: !config.dangerously_unencrypted },
        };
        let server = Server { host: config.server.trim().to_owned(), port, security, hello: config.hello.clone() };
        Ok(Mailer {
            server,
            account,
            from,
            to,
            separate: config.separate,
            prefix: config.prefix.clone(),
            timeout: config.timeout.duration(),
            mark: fastrand::u64(..),
            way: None,
            remarks: Vec::new(),
        })
    }
}

impl Carrier for Mailer {
    type Config = Config;

    fn keys(config: &Config) -> Keys {
        config.keys()
    }

    fn check(config: &Config) -> Result<(), String> {
        Plan::of(config).map(drop)
    }

    fn examine(config: &Config) -> Result<Vec<String>, String> {
        if config.tls == Tls::None { Ok(Vec::new()) } else { trust(config).examine("") }
    }

    fn open(config: Config) -> Result<Self, String> {
        Mailer::new(&config)
    }
}

inventory::submit! {
    EndpointEntry::of::<Alerting<Mailer>>("email", &["smtp"], include_str!("../example.endpoint.toml"))
}
