//! The one list of plugins this program is linked with: a plugin that nobody names here is silently not there. A test
//! compares it with the folders and with the registry.

use metlog_debug as _;
use metlog_email as _;
use metlog_file as _;
use metlog_filters as _;
use metlog_forward as _;
#[cfg(feature = "kafka")]
use metlog_kafka as _;
use metlog_logcollector as _;
use metlog_madsci as _;
use metlog_masterlog as _;
use metlog_nats as _;
use metlog_null as _;
use metlog_postgres as _;
use metlog_send_http as _;
use metlog_sentry as _;
use metlog_statsd as _;
use metlog_stdin as _;
use metlog_stdout as _;
use metlog_store as _;
use metlog_tcp as _;
use metlog_udp as _;
use metlog_victorialogs as _;
use metlog_webhook as _;
use metlog_zmq as _;

/// Plugins that a build leaves out unless it is asked for them, and that this one was not asked for. Each is also the name
/// of the feature that brings it.
pub const LEFT_OUT: &[&str] = if cfg!(feature = "kafka") { &[] } else { &["kafka"] };

/// How to get a plugin that this program could have and has not.
pub(crate) fn left_out(name: &str) -> Option<String> {
    let name = LEFT_OUT.iter().find(|known| known.eq_ignore_ascii_case(name))?;
    Some(format!(
        "this program was built without `{name}`; `cargo install metlog-router --features {name}` makes one that has it"
    ))
}
