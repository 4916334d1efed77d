//! What the bridges for `tracing` and `log` share: five levels, and the making of a message.

use super::members::Members;
use super::{is_wanted, word_of};
use crate::arg::Arg;
use crate::site::{Kind, Site};
use crate::{engine, site, thread};
use metlog_message::{Severity, wire};
use std::cell::Cell;
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
    /// Boxed, so that taking it out and putting it back moves a pointer: up to a tenth of what an event costs.
    static DRAFT: Cell<Option<Box<Draft>>> = const { Cell::new(None) };
}

/// Buffers beyond this are given back rather than kept by every thread that once said something large.
const KEEP: usize = 64 * 1024;

/// Hands an empty draft for this site to `with`. What `with` itself says through a bridge gets another one.
pub fn draft<T>(site: &'static Site, with: impl FnOnce(&mut Draft) -> T) -> T {
    let mut draft = DRAFT.try_with(Cell::take).ok().flatten().unwrap_or_default();
    draft.payload.clear();
    draft.members.reset(site);
    let result = with(&mut draft);
    if draft.payload.capacity() + draft.members.room() <= KEEP {
        // The thread may be ending; then the buffers end here.
        let _ = DRAFT.try_with(|place| place.set(Some(draft)));
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
