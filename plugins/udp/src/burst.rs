//! Many datagrams in one system call, where the system has one for that.

use std::io;
use std::net::UdpSocket;

/// Sends each of these as one datagram, in order, over a connected socket. Says how many the kernel took, and what
/// stopped it before the end.
///
/// The error belongs to the first message that is not counted, or (a port that nobody listens on) to an earlier one.
pub(crate) fn burst(socket: &UdpSocket, messages: &[&[u8]]) -> (usize, Option<io::Error>) {
    let mut sent = 0;
    while let Some(rest) = messages.get(sent..).filter(|rest| !rest.is_empty()) {
        match some_of(socket, rest) {
            // The kernel never takes nothing without an error; if it did, this loop must still end.
            Ok(0) => return (sent, Some(io::ErrorKind::WriteZero.into())),
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (sent, Some(error)),
        }
    }
    (sent, None)
}

/// `sendmmsg` looks at no more than 1024 messages of one call.
#[cfg(target_os = "linux")]
const AT_ONCE: usize = 1024;

#[cfg(target_os = "linux")]
fn some_of(socket: &UdpSocket, messages: &[&[u8]]) -> io::Result<usize> {
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags};
    use std::io::IoSlice;

    let bodies: Vec<[IoSlice<'_>; 1]> = messages.iter().take(AT_ONCE).map(|message| [IoSlice::new(message)]).collect();
    let mut extras: Vec<SendAncillaryBuffer<'_, '_, '_>> = bodies.iter().map(|_| Default::default()).collect();
    let mut headers: Vec<MMsgHdr<'_>> =
        bodies.iter().zip(&mut extras).map(|(body, extra)| MMsgHdr::new(body, extra)).collect();
    Ok(rustix::net::sendmmsg(socket, &mut headers, SendFlags::empty())?)
}

#[cfg(not(target_os = "linux"))]
fn some_of(socket: &UdpSocket, messages: &[&[u8]]) -> io::Result<usize> {
    match messages.first() {
        Some(message) => socket.send(message).map(|_| 1),
        None => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn more_messages_than_one_system_call_takes_arrive_in_order() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();

        // The receiver reads on while the sender sends: 1500 datagrams are more than a default receive buffer holds.
        let texts: Vec<String> = (0..1500).map(|number| format!("{{\"n\":{number}}}")).collect();
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            let mut buffer = [0; 64];
            while got.len() < 1500 {
                match receiver.recv(&mut buffer) {
                    Ok(length) => got.push(String::from_utf8(buffer[..length].to_vec()).unwrap()),
                    Err(_) => break,
                }
            }
            got
        });
        for part in texts.chunks(1100) {
            let part: Vec<&[u8]> = part.iter().map(|text| text.as_bytes()).collect();
            let (sent, error) = burst(&sender, &part);
            assert_eq!((sent, error.is_none()), (part.len(), true));
        }
        // UDP may lose datagrams even on loopback when the reader gets no processor: order is what this shows.
        let got = reader.join().unwrap();
        let mut expected = texts.iter();
        assert!(!got.is_empty());
        assert!(got.iter().all(|message| expected.any(|text| text == message)), "out of order");
    }

    #[test]
    fn a_datagram_that_is_too_large_stops_the_burst_at_its_place() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        let large = vec![b'x'; 70_000];
        let (sent, error) = burst(&sender, &[b"1", b"2", &large, b"4"]);
        assert_eq!(sent, 2);
        assert!(error.is_some());
    }

    #[test]
    fn nothing_to_send_is_not_an_error() {
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (sent, error) = burst(&sender, &[]);
        assert_eq!((sent, error.is_none()), (0, true));
    }
}
