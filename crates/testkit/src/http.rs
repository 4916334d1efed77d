//! A web server that answers as a test tells it to, one answer per request, and keeps every request; and one request to
//! somebody else's.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a server said to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// 200, 404 …
    pub status: u16,
    /// In small letters.
    pub head: String,
    /// The body, which must be UTF-8.
    pub body: String,
}

/// Asks a server, over a connection of its own. `head` is the request line without its version, and further headers, each
/// ended by CR LF.
pub fn ask(at: SocketAddr, head: &str, body: impl AsRef<[u8]>) -> Said {
    let ((line, headers), body) = (head.split_once("\r\n").unwrap_or((head, "")), body.as_ref());
    let length = body.len();
    let mut socket = TcpStream::connect(at).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    let head =
        format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    socket.write_all(&[head.as_bytes(), body].concat()).expect("written");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("an answer of UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    Said { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// A request as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `POST`
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The body as it came, compressed or not.
    pub body: Vec<u8>,
    /// Which connection it came over, counted from 0.
    pub connection: usize,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers beside the length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// To wait before.
    pub delay: Duration,
    /// To end the connection: before the answer is written at all, or after it.
    pub close: Close,
}

/// When a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// It is kept.
    Never,
    /// After the answer.
    After,
    /// Without an answer: the request was taken, and the client cannot know.
    Instead,
    /// In the middle of the answer's body.
    Amid,
}

impl Answer {
    /// A status and a body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Answer { status, headers: Vec::new(), body: body.into(), delay: Duration::ZERO, close: Close::Never }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// After a pause.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// And the connection's end.
    #[must_use]
    pub fn close(mut self, close: Close) -> Self {
        self.close = close;
        self
    }
}

/// Decides the answer to a request that no scripted answer is left for.
pub type Handler = Box<dyn FnMut(&Request) -> Answer + Send>;

struct Shared {
    requests: Mutex<Vec<Request>>,
    script: Mutex<VecDeque<Answer>>,
    handler: Mutex<Handler>,
    stop: AtomicBool,
    connections: AtomicUsize,
}

/// The server.
pub struct HttpPeer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HttpPeer {
    /// On a free loopback port; answers every request by `handler`.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn new(handler: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Shared {
            requests: Mutex::default(),
            script: Mutex::default(),
            handler: Mutex::new(Box::new(handler)),
            stop: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
        };
        let mut peer = HttpPeer { address, shared: Arc::new(shared), thread: None };
        peer.serve(listener);
        peer
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers the next requests with these, in order, before the handler is asked again.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.shared.script).extend(answers);
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// Closes the listener and all connections.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the peer's thread does not panic");
        }
    }

    /// Listens again at the same port.
    ///
    /// # Panics
    /// If another process took it meanwhile.
    pub fn start(&mut self) {
        let listener = TcpListener::bind(self.address).expect("its own port");
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        self.shared.stop.store(false, Ordering::SeqCst);
        listener.set_nonblocking(true).expect("non-blocking");
        let shared = self.shared.clone();
        self.thread = Some(std::thread::spawn(move || {
            let mut threads = Vec::new();
            while !shared.stop.load(Ordering::SeqCst) {
                let Ok((connection, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                let shared = shared.clone();
                threads.push(std::thread::spawn(move || {
                    let _ = converse(&connection, number, &shared);
                    let _ = connection.shutdown(Shutdown::Both);
                }));
            }
            for thread in threads {
                thread.join().expect("a connection's thread does not panic");
            }
        }));
    }
}

impl Drop for HttpPeer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn converse(connection: &TcpStream, number: usize, shared: &Shared) -> std::io::Result<()> {
    connection.set_nonblocking(false)?;
    connection.set_read_timeout(Some(Duration::from_millis(5)))?;
    let mut reader = BufReader::new(Patient { connection, shared });
    while let Some(request) = read_request(&mut reader, number)? {
        let answer = match lock(&shared.script).pop_front() {
            Some(answer) => answer,
            None => (lock(&shared.handler))(&request),
        };
        lock(&shared.requests).push(request);
        std::thread::sleep(answer.delay);
        if answer.close == Close::Instead {
            return Ok(());
        }
        let mut head = format!("HTTP/1.1 {} Said\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let amid = if answer.close == Close::Amid { answer.body.len() / 2 } else { answer.body.len() };
        let body = answer.body.get(..amid).unwrap_or_default();
        let mut out = connection;
        out.write_all(&[head.as_bytes(), b"\r\n", body].concat())?;
        if answer.close != Close::Never {
            return Ok(());
        }
    }
    Ok(())
}

/// A connection that is read until the server stops, however long nothing comes.
struct Patient<'a> {
    connection: &'a TcpStream,
    shared: &'a Shared,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let mut connection = self.connection;
            match connection.read(buffer) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if self.shared.stop.load(Ordering::SeqCst) {
                        return Ok(0);
                    }
                }
                other => return other,
            }
        }
    }
}

/// The next request; none at the connection's end. One that ends amid its head or body is an error, not a request.
fn read_request(reader: &mut impl BufRead, connection: usize) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap_or_default().to_owned();
    let mut request = Request { method: word(), target: word(), connection, ..Request::default() };
    loop {
        let line = whole_line(reader)?;
        let Some((name, value)) = line.split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    if request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        loop {
            let line = whole_line(reader)?;
            let length = u64::from_str_radix(&line, 16).map_err(|_| ErrorKind::InvalidData)?;
            read_body(reader, length, &mut request.body)?;
            whole_line(reader)?;
            if length == 0 {
                break;
            }
        }
    } else {
        let length = request.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        read_body(reader, length, &mut request.body)?;
    }
    Ok(Some(request))
}

fn whole_line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.trim_end().to_owned()),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}

fn read_body(reader: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> std::io::Result<()> {
    if reader.take(length).read_to_end(body)? as u64 != length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
