//! Peers that are installed on this machine, at the same work: rsyslog over TCP and UDP.

use super::work::{self, PORT, Running};
use super::{Cost, load, sink};
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What the peers can do of the table.
pub const ROWS: [&str; 2] = ["tcp-file", "udp-file"];

/// The peers found, at one row.
pub fn measure(row: &'static str, messages: u64) -> Vec<Result<Cost, String>> {
    let version = Command::new("rsyslogd").arg("-v").output();
    let Ok(version) = version else { return Vec::new() };
    let text = String::from_utf8_lossy(&version.stdout).into_owned();
    let version = text.split_whitespace().nth(1).unwrap_or_default().trim_end_matches(',').to_owned();
    vec![rsyslog(row, messages, format!("rsyslog {version}")).map_err(|error| error.to_string())]
}

fn config(directory: &Path, row: &str, out: &Path) -> String {
    let input = row.split('-').next().unwrap_or_default();
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

fn rsyslog(row: &'static str, messages: u64, who: String) -> io::Result<Cost> {
    let directory = work::directory()?;
    let out = directory.join("out.jsonl");
    let file = directory.join("rsyslog.conf");
    fs::write(&file, config(&directory, row, &out))?;
    let mut command = Command::new("rsyslogd");
    command.args(["-n", "-f"]).arg(&file).arg("-i").arg(directory.join("pid"));
    let running = Running::start(command, directory.clone())?;
    std::thread::sleep(Duration::from_secs(1));
    metlog_bench::machine::pin();
    let (idle, _) = running.memory();
    let (cpu, began) = (running.cpu(), Instant::now());
    if row.starts_with("udp") {
        load::udp(PORT, messages, 200_000)?;
    } else {
        load::tcp(PORT, messages)?;
    }
    let last = work::quiet(|| fs::metadata(&out).map_or(0, |file| file.len()));
    let cpu = running.cpu() - cpu;
    let (_, peak) = running.memory();
    let (lost, wrong) = sink::file(&out, messages)?.verdict();
    Ok(Cost {
        row,
        who,
        sent: messages,
        lost,
        wrong,
        cpu,
        seconds: last.duration_since(began).as_secs_f64(),
        memory: (idle, peak),
    })
}
