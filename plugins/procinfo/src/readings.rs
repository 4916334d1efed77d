//! Numbers from `/proc`, under the names that Metlog's plugin gave them.

use metlog_message::Value;
use procfs::process::{FDTarget, Process};
use procfs::{Current, Meminfo, ProcError, Uptime};
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

/// Threads that get messages of their own, and local addresses likewise: each makes a name at the receiver, and a
/// process with ten thousand outgoing connections has as many addresses.
pub(crate) const MAX_NAMES: usize = 1000;

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    pub group: &'static str,
    pub name: String,
    pub value: Value,
}

impl Reading {
    fn new(group: &'static str, name: impl Into<String>, value: impl Into<Value>) -> Self {
        Reading { group, name: name.into(), value: value.into() }
    }
}

/// Ticks are a hundredth of a second on every Linux there is; nothing finer is known.
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second().max(1) as f64
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}

pub(crate) fn cpu(process: &Process) -> Result<Vec<Reading>, ProcError> {
    let stat = process.stat()?;
    Ok(vec![Reading::new("cpu", "user", seconds(stat.utime)), Reading::new("cpu", "sys", seconds(stat.stime))])
}

pub(crate) fn mem(process: &Process) -> Result<Vec<Reading>, ProcError> {
    let stat = process.stat()?;
    let rss = stat.rss.saturating_mul(procfs::page_size());
    Ok(vec![
        Reading::new("meminfo", "pcnt", percent(rss as f64, Meminfo::current()?.mem_total as f64)),
        Reading::new("meminfo", "rss", rss),
        Reading::new("meminfo", "vms", stat.vsize),
    ])
}

pub(crate) fn io(process: &Process) -> Result<Vec<Reading>, ProcError> {
    let io = process.io()?;
    Ok(vec![
        Reading::new("io", "read_bytes", io.read_bytes),
        Reading::new("io", "write_bytes", io.write_bytes),
        Reading::new("io", "read_count", io.syscr),
        Reading::new("io", "write_count", io.syscw),
    ])
}

pub(crate) fn busy(process: &Process) -> Result<Vec<Reading>, ProcError> {
    let stat = process.stat()?;
    let total = seconds(stat.utime.saturating_add(stat.stime));
    // Some containers count the system's time from their own beginning, but a process's from the host's.
    let uptime = (Uptime::current()?.uptime - seconds(stat.starttime)).max(0.0);
    Ok(vec![
        Reading::new("busy", "total_cpu", total),
        Reading::new("busy", "uptime", uptime),
        Reading::new("busy", "pcnt", percent(total, uptime)),
    ])
}

pub(crate) fn threads(process: &Process) -> Result<Vec<Reading>, ProcError> {
    let mut readings = vec![Reading::new("thread", "count", process.stat()?.num_threads)];
    for task in process.tasks()?.take(MAX_NAMES).flatten() {
        // One that has ended since is not missed.
        let Ok(stat) = task.stat() else { continue };
        readings.push(Reading::new("thread", format!("{}.sys", task.tid), seconds(stat.stime)));
        readings.push(Reading::new("thread", format!("{}.user", task.tid), seconds(stat.utime)));
    }
    Ok(readings)
}

pub(crate) fn net(process: &Process, only: &[SocketAddr]) -> Result<Vec<Reading>, ProcError> {
    let descriptors = process.fd()?.flatten();
    let sockets: HashSet<u64> = descriptors
        .filter_map(|descriptor| match descriptor.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    let tcp = table(process.tcp())?.into_iter().chain(table(process.tcp6())?);
    let tcp = tcp.map(|entry| (entry.inode, entry.local_address, tcp_state(&entry.state)));
    let udp = table(process.udp())?.into_iter().chain(table(process.udp6())?);
    let udp = udp.map(|entry| (entry.inode, entry.local_address, "UDP"));
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (inode, address, state) in tcp.chain(udp) {
        if !sockets.contains(&inode) || (!only.is_empty() && !only.contains(&address)) {
            continue;
        }
        let mut name = format!("{}:{}.{state}", address.ip().to_string().replace(['.', ':'], "_"), address.port());
        if counts.len() >= MAX_NAMES && !counts.contains_key(&name) {
            name = format!("other.{state}");
        }
        *counts.entry(name).or_default() += 1;
    }
    Ok(counts.into_iter().map(|(name, count)| Reading::new("net", name, count)).collect())
}

/// A host without IPv6 has no table for it.
fn table<T>(read: Result<Vec<T>, ProcError>) -> Result<Vec<T>, ProcError> {
    match read {
        Err(ProcError::NotFound(_)) => Ok(Vec::new()),
        read => read,
    }
}

/// psutil's words.
fn tcp_state(state: &procfs::net::TcpState) -> &'static str {
    use procfs::net::TcpState;
    match state {
        TcpState::Established => "ESTABLISHED",
        TcpState::SynSent => "SYN_SENT",
        TcpState::SynRecv | TcpState::NewSynRecv => "SYN_RECV",
        TcpState::FinWait1 => "FIN_WAIT1",
        TcpState::FinWait2 => "FIN_WAIT2",
        TcpState::TimeWait => "TIME_WAIT",
        TcpState::Close => "CLOSE",
        TcpState::CloseWait => "CLOSE_WAIT",
        TcpState::LastAck => "LAST_ACK",
        TcpState::Listen => "LISTEN",
        TcpState::Closing => "CLOSING",
    }
}
