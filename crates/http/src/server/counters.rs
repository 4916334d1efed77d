//! What a server counts.

use metlog_pipeline::Away;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What has counters of its own here.
const COUNTED_ABOVE: [Away; 4] = [Away::Cap, Away::Address, Away::Idle, Away::Protocol];

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident: $name:literal, $label:literal;)+) => {
        /// What a server has counted since it began.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $field: AtomicU64,)+
            /// Connections that never came to a request, by [`Away`]: those that have to do with TLS.
            away: [AtomicU64; Away::ALL.len()],
        }

        impl Counters {
            /// All of them, as name, label (empty if the name says it all) and value: for metrics.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                let own = [$(($name, $label, self.$field.load(Relaxed)),)+].into_iter();
                let away = Away::ALL.into_iter().zip(&self.away).filter(|(why, _)| !COUNTED_ABOVE.contains(why));
                own.chain(away.map(|(why, count)| ("connections_refused", why.name(), count.load(Relaxed))))
            }

            /// Counts a connection that never came to a request.
            pub(super) fn turn_away(&self, why: Away) {
                if let Some(counter) = self.away.get(why as usize) {
                    count(counter);
                }
            }

            /// How many connections never came to a request for this reason, which has to do with TLS.
            pub fn turned_away(&self, why: Away) -> u64 {
                self.away.get(why as usize).map_or(0, |counter| counter.load(Relaxed))
            }
        }
    };
}

counters! {
    /// Connections that are open: the only one that also falls.
    open: "connections_open", "";
    /// Connections that were let in.
    connections: "connections", "";
    /// Connections that were refused because there were as many as there may be.
    refused_cap: "connections_refused", "cap";
    /// Connections that were refused because their address had as many as one may have.
    refused_address: "connections_refused", "address";
    /// Failures to accept a connection, such as no free file descriptor.
    accept_errors: "accept_errors", "";
    /// Connections that ended because our code panicked.
    panics: "panics", "";
    /// Requests whose head came whole.
    requests: "requests", "";
    /// Bytes of bodies as they came, compressed or not.
    bytes: "body_bytes", "";
    /// Connections closed because a head took too long.
    header_timeouts: "timeouts", "header";
    /// Bodies that came too slowly.
    body_timeouts: "timeouts", "body";
    /// Connections closed because nothing happened on them: nobody's fault.
    idle_timeouts: "timeouts", "idle";
    /// Connections closed because the client did not read its answer.
    write_timeouts: "timeouts", "write";
    /// Bodies beyond a limit of size.
    too_large: "bodies_refused", "too_large";
    /// Bodies that expand to much more than they are.
    bombs: "bodies_refused", "bomb";
    /// Bodies that are not what their `Content-Encoding` says, or say one we do not know.
    bad_encoding: "bodies_refused", "encoding";
    /// Bodies refused because all bytes in flight were taken.
    in_flight_full: "bodies_refused", "in_flight";
    /// Requests whose `Host` is not ours.
    foreign_host: "requests_refused", "host";
    /// Requests that a page of somebody else's sent.
    foreign_origin: "requests_refused", "origin";
    /// Requests without a key where one is needed.
    without_key: "requests_refused", "no_key";
    /// Requests with a key that is not known.
    wrong_key: "requests_refused", "wrong_key";
    /// Requests with a key that is not known, from an address that had brought too many of them.
    wrong_keys: "requests_refused", "wrong_keys";
    /// Requests that their key is not good for.
    wrong_scope: "requests_refused", "scope";
    /// Requests beyond the rate of their key.
    over_rate: "requests_refused", "rate";
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
