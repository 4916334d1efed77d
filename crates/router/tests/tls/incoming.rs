//! Who comes in, who does not, and how that is counted.

use super::stage::{Directory, Running, eventually, message, plan};
use super::support::{Safe, connect, from, hello, more_files, over, post, say, trusting};
use metlog_pipeline::Away;
use metlog_testkit::{Authority, Paper};
use metlog_tls::Trust;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// A router with both kinds of listeners, each with this in its table `tls` beside the certificate.
fn router(directory: &Directory, paper: &Paper, more: &str) -> Running {
    Running::start(directory, &config(paper, more))
}

fn config(paper: &Paper, more: &str) -> String {
    let tls = format!("cert_file = '{}'\nkey_file = '{}'\n{more}", paper.cert.display(), paper.key.display());
    format!(
        "[inputs.tcp]\nlisten = '127.0.0.1:0'\n[inputs.tcp.tls]\n{tls}\n[inputs.http]\nlisten = '127.0.0.1:0'\n\
         [inputs.http.tls]\n{tls}\n[endpoints.null]\n"
    )
}

/// How often this has happened to connections of an input.
fn turned_away(running: &Running, input: &str, why: Away) -> u64 {
    let account = running.account();
    let own = account.inputs[input].counts.turned_away_for[why as usize];
    let ports = running.router.ports.lock().unwrap();
    let place = running.router.places().into_iter().find(|(name, _)| name == input).expect("it is there").1;
    own + ports.get(&place).map_or(0, |counters| counters.turned_away(why))
}

/// Everything an input has turned away.
fn all_turned_away(running: &Running, input: &str) -> u64 {
    Away::ALL.iter().map(|why| turned_away(running, input, *why)).sum()
}

/// Sends a message in a connection of its own.
fn deliver(stream: Safe, input: &str, number: u64) {
    if input == "http" {
        let answer = say(stream, &post(&message(number)), false).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"accepted\":1"), "{answer}");
    } else {
        say(stream, &format!("{}\n", message(number)), true).expect("it is taken");
    }
}

/// What somebody learns who is not let in. A slow server says so only after the handshake.
fn refusal(port: u16, trust: &Trust, host: &str) -> String {
    match connect(port, trust, host) {
        Err(why) => why,
        Ok(mut stream) => {
            let error = stream.read(&mut [0; 16]).expect_err("it is refused");
            metlog_tls::explain(&error, "").unwrap_or_else(|| error.to_string())
        }
    }
}

fn accepted(running: &Running, input: &str) -> u64 {
    running.account().inputs[input].counts.accepted
}

#[test]
fn whoever_is_not_right_is_turned_away_for_its_reason_and_disturbs_nobody() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let directory = Directory::new();
    let asking = format!("client_ca_file = '{}'", authority.ca_file().display());
    let running = router(&directory, &authority.paper(&["localhost"]), &asking);
    let with = |ca: &Authority, paper: Option<Paper>| {
        let (client_cert, client_key) = paper.map(|paper| (paper.cert, paper.key)).unzip();
        Trust { client_cert, client_key, ..trusting(ca.ca_file()) }
    };
    let ours = || Some(authority.paper(&["client"]));
    let right = with(&authority, ours());
    // How it shows itself, whom it means to meet, why it is turned away, and what it learns.
    let visitors = [
        (with(&stranger, ours()), "localhost", Away::Distrusted, "not trusted here"),
        (right.clone(), "example.org", Away::Distrusted, "is not for `example.org` but for"),
        (with(&authority, None), "localhost", Away::NoCertificate, "wants a certificate of ours: `client_cert`"),
        (
            with(&authority, Some(stranger.paper(&["client"]))),
            "localhost",
            Away::BadCertificate,
            "does not know the authority of our certificate",
        ),
        (with(&authority, Some(authority.self_signed(&["client"]))), "localhost", Away::BadCertificate, "certificate"),
        (
            with(&authority, Some(authority.paper_of_years(&["client"], 2020, 2021))),
            "localhost",
            Away::BadCertificate,
            "our certificate has expired",
        ),
        (
            with(&authority, Some(authority.paper_of_years(&["client"], 2080, 2081))),
            "localhost",
            Away::BadCertificate,
            "our certificate",
        ),
    ];
    let garbage: Vec<u8> = std::iter::once(0x16).chain((0..200u8).map(|byte| byte.wrapping_mul(7))).collect();
    let hello = hello([3, 3], true);
    let half = hello.get(..hello.len() / 2).expect("half").to_vec();
    let raw: [(&[u8], Away); 7] = [
        (b"{\"type\":\"x\"}\n", Away::Plaintext),
        (b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", Away::Plaintext),
        (&super::support::hello([3, 2], true), Away::TlsVersion),
        (&super::support::hello([3, 2], false), Away::TlsVersion),
        (&half, Away::HungUp),
        (&garbage, Away::BadHandshake),
        (b"", Away::HungUp),
    ];
    for input in ["tcp", "http"] {
        let port = running.port(input);
        let mut number = 0;
        let mut good = || {
            number += 1;
            deliver(connect(port, &right, "localhost").expect("it is right"), input, number);
        };
        good();
        for (trust, host, why, words) in &visitors {
            let before = turned_away(&running, input, *why);
            let told = refusal(port, trust, host);
            assert!(told.contains(words), "{input} {why:?}: {told}");
            eventually(&format!("{input} {why:?}"), || turned_away(&running, input, *why) == before + 1);
            good();
        }
        for (bytes, why) in &raw {
            let before = turned_away(&running, input, *why);
            let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("connects");
            socket.write_all(bytes).expect("sent");
            socket.shutdown(Shutdown::Write).expect("ended");
            let mut answer = Vec::new();
            // Closed it is in any case; with a reset where something was not read.
            let _ = socket.read_to_end(&mut answer);
            let answer = String::from_utf8_lossy(&answer);
            let kind = input == "http" && *why == Away::Plaintext;
            assert_eq!(kind, answer.starts_with("HTTP/1.1 400") && answer.contains("https://"), "{input}: {answer}");
            eventually(&format!("{input} {why:?}"), || turned_away(&running, input, *why) == before + 1);
            good();
        }
        assert_eq!(all_turned_away(&running, input), 14, "nobody twice");
        eventually("all that was good is there", || accepted(&running, input) == 15);
        assert_eq!(running.account().inputs[input].counts.received, 15, "and nothing else");
    }
    running.balanced();
}

#[test]
fn tls_where_none_is_spoken_is_turned_away_too() {
    let authority = Authority::new();
    let directory = Directory::new();
    let text = "[inputs.tcp]\nlisten = '127.0.0.1:0'\n[inputs.http]\nlisten = '127.0.0.1:0'\n[endpoints.null]\n";
    let running = Running::start(&directory, text);
    for input in ["tcp", "http"] {
        let told = connect(running.port(input), &trusting(authority.ca_file()), "localhost").map(drop);
        told.expect_err("there is no TLS");
        eventually("it is counted", || turned_away(&running, input, Away::Tls) == 1);
    }
    let account = running.balanced();
    assert!(account.inputs.values().all(|line| line.counts.received == 0), "{account:?}");
}

#[test]
fn whoever_begins_and_says_no_more_is_not_waited_for() {
    let authority = Authority::new();
    let directory = Directory::new();
    let running = router(&directory, &authority.paper(&["localhost"]), "handshake_timeout = '300ms'");
    for input in ["tcp", "http"] {
        for bytes in [&b""[..], &hello([3, 3], true)[..20]] {
            let before = turned_away(&running, input, Away::HandshakeTimeout);
            let mut socket = TcpStream::connect(("127.0.0.1", running.port(input))).expect("connects");
            socket.write_all(bytes).expect("sent");
            let _ = socket.read_to_end(&mut Vec::new());
            eventually("counted", || turned_away(&running, input, Away::HandshakeTimeout) == before + 1);
        }
    }
    running.balanced();
}

#[test]
fn thousands_of_handshakes_that_do_not_go_on_take_no_place_from_anybody() {
    const FLOOD: usize = 2200;
    const WAVE: usize = 100;
    more_files();
    let authority = Authority::new();
    let trust = trusting(authority.ca_file());
    let half = hello([3, 3], true);
    for input in ["tcp", "http"] {
        let directory = Directory::new();
        // Nothing ends by itself: what makes room is only that there are too many.
        let running = router(&directory, &authority.paper(&["localhost"]), "handshake_timeout = '10m'");
        let port = running.port(input);
        let mut steady = connect(port, &trust, "localhost").expect("it is right");
        let mut held = Vec::new();
        let mut good = 0;
        while held.len() < FLOOD {
            for _ in 0..WAVE {
                // Fifty of each address, which is fewer than one may have.
                let mut socket = from(&format!("127.0.1.{}", held.len() / 50 + 1), port);
                if held.len() % 2 == 0 {
                    socket.write_all(&half[..half.len() / 2]).expect("sent");
                }
                held.push(socket);
            }
            good += 1;
            deliver(connect(port, &trust, "localhost").expect("nobody is in its way"), input, good);
        }
        // Who was there before them still is.
        if input == "tcp" {
            steady.write_all(format!("{}\n", message(0)).as_bytes()).expect("taken");
            steady.flush().expect("taken");
        } else {
            deliver(steady, input, 0);
        }
        let all = good + 1;
        eventually("all that was good is there", || accepted(&running, input) == all);
        let out = || turned_away(&running, input, Away::Handshakes);
        eventually("the oldest made room", || out() >= (FLOOD - 256) as u64);
        assert_eq!(all_turned_away(&running, input), out(), "and nobody else had to go");
        drop(held);
        eventually("all are gone", || all_turned_away(&running, input) == FLOOD as u64);
        let account = running.balanced();
        assert_eq!(account.inputs[input].counts.received, all);
    }
}

#[test]
fn one_address_and_all_together_have_so_many_connections() {
    let directory = Directory::new();
    let text = "[inputs.tcp]\nlisten = '127.0.0.1:0'\nconnections = 3\nper_address = 2\n[endpoints.null]\n";
    let running = Running::start(&directory, text);
    let port = running.port("tcp");
    let mut open = Vec::new();
    for (address, why) in [
        ("127.0.2.1", None),
        ("127.0.2.1", None),
        ("127.0.2.1", Some(Away::Address)),
        ("127.0.2.2", None),
        ("127.0.2.3", Some(Away::Cap)),
    ] {
        let before = all_turned_away(&running, "tcp");
        let mut socket = from(address, port);
        match why {
            Some(why) => {
                eventually("it is counted", || turned_away(&running, "tcp", why) == 1);
                let _ = socket.read_to_end(&mut Vec::new());
            }
            None => {
                // One that is let in has its message taken.
                let count = accepted(&running, "tcp");
                socket.write_all(format!("{}\n", message(count)).as_bytes()).expect("sent");
                eventually("it is let in", || accepted(&running, "tcp") == count + 1);
                assert_eq!(all_turned_away(&running, "tcp"), before);
                open.push(socket);
            }
        }
    }
    running.balanced();
}

#[test]
fn a_connection_that_says_nothing_for_too_long_ends() {
    let directory = Directory::new();
    let text = "[inputs.tcp]\nlisten = '127.0.0.1:0'\nidle_timeout = '200ms'\n[endpoints.null]\n";
    let running = Running::start(&directory, text);
    let mut socket = TcpStream::connect(("127.0.0.1", running.port("tcp"))).expect("connects");
    // What has no end yet is no message, and is told as cut off.
    socket.write_all(b"{\"type\":").expect("sent");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    assert_eq!(socket.read(&mut [0; 16]).expect("an end in order"), 0);
    eventually("it is counted", || turned_away(&running, "tcp", Away::Idle) == 1);
    running.balanced();
}

#[test]
fn beyond_this_machine_a_certificate_is_as_good_as_a_key_and_encryption_alone_is_not() {
    let authority = Authority::new();
    let paper = authority.paper(&["localhost"]);
    let tls = format!("cert_file = '{}'\nkey_file = '{}'", paper.cert.display(), paper.key.display());
    let asking = format!("{tls}\nclient_ca_file = '{}'", authority.ca_file().display());
    for section in ["inputs.tcp", "inputs.http"] {
        let text = |tls: &str| format!("[{section}]\nlisten = '0.0.0.0:0'\n[{section}.tls]\n{tls}\n[endpoints.null]\n");
        let why = metlog_router::config::from_toml("t", &format!("[router]\nhttp = ''\n{}", text(&tls)));
        let why = why.err().expect("encryption says nothing of who sends").to_string();
        assert!(why.contains("client_ca_file"), "{why}");
        let directory = Directory::new();
        drop(Running::try_start(&plan(&directory, &text(&asking))).expect("who has a certificate may come"));
    }
    for (more, good) in [("", false), (&asking, true)] {
        let tls = if more.is_empty() { &tls } else { more };
        let text = format!("[router]\nhttp = '0.0.0.0:0'\n[router.tls]\n{tls}\n[inputs.http]\n[endpoints.null]\n");
        let read = metlog_router::config::from_toml("t", &text);
        assert_eq!(read.is_ok(), good, "{}", read.err().map(|why| why.to_string()).unwrap_or_default());
    }
}

#[test]
fn a_connection_from_each_kind_of_sender_of_our_own_goes_through() {
    let authority = Authority::new();
    let directory = Directory::new();
    let asking = format!("client_ca_file = '{}'", authority.ca_file().display());
    let running = router(&directory, &authority.paper(&["localhost"]), &asking);
    let paper = authority.paper(&["client"]);
    let trust = format!(
        "ca_file = '{}', only_ca_file = true, client_cert = '{}', client_key = '{}'",
        authority.ca_file().display(),
        paper.cert.display(),
        paper.key.display()
    );
    let (tcp, http) = (running.port("tcp"), running.port("http"));
    let edge = Directory::new();
    let text = format!(
        "[inputs.tcp]\nlisten = '127.0.0.1:0'\n[endpoints.tcp]\naddress = 'localhost:{tcp}'\ntls = {{ {trust} }}\n\
         [endpoints.http]\nurl = 'https://localhost:{http}'\nconnection = {{ {trust} }}\n"
    );
    let sending = Running::start(&edge, &text);
    const MANY: u64 = 3000;
    sending.send("tcp", (0..MANY).map(message));
    eventually("all are through", || accepted(&running, "tcp") == MANY && accepted(&running, "http") == MANY);
    sending.balanced();
    assert_eq!(all_turned_away(&running, "tcp") + all_turned_away(&running, "http"), 0);
    let mut own = over(
        TcpStream::connect(("127.0.0.1", tcp)).expect("connects"),
        &Trust {
            client_cert: Some(paper.cert.clone()),
            client_key: Some(paper.key.clone()),
            ..trusting(authority.ca_file())
        },
        "localhost",
    )
    .expect("right");
    // A record torn apart on its way is one message all the same.
    let line = format!("{}\n", message(MANY));
    let (one, two) = line.split_at(line.len() / 2);
    for part in [one, two] {
        own.write_all(part.as_bytes()).and_then(|()| own.flush()).expect("sent");
    }
    eventually("the last as well", || accepted(&running, "tcp") == MANY + 1);
    running.balanced();
}
