//! What lies between an edge and its central router, and how it breaks.

use super::program::free_port;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The way to the central router.
pub trait Link: Sync {
    /// Where the central router listens.
    fn central(&self) -> String;
    /// What stands before its program.
    fn before(&self) -> Vec<String> {
        Vec::new()
    }
    /// Where the edge sends to.
    fn url(&self) -> String;
    /// Breaks it, or mends it.
    fn set_broken(&self, broken: bool);
    /// How often each kind of fault has happened.
    fn faults(&self) -> Vec<(&'static str, u64)>;
}

/// What is wrong with the connections through a proxy.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Everything is slow.
    Slow,
    /// The connection ends amid a request.
    Cut,
    /// The request arrives and its answer does not.
    NoAnswer,
}

/// A proxy that breaks connections in turn, and all of them while the link is broken.
pub struct Proxy {
    port: u16,
    central: u16,
    state: Arc<State>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    broken: AtomicBool,
    over: AtomicBool,
    counts: [AtomicU64; 4],
    connections: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Proxy {
    pub fn new() -> Proxy {
        let (port, central) = (free_port(), free_port());
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let state = Arc::<State>::default();
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            let mut number = 0_usize;
            for connection in listener.incoming() {
                if shared.over.load(SeqCst) {
                    return;
                }
                let Ok(client) = connection else { continue };
                if shared.broken.load(SeqCst) && number.is_multiple_of(2) {
                    shared.counts[3].fetch_add(1, SeqCst);
                    number += 1;
                    continue;
                }
                // Each fourth one is good.
                let fault = [Some(Fault::Cut), Some(Fault::NoAnswer), Some(Fault::Slow), None][number % 4];
                number += 1;
                let state = shared.clone();
                let carry = std::thread::spawn(move || carry(client, central, fault, &state));
                shared.connections.lock().unwrap().push(carry);
            }
        });
        Proxy { port, central, state, thread: Some(thread) }
    }
}

/// Between a client and the central router, until one of them or the fault ends it.
fn carry(mut client: TcpStream, central: u16, fault: Option<Fault>, state: &State) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", central)) else { return };
    for stream in [&client, &server] {
        let _ = stream.set_read_timeout(Some(Duration::from_millis(5)));
        let _ = stream.set_nodelay(true);
    }
    // A fault comes when the connection has carried something good.
    let began = Instant::now();
    let due = Duration::from_millis(150);
    let mut buffer = vec![0; 16 * 1024];
    let mut forth = 0_u64;
    while !state.over.load(SeqCst) {
        if state.broken.load(SeqCst) {
            // Nobody answers any more, and nobody says so.
            state.counts[3].fetch_add(1, SeqCst);
            while state.broken.load(SeqCst) && !state.over.load(SeqCst) && began.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(20));
            }
            return;
        }
        let now = fault.filter(|_| began.elapsed() > due && forth > 0);
        let up = match pass(&mut client, &mut server, &mut buffer, now == Some(Fault::Cut)) {
            Ok(bytes) => bytes,
            Err(()) => return,
        };
        forth += up as u64;
        match now {
            Some(Fault::Cut) if up > 0 => {
                state.counts[0].fetch_add(1, SeqCst);
                return;
            }
            Some(Fault::NoAnswer) => {
                // As soon as there is an answer, it is gone, and with it the connection.
                match server.read(&mut buffer) {
                    Ok(1..) => {
                        state.counts[1].fetch_add(1, SeqCst);
                        return;
                    }
                    Ok(0) => return,
                    Err(error) if is_pause(&error) => {}
                    Err(_) => return,
                }
            }
            _ => {
                if now == Some(Fault::Slow) {
                    if up > 0 {
                        state.counts[2].fetch_add(1, SeqCst);
                    }
                    std::thread::sleep(Duration::from_millis(30));
                }
                if pass(&mut server, &mut client, &mut buffer, false).is_err() {
                    return;
                }
            }
        }
        // So that every kind comes.
        if began.elapsed() > Duration::from_secs(1) && up == 0 && fault != Some(Fault::NoAnswer) {
            return;
        }
    }
}

fn is_pause(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// What has come from one to the other; half of it if so wanted.
fn pass(from: &mut TcpStream, to: &mut TcpStream, buffer: &mut [u8], half: bool) -> Result<usize, ()> {
    match from.read(buffer) {
        Ok(0) => Err(()),
        Ok(bytes) => {
            let bytes = if half { bytes / 2 } else { bytes };
            to.write_all(&buffer[..bytes]).map_err(|_| ())?;
            Ok(bytes)
        }
        Err(error) if is_pause(&error) => Ok(0),
        Err(_) => Err(()),
    }
}

impl Link for Proxy {
    fn central(&self) -> String {
        format!("127.0.0.1:{}", self.central)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn set_broken(&self, broken: bool) {
        self.state.broken.store(broken, SeqCst);
    }

    fn faults(&self) -> Vec<(&'static str, u64)> {
        ["cut", "no answer", "slow", "outage"]
            .into_iter()
            .zip(self.state.counts.iter().map(|count| count.load(SeqCst)))
            .collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.over.store(true, SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for thread in self.state.connections.lock().unwrap().drain(..) {
            let _ = thread.join();
        }
    }
}

/// A cable between two network namespaces: ours, in which the edge is, and one that a sleeping process keeps.
pub struct Cable {
    keeper: Child,
    port: u16,
    outages: AtomicU64,
}

fn ip(before: &[&str], words: &str) {
    let mut command = Command::new(before.first().unwrap_or(&"ip"));
    if let Some(rest) = before.get(1..) {
        command.args(rest).arg("ip");
    }
    let output = command.args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Cable {
    /// In a namespace of our own.
    pub fn new() -> Cable {
        let mut command = Command::new("unshare");
        let keeper = command.args(["-n", "sleep", "1000"]).stdin(Stdio::null()).spawn().unwrap();
        let pid = keeper.id().to_string();
        let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        super::stage::eventually("a network of its own", || of(&pid).is_some_and(|net| Some(net) != of("self")));
        let there = ["nsenter", "-t", &pid, "-n"];
        ip(&[], "link set lo up");
        ip(&[], "link add name edge0 type veth peer name central0");
        ip(&[], &format!("link set central0 netns {pid}"));
        ip(&[], "addr add 10.77.0.1/24 dev edge0");
        ip(&[], "link set edge0 up");
        ip(&there, "addr add 10.77.0.2/24 dev central0");
        ip(&there, "link set central0 up");
        ip(&there, "link set lo up");
        Cable { keeper, port: free_port(), outages: AtomicU64::new(0) }
    }
}

impl Link for Cable {
    fn central(&self) -> String {
        format!("10.77.0.2:{}", self.port)
    }

    fn before(&self) -> Vec<String> {
        ["nsenter", "-t", &self.keeper.id().to_string(), "-n"].map(str::to_owned).to_vec()
    }

    fn url(&self) -> String {
        format!("http://{}", self.central())
    }

    fn set_broken(&self, broken: bool) {
        self.outages.fetch_add(u64::from(broken), SeqCst);
        ip(&[], &format!("link set edge0 {}", if broken { "down" } else { "up" }));
    }

    fn faults(&self) -> Vec<(&'static str, u64)> {
        vec![("outage", self.outages.load(SeqCst))]
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
