//! Asking a running router.

use metlog_http::server::keys::not_whole;
use metlog_settings::{Secret, source};
use metlog_tls::Trust;
use metlog_tls::rustls::StreamOwned;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Which router.
#[derive(clap::Args, Debug, Clone)]
pub struct Address {
    /// The router's HTTP address.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5568", env = "METLOG_ROUTER_URL")]
    to: String,
    #[command(flatten)]
    credentials: Credentials,
}

/// Who we are, and whom we trust. The key comes from a file, or from `METLOG_KEY`, never as an argument: everybody on a
/// machine can see those.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct Credentials {
    /// A file with the key to show, where the router asks for one; otherwise that is METLOG_KEY.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Trusts the authorities in this PEM file besides the system's own, where the URL begins https://.
    #[arg(long, alias = "ca", value_name = "FILE", env = "METLOG_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Shows this certificate (PEM, chain included), where the router asks for one.
    #[arg(long, alias = "cert", value_name = "FILE", requires = "client_key", env = "METLOG_CLIENT_CERT")]
    client_cert: Option<PathBuf>,
    /// The private key of the certificate.
    #[arg(long, alias = "key", value_name = "FILE", requires = "client_cert", env = "METLOG_CLIENT_KEY")]
    client_key: Option<PathBuf>,
}

/// For a connection, and for its handshake.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection, safe or not.
type Stream = Box<dyn Connection>;

/// What such a connection can do.
pub trait Connection: Read + Write + std::marker::Send {}

impl<T: Read + Write + std::marker::Send> Connection for T {}

impl Credentials {
    fn secure(&self, host: &str, stream: TcpStream) -> Result<Stream, String> {
        let Credentials { ca_file, client_cert, client_key, .. } = self.clone();
        let trust = Trust { ca_file, client_cert, client_key, ..Trust::default() };
        let trusted = trust.open(OPTION, &[b"http/1.1"]).map_err(as_options)?;
        let patience = stream.read_timeout().map_err(|error| error.to_string())?;
        let tls = metlog_tls::shake_hands(&trusted, host, &stream, Instant::now() + CONNECT).map_err(as_options)?;
        let restored = stream.set_write_timeout(None).and_then(|()| stream.set_read_timeout(patience));
        restored.map_err(|error| error.to_string())?;
        Ok(Box::new(StreamOwned::new(tls, stream)))
    }

    fn read(&self) -> Result<Option<Secret>, String> {
        let (place, text) = match &self.key_file {
            Some(file) => {
                let text = source::read_file(file, 4096).map_err(|problem| problem.to_string())?;
                (file.display().to_string(), text)
            }
            None => match std::env::var("METLOG_KEY") {
                Ok(text) if text.is_empty() => return Ok(None),
                Ok(text) => ("METLOG_KEY".to_owned(), text),
                Err(std::env::VarError::NotPresent) => return Ok(None),
                Err(error) => return Err(format!("METLOG_KEY: {error}")),
            },
        };
        let text = text.trim();
        match not_whole(text) {
            None => Ok(Some(Secret::new(text))),
            Some(why) => Err(format!("{place}: {why}")),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to)
    }
}

/// What stands before the names of settings in error texts; here they are options.
const OPTION: &str = "--";

fn as_options(why: String) -> String {
    ["ca_file", "client_cert", "client_key"]
        .iter()
        .fold(why, |why, name| why.replace(&format!("{OPTION}{name}"), &format!("{OPTION}{}", name.replace('_', "-"))))
}

/// The answer's status and its body, still to be read.
pub struct Answer {
    /// 200 and so on.
    pub status: u16,
    /// What follows.
    pub body: BufReader<Stream>,
}

/// What somebody sees who looks on.
pub enum Sight {
    /// A message, and its place among those that somebody wants.
    Message(Option<u64>, Vec<u8>),
    /// So many went by too fast.
    LeftOut(u64),
}

/// An answer is never longer, except for a stream.
const MOST: u64 = 64 << 20;

impl Address {
    /// The router at this URL.
    pub fn at(url: &str, credentials: &Credentials) -> Self {
        Address { to: url.to_owned(), credentials: credentials.clone() }
    }

    /// Sends a request. HTTP/1.0, so that the end of the connection is the end of the answer.
    ///
    /// # Errors
    /// What happened, with the address.
    pub fn ask(&self, method: &str, path: &str, body: &[u8], patience: Option<Duration>) -> Result<Answer, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", self.to);
        let (tls, rest) = match self.to.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(failed(&"expected a URL such as http://127.0.0.1:5568")),
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let with_port = if has_port { authority.to_owned() } else { format!("{authority}:5568") };
        let host = with_port.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']);
        let found = with_port.to_socket_addrs().map_err(|error| failed(&error))?.next();
        let found = found.ok_or_else(|| failed(&"no such host"))?;
        let key = self.credentials.read()?;
        let key = key.map_or(String::new(), |key| format!("Authorization: Bearer {}\r\n", key.reveal()));
        let ask = || -> io::Result<Answer> {
            let stream = TcpStream::connect_timeout(&found, CONNECT)?;
            stream.set_read_timeout(patience)?;
            let mut stream: Stream = match tls {
                false => Box::new(stream),
                true => self.credentials.secure(host, stream).map_err(io::Error::other)?,
            };
            let head = format!(
                "{method} {path} HTTP/1.0\r\nHost: {authority}\r\nContent-Length: {}\r\nContent-Type: application/json\r\n{key}\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)?;
            let mut body = BufReader::new(stream);
            let status = header(&mut body)?;
            Ok(Answer { status, body })
        };
        ask().map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                failed(&"nobody listens there; is the router running, and is this its `router.http`?")
            }
            _ => match metlog_tls::explain(&error, OPTION) {
                Some(why) => failed(&as_options(why)),
                None => failed(&error),
            },
        })
    }

    /// The whole answer, if it is a good one.
    ///
    /// # Errors
    /// What happened, with the address.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        let mut answer = self.ask("GET", path, &[], Some(Duration::from_secs(10)))?;
        let text = answer.whole().map_err(|error| format!("{}: {error}", self.to))?;
        match answer.status {
            200 => Ok(text),
            status => Err(format!("{}{path} {}", self.to, refusal(status, &text))),
        }
    }
}

/// What a router said instead of yes.
pub fn refusal(status: u16, text: &[u8]) -> String {
    // What is printed came over the network.
    let text: String = String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(1000).collect();
    let hint = if status == 401 { "\ngive it with `--key-file FILE`, or as METLOG_KEY in the environment" } else { "" };
    format!("answers {status}: {text}{hint}")
}

impl Answer {
    /// All of the body.
    ///
    /// # Errors
    /// The connection's.
    pub fn whole(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.body.by_ref().take(MOST).read_to_end(&mut text)?;
        Ok(text)
    }

    /// What somebody who looks on sees next; none at the end of the router.
    ///
    /// # Errors
    /// The connection's.
    pub fn sight(&mut self) -> io::Result<Option<Sight>> {
        let (mut line, mut id, mut sampled) = (String::new(), None, false);
        loop {
            line.clear();
            if self.body.by_ref().take(MOST).read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end().split_once(": ") {
                Some(("id", number)) => id = number.parse().ok(),
                Some(("event", "sampled")) => sampled = true,
                Some(("data", counts)) if sampled => {
                    let counts: Value = serde_json::from_str(counts).unwrap_or_default();
                    let count = |name: &str| counts.get(name).and_then(Value::as_u64).unwrap_or_default();
                    return Ok(Some(Sight::LeftOut(count("seen").saturating_sub(count("sent")))));
                }
                Some(("data", message)) => return Ok(Some(Sight::Message(id, message.as_bytes().to_vec()))),
                _ => {}
            }
        }
    }
}

fn header(body: &mut impl BufRead) -> io::Result<u16> {
    let mut line = String::new();
    body.by_ref().take(8192).read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("this does not speak HTTP"))?;
    for _ in 0..100 {
        line.clear();
        body.by_ref().take(8192).read_line(&mut line)?;
        if line.trim_end().is_empty() {
            break;
        }
    }
    Ok(status)
}
