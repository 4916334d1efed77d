//! Where the messages end up, and what is missing or wrong there.

use super::load::passes;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Which numbers came.
pub struct Seen {
    came: Vec<u8>,
    /// Messages so far.
    pub count: u64,
    wrong: u64,
}

impl Seen {
    /// Of so many.
    pub fn new(messages: u64) -> Self {
        Seen { came: vec![0; messages as usize], count: 0, wrong: 0 }
    }

    /// Takes a line.
    pub fn line(&mut self, line: &[u8]) {
        let at = memchr::memmem::find(line, b"\"n\":\"").map(|at| at + 5);
        let number = at.and_then(|at| std::str::from_utf8(line.get(at..at + 10)?).ok()?.parse::<u64>().ok());
        let whole = line.first() == Some(&b'{') && line.last() == Some(&b'}');
        match number.and_then(|number| Some((number, self.came.get_mut(number as usize)?))) {
            Some((number, came)) if whole && *came == 0 && passes(number) => *came = 1,
            _ => self.wrong += 1,
        }
        self.count += 1;
    }

    /// Lost and wrong.
    pub fn verdict(&self) -> (u64, u64) {
        let lost = (0..).zip(&self.came).filter(|(number, came)| **came == 0 && passes(*number)).count();
        (lost as u64, self.wrong)
    }
}

/// Reads a file of lines.
pub fn file(path: &Path, messages: u64) -> io::Result<Seen> {
    let mut seen = Seen::new(messages);
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        seen.line(line.strip_suffix(b"\n").unwrap_or(&line));
        line.clear();
    }
    Ok(seen)
}

/// A server that answers 200 to everything, and keeps the bodies for later so that it costs little now.
pub struct Http {
    /// Its port.
    pub port: u16,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Lines so far, of bodies that came plain.
    pub lines: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Http {
    /// Starts it.
    pub fn start() -> io::Result<Http> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let http = Http {
            port: listener.local_addr()?.port(),
            bodies: Arc::default(),
            lines: Arc::default(),
            stop: Arc::default(),
        };
        let (bodies, lines, stop) = (http.bodies.clone(), http.lines.clone(), http.stop.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Relaxed) {
                    return;
                }
                let (bodies, lines) = (bodies.clone(), lines.clone());
                std::thread::spawn(move || serve(stream, &bodies, &lines));
            }
        });
        Ok(http)
    }

    /// All lines, once everything is over.
    pub fn seen(&self, messages: u64) -> Seen {
        let mut seen = Seen::new(messages);
        for body in &*self.bodies.lock().expect("whole") {
            body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| seen.line(line));
        }
        seen
    }
}

fn serve(stream: TcpStream, bodies: &Mutex<Vec<Vec<u8>>>, lines: &AtomicU64) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::with_capacity(256 * 1024, stream);
    loop {
        let (mut length, mut packed) = (0, false);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            packed |= line.starts_with("content-encoding:");
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        if packed {
            body = zstd::decode_all(&body[..]).ok()?;
        }
        lines.fetch_add(memchr::memchr_iter(b'\n', &body).count() as u64, Relaxed);
        bodies.lock().expect("whole").push(body);
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?;
    }
}
