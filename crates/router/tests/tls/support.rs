//! Who connects, and who is connected to.

use metlog_testkit::Paper;
use metlog_tls::Trust;
use metlog_tls::rustls::pki_types::pem::PemObject;
use metlog_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use metlog_tls::rustls::server::WebPkiClientVerifier;
use metlog_tls::rustls::{ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned, crypto};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Generous: the machine may be slow.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Trusts one authority and nobody else.
pub fn trusting(ca_file: PathBuf) -> Trust {
    Trust { ca_file: Some(ca_file), only_ca_file: true, ..Trust::default() }
}

pub type Safe = StreamOwned<ClientConnection, TcpStream>;

/// A connection to this machine, as one to that host.
pub fn connect(port: u16, trust: &Trust, host: &str) -> Result<Safe, String> {
    let socket = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    over(socket, trust, host)
}

pub fn over(socket: TcpStream, trust: &Trust, host: &str) -> Result<Safe, String> {
    let trusted = trust.open("", &[])?;
    let tls = metlog_tls::shake_hands(&trusted, host, &socket, Instant::now() + PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    socket.set_write_timeout(Some(PATIENCE)).expect("set");
    Ok(StreamOwned::new(tls, socket))
}

/// Sends text over it and gives what is answered, up to the connection's end. `last`: says that this was all, which lines
/// need to have an end, and which ends an HTTP request whether it was answered or not.
pub fn say(mut stream: Safe, text: &str, last: bool) -> std::io::Result<String> {
    stream.write_all(text.as_bytes())?;
    if last {
        stream.conn.send_close_notify();
    }
    stream.flush()?;
    let mut answer = Vec::new();
    // A server may hang up without a word of TLS for it.
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

/// A message by POST, in a request that ends its connection.
pub fn post(message: &str) -> String {
    format!(
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{message}",
        message.len()
    )
}

/// What a peer sends before TLS begins.
#[derive(Clone, Copy)]
pub enum Before {
    Nothing,
    /// To the question whether it speaks TLS: yes.
    Postgres,
    /// Unasked, that it wants TLS.
    Nats,
}

/// How a peer goes on.
#[derive(Clone)]
pub enum Way {
    /// With this certificate, asking for one of this authority.
    Tls(Paper, Option<PathBuf>),
    Plaintext,
    HangUp,
    Silence,
    /// As one that knows no TLS newer than 1.1.
    TooOld,
}

/// A peer of the router's endpoints. It takes whatever is sent to it.
pub struct Peer {
    pub port: u16,
    way: Arc<Mutex<Way>>,
    got: Arc<Mutex<Vec<u8>>>,
}

impl Peer {
    pub fn new(before: Before, way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (way, got) = (Arc::new(Mutex::new(way)), Arc::<Mutex<Vec<u8>>>::default());
        let (now, into) = (way.clone(), got.clone());
        // It ends with the process, as the connections it waits for.
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (way, into) = (now.lock().unwrap_or_else(PoisonError::into_inner).clone(), into.clone());
                std::thread::spawn(move || converse(socket, before, port, &way, &into));
            }
        });
        Peer { port, way, got }
    }

    pub fn mend(&self, way: Way) {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = way;
    }

    /// What was sent to it through TLS.
    pub fn got(&self) -> String {
        String::from_utf8_lossy(&self.got.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

fn converse(mut socket: TcpStream, before: Before, port: u16, way: &Way, into: &Mutex<Vec<u8>>) {
    let _ = socket.set_read_timeout(Some(PATIENCE));
    match before {
        Before::Nothing => {}
        Before::Postgres => {
            let _ = socket.read_exact(&mut [0; 8]);
            let _ = socket.write_all(b"S");
        }
        Before::Nats => {
            let info = format!(
                "INFO {{\"server_id\":\"x\",\"version\":\"2.10.0\",\"go\":\"go\",\"host\":\"127.0.0.1\",\"port\":{port},\
                 \"headers\":true,\"max_payload\":1048576,\"proto\":1,\"tls_required\":true}}\r\n"
            );
            let _ = socket.write_all(info.as_bytes());
        }
    }
    let mut buffer = [0; 4096];
    match way {
        Way::HangUp => {}
        Way::Silence => drop(socket.read_to_end(&mut Vec::new())),
        Way::Plaintext => {
            let _ = socket.read(&mut buffer);
            let _ = socket.write_all(b"220 this is no TLS\r\n");
            let _ = socket.read(&mut buffer);
        }
        Way::TooOld => {
            let _ = socket.read(&mut buffer);
            // A fatal alert of TLS 1.1: protocol_version.
            let _ = socket.write_all(&[0x15, 3, 2, 0, 2, 2, 70]);
            let _ = socket.read(&mut buffer);
        }
        Way::Tls(paper, ca) => {
            let server = ServerConnection::new(Arc::new(config(paper, ca.as_ref()))).expect("a connection");
            let mut stream = StreamOwned::new(server, socket);
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
            }
        }
    }
}

fn config(paper: &Paper, ca: Option<&PathBuf>) -> ServerConfig {
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.expect("versions");
    let builder = match ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            let found: Vec<_> = CertificateDer::pem_file_iter(path).expect("a file").flatten().collect();
            assert_eq!(roots.add_parsable_certificates(found), (1, 0));
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let chain = CertificateDer::pem_file_iter(&paper.cert).expect("a file").flatten().collect();
    builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(&paper.key).expect("a key")).expect("they fit")
}

/// As many open files as the system lets us have.
pub fn more_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("it is allowed");
}

/// A connection from an address of our own, of which the loopback has sixteen million.
pub fn from(address: &str, port: u16) -> TcpStream {
    let own: SocketAddr = format!("{address}:0").parse().expect("an address");
    let to: SocketAddr = format!("127.0.0.1:{port}").parse().expect("an address");
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&own.into()).expect("ours");
    socket.connect(&to.into()).expect("connects");
    socket.into()
}

/// The beginning of every handshake: a ClientHello as one writes it who knows nothing newer than this version. TLS knows extensions since 1.2, and nobody before needs any.
pub fn hello(version: [u8; 2], extended: bool) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    // No session; one cipher, AES with SHA-1; no compression; which signatures are understood.
    body.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let extensions = [0, 13, 0, 6, 0, 4, 4, 1, 2, 1];
    if extended {
        body.extend([0, extensions.len() as u8]);
        body.extend(extensions);
    }
    let mut hello = vec![0x16, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
    hello.extend(body);
    hello
}
