//! The load: a thousand different messages of about 320 bytes with a number in each, of which every second passes.

use metlog_tls::{Trust, rustls::StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const DIFFERENT: usize = 1000;
const DIGITS: usize = 10;

/// The messages, all in one text, and where each one's number stands.
pub struct Load {
    text: Vec<u8>,
    lines: Vec<(usize, usize)>,
    numbers: Vec<usize>,
}

/// Whether the message of this number passes `severity <= 4` or `type` in counter, timer.
pub fn passes(number: u64) -> bool {
    let (kind, severity) = shape(number as usize % DIFFERENT);
    severity <= 4 || kind != "oldstyle"
}

fn shape(at: usize) -> (&'static str, usize) {
    match at % 8 {
        0 => ("counter", 6),
        1 => ("timer", 6),
        2 => ("oldstyle", 3),
        3 => ("oldstyle", 4),
        _ => ("oldstyle", 5 + at % 3),
    }
}

impl Load {
    /// Makes them.
    pub fn new() -> Self {
        let mut load = Load { text: Vec::new(), lines: Vec::new(), numbers: Vec::new() };
        for at in 0..DIFFERENT {
            let start = load.text.len();
            let (kind, severity) = shape(at);
            let words = "connection from 10.0.3.17 to the session store was slow again and is watched now ";
            let payload = match kind {
                "oldstyle" => format!("\"{} {}\"", words.trim_end(), "x".repeat(at % 40)),
                _ => format!("\"{}\"", at % 90 + 1),
            };
            let before = format!(
                "{{\"type\":\"{kind}\",\"timestamp\":\"2026-11-21T08:00:{:02}.{:06}Z\",\"logger\":\"shop.checkout\",\"severity\":{severity},\
                 \"payload\":{payload},\"fields\":{{\"n\":\"",
                at % 60,
                at * 997
            );
            load.text.extend_from_slice(before.as_bytes());
            load.numbers.push(load.text.len());
            load.text.extend_from_slice(&[b'0'; DIGITS]);
            let pad = if kind == "oldstyle" { 0 } else { 80 };
            let after = format!(
                "\",\"user_id\":{},\"path\":\"/cart/items/{}\",\"name\":\"cart.items{}\",\"rate\":1}},\"env_version\":\"0.8\",\
                 \"metlog_pid\":4711,\"metlog_hostname\":\"web-{:02}\"}}\n",
                at * 31,
                at,
                "y".repeat(pad),
                at % 12
            );
            load.text.extend_from_slice(after.as_bytes());
            load.lines.push((start, load.text.len()));
        }
        load
    }

    /// Writes numbers into so many messages from the first one on, and gives their text.
    pub fn numbered(&mut self, from: u64, count: usize) -> &[u8] {
        let count = count.min(DIFFERENT);
        for at in 0..count {
            let mut number = from + at as u64;
            for place in (0..DIGITS).rev() {
                self.text[self.numbers[at] + place] = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        &self.text[..self.lines[count - 1].1]
    }

    /// Each of them, without its newline.
    pub fn each(&self, count: usize) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().take(count).map(|(start, end)| &self.text[*start..*end - 1])
    }
}

/// Over one TCP connection, as fast as it takes them.
pub fn tcp(port: u16, messages: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    all(&mut stream, messages)?;
    stream.shutdown(Shutdown::Write)?;
    // Its end says that all was read.
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The same in TLS, with whom to trust.
pub fn tls(port: u16, messages: u64, ca_file: PathBuf) -> io::Result<()> {
    let trust = Trust { ca_file: Some(ca_file), ..Trust::default() };
    let trusted = trust.open("", &[]).map_err(io::Error::other)?;
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    let by = Instant::now() + Duration::from_secs(10);
    let session = metlog_tls::shake_hands(&trusted, "127.0.0.1", &socket, by).map_err(io::Error::other)?;
    // The handshake leaves its own.
    socket.set_read_timeout(None)?;
    socket.set_write_timeout(None)?;
    let mut stream = StreamOwned::new(session, socket);
    all(&mut stream, messages)?;
    stream.conn.send_close_notify();
    stream.flush()?;
    stream.sock.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn all(stream: &mut impl Write, messages: u64) -> io::Result<()> {
    let mut load = Load::new();
    (0..messages)
        .step_by(DIFFERENT)
        .try_for_each(|from| stream.write_all(load.numbered(from, (messages - from) as usize)))
}

/// A datagram each, at this rate.
pub fn udp(port: u16, messages: u64, per_second: u64) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", port))?;
    let mut load = Load::new();
    let began = Instant::now();
    for from in (0..messages).step_by(100) {
        // A hundred messages share the text of the same shapes, so the numbers must fit the shapes.
        let shift = (from % DIFFERENT as u64) as usize;
        if shift == 0 {
            load.numbered(from, DIFFERENT);
        }
        for message in load.each(DIFFERENT).skip(shift).take((messages - from).min(100) as usize) {
            while socket.send(message).is_err() {
                std::thread::yield_now();
            }
        }
        let due = Duration::from_secs_f64((from + 100) as f64 / per_second as f64);
        while began.elapsed() < due {
            std::thread::yield_now();
        }
    }
    Ok(())
}

/// Requests of so many messages each, over two connections.
pub fn http(port: u16, messages: u64, each: usize) -> io::Result<()> {
    let half = messages / 2 / DIFFERENT as u64 * DIFFERENT as u64;
    let second = std::thread::spawn(move || requests(port, half, messages, each));
    requests(port, 0, half, each)?;
    second.join().unwrap_or_else(|_| Err(io::Error::other("a sending thread panicked")))
}

fn requests(port: u16, from: u64, to: u64, each: usize) -> io::Result<()> {
    let mut poster = Poster::to(port, "/v1/messages")?;
    let mut load = Load::new();
    for start in (from..to).step_by(DIFFERENT) {
        let count = (to - start).min(DIFFERENT as u64) as usize;
        load.numbered(start, count);
        for first in (0..count).step_by(each) {
            let (begin, _) = load.lines[first];
            let (_, end) = load.lines[(first + each).min(count) - 1];
            poster.post(&load.text[begin..end])?;
        }
    }
    Ok(())
}

/// One body of `each` events again and again, over two connections, until so many events were taken.
pub fn bodies(port: u16, path: &'static str, body: &[u8], each: u64, events: u64) -> io::Result<()> {
    let half = events / each / 2;
    let copy = body.to_vec();
    let second = std::thread::spawn(move || repeat(port, path, &copy, events / each - half));
    repeat(port, path, body, half)?;
    second.join().unwrap_or_else(|_| Err(io::Error::other("a sending thread panicked")))
}

fn repeat(port: u16, path: &str, body: &[u8], times: u64) -> io::Result<()> {
    let mut poster = Poster::to(port, path)?;
    (0..times).try_for_each(|_| poster.post(body))
}

/// One connection, whose next request waits for the answer to the last.
struct Poster {
    stream: TcpStream,
    head: String,
    answer: Vec<u8>,
}

impl Poster {
    fn to(port: u16, path: &str) -> io::Result<Poster> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let head = format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/x-ndjson\r\n");
        Ok(Poster { stream, head, answer: vec![0; 64 * 1024] })
    }

    fn post(&mut self, body: &[u8]) -> io::Result<()> {
        self.stream.write_all(format!("{}Content-Length: {}\r\n\r\n", self.head, body.len()).as_bytes())?;
        self.stream.write_all(body)?;
        let mut came = 0;
        while !whole(&self.answer[..came]) {
            let count = self.stream.read(&mut self.answer[came..])?;
            came += count;
            if count == 0 {
                return Err(io::Error::other(String::from_utf8_lossy(&self.answer[..came]).into_owned()));
            }
        }
        if !self.answer.starts_with(b"HTTP/1.1 200") {
            return Err(io::Error::other(String::from_utf8_lossy(&self.answer[..came]).into_owned()));
        }
        Ok(())
    }
}

/// A value of `/metrics`, by the whole of what stands before it.
pub fn metric(port: u16, name: &str) -> io::Result<u64> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.ok_or_else(|| io::Error::other(format!("no {name} in {page}")))
}

/// Whether an answer is there to its end; its length is always said.
fn whole(answer: &[u8]) -> bool {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    answer.len() >= end + 4 + length.unwrap_or(0)
}

/// Batches at a steady pace over a connection that acknowledges, and how long each took.
pub fn acknowledged(port: u16, batches: u32, each: usize, pace: Duration) -> io::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let mut load = Load::new();
    let mut times = Vec::new();
    let mut answer = [0; 4096];
    let began = Instant::now();
    for batch in 0..batches {
        while began.elapsed() < pace * batch {
            std::hint::spin_loop();
        }
        let text = load.numbered(u64::from(batch) * each as u64, each);
        let sent = Instant::now();
        stream.write_all(text)?;
        let count = stream.read(&mut answer)?;
        if count == 0 {
            return Err(io::Error::other("the router hung up"));
        }
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

/// As a ZeroMQ PUB socket that connects, as the original's clients do.
pub fn zmq(port: u16, messages: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[12..16].copy_from_slice(b"NULL");
    stream.write_all(&greeting)?;
    stream.read_exact(&mut greeting)?;
    stream.write_all(b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB")?;
    // READY, then the subscription: whatever its form, it comes within the time.
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut answer = [0; 1024];
    while stream.read(&mut answer).is_ok_and(|count| count > 0) {}
    let mut load = Load::new();
    let mut frames = Vec::new();
    for from in (0..messages).step_by(DIFFERENT) {
        let count = ((messages - from) as usize).min(DIFFERENT);
        load.numbered(from, count);
        frames.clear();
        for message in load.each(count) {
            frames.push(2);
            frames.extend_from_slice(&(message.len() as u64).to_be_bytes());
            frames.extend_from_slice(message);
        }
        stream.write_all(&frames)?;
    }
    std::thread::sleep(Duration::from_millis(500));
    Ok(())
}
