//! One connection, and what can be known of the other end.

use crate::address::Address;
#[cfg(feature = "tls")]
use crate::safe::Safe;
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// So long the other end may take to read the last of it, at the most.
const FAREWELL: Duration = Duration::from_secs(2);

/// How a connection is made.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// For one address, all its IP addresses together.
    pub connect_timeout: Duration,
    /// For one batch.
    pub write_timeout: Duration,
    /// Silence after which the system asks whether the other end is still there. Zero: never.
    pub keepalive: Duration,
    /// Whether the last, small packet of a batch leaves at once.
    pub nodelay: bool,
    /// Whom to trust, where TLS is spoken.
    #[cfg(feature = "tls")]
    pub tls: Option<metlog_tls::Trusted>,
}

/// Why a write ended before its end.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// For people.
    pub why: String,
    /// So many bytes are still on their way to an end that is slow, not gone. Of a connection that broke, nothing
    /// is: how much the other end had read before cannot be known.
    pub on_its_way: usize,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    #[cfg(feature = "tls")]
    safe: Option<Safe>,
    name: String,
}

impl Connection {
    /// Connects to one address.
    pub fn open(address: &Address, terms: &Terms) -> Result<Self, String> {
        let deadline = Instant::now() + terms.connect_timeout;
        let mut why = format!("{address} has no IP address");
        let ips = address.look_up()?;
        for (tried, ip) in ips.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            // Each gets its part of what is left: one that swallows everything must not keep the next from its turn.
            let turns = u32::try_from(ips.len() - tried).unwrap_or(u32::MAX);
            let turn = left / turns;
            if turn.is_zero() {
                return Err(format!("{address} did not answer within {:?}", terms.connect_timeout));
            }
            let made = TcpStream::connect_timeout(ip, turn).and_then(|stream| {
                prepare(&stream, terms)?;
                Ok(stream)
            });
            match made {
                Ok(stream) => return Self::over(stream, address, terms, deadline),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    why = format!("{address} did not answer within {:?}", terms.connect_timeout);
                }
                Err(error) => why = format!("cannot connect to {address}: {error}"),
            }
        }
        Err(why)
    }

    /// A connection that was made, and made safe if it has to be. The first IP address that answers is the one: a
    /// certificate that is wrong there is wrong.
    #[cfg_attr(not(feature = "tls"), allow(unused_variables, clippy::unnecessary_wraps))]
    fn over(stream: TcpStream, address: &Address, terms: &Terms, by: Instant) -> Result<Self, String> {
        Ok(Connection {
            #[cfg(feature = "tls")]
            safe: match &terms.tls {
                None => None,
                Some(trusted) => {
                    let safe = Safe::over(trusted, address, &stream, by);
                    Some(safe.map_err(|why| format!("{address}: {why}"))?)
                }
            },
            stream,
            name: address.to_string(),
        })
    }

    /// The connection, if its other end is not known to be gone.
    pub fn unless_gone(mut self) -> Option<Self> {
        if self.is_gone() { None } else { Some(self) }
    }

    /// Whether the other end is known to be gone, without waiting. What it may have said is read and thrown away:
    /// nothing is expected, and a connection closed over unread bytes takes its own last bytes with it.
    fn is_gone(&mut self) -> bool {
        if self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        self.has_ended() || self.stream.set_nonblocking(false).is_err()
    }

    fn has_ended(&mut self) -> bool {
        #[cfg(feature = "tls")]
        if let Some(safe) = &mut self.safe {
            return safe.is_gone(&self.stream);
        }
        loop {
            match self.stream.read(&mut [0; 4096]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Hands some of it to the system.
    fn write(&mut self, bytes: &[u8], by: Instant) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(safe) = &mut self.safe {
            return safe.write(bytes, &self.stream, by);
        }
        let left = by.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.set_write_timeout(Some(left))?;
        self.stream.write(bytes)
    }

    /// Hands all of it to the system. After an error the connection is of no further use: its last line is torn.
    pub fn write_all(&mut self, bytes: &[u8], within: Duration) -> Result<(), Stopped> {
        let deadline = Instant::now() + within;
        let mut rest = bytes;
        let broke = |why: String| Stopped { why, on_its_way: 0 };
        while !rest.is_empty() {
            let took = bytes.len() - rest.len();
            let slow = |name: &str| Stopped {
                why: format!("{name} took {took} of {} bytes in {within:?}", bytes.len()),
                on_its_way: took,
            };
            if Instant::now() >= deadline {
                return Err(slow(&self.name));
            }
            match self.write(rest, deadline) {
                Ok(0) => return Err(broke(format!("{} takes no more bytes", self.name))),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Err(slow(&self.name)),
                    _ => return Err(broke(format!("connection to {} broke: {error}", self.name))),
                },
            }
        }
        Ok(())
    }

    /// Ends in good order: everything written before still arrives, then the end of the stream.
    pub fn close(mut self, within: Duration) {
        self.is_gone();
        #[cfg(feature = "tls")]
        if let Some(safe) = &mut self.safe {
            safe.close(&self.stream);
        }
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        // What arrives at a socket that is closed already, such as acknowledgements nobody asked for, is answered with a
        // reset, and that takes away what the other end has not read yet. So the other end is given time to finish.
        let until = Instant::now() + within.min(FAREWELL);
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            match self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut [0; 4096])) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Where it leads.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn prepare(stream: &TcpStream, terms: &Terms) -> io::Result<()> {
    stream.set_nodelay(terms.nodelay)?;
    if !terms.keepalive.is_zero() {
        let keepalive = TcpKeepalive::new().with_time(terms.keepalive);
        SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}
