//! A row of the table: a configuration, a load, and waiting for the last message.

use super::{Cost, clients, load, sink};
use metlog_testkit::{Authority, Paper};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What is measured.
pub const ROWS: [&str; 13] = [
    "tcp-file",
    "tcp-file-tls",
    "udp-file",
    "http-file",
    "tcp-http",
    "tcp-http-zstd",
    "zmq-file",
    "tcp-file-20",
    "tcp-file-6",
    "tcp-file-6-dead",
    "masterlog-spool",
    "logcollector-spool",
    "jsonline-spool",
];

/// Where every program listens, one after the other.
pub const PORT: u16 = 25567;
const FILTERS: &str = "
[filters.loud]
type = 'severity_max'
severity = 4
[filters.metrics]
type = 'type_whitelist'
types = ['counter', 'timer']
[filters.wanted]
type = 'any'
of = ['loud', 'metrics']
";

/// A program being measured.
pub struct Running {
    child: Child,
    directory: PathBuf,
}

impl Running {
    /// Starts it on one processor, the second if there is one.
    pub fn start(mut command: Command, directory: PathBuf) -> io::Result<Running> {
        let program = command.get_program().to_owned();
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        if processors > 1 {
            let mut pinned = Command::new("taskset");
            pinned.args(["-c", "1"]).arg(program).args(arguments);
            command = pinned;
        }
        let log = fs::File::create(directory.join("log.txt"))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Running { child, directory })
    }

    /// Processor time so far, in nanoseconds.
    pub fn cpu(&self) -> u64 {
        metlog_bench::machine::used_by(self.child.id())
    }

    /// Resident memory now and at the most, in KiB.
    pub fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
        };
        (value("VmRSS:"), value("VmHWM:"))
    }

    /// What it said, for when it went wrong.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log.txt")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A new directory for one run.
pub fn directory() -> io::Result<PathBuf> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let program = std::env::current_exe()?;
    let beside = program.parent().unwrap_or(Path::new("."));
    let directory = beside.join(format!("router-bench-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed)));
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Measures the router at one row.
pub fn measure(row: &'static str, messages: u64, sync: &str) -> Result<Cost, String> {
    let measured = match clients::body(row) {
        Some((path, body)) => spooled(row, path, &body, messages, sync),
        None => run(row, messages, sync),
    };
    measured.map_err(|error| error.to_string())
}

/// From somebody else's client through the spool, to an endpoint that costs nothing.
fn spooled(row: &'static str, path: &'static str, body: &[u8], messages: u64, sync: &str) -> io::Result<Cost> {
    let directory = directory()?;
    let config = format!(
        "[router]\nhttp = '127.0.0.1:{PORT}'\ndata = '{}'\n[spool]\nsync = '{sync}'\n[inputs.http]\n\
         [endpoints.out]\ntype = 'null'\n",
        directory.join("data").display()
    );
    let router = serve(&directory, &config)?;
    std::thread::sleep(Duration::from_millis(300));
    metlog_bench::machine::pin();

    let (idle, _) = router.memory();
    let each = clients::each(row);
    let messages = messages / each * each;
    let (cpu, began) = (router.cpu(), Instant::now());
    load::bodies(PORT, path, body, each, messages)?;
    let delivered = || load::metric(PORT, "metlog_delivered_total{endpoint=\"out\"}");
    while delivered()? < messages && began.elapsed() < Duration::from_secs(300) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = router.cpu() - cpu;
    let (_, peak) = router.memory();
    let accepted = load::metric(PORT, "metlog_accepted_total{input=\"http\"}")?;
    let (lost, wrong) = (messages.saturating_sub(delivered()?), accepted.saturating_sub(messages));
    Ok(Cost { row, who: "metlog".into(), sent: messages, lost, wrong, cpu, seconds, memory: (idle, peak) })
}

fn run(row: &'static str, messages: u64, sync: &str) -> io::Result<Cost> {
    let directory = directory()?;
    let out = directory.join("out.jsonl");
    let http = if row.contains("-http") { Some(sink::Http::start()?) } else { None };
    let mut endpoint = match &http {
        None => format!("type = 'file'\npath = '{}'\nfilters = ['wanted']\n", out.display()),
        Some(sink) => {
            let compression = if row.ends_with("zstd") { "zstd" } else { "none" };
            format!(
                "type = 'victorialogs'\nurl = 'http://127.0.0.1:{}'\ncompression = '{compression}'\nsettle = '0s'\nfilters = ['wanted']\n",
                sink.port
            )
        }
    };
    if row.starts_with("tcp-file-6") {
        for number in 0..4 {
            endpoint += &format!("[endpoints.busy{number}]\ntype = 'null'\nfilters = ['wanted']\n");
        }
        let sixth = if row.ends_with("dead") { "type = 'tcp'\naddress = '127.0.0.1:1'" } else { "type = 'null'" };
        endpoint += &format!("[endpoints.sixth]\n{sixth}\nfilters = ['wanted']\n");
    }
    if row == "tcp-file-20" {
        for number in 0..19 {
            endpoint += &format!("[endpoints.idle{number}]\ntype = 'null'\ntypes = ['nothing{number}']\n");
        }
    }
    let authority = row.ends_with("tls").then(Authority::new);
    let input = match row.split('-').next() {
        Some("udp") => format!("[inputs.udp]\nlisten = '127.0.0.1:{PORT}'\n"),
        Some("http") => "[inputs.http]\n".to_owned(),
        Some("zmq") => format!("[inputs.zmq]\nbind = 'tcp://127.0.0.1:{PORT}'\n"),
        _ => format!("[inputs.tcp]\nlisten = '127.0.0.1:{PORT}'\n{}", authority.as_ref().map_or_else(String::new, tls)),
    };
    let own = if row.starts_with("http") { format!("127.0.0.1:{PORT}") } else { String::new() };
    let config = format!(
        "[router]\nhttp = '{own}'\ndata = '{}'\n[spool]\nsync = '{sync}'\n{input}{FILTERS}[endpoints.out]\n{endpoint}",
        directory.join("data").display()
    );
    let router = serve(&directory, &config)?;
    std::thread::sleep(Duration::from_millis(300));
    metlog_bench::machine::pin();

    let (idle, _) = router.memory();
    let (cpu, began) = (router.cpu(), Instant::now());
    match row.split('-').next() {
        _ if let Some(authority) = &authority => load::tls(PORT, messages, authority.ca_file())?,
        Some("udp") => load::udp(PORT, messages, 200_000)?,
        Some("http") => load::http(PORT, messages, 500)?,
        Some("zmq") => load::zmq(PORT, messages)?,
        _ => load::tcp(PORT, messages)?,
    }
    let arrived = || match &http {
        // Its size, which tells whether it still grows.
        None => fs::metadata(&out).map_or(0, |file| file.len()),
        Some(sink) => sink.lines.load(Relaxed),
    };
    let last = quiet(arrived);
    let seconds = last.duration_since(began).as_secs_f64();
    let cpu = router.cpu() - cpu;
    let (_, peak) = router.memory();
    let seen = match &http {
        None => sink::file(&out, messages)?,
        Some(sink) => sink.seen(messages),
    };
    let (lost, wrong) = seen.verdict();
    Ok(Cost { row, who: "metlog".into(), sent: messages, lost, wrong, cpu, seconds, memory: (idle, peak) })
}

/// What the input shows of itself.
fn tls(authority: &Authority) -> String {
    let Paper { cert, key } = authority.paper(&["127.0.0.1"]);
    format!("[inputs.tcp.tls]\ncert_file = '{}'\nkey_file = '{}'\n", cert.display(), key.display())
}

fn serve(directory: &Path, config: &str) -> io::Result<Running> {
    let file = directory.join("router.toml");
    fs::write(&file, config)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "run", "--config"]).arg(&file);
    let router = Running::start(command, directory.to_owned())?;
    wait_for(&router, |log| log.contains("endpoint out"))?;
    Ok(router)
}

/// How long an acknowledgement takes, at 20 000 messages a second in batches of twenty: the times, sorted.
pub fn acknowledgements(sync: &str) -> io::Result<Vec<Duration>> {
    let directory = directory()?;
    let config = format!(
        "[router]\nhttp = ''\ndata = '{}'\n[spool]\nsync = '{sync}'\n[inputs.tcp]\nlisten = '127.0.0.1:{PORT}'\nack = true\n\
         [endpoints.out]\ntype = 'file'\npath = '{}'\n",
        directory.join("data").display(),
        directory.join("out.jsonl").display()
    );
    let _router = serve(&directory, &config)?;
    metlog_bench::machine::pin();
    load::acknowledged(PORT, 5000, 20, Duration::from_millis(1))
}

/// When something last changed that has not changed for a while.
pub fn quiet(read: impl Fn() -> u64) -> Instant {
    let mut last = (read(), Instant::now());
    while last.1.elapsed() < Duration::from_millis(1500) {
        std::thread::sleep(Duration::from_millis(5));
        let now = read();
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    last.1
}

/// Until a program has said something.
pub fn wait_for(running: &Running, said: impl Fn(&str) -> bool) -> io::Result<()> {
    let began = Instant::now();
    while !said(&running.log()) {
        if began.elapsed() > Duration::from_secs(20) {
            return Err(io::Error::other(format!("it does not start: {}", running.log())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
