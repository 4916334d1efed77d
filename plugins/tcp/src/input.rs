//! `tcp` as an input: JSON lines, or JSON without anything between, from many connections.

use async_trait::async_trait;
use metlog_message::wire::{Cut, Stream};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Inlet, Input, InputEntry, Reason, Stop, inventory};
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Settings of the `tcp` input.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Answers each batch, when it is on disk, with a line that says how many messages of this connection were taken
    /// and refused so far.
    #[serde(default)]
    pub ack: bool,
    /// Says that whoever reaches the port may send, where that is beyond this machine.
    #[serde(default)]
    pub trusted_network: bool,
    /// Connections at one time.
    #[serde(default = "connections")]
    pub connections: usize,
    /// Connections of one address at one time.
    #[serde(default = "per_address")]
    pub per_address: usize,
}

fn connections() -> usize {
    1024
}

fn per_address() -> usize {
    64
}

/// Bytes read at once. Fewer, and system calls and batches cost more than messages do; more, and nothing is gained.
const READ: usize = 256 * 1024;

thread_local! {
    /// A buffer for each thread, not for each connection: nothing stays in it from one read to the next.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Listens.
pub struct TcpInput {
    config: InputConfig,
    listener: TcpListener,
    place: SocketAddr,
}

impl Configured for TcpInput {
    type Config = InputConfig;

    fn check(config: &InputConfig) -> Result<(), String> {
        let at = config.listen;
        if !at.ip().is_loopback() && !config.trusted_network {
            return Err(format!(
                "`listen = \"{at}\"` is reachable from other machines and this input cannot tell who sends; if only \
                 machines you trust can reach it, say `trusted_network = true`"
            ));
        }
        Ok(())
    }

    fn open(config: InputConfig) -> Result<Self, String> {
        Self::check(&config)?;
        let at = config.listen;
        let listener = TcpListener::bind(at).map_err(|error| format!("cannot listen on {at}: {error}"))?;
        listener.set_nonblocking(true).map_err(|error| format!("cannot listen on {at}: {error}"))?;
        let place = listener.local_addr().unwrap_or(at);
        Ok(TcpInput { config, listener, place })
    }
}

inventory::submit! { InputEntry::of::<TcpInput>("tcp", &[], include_str!("../example.input.toml")) }

#[async_trait]
impl Input for TcpInput {
    fn place(&self) -> String {
        format!("tcp://{}", self.place)
    }

    async fn run(self: Box<Self>, mut inlet: Inlet, stop: Stop) -> Result<(), String> {
        let listener = tokio::net::TcpListener::from_std(self.listener).map_err(|error| error.to_string())?;
        let guests =
            Arc::new(Guests { most: self.config.connections, each: self.config.per_address, at: Mutex::default() });
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                () = stop.stopped() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // Whoever is one too many learns it by the end of the connection.
                    let Some(guest) = guests.admit(peer.ip()) else {
                        inlet.turned_away();
                        continue;
                    };
                    let connection = Connection::new(stream, inlet.another(), self.config.ack);
                    let stop = stop.clone();
                    connections.spawn(async move {
                        connection.run(&stop).await;
                        drop(guest);
                    });
                }
                // Out of descriptors, most likely: others will end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        while connections.join_next().await.is_some() {}
        Ok(())
    }
}

/// Who is connected.
struct Guests {
    most: usize,
    each: usize,
    at: Mutex<HashMap<IpAddr, usize>>,
}

struct Guest(Arc<Guests>, IpAddr);

impl Guests {
    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Guest> {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, here) = (at.values().sum::<usize>(), at.get(&address).copied().unwrap_or_default());
        if all >= self.most || here >= self.each {
            return None;
        }
        at.insert(address, here + 1);
        Some(Guest(self.clone(), address))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut at = self.0.at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = at.get_mut(&self.1) {
            *here -= 1;
            if *here == 0 {
                at.remove(&self.1);
            }
        }
    }
}

struct Connection {
    socket: TcpStream,
    inlet: Inlet,
    stream: Stream,
    ack: bool,
    taken: u64,
    refused: u64,
}

impl Connection {
    fn new(socket: TcpStream, inlet: Inlet, ack: bool) -> Self {
        let stream = Stream::new(inlet.message_limit());
        Connection { socket, inlet, stream, ack, taken: 0, refused: 0 }
    }

    async fn run(mut self, stop: &Stop) {
        loop {
            let stopping = tokio::select! {
                // An error shows again at the next read.
                _ = self.socket.readable() => false,
                () = stop.stopped() => true,
            };
            let ended = match self.read() {
                Ok(0) => true,
                Ok(_) => false,
                Err(error) if error.kind() == ErrorKind::WouldBlock => stopping,
                Err(_) => true,
            };
            if ended {
                let inlet = &mut self.inlet;
                self.stream.finish(|cut| take(inlet, cut));
            }
            if !self.commit(stop).await || ended {
                return;
            }
        }
    }

    /// What the socket has, up to a buffer full.
    fn read(&mut self) -> io::Result<usize> {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(READ, 0);
            let count = self.socket.try_read(buffer)?;
            let inlet = &mut self.inlet;
            self.stream.feed(buffer.get(..count).unwrap_or_default(), |cut| take(inlet, cut));
            Ok(count)
        })
    }

    /// Hands over what was read. Where there is no room it waits, and with it whoever sends. False: the end.
    async fn commit(&mut self, stop: &Stop) -> bool {
        loop {
            match self.inlet.commit() {
                Ok(receipt) => {
                    let news = receipt.accepted + receipt.duplicates + receipt.rejected.len();
                    self.taken += (receipt.accepted + receipt.duplicates) as u64;
                    self.refused += receipt.rejected.len() as u64;
                    return news == 0 || !self.ack || self.acknowledge().await;
                }
                Err(_) if stop.is_stopped() => {
                    self.inlet.drop_pushed(Reason::SpoolFull);
                    return false;
                }
                Err(full) => tokio::select! {
                    () = tokio::time::sleep(full.retry_after) => {}
                    () = stop.stopped() => {}
                },
            }
        }
    }

    async fn acknowledge(&mut self) -> bool {
        if self.inlet.durable().await.is_err() {
            return false;
        }
        let line = format!("{{\"accepted\":{},\"rejected\":{}}}\n", self.taken, self.refused);
        // Who does not read his acknowledgements is not waited for longer than this.
        let write = tokio::time::timeout(Duration::from_secs(10), self.socket.write_all(line.as_bytes()));
        matches!(write.await, Ok(Ok(())))
    }
}

fn take(inlet: &mut Inlet, cut: Cut<'_>) {
    match cut {
        Cut::Message(message) => inlet.push(message),
        Cut::Oversized(bytes) => {
            let why = format!("{bytes} bytes are more than a message may have, {}", inlet.message_limit());
            inlet.refuse(&[], Reason::TooLarge, &why);
        }
    }
}
