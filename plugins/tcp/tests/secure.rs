//! The clauses of senders again, through TLS.

use metlog_pipeline::{Sender, SenderEntry};
use metlog_tcp as _;
use metlog_testkit::peer::TcpPeer;
use metlog_testkit::{Arrived, Authority, Delivery, Peer, eventually, sample, settings};
use metlog_tls::rustls::pki_types::pem::PemObject;
use metlog_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use metlog_tls::rustls::{ServerConfig, ServerConnection, StreamOwned, crypto};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

/// Takes TLS off in front of a peer that knows none.
struct Front {
    peer: TcpPeer,
    authority: Authority,
    config: Arc<ServerConfig>,
    address: SocketAddr,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Front {
    fn new() -> Self {
        let (peer, authority) = (TcpPeer::new(), Authority::new());
        let paper = authority.paper(&["127.0.0.1"]);
        let chain = CertificateDer::pem_file_iter(&paper.cert).expect("a file").flatten().collect();
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_file(&paper.key).expect("a key"))
            .expect("they fit");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut front = Front { peer, authority, config: Arc::new(config), address, running: None };
        front.serve(listener);
        front
    }

    fn serve(&mut self, listener: TcpListener) {
        listener.set_nonblocking(true).expect("set");
        let stop = Arc::new(AtomicBool::new(false));
        let (told, config, to) = (stop.clone(), self.config.clone(), self.peer.address());
        let thread = std::thread::spawn(move || {
            while !told.load(SeqCst) {
                match listener.accept() {
                    Ok((socket, _)) => {
                        let config = config.clone();
                        // Ends with either of its connections.
                        std::thread::spawn(move || pass(socket, config, to));
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        self.running = Some((stop, thread));
    }

    fn hide(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            stop.store(true, SeqCst);
            thread.join().expect("ends");
        }
    }
}

fn pass(socket: TcpStream, config: Arc<ServerConfig>, to: SocketAddr) {
    socket.set_nonblocking(false).expect("set");
    let Ok(mut peer) = TcpStream::connect(to) else { return };
    let (ends, mut says) = (socket.try_clone().expect("cloned"), peer.try_clone().expect("cloned"));
    std::thread::spawn(move || {
        let _ = says.read_to_end(&mut Vec::new());
        let _ = ends.shutdown(Shutdown::Both);
    });
    let mut stream = StreamOwned::new(ServerConnection::new(config).expect("a connection"), socket);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                if peer.write_all(buffer.get(..count).unwrap_or_default()).is_err() {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let _ = peer.shutdown(Shutdown::Write);
}

impl Drop for Front {
    fn drop(&mut self) {
        self.hide();
    }
}

impl Peer for Front {
    fn sender(&mut self) -> Box<dyn Sender> {
        let ca = self.authority.ca_file();
        let tls = format!("tls = {{ ca_file = '{}', only_ca_file = true }}", ca.display());
        open(&format!("address = '{}'\n{tls}", self.address)).expect("opens")
    }
    fn arrived(&mut self) -> Vec<Arrived> {
        self.peer.lines().iter().map(|line| Arrived::of_json(line)).collect()
    }
    fn delivery(&self) -> Delivery {
        Delivery::Buffered
    }
    fn stop(&mut self) -> bool {
        self.hide();
        self.peer.stop();
        true
    }
    fn start(&mut self) {
        self.peer.start();
        self.serve(TcpListener::bind(self.address).expect("free again"));
    }
    fn slow_down(&mut self, pause: Duration) -> bool {
        self.peer.slow_down(pause);
        true
    }
}

metlog_testkit::contract!(Front::new());

fn open(toml: &str) -> Result<Box<dyn Sender>, String> {
    let entry = SenderEntry::find("tcp").expect("there");
    (entry.read)(&settings(toml)).unwrap_or_else(|problems| panic!("{problems}"))()
}

#[test]
fn a_line_longer_than_a_record_and_a_batch_of_many_records_arrive_as_they_were() {
    let mut front = Front::new();
    let mut sender = front.sender();
    let batch = sample::lines(0, 2000);
    assert!(batch.bytes().len() > 10 * 16 * 1024, "many records");
    sender.send(&batch).expect("sent");
    sender.close(Duration::from_secs(5)).expect("closes");
    assert!(eventually(Duration::from_secs(20), || front.peer.lines().len() == 2000));
    assert_eq!(front.peer.lines().first(), Some(&sample::line(0)));
    assert_eq!(front.peer.lines().last(), Some(&sample::line(1999)));
}

#[test]
fn certificate_files_are_read_before_anything_is_sent() {
    let authority = Authority::new();
    let why = open("tls = { ca_file = 'no/such.pem' }").map(drop).expect_err("there is none");
    assert!(why.starts_with("`tls.ca_file` no/such.pem: cannot be opened"), "{why}");
    let (one, two) = (authority.paper(&["a"]), authority.paper(&["b"]));
    let mixed = format!("tls = {{ client_cert = '{}', client_key = '{}' }}", one.cert.display(), two.key.display());
    let why = open(&mixed).map(drop).expect_err("they do not fit");
    assert!(why.contains("does not belong to the certificate"), "{why}");
    let entry = SenderEntry::find("tcp").expect("there");
    let half = (entry.read)(&settings("tls = { client_cert = 'x' }")).map(drop).expect_err("half a pair").to_string();
    assert!(half.contains("`tls.client_cert` is set without `tls.client_key`"), "{half}");
}
