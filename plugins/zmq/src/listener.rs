//! Where peers knock: an address or a file.

use crate::connection::{Connection, Io};
use crate::roster::Roster;
use crate::session::{Role, Session};
use metlog_pipeline::{Away, Inlet, Stop};
use socket2::TcpKeepalive;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use zeromq::{Endpoint, Host};

/// When accepting fails there are too many files open, and it fails until some are closed.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// After so much silence the system asks whether a peer's host is there. Those that vanished would keep their seats.
const SILENCE: Duration = Duration::from_secs(60);

/// A bound address or file.
pub(crate) struct Listener {
    door: Door,
    place: String,
}

enum Door {
    Tcp(TcpListener),
    #[cfg(unix)]
    Ipc(UnixListener, File),
}

/// The file of a socket, gone with it.
#[cfg(unix)]
struct File(PathBuf);

#[cfg(unix)]
impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whom one listener lets in, and what as.
pub(crate) struct Reception {
    pub role: Role,
    /// The largest frame.
    pub limit: usize,
    pub roster: Arc<Roster>,
    /// For large messages, see [`PASSES`](crate::connection::PASSES).
    pub passes: Arc<Semaphore>,
    /// Messages go to others of its kind; nothing, where only answers are given.
    pub inlet: Option<Inlet>,
}

/// The addresses an endpoint stands for, in Metlog's and libzmq's spelling; a `*` stands for all of this machine's.
pub(crate) fn addresses(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    Ok(match endpoint {
        Endpoint::Tcp(Host::Ipv4(ip), port) => vec![(*ip, *port).into()],
        Endpoint::Tcp(Host::Ipv6(ip), port) => vec![(*ip, *port).into()],
        Endpoint::Tcp(Host::Domain(name), port) if name == "*" => vec![([0, 0, 0, 0], *port).into()],
        Endpoint::Tcp(Host::Domain(name), port) => {
            let found: Vec<SocketAddr> = (name.as_str(), *port).to_socket_addrs()?.collect();
            // UDP's rule, and Metlog's habit: a name means its IPv4 address, if it has one.
            let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
            first.copied().into_iter().collect()
        }
        _ => Vec::new(),
    })
}

impl Listener {
    /// Binds.
    pub fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        #[cfg(unix)]
        if let Endpoint::Ipc(Some(path)) = endpoint {
            return Self::bind_file(path.clone());
        }
        let listener = TcpListener::bind(addresses(endpoint)?.as_slice())?;
        listener.set_nonblocking(true)?;
        Ok(Listener { place: format!("tcp://{}", listener.local_addr()?), door: Door::Tcp(listener) })
    }

    #[cfg(unix)]
    fn bind_file(path: PathBuf) -> io::Result<Self> {
        let listener = match UnixListener::bind(&path) {
            // A file that nobody answers at is left over from a router that did not end well.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(&path) => {
                std::fs::remove_file(&path)?;
                UnixListener::bind(&path)?
            }
            bound => bound?,
        };
        listener.set_nonblocking(true)?;
        Ok(Listener { place: format!("ipc://{}", path.display()), door: Door::Ipc(listener, File(path)) })
    }

    /// As people write it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Lets peers in until told to stop, and returns when the last one is gone.
    ///
    /// # Errors
    /// What the runtime said when it did not want the socket.
    pub async fn run(self, reception: Reception, stop: Stop) -> io::Result<()> {
        match self.door {
            Door::Tcp(listener) => reception.run(tokio::net::TcpListener::from_std(listener)?, stop).await,
            #[cfg(unix)]
            Door::Ipc(listener, _file) => reception.run(tokio::net::UnixListener::from_std(listener)?, stop).await,
        }
        Ok(())
    }
}

/// What lets peers in, and knows where from, if that is not this machine.
trait Accept {
    type Io: Io + 'static;
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Io, Option<IpAddr>)>> + Send;
}

impl Accept for tokio::net::TcpListener {
    type Io = tokio::net::TcpStream;
    async fn accept(&self) -> io::Result<(Self::Io, Option<IpAddr>)> {
        let (stream, from) = self.accept().await?;
        // Answers are small, and somebody waits for each.
        stream.set_nodelay(true)?;
        socket2::SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE))?;
        Ok((stream, Some(from.ip())))
    }
}

#[cfg(unix)]
impl Accept for tokio::net::UnixListener {
    type Io = tokio::net::UnixStream;
    async fn accept(&self) -> io::Result<(Self::Io, Option<IpAddr>)> {
        Ok((self.accept().await?.0, None))
    }
}

#[cfg(unix)]
fn is_abandoned(path: &std::path::Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

impl Reception {
    async fn run(mut self, listener: impl Accept, stop: Stop) {
        let mut connections = JoinSet::new();
        let mut stopped = pin!(stop.stopped());
        loop {
            tokio::select! {
                () = &mut stopped => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((io, from)) => self.admit(io, from, &mut connections, &stop),
                    Err(error) if is_of_one_peer(&error) => {}
                    Err(_) => tokio::time::sleep(OUT_OF_FILES).await,
                },
            }
        }
        while connections.join_next().await.is_some() {}
    }

    /// Whoever is not admitted is counted and dropped: it comes again by itself.
    fn admit<T: Io + 'static>(&mut self, io: T, from: Option<IpAddr>, connections: &mut JoinSet<()>, stop: &Stop) {
        let admitted = self.roster.admit(from, |seat| {
            let session = Session::new(self.role.clone(), self.limit);
            let inlet = self.inlet.as_ref().map(Inlet::another);
            let passes = Arc::clone(&self.passes);
            connections.spawn(Connection { io, session, inlet, seat, passes }.run(stop.clone()))
        });
        if let (false, Some(inlet)) = (admitted, &mut self.inlet) {
            inlet.turned_away(Away::Cap);
        }
    }
}

/// The peer was gone before it was let in.
fn is_of_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::InvalidInput
    )
}
