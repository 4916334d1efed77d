//! `tcp` as an input: JSON lines, or JSON without anything between, from many connections.

use async_trait::async_trait;
use metlog_listen::Seats;
use metlog_message::wire::{Cut, Stream};
use metlog_pipeline::input::Renew;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Away, Inlet, Input, InputEntry, Reason, Stop, inventory};
use metlog_settings::Span;
use metlog_tls::{Acceptor, Identity, Unsafe};
use serde::Deserialize;
use socket2::{SockRef, TcpKeepalive};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

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
    /// How long a connection may say nothing; `0s`: for ever. `1h` by default: whoever writes into a connection that was
    /// closed without looking loses what it writes.
    #[serde(default = "idle_timeout")]
    pub idle_timeout: Span,
    /// Speaks TLS and nothing else.
    pub tls: Option<Identity>,
}

fn connections() -> usize {
    1024
}

fn per_address() -> usize {
    64
}

fn idle_timeout() -> Span {
    Span(Duration::from_secs(3600))
}

/// After so much silence the system asks whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// When the input ends, a connection over which messages go on to come is read for so long.
const LAST: Duration = Duration::from_secs(1);

/// The first byte of TLS, which begins no JSON.
const TLS: u8 = 0x16;

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
    tls: Option<Acceptor>,
}

impl Configured for TcpInput {
    type Config = InputConfig;

    fn check(config: &InputConfig) -> Result<(), String> {
        let at = config.listen;
        config.tls.as_ref().map_or(Ok(()), Identity::check)?;
        let asks = config.tls.as_ref().is_some_and(Identity::asks);
        if !at.ip().to_canonical().is_loopback() && !config.trusted_network && !asks {
            return Err(format!(
                "`listen = \"{at}\"` is reachable from other machines and this input cannot tell who sends; ask for \
                 certificates with `tls.client_ca_file`, or, if only machines you trust can reach it, say \
                 `trusted_network = true`"
            ));
        }
        Ok(())
    }

    fn examine(config: &InputConfig) -> Result<Vec<String>, String> {
        config.tls.as_ref().map_or(Ok(Vec::new()), Identity::examine)
    }

    fn open(config: InputConfig) -> Result<Self, String> {
        Self::check(&config)?;
        let tls = config.tls.as_ref().map(|identity| Acceptor::open(identity, &[])).transpose()?;
        let at = config.listen;
        let listener = metlog_listen::tcp(at).map_err(|error| format!("cannot listen on {at}: {error}"))?;
        listener.set_nonblocking(true).map_err(|error| format!("cannot listen on {at}: {error}"))?;
        let place = listener.local_addr().unwrap_or(at);
        Ok(TcpInput { config, listener, place, tls })
    }
}

inventory::submit! { InputEntry::of::<TcpInput>("tcp", &[], include_str!("../example.input.toml")) }

#[async_trait]
impl Input for TcpInput {
    fn place(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "tls" } else { "tcp" }, self.place)
    }

    fn renew(&self) -> Option<Renew> {
        self.tls.as_ref().map(Acceptor::renewer)
    }

    async fn run(self: Box<Self>, mut inlet: Inlet, stop: Stop) -> Result<(), String> {
        let listener = tokio::net::TcpListener::from_std(self.listener).map_err(|error| error.to_string())?;
        let seats = Seats::new(self.config.connections, self.config.per_address);
        let habits =
            Arc::new(Habits { ack: self.config.ack, idle: self.config.idle_timeout.duration(), tls: self.tls });
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
                    let seat = match seats.take(peer.ip()) {
                        Ok(seat) => seat,
                        Err(why) => {
                            inlet.turned_away(why);
                            continue;
                        }
                    };
                    let (inlet, habits, stop) = (inlet.another(), habits.clone(), stop.clone());
                    connections.spawn(async move {
                        receive(stream, inlet, &habits, &stop).await;
                        drop(seat);
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

/// What all connections have in common.
struct Habits {
    ack: bool,
    idle: Duration,
    tls: Option<Acceptor>,
}

/// One connection from its begin to its end.
async fn receive(socket: TcpStream, mut inlet: Inlet, habits: &Habits, stop: &Stop) {
    // A peer whose machine is gone says nothing any more, and would keep its place for ever.
    let _ = SockRef::from(&socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    let Some(tls) = &habits.tls else { return Connection::new(socket, inlet, habits).run(stop).await };
    let safe = tokio::select! {
        safe = tls.accept(socket) => safe,
        () = stop.stopped() => return,
    };
    match safe {
        Ok(socket) => Connection::new(socket, inlet, habits).run(stop).await,
        Err(Unsafe { why, socket: _ }) => inlet.turned_away(why),
    }
}

struct Connection<'a, S> {
    socket: S,
    inlet: Inlet,
    stream: Stream,
    habits: &'a Habits,
    /// Nothing has been read.
    fresh: bool,
    taken: u64,
    refused: u64,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Connection<'a, S> {
    fn new(socket: S, inlet: Inlet, habits: &'a Habits) -> Self {
        let stream = Stream::new(inlet.message_limit());
        Connection { socket, inlet, stream, habits, fresh: true, taken: 0, refused: 0 }
    }

    async fn run(mut self, stop: &Stop) {
        let mut last = None;
        loop {
            let idle = self.habits.idle;
            let read = tokio::select! {
                biased;
                read = poll_fn(|context| self.read(context)), if last.is_none() => read,
                () = stop.stopped() => self.rest(*last.get_or_insert_with(|| Instant::now() + LAST)).await,
                () = tokio::time::sleep(idle), if !idle.is_zero() => {
                    self.inlet.turned_away(Away::Idle);
                    Ok(0)
                }
            };
            let ended = !matches!(read, Ok(count) if count > 0);
            if ended {
                let inlet = &mut self.inlet;
                self.stream.finish(|cut| take(inlet, cut));
            }
            if !self.commit(stop).await || ended {
                break;
            }
        }
        // TLS has a word for the end; whoever does not take it is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.socket.shutdown()).await;
    }

    /// What had come before the input was told to end: of that tokio hears no later than of a timer which ends afterwards.
    async fn rest(&mut self, last: Instant) -> io::Result<usize> {
        if Instant::now() >= last {
            return Ok(0);
        }
        let read = poll_fn(|context| self.read(context));
        tokio::time::timeout(LAST / 50, read).await.unwrap_or(Ok(0))
    }

    /// What the socket has, up to a buffer full: of TLS all records that have come, so that they become one batch.
    fn read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(READ, 0);
            let mut into = ReadBuf::new(buffer);
            loop {
                let before = into.filled().len();
                match Pin::new(&mut self.socket).poll_read(context, &mut into) {
                    Poll::Ready(Ok(())) if into.filled().len() > before && into.remaining() > 0 => {}
                    // An end or an error after some bytes shows again at the next read.
                    Poll::Pending | Poll::Ready(Err(_)) if before > 0 => break,
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => break,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                }
            }
            let bytes = into.filled();
            if std::mem::take(&mut self.fresh) && self.habits.tls.is_none() && bytes.first() == Some(&TLS) {
                self.inlet.turned_away(Away::Tls);
                return Poll::Ready(Ok(0));
            }
            let inlet = &mut self.inlet;
            self.stream.feed(bytes, |cut| take(inlet, cut));
            Poll::Ready(Ok(bytes.len()))
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
                    return news == 0 || !self.habits.ack || self.acknowledge().await;
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
        let write = async {
            self.socket.write_all(line.as_bytes()).await?;
            self.socket.flush().await
        };
        // Who does not read his acknowledgements is not waited for longer than this.
        matches!(tokio::time::timeout(Duration::from_secs(10), write).await, Ok(Ok(())))
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
