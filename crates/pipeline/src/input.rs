//! Contract: where the router gets messages from.

use async_trait::async_trait;
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A listener or reader. It finds where messages begin and end; everything else happens behind its [`Inlet`].
///
/// Opening it binds, so that a start with a port in use fails at once. It runs as one task of the router's runtime and
/// may start more, which it joins before it returns.
#[async_trait]
pub trait Input: Send {
    /// Where it listens or reads, as a person would write it.
    fn place(&self) -> String;

    /// Takes messages in until told to stop. What the operating system has already accepted for it is read before the
    /// end, as far as that is possible.
    ///
    /// # Errors
    /// What happened and what would be right. The router says so, counts it and opens the input again.
    async fn run(self: Box<Self>, inlet: Inlet, stop: Stop) -> Result<(), String>;

    /// What it has read from files that its settings name, such as certificates, to be read again when the router
    /// reloads although the settings say the same as before.
    fn renew(&self) -> Option<Renew> {
        None
    }
}

/// Reads files again; what it gives puts them in force. So all files are read before any is.
pub type Renew = Arc<dyn Fn() -> Result<Box<dyn FnOnce() + Send>, String> + Send + Sync>;

/// The router's side of an input: each connection or socket has one of its own.
///
/// `push`, `push`, …, `commit`: pushing judges and copies into a buffer, committing hands the buffer to the spool in one
/// write. An input that reads much at a time commits once per read.
pub struct Inlet(Box<dyn Intake>);

impl Inlet {
    /// For the router.
    pub fn new(intake: Box<dyn Intake>) -> Self {
        Inlet(intake)
    }

    /// One for another connection of the same input.
    #[must_use]
    pub fn another(&self) -> Inlet {
        Inlet(self.0.another())
    }

    /// One message, of whatever quality. Never fails: what cannot be used goes to the dead letters with a reason.
    #[inline]
    pub fn push(&mut self, message: &[u8]) {
        self.0.push(message);
    }

    /// Says that what is pushed until the next commit comes from another router: nothing of it is taken twice, and what is
    /// refused is kept there.
    ///
    /// # Errors
    /// If it has been here before, or at too many routers. Then nothing is to be pushed.
    pub fn forwarded(&mut self, forwarded: Forwarded) -> Result<(), Looping> {
        self.0.forwarded(forwarded)
    }

    /// Something that was meant as a message and that the transport itself cannot take: beyond a limit, badly framed.
    /// As much as is at hand of it goes to the dead letters.
    pub fn refuse(&mut self, part: &[u8], reason: Reason, why: &str) {
        self.0.refuse(part, reason, why);
    }

    /// Counts messages that are known to have been lost before they reached us, such as the kernel's dropped datagrams.
    pub fn lost(&mut self, count: u64) {
        self.0.lost(count);
    }

    /// Counts a connection that was not let in, or thrown out: too many, too slow, not speaking the language.
    pub fn turned_away(&mut self, why: Away) {
        self.0.turned_away(why);
    }

    /// Says that only a part of what its senders number comes here, since others take from the same queue: a number that
    /// does not come is no loss then.
    pub fn takes_a_part(&mut self) {
        self.0.takes_a_part();
    }

    /// Hands over what was pushed since the last time.
    ///
    /// # Errors
    /// [`Full`] if there is no room. What was pushed is still there: commit again later, or [`Inlet::drop_pushed`].
    pub fn commit(&mut self) -> Result<Receipt, Full> {
        self.0.commit()
    }

    /// Gives up on what was pushed and not committed; it is counted under this reason.
    pub fn drop_pushed(&mut self, reason: Reason) {
        self.0.drop_pushed(reason);
    }

    /// Bytes pushed and not committed.
    pub fn pending(&self) -> usize {
        self.0.pending()
    }

    /// Ends when all that this inlet committed is as safe as `spool.sync` promises. Whoever acknowledges waits for it.
    pub fn durable(&self) -> Durable {
        self.0.durable()
    }

    /// The largest message the router takes, in bytes.
    pub fn message_limit(&self) -> usize {
        self.0.message_limit()
    }
}

/// What another router says of the messages that it forwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// The key that it showed, by name. Nobody's word counts for messages that come with another key.
    pub key: String,
    /// That router's number and the name of its endpoint, `number/name`. Ids are told apart only within that.
    pub from: String,
    /// The messages' ids there, growing, one for each that is pushed.
    pub ids: Vec<u64>,
    /// The numbers of the routers the messages have been at, that one's too, in hexadecimal, with commas.
    pub passed: String,
}

/// Forwarded messages that go round and round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looping {
    /// Our own number, if they have been here.
    pub here: Option<String>,
    /// For people.
    pub why: String,
}

/// See [`Inlet::durable`].
pub type Durable = Pin<Box<dyn Future<Output = Result<(), Full>> + Send>>;

/// What the router does behind an [`Inlet`], whose methods say what each of these means.
#[allow(missing_docs)]
pub trait Intake: Send {
    fn another(&self) -> Box<dyn Intake>;
    fn push(&mut self, message: &[u8]);
    fn forwarded(&mut self, forwarded: Forwarded) -> Result<(), Looping> {
        drop(forwarded);
        Ok(())
    }
    fn refuse(&mut self, part: &[u8], reason: Reason, why: &str);
    fn lost(&mut self, count: u64);
    fn turned_away(&mut self, why: Away) {
        let _ = why;
    }
    fn takes_a_part(&mut self) {}
    fn commit(&mut self) -> Result<Receipt, Full>;
    fn drop_pushed(&mut self, reason: Reason);
    fn pending(&self) -> usize;
    fn durable(&self) -> Durable;
    fn message_limit(&self) -> usize;
}

/// Why a message was not taken; the label of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Not a message, whatever one does with it.
    Malformed,
    /// Beyond a limit of size, depth or number of values.
    TooLarge,
    /// Cut off: the connection ended, or the transport garbled it.
    Truncated,
    /// The spool is full and the transport cannot wait.
    SpoolFull,
    /// Its sender may send only so much.
    Quota,
    /// An editor did not want it.
    Filtered,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 6] =
        [Reason::Malformed, Reason::TooLarge, Reason::Truncated, Reason::SpoolFull, Reason::Quota, Reason::Filtered];

    /// The label in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Malformed => "malformed",
            Reason::TooLarge => "too_large",
            Reason::Truncated => "truncated",
            Reason::SpoolFull => "spool_full",
            Reason::Quota => "quota",
            Reason::Filtered => "filtered",
        }
    }
}

/// Why a connection was not let in, or thrown out; the label of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Away {
    /// There were as many as there may be.
    Cap,
    /// Its address had as many as one may have.
    Address,
    /// Nothing came over it for too long.
    Idle,
    /// It does not speak the language.
    Protocol,
    /// It speaks TLS where none is spoken.
    Tls,
    /// It does not speak TLS where it has to.
    Plaintext,
    /// Its TLS handshake took too long.
    HandshakeTimeout,
    /// Its TLS handshake was the oldest of too many.
    Handshakes,
    /// It ended in the middle of its TLS handshake, or before.
    HungUp,
    /// It began a TLS handshake that is none.
    BadHandshake,
    /// It knows no TLS newer than 1.1.
    TlsVersion,
    /// It has no certificate where one is asked for.
    NoCertificate,
    /// Its certificate is of an unknown authority, or not valid now.
    BadCertificate,
    /// It does not trust our certificate.
    Distrusted,
}

impl Away {
    /// All of them.
    pub const ALL: [Away; 14] = [
        Away::Cap,
        Away::Address,
        Away::Idle,
        Away::Protocol,
        Away::Tls,
        Away::Plaintext,
        Away::HandshakeTimeout,
        Away::Handshakes,
        Away::HungUp,
        Away::BadHandshake,
        Away::TlsVersion,
        Away::NoCertificate,
        Away::BadCertificate,
        Away::Distrusted,
    ];

    /// The label in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Away::Cap => "cap",
            Away::Address => "address",
            Away::Idle => "idle",
            Away::Protocol => "protocol",
            Away::Tls => "tls",
            Away::Plaintext => "plaintext",
            Away::HandshakeTimeout => "handshake_timeout",
            Away::Handshakes => "handshakes",
            Away::HungUp => "hung_up",
            Away::BadHandshake => "bad_handshake",
            Away::TlsVersion => "tls_version",
            Away::NoCertificate => "no_certificate",
            Away::BadCertificate => "bad_certificate",
            Away::Distrusted => "distrusted",
        }
    }
}

/// Who an address counts as. An IPv6 subscriber has 2^64 addresses, so the first half of the address is who it is.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// What became of the messages of one commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Taken, whether or not any endpoint wants them.
    pub accepted: usize,
    /// Known already, by client and running number: as good as taken.
    pub duplicates: usize,
    /// Refused, in the order they were pushed.
    pub rejected: Vec<Rejected>,
}

/// A message that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its position among those pushed since the last commit.
    pub index: usize,
    /// Why, as a label.
    pub reason: Reason,
    /// Why, for people.
    pub why: String,
}

/// There is no room in the spool, or no disk under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full {
    /// What happened, for people.
    pub why: String,
    /// When to try again: soon, and not at once.
    pub retry_after: Duration,
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Full {}

/// Tells inputs to stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// One that is told by sending `true`, or by dropping the sender.
    pub fn new() -> (watch::Sender<bool>, Stop) {
        let (tell, told) = watch::channel(false);
        (tell, Stop(told))
    }

    /// Whether it is time.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Ends when it is time.
    pub async fn stopped(&self) {
        let mut told = self.0.clone();
        // An error means that whoever would tell is gone, which says the same.
        let _ = told.wait_for(|stop| *stop).await;
    }
}
