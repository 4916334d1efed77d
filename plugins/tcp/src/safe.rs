//! A connection through TLS.

use crate::address::Address;
use metlog_tls::Trusted;
use metlog_tls::rustls::ClientConnection;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

/// What one record holds. A peer gets all of a record or nothing, so what has gone is counted by them.
const RECORD: usize = 16 * 1024;

/// The TLS side of a connection.
#[derive(Debug)]
pub(crate) struct Safe {
    tls: Box<ClientConnection>,
    /// A record did not go whole. What is left of it must not go either: its messages go again, over another connection.
    torn: bool,
}

impl Safe {
    /// Makes a connection safe, if its other end proves to be who it should be.
    pub fn over(trusted: &Trusted, address: &Address, socket: &TcpStream, by: Instant) -> Result<Self, String> {
        let connection = metlog_tls::shake_hands(trusted, address.host(), socket, by)?;
        Ok(Safe { tls: Box::new(connection), torn: false })
    }

    /// Whether the other end has said that it goes, as far as a socket that does not block has heard. What else it may
    /// have said is thrown away.
    pub fn is_gone(&mut self, mut socket: &TcpStream) -> bool {
        loop {
            match self.tls.read_tls(&mut socket) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
            let Ok(state) = self.tls.process_new_packets() else { return true };
            let mut plain = state.plaintext_bytes_to_read();
            if state.peer_has_closed() {
                return true;
            }
            while plain > 0 {
                match self.tls.reader().read(&mut [0; 4096]) {
                    Ok(count) if count > 0 => plain = plain.saturating_sub(count),
                    _ => return true,
                }
            }
        }
    }

    /// Writes one record, whole.
    pub fn write(&mut self, bytes: &[u8], mut socket: &TcpStream, by: Instant) -> io::Result<usize> {
        self.torn = true;
        let count = self.tls.writer().write(bytes.get(..RECORD).unwrap_or(bytes))?;
        while self.tls.wants_write() {
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            socket.set_write_timeout(Some(left))?;
            match self.tls.write_tls(&mut socket) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) => return Ok(0),
                wrote => {
                    wrote?;
                }
            }
        }
        self.torn = false;
        Ok(count)
    }

    /// Says that nothing more comes, so that the other end knows that nothing was cut off.
    pub fn close(&mut self, mut socket: &TcpStream) {
        if self.torn {
            return;
        }
        self.tls.send_close_notify();
        // A socket that takes no more bytes at once has an end that does not listen.
        let _ = self.tls.write_tls(&mut socket);
    }
}
