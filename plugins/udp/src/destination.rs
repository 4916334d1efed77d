//! One place that gets every message: its name, its address of the moment, and the socket that is connected to it.

use crate::burst::burst;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

/// A name is looked up again when the answer is this old, so that a router that moved is found without a restart.
const FRESH: Duration = Duration::from_secs(30);
/// After an error it is looked up sooner, but not for every batch: a look-up may take seconds.
const FRESH_AFTER_ERROR: Duration = Duration::from_secs(1);
/// How long one send waits for room in the socket's buffer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of some messages at one destination.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The first so many were handed to the kernel (or are named in `refused`).
    pub through: usize,
    /// Positions that the kernel called too large.
    pub refused: Vec<usize>,
    /// Why it stopped before the end.
    pub trouble: Option<Trouble>,
    /// How often the destination's host answered that nobody listens there. UDP promises nothing, so this stops
    /// nothing; but it is worth telling.
    pub unheard: usize,
}

/// Why a destination took no more.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// For people.
    pub why: String,
    /// Out of buffers: the destination itself is fine and the rest will go in a moment.
    pub busy: bool,
}

/// A destination.
#[derive(Debug)]
pub(crate) struct Destination {
    host: String,
    port: u16,
    send_buffer: Option<usize>,
    link: Option<Link>,
    looked_up: Option<Instant>,
    failed: bool,
}

#[derive(Debug)]
struct Link {
    address: SocketAddr,
    socket: UdpSocket,
}

impl Destination {
    pub fn new(host: String, port: u16, send_buffer: Option<usize>) -> Self {
        Destination { host, port, send_buffer, link: None, looked_up: None, failed: false }
    }

    /// As people write it.
    pub fn name(&self) -> String {
        if self.host.contains(':') && !self.host.starts_with('[') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Looks its name up and opens a socket, unless both are there and fresh.
    pub fn prepare(&mut self) -> Result<(), String> {
        let age = self.looked_up.map(|at| at.elapsed());
        let stale = match age {
            None => true,
            Some(age) if self.failed || self.link.is_none() => age >= FRESH_AFTER_ERROR,
            Some(age) => self.literal().is_none() && age >= FRESH,
        };
        if !stale {
            return match self.link {
                Some(_) => Ok(()),
                None => Err(format!("{} cannot be reached (tried less than a second ago)", self.name())),
            };
        }
        self.looked_up = Some(Instant::now());
        match self.connect() {
            Ok(()) => {
                self.failed = false;
                Ok(())
            }
            // An old address is better than none: the name server may be away while the destination is not.
            Err(_) if self.link.is_some() => Ok(()),
            Err(why) => Err(why),
        }
    }

    fn literal(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    fn connect(&mut self) -> Result<(), String> {
        let address = match self.literal() {
            Some(ip) => SocketAddr::new(ip, self.port),
            None => {
                let found: Vec<SocketAddr> = (self.host.as_str(), self.port)
                    .to_socket_addrs()
                    .map_err(|error| format!("cannot look up host `{}`: {error}", self.host))?
                    .collect();
                prefer_ipv4(&found).ok_or_else(|| format!("host `{}` has no address", self.host))?
            }
        };
        if !self.failed && self.link.as_ref().is_some_and(|link| link.address == address) {
            return Ok(());
        }
        let socket =
            self.open(address).map_err(|error| format!("cannot open a UDP socket to {}: {error}", self.name()))?;
        self.link = Some(Link { address, socket });
        Ok(())
    }

    /// A connected socket: the kernel looks the route up once, and tells us when nobody listens.
    fn open(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        if let Some(bytes) = self.send_buffer {
            socket2::SockRef::from(&socket).set_send_buffer_size(bytes)?;
        }
        socket.connect(address)?;
        Ok(socket)
    }

    /// Sends each of these as one datagram. Never fails as a whole: the outcome says how far it came.
    pub fn send(&mut self, messages: &[&[u8]]) -> Outcome {
        let mut outcome = Outcome::default();
        if let Err(why) = self.prepare() {
            outcome.trouble = Some(Trouble { why, busy: false });
            return outcome;
        }
        let name = self.name();
        let Some(link) = &self.link else { return outcome };
        // A refusal is reported by the send *after* the one it answers, and costs that send: it is repeated. Each
        // repetition can meet the next refusal, so they are counted, and the count is what ends a hopeless loop.
        let mut again = 0;
        while let Some(rest) = messages.get(outcome.through..).filter(|rest| !rest.is_empty()) {
            let (sent, error) = burst(&link.socket, rest);
            outcome.through += sent;
            if sent > 0 {
                again = 0;
            }
            let Some(error) = error else { continue };
            match error.kind() {
                io::ErrorKind::ConnectionRefused => {
                    outcome.unheard += 1;
                    again += 1;
                    if again > 3 {
                        // It was handed over and refused before it left; nobody is there to miss it.
                        outcome.through += 1;
                        again = 0;
                    }
                }
                _ if too_large(&error) => {
                    outcome.refused.push(outcome.through);
                    outcome.through += 1;
                }
                _ => {
                    let busy = out_of_buffers(&error);
                    let why = match error.kind() {
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                            format!("{name}: the socket's send buffer stayed full")
                        }
                        _ => format!("{name}: {error}"),
                    };
                    self.failed = !busy;
                    outcome.trouble = Some(Trouble { why, busy });
                    return outcome;
                }
            }
        }
        // In the middle of a burst the kernel swallows a refusal and only sends less; the last one is still there.
        if let Ok(Some(error)) = link.socket.take_error()
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            outcome.unheard += 1;
        }
        outcome
    }
}

/// Metlog's own sender knew IPv4 only, and UDP does not say when nobody listens on the other family's `localhost`.
fn prefer_ipv4(found: &[SocketAddr]) -> Option<SocketAddr> {
    found.iter().find(|address| address.is_ipv4()).or(found.first()).copied()
}

#[cfg(unix)]
fn out_of_buffers(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.kind() == io::ErrorKind::TimedOut
        || error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}

#[cfg(unix)]
fn too_large(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}

#[cfg(not(unix))]
fn out_of_buffers(error: &io::Error) -> bool {
    // WSAENOBUFS
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) || error.raw_os_error() == Some(10055)
}

#[cfg(not(unix))]
fn too_large(error: &io::Error) -> bool {
    // WSAEMSGSIZE
    error.raw_os_error() == Some(10040)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_both_families_means_its_ipv4_address() {
        let six: SocketAddr = "[::1]:5566".parse().unwrap();
        let four: SocketAddr = "127.0.0.1:5566".parse().unwrap();
        assert_eq!(prefer_ipv4(&[six, four]), Some(four));
        assert_eq!(prefer_ipv4(&[six]), Some(six));
        assert_eq!(prefer_ipv4(&[]), None);
    }

    #[test]
    fn ipv6_hosts_are_named_in_brackets() {
        assert_eq!(Destination::new("::1".into(), 5, None).name(), "[::1]:5");
        assert_eq!(Destination::new("[::1]".into(), 5, None).name(), "[::1]:5");
        assert_eq!(Destination::new("logs".into(), 5, None).name(), "logs:5");
    }

    #[test]
    fn an_unknown_name_is_not_looked_up_for_every_batch() {
        let mut lost = Destination::new("no-such-host.invalid".into(), 5566, None);
        let first = lost.send(&[b"{}"]).trouble.unwrap();
        assert!(first.why.contains("no-such-host.invalid"), "{}", first.why);
        let asked = lost.looked_up;
        let second = lost.send(&[b"{}"]).trouble.unwrap();
        assert!(!second.busy);
        // Either still within the second, or looked up again after it: never two look-ups within one.
        assert!(lost.looked_up == asked || lost.looked_up.unwrap() - asked.unwrap() >= FRESH_AFTER_ERROR);
    }
}
