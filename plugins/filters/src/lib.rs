//! Filters. Metlog's, by severity and type: `severity_max`, `type_whitelist`, `type_blacklist`, `type_severity_max`; and
//! `logger`, `field`, `sample`, `rate_limit`, `dedup`, `quota`; and `redact`, which changes messages.
//!
//! Those that look at type and severity alone the client asks once per call site. The others see each message, as bytes:
//! none of them reads it into a tree. They allocate where the one value they look for holds escapes, and while a table of
//! keys grows, which it does not for ever.

#[cfg(feature = "content")]
mod dedup;
#[cfg(feature = "content")]
mod field;
#[cfg(feature = "content")]
mod logger;
#[cfg(feature = "content")]
mod number;
#[cfg(feature = "content")]
mod path;
#[cfg(feature = "content")]
mod quota;
#[cfg(feature = "content")]
mod rate_limit;
#[cfg(feature = "content")]
mod redact;
#[cfg(feature = "content")]
mod sample;
mod severity;
#[cfg(feature = "content")]
mod table;
mod types;

#[cfg(feature = "content")]
pub use dedup::{Dedup, DedupConfig, Swallowed};
#[cfg(feature = "content")]
pub use field::{Choice, Condition, Field, FieldConfig, Pattern};
#[cfg(feature = "content")]
pub use logger::{Logger, LoggerConfig};
#[cfg(feature = "content")]
pub use number::Number;
#[cfg(feature = "content")]
pub use path::Path;
#[cfg(feature = "content")]
pub use quota::{Quota, QuotaConfig, Rate, SizeRate};
#[cfg(feature = "content")]
pub use rate_limit::{RateLimit, RateLimitConfig};
#[cfg(feature = "content")]
pub use redact::{Action, Preset, Redact, RedactConfig};
#[cfg(feature = "content")]
pub use sample::{Sample, SampleConfig};
pub use severity::{SeverityMax, TypeSeverityMax};
pub use types::{TypeBlacklist, TypeWhitelist};
