//! The message: Metlog's nine-key envelope as a typed value.

use crate::{Fields, Timestamp, Value};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// The envelope version. It never changed while the set of keys did, so nothing may be concluded from it.
pub const ENV_VERSION: &str = "0.8";

/// Syslog severity; the lower the number, the more severe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Severity {
    /// 0: the system is unusable.
    Emergency = 0,
    /// 1: act at once; `exception!` uses it.
    Alert = 1,
    /// 2: critical condition; `fatal!` is an alias.
    Critical = 2,
    /// 3: an operation failed.
    Error = 3,
    /// 4: something is off.
    Warning = 4,
    /// 5: normal, but worth noticing.
    Notice = 5,
    /// 6: the default.
    #[default]
    Informational = 6,
    /// 7: for developers; `trace!` is an alias.
    Debug = 7,
}

impl Severity {
    /// All eight, most severe first.
    pub const ALL: [Severity; 8] = [
        Severity::Emergency,
        Severity::Alert,
        Severity::Critical,
        Severity::Error,
        Severity::Warning,
        Severity::Notice,
        Severity::Informational,
        Severity::Debug,
    ];

    /// The severity with this number, if there is one.
    pub fn from_number(number: i64) -> Option<Self> {
        usize::try_from(number).ok().and_then(|at| Self::ALL.get(at).copied())
    }

    /// Its number, 0 to 7.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its syslog name in lower case, as people write it in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Emergency => "emergency",
            Severity::Alert => "alert",
            Severity::Critical => "critical",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
            Severity::Informational => "informational",
            Severity::Debug => "debug",
        }
    }

    /// Understands the numbers, the syslog names, their usual abbreviations and the level names of other systems.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(number) = text.parse::<i64>() {
            return Self::from_number(number);
        }
        Some(match text.to_ascii_lowercase().as_str() {
            "emergency" | "emerg" | "panic" => Severity::Emergency,
            "alert" => Severity::Alert,
            "critical" | "crit" | "fatal" => Severity::Critical,
            "error" | "err" => Severity::Error,
            "warning" | "warn" => Severity::Warning,
            "notice" => Severity::Notice,
            "informational" | "info" => Severity::Informational,
            "debug" | "trace" => Severity::Debug,
            _ => return None,
        })
    }
}

impl<'de> Deserialize<'de> for Severity {
    /// By number or name, as configurations write it.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Severity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a severity: 0 to 7, or a name such as `warning`")
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Severity, E> {
                Severity::from_number(number).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Severity, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Severity, E> {
                Severity::parse(name).ok_or_else(|| E::invalid_value(Unexpected::Str(name), &self))
            }
        }
        from.deserialize_any(Words)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One message, decoded. The router's hot path never builds one (it works on [`crate::Head`] and bytes);
/// senders and endpoints that speak another protocol do.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// `type`: the routing label, a free vocabulary. `oldstyle`, `counter` and `timer` have a contract.
    pub kind: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Name of the generating application or part of it; may be empty.
    pub logger: String,
    /// How bad it is.
    pub severity: Severity,
    /// The main content. Text nearly always; Metlog's own clients also sent numbers, objects and null.
    pub payload: Value,
    /// Everything else the caller said.
    pub fields: Fields,
    /// Process id of the generator (`metlog_pid`); seven-key envelopes have none.
    pub pid: Option<i64>,
    /// Host of the generator (`metlog_hostname`).
    pub hostname: Option<String>,
    /// Random id of the sending client and its running number: how a receiver counts what was lost on the way.
    pub origin: Option<Origin>,
    /// Envelope keys that are none of ours, kept as they came.
    pub extra: Fields,
}

/// Who sent a message, and as its how-manieth: `metlog_client` and `metlog_seq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Random id of one sender of one client.
    pub client: String,
    /// 1, 2, 3 … without gaps at the sender.
    pub seq: u64,
}

impl Message {
    /// A message of this type, now, with every default of the envelope.
    pub fn new(kind: impl Into<String>) -> Self {
        Message {
            kind: kind.into(),
            timestamp: Timestamp::now(),
            logger: String::new(),
            severity: Severity::default(),
            payload: Value::from(""),
            fields: Fields::new(),
            pid: None,
            hostname: None,
            origin: None,
            extra: Fields::new(),
        }
    }

    /// Sets the payload.
    pub fn payload(mut self, payload: impl Into<Value>) -> Self {
        self.payload = payload.into();
        self
    }

    /// Sets the severity.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Sets the logger.
    pub fn logger(mut self, logger: impl Into<String>) -> Self {
        self.logger = logger.into();
        self
    }

    /// Sets one field; a second value for the same name replaces the first.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.set(name, value);
        self
    }
}
