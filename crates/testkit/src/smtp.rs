//! A mail server on loopback that speaks SMTP, keeps what it is given, and fails where a test says so.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A mail as it was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// `MAIL FROM`
    pub from: String,
    /// `RCPT TO`, those that were accepted.
    pub to: Vec<String>,
    /// Head and body, without the dots that were added for the way.
    pub text: Vec<u8>,
    /// User and password of the session.
    pub user: Option<(String, String)>,
    /// Whether the session was encrypted.
    pub encrypted: bool,
    /// Which connection it came over, counted from 0.
    pub connection: usize,
}

impl Mail {
    /// A header's lines put together again, as they stand.
    pub fn header(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.text);
        let head = text.split_once("\r\n\r\n").map_or(&*text, |(head, _)| head).replace("\r\n ", " ");
        head.split("\r\n").find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    /// The names of all headers, in order.
    pub fn header_names(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.text);
        let head = text.split_once("\r\n\r\n").map_or(&*text, |(head, _)| head);
        let lines = head.split("\r\n").filter(|line| !line.starts_with(' '));
        lines.map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
    }

    /// The body as it stands.
    pub fn body(&self) -> &[u8] {
        let at = self.text.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        at.and_then(|at| self.text.get(at + 4..)).unwrap_or_default()
    }
}

/// Where in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The greeting.
    Connect,
    /// After `EHLO`.
    Ehlo,
    /// After `STARTTLS`.
    StartTls,
    /// After `AUTH` and all that belongs to it.
    Auth,
    /// After `MAIL FROM`.
    Mail,
    /// After `RCPT TO`.
    Rcpt,
    /// After `DATA`.
    Data,
    /// After the mail.
    End,
}

/// What to do there instead of what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Says this, line ends included, and does not do what was asked.
    Say(String),
    /// Says nothing until the server stops or the client has gone.
    Hang,
    /// Says one byte now and then, for ever.
    Drip,
    /// Ends the connection.
    Drop,
}

impl Act {
    /// A reply of one line.
    pub fn reply(code: u16, words: &str) -> Self {
        Act::Say(format!("{code} {words}\r\n"))
    }
}

/// Either side of an encrypted connection.
pub trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

/// Makes an encrypted connection of a plain one.
pub type Upgrade = Arc<dyn Fn(TcpStream) -> std::io::Result<Box<dyn Wire>> + Send + Sync>;

/// What the server offers.
#[derive(Clone, Default)]
pub struct Offers {
    /// Takes `STARTTLS` and then goes on so.
    pub start_tls: Option<Upgrade>,
    /// Encrypted from the first byte.
    pub tls: Option<Upgrade>,
    /// Mechanisms of `AUTH`; `PLAIN` and `LOGIN` are understood.
    pub auth: Vec<&'static str>,
    /// The one user and password that are right.
    pub user: Option<(&'static str, &'static str)>,
    /// The largest mail.
    pub size: Option<usize>,
}

struct Shared {
    offers: Offers,
    mails: Mutex<Vec<Mail>>,
    lines: Mutex<Vec<String>>,
    script: Mutex<BTreeMap<Stage, VecDeque<Act>>>,
    recipients: Mutex<BTreeMap<String, VecDeque<Act>>>,
    stop: AtomicBool,
    connections: AtomicUsize,
}

/// The server.
pub struct SmtpPeer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const TICK: Duration = Duration::from_millis(5);

impl SmtpPeer {
    /// On a free loopback port.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(offers: Offers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Shared {
            offers,
            mails: Mutex::default(),
            lines: Mutex::default(),
            script: Mutex::default(),
            recipients: Mutex::default(),
            stop: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
        };
        let mut peer = SmtpPeer { address, shared: Arc::new(shared), thread: None };
        peer.serve(listener);
        peer
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All mails so far.
    pub fn mails(&self) -> Vec<Mail> {
        lock(&self.shared.mails).clone()
    }

    /// Every line of every session that was no part of a mail, as it came; of encrypted ones behind `tls `.
    pub fn lines(&self) -> Vec<String> {
        lock(&self.shared.lines).clone()
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Does this the next times it gets there, once each.
    pub fn script(&self, stage: Stage, acts: impl IntoIterator<Item = Act>) {
        lock(&self.shared.script).entry(stage).or_default().extend(acts);
    }

    /// Does this the next times this recipient is named, once each.
    pub fn recipient(&self, address: &str, acts: impl IntoIterator<Item = Act>) {
        lock(&self.shared.recipients).entry(address.to_owned()).or_default().extend(acts);
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
                    std::thread::sleep(TICK);
                    continue;
                };
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                let shared = shared.clone();
                threads.push(std::thread::spawn(move || {
                    // How a session ends shows in what was taken.
                    let _ = Session::run(&connection, number, &shared);
                    let _ = connection.shutdown(Shutdown::Both);
                }));
            }
            for thread in threads {
                thread.join().expect("a connection's thread does not panic");
            }
        }));
    }
}

impl Drop for SmtpPeer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A connection that is read until the server stops, however long nothing comes.
struct Patient {
    wire: Box<dyn Wire>,
    shared: Arc<Shared>,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.wire.read(buffer) {
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

struct Session<'a> {
    shared: &'a Arc<Shared>,
    raw: &'a TcpStream,
    reader: BufReader<Patient>,
    number: usize,
    encrypted: bool,
    user: Option<(String, String)>,
    from: Option<String>,
    to: Vec<String>,
}

/// The session goes on, or is over.
type Goes = std::io::Result<bool>;

impl<'a> Session<'a> {
    fn run(raw: &'a TcpStream, number: usize, shared: &'a Arc<Shared>) -> std::io::Result<()> {
        raw.set_nonblocking(false)?;
        raw.set_read_timeout(Some(TICK))?;
        let wire: Box<dyn Wire> = match &shared.offers.tls {
            Some(upgrade) => upgrade(raw.try_clone()?)?,
            None => Box::new(raw.try_clone()?),
        };
        let encrypted = shared.offers.tls.is_some();
        let reader = BufReader::new(Patient { wire, shared: shared.clone() });
        let mut session = Session { shared, raw, reader, number, encrypted, user: None, from: None, to: Vec::new() };
        let mut goes = match session.acts(Stage::Connect)? {
            Some(goes) => goes,
            None => session.say("220 played.example ESMTP\r\n")?,
        };
        while goes {
            let Some(line) = session.line()? else { break };
            goes = session.command(&line)?;
        }
        Ok(())
    }

    fn say(&mut self, text: &str) -> Goes {
        let wire = &mut self.reader.get_mut().wire;
        wire.write_all(text.as_bytes())?;
        wire.flush()?;
        Ok(true)
    }

    /// What the script has for this stage; none: what is right.
    fn acts(&mut self, stage: Stage) -> std::io::Result<Option<bool>> {
        let act = lock(&self.shared.script).get_mut(&stage).and_then(VecDeque::pop_front);
        act.map(|act| self.act(act)).transpose()
    }

    fn act(&mut self, act: Act) -> Goes {
        match act {
            Act::Say(text) => self.say(&text),
            Act::Drop => Ok(false),
            Act::Hang => {
                while self.reader.get_mut().read(&mut [0; 1024])? > 0 {}
                Ok(false)
            }
            Act::Drip => {
                while !self.shared.stop.load(Ordering::SeqCst) {
                    self.say("2")?;
                    std::thread::sleep(TICK * 4);
                }
                Ok(false)
            }
        }
    }

    /// A line without its end; only CR and LF together are one.
    fn line(&mut self) -> std::io::Result<Option<String>> {
        let Some(line) = self.raw_line()? else { return Ok(None) };
        let text = String::from_utf8_lossy(&line).into_owned();
        let secret = if self.encrypted { "tls " } else { "" };
        lock(&self.shared.lines).push(format!("{secret}{text}"));
        Ok(Some(text))
    }

    fn raw_line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
        }
        line.truncate(line.len() - 2);
        Ok(Some(line))
    }

    fn command(&mut self, line: &str) -> Goes {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word.to_ascii_uppercase().as_str() {
            "EHLO" => self.ehlo(),
            "HELO" | "NOOP" => self.say("250 fine\r\n"),
            "STARTTLS" => self.start_tls(),
            "AUTH" => self.auth(rest),
            "MAIL" => self.mail(rest),
            "RCPT" => self.rcpt(rest),
            "DATA" => self.data(),
            "RSET" => {
                (self.from, self.to) = (None, Vec::new());
                self.say("250 forgotten\r\n")
            }
            "QUIT" => self.say("221 bye\r\n").map(|_| false),
            _ => self.say("500 what?\r\n"),
        }
    }

    fn ehlo(&mut self) -> Goes {
        if let Some(goes) = self.acts(Stage::Ehlo)? {
            return Ok(goes);
        }
        let offers = &self.shared.offers;
        let mut lines = vec!["played.example".to_owned(), "8BITMIME".to_owned()];
        if offers.start_tls.is_some() && !self.encrypted {
            lines.push("STARTTLS".into());
        }
        if !offers.auth.is_empty() {
            lines.push(format!("AUTH {}", offers.auth.join(" ")));
        }
        lines.extend(offers.size.map(|size| format!("SIZE {size}")));
        let last = lines.len() - 1;
        let lines = lines.iter().enumerate();
        let text: String =
            lines.map(|(at, line)| format!("250{}{line}\r\n", if at < last { '-' } else { ' ' })).collect();
        self.say(&text)
    }

    fn start_tls(&mut self) -> Goes {
        if let Some(goes) = self.acts(Stage::StartTls)? {
            return Ok(goes);
        }
        let Some(upgrade) = self.shared.offers.start_tls.clone().filter(|_| !self.encrypted) else {
            return self.say("502 not here\r\n");
        };
        self.say("220 go ahead\r\n")?;
        let wire = upgrade(self.raw.try_clone()?)?;
        // What was read already was not encrypted, and is forgotten with the old reader.
        self.reader = BufReader::new(Patient { wire, shared: self.shared.clone() });
        (self.encrypted, self.user, self.from) = (true, None, None);
        Ok(true)
    }

    fn auth(&mut self, rest: &str) -> Goes {
        let mut words = rest.split(' ');
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        let given = match (mechanism.as_str(), words.next()) {
            ("PLAIN", Some(initial)) => plain(initial),
            ("PLAIN", None) => {
                self.say("334 \r\n")?;
                plain(&self.line()?.unwrap_or_default())
            }
            ("LOGIN", _) => {
                self.say("334 VXNlcm5hbWU6\r\n")?;
                let user = self.line()?.and_then(|line| text_of_base64(&line));
                self.say("334 UGFzc3dvcmQ6\r\n")?;
                let password = self.line()?.and_then(|line| text_of_base64(&line));
                user.zip(password)
            }
            _ => return self.say("504 not known\r\n"),
        };
        if let Some(goes) = self.acts(Stage::Auth)? {
            return Ok(goes);
        }
        let Some((user, password)) = given else { return self.say("501 not readable\r\n") };
        if self.shared.offers.user != Some((&user, &password)) {
            return self.say(&format!("535 5.7.8 {user} with {password} is nobody\r\n"));
        }
        self.user = Some((user, password));
        self.say("235 welcome\r\n")
    }

    fn mail(&mut self, rest: &str) -> Goes {
        if let Some(goes) = self.acts(Stage::Mail)? {
            return Ok(goes);
        }
        if self.shared.offers.user.is_some() && self.user.is_none() {
            return self.say("530 5.7.0 who are you?\r\n");
        }
        let Some(from) = address(rest, "FROM:") else { return self.say("501 no address\r\n") };
        (self.from, self.to) = (Some(from), Vec::new());
        self.say("250 fine\r\n")
    }

    fn rcpt(&mut self, rest: &str) -> Goes {
        if let Some(goes) = self.acts(Stage::Rcpt)? {
            return Ok(goes);
        }
        let Some(to) = address(rest, "TO:").filter(|_| self.from.is_some()) else {
            return self.say("503 from whom, and to whom?\r\n");
        };
        let act = lock(&self.shared.recipients).get_mut(&to).and_then(VecDeque::pop_front);
        if let Some(act) = act {
            return self.act(act);
        }
        self.to.push(to);
        self.say("250 fine\r\n")
    }

    fn data(&mut self) -> Goes {
        if let Some(goes) = self.acts(Stage::Data)? {
            return Ok(goes);
        }
        if self.to.is_empty() {
            return self.say("503 to whom?\r\n");
        }
        self.say("354 go ahead\r\n")?;
        let mut text = Vec::new();
        loop {
            let Some(line) = self.raw_line()? else { return Ok(false) };
            match line.as_slice() {
                b"." => break,
                [b'.', rest @ ..] => text.extend_from_slice(rest),
                line => text.extend_from_slice(line),
            }
            text.extend_from_slice(b"\r\n");
        }
        if let Some(goes) = self.acts(Stage::End)? {
            return Ok(goes);
        }
        if self.shared.offers.size.is_some_and(|size| text.len() > size) {
            return self.say("552 too large\r\n");
        }
        let (from, to) = (self.from.take().unwrap_or_default(), std::mem::take(&mut self.to));
        let (user, encrypted, connection) = (self.user.clone(), self.encrypted, self.number);
        lock(&self.shared.mails).push(Mail { from, to, text, user, encrypted, connection });
        self.say("250 taken\r\n")
    }
}

/// `FROM:<a@b> SIZE=1`
fn address(rest: &str, word: &str) -> Option<String> {
    let (start, path) = rest.split_at_checked(word.len())?;
    let (address, _) = path.trim_start().strip_prefix('<')?.split_once('>')?;
    start.eq_ignore_ascii_case(word).then(|| address.to_owned())
}

fn plain(text: &str) -> Option<(String, String)> {
    let text = text_of_base64(text)?;
    let mut parts = text.split('\0').skip(1);
    Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
}

fn text_of_base64(text: &str) -> Option<String> {
    String::from_utf8(base64(text.as_bytes())?).ok()
}

/// The bytes that base64 stands for, line ends left out.
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for byte in text.iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}
