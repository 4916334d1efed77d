//! The server over real sockets: what each limit does, and that a good client does not notice.

mod support;

use metlog_http::axum::body::{Body, Bytes};
use metlog_http::axum::extract::State;
use metlog_http::axum::http::Request;
use metlog_http::axum::routing::{get, post};
use metlog_http::axum::{self, Router};
use metlog_http::server::Counters;
use metlog_http::{Door, Refused, ServerLimits};
use metlog_settings::{Size, Span};
use metlog_testkit::eventually;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use support::{Answer, Running, request};

const MIB: usize = 1024 * 1024;
const LONG: Duration = Duration::from_secs(10);

fn routes(door: Door) -> Router {
    async fn length(State(door): State<Door>, request: Request<Body>) -> Result<String, Refused> {
        Ok(door.content(request).await?.len().to_string())
    }
    async fn slow() -> &'static str {
        tokio::time::sleep(Duration::from_millis(600)).await;
        "done"
    }
    async fn never() {
        std::future::pending().await
    }
    async fn much() -> Bytes {
        vec![b'x'; 64 * MIB].into()
    }
    async fn panics() -> &'static str {
        panic!("the test wants it")
    }
    Router::new()
        .route("/length", post(length))
        .route("/hello", get(|| async { "hello" }))
        .route("/slow", get(slow))
        .route("/never", get(never))
        .route("/much", get(much))
        .route("/panics", get(panics))
        .with_state(door)
}

fn start(limits: ServerLimits) -> Running {
    Running::new(limits, routes)
}

fn millis(count: u64) -> Span {
    Span(Duration::from_millis(count))
}

fn count(running: &Running, which: fn(&Counters) -> &std::sync::atomic::AtomicU64) -> u64 {
    which(&running.counters).load(SeqCst)
}

fn assert_good_client(running: &Running) {
    let answer = running.ask("GET /hello", b"");
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
}

fn assert_refused(answer: &Answer, status: u16, words: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
    assert!(body["error"].as_str().is_some_and(|error| error.contains(words)), "{answer:?}");
    assert!(answer.body.is_ascii() && answer.body.len() < 512);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

#[test]
fn limits_are_on_by_default() {
    let limits = ServerLimits::default();
    assert_eq!((limits.connections, limits.connections_per_address, limits.ratio), (1024, 64, 100));
    assert_eq!((limits.body, limits.expanded), (Size(8 << 20), Size(16 << 20)));
    assert_eq!(limits.in_flight, Size(64 << 20));
    let seconds =
        [limits.header_timeout, limits.body_timeout, limits.idle_timeout].map(|span| span.duration().as_secs());
    assert_eq!(seconds, [10, 10, 60]);
}

#[test]
fn a_head_has_its_time_however_it_trickles() {
    let running = start(ServerLimits { header_timeout: millis(300), ..ServerLimits::default() });
    let mut slow: Vec<_> = (0..20).map(|_| running.connect()).collect();
    slow.iter_mut().skip(1).for_each(|slow| slow.write("GET /hello HTTP/1.1\r\nHost: localhost\r\n"));
    let mut silent = running.connect();
    let began = Instant::now();
    let mut good = running.connect();
    while slow[0].try_write("X").is_ok() && began.elapsed() < LONG {
        assert_eq!(good.ask("GET /hello", b"").status, 200);
        slow.iter_mut().skip(1).for_each(|slow| drop(slow.try_write("X-Slow: 1\r\n")));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(slow.iter_mut().all(|slow| slow.is_closed()) && silent.is_closed());
    assert!(eventually(LONG, || count(&running, |counters| &counters.header_timeouts) == 21));
    assert_eq!(good.ask("GET /hello", b"").status, 200);
}

#[test]
fn between_requests_a_connection_has_longer_and_not_for_ever() {
    let limits = ServerLimits { header_timeout: millis(200), idle_timeout: millis(1000), ..ServerLimits::default() };
    let running = start(limits);
    let mut client = running.connect();
    for _ in 0..3 {
        assert_eq!(client.ask("GET /hello", b"").status, 200);
        std::thread::sleep(Duration::from_millis(500));
    }
    let began = Instant::now();
    assert!(client.is_closed());
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(count(&running, |counters| &counters.idle_timeouts), 1);
    // A head that begins and does not go on has the time of a head.
    let mut client = running.connect();
    assert_eq!(client.ask("GET /hello", b"").status, 200);
    client.write("GET /he");
    assert!(client.is_closed());
    assert_eq!(count(&running, |counters| &counters.header_timeouts), 1);
    // A request that takes us longer than all of that has its answer.
    assert_eq!(running.ask("GET /slow", b"").body, "done");
}

#[test]
fn a_body_must_keep_a_pace() {
    let limits = ServerLimits { body_timeout: millis(300), body_rate: Size(1000), ..ServerLimits::default() };
    let running = start(limits);
    let head = "POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
    let mut slow = running.connect();
    slow.write(head);
    let began = Instant::now();
    while count(&running, |counters| &counters.body_timeouts) == 0 && began.elapsed() < LONG {
        slow.write("x");
        assert_good_client(&running);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_refused(&slow.answer().expect("an answer"), 408, "too slowly");
    assert!(slow.is_closed());
    // Three times as long as the patience, at twice the pace.
    let mut steady = running.connect();
    steady.write("POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1800\r\n\r\n");
    for _ in 0..18 {
        steady.write([b'x'; 100]);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(steady.answer().expect("an answer").body, "1800");
    assert_eq!(running.bounds.in_flight(), 0);
}

#[test]
fn who_does_not_read_the_answer_is_not_waited_for() {
    let running = start(ServerLimits { write_timeout: millis(300), ..ServerLimits::default() });
    let mut client = running.connect();
    client.write(request("GET /much", b""));
    assert!(eventually(LONG, || count(&running, |counters| &counters.write_timeouts) == 1));
    assert!(eventually(LONG, || count(&running, |counters| &counters.open) == 0));
}

#[test]
fn sizes_are_limited_before_and_after_expansion() {
    let running = start(ServerLimits::default());
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(9 * MIB).collect();
    assert_eq!(running.ask("POST /length", &vec![b' '; 16 * MIB]).body, (16 * MIB).to_string());
    assert_refused(&running.ask("POST /length", &vec![b' '; 16 * MIB + 1]), 413, "at most 16777216 bytes");
    assert_refused(&running.ask("POST /length\r\nContent-Encoding: zstd\r\n", &noise), 413, "at most 8388608 bytes");
    // 14 times is no bomb, and 17 MiB are too many all the same.
    let text: Vec<u8> = noise[..17 * MIB / 16].iter().flat_map(|byte| [*byte; 16]).collect();
    let answer = running.ask("POST /length\r\nContent-Encoding: gzip\r\n", &gzip(&text));
    assert_refused(&answer, 413, "expands to at most 16777216 bytes");
    // Without a declared length.
    let mut chunked = running.connect();
    chunked.write("POST /length HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for part in noise.chunks(MIB).chain(noise.chunks(MIB)) {
        chunked.write(format!("{:x}\r\n", part.len()));
        chunked.write(part);
        chunked.write("\r\n");
    }
    chunked.write("0\r\n\r\n");
    assert_refused(&chunked.answer().expect("an answer"), 413, "at most");
    assert_eq!(count(&running, |counters| &counters.too_large), 4);
    assert_eq!(count(&running, |counters| &counters.bombs), 0);
    assert_eq!(running.bounds.in_flight(), 0);
    assert_good_client(&running);
}

#[test]
fn what_a_body_says_of_itself_is_not_believed() {
    let running = start(ServerLimits::default());
    let text = b"{\"type\":\"test\"}".repeat(100);
    for (coding, body) in [
        ("gzip", gzip(&text)),
        ("x-gzip", gzip(&text)),
        ("GZIP", [gzip(&text[..750]), gzip(&text[750..])].concat()),
        ("deflate", zlib(&text)),
        ("deflate", deflate(&text)),
        ("zstd", zstd::bulk::compress(&text, 3).expect("compressed")),
        ("snappy", snap::raw::Encoder::new().compress_vec(&text).expect("compressed")),
        ("identity", text.clone()),
        ("", text.clone()),
    ] {
        let answer = running.ask(&format!("POST /length\r\nContent-Encoding: {coding}\r\n"), &body);
        assert_eq!((answer.status, answer.body.as_str()), (200, "1500"), "{coding}");
    }
    let twice = gzip(&gzip(&text));
    let short = &gzip(&text)[..20];
    let junk = [gzip(&text), b"junk".to_vec()].concat();
    // A window of 128 MiB, and nothing behind it.
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00];
    for (coding, body, status, words) in [
        ("gzip", &text[..], 400, "no whole gzip"),
        ("zstd", &gzip(&text), 400, "no whole zstd"),
        ("deflate", &text[..], 400, "no whole deflate"),
        ("gzip", short, 400, "no whole gzip"),
        ("gzip", &junk, 400, "no whole gzip"),
        ("zstd", &window, 400, "no whole zstd"),
        ("snappy", &text[..], 400, "no whole snappy"),
        ("gzip", &twice, 415, "compress once"),
        ("gzip, gzip", &twice, 415, "not several"),
        ("br", &text[..], 415, "gzip, deflate, zstd, snappy"),
        ("identity", &twice, 415, "add Content-Encoding: gzip"),
    ] {
        let answer = running.ask(&format!("POST /length\r\nContent-Encoding: {coding}\r\n"), body);
        assert_refused(&answer, status, words);
    }
    let two = running.ask("POST /length\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\n", &twice);
    assert_refused(&two, 415, "not several");
    assert_eq!(count(&running, |counters| &counters.bad_encoding), 12);
    // Four GiB, it says, and holds one byte.
    let bomb = b"\xff\xff\xff\xff\x0f\x00a";
    assert_refused(&running.ask("POST /length\r\nContent-Encoding: snappy\r\n", bomb), 413, "more than 100 times");
    assert_eq!(count(&running, |counters| &counters.bombs), 1);
    assert_eq!(running.bounds.in_flight(), 0);
}

#[test]
fn http_as_clients_speak_it() {
    let running = start(ServerLimits::default());
    // Several at once, answered in order.
    let mut client = running.connect();
    client.write([request("POST /length", b"1"), request("GET /hello", b""), request("POST /length", b"333")].concat());
    let answers: Vec<_> = (0..3).map(|_| client.answer().expect("an answer").body).collect();
    assert_eq!(answers, ["1", "hello", "3"]);
    // In pieces.
    client.write("POST /length HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.write("3\r\nabc\r\n");
    client.write("2;ext=1\r\nde\r\n0\r\n\r\n");
    assert_eq!(client.answer().expect("an answer").body, "5");
    // With a question first, and without being let in.
    client.write("POST /length HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(client.answer().expect("an answer").status, 100);
    client.write("ok");
    assert_eq!(client.answer().expect("an answer").body, "2");
    client.write(
        "POST /length HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 999999999999\r\n\r\n",
    );
    assert_refused(&client.answer().expect("an answer"), 413, "at most");
    // Of old.
    let mut old = running.connect();
    old.write("GET /hello HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer().expect("an answer").body, "hello");
    assert!(old.is_closed());
    // Not at all, or too much of it.
    for head in ["nonsense\r\n\r\n".to_owned(), format!("GET /{} HTTP/1.1\r\n", "x".repeat(100_000))] {
        let mut client = running.connect();
        let _ = client.try_write(head);
        assert!(client.answer().is_none_or(|answer| (400..=431).contains(&answer.status)));
        assert!(client.is_closed());
    }
    let many = "X-A: b\r\n".repeat(200);
    assert_eq!(running.ask(&format!("GET /hello\r\n{many}"), b"").status, 431);
}

#[test]
fn every_answer_is_an_object_or_ours_and_says_how_to_treat_it() {
    let running = start(ServerLimits::default());
    let answer = running.ask("GET /hello", b"");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_refused(&running.ask("GET /nowhere", b""), 404, "nothing here");
    let method = running.ask("GET /length", b"");
    assert_refused(&method, 405, "Allow");
    assert_eq!(method.header("allow"), Some("POST"));
    assert_eq!(method.header("content-type"), Some("application/json"));
    assert_refused(&running.ask("POST /length\r\nOrigin: http://evil.example\r\n", b"1"), 403, "origin");
    assert_eq!(running.ask("POST /length\r\nOrigin: http://localhost\r\n", b"1").status, 200);
    let mut client = running.connect();
    client.write("GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_refused(&client.answer().expect("an answer"), 421, "allowed_hosts");
    client.write("GET /hello HTTP/1.1\r\n\r\n");
    assert_refused(&client.answer().expect("an answer"), 400, "Host");
    assert_eq!((count(&running, |it| &it.foreign_host), count(&running, |it| &it.foreign_origin)), (2, 1));
}

#[test]
fn one_address_has_64_connections_and_gets_another_when_one_is_free() {
    let running = start(ServerLimits::default());
    let mut clients: Vec<_> = (0..64).map(|_| running.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("GET /hello", b"").status, 200);
    }
    let mut crowded = running.connect();
    assert_refused(&crowded.answer().expect("an answer"), 503, "too many connections");
    assert!(crowded.is_closed());
    assert_eq!(clients[63].ask("GET /hello", b"").status, 200, "the others do not notice");
    assert_eq!(count(&running, |counters| &counters.refused_address), 1);
    assert_eq!((count(&running, |it| &it.open), count(&running, |it| &it.connections)), (64, 64));
    clients.pop();
    assert!(eventually(LONG, || count(&running, |counters| &counters.open) == 63));
    assert_good_client(&running);
}

#[test]
fn all_together_have_so_many_connections() {
    let running = start(ServerLimits { connections: 3, ..ServerLimits::default() });
    let mut clients: Vec<_> = (0..3).map(|_| running.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("GET /hello", b"").status, 200);
    }
    assert_refused(&running.connect().answer().expect("an answer"), 503, "too many connections");
    assert_eq!(count(&running, |counters| &counters.refused_cap), 1);
}

#[test]
fn bytes_in_flight_are_limited_and_given_back() {
    let running = start(ServerLimits { in_flight: Size(MIB as u64), ..ServerLimits::default() });
    let mut holding = running.connect();
    holding.write(format!("POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MIB}\r\n\r\n"));
    holding.write(vec![b'x'; MIB - 1]);
    assert!(eventually(LONG, || running.bounds.in_flight() == MIB as u64 - 1));
    let refused = running.ask("POST /length", &[b'x'; 1000]);
    assert_refused(&refused, 503, "try again");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_good_client(&running);
    holding.write("x");
    assert_eq!(holding.answer().expect("an answer").body, MIB.to_string());
    assert_eq!(running.ask("POST /length", &[b'x'; 1000]).body, "1000");
    // Whoever goes in the middle gives back, too.
    let mut gone = running.connect();
    gone.write(format!("POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MIB}\r\n\r\nxxxx"));
    assert!(eventually(LONG, || running.bounds.in_flight() == 4));
    drop(gone);
    assert!(eventually(LONG, || running.bounds.in_flight() == 0));
    assert_eq!(count(&running, |counters| &counters.in_flight_full), 1);
}

#[test]
fn the_end_waits_for_what_is_running_and_for_nothing_else() {
    let mut running = start(ServerLimits::default());
    let mut idle = running.connect();
    assert_eq!(idle.ask("GET /hello", b"").status, 200);
    let (mut silent, mut half) = (running.connect(), running.connect());
    half.write("GET /hel");
    let mut torn = running.connect();
    assert_eq!(torn.ask("GET /hello", b"").status, 200);
    torn.write("GET /hel");
    let mut busy = running.connect();
    busy.write(request("GET /slow", b""));
    assert!(eventually(LONG, || count(&running, |counters| &counters.requests) == 3));
    let told = Instant::now();
    running.tell_to_stop();
    assert!(idle.is_closed() && silent.is_closed() && half.is_closed());
    assert!(eventually(LONG, || TcpStream::connect(running.at).is_err()), "it takes no new ones");
    assert_eq!(busy.answer().expect("an answer").body, "done");
    assert!(busy.is_closed());
    assert!(torn.is_closed());
    assert!(running.ends_within(Duration::from_secs(2)));
    assert_eq!(count(&running, |counters| &counters.open), 0);
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let mut running = start(ServerLimits { drain_timeout: millis(200), ..ServerLimits::default() });
    let mut busy = running.connect();
    busy.write(request("GET /never", b""));
    assert!(eventually(LONG, || count(&running, |counters| &counters.requests) == 1));
    running.tell_to_stop();
    assert!(running.ends_within(Duration::from_secs(2)));
    assert!(busy.is_closed());
    assert_eq!(count(&running, |counters| &counters.open), 0);
}

#[test]
fn a_panic_costs_one_connection() {
    let running = start(ServerLimits::default());
    let mut client = running.connect();
    client.write(request("GET /panics", b""));
    assert!(client.is_closed());
    assert!(eventually(LONG, || count(&running, |counters| &counters.panics) == 1));
    assert_good_client(&running);
    let names: Vec<_> = running.counters.all().filter(|(name, ..)| *name == "panics").collect();
    assert_eq!(names, [("panics", "", 1)]);
}

#[test]
fn a_list_of_names_is_for_servers_that_others_reach() {
    let server = metlog_http::Server::bind("127.0.0.1:0", ServerLimits::default()).expect("a free port");
    let at = server.local_addr();
    let server = server.allow_hosts(["logs.example"]);
    let (_tell, stop) = metlog_pipeline::Stop::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.spawn(server.serve(axum::Router::new().route("/", get(|| async { "in" })), stop));
    for (host, status) in [("logs.example", "200"), ("localhost", "200"), ("x.example", "421")] {
        let mut socket = TcpStream::connect(at).expect("a connection");
        socket
            .write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
            .expect("written");
        let answer = std::io::read_to_string(socket).expect("an answer");
        assert_eq!(answer.split(' ').nth(1), Some(status), "{host}");
    }
}
