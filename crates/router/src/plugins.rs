//! The one list of plugins this program is linked with: a plugin that nobody names here is silently not there. A test
//! compares it with the folders and with the registry.

use metlog_debug as _;
use metlog_email as _;
use metlog_file as _;
use metlog_filters as _;
use metlog_forward as _;
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
