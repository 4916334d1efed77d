//! The listeners, and the Python that peers of other makes run in.

use metlog_testkit::peer::{TcpPeer, UdpPeer};
use metlog_testkit::{eventually, python, sample};
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

#[test]
fn lines_are_kept_whole_and_the_port_over_a_restart() {
    let mut peer = TcpPeer::new();
    let mut connection = TcpStream::connect(peer.address()).expect("it listens");
    connection.write_all(b"one\ntw").expect("written");
    assert!(eventually(SOON, || peer.lines() == [b"one"]));
    connection.write_all(b"o\nthree, cut").expect("written");
    assert!(eventually(SOON, || peer.lines().len() == 2));
    peer.stop();
    assert!(TcpStream::connect(peer.address()).is_err(), "nobody listens");
    peer.start();
    TcpStream::connect(peer.address()).expect("it listens again").write_all(b"four\n").expect("written");
    assert!(eventually(SOON, || peer.lines() == [&b"one"[..], b"two", b"four"]), "{:?}", peer.lines());
}

#[test]
fn datagrams_keep_their_bounds() {
    let mut peer = UdpPeer::new();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.send_to(b"one\n\0", peer.address()).expect("sent");
    socket.send_to(&sample::line(2), peer.address()).expect("sent");
    assert!(eventually(SOON, || peer.datagrams() == [b"one\n\0".to_vec(), sample::line(2)]));
    peer.stop();
    peer.start();
    socket.send_to(b"three", peer.address()).expect("sent");
    assert!(eventually(SOON, || peer.datagrams().len() == 3));
}

#[test]
fn python_reads_a_sample_and_has_its_packages() {
    let program = "import json, sys, pip; print(json.loads(sys.argv[1])['fields']['number'])";
    let line = String::from_utf8(sample::line(42)).expect("UTF-8");
    let output = Command::new(python(&[])).args(["-c", program, &line]).output().expect("runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "42", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn samples_are_strict_and_carry_their_number() {
    let lines = sample::lines(5, 3);
    let limits = metlog_message::wire::Limits::default();
    for (line, number) in lines.iter().zip(5..) {
        metlog_message::head::scan(line, &limits).expect("strictly right");
        assert_eq!(sample::number(line), Some(number));
    }
    assert_eq!((lines.len(), sample::number(b"{\"type\":\"x\"}"), sample::number(b"no JSON")), (3, None, None));
}
