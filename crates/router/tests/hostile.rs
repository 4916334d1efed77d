//! Clients that mean harm, all at once, at a router as its default configuration has it: the others are served all the
//! while, memory stays bounded, and what is refused is counted, message by message.

mod program;
mod stage;

use program::{FILE, Program};
use socket2::{Domain, SockAddr, Socket, Type};
use stage::{eventually, message_of, number};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const MIB: usize = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of it, by input: accepted, and refused by reason.
type Books = BTreeMap<(&'static str, &'static str), u64>;

fn books(entries: &[(&'static str, &'static str, u64)]) -> Books {
    entries.iter().map(|(input, what, count)| ((*input, *what), *count)).collect()
}

/// A connection from another address of this machine: what is limited by address is limited for the others.
fn connect_from(last: u8, to: &str) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, last], 0))))?;
    socket.connect(&SockAddr::from(to.parse::<SocketAddr>().expect("an address")))?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Whether the other end closes, whatever it says before.
fn is_closed(mut stream: TcpStream) -> bool {
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn send(to: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = connect_from(1, to).expect("it listens");
    stream.write_all(bytes).expect("taken");
    stream
}

/// A client of ZMTP 3.0 that has shaken hands as a publisher.
fn publisher(to: &str) -> TcpStream {
    let mut stream = connect_from(1, to).expect("it listens");
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[12..16].copy_from_slice(b"NULL");
    stream.write_all(&greeting).unwrap();
    stream.read_exact(&mut [0; 64]).unwrap();
    stream.write_all(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB").unwrap();
    // Its READY, and its subscription to everything.
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    stream.read_exact(&mut vec![0; usize::from(head[1])]).unwrap();
    stream.read_exact(&mut [0; 3]).unwrap();
    stream
}

fn frame(length: u64, body: &[u8]) -> Vec<u8> {
    [&[2], &length.to_be_bytes()[..], body].concat()
}

/// A gigabyte of zeros as deflate: one MiB of it, ended on a whole byte, a thousand times.
fn zeros() -> Vec<u8> {
    let mut one = Vec::with_capacity(8192);
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    compress.compress_vec(&vec![0; MIB], &mut one, flate2::FlushCompress::Full).unwrap();
    one.repeat(1024)
}

/// Bodies of a gigabyte, by their coding.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let (zeros, end) = (zeros(), [1, 0, 0, 0xff, 0xff]);
    let gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff][..], &zeros, &end].concat();
    let deflate = [&[0x78, 0xda][..], &zeros, &end].concat();
    let zstd = zstd::bulk::compress(&vec![0; 16 * MIB], 1).unwrap().repeat(64);
    vec![("gzip", gzip), ("deflate", deflate), ("zstd", zstd)]
}

fn deep(levels: usize) -> Vec<u8> {
    let open = "{\"a\":".repeat(levels);
    format!("{{\"type\":\"deep\",\"fields\":{open}1{}}}", "}".repeat(levels)).into_bytes()
}

fn wide(keys: usize) -> Vec<u8> {
    let fields: Vec<String> = (0..keys).map(|key| format!("\"{key:x}\":1")).collect();
    format!("{{\"type\":\"wide\",\"fields\":{{{}}}}}", fields.join(",")).into_bytes()
}

/// Heads and bodies that come a byte at a time. Each is shown the door.
fn slow(program: &Program) -> Books {
    let at = program.place("http");
    let began = Instant::now();
    let mut heads: Vec<TcpStream> = (0..50).map(|_| connect_from(3, &at).expect("it listens")).collect();
    let mut body = connect_from(4, &at).expect("it listens");
    write!(body, "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n").unwrap();
    let mut text = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x'));
    while began.elapsed() < Duration::from_secs(9) {
        let byte = [*text.next().expect("endless")];
        heads.iter_mut().for_each(|stream| stream.write_all(&byte).expect("its time is not up"));
        body.write_all(b" ").expect("its time is not up");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(heads.into_iter().all(is_closed) && is_closed(body));
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    Books::new()
}

fn compressed(program: &Program) -> Books {
    for (coding, bomb) in bombs() {
        for _ in 0..3 {
            let answer =
                program.request("POST /v1/messages", &[("Content-Encoding", coding)], &bomb).expect("an answer");
            assert_eq!(answer.status, 413, "{coding}: {answer:?}");
        }
    }
    let inner = zstd::bulk::compress(&zstd::bulk::compress(&vec![b' '; MIB], 1).unwrap(), 1).unwrap();
    let answer = program.request("POST /v1/messages", &[("Content-Encoding", "zstd")], &inner).expect("an answer");
    assert_eq!(answer.status, 415, "{answer:?}");
    Books::new()
}

/// Too deep, too wide, too long, through every input.
fn large(program: &Program) -> Books {
    let (deep, wide, wider) = (deep(100_000), wide(1_000_000), wide(100_000));
    for text in [&deep, &wide, &wider] {
        assert_eq!(program.post(text).status, 400);
    }
    // It ends nowhere.
    assert_eq!(program.post(&[b'['; 100_000]).status, 400);
    // What it declares is enough.
    let mut stream = connect_from(1, &program.place("http")).expect("it listens");
    write!(stream, "POST /v1/messages HTTP/1.0\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n{{\"a\":\"")
        .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.0 413");
    drop(stream);

    let mut stream = connect_from(1, &program.place("tcp")).expect("it listens");
    for text in [&deep, &wide, &wider] {
        stream.write_all(text).unwrap();
        stream.write_all(b"\n").unwrap();
    }
    // A field of 100 MB, and behind it something good on the same connection.
    stream.write_all(b"{\"type\":\"long\",\"payload\":\"").unwrap();
    let part = vec![b'x'; MIB];
    (0..100).for_each(|_| stream.write_all(&part).unwrap());
    stream.write_all(format!("\"}}\n{}\n", message_of("behind", 6, 0)).as_bytes()).unwrap();
    drop(stream);

    let mut zmq = publisher(&program.place("zmq"));
    zmq.write_all(&frame(wider.len() as u64, &wider)).unwrap();
    for length in [1 << 63, u64::MAX, 100_000_000] {
        let mut bad = publisher(&program.place("zmq"));
        bad.write_all(&frame(length, b"{\"type\":\"")).unwrap();
        assert!(is_closed(bad), "{length}");
    }
    zmq.write_all(&frame(message_of("behind", 6, 0).len() as u64, message_of("behind", 6, 0).as_bytes())).unwrap();
    eventually("it reads the good one", || program.text("all.jsonl").matches("\"behind\"").count() == 2);
    books(&[
        ("http", "too_large", 3),
        ("http", "truncated", 1),
        ("tcp", "too_large", 4),
        ("tcp", "accepted", 1),
        ("zmq", "too_large", 4),
        ("zmq", "accepted", 1),
    ])
}

/// Each line is a refusal, and a refusal is much longer than the line was.
fn many(program: &Program) -> Books {
    const LINES: u64 = 100_000;
    let body = b"x\n".repeat(LINES as usize);
    let answer = program.post(&body);
    assert_eq!(answer.status, 400);
    assert!(answer.body.len() < 4 * body.len(), "an answer of {} bytes", answer.body.len());
    let mut stream = connect_from(1, &program.place("tcp")).expect("it listens");
    stream.write_all(&body).unwrap();
    books(&[("http", "malformed", LINES), ("tcp", "malformed", LINES)])
}

/// Content that breaks careless code: what is JSON is kept byte for byte, and nothing of it reaches a terminal.
fn odd(program: &Program) -> Books {
    let evil = r#"\u001b]0;owned\u0007\u001b[2J\u0000\u202egnp.exe\u2028\r\n<script>alert(1)</script>"#;
    let kept = message_of("odd", 6, 0).replace(r#""payload":"m""#, &format!(r#""payload":"{evil}""#));
    let client = format!(
        r#"{},"metlog_client":"\u001b[2Jx","metlog_seq":1}}"#,
        message_of("odd", 6, 1).strip_suffix('}').expect("an object")
    );
    let hole = client.replace("\"metlog_seq\":1", "\"metlog_seq\":9");
    let twice = r#"{"type":"odd","type":"again","fields":{"n":2,"n":3},"payload":"one","payload":"two"}"#;
    for text in [&kept, &client, &hole, twice] {
        assert_eq!(program.post(text.as_bytes()).body, "{\"accepted\":1,\"rejected\":[]}", "{text}");
    }
    let raw = [
        b"\x1b[31m\x00 no message \x1b[2J\x07".to_vec(),
        b"{\"type\":\"\xff\xfe\"".to_vec(),
        "{\"type\": \u{202e}\u{feff}\u{0}}".as_bytes().to_vec(),
        vec![0; 5000],
    ];
    for text in &raw {
        let answer = program.post(text);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.body.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{answer:?}");
    }
    eventually("it is kept", || program.text("all.jsonl").contains(&(kept.clone() + "\n")));
    books(&[("http", "accepted", 4), ("http", "malformed", 4)])
}

fn datagrams(program: &Program) -> Books {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let longest = |kind: &str| {
        let short = message_of(kind, 6, 0);
        short
            .replace(r#""payload":"m""#, &format!(r#""payload":"{}""#, "m".repeat(65_507 - short.len() + 1)))
            .into_bytes()
    };
    let bad: [(&[u8], &str); 4] = [
        (b"", "malformed"),
        (b" \n\r\n ", "malformed"),
        (&vec![0xff; 65_507], "malformed"),
        (&deep(10_000), "too_large"),
    ];
    for _ in 0..10 {
        for (datagram, reason) in &bad {
            let before = program.refused("udp", reason);
            socket.send_to(datagram, program.place("udp")).unwrap();
            eventually("it is counted", || program.refused("udp", reason) == before + 1);
        }
    }
    let whole = longest("longest");
    assert_eq!(whole.len(), 65_507);
    socket.send_to(&whole, program.place("udp")).unwrap();
    eventually("it is kept", || program.text("all.jsonl").contains("\"longest\""));
    books(&[("udp", "malformed", 30), ("udp", "too_large", 10), ("udp", "accepted", 1)])
}

/// Those who knock at the wrong door, and those who say nothing sensible there.
fn strangers(program: &Program) -> Books {
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for input in ["http", "zmq"] {
        drop(send(&program.place(input), hello));
        drop(send(&program.place(input), &[0xff; 100_000]));
    }
    drop(send(&program.place("zmq"), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    drop(send(&program.place("tcp"), hello));
    // Ends amid a message.
    drop(send(&program.place("tcp"), b"{\"type\":\"amid\",\"payload\":\""));
    let mut amid = publisher(&program.place("zmq"));
    amid.write_all(&frame(1000, b"{\"type\":\"amid\"")).unwrap();
    drop(amid);
    // Who speaks TLS where none is spoken sends no message, and is counted as such.
    books(&[("tcp", "malformed", 1), ("zmq", "truncated", 1)])
}

/// Two thousand connections that say nothing, from one address.
fn idle(program: &Program) -> Vec<TcpStream> {
    let doors = [("tcp", 700), ("http", 700), ("zmq", 600)];
    let open = |(input, count): (&str, usize)| {
        let at = program.place(input);
        (0..count).map(move |_| connect_from(2, &at).expect("it listens")).collect::<Vec<_>>()
    };
    doors.into_iter().flat_map(open).collect()
}

/// Sends to every input until it is told to stop. All of it must arrive.
fn good(program: &Program, over: &AtomicBool) -> (Books, Duration) {
    let mut tcp = connect_from(1, &program.place("tcp")).expect("it listens");
    let mut zmq = publisher(&program.place("zmq"));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut n, mut slowest) = (0, Duration::ZERO);
    while !over.load(SeqCst) {
        let text = message_of("good", 6, n);
        let began = Instant::now();
        assert_eq!(program.post(text.as_bytes()).status, 200, "number {n}");
        writeln!(tcp, "{}", message_of("good tcp", 6, n)).expect("it reads");
        // Another new one, beside the one that stays.
        writeln!(connect_from(1, &program.place("tcp")).expect("it listens"), "{}", message_of("good new", 6, n))
            .expect("it reads");
        let text = message_of("good zmq", 6, n);
        zmq.write_all(&frame(text.len() as u64, text.as_bytes())).expect("it reads");
        udp.send_to(message_of("good udp", 6, n).as_bytes(), program.place("udp")).unwrap();
        slowest = slowest.max(began.elapsed());
        n += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    (
        books(&[("http", "accepted", n), ("tcp", "accepted", 2 * n), ("zmq", "accepted", n), ("udp", "accepted", n)]),
        slowest,
    )
}

#[test]
fn the_hostile_are_refused_and_counted_and_the_others_are_served() {
    let program = Program::start(FILE);
    let over = AtomicBool::default();
    let mut expected = Books::new();
    type Attack = fn(&Program) -> Books;
    let attacks: [(&str, Attack); 7] = [
        ("slow", slow),
        ("compressed", compressed),
        ("large", large),
        ("many", many),
        ("odd", odd),
        ("datagrams", datagrams),
        ("strangers", strangers),
    ];
    let (served, slowest) = std::thread::scope(|scope| {
        let good = scope.spawn(|| good(&program, &over));
        let crowd = idle(&program);
        assert_eq!(crowd.len(), 2000);
        let running: Vec<_> = attacks.iter().map(|(name, attack)| (name, scope.spawn(|| attack(&program)))).collect();
        for (name, attack) in running {
            let Ok(books) = attack.join() else {
                over.store(true, SeqCst);
                panic!("{name}");
            };
            books.into_iter().for_each(|(what, count)| *expected.entry(what).or_default() += count);
        }
        over.store(true, SeqCst);
        drop(crowd);
        good.join().expect("the good client is served")
    });
    println!(
        "served meanwhile: {served:?}, the slowest round in {slowest:?}; memory at the most {} MiB",
        program.peak() >> 20
    );
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    for (what, count) in &served {
        assert!(*count > 100, "only {count} of {what:?} were served");
        *expected.entry(*what).or_default() += count;
    }
    let found = || -> Books {
        let reasons = ["malformed", "too_large", "truncated", "spool_full"];
        let of = |input: &'static str| {
            let refused = reasons.map(|reason| ((input, reason), program.refused(input, reason)));
            refused.into_iter().chain([((input, "accepted"), program.accepted(input))])
        };
        ["http", "tcp", "udp", "zmq"].into_iter().flat_map(of).filter(|(_, count)| *count > 0).collect()
    };
    assert!(metlog_testkit::eventually(PATIENCE, || found() == expected), "{:?} is not {expected:?}", found());
    let accepted = expected.iter().filter(|((_, what), _)| *what == "accepted").map(|(_, count)| count).sum::<u64>();
    let refused = expected.values().sum::<u64>() - accepted;
    eventually("all of it is delivered", || program.delivered("all") == accepted);
    assert_eq!(program.metric("metlog_dead_letters_written_total"), refused, "each refusal is kept to be looked at");
    let text = program.text("all.jsonl");
    for kind in ["good", "good tcp", "good new", "good zmq", "good udp"] {
        let kept = text.lines().filter(|line| line.contains(&format!("\"type\":\"{kind}\"")));
        let mut numbers: Vec<u64> = kept.map(number).collect();
        if kind == "good new" {
            // Each came over a connection of its own.
            numbers.sort_unstable();
        }
        assert_eq!(numbers, (0..served[&("http", "accepted")]).collect::<Vec<_>>(), "{kind}");
    }
    assert_eq!(
        program.metric("metlog_turned_away_total{input=\"tcp\",reason=\"address\"}"),
        700 - 64,
        "of one address"
    );
    assert_eq!(program.metric("metlog_turned_away_total{input=\"tcp\",reason=\"tls\"}"), 1);
    assert!(program.peak() <= 256 << 20, "{} bytes", program.peak());
    assert!(program.log().chars().all(|c| c == '\n' || !c.is_control()), "{}", program.log());
    let to = format!("http://{}", program.place("http"));
    let status = Command::new(env!("CARGO_BIN_EXE_metlog-router")).args(["status", "--to", &to]).output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(
        status.contains("unaccounted for: 0") && status.chars().all(|c| c == '\n' || !c.is_control()),
        "{status:?}"
    );
    program.stop();
}

/// What never becomes a message is counted by the port.
#[test]
fn what_the_http_port_refuses_it_counts() {
    let program = Program::start("[endpoints.all]\ntype = 'null'\n");
    let at = program.place("http");
    let crowd: Vec<TcpStream> = (0..70).map(|_| connect_from(2, &at).expect("it listens")).collect();
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        program.request("POST /v1/messages", headers, body).expect("an answer").status
    };
    for (coding, bomb) in bombs() {
        assert_eq!(post(&[("Content-Encoding", coding)], &bomb), 413);
    }
    assert_eq!(post(&[("Content-Encoding", "br")], b"?"), 415);
    assert_eq!(post(&[("Content-Encoding", "gzip")], b"no gzip"), 400);
    assert_eq!(post(&[], &vec![b' '; 17 * MIB]), 413);
    assert_eq!(post(&[("Origin", "http://evil.example")], b"{}"), 403);
    let foreign = connect_from(1, &at).and_then(|mut stream| {
        write!(stream, "POST /v1/messages HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    });
    assert!(foreign.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 4")), "{foreign:?}");
    assert!(crowd.into_iter().all(is_closed), "their time is up");
    let count = |name: &str, reason: &str| {
        program.metric(&format!("metlog_http_{name}_total{{port=\"http://{at}\",reason=\"{reason}\"}}"))
    };
    for (name, reason, expected) in [
        ("bodies_refused", "bomb", 3),
        ("bodies_refused", "encoding", 2),
        ("bodies_refused", "too_large", 1),
        ("requests_refused", "origin", 1),
        ("requests_refused", "host", 1),
        ("connections_refused", "address", 70 - 64),
        ("timeouts", "header", 64),
    ] {
        assert_eq!(count(name, reason), expected, "{name} {reason}");
    }
    assert_eq!(program.metric("metlog_received_total{input=\"http\"}"), 0);
    program.stop();
}
