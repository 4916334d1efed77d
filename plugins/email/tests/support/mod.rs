//! What the tests share: an authority with a server's certificate, and the endpoint as the router drives it.

use metlog_message::{Lines, Message, wire};
use metlog_pipeline::{Endpoint, EndpointEntry, Picked, SendError};
use metlog_testkit::settings;
use metlog_testkit::smtp::{Mail, SmtpPeer, Upgrade, Wire, base64};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A server's certificate for these names, and the file of the authority that has signed it.
pub fn encryption(test: &str, names: &[&str]) -> (Upgrade, PathBuf) {
    let mut params = CertificateParams::new(Vec::new()).expect("names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.pem"));
    std::fs::write(&file, authority.pem()).expect("written");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(names).expect("names").signed_by(&key, &authority).expect("signed");
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .expect("a certificate");
    let config = Arc::new(config);
    let upgrade: Upgrade = Arc::new(move |mut stream: TcpStream| {
        let quick = stream.read_timeout()?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut connection = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        stream.set_read_timeout(quick)?;
        let wire: Box<dyn Wire> = Box::new(StreamOwned::new(connection, stream));
        Ok(wire)
    });
    (upgrade, file)
}

/// Of a server on this machine, unencrypted; `more` comes after that.
pub fn open(peer: &SmtpPeer, more: &str) -> Router {
    try_open(&format!("{}\n{more}", address(peer))).expect("opens")
}

pub fn address(peer: &SmtpPeer) -> String {
    format!(
        "server = '127.0.0.1'\nport = {}\ntls = 'none'\nfrom = 'metlog@example.org'\nto = ['ops@example.org']",
        peer.address().port()
    )
}

pub fn try_open(toml: &str) -> Result<Router, String> {
    let entry = EndpointEntry::find("email").expect("registered");
    // A later line wins, so that a test can change what it is given.
    let mut lines: Vec<(&str, &str)> = Vec::new();
    for line in toml.lines().filter(|line| !line.trim().is_empty()) {
        let key = line.split(" = ").next().unwrap_or_default();
        lines.retain(|(known, _)| *known != key);
        lines.push((key, line));
    }
    let toml: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
    let endpoint = (entry.read)(&settings(&toml)).map_err(|problems| problems.to_string())?()?;
    Ok(Router { endpoint, next: 1 })
}

/// Gives out ids as the spool does.
pub struct Router {
    pub endpoint: Box<dyn Endpoint>,
    next: u64,
}

impl Router {
    /// One try with these messages; the next one has other ids.
    pub fn write(&mut self, messages: &[Message]) -> Result<(), SendError> {
        let result = self.try_write(messages);
        self.next += messages.len() as u64;
        result
    }

    /// One try; the next one has the same ids.
    pub fn try_write(&mut self, messages: &[Message]) -> Result<(), SendError> {
        let lines: Lines = messages.iter().map(line).collect();
        let ids: Vec<u64> = (self.next..self.next + messages.len() as u64).collect();
        self.endpoint.write(&Picked::new(&lines, &ids))
    }
}

pub fn line(message: &Message) -> Vec<u8> {
    let mut line = Vec::new();
    wire::write(&mut line, message);
    line
}

/// The body as a person reads it.
pub fn body(mail: &Mail) -> String {
    String::from_utf8(base64(mail.body()).expect("base64")).expect("UTF-8")
}
