use crate::readings::{self, Reading};
use crate::request::Request;
use metlog_message::{Fields, Value};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Emit, Method, MethodEntry, MethodError, inventory};
use metlog_settings::Span;
use procfs::ProcError;
use procfs::process::Process;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::net::SocketAddr;
use std::time::Duration;

/// Shorter intervals would measure little but the measuring.
const MIN_EVERY: Duration = Duration::from_millis(10);

/// Settings of the method. A group that is `true` is always sent, one that is `false` never, whatever a call asks for;
/// one that is not mentioned is up to the call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Send without being called, at this interval. Needs a group that is `true`. At least 10ms.
    #[serde(deserialize_with = "every")]
    pub every: Option<Span>,
    /// Processor time.
    pub cpu: Option<bool>,
    /// Memory.
    pub mem: Option<bool>,
    /// Disk.
    pub io: Option<bool>,
    /// Threads.
    pub threads: Option<bool>,
    /// Share of the time since the process began.
    pub busy: Option<bool>,
    /// Connections.
    pub net: Option<bool>,
    /// Local addresses (`127.0.0.1:8080`) whose connections are sent. Wins over what a call says; none leaves it to the
    /// call.
    pub server_addr: Vec<SocketAddr>,
}

fn every<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Span>, D::Error> {
    let every = Option::<Span>::deserialize(from)?;
    match every {
        Some(short) if short.duration() < MIN_EVERY => {
            Err(D::Error::custom(format!("{short} is too short, the least is 10ms")))
        }
        every => Ok(every),
    }
}

/// The method.
#[derive(Debug)]
pub struct ProcinfoMethod(Config);

impl ProcinfoMethod {
    /// What a call sends, after the configuration had its say.
    fn allowed(&self, mut request: Request) -> Request {
        let Config { cpu, mem, io, threads, busy, net, ref server_addr, .. } = self.0;
        let groups = [
            (&mut request.cpu, cpu),
            (&mut request.mem, mem),
            (&mut request.io, io),
            (&mut request.threads, threads),
            (&mut request.busy, busy),
            (&mut request.net, net),
        ];
        for (wanted, configured) in groups {
            *wanted = configured.unwrap_or(*wanted);
        }
        if !server_addr.is_empty() {
            request.server_addr.clone_from(server_addr);
        }
        request
    }
}

impl Configured for ProcinfoMethod {
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        let Config { cpu, mem, io, threads, busy, net, .. } = *config;
        let some = [cpu, mem, io, threads, busy, net].contains(&Some(true));
        if config.every.is_some() && !some {
            let right = "set one or more of cpu, mem, io, threads, busy, net to true";
            return Err(format!("`every` has nothing to send; {right}"));
        }
        Ok(())
    }

    fn open(config: Config) -> Result<Self, String> {
        Self::check(&config)?;
        Ok(ProcinfoMethod(config))
    }
}

impl Method for ProcinfoMethod {
    fn call(&self, client: &dyn Emit, args: &Fields) -> Result<Value, MethodError> {
        let request = self.allowed(Request::from_fields(args)?);
        let pid = request.pid.unwrap_or_else(std::process::id);
        let process = i32::try_from(pid).ok().map(Process::new);
        let process = process.unwrap_or(Err(ProcError::NotFound(None))).map_err(|error| match error {
            ProcError::NotFound(_) => MethodError::Failed(format!("procinfo: there is no process {pid}")),
            error => MethodError::Failed(format!("procinfo: process {pid}: {error}")),
        })?;
        let mut sent = 0u64;
        let mut failed = Vec::new();
        for (group, readings) in read(&process, &request) {
            match readings {
                Ok(readings) => readings.into_iter().for_each(|reading| {
                    send(client, pid, reading);
                    sent += 1;
                }),
                Err(error) => failed.push(format!("{group}: {error}")),
            }
        }
        if failed.is_empty() {
            return Ok(Value::from(sent));
        }
        Err(MethodError::Failed(format!(
            "procinfo: of process {pid} not everything can be read: {}",
            failed.join("; ")
        )))
    }

    fn every(&self) -> Option<Duration> {
        self.0.every.map(Span::duration)
    }
}

type Group = (&'static str, Result<Vec<Reading>, ProcError>);

fn read(process: &Process, request: &Request) -> Vec<Group> {
    let Request { cpu, mem, io, threads, busy, net, ref server_addr, .. } = *request;
    let mut groups: Vec<Group> = Vec::new();
    groups.extend(net.then(|| ("net", readings::net(process, server_addr))));
    groups.extend(io.then(|| ("io", readings::io(process))));
    groups.extend(cpu.then(|| ("cpu", readings::cpu(process))));
    groups.extend(mem.then(|| ("mem", readings::mem(process))));
    groups.extend(busy.then(|| ("busy", readings::busy(process))));
    groups.extend(threads.then(|| ("threads", readings::threads(process))));
    groups
}

fn send(client: &dyn Emit, pid: u32, reading: Reading) {
    let message = client.message("procinfo");
    let host = message.hostname.clone().unwrap_or_else(host).replace('.', "_");
    let logger = format!("psutil.{}.{host}.{pid}", reading.group);
    // Metlog's plugin wrote the rate as a number here and as text there; receivers may have grown used to it.
    let rate = if reading.group == "net" { Value::Int(1) } else { Value::from("1") };
    let message =
        message.payload(reading.value).field("name", reading.name).field("rate", rate).field("logger", logger);
    client.emit(message);
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

inventory::submit! {
    MethodEntry::of::<ProcinfoMethod>(
        "procinfo",
        &["metlog_psutils.psutil_plugin:config_plugin", "metlog_psutils.psutil_plugin.config_plugin"],
        include_str!("../example.toml"),
    )
}
