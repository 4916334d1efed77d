//! The one list of plugins this library is linked with: a plugin that nobody names here is silently not there. A test
//! compares it with the folders and with the registry.

use metlog_pipeline::registry::Unknown;
use metlog_settings::{Origin, Problem};

#[cfg(feature = "cef")]
use metlog_cef as _;
#[cfg(feature = "debug")]
use metlog_debug as _;
#[cfg(feature = "file")]
use metlog_file as _;
#[cfg(feature = "filters")]
use metlog_filters as _;
#[cfg(feature = "logcollector")]
use metlog_logcollector as _;
#[cfg(feature = "logging")]
use metlog_logging as _;
#[cfg(feature = "madsci")]
use metlog_madsci as _;
#[cfg(feature = "masterlog")]
use metlog_masterlog as _;
#[cfg(feature = "nats")]
use metlog_nats as _;
#[cfg(feature = "null")]
use metlog_null as _;
#[cfg(feature = "procinfo")]
use metlog_procinfo as _;
#[cfg(feature = "http")]
use metlog_send_http as _;
#[cfg(feature = "stdout")]
use metlog_stdout as _;
#[cfg(feature = "tcp")]
use metlog_tcp as _;
#[cfg(feature = "udp")]
use metlog_udp as _;
#[cfg(feature = "victorialogs")]
use metlog_victorialogs as _;
#[cfg(feature = "zmq")]
use metlog_zmq as _;

/// Names in configurations and the feature each needs.
const FEATURES: [(&str, &str); 29] = [
    ("cef", "cef"),
    ("debug", "debug"),
    ("dedup", "content-filters"),
    ("field", "content-filters"),
    ("file", "file"),
    ("http", "http"),
    ("logcollector", "logcollector"),
    ("logger", "content-filters"),
    ("logging", "logging"),
    ("madsci", "madsci"),
    ("masterlog", "masterlog"),
    ("nats", "nats"),
    ("null", "null"),
    ("procinfo", "procinfo"),
    ("quota", "content-filters"),
    ("rate_limit", "content-filters"),
    ("redact", "content-filters"),
    ("sample", "content-filters"),
    ("severity_max", "filters"),
    ("stdout", "stdout"),
    ("stream", "stdout"),
    ("tcp", "tcp"),
    ("type_blacklist", "filters"),
    ("type_severity_max", "filters"),
    ("type_whitelist", "filters"),
    ("udp", "udp"),
    ("victorialogs", "victorialogs"),
    ("zmq_handshake_pub", "zmq"),
    ("zmq_pub", "zmq"),
];

/// What a person reads when a configuration names something this program does not have.
pub(crate) fn unknown(place: &Origin, unknown: Unknown) -> Problem {
    match FEATURES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unknown.name())) {
        Some((name, feature)) => {
            let right = format!("`{name}` is not in this program: build it with metlog's feature `{feature}`");
            Problem::at(place, right)
        }
        None => Problem::at(place, unknown.to_string()).suggest(unknown.suggestion.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::FEATURES;
    use metlog_pipeline::{FilterEntry, MethodEntry, SenderEntry};

    #[test]
    fn the_table_of_features_names_what_is_linked() {
        let senders = SenderEntry::all().into_iter().map(|entry| entry.name);
        let filters = FilterEntry::all().into_iter().map(|entry| entry.name);
        let methods = MethodEntry::all().into_iter().map(|entry| entry.name);
        for name in senders.chain(filters).chain(methods) {
            assert!(FEATURES.iter().any(|(known, _)| *known == name), "`{name}` has no feature in the table");
        }
    }
}
