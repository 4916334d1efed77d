//! To statsd over TCP, which the crate `statsd` does not know.

use crate::tally::Tally;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// The way to one server; connects when there is something to send.
pub struct Tcp {
    address: String,
    timeout: Duration,
    stream: Option<TcpStream>,
    text: String,
}

/// Lines that did not go.
#[derive(Debug)]
pub struct Failed {
    pub why: String,
    /// Some of them may have arrived all the same.
    pub begun: bool,
}

impl Tcp {
    /// `timeout`: for connecting, and for each hand-over.
    pub fn new(address: String, timeout: Duration) -> Self {
        Tcp { address, timeout, stream: None, text: String::new() }
    }

    /// Connects, if there is no connection whose other end may still be there.
    pub fn ready(&mut self) -> Result<(), String> {
        if self.stream.as_mut().is_some_and(|stream| !is_gone(stream)) {
            return Ok(());
        }
        self.stream = None;
        let cannot = |error: io::Error| format!("cannot connect to {}: {error}", self.address);
        let deadline = Instant::now() + self.timeout;
        let all: Vec<SocketAddr> = self.address.to_socket_addrs().map_err(cannot)?.collect();
        let mut last = format!("{} has no IP address", self.address);
        for (tried, ip) in all.iter().enumerate() {
            // Each gets its part of what is left: one that swallows everything must not keep the next from its turn.
            let left = deadline.saturating_duration_since(Instant::now());
            let turn = left / u32::try_from(all.len() - tried).unwrap_or(u32::MAX);
            if turn.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(ip, turn) {
                Ok(stream) => {
                    self.stream = Some(stream);
                    return Ok(());
                }
                Err(error) => last = cannot(error),
            }
        }
        Err(last)
    }

    /// Hands lines over. After an error the connection is let go: its last line is torn.
    pub fn send(&mut self, tally: &Tally) -> Result<(), Failed> {
        self.ready().map_err(|why| Failed { why, begun: false })?;
        let Some(mut stream) = self.stream.take() else {
            return Err(Failed { why: format!("{} is not open", self.address), begun: false });
        };
        self.text.clear();
        tally.write(&mut self.text);
        let deadline = Instant::now() + self.timeout;
        let mut rest = self.text.as_bytes();
        while !rest.is_empty() {
            let begun = rest.len() < self.text.len();
            let slow = || {
                format!(
                    "{} took {} of {} bytes in {:?}",
                    self.address,
                    self.text.len() - rest.len(),
                    self.text.len(),
                    self.timeout
                )
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failed { why: slow(), begun });
            }
            match stream.set_write_timeout(Some(left)).and_then(|()| stream.write(rest)) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Err(Failed { why: slow(), begun }),
                    _ => {
                        return Err(Failed {
                            why: format!("the connection to {} broke: {error}", self.address),
                            begun,
                        });
                    }
                },
            }
        }
        self.stream = Some(stream);
        Ok(())
    }

    /// Ends in good order: what was written still arrives, then the end of the stream.
    pub fn let_go(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            is_gone(&mut stream);
            let _it_may_be_gone = stream.shutdown(Shutdown::Write);
        }
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Whether the other end is known to be gone, without waiting. What it may have said is read and thrown away: nothing
/// is expected, and a connection closed over unread bytes takes its own last bytes with it.
fn is_gone(stream: &mut TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    // A server that never stops talking must not keep us here.
    let mut gone = false;
    for _ in 0..16 {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => gone = true,
            Ok(_) => continue,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => gone = error.kind() != ErrorKind::WouldBlock,
        }
        break;
    }
    gone || stream.set_nonblocking(false).is_err()
}
