//! What a hop from router to router costs: processor time for each message on both sides, and how much the network
//! carries, in one run.
//!
//! ```text
//! cargo build --release -p metlog-router
//! cargo run --release -p metlog-router --example hop -- target/release/metlog-router [messages]
//! ```
//!
//! First the edge takes everything in while the central router is not there; then that one starts, and what both spend
//! until it has everything is the hop.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

struct Running {
    child: Child,
    port: u16,
}

impl Running {
    fn start(program: &Path, folder: &Path, name: &str, port: u16, rest: &str) -> Outcome<Running> {
        let config = folder.join(format!("{name}.toml"));
        let data = folder.join(name);
        let text = format!("[router]\nhttp = '127.0.0.1:{port}'\ndata = '{}'\n[inputs.http]\n{rest}", data.display());
        std::fs::write(&config, text)?;
        let mut command = Command::new(program);
        command
            .arg("run")
            .arg("--config")
            .arg(&config)
            .stderr(std::fs::File::create(folder.join(format!("{name}.log")))?);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let running = Running { child, port };
        let until = Instant::now() + Duration::from_secs(30);
        while running.ask("GET /health/ready", b"").is_err() {
            if Instant::now() > until {
                return Err(format!("{name} does not start: see {}", folder.display()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }

    fn ask(&self, what: &str, body: &[u8]) -> Outcome<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        write!(stream, "{what} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len())?;
        stream.write_all(body)?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
            _ => Err(text.into()),
        }
    }

    /// The sum of a metric's values.
    fn metric(&self, name: &str) -> Outcome<f64> {
        let page = self.ask("GET /metrics", b"")?;
        let of = page.lines().filter(|line| line.split([' ', '{']).next() == Some(name));
        Ok(of.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Processor time so far, of user and system.
    fn spent(&self) -> Outcome<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let behind = stat.rsplit(") ").next().unwrap_or_default();
        let ticks: u64 = behind.split(' ').skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum();
        // A hundredth of a second each, on every Linux there is.
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has been measured; nothing of it is needed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Messages such as services write: some words, some numbers, few hosts.
fn message(random: &mut fastrand::Rng, number: u64, out: &mut Vec<u8>) -> Outcome<()> {
    let words =
        ["request", "served", "timeout", "cache", "miss", "user", "session", "retry", "shard", "commit", "lease"];
    let text: Vec<&str> = (0..8).filter_map(|_| random.choice(words.iter()).copied()).collect();
    writeln!(
        out,
        r#"{{"type":"log","timestamp":"2026-11-21T08:{:02}:{:02}.{:06}Z","logger":"shop.{}","severity":{},"payload":"{} {}","fields":{{"duration_ms":{},"path":"/api/v1/orders/{}","status":{},"trace":"{:016x}"}},"env_version":"0.8","metlog_pid":{},"metlog_hostname":"web-{}"}}"#,
        number / 60_000_000 % 60,
        number / 1_000_000 % 60,
        number % 1_000_000,
        random.choice(["cart", "auth", "search", "mail"].iter()).copied().unwrap_or("cart"),
        random.u8(3..8),
        text.join(" "),
        random.u32(..100_000),
        random.f64() * 900.0,
        random.u32(..1_000_000),
        random.choice([200, 200, 200, 404, 500].iter()).copied().unwrap_or(200),
        random.u64(..),
        1000 + random.u32(..4),
        random.u32(..20),
    )?;
    Ok(())
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let program = PathBuf::from(arguments.next().ok_or("usage: hop PROGRAM [MESSAGES]")?).canonicalize()?;
    let count: u64 = arguments.next().map_or(Ok(500_000), |text| text.parse())?;
    let folder = std::env::temp_dir().join(format!("metlog-hop-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let free = || Ok::<u16, std::io::Error>(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
    let (edge_port, central_port) = (free()?, free()?);
    let to =
        format!("[endpoints.central]\ntype = 'router'\nurl = 'http://127.0.0.1:{central_port}'\nretry_max = '50ms'\n");
    let edge = Running::start(&program, &folder, "edge", edge_port, &to)?;
    let mut random = fastrand::Rng::with_seed(1);
    let (mut bytes, before) = (0_u64, edge.spent()?);
    for start in (0..count).step_by(2000) {
        let mut body = Vec::new();
        for number in start..count.min(start + 2000) {
            message(&mut random, number * 137, &mut body)?;
        }
        bytes += body.len() as u64;
        edge.ask("POST /v1/messages", &body)?;
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    println!(
        "{count} messages of {} bytes; the edge takes one in for {:.2} us",
        bytes / count,
        each(edge.spent()? - before)
    );
    let central = Running::start(&program, &folder, "central", central_port, "[endpoints.none]\ntype = 'null'\n")?;
    let (began, edge_before, central_before) = (Instant::now(), edge.spent()?, central.spent()?);
    while edge.metric("metlog_delivered_total")? < count as f64 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (wall, edge_spent, central_spent) =
        (began.elapsed(), edge.spent()? - edge_before, central.spent()? - central_before);
    let carried = central.metric("metlog_http_body_bytes_total")?;
    println!(
        "one hop: edge {:.2} us, central {:.2} us of processor time for a message; {:.0} messages/s over one connection",
        each(edge_spent),
        each(central_spent),
        count as f64 / wall.as_secs_f64()
    );
    println!("{:.1} bytes of a message on the network: 1 : {:.1}", carried / count as f64, bytes as f64 / carried);
    let requests = central.metric("metlog_http_requests_total")?;
    println!(
        "about {:.0} messages in a request; received at the central one {}",
        count as f64 / requests,
        central.metric("metlog_received_total")?
    );
    drop((edge, central));
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
