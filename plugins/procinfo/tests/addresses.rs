//! Alone in its program: it takes nearly every file that a process may open by default.

#![cfg(target_os = "linux")]

mod support;

use metlog_procinfo::{Procinfo, Request};
use std::net::UdpSocket;
use support::{client, number};

#[test]
fn addresses_beyond_a_thousand_share_a_name() {
    let client = client("");
    let sockets: Vec<UdpSocket> = (0..1005).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    assert_eq!(client.procinfo(&Request { net: true, ..Request::default() }), Ok(1001));
    assert_eq!(number(&client, "net/other.UDP"), (sockets.len() - 1000) as f64);
}
