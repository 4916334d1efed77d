//! The scripted web server, asked over plain sockets.

use metlog_testkit::http::{Answer, Close, HttpPeer, Request};
use metlog_testkit::{eventually, sample};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn connect(peer: &HttpPeer) -> TcpStream {
    let connection = TcpStream::connect(peer.address()).expect("it listens");
    connection.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
    connection
}

fn post(connection: &mut TcpStream, body: &[u8]) {
    let head = format!("POST /in?x=1 HTTP/1.1\r\nHost: t\r\nX-Key: a: b\r\nContent-Length: {}\r\n\r\n", body.len());
    connection.write_all(&[head.as_bytes(), body].concat()).expect("written");
}

/// What comes until the connection ends or so much has come.
fn read(connection: &mut TcpStream, at_most: usize) -> String {
    let mut answer = Vec::new();
    connection.take(at_most as u64).read_to_end(&mut answer).expect("in time");
    String::from_utf8(answer).expect("UTF-8")
}

#[test]
fn scripted_answers_come_first_and_requests_are_kept() {
    let peer = HttpPeer::new(|request: &Request| Answer::new(200, format!("{} bytes", request.body.len())));
    peer.script([Answer::new(429, "later").header("retry-after", "3")]);
    let mut connection = connect(&peer);
    let first = "HTTP/1.1 429 Said\r\ncontent-length: 5\r\nretry-after: 3\r\n\r\nlater";
    post(&mut connection, &sample::line(7));
    assert_eq!(read(&mut connection, first.len()), first);
    let second = "HTTP/1.1 200 Said\r\ncontent-length: 7\r\n\r\n3 bytes";
    post(&mut connection, b"\0\x80\n");
    assert_eq!(read(&mut connection, second.len()), second);
    let requests = peer.requests();
    assert_eq!((requests[0].method.as_str(), requests[0].target.as_str()), ("POST", "/in?x=1"));
    assert_eq!(requests[0].header("x-key"), Some("a: b"));
    assert_eq!((requests[0].body.as_slice(), requests[1].body.as_slice()), (&*sample::line(7), &b"\0\x80\n"[..]));
    assert_eq!((requests[0].connection, requests[1].connection), (0, 0), "the connection was kept");
}

#[test]
fn a_connection_ends_where_the_script_says() {
    let peer = HttpPeer::new(|_| Answer::new(500, ""));
    for (close, answer) in [
        (Close::After, "HTTP/1.1 200 Said\r\ncontent-length: 4\r\n\r\nbody"),
        (Close::Amid, "HTTP/1.1 200 Said\r\ncontent-length: 4\r\n\r\nbo"),
        (Close::Instead, ""),
    ] {
        peer.script([Answer::new(200, "body").close(close)]);
        let mut connection = connect(&peer);
        post(&mut connection, b"x");
        assert_eq!(read(&mut connection, 1000), answer);
    }
    assert_eq!(peer.requests().len(), 3, "also the one that got no answer");
    peer.script([Answer::new(200, "").delay(Duration::from_millis(150)).close(Close::After)]);
    let (mut connection, began) = (connect(&peer), Instant::now());
    post(&mut connection, b"x");
    read(&mut connection, 1000);
    assert!(began.elapsed() >= Duration::from_millis(150));
}

#[test]
fn chunks_make_a_body_and_a_request_cut_short_is_none() {
    let peer = HttpPeer::new(|_| Answer::new(204, "").close(Close::After));
    let mut connection = connect(&peer);
    let head = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    connection.write_all(format!("{head}4\r\nfour\r\nB\r\n and \r\n ten\r\n0\r\n\r\n").as_bytes()).expect("written");
    read(&mut connection, 1000);
    assert_eq!(peer.requests()[0].body, b"four and \r\n ten");
    for cut in ["POST / HTT", "POST / HTTP/1.1\r\ncontent-le", "POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nhalf"] {
        let mut connection = connect(&peer);
        connection.write_all(cut.as_bytes()).expect("written");
        connection.shutdown(std::net::Shutdown::Write).expect("ended");
        assert_eq!(read(&mut connection, 1000), "");
    }
    assert_eq!(peer.requests().len(), 1);
}

#[test]
fn it_goes_and_comes_back_at_its_port() {
    let mut peer = HttpPeer::new(|_| Answer::new(200, ""));
    let mut old = connect(&peer);
    post(&mut old, b"x");
    assert!(eventually(Duration::from_secs(5), || peer.requests().len() == 1));
    peer.stop();
    assert!(TcpStream::connect(peer.address()).is_err(), "nobody listens");
    peer.start();
    post(&mut connect(&peer), b"y");
    assert!(eventually(Duration::from_secs(5), || peer.requests().len() == 2));
    assert_eq!(peer.requests()[1].connection, 1);
}
