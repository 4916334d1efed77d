//! `log` records as messages.
//!
//! ```
//! metlog::log::init()?;
//! # Ok::<(), metlog::log::SetLoggerError>(())
//! ```
//!
//! A record becomes a message of type `oldstyle`: the formatted text is the payload, the structured values are fields
//! with their types, `target` is the record's target. Severities: error 3, warn 4, info 6, debug and trace 7, the latter
//! with the field `level` = `trace`. `module`, `file` and `line` come when the client is configured to say where. A value
//! named `fields` arrives as `fields_`.
//!
//! What no sender wants costs a call and a load; below [`Logger::max_level`] it costs a load. What metlog's own threads
//! say is left out, or a sender that uses `log` itself would feed on what it sends.

use super::leveled::{Draft, Level, Place, draft, said};
use crate::engine;
use ::log::kv::{Error, Key, Value, VisitSource, VisitValue};
pub use ::log::{LevelFilter, SetLoggerError};
use ::log::{Log, Metadata, Record};
use metlog_message::wire;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

/// Takes over all records with every default. Calling it again is no error.
///
/// # Errors
/// The program has another logger already.
pub fn init() -> Result<(), SetLoggerError> {
    Logger::new().init()
}

/// The logger, for programs that install it themselves or combine several.
#[derive(Debug, Clone)]
pub struct Logger {
    max_level: LevelFilter,
    target_as_logger: bool,
}

impl Default for Logger {
    fn default() -> Self {
        Logger::new()
    }
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

impl Logger {
    /// With every default.
    #[must_use]
    pub const fn new() -> Self {
        Logger { max_level: LevelFilter::Trace, target_as_logger: false }
    }

    /// Records beyond this level are never looked at. The client's filters decide about the others, so it is `Trace`
    /// otherwise.
    #[must_use]
    pub const fn max_level(mut self, level: LevelFilter) -> Self {
        self.max_level = level;
        self
    }

    /// A record's target becomes the message's `logger` in place of a field `target`. Off otherwise.
    #[must_use]
    pub const fn target_as_logger(mut self, as_logger: bool) -> Self {
        self.target_as_logger = as_logger;
        self
    }

    /// Takes over all records, and sets `log`'s own maximum. Of several calls the first one's choices stay.
    ///
    /// # Errors
    /// The program has a logger that is none of ours.
    pub fn init(self) -> Result<(), SetLoggerError> {
        let max_level = self.max_level;
        match ::log::set_boxed_logger(Box::new(self)) {
            Ok(()) => {
                INSTALLED.store(true, Ordering::Release);
                ::log::set_max_level(max_level);
                Ok(())
            }
            Err(_) if INSTALLED.load(Ordering::Acquire) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Level {
    fn from_log(level: ::log::Level) -> Self {
        match level {
            ::log::Level::Error => Level::Error,
            ::log::Level::Warn => Level::Warn,
            ::log::Level::Info => Level::Info,
            ::log::Level::Debug => Level::Debug,
            ::log::Level::Trace => Level::Trace,
        }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.max_level && Level::from_log(metadata.level()).is_wanted()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let site = Level::from_log(record.level()).site(self.target_as_logger);
        draft(site, |draft| {
            match record.args().as_str() {
                Some(text) => draft.payload.extend_from_slice(text.as_bytes()),
                // Writing into a vector fails only if a value's own code does; then the payload is what came before.
                None => drop(draft.payload.write_fmt(*record.args())),
            }
            // A source may end early; what came before stays.
            let _ = record.key_values().visit(&mut Pairs(draft));
            let place = Place {
                target: record.target(),
                module: record.module_path(),
                file: record.file(),
                line: record.line(),
            };
            said(site, draft, &place, |_| {});
        });
    }

    /// Waits until the default client has sent everything, for as long as its shutdown may take.
    fn flush(&self) {
        if !engine::is_internal()
            && let Some(client) = crate::default_client()
        {
            let _ = client.flush(client.shutdown_timeout());
        }
    }
}

struct Pairs<'a>(&'a mut Draft);

impl<'kvs> VisitSource<'kvs> for Pairs<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.members.put(key.as_str(), |out| {
            let start = out.len();
            if value.visit(Json(out)).is_err() || out.len() == start {
                out.truncate(start);
                out.extend_from_slice(b"null");
            }
        });
        Ok(())
    }
}

/// Writes a value as JSON.
struct Json<'a>(&'a mut Vec<u8>);

impl<'v> VisitValue<'v> for Json<'_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), Error> {
        wire::write_str(self.0, &value.to_string());
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), Error> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
        wire::write_u64(self.0, value);
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), Error> {
        wire::write_i64(self.0, value);
        Ok(())
    }

    fn visit_u128(&mut self, value: u128) -> Result<(), Error> {
        Ok(write!(self.0, "{value}")?)
    }

    fn visit_i128(&mut self, value: i128) -> Result<(), Error> {
        Ok(write!(self.0, "{value}")?)
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), Error> {
        wire::write_f64(self.0, value);
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), Error> {
        Ok(write!(self.0, "{value}")?)
    }

    fn visit_str(&mut self, value: &str) -> Result<(), Error> {
        wire::write_str(self.0, value);
        Ok(())
    }
}
