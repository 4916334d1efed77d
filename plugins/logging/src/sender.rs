use log::Level;
use metlog_message::wire::{self, Limits};
use metlog_message::{Lines, Severity};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{SendError, Sender, SenderEntry, inventory};
use serde::Deserialize;

/// Settings of `logging`. `*` stands for every type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The target of the records; `metlog` if it is empty.
    pub logger_name: String,
    /// Types of which the payload is logged.
    pub payload_types: Vec<String>,
    /// Types that are logged whole, as JSON. Others are dropped.
    pub json_types: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config { logger_name: String::new(), payload_types: vec!["oldstyle".into()], json_types: vec!["*".into()] }
    }
}

/// Hands messages to whatever logger the program has installed.
#[derive(Debug)]
pub struct LoggingSender(Config);

impl LoggingSender {
    fn log(&self, line: &[u8]) {
        let limits = Limits::NONE;
        let target = if self.0.logger_name.is_empty() { "metlog" } else { &self.0.logger_name };
        let Ok(read) = wire::read(line, &limits) else {
            // Nested too deep to be told its type: shown whole rather than lost.
            log::warn!(target: target, "{}", String::from_utf8_lossy(line));
            return;
        };
        let message = read.message;
        let has = |types: &[String]| types.iter().any(|known| known == "*" || *known == message.kind);
        let text = if has(&self.0.payload_types) {
            message.payload.to_text()
        } else if has(&self.0.json_types) {
            String::from_utf8_lossy(line)
        } else {
            return;
        };
        // The macro asks the installed logger whether it is enabled, and builds the record.
        log::log!(target: target, level(message.severity), "{text}");
    }
}

/// `log` has no level above error: critical and worse are errors too.
fn level(severity: Severity) -> Level {
    match severity {
        Severity::Emergency | Severity::Alert | Severity::Critical | Severity::Error => Level::Error,
        Severity::Warning => Level::Warn,
        Severity::Notice | Severity::Informational => Level::Info,
        Severity::Debug => Level::Debug,
    }
}

impl Sender for LoggingSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        batch.iter().for_each(|line| self.log(line));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SendError> {
        log::logger().flush();
        Ok(())
    }
}

impl Configured for LoggingSender {
    type Config = Config;
    fn open(config: Config) -> Result<Self, String> {
        Ok(LoggingSender(config))
    }
}

inventory::submit! {
    SenderEntry::of::<LoggingSender>(
        "logging",
        &[
            "metlog.senders.StdLibLoggingSender",
            "metlog.senders.logging.StdLibLoggingSender",
            "StdLibLoggingSender",
        ],
        include_str!("../example.toml"),
    )
}
