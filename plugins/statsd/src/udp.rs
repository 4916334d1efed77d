//! To statsd over UDP.
//!
//! The crate `statsd` sends what it has words for, many lines per packet. It tells of no error and takes as many
//! packets at once as it is given, so here the packets are paced, and a socket of our own finds out whether anybody
//! listens. That socket also carries the lines the crate cannot express.

use crate::line::Kind;
use crate::tally::{Line, Tally};
use statsd::client::{Client, Pipeline};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

/// Packets that may follow each other at once; a receive buffer of the usual size takes five times as many.
pub const BURST: usize = 16;
/// How long a look-up of the name holds.
const LOOKED_UP: Duration = Duration::from_secs(60);
/// How often it is asked whether anybody listens.
const ASKED: Duration = Duration::from_secs(1);
/// How long a far host may take to say that nobody does.
const ANSWER: Duration = Duration::from_millis(50);
/// Out of buffers usually passes within a few of these.
const PAUSE: Duration = Duration::from_millis(1);
const PAUSES: usize = 20;

/// The way to one server.
pub struct Udp {
    address: String,
    packet_bytes: usize,
    pace: Pace,
    pipeline: Pipeline,
    way: Option<Open>,
    /// When somebody was last known to listen.
    heard: Option<Instant>,
    text: String,
}

struct Open {
    client: Client,
    own: UdpSocket,
    since: Instant,
}

impl Udp {
    /// `packets`: per second; 0: as fast as they can.
    pub fn new(address: String, packet_bytes: usize, packets: u32) -> Self {
        let mut pipeline = Pipeline::new();
        pipeline.set_max_udp_size(packet_bytes);
        let pace = Pace { packets, next: Instant::now() };
        Udp { address, packet_bytes, pace, pipeline, way: None, heard: None, text: String::new() }
    }

    /// Looks the name up again before the next hand-over.
    pub fn let_go(&mut self) {
        self.way = None;
        self.heard = None;
    }

    /// Whether it makes sense to send: there is an address, and nobody has said that nothing listens there. Asking is
    /// an empty line, which every server skips.
    pub fn ready(&mut self) -> Result<(), String> {
        let way = self.way.take().filter(|way| way.since.elapsed() < LOOKED_UP);
        let way = match way {
            Some(way) => way,
            None => open(&self.address)?,
        };
        let deaf = |error: io::Error| format!("nothing takes packets at {}: {error}", self.address);
        let complaint = way.own.take_error().map_err(deaf)?;
        if complaint.is_some() || self.heard.is_none_or(|at| at.elapsed() >= ASKED) {
            // After a complaint, or at first, the answer is waited for.
            let wait = complaint.is_some() || self.heard.is_none();
            self.heard = None;
            way.own.send(b"\n").map_err(deaf)?;
            if wait {
                std::thread::sleep(ANSWER);
            }
            if let Some(error) = way.own.take_error().map_err(deaf)? {
                return Err(deaf(error));
            }
            self.heard = Some(Instant::now());
        }
        self.way = Some(way);
        Ok(())
    }

    /// Sends lines that the crate can express.
    pub fn send_plain(&mut self, tally: &Tally) {
        let Some(way) = &self.way else { return };
        for Line { kind, name, value, .. } in tally.lines() {
            match kind {
                Kind::Counter => self.pipeline.count(name, value),
                Kind::Timer => self.pipeline.timer(name, value),
                Kind::Gauge => self.pipeline.gauge(name, value),
            }
        }
        self.pace.wait(tally.used().div_ceil(self.packet_bytes));
        self.pipeline.send(&way.client);
    }

    /// Sends other lines in one packet.
    pub fn send_own(&mut self, tally: &Tally) -> Result<(), String> {
        let Some(way) = &self.way else { return Err(format!("{} is not open", self.address)) };
        self.text.clear();
        tally.write(&mut self.text);
        self.pace.wait(1);
        let mut pauses = 0;
        loop {
            match way.own.send(self.text.as_bytes()) {
                Ok(_) => return Ok(()),
                // Said of an earlier packet; this one has not been sent. The next hand-over asks.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused && pauses < PAUSES => self.heard = None,
                Err(_) if pauses < PAUSES => std::thread::sleep(PAUSE),
                Err(error) => return Err(format!("no packet could be sent to {}: {error}", self.address)),
            }
            pauses += 1;
        }
    }
}

fn open(address: &str) -> Result<Open, String> {
    let cannot = |error: io::Error| format!("cannot send to {address}: {error}");
    let all: Vec<SocketAddr> = address.to_socket_addrs().map_err(cannot)?.collect();
    // statsd listens on IPv4 unless told otherwise, and over UDP a wrong guess is not noticed.
    let Some(to) = all.iter().find(|ip| ip.is_ipv4()).or(all.first()) else {
        return Err(format!("{address} has no IP address"));
    };
    let any =
        if to.is_ipv4() { SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)) } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let own = UdpSocket::bind(any).and_then(|own| own.connect(to).map(|()| own)).map_err(cannot)?;
    let client = Client::new(to, "").map_err(|error| format!("cannot send to {address}: {error}"))?;
    Ok(Open { client, own, since: Instant::now() })
}

/// Keeps bursts from running over the receiver's buffer.
struct Pace {
    packets: u32,
    next: Instant,
}

impl Pace {
    /// Waits until so many more packets may go.
    fn wait(&mut self, packets: usize) {
        if self.packets == 0 {
            return;
        }
        let each = Duration::from_secs(1) / self.packets;
        let now = Instant::now();
        let take = each * u32::try_from(packets).unwrap_or(u32::MAX);
        // What was not used is forgotten but for one burst.
        let credit = each * BURST as u32;
        self.next = self.next.max(now.checked_sub(credit).unwrap_or(now)) + take;
        std::thread::sleep(self.next.saturating_duration_since(now));
    }
}
