//! The client against servers that answer by script, and over TLS.

use metlog_http::{Address, Blocking, Codec, Compress, Connection, Key, Options, Post, Reply, Trouble};
use metlog_settings::Secret;
use metlog_testkit::http::{Answer, Close, HttpPeer};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned, crypto};

fn ok() -> HttpPeer {
    HttpPeer::new(|_| Answer::new(200, "{}"))
}

fn client(url: &str, options: Options) -> Blocking {
    Blocking::new(Address::parse("url", url).expect("a URL"), options).expect("a client")
}

fn post(client: &mut Blocking, body: &[u8], codec: Codec) -> Result<Reply, Trouble> {
    client.post(Post { content_type: "application/json", body: body.to_vec(), compress: Compress::always(codec) })
}

fn plain(client: &mut Blocking) -> Result<Reply, Trouble> {
    post(client, b"{}", Codec::None)
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, text).expect("a file");
    path
}

#[test]
fn requests_share_a_connection_and_say_who_asks() {
    let peer = ok();
    let mut client = client(&format!("{}/in?a=1", peer.url()), Options::default());
    for _ in 0..3 {
        assert_eq!(plain(&mut client).expect("taken").status, 200);
    }
    let requests = peer.requests();
    assert_eq!(requests.iter().map(|request| request.connection).collect::<Vec<_>>(), [0, 0, 0]);
    let first = &requests[0];
    assert_eq!((first.method.as_str(), first.target.as_str()), ("POST", "/in?a=1"));
    assert_eq!(first.header("host"), Some(peer.address().to_string().as_str()));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("content-length"), Some("2"));
    assert!(first.header("user-agent").is_some_and(|agent| agent.starts_with("metlog/")));
    assert_eq!(first.header("authorization"), None);
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced_without_a_word() {
    let peer = ok();
    peer.script([Answer::new(200, "").close(Close::After)]);
    let mut client = client(&peer.url(), Options::default());
    plain(&mut client).expect("taken");
    plain(&mut client).expect("taken over a new connection");
    assert_eq!(peer.requests().iter().map(|request| request.connection).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_connection_that_breaks_instead_of_an_answer_is_worth_a_retry() {
    let peer = ok();
    peer.script([Answer::new(200, "").close(Close::Instead)]);
    let mut client = client(&peer.url(), Options::default());
    assert!(matches!(plain(&mut client), Err(Trouble::Retry { why, .. }) if why.contains("broke before an answer")));
    plain(&mut client).expect("taken");
}

#[test]
fn a_body_cut_short_does_not_undo_the_status() {
    let peer = ok();
    peer.script([Answer::new(200, "x".repeat(1000)).close(Close::Amid)]);
    let mut client = client(&peer.url(), Options::default());
    let reply = plain(&mut client).expect("taken");
    assert!(reply.cut && reply.body.len() == 500, "{reply:?}");
    assert!(!plain(&mut client).expect("taken").cut);
}

#[test]
fn of_a_long_answer_the_start_is_kept() {
    let peer = HttpPeer::new(|_| Answer::new(200, "x".repeat(300_000)));
    let mut client = client(&peer.url(), Options { reply_limit: 100, ..Options::default() });
    for _ in 0..2 {
        let reply = plain(&mut client).expect("taken");
        assert_eq!((reply.body.len(), reply.cut), (100, true));
    }
    assert_eq!(peer.requests()[1].connection, 0, "the rest was read away, the connection kept");
}

#[test]
fn a_header_is_heard_whatever_the_status() {
    let peer = ok();
    let limits = |status| Answer::new(status, "").header("X-Limits", &format!("{status}s"));
    peer.script([limits(429), limits(200), Answer::new(200, "")]);
    let mut client = client(&peer.url(), Options { hear: Some("x-limits"), ..Options::default() });
    assert_eq!(client.heard(), None);
    assert!(plain(&mut client).is_err());
    assert_eq!(client.heard(), Some("429s"));
    plain(&mut client).expect("taken");
    assert_eq!(client.heard(), Some("200s"));
    plain(&mut client).expect("taken");
    assert_eq!(client.heard(), None, "of the latest answer alone");
}

#[test]
fn a_slow_answer_and_a_silent_host_cost_no_more_than_their_time() {
    let peer = HttpPeer::new(|_| Answer::new(200, "").delay(Duration::from_secs(1)));
    let mut slow = client(&peer.url(), Options { timeout: Duration::from_millis(200), ..Options::default() });
    let began = Instant::now();
    assert!(matches!(plain(&mut slow), Err(Trouble::Retry { why, .. }) if why.contains("no answer within 200ms")));
    assert!(began.elapsed() < Duration::from_millis(900));

    // A full backlog: the handshake is never answered. TLS, so that silence after it counts as well.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("https://{}", silent.local_addr().expect("an address"));
    let (certificate, _) = identity();
    let connection = Connection {
        connect_timeout: metlog_settings::Span(Duration::from_millis(200)),
        ca_file: Some(file("silent.pem", &certificate)),
        ..Connection::default()
    };
    let mut client = client(&url, Options { connection, ..Options::default() });
    let began = Instant::now();
    assert!(
        matches!(plain(&mut client), Err(Trouble::Retry { why, .. }) if why.contains("no connection within 200ms"))
    );
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn redirects_are_not_followed_and_waits_are_passed_on() {
    let (peer, other) = (ok(), ok());
    peer.script([
        Answer::new(301, "").header("Location", &format!("{}/in", other.url())),
        Answer::new(503, "busy").header("Retry-After", "7"),
        Answer::new(429, "").header("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"),
        Answer::new(422, "{\"detail\":\"no\"}"),
    ]);
    let mut client = client(&peer.url(), Options::default());
    assert!(matches!(plain(&mut client), Err(Trouble::Pause { why, .. }) if why.contains("never redirected")));
    assert!(other.requests().is_empty());
    match plain(&mut client) {
        Err(Trouble::Retry { why, after }) => {
            assert_eq!(after, Some(Duration::from_secs(7)));
            assert!(why.ends_with("answered 503 Service Unavailable: busy"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(plain(&mut client), Err(Trouble::Retry { after: Some(Duration::ZERO), .. })));
    assert!(matches!(plain(&mut client), Err(Trouble::Refuse { status: 422, why }) if why.contains("\"detail\"")));
}

#[test]
fn auto_compression_finds_what_the_peer_understands() {
    let peer = HttpPeer::new(|request| match request.header("content-encoding") {
        Some("zstd") => Answer::new(415, ""),
        _ => Answer::new(200, ""),
    });
    let mut client = client(&peer.url(), Options::default());
    let body = vec![b'a'; 5000];
    post(&mut client, &body, Codec::Auto).expect("taken as gzip");
    post(&mut client, &body, Codec::Auto).expect("taken as gzip");
    let requests = peer.requests();
    let codings: Vec<_> = requests.iter().map(|request| request.header("content-encoding")).collect();
    assert_eq!(codings, [Some("zstd"), Some("gzip"), Some("gzip")], "it is asked once");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(requests[2].body.as_slice()).read_to_end(&mut text).expect("gzip");
    assert_eq!(text, body);
    assert!(matches!(post(&mut client, &body, Codec::Zstd), Err(Trouble::Pause { status: Some(415), .. })));
}

#[test]
fn a_key_file_is_read_again_after_a_refusal_and_no_answer_repeats_the_key() {
    let peer = HttpPeer::new(|request| match request.header("authorization") {
        Some("Bearer new-key") => Answer::new(200, ""),
        other => Answer::new(401, format!("bad {}", other.unwrap_or("none"))),
    });
    let path = file("key", "old-key\n");
    let key = Key::bearer("key", None, Some(path.clone())).expect("a key");
    let mut client = client(&peer.url(), Options { key, ..Options::default() });
    match plain(&mut client) {
        Err(Trouble::Pause { why, status }) => {
            assert_eq!(status, Some(401));
            assert!(why.contains("bad Bearer ***") && !why.contains("old-key"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    std::fs::write(&path, "new-key").expect("written");
    plain(&mut client).expect("taken with the new key");
}

#[test]
fn basic_authentication_and_headers_of_the_operator_are_sent() {
    let peer = ok();
    let key = Key::basic(Some("Aladdin".into()), Some(Secret::new("open sesame")), None).expect("a key");
    let headers = [("X-Scope".to_owned(), Secret::new("a"))].into();
    let connection = Connection { headers, ..Connection::default() };
    let mut client = client(&peer.url(), Options { key, connection, ..Options::default() });
    plain(&mut client).expect("taken");
    let requests = peer.requests();
    assert_eq!(requests[0].header("authorization"), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    assert_eq!(requests[0].header("x-scope"), Some("a"));
}

/// A certificate for `localhost` that vouches for itself, and its key.
fn identity() -> (String, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_der())
}

/// Answers one request over TLS on each of so many connections. Gives its port and its certificate.
fn tls_server(connections: usize) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("an identity");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming().take(connections).flatten() {
            let session = ServerConnection::new(config.clone()).expect("a session");
            let mut stream = StreamOwned::new(session, stream);
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !request.ends_with(b"\r\n\r\n{}") {
                match stream.read(&mut buffer) {
                    Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret");
        }
    });
    (port, made.cert.pem())
}

#[test]
fn tls_goes_to_whom_it_was_told_to_trust_and_nobody_else() {
    let (port, certificate) = tls_server(3);
    let to = |host: &str, certificate: &str, name: &str| {
        let connection = Connection { ca_file: Some(file(name, certificate)), ..Connection::default() };
        client(&format!("https://{host}:{port}"), Options { connection, ..Options::default() })
    };
    assert_eq!(plain(&mut to("localhost", &certificate, "right.pem")).expect("taken").body, b"secret");
    let (stranger, _) = identity();
    for mut wrong in [to("localhost", &stranger, "stranger.pem"), to("127.0.0.1", &certificate, "name.pem")] {
        assert!(matches!(plain(&mut wrong), Err(Trouble::Retry { why, .. }) if why.contains("TLS handshake failed")));
    }
}

#[test]
fn certificate_files_are_checked_before_anything_is_opened() {
    let address = || Address::parse("url", "https://localhost").expect("a URL");
    let open = |connection| Blocking::new(address(), Options { connection, ..Options::default() }).err();
    let empty = file("empty.pem", "nothing\n");
    let told = open(Connection { ca_file: Some(empty.clone()), ..Connection::default() }).expect("refused");
    assert!(told.contains("`connection.ca_file`") && told.contains("no certificate"), "{told}");
    let (certificate, _) = identity();
    let ca_file = Some(file("half.pem", &certificate));
    let told = open(Connection { ca_file, client_cert: Some(empty), ..Connection::default() }).expect("refused");
    assert!(told.contains("without `connection.client_key`"), "{told}");
}
