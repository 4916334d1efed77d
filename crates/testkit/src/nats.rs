//! A NATS server with JetStream, from the system's packages, with a store of its own that goes when it does.

use crate::eventually;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// Kills the server and removes its folder as soon as the test program is gone, however it went.
const WATCH: &str = r#"cat >/dev/null
pid=$(cat "$1/pid" 2>/dev/null) && kill -9 "$pid" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
rm -rf "$1""#;

/// A server on loopback, always at the same port and with the same store.
pub struct Nats {
    folder: PathBuf,
    port: u16,
    server: Option<Child>,
    watch: Child,
}

impl Nats {
    /// One that lets everybody in.
    ///
    /// # Panics
    /// If it cannot be started; the message says what is missing.
    pub fn new() -> Self {
        Self::with(|_| String::new())
    }

    /// One with these lines in its configuration, made by a function that is given the server's folder.
    ///
    /// # Panics
    /// If it cannot be started; the message says what is missing.
    pub fn with(config: impl FnOnce(&Path) -> String) -> Self {
        let name = format!("metlog-nats-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("config"), config(&folder)).expect("written");
        let mut watch = Command::new("sh");
        // Not of our process group, so that an interrupt from the keyboard leaves it to clean up.
        watch.args(["-c", WATCH, "watch"]).arg(&folder).stdin(Stdio::piped()).process_group(0);
        watch.stdout(Stdio::null()).stderr(Stdio::null());
        let watch = watch.spawn().expect("a shell");
        let mut made = Nats { folder, port: free_port(), server: None, watch };
        made.start();
        made
    }

    /// Starts it, after [`Nats::kill`] too, and waits until it greets whoever connects.
    ///
    /// # Panics
    /// If it does not.
    pub fn start(&mut self) {
        let log = self.folder.join("log");
        let output = fs::File::options().append(true).create(true).open(&log).expect("a log");
        let mut server = Command::new("nats-server");
        server.args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js", "-sd"]).arg(self.folder.join("store"));
        server.arg("-P").arg(self.folder.join("pid")).arg("-c").arg(self.folder.join("config"));
        server.stdin(Stdio::null()).stdout(output.try_clone().expect("a log")).stderr(output);
        self.server = Some(server.spawn().expect("nats-server; install Debian's package `nats-server`"));
        let up = eventually(Duration::from_secs(30), || {
            let mut greeting = [0; 4];
            let connected = TcpStream::connect(("127.0.0.1", self.port));
            connected.and_then(|mut stream| stream.read_exact(&mut greeting)).is_ok() && greeting == *b"INFO"
        });
        assert!(up, "the NATS server greets; its log: {}", fs::read_to_string(log).unwrap_or_default());
    }

    /// As a crash would: nothing is finished, nothing is told.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("it runs");
        server.kill().expect("it runs");
        server.wait().expect("it ends");
        // The number may soon be another process's.
        let _ = fs::remove_file(self.folder.join("pid"));
    }

    /// Holds it, so that it accepts connections and answers nothing, or lets it go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn freeze(&self, frozen: bool) {
        let server = self.server.as_ref().expect("it runs").id().to_string();
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let told = Command::new("sh").args(["-c", "kill \"$0\" \"$1\"", signal, &server]).status();
        assert!(told.is_ok_and(|status| status.success()), "told");
    }

    /// Publishes a message, and gives the answer: `$JS.API.CONSUMER.INFO.STREAM.CONSUMER` is a question, and a stream's
    /// subject is answered when the message is stored. None if nobody answers.
    pub fn ask(&self, subject: &str, payload: &[u8]) -> Option<String> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
        let mut server = BufReader::new(stream);
        let mut said = format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true}}\r\nSUB _INBOX.ask 1\r\n\
             PUB {subject} _INBOX.ask {}\r\n",
            payload.len()
        )
        .into_bytes();
        said.extend_from_slice(payload);
        said.extend_from_slice(b"\r\n");
        server.get_mut().write_all(&said).ok()?;
        loop {
            let mut line = String::new();
            if server.read_line(&mut line).ok()? == 0 || line.starts_with("HMSG") || line.starts_with("-ERR") {
                return None;
            }
            if line.starts_with("MSG") {
                let mut answer = vec![0; line.split_whitespace().last()?.parse().ok()?];
                server.read_exact(&mut answer).ok()?;
                return String::from_utf8(answer).ok();
            }
        }
    }

    /// Its process.
    ///
    /// # Panics
    /// If it does not run.
    pub fn process(&self) -> u32 {
        self.server.as_ref().expect("it runs").id()
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where to connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Default for Nats {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
        if let Some(mut server) = self.server.take() {
            let _ = server.wait();
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
