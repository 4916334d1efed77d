//! Filters by severity and type, with Metlog's semantics: `severity_max`, `type_whitelist`, `type_blacklist`,
//! `type_severity_max`. All of them decide by type and severity alone, so the client asks once per call site.

mod severity;
mod types;

pub use severity::{SeverityMax, TypeSeverityMax};
pub use types::{TypeBlacklist, TypeWhitelist};
