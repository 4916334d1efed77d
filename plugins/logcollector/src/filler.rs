//! What stands in columns that must not be empty where nobody said anything.

use metlog_message::Value;

pub(crate) const ENVIRONMENT: &str = "development";
pub(crate) const SERVICE_VERSION: &str = "v0.0.0-dev";
pub(crate) const LOG_TYPE: &str = "BACKEND";
/// If the logger has no name either.
pub(crate) const SERVICE: &str = "unknown";

/// Whether our own sender may have put this there by itself, without being told by settings.
pub(crate) fn is(column: &str, cell: &Value, logger: &str) -> bool {
    let Some(text) = cell.as_str() else { return false };
    match column {
        "environment" => text == ENVIRONMENT,
        "service_version" => text == SERVICE_VERSION,
        "log_type" => text == LOG_TYPE,
        "service" if logger.is_empty() => text == SERVICE,
        // As far as the column has room.
        "service" => logger.chars().take(100).eq(text.chars()),
        _ => false,
    }
}
