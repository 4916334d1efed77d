//! From a connection somebody made to one that is safe, or to the reason why not.

use crate::identity::Identity;
use crate::words::of_rustls;
use metlog_pipeline::input::Away;
use rustls::{Error, PeerIncompatible, ServerConfig};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The first byte of every TLS connection: a record of the handshake.
const HANDSHAKE: u8 = 0x16;

/// Accepts TLS as an [`Identity`] says.
///
/// Who begins a handshake and does not go on takes no place from anybody: where too many are at it, the oldest is thrown
/// out for the newest, and an honest one is through in milliseconds.
#[derive(Clone)]
pub struct Acceptor(Arc<Inner>);

struct Inner {
    alpn: &'static [&'static [u8]],
    own: Mutex<Arc<Own>>,
    busy: Mutex<Busy>,
}

/// Who we are at the moment.
struct Own {
    identity: Identity,
    config: Arc<ServerConfig>,
}

/// Handshakes that are going on, the oldest first.
#[derive(Default)]
struct Busy {
    next: u64,
    at: BTreeMap<u64, Arc<Notify>>,
}

/// A connection that did not become a safe one.
#[derive(Debug)]
pub struct Unsafe {
    /// Why.
    pub why: Away,
    /// The connection itself, nothing of it read, where somebody speaks without TLS.
    pub socket: Option<TcpStream>,
}

/// Files that were read anew and found right.
pub struct Renewal {
    inner: Arc<Inner>,
    own: Own,
}

impl Renewal {
    /// New connections see them from now on; those that exist go on.
    pub fn apply(self) {
        *lock(&self.inner.own) = Arc::new(self.own);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Acceptor").field(&lock(&self.0.own).identity).finish()
    }
}

impl Acceptor {
    /// Reads the files. `alpn`: the protocols spoken through it.
    ///
    /// # Errors
    /// Which file, what is wrong with it, and what would be right.
    pub fn open(identity: &Identity, alpn: &'static [&'static [u8]]) -> Result<Self, String> {
        let own = Mutex::new(Arc::new(Own::read(identity, alpn)?));
        Ok(Acceptor(Arc::new(Inner { alpn, own, busy: Mutex::default() })))
    }

    /// Reads the files again, for whoever applies it when everything else is in order as well.
    ///
    /// # Errors
    /// As [`Acceptor::open`]; then nothing has changed.
    pub fn renew(&self) -> Result<Renewal, String> {
        let identity = lock(&self.0.own).identity.clone();
        self.renew_as(&identity)
    }

    /// The same with other settings.
    ///
    /// # Errors
    /// As [`Acceptor::open`]; then nothing has changed.
    pub fn renew_as(&self, identity: &Identity) -> Result<Renewal, String> {
        Ok(Renewal { inner: self.0.clone(), own: Own::read(identity, self.0.alpn)? })
    }

    /// [`Acceptor::renew`] as an input hands it to the router.
    pub fn renewer(&self) -> metlog_pipeline::input::Renew {
        let own = self.clone();
        Arc::new(move || {
            let renewal = own.renew()?;
            Ok(Box::new(move || renewal.apply()))
        })
    }

    /// The handshake, from its first byte, within its time.
    ///
    /// # Errors
    /// Why there is no safe connection.
    pub async fn accept(&self, socket: TcpStream) -> Result<TlsStream<TcpStream>, Unsafe> {
        let own = lock(&self.0.own).clone();
        let place = Place::take(&self.0, own.identity.handshakes);
        let timeout = own.identity.handshake_timeout.duration();
        tokio::select! {
            done = shake(socket, &own.config) => done,
            () = place.thrown_out.notified() => Err(Away::Handshakes.into()),
            () = tokio::time::sleep(timeout) => Err(Away::HandshakeTimeout.into()),
        }
    }
}

impl Own {
    fn read(identity: &Identity, alpn: &[&[u8]]) -> Result<Self, String> {
        identity.check()?;
        Ok(Own { identity: identity.clone(), config: Arc::new(identity.config(alpn)?) })
    }
}

async fn shake(socket: TcpStream, config: &Arc<ServerConfig>) -> Result<TlsStream<TcpStream>, Unsafe> {
    let mut first = [0];
    match socket.peek(&mut first).await {
        Ok(0) | Err(_) => return Err(Away::HungUp.into()),
        Ok(_) if first != [HANDSHAKE] => return Err(Unsafe { why: Away::Plaintext, socket: Some(socket) }),
        Ok(_) => {}
    }
    TlsAcceptor::from(config.clone()).accept(socket).await.map_err(|error| away(&error).into())
}

impl From<Away> for Unsafe {
    fn from(why: Away) -> Self {
        Unsafe { why, socket: None }
    }
}

/// A place among the handshakes that are going on.
struct Place<'a> {
    inner: &'a Inner,
    number: u64,
    thrown_out: Arc<Notify>,
}

impl<'a> Place<'a> {
    fn take(inner: &'a Inner, most: usize) -> Self {
        let mut busy = lock(&inner.busy);
        let (number, thrown_out) = (busy.next, Arc::<Notify>::default());
        busy.next += 1;
        busy.at.insert(number, thrown_out.clone());
        if busy.at.len() > most
            && let Some((_, oldest)) = busy.at.pop_first()
        {
            oldest.notify_one();
        }
        Place { inner, number, thrown_out }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.inner.busy).at.remove(&self.number);
    }
}

/// What a failed handshake was.
fn away(error: &io::Error) -> Away {
    match of_rustls(error) {
        Some(Error::NoCertificatesPresented) => Away::NoCertificate,
        Some(Error::InvalidCertificate(_)) => Away::BadCertificate,
        Some(Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            // Every TLS since 1.2 says which signatures it understands.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
        )) => Away::TlsVersion,
        Some(Error::AlertReceived(_)) => Away::Distrusted,
        Some(_) => Away::BadHandshake,
        None => Away::HungUp,
    }
}
