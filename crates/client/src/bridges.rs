//! Bridges: what programs already say through `tracing`, `log`, `metrics` and `tower` becomes messages.
//!
//! A bridge is a handful of call sites whose values come at run time, so the question "does any sender want this?"
//! costs one load here too, and the formatting that can wait is left to the background thread. All bridges speak to the
//! default client, whichever that is when something is said.

use crate::site::{self, Site};

/// A site whose fields travel as one map, since their names are only known at run time.
#[cfg(any(feature = "log", feature = "metrics", feature = "tracing"))]
macro_rules! open_site {
    ($kind:expr, $name:literal, $fields:expr, $level:literal) => {
        $crate::site::Site::new($crate::site::Meta {
            kind: $kind,
            name: $name,
            text: if matches!($kind, Kind::Log(_)) { "{}" } else { "" },
            text_args: if matches!($kind, Kind::Custom) { 0 } else { 1 },
            fields: $fields,
            level: $level,
            module: "",
            file: file!(),
            line: line!(),
        })
    };
}

#[cfg(any(feature = "log", feature = "tracing"))]
mod leveled;
#[cfg(feature = "log")]
pub mod log;
#[cfg(any(feature = "log", feature = "metrics", feature = "tracing"))]
mod members;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "tracing")]
pub mod tracing;

/// The site's word, also the first time.
#[inline]
fn word_of(site: &'static Site) -> u64 {
    let word = site.word();
    if site::is_known(word) { word } else { site.known() }
}

/// Whether a message of this site would go anywhere now.
#[inline]
fn is_wanted(site: &'static Site) -> bool {
    word_of(site) & site::LIVE != 0 && !crate::engine::is_internal()
}
