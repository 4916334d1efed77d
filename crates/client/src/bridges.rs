//! Bridges: what programs already say through `tracing`, `log`, `metrics` and `tower` becomes messages.
//!
//! A bridge is a handful of call sites whose values come at run time, so the question "does any sender want this?"
//! costs one load here too, and the formatting that can wait is left to the background thread. All bridges speak to the
//! default client, whichever that is when something is said.

#[cfg(feature = "log")]
pub mod log;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "tracing")]
pub mod tracing;

use crate::site::{self, Site};
use metlog_message::wire;

/// A site whose fields travel as one map, since their names are only known at run time.
macro_rules! open_site {
    ($kind:expr, $name:literal, $fields:expr, $level:literal) => {
        $crate::site::Site::new($crate::site::Meta {
            kind: $kind,
            name: $name,
            text: if matches!($kind, Kind::Log(_)) { "{}" } else { "" },
            text_args: if matches!($kind, Kind::Custom) { 0 } else { 1 },
            fields: $fields,
            level: $level,
            module: module_path!(),
            file: file!(),
            line: line!(),
        })
    };
}
use open_site;

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

/// An object's members as JSON. The first value of a name stays: whoever is nearest writes first.
#[derive(Default)]
struct Members {
    /// `{"name":value,` …
    json: Vec<u8>,
    /// Where the names stand in it, quotes included.
    names: Vec<(usize, usize)>,
    /// What the site takes beside the map. A member of that name would be lost, so it gets a `_`.
    reserved: &'static [&'static str],
}

impl Members {
    /// Adds a member unless the name is taken. `value` must write one JSON value.
    fn put(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        let before = self.json.len();
        self.json.push(if before == 0 { b'{' } else { b',' });
        let start = self.json.len();
        wire::write_str(&mut self.json, name);
        if self.reserved.contains(&name) {
            self.json.pop();
            self.json.extend_from_slice(b"_\"");
        }
        let end = self.json.len();
        let own = self.json.get(start..end);
        if self.names.iter().any(|&(from, to)| self.json.get(from..to) == own) {
            self.json.truncate(before);
            return;
        }
        self.names.push((start, end));
        self.json.push(b':');
        value(&mut self.json);
    }

    fn put_str(&mut self, name: &str, value: &str) {
        self.put(name, |out| wire::write_str(out, value));
    }

    /// The object.
    fn finish(&mut self) -> &str {
        if self.json.is_empty() {
            self.json.push(b'{');
        }
        self.json.push(b'}');
        // Everything in it was written by `wire`.
        std::str::from_utf8(&self.json).unwrap_or("{}")
    }

    fn clear(&mut self) {
        self.json.clear();
        self.names.clear();
    }
}

#[cfg(any(feature = "log", feature = "tracing"))]
use leveled::{Draft, Level, Place, draft, said};

/// What the two bridges for log records share.
#[cfg(any(feature = "log", feature = "tracing"))]
mod leveled {
    use super::{Members, is_wanted, word_of};
    use crate::arg::Arg;
    use crate::site::{Kind, Site};
    use crate::{engine, site, thread};
    use metlog_message::{Severity, wire};
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The five levels that `tracing` and `log` share.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Level {
        Error,
        Warn,
        Info,
        Debug,
        Trace,
    }

    const FIELDS: &[&str] = &["fields"];
    static ERROR: Site = open_site!(Kind::Log(Severity::Error), "", FIELDS, "");
    static WARN: Site = open_site!(Kind::Log(Severity::Warning), "", FIELDS, "");
    static INFO: Site = open_site!(Kind::Log(Severity::Informational), "", FIELDS, "");
    static DEBUG: Site = open_site!(Kind::Log(Severity::Debug), "", FIELDS, "");
    static TRACE: Site = open_site!(Kind::Log(Severity::Debug), "", FIELDS, "trace");

    /// The same with the target as logger.
    const LOGGER: &[&str] = &["logger", "fields"];
    static ERROR_OF: Site = open_site!(Kind::Log(Severity::Error), "", LOGGER, "");
    static WARN_OF: Site = open_site!(Kind::Log(Severity::Warning), "", LOGGER, "");
    static INFO_OF: Site = open_site!(Kind::Log(Severity::Informational), "", LOGGER, "");
    static DEBUG_OF: Site = open_site!(Kind::Log(Severity::Debug), "", LOGGER, "");
    static TRACE_OF: Site = open_site!(Kind::Log(Severity::Debug), "", LOGGER, "trace");

    impl Level {
        /// The site that speaks for this level.
        pub fn site(self, target_as_logger: bool) -> &'static Site {
            if target_as_logger { self.site_with_logger() } else { self.plain_site() }
        }

        fn plain_site(self) -> &'static Site {
            match self {
                Level::Error => &ERROR,
                Level::Warn => &WARN,
                Level::Info => &INFO,
                Level::Debug => &DEBUG,
                Level::Trace => &TRACE,
            }
        }

        fn site_with_logger(self) -> &'static Site {
            match self {
                Level::Error => &ERROR_OF,
                Level::Warn => &WARN_OF,
                Level::Info => &INFO_OF,
                Level::Debug => &DEBUG_OF,
                Level::Trace => &TRACE_OF,
            }
        }

        /// Whether any sender wants messages of this level now.
        #[inline]
        pub fn is_wanted(self) -> bool {
            is_wanted(self.plain_site())
        }
    }

    /// A message in the making. Its buffers belong to the thread and are used again.
    #[derive(Default)]
    pub struct Draft {
        pub payload: Vec<u8>,
        pub members: Members,
    }

    thread_local! {
        static DRAFT: RefCell<Draft> = RefCell::default();
    }

    /// Buffers beyond this are given back rather than kept by every thread that once said something large.
    const KEEP: usize = 64 * 1024;

    /// Hands an empty draft for this site to `with`. What `with` itself says through a bridge gets another one.
    pub fn draft<T>(site: &'static Site, with: impl FnOnce(&mut Draft) -> T) -> T {
        let mut draft = DRAFT.try_with(RefCell::take).unwrap_or_default();
        draft.members.reserved = site.meta.fields;
        let result = with(&mut draft);
        draft.payload.clear();
        draft.members.clear();
        if draft.payload.capacity() + draft.members.json.capacity() <= KEEP {
            // The thread may be ending; then the buffers end here.
            let _ = DRAFT.try_with(|place| place.replace(draft));
        }
        result
    }

    /// Where something was said.
    #[derive(Default)]
    pub struct Place<'a> {
        pub target: &'a str,
        pub module: Option<&'a str>,
        pub file: Option<&'a str>,
        pub line: Option<u32>,
    }

    /// Sends a draft whose own fields are in it; `around` adds what stands further away.
    pub fn said(site: &'static Site, draft: &mut Draft, place: &Place<'_>, around: impl FnOnce(&mut Members)) {
        let word = word_of(site);
        if word & site::LIVE == 0 {
            return;
        }
        let Draft { payload, members } = draft;
        let target_as_logger = site.meta.fields == LOGGER;
        if !target_as_logger {
            members.put_str("target", place.target);
        }
        place.put(members, word);
        around(members);
        let payload = std::str::from_utf8(payload).unwrap_or_default();
        let (payload, fields) = (Arg::Str(payload), Arg::Json(members.finish()));
        if target_as_logger {
            thread::emit(site, word, [payload, Arg::Str(place.target), fields]);
        } else {
            thread::emit(site, word, [payload, fields]);
        }
    }

    impl Place<'_> {
        /// If the client wants to know: all three, also where unknown, since they stand in the place of the site's own,
        /// which are the bridge's.
        pub fn put(&self, members: &mut Members, word: u64) {
            if !has_location(site::client_of(word)) {
                return;
            }
            let text = |out: &mut Vec<u8>, text: Option<&str>| match text {
                Some(text) => wire::write_str(out, text),
                None => out.extend_from_slice(b"null"),
            };
            members.put("module", |out| text(out, self.module));
            members.put("file", |out| text(out, self.file));
            members.put("line", |out| match self.line {
                Some(line) => wire::write_u64(out, line.into()),
                None => out.extend_from_slice(b"null"),
            });
        }
    }

    /// Whether this client wants to know where. Remembered for the client that was asked about last, because finding a
    /// client takes a lock.
    fn has_location(client: u32) -> bool {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let last = LAST.load(Ordering::Relaxed);
        if last >> 1 == u64::from(client) {
            return last & 1 == 1;
        }
        let Some(core) = engine::client(client) else { return false };
        LAST.store(u64::from(client) << 1 | u64::from(core.envelope.location), Ordering::Relaxed);
        core.envelope.location
    }
}
