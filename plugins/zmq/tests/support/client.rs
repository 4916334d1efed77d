//! Clients for the input: libzmq through pyzmq, and one that speaks by hand and does what no library does.

use super::peer::Connection;
use super::{PATIENCE, Script};
use std::io::{Read, Write};
use std::net::TcpStream;

/// A program that plays the client.
pub struct Client(Script);

impl Client {
    /// Starts one.
    pub fn start(arguments: &[&str]) -> Self {
        Client(Script::start("publisher.py", arguments))
    }

    /// What it says next.
    pub fn line(&self) -> String {
        self.0.line()
    }

    /// Tells a publisher that it is heard.
    pub fn go(&mut self) {
        self.0.child.stdin.as_mut().expect("a pipe").write_all(b"go\n").expect("told");
    }

    /// Lets it close its socket with everything sent.
    pub fn finish(mut self) {
        drop(self.0.child.stdin.take());
        assert_eq!(self.line(), "\"gone\"");
    }
}

/// Connects to an endpoint, and says nothing yet.
pub fn connect(endpoint: &str) -> Connection {
    let stream = TcpStream::connect(endpoint.strip_prefix("tcp://").expect("TCP")).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time limit");
    Connection { stream }
}

impl Connection {
    /// Sends one message as one frame.
    pub fn send(&mut self, message: &[u8]) {
        let mut frame = vec![2];
        frame.extend_from_slice(&(message.len() as u64).to_be_bytes());
        frame.extend_from_slice(message);
        self.stream.write_all(&frame).expect("sent");
    }

    /// Waits until the other end has closed, whatever it says before.
    pub fn closed(&mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
}
