//! A connection with one deadline for everything, however slowly the other side speaks, and its encryption.

use metlog_tls::Trusted;
use metlog_tls::rustls::pki_types::ServerName;
use metlog_tls::rustls::{ClientConnection, StreamOwned};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A socket on which nothing lasts beyond a moment.
struct Timed {
    stream: TcpStream,
    by: Instant,
}

impl Timed {
    fn left(&self) -> Result<Duration> {
        let left = self.by.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }
    fn flush(&mut self) -> Result<()> {
        self.stream.flush()
    }
}

/// A connection.
pub struct Wire(Way);

enum Way {
    Plain(Timed),
    Secured(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Wire {
    /// Connects to the first address that answers. With `only_here`, to this machine alone: not even a name that leads
    /// elsewhere.
    pub fn connect(host: &str, port: u16, only_here: bool, by: Instant) -> std::result::Result<Self, String> {
        let mut failed = String::from("the name has no address");
        for address in look_up(host, port, by)? {
            if only_here && !address.ip().is_loopback() {
                failed = format!("{address} is another machine, and nothing goes there unencrypted");
                continue;
            }
            let left = by.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => {
                    // Without it a command waits for the acknowledgement of the one before.
                    stream.set_nodelay(true).map_err(|error| error.to_string())?;
                    return Ok(Wire(Way::Plain(Timed { stream, by })));
                }
                Err(error) => failed = format!("cannot connect to {address}: {error}"),
            }
        }
        Err(failed)
    }

    fn timed(&mut self) -> &mut Timed {
        match &mut self.0 {
            Way::Plain(timed) => timed,
            Way::Secured(stream) => &mut stream.sock,
        }
    }

    /// Another deadline.
    pub fn until(&mut self, by: Instant) {
        self.timed().by = by;
    }

    /// Our own address on it.
    pub fn local(&mut self) -> Option<IpAddr> {
        self.timed().stream.local_addr().ok().map(|address| address.ip())
    }

    /// Encrypts it from here on.
    pub fn secure(self, trusted: &Trusted, name: &ServerName<'static>) -> Result<Self> {
        let Way::Plain(timed) = self.0 else { return Err(Error::other("it is encrypted already")) };
        let connection = ClientConnection::new(trusted.config(), name.clone()).map_err(Error::other)?;
        let mut stream = StreamOwned::new(connection, timed);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Wire(Way::Secured(Box::new(stream))))
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match &mut self.0 {
            Way::Plain(timed) => timed.read(buffer),
            Way::Secured(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match &mut self.0 {
            Way::Plain(timed) => timed.write(bytes),
            Way::Secured(stream) => stream.write(bytes),
        }
    }
    fn flush(&mut self) -> Result<()> {
        match &mut self.0 {
            Way::Plain(timed) => timed.flush(),
            Way::Secured(stream) => stream.flush(),
        }
    }
}

/// The addresses of a name. The system's resolver knows no deadline, so it works on a thread of its own, which is left
/// behind if it takes too long and ends when the resolver gives up.
fn look_up(host: &str, port: u16, by: Instant) -> std::result::Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let (give, take) = mpsc::sync_channel(1);
    let name = host.to_owned();
    let asked = std::thread::Builder::new().name("metlog-dns".into()).spawn(move || {
        // Nobody may be waiting any more.
        let _ = give.send((name.as_str(), port).to_socket_addrs().map(Iterator::collect));
    });
    asked.map_err(|error| format!("no thread to look the name up: {error}"))?;
    match take.recv_timeout(by.saturating_duration_since(Instant::now())) {
        Ok(found) => found.map_err(|error| format!("the name cannot be looked up: {error}")),
        Err(_) => Err("the name was not looked up in time".into()),
    }
}
