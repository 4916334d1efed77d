//! Sockets that listen: one that the service manager opened already, or a new one.
//!
//! A service manager that opens the sockets itself (`Sockets=` of systemd) keeps them open while the router is started
//! again: whoever connects waits in the kernel's queue and is not refused, datagrams wait in its buffer. Nothing has to
//! be configured twice: a socket is recognised by its address, which is the one the configuration says.
//!
//! Whoever accepts connections counts them by [`Seats`].

mod seats;

pub use seats::{Seat, Seats};

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::sync::{Mutex, OnceLock};

/// What the service manager passed; kept open to the end, since a reload may listen there again.
#[derive(Default, Debug)]
struct Passed {
    streams: Vec<TcpListener>,
    datagrams: Vec<UdpSocket>,
}

static PASSED: OnceLock<Mutex<Passed>> = OnceLock::new();

fn passed() -> std::sync::MutexGuard<'static, Passed> {
    PASSED.get_or_init(Mutex::default).lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Takes over what the service manager passed, and says what it could not use. To be called once, before there are
/// threads: it takes the variables that announce the sockets out of the environment.
pub fn inherit() -> Vec<String> {
    let mut found = listenfd::ListenFd::from_env();
    let (mut taken, mut strange) = (passed(), Vec::new());
    for at in 0..found.len() {
        if let Ok(Some(listener)) = found.take_tcp_listener(at) {
            taken.streams.push(listener);
        } else if let Ok(Some(socket)) = found.take_udp_socket(at) {
            taken.datagrams.push(socket);
        } else {
            strange.push(format!("socket {at} of the service manager is neither TCP nor UDP; it is not used"));
        }
    }
    strange
}

/// The addresses of what was passed, for saying which of them no input listens at.
pub fn inherited() -> Vec<SocketAddr> {
    let passed = passed();
    let streams = passed.streams.iter().map(TcpListener::local_addr);
    streams.chain(passed.datagrams.iter().map(UdpSocket::local_addr)).flatten().collect()
}

/// Listens for connections at the first of the addresses that can be had.
///
/// # Errors
/// The operating system's, for the last address if all fail.
pub fn tcp(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    first(address, |at| {
        let passed = passed();
        match passed.streams.iter().find(|listener| listener.local_addr().is_ok_and(|own| own == at)) {
            Some(listener) => listener.try_clone(),
            None => TcpListener::bind(at),
        }
    })
}

/// Listens for datagrams at the first of the addresses that can be had.
///
/// # Errors
/// The operating system's, for the last address if all fail.
pub fn udp(address: impl ToSocketAddrs) -> io::Result<UdpSocket> {
    first(address, |at| {
        let passed = passed();
        match passed.datagrams.iter().find(|socket| socket.local_addr().is_ok_and(|own| own == at)) {
            Some(socket) => socket.try_clone(),
            None => UdpSocket::bind(at),
        }
    })
}

fn first<T>(address: impl ToSocketAddrs, mut listen: impl FnMut(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen at");
    for at in address.to_socket_addrs()? {
        match listen(at) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}
