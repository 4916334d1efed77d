//! TLS, where the mock cluster has none: whoever cannot prove to be the broker gets nothing, least of all a password.

mod common;

use common::PATIENCE;
use metlog_kafka as _;
use metlog_pipeline::{Endpoint, EndpointEntry, InputEntry, SendError, Stop};
use metlog_testkit::authority::Authority;
use metlog_testkit::{Recorder, sample, settings};
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// OpenSSL's own server with a certificate.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn new(cert: &Path, key: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let mut server = Command::new("openssl");
        server
            .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}"), "-cert"])
            .arg(cert)
            .arg("-key")
            .arg(key);
        let process = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("openssl");
        let up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(metlog_testkit::eventually(PATIENCE, up), "it listens");
        Server { process, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(port: u16, more: &str) -> String {
    format!(
        "brokers = ['127.0.0.1:{port}']\ntimeout = '5s'\n\
         login = {{ mechanism = 'scram-sha-512', user = 'u', password = 'hunter2' }}\n{more}\n"
    )
}

fn endpoint(text: &str) -> Box<dyn Endpoint> {
    let entry = EndpointEntry::find("kafka").expect("there");
    (entry.read)(&settings(text)).unwrap_or_else(|problems| panic!("{problems}"))().expect("opens")
}

/// Why nothing goes to or comes from there.
fn paused(port: u16, more: &str) -> String {
    let text = text(port, more);
    let why = match common::put(&mut *endpoint(&text), &sample::lines(0, 10)) {
        Err(SendError::Pause { why }) => why,
        other => panic!("no pause: {other:?}"),
    };
    let entry = InputEntry::find("kafka").expect("there");
    let input =
        (entry.read)(&settings(&(text + "topics = ['metlog']"))).unwrap_or_else(|problems| panic!("{problems}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (_tell, stop) = Stop::new();
    let ended = runtime.block_on(input().expect("opens").run(Recorder::new().inlet(), stop));
    let also = ended.expect_err("the input as well");
    for why in [&why, &also] {
        assert!(why.contains("`tls`") && !why.contains("hunter2"), "{why}");
    }
    why
}

#[test]
fn who_is_not_the_broker_gets_nothing() {
    let (ours, other) = (Authority::new(), Authority::new());
    let trust = format!("tls = {{ ca_file = '{}' }}", ours.ca_file().display());
    let paper = other.paper(&["127.0.0.1"]);
    let stranger = Server::new(&paper.cert, &paper.key);
    let why = paused(stranger.port, &trust);
    assert!(why.contains("certificate"), "{why}");
    // The system's authorities do not know ours either.
    let paper = ours.paper(&["kafka.example"]);
    let elsewhere = Server::new(&paper.cert, &paper.key);
    assert!(paused(elsewhere.port, "tls = {}").contains("certificate"));
    // A right certificate of somebody else.
    let why = paused(elsewhere.port, &trust);
    assert!(why.contains("certificate"), "{why}");
    let paper = ours.paper_of_years(&["127.0.0.1"], 2000, 2001);
    let expired = Server::new(&paper.cert, &paper.key);
    let why = paused(expired.port, &trust);
    assert!(why.contains("certificate"), "{why}");
}

#[test]
fn a_broker_without_tls_gets_no_password() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
    let ear = heard.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut bytes = [0; 1000];
            let count = stream.read(&mut bytes).unwrap_or(0);
            ear.lock().expect("no panic").extend(bytes.iter().take(count));
        }
    });
    let error = common::put(&mut *endpoint(&text(port, "tls = {}")), &sample::lines(0, 10)).expect_err("no TLS");
    assert!(!error.why().contains("hunter2"), "{error}");
    let heard = heard.lock().expect("no panic");
    // A greeting of TLS, and nothing else.
    assert_eq!(heard.first(), Some(&0x16));
    assert!(!heard.windows(7).any(|part| part == b"hunter2"));
}

#[test]
fn files_are_read_before_they_are_needed() {
    let ours = Authority::new();
    let wrong = ours.file("wrong.pem", "this is no certificate");
    for (more, words) in [
        (format!("tls = {{ ca_file = '{}' }}", wrong.display()), "no `CERTIFICATE` in it"),
        ("tls = { ca_file = 'no/such/file' }".to_owned(), "no/such/file"),
    ] {
        let entry = EndpointEntry::find("kafka").expect("there");
        let why = (entry.examine)(&settings(&text(9092, &more))).expect_err("wrong").to_string();
        assert!(why.contains(words), "{why}");
    }
    let right = text(9092, &format!("tls = {{ ca_file = '{}' }}", ours.ca_file().display()));
    let entry = EndpointEntry::find("kafka").expect("there");
    assert!((entry.examine)(&settings(&right)).is_ok());
}
