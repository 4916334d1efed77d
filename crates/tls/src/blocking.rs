//! The handshake of a client over a socket that blocks, with an end.

use crate::trust::Trusted;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ProtocolVersion};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// How long a server may take to say that it has looked at our certificate. Nearly all say so at once, with a ticket.
const HEAR_OUT: Duration = Duration::from_secs(1);

/// How long a server is listened to that we do not trust.
const PART: Duration = Duration::from_millis(200);

/// A socket on which nothing lasts beyond a moment.
struct Timed<'a> {
    socket: &'a TcpStream,
    by: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.by.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// Ends a connection whose other end has been told why. What it goes on to say is read for a moment: a socket that is
/// closed over unread bytes takes its own last words with it.
fn part(mut socket: &TcpStream) {
    let by = Instant::now() + PART;
    let _ = socket.shutdown(Shutdown::Write).and_then(|()| socket.set_read_timeout(Some(PART)));
    while Instant::now() < by && socket.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
}

/// Makes a connection safe, if its other end proves to be that host. The socket's time-outs are changed.
///
/// In TLS 1.3 a client is through before the server has looked at its certificate, and what it writes then is lost if the
/// server does not like it. So a short while is waited for the server's next word: a refusal comes as an error from here.
///
/// # Errors
/// What is wrong, with whom, and what would be right.
pub fn shake_hands(trusted: &Trusted, host: &str, socket: &TcpStream, by: Instant) -> Result<ClientConnection, String> {
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is no name a certificate could be for"))?;
    let mut connection = ClientConnection::new(trusted.config(), name).map_err(|error| error.to_string())?;
    let failed = |error: io::Error| {
        let late = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
        let why = match trusted.explain(&error) {
            Some(why) => why,
            None if late => "no end of it in time".to_owned(),
            None if error.kind() == ErrorKind::UnexpectedEof => "the peer hung up in the middle of it".to_owned(),
            None => error.to_string(),
        };
        format!("TLS handshake failed: {why}")
    };
    let mut timed = Timed { socket, by };
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut timed) {
            // Why, for the other end.
            while connection.wants_write() && connection.write_tls(&mut timed).is_ok_and(|count| count > 0) {}
            part(socket);
            return Err(failed(error));
        }
    }
    while connection.wants_write() {
        connection.write_tls(&mut timed).map_err(failed)?;
    }
    if connection.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
        timed.by = by.min(Instant::now() + HEAR_OUT);
        match connection.read_tls(&mut timed) {
            Ok(0) => return Err(failed(ErrorKind::UnexpectedEof.into())),
            Ok(_) => {
                connection.process_new_packets().map_err(|error| failed(io::Error::other(error)))?;
            }
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(connection)
}
