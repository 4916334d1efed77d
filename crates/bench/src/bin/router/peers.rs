//! Peers that are installed on this machine, at the same work: lines over TCP or UDP, half of them to a file; and the
//! bare work itself.

use super::work::{self, PORT, Running};
use super::{Cost, load, sink};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What the peers can do of the table.
pub const ROWS: [&str; 2] = ["tcp-file", "udp-file"];

struct Peer {
    program: &'static str,
    /// Its configuration: for `tcp` or `udp`, in this directory, to this file.
    config: fn(&str, &Path, &Path) -> String,
    /// What it is called with in front of the configuration's path.
    before: &'static [&'static str],
    /// And behind it, in this directory.
    behind: fn(&Path) -> Vec<String>,
    /// The configuration's name, of which some take the ending to tell its form.
    file: &'static str,
}

const PEERS: [Peer; 4] = [
    Peer {
        program: "rsyslogd",
        config: rsyslog,
        before: &["-n", "-f"],
        behind: |directory| vec!["-i".to_owned(), path(directory, "pid")],
        file: "rsyslog.conf",
    },
    Peer {
        program: "syslog-ng",
        config: syslog_ng,
        before: &["-F", "-f"],
        behind: |directory| {
            let own = |option: &str, name: &str| format!("--{option}={}", path(directory, name));
            vec![own("persist-file", "persist"), own("pidfile", "pid"), own("control", "control")]
        },
        file: "syslog-ng.conf",
    },
    Peer {
        program: "fluent-bit",
        config: fluent_bit,
        before: &["-q", "-c"],
        behind: |_| Vec::new(),
        file: "fluent-bit.yaml",
    },
    Peer {
        program: "vector",
        config: vector,
        before: &["-q", "--config"],
        behind: |_| Vec::new(),
        file: "vector.toml",
    },
];

fn path(directory: &Path, name: &str) -> String {
    directory.join(name).display().to_string()
}

/// The peers found, at one row.
pub fn measure(row: &'static str, messages: u64) -> Vec<Result<Cost, String>> {
    let measured = PEERS.iter().filter_map(|peer| {
        let version = version(peer.program)?;
        Some(installed(peer, row, messages, version).map_err(|error| format!("{}: {error}", peer.program)))
    });
    let bare = (row == "tcp-file").then(|| bare(row, messages).map_err(|error| format!("bare: {error}")));
    bare.into_iter().chain(measured).collect()
}

fn bare(row: &'static str, messages: u64) -> io::Result<Cost> {
    let directory = work::directory()?;
    let out = directory.join("out.jsonl");
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("bare").arg(&out);
    run(command, directory, &out, row, messages, "the bare work".to_owned())
}

/// Its name and version, if it is there.
fn version(program: &str) -> Option<String> {
    let option = if program == "rsyslogd" { "-v" } else { "--version" };
    let output = Command::new(program).arg(option).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split(|symbol: char| symbol.is_whitespace() || "(),".contains(symbol)).find_map(|word| {
        let number = word.trim_start_matches('v');
        (number.contains('.') && number.starts_with(|first: char| first.is_ascii_digit())).then(|| number.to_owned())
    });
    Some(format!("{program} {}", version.unwrap_or_default()))
}

fn rsyslog(input: &str, directory: &Path, out: &Path) -> String {
    format!(
        "module(load=\"im{input}\")\nmodule(load=\"mmjsonparse\")\nglobal(workDirectory=\"{}\" maxMessageSize=\"64k\")\n\
         template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\n\
         ruleset(name=\"r\" queue.type=\"LinkedList\" queue.size=\"100000\" queue.workerThreads=\"1\") {{\n\
         action(type=\"mmjsonparse\" cookie=\"\" useRawMsg=\"on\")\n\
         if ($!severity <= 4) or ($!type == \"counter\") or ($!type == \"timer\") then {{\n\
         action(type=\"omfile\" file=\"{}\" template=\"raw\" ioBufferSize=\"64k\" flushOnTXEnd=\"on\")\n}}\n}}\n\
         input(type=\"im{input}\" address=\"127.0.0.1\" port=\"{PORT}\" ruleset=\"r\")\n",
        directory.display(),
        out.display()
    )
}

fn syslog_ng(input: &str, _: &Path, out: &Path) -> String {
    let buffer = if input == "udp" { "so-rcvbuf(8388608)" } else { "log-iw-size(10000) log-fetch-limit(1000)" };
    format!(
        "@version: 3.38\noptions {{ stats-freq(0); log-msg-size(65536); flush-lines(1000); log-fifo-size(200000); }};\n\
         source s {{ network(transport(\"{input}\") ip(\"127.0.0.1\") port({PORT}) flags(no-parse) {buffer}); }};\n\
         parser p {{ json-parser(prefix(\".j.\")); }};\n\
         filter f {{ \"${{.j.severity}}\" <= \"4\" or \"${{.j.type}}\" eq \"counter\" or \"${{.j.type}}\" eq \"timer\"; }};\n\
         destination d {{ file(\"{}\" template(\"$MSG\\n\")); }};\n\
         log {{ source(s); parser(p); filter(f); destination(d); flags(flow-control); }};\n",
        out.display()
    )
}

/// A whole number as threshold counts as 0 there, so it is written `4.0`.
fn fluent_bit(input: &str, directory: &Path, out: &Path) -> String {
    format!(
        "service:\n  flush: 0.2\n  log_level: error\npipeline:\n  inputs:\n    - name: {input}\n      listen: 127.0.0.1\n      \
         port: {PORT}\n      format: json\n      tag: t\n      processors:\n        logs:\n          - name: content_modifier\n            \
         action: insert\n            key: keep\n            value: 'yes'\n            condition:\n              op: or\n              \
         rules:\n                - {{field: '$severity', op: lte, value: 4.0}}\n                - {{field: '$type', op: eq, value: \
         counter}}\n                - {{field: '$type', op: eq, value: timer}}\n          - name: grep\n            regex: keep yes\n  \
         outputs:\n    - name: file\n      match: '*'\n      path: {}\n      file: {}\n      format: plain\n",
        directory.display(),
        out.file_name().unwrap_or_default().to_string_lossy()
    )
}

fn vector(input: &str, directory: &Path, out: &Path) -> String {
    format!(
        "data_dir = \"{}\"\n[sources.in]\ntype = \"socket\"\nmode = \"{input}\"\naddress = \"127.0.0.1:{PORT}\"\n\
         decoding.codec = \"json\"\n[transforms.half]\ntype = \"filter\"\ninputs = [\"in\"]\n\
         condition = 'to_int!(.severity) <= 4 || .type == \"counter\" || .type == \"timer\"'\n\
         [sinks.out]\ntype = \"file\"\ninputs = [\"half\"]\npath = \"{}\"\nencoding.codec = \"json\"\n",
        directory.display(),
        out.display()
    )
}

fn installed(peer: &Peer, row: &'static str, messages: u64, who: String) -> io::Result<Cost> {
    let directory = work::directory()?;
    let out = directory.join("out.jsonl");
    let file = directory.join(peer.file);
    let input = row.split('-').next().unwrap_or_default();
    fs::write(&file, (peer.config)(input, &directory, &out))?;
    let mut command = Command::new(peer.program);
    command.args(peer.before).arg(&file).args((peer.behind)(&directory));
    run(command, directory, &out, row, messages, who)
}

fn run(
    command: Command,
    directory: PathBuf,
    out: &Path,
    row: &'static str,
    messages: u64,
    who: String,
) -> io::Result<Cost> {
    let input = row.split('-').next().unwrap_or_default();
    let running = Running::start(command, directory)?;
    std::thread::sleep(Duration::from_secs(1));
    metlog_bench::machine::pin();
    let (idle, _) = running.memory();
    let (cpu, began) = (running.cpu(), Instant::now());
    if input == "udp" {
        load::udp(PORT, messages, 200_000)?;
    } else {
        load::tcp(PORT, messages)?;
    }
    let last = work::quiet(|| fs::metadata(out).map_or(0, |file| file.len()));
    let cpu = running.cpu() - cpu;
    let (_, peak) = running.memory();
    let (lost, wrong) = sink::file(out, messages)?.verdict();
    let seconds = last.duration_since(began).as_secs_f64();
    Ok(Cost { row, who, sent: messages, lost, wrong, cpu, seconds, memory: (idle, peak) })
}
