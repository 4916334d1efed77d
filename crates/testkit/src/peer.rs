//! Receiving ends on loopback that take lines or datagrams. Each keeps its port over stop and start.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(5);

#[derive(Default)]
struct Shared {
    taken: Mutex<Vec<Vec<u8>>>,
    stop: AtomicBool,
    pause_ms: AtomicU64,
}

impl Shared {
    fn take(&self, piece: &[u8]) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(piece.to_vec());
    }

    fn taken(&self) -> Vec<Vec<u8>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn rest(&self) {
        std::thread::sleep(Duration::from_millis(self.pause_ms.load(Ordering::SeqCst)));
    }
}

/// Takes lines over TCP.
pub struct TcpPeer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl TcpPeer {
    /// On a free port of the loopback address.
    ///
    /// # Panics
    /// If there is none.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut peer = TcpPeer { address, shared: Arc::default(), thread: None };
        peer.serve(listener);
        peer
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The whole lines so far, without their newlines.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        self.shared.taken()
    }

    /// Waits this long before each read.
    pub fn slow_down(&self, pause: Duration) {
        self.shared.pause_ms.store(pause.as_millis() as u64, Ordering::SeqCst);
    }

    /// Closes the listener and all connections.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the peer's thread does not panic");
        }
    }

    /// Listens again at the same port.
    ///
    /// # Panics
    /// If another process took it meanwhile.
    pub fn start(&mut self) {
        let listener = TcpListener::bind(self.address).expect("its own port");
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        self.shared.stop.store(false, Ordering::SeqCst);
        let shared = self.shared.clone();
        listener.set_nonblocking(true).expect("non-blocking");
        self.thread = Some(std::thread::spawn(move || {
            let mut connections: Vec<(TcpStream, Vec<u8>)> = Vec::new();
            while !shared.is_stopped() {
                if let Ok((connection, _)) = listener.accept() {
                    connection.set_read_timeout(Some(TICK)).expect("a time limit");
                    connection.set_nonblocking(false).expect("blocking");
                    connections.push((connection, Vec::new()));
                } else if connections.is_empty() {
                    std::thread::sleep(TICK);
                }
                connections.retain_mut(|(connection, rest)| read_lines(connection, rest, &shared));
            }
            for (connection, _) in connections {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }));
    }
}

impl Default for TcpPeer {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TcpPeer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Reads what is there; false when the connection has ended.
fn read_lines(connection: &mut TcpStream, rest: &mut Vec<u8>, shared: &Shared) -> bool {
    shared.rest();
    let mut buffer = [0; 16 * 1024];
    match connection.read(&mut buffer) {
        Ok(0) => false,
        Ok(read) => {
            rest.extend_from_slice(buffer.get(..read).unwrap_or_default());
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                shared.take(line.strip_suffix(b"\n").unwrap_or(&line));
            }
            true
        }
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// Takes datagrams.
pub struct UdpPeer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl UdpPeer {
    /// On a free port of the loopback address.
    ///
    /// # Panics
    /// If there is none.
    pub fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("an address");
        let mut peer = UdpPeer { address, shared: Arc::default(), thread: None };
        peer.serve(socket);
        peer
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The datagrams so far.
    pub fn datagrams(&self) -> Vec<Vec<u8>> {
        self.shared.taken()
    }

    /// Closes the socket.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the peer's thread does not panic");
        }
    }

    /// Opens it again at the same port.
    ///
    /// # Panics
    /// If another process took it meanwhile.
    pub fn start(&mut self) {
        let socket = UdpSocket::bind(self.address).expect("its own port");
        self.serve(socket);
    }

    fn serve(&mut self, socket: UdpSocket) {
        self.shared.stop.store(false, Ordering::SeqCst);
        socket.set_read_timeout(Some(TICK)).expect("a time limit");
        let shared = self.shared.clone();
        self.thread = Some(std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !shared.is_stopped() {
                if let Ok(read) = socket.recv(&mut buffer) {
                    shared.take(buffer.get(..read).unwrap_or_default());
                }
            }
        }));
    }
}

impl Default for UdpPeer {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for UdpPeer {
    fn drop(&mut self) {
        self.stop();
    }
}
