//! A subscriber that does what no library does: speaks ZMTP 3.0 by hand and can stop at any point.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// A listening subscriber.
pub struct Peer {
    listener: TcpListener,
}

/// One connection of it.
pub struct Connection {
    pub stream: TcpStream,
}

impl Peer {
    pub fn bind() -> Self {
        Peer { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    pub fn endpoint(&self) -> String {
        format!("tcp://{}", self.listener.local_addr().unwrap())
    }

    /// Accepts, and says no more than that it is there.
    pub fn accept(&self) -> Connection {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        stream.set_write_timeout(Some(super::PATIENCE)).unwrap();
        Connection { stream }
    }
}

impl Connection {
    /// Greeting and READY, as a socket of this type.
    pub fn greet(&mut self, socket_type: &str) {
        let mut greeting = [0u8; 64];
        greeting[0] = 0xff;
        greeting[9] = 0x7f;
        greeting[10] = 3;
        greeting[12..16].copy_from_slice(b"NULL");
        self.stream.write_all(&greeting).unwrap();
        self.stream.read_exact(&mut [0; 64]).unwrap();

        let mut ready = b"\x05READY\x0bSocket-Type".to_vec();
        ready.extend_from_slice(&u32::try_from(socket_type.len()).unwrap().to_be_bytes());
        ready.extend_from_slice(socket_type.as_bytes());
        let mut command = vec![0x04, u8::try_from(ready.len()).unwrap()];
        command.extend(ready);
        self.stream.write_all(&command).unwrap();
        let mut header = [0; 2];
        self.stream.read_exact(&mut header).unwrap();
        self.stream.read_exact(&mut vec![0; usize::from(header[1])]).unwrap();
    }

    /// Subscribes to everything.
    pub fn subscribe(&mut self) {
        self.stream.write_all(&[0, 1, 1]).unwrap();
    }

    /// The next frame: its flags and its body.
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut flags = [0];
        self.stream.read_exact(&mut flags).unwrap();
        let length = if flags[0] & 2 == 0 {
            let mut length = [0];
            self.stream.read_exact(&mut length).unwrap();
            usize::from(length[0])
        } else {
            let mut length = [0; 8];
            self.stream.read_exact(&mut length).unwrap();
            usize::try_from(u64::from_be_bytes(length)).unwrap()
        };
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        (flags[0], body)
    }

    /// Breaks off the way a crashed host does: a reset instead of an end.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
