//! The endpoint `statsd`, sending real packets. An input is messages, one on each line.

use metlog_message::Lines;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Endpoint, Picked, SendError};
use metlog_statsd::{Config, StatsdEndpoint, Tags};
use std::net::UdpSocket;

/// Whatever a message calls its metric and its tags: each line says one thing, and every part of it is made of letters
/// that no part ends with. No more lines come than messages allow.
pub fn statsd(data: &[u8]) {
    thread_local! {
        static SERVERS: [Server; 4] = [Tags::None, Tags::Dogstatsd, Tags::Influx, Tags::Graphite].map(Server::start);
    }
    let lines: Lines = data.split(|byte| *byte == b'\n').collect();
    SERVERS.with(|servers| {
        for server in servers {
            server.take(&lines);
        }
    });
}

struct Server {
    tags: Tags,
    socket: UdpSocket,
    endpoint: std::cell::RefCell<(StatsdEndpoint, u64)>,
}

impl Server {
    fn start(tags: Tags) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port of this machine");
        socket.set_nonblocking(true).expect("a socket");
        let config = Config {
            address: socket.local_addr().expect("bound").to_string(),
            prefix: "p".to_owned(),
            tags,
            tag_fields: vec!["tag".to_owned(), "logger".to_owned(), "metlog_hostname".to_owned()],
            packets_per_second: 0,
            ..Config::default()
        };
        let endpoint = StatsdEndpoint::open(config).expect("a configuration");
        Server { tags, socket, endpoint: (endpoint, 0).into() }
    }

    fn take(&self, lines: &Lines) {
        let (endpoint, last) = &mut *self.endpoint.borrow_mut();
        let ids: Vec<u64> = (*last + 1..).take(lines.len()).collect();
        *last += lines.len() as u64;
        let mut packet = [0; 65_536];
        // What an input before this one has left behind when it was found wanting.
        while self.socket.recv(&mut packet).is_ok() {}
        let sent = match endpoint.write(&Picked::new(lines, &ids)) {
            Ok(()) => lines.len(),
            Err(SendError::Refuse { which, .. }) => {
                assert!(which.is_sorted_by(|a, b| a < b), "refused twice: {which:?}");
                assert!(which.last().is_none_or(|last| *last < lines.len()), "nobody is refused: {which:?}");
                lines.len() - which.len()
            }
            Err(other) => panic!("{other:?}"),
        };
        let mut came = 0;
        // Over the loopback a packet has arrived when it was sent.
        while let Ok(length) = self.socket.recv(&mut packet) {
            let text = packet.get(..length).and_then(|packet| std::str::from_utf8(packet).ok()).expect("UTF-8");
            // An empty line asks whether anybody is there.
            if text == "\n" {
                continue;
            }
            for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                assert!(is_sound(line, self.tags), "{line:?} with {:?}", self.tags);
                came += 1;
            }
        }
        // A gauge below nought takes two.
        assert!(came <= 2 * sent, "{came} lines of {sent} messages");
        assert!(came > 0 || sent == 0, "no line of {sent} messages");
    }
}

/// Takes a line apart from the outside in.
fn is_sound(line: &str, tags: Tags) -> bool {
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    let pairs = |text: &str, between: char, equals: char| {
        text.split(between).all(|pair| pair.split_once(equals).is_some_and(|(key, value)| word(key) && word(value)))
    };
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte)) && {
            text.parse::<f64>().is_ok_and(f64::is_finite)
        }
    };
    let (line, suffix) = line.split_once("|#").map_or((line, None), |(line, tags)| (line, Some(tags)));
    if suffix.is_some_and(|suffix| tags != Tags::Dogstatsd || !pairs(suffix, ',', ':')) {
        return false;
    }
    let Some((name, rest)) = line.split_once(':') else { return false };
    let (name, sound) = match tags {
        Tags::None | Tags::Dogstatsd => (name, true),
        Tags::Influx => name.split_once(',').map_or((name, true), |(name, tags)| (name, pairs(tags, ',', '='))),
        Tags::Graphite => name.split_once(';').map_or((name, true), |(name, tags)| (name, pairs(tags, ';', '='))),
    };
    let mut parts = rest.split('|');
    sound
        && word(name)
        && name.starts_with("p.")
        && parts.next().is_some_and(number)
        && parts.next().is_some_and(|kind| ["c", "ms", "g"].contains(&kind))
        && parts.next().is_none_or(|rate| rate.strip_prefix('@').is_some_and(number))
        && parts.next().is_none()
}
