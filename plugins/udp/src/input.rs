use crate::queue::{Halt, Queue, halt};
use crate::reader;
use async_trait::async_trait;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Inlet, Input, InputEntry, Stop, inventory};
use metlog_settings::Size;
use serde::Deserialize;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// `recvmmsg` looks at no more than 1024 messages of one call.
const LARGEST_BATCH: usize = 1024;

/// Where datagrams arrive.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputConfig {
    /// An address or several, as `host:port`. A name with addresses of both families means its IPv4 one.
    pub listen: Vec<String>,
    /// The kernel's buffer for what was not read yet. What does not fit is lost, and counted. More than the system
    /// grants to anybody (on Linux `net.core.rmem_max`) takes an administrator's rights.
    pub receive_buffer: Size,
    /// Says that whoever can reach the address may send, where that is beyond this machine.
    pub trusted_network: bool,
    /// How many datagrams are read at a time, at most 1024.
    pub batch: usize,
}

impl Default for InputConfig {
    fn default() -> Self {
        InputConfig {
            listen: vec!["127.0.0.1:5566".to_owned()],
            receive_buffer: Size(8 << 20),
            trusted_network: false,
            batch: 64,
        }
    }
}

/// Takes datagrams: one message each, or several lines.
///
/// Each socket has a thread of its own, so that the router's runtime waits for no spool and the kernel's buffer is
/// emptied whatever else goes on.
#[derive(Debug)]
pub struct UdpInput {
    queues: Vec<Queue>,
    wanted: usize,
}

impl UdpInput {
    /// Where it is bound; ports are never 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.queues.iter().map(Queue::address).collect()
    }
}

#[async_trait]
impl Input for UdpInput {
    fn place(&self) -> String {
        let places = self.queues.iter().map(|queue| {
            let granted = Size(queue.granted() as u64);
            let wanted = Size(self.wanted as u64);
            if granted >= wanted {
                return format!("{} (receive buffer {granted})", queue.address());
            }
            format!("{} (receive buffer {granted}, the system's limit, instead of {wanted})", queue.address())
        });
        places.collect::<Vec<_>>().join(", ")
    }

    async fn run(self: Box<Self>, inlet: Inlet, stop: Stop) -> Result<(), String> {
        let (ring, mut bell) = mpsc::channel(self.queues.len().max(1));
        let mut threads = Vec::with_capacity(self.queues.len());
        for queue in self.queues {
            threads.push(Thread::start(queue, inlet.another(), Bell(ring.clone()))?);
        }
        // The first that ends before its time ends all: the router opens the input again as a whole.
        tokio::select! {
            () = stop.stopped() => {}
            _ = bell.recv() => {}
        }
        drop(ring);
        threads.iter_mut().for_each(Thread::stop);
        while bell.recv().await.is_some() {}
        threads.into_iter().map(Thread::join).fold(Ok(()), Result::and)
    }
}

/// A socket's thread. Dropped, it ends by itself soon.
struct Thread {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    halt: Option<Halt>,
    handle: Option<JoinHandle<std::io::Result<()>>>,
}

/// Rings when the thread that has it ends, however it does.
struct Bell(mpsc::Sender<()>);

impl Drop for Bell {
    fn drop(&mut self) {
        // There is room for one ring of each thread.
        let _ = self.0.try_send(());
    }
}

impl Thread {
    fn start(mut queue: Queue, mut inlet: Inlet, bell: Bell) -> Result<Self, String> {
        let address = queue.address();
        let wrong = |error: std::io::Error| format!("cannot start the thread that reads {address}: {error}");
        let (halt, wake) = halt().map_err(wrong)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            let _bell = bell;
            reader::run(&mut queue, &mut inlet, &stopped, &wake)
        };
        let handle = std::thread::Builder::new().name("metlog-udp".to_owned()).spawn(run).map_err(wrong)?;
        Ok(Thread { address, stop, halt: Some(halt), handle: Some(handle) })
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.halt = None;
    }

    fn join(mut self) -> Result<(), String> {
        match self.handle.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(format!("cannot read from {}: {error}", self.address)),
            Some(Err(_)) => Err(format!("the thread that reads {} panicked", self.address)),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An address to bind, if this text is one and may be.
fn address(text: &str, trusted_network: bool) -> Result<SocketAddr, String> {
    let wrong = |why: String| format!("`listen` is `{text}`: {why}; an address is written like `127.0.0.1:5566`");
    let found: Vec<SocketAddr> = text.trim().to_socket_addrs().map_err(|error| wrong(error.to_string()))?.collect();
    let address = found.iter().find(|address| address.is_ipv4()).or(found.first());
    let address = *address.ok_or_else(|| wrong("this name has no address".to_owned()))?;
    if trusted_network || address.ip().to_canonical().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "`listen` is `{text}`, which other hosts can reach, and UDP cannot tell who sent a datagram: if everyone who can \
         reach it may write messages, say `trusted_network = true`; if not, listen on 127.0.0.1"
    ))
}

impl Configured for UdpInput {
    type Config = InputConfig;

    fn check(config: &InputConfig) -> Result<(), String> {
        if config.listen.is_empty() {
            return Err("`listen` is an empty list: name at least one address".to_owned());
        }
        if !(1..=LARGEST_BATCH).contains(&config.batch) {
            return Err(format!("`batch` is {}, it must be between 1 and {LARGEST_BATCH}", config.batch));
        }
        config.listen.iter().try_for_each(|text| address(text, config.trusted_network).map(drop))
    }

    fn open(config: InputConfig) -> Result<Self, String> {
        Self::check(&config)?;
        let wanted = usize::try_from(config.receive_buffer.bytes()).unwrap_or(usize::MAX).min(i32::MAX as usize / 2);
        // All are checked before the first is bound.
        let addresses = config.listen.iter().map(|text| address(text, config.trusted_network));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        let bind = |address: SocketAddr| {
            Queue::bind(address, wanted, config.batch).map_err(|error| format!("cannot listen on {address}: {error}"))
        };
        Ok(UdpInput { queues: addresses.into_iter().map(bind).collect::<Result<_, _>>()?, wanted })
    }
}

inventory::submit! {
    InputEntry::of::<UdpInput>("udp", &[], include_str!("../example.input.toml"))
}
