//! The clauses of senders against plain sockets, and how hosts and ports pair.

use metlog_pipeline::{SendError, Sender, SenderEntry};
use metlog_testkit::peer::UdpPeer;
use metlog_testkit::{Arrived, Delivery, Peer, eventually, of_example, sample, settings};
use metlog_udp as _;
use std::net::UdpSocket;
use std::time::Duration;

struct Socket(UdpPeer);

impl Peer for Socket {
    fn sender(&mut self) -> Box<dyn Sender> {
        open(&format!("port = {}", self.0.address().port())).expect("opens")
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        self.0.datagrams().iter().map(|datagram| Arrived::of_json(datagram)).collect()
    }
    fn delivery(&self) -> Delivery {
        Delivery::AtMostOnce
    }
    fn stop(&mut self) -> bool {
        self.0.stop();
        true
    }
    fn start(&mut self) {
        self.0.start();
    }
}

metlog_testkit::contract!(Socket(UdpPeer::new()));

fn open(toml: &str) -> Result<Box<dyn Sender>, String> {
    let entry = SenderEntry::find("metlog.senders.udp.UdpSender").expect("by its old name");
    (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))()
}

#[test]
fn a_datagram_is_the_message_and_nothing_else() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
    let mut sender = open(&format!("port = {}", socket.local_addr().expect("an address").port())).expect("opens");
    sender.send(&sample::lines(0, 3)).expect("sent");
    let mut buffer = [0; 65_536];
    for number in 0..3 {
        let read = socket.recv(&mut buffer).expect("a datagram");
        assert_eq!(&buffer[..read], sample::line(number));
    }
}

#[test]
fn ipv6_works_like_ipv4() {
    let socket = UdpSocket::bind("[::1]:0").expect("a free port");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
    let port = socket.local_addr().expect("an address").port();
    for host in ["::1", "[::1]"] {
        let mut sender = open(&format!("host = '{host}'\nport = {port}")).expect("opens");
        sender.send(&sample::lines(7, 1)).expect("sent");
        let mut buffer = [0; 65_536];
        let read = socket.recv(&mut buffer).expect("a datagram");
        assert_eq!(&buffer[..read], sample::line(7));
    }
}

#[test]
fn lists_may_be_lines_as_in_metlogs_files() {
    let peers = [UdpPeer::new(), UdpPeer::new()];
    let [first, second] = peers.each_ref().map(|peer| peer.address().port());
    let text = format!("[udp]\nhost = 127.0.0.1\n    localhost\nport = {first}\n    {second}\n");
    let file = metlog_settings::ini::read("metlog.ini", &text, false, &|_| None).expect("is INI");
    let entry = SenderEntry::find("udp").expect("there");
    let opener = (entry.read)(file.get("udp").expect("the section")).unwrap_or_else(|problems| panic!("{problems}"));
    opener().expect("opens").send(&sample::lines(0, 3)).expect("sent");
    for peer in &peers {
        assert!(eventually(Duration::from_secs(5), || peer.datagrams().len() == 3), "{}", peer.datagrams().len());
    }
}

#[test]
fn every_destination_gets_everything_and_ports_pair_as_in_metlog() {
    let peers = [UdpPeer::new(), UdpPeer::new()];
    let ports: Vec<u16> = peers.iter().map(|peer| peer.address().port()).collect();
    let mut sender =
        open(&format!("host = ['127.0.0.1', 'localhost']\nport = [{}, {}, 9]", ports[0], ports[1])).expect("opens");
    sender.send(&sample::lines(0, 20)).expect("sent");
    for peer in &peers {
        assert!(eventually(Duration::from_secs(5), || peer.datagrams().len() == 20), "{}", peer.datagrams().len());
    }
    // Fewer ports than hosts: the last one serves the rest, so here one peer gets everything twice.
    let mut sender = open(&format!("host = ['127.0.0.1', '127.0.0.1']\nport = {}", ports[0])).expect("opens");
    sender.send(&sample::lines(0, 5)).expect("sent");
    assert!(eventually(Duration::from_secs(5), || peers[0].datagrams().len() == 30));
    assert_eq!(peers[1].datagrams().len(), 20);
}

#[test]
fn what_does_not_fit_a_datagram_is_refused_by_position() {
    let peer = UdpPeer::new();
    let mut sender = open(&format!("port = {}", peer.address().port())).expect("opens");
    let mut lines = sample::lines(0, 2);
    let exact = 65_507;
    for size in [exact, exact + 1] {
        let empty = format!(r#"{{"type":"t","fields":{{"number":9}},"payload":"{}"}}"#, "");
        let text = format!(r#"{{"type":"t","fields":{{"number":9}},"payload":"{}"}}"#, "x".repeat(size - empty.len()));
        assert_eq!(text.len(), size);
        lines.push(text.as_bytes());
    }
    lines.append(&sample::lines(2, 2));
    match sender.send(&lines) {
        Err(SendError::Refuse { which, why }) => {
            assert_eq!(which, [3]);
            assert!(why.contains("65508 bytes"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert!(eventually(Duration::from_secs(5), || peer.datagrams().len() == 5));
}

#[test]
fn a_port_that_nobody_listens_on_is_told_and_loses_as_udp_does() {
    let mut peer = UdpPeer::new();
    let mut sender = open(&format!("port = {}", peer.address().port())).expect("opens");
    peer.stop();
    let told = (0..20).find_map(|number| {
        std::thread::sleep(Duration::from_millis(5));
        sender.send(&sample::lines(number, 1)).err()
    });
    match told {
        Some(SendError::Refuse { which, why }) => {
            assert!(which.is_empty(), "as far as anyone can know they went through");
            assert!(why.contains("nobody listens"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_that_is_unknown_now_may_be_known_later() {
    let mut sender = open("host = 'no-such-host.invalid'").expect("opens");
    match sender.send(&sample::lines(0, 1)) {
        Err(SendError::Retry { why, done: 0, .. }) => assert!(why.contains("no-such-host.invalid"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_are_checked() {
    let entry = SenderEntry::find("udp").expect("there");
    for (toml, words) in [
        ("host = []", "test.toml:1:1: `host` is an empty list"),
        ("port = []", "5566"),
        ("host = 'a'\nport = 0", "test.toml:2:1: `port` is 0: nothing can listen"),
        ("host = ' '", "empty name"),
    ] {
        let told = (entry.read)(&settings(toml)).err().expect("refused").to_string();
        assert!(told.contains(words), "{told}");
    }
    (entry.read)(&of_example(entry.example)).unwrap_or_else(|problems| panic!("{problems}"))()
        .expect("the example opens");
}
