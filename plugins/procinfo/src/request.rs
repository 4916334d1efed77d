//! What is asked for, and the trait that lets code ask a client.

use metlog_message::{Fields, Value};
use metlog_pipeline::{Emit, MethodError};
use metlog_settings::suggest;
use std::net::SocketAddr;

/// Which numbers to send. What the configuration says of a group wins over this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The process; this one if `None`.
    pub pid: Option<u32>,
    /// Processor time in seconds.
    pub cpu: bool,
    /// Memory.
    pub mem: bool,
    /// Bytes and calls to and from disk.
    pub io: bool,
    /// How many threads, and the processor time of each.
    pub threads: bool,
    /// Processor time as a share of the time since the process began.
    pub busy: bool,
    /// Connections by local address and state.
    pub net: bool,
    /// Only connections with these local addresses; all if empty.
    pub server_addr: Vec<SocketAddr>,
}

const NAMES: [&str; 8] = ["pid", "cpu", "mem", "io", "threads", "busy", "net", "server_addr"];

impl Request {
    /// Everything about this process except connections, which cost a look at every socket of the host.
    pub fn usual() -> Self {
        Request { cpu: true, mem: true, io: true, threads: true, busy: true, ..Request::default() }
    }

    /// As arguments of a method.
    pub fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        if let Some(pid) = self.pid {
            fields.set("pid", pid);
        }
        let groups = [
            ("cpu", self.cpu),
            ("mem", self.mem),
            ("io", self.io),
            ("threads", self.threads),
            ("busy", self.busy),
            ("net", self.net),
        ];
        groups.into_iter().filter(|(_, wanted)| *wanted).for_each(|(name, _)| fields.set(name, true));
        if !self.server_addr.is_empty() {
            fields.set("server_addr", self.server_addr.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
        fields
    }

    /// The way back.
    ///
    /// # Errors
    /// Which argument is wrong, and what would be right.
    pub fn from_fields(fields: &Fields) -> Result<Self, MethodError> {
        let mut request = Request::default();
        for (name, value) in fields.iter() {
            match name {
                "pid" => request.pid = pid(value)?,
                "cpu" => request.cpu = truth(name, value)?,
                "mem" => request.mem = truth(name, value)?,
                "io" => request.io = truth(name, value)?,
                "threads" => request.threads = truth(name, value)?,
                "busy" => request.busy = truth(name, value)?,
                "net" => request.net = truth(name, value)?,
                "server_addr" => request.server_addr = addresses(value)?,
                _ => return Err(unknown(name)),
            }
        }
        Ok(request)
    }
}

fn unknown(name: &str) -> MethodError {
    let meant = suggest::nearest(name, NAMES).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    MethodError::Arguments(format!("procinfo has no argument `{name}`, it has {}{meant}", NAMES.join(", ")))
}

fn wrong(name: &str, right: &str, found: &Value) -> MethodError {
    MethodError::Arguments(format!("procinfo's `{name}` must be {right}, not `{}`", found.to_text()))
}

fn truth(name: &str, value: &Value) -> Result<bool, MethodError> {
    value.as_bool().ok_or_else(|| wrong(name, "true or false", value))
}

fn pid(value: &Value) -> Result<Option<u32>, MethodError> {
    if *value == Value::Null {
        return Ok(None);
    }
    let pid = value.as_i64().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
    pid.map(Some).ok_or_else(|| wrong("pid", "the number of a process", value))
}

fn addresses(value: &Value) -> Result<Vec<SocketAddr>, MethodError> {
    let one = |value: &Value| {
        let address = value.as_str().and_then(|text| text.parse().ok());
        address.ok_or_else(|| wrong("server_addr", "an address such as `127.0.0.1:8080`, or a list of them", value))
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::List(list) => list.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

/// `client.procinfo(&Request::usual())`, for a client that has the method under its own name.
pub trait Procinfo {
    /// Sends what is asked for, and returns how many messages that were.
    ///
    /// # Errors
    /// If the client has no such method, or some of the numbers cannot be read; those that can be are sent.
    fn procinfo(&self, request: &Request) -> Result<u64, MethodError> {
        self.procinfo_as("procinfo", request)
    }

    /// The same for a client that has the method under another name (`override = "name"`).
    ///
    /// # Errors
    /// As above.
    fn procinfo_as(&self, method: &str, request: &Request) -> Result<u64, MethodError>;
}

impl<E: Emit + ?Sized> Procinfo for E {
    fn procinfo_as(&self, method: &str, request: &Request) -> Result<u64, MethodError> {
        let sent = self.call(method, &request.fields())?;
        Ok(sent.as_i64().and_then(|sent| u64::try_from(sent).ok()).unwrap_or_default())
    }
}
