//! `tracing` events and spans as messages.
//!
//! ```
//! use tracing_subscriber::prelude::*;
//! tracing_subscriber::registry().with(metlog::tracing::layer()).init();
//! ```
//!
//! An event becomes a message of type `oldstyle`: its message is the payload, its fields keep their types (an error
//! comes with its causes), the fields of the spans it happens in are there too, the inner one winning. `target` is the
//! event's target and `span` the names of its spans, `outer:inner`. Severities: ERROR 3, WARN 4, INFO 6, DEBUG and
//! TRACE 7, the latter with the field `level` = `trace`. `module`, `file` and `line` come when the client is configured
//! to say where. A field named `fields` arrives as `fields_`.
//!
//! What no sender wants costs a load per event after the subscriber's own overhead; [`Builder::settled`] and
//! [`Builder::max_level`] take that away too. The layer brings its own filter, so that layers beside it see what they
//! want to see. What metlog's own threads say, for example the libraries a sender uses, is left out.
//!
//! Events that came from `log` through `tracing-log` are taken back to where they were said.

use super::leveled::{Draft, Level, Place, draft, said};
use super::members::Members;
use super::{is_wanted, word_of};
use crate::arg::Arg;
use crate::site::{self, Kind, Site};
use crate::trouble::{Trouble, ViaDeref as _};
use crate::{clock, engine, thread};
use metlog_message::wire;
use std::error::Error;
use std::fmt::{self, Debug, Write as _};
use std::io::Write as _;
pub use tracing_core::LevelFilter;
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Interest, Metadata, Subscriber};
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// The layer with every default; see [`builder`].
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> Filtered<Bridge, Wanted, S> {
    builder().layer()
}

/// A layer with choices.
pub fn builder() -> Builder {
    Builder {
        bridge: Bridge { timers: false, target_as_logger: false },
        wanted: Wanted { events: LevelFilter::TRACE, spans: LevelFilter::DEBUG, settled: false },
    }
}

/// Choices for a layer.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    bridge: Bridge,
    wanted: Wanted,
}

impl Builder {
    /// Each span's end sends a message of type `timer` with the span's name, fields and milliseconds from its making to
    /// its end, waiting included. `disabled_timers` applies. Off otherwise.
    pub fn timers(mut self, timers: bool) -> Self {
        self.bridge.timers = timers;
        self
    }

    /// An event's target becomes the message's `logger` in place of a field `target`. Off otherwise.
    pub fn target_as_logger(mut self, as_logger: bool) -> Self {
        self.bridge.target_as_logger = as_logger;
        self
    }

    /// Events beyond this level are never looked at. The client's filters decide about the others, so it is TRACE
    /// otherwise.
    pub fn max_level(mut self, level: LevelFilter) -> Self {
        self.wanted.events = level;
        self
    }

    /// Spans beyond this level lend events no fields and are no timers. DEBUG otherwise: some libraries open a TRACE
    /// span for every frame.
    pub fn max_span_level(mut self, level: LevelFilter) -> Self {
        self.wanted.spans = level;
        self
    }

    /// The default client is set up and stays as it is: what no sender wants now is switched off at its call site and
    /// costs nothing. After a change all the same, call `tracing::callsite::rebuild_interest_cache()`. Off otherwise.
    pub fn settled(mut self, settled: bool) -> Self {
        self.wanted.settled = settled;
        self
    }

    /// The layer.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(self) -> Filtered<Bridge, Wanted, S> {
        self.bridge.with_filter(self.wanted)
    }
}

impl Level {
    fn of(level: &tracing_core::Level) -> Self {
        match *level {
            tracing_core::Level::ERROR => Level::Error,
            tracing_core::Level::WARN => Level::Warn,
            tracing_core::Level::INFO => Level::Info,
            tracing_core::Level::DEBUG => Level::Debug,
            tracing_core::Level::TRACE => Level::Trace,
        }
    }
}

/// The filter that a [`layer`] comes with: asks what the default client's senders want.
#[derive(Debug, Clone)]
pub struct Wanted {
    events: LevelFilter,
    spans: LevelFilter,
    settled: bool,
}

impl Wanted {
    fn allows(&self, meta: &Metadata<'_>) -> bool {
        *meta.level() <= if meta.is_span() { self.spans } else { self.events }
    }
}

impl<S> Filter<S> for Wanted {
    #[inline]
    fn enabled(&self, meta: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.allows(meta) && (meta.is_span() || Level::of(meta.level()).is_wanted())
    }

    fn callsite_enabled(&self, meta: &'static Metadata<'static>) -> Interest {
        match (self.allows(meta), meta.is_span()) {
            (false, _) => Interest::never(),
            (true, true) => Interest::always(),
            // What is never, stays never until someone rebuilds the cache, which no client can be asked to do.
            (true, false) if !self.settled => Interest::sometimes(),
            (true, false) if Level::of(meta.level()).is_wanted() => Interest::always(),
            (true, false) => Interest::never(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let all = [LevelFilter::TRACE, LevelFilter::DEBUG, LevelFilter::INFO, LevelFilter::WARN, LevelFilter::ERROR];
        let wanted = |level: &LevelFilter| level.into_level().is_some_and(|level| Level::of(&level).is_wanted());
        let highest = match self.settled {
            true => all.into_iter().find(wanted).unwrap_or(LevelFilter::OFF),
            false => LevelFilter::TRACE,
        };
        Some(highest.min(self.events).max(self.spans))
    }
}

/// The layer without its filter; [`layer`] puts the two together.
#[derive(Debug, Clone)]
pub struct Bridge {
    timers: bool,
    target_as_logger: bool,
}

/// What a span keeps for its events.
struct Kept {
    /// `outer:inner`
    path: Box<str>,
    /// Names and JSON.
    fields: Vec<(&'static str, Vec<u8>)>,
    /// When it was made, if its end is to be told.
    start: Option<u64>,
}

static TIMER: Site = open_site!(Kind::Timer, "", &["name", "rate", "fields"], "");

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Bridge {
    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut fields = Vec::new();
        attrs.record(&mut Rendered(&mut fields));
        let path = match span.parent() {
            Some(parent) => match parent.extensions().get::<Kept>() {
                Some(kept) => format!("{}:{}", kept.path, span.name()).into(),
                None => span.name().into(),
            },
            None => span.name().into(),
        };
        let start = (self.timers && is_wanted(&TIMER)).then(clock::ticks);
        span.extensions_mut().replace(Kept { path, fields, start });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        // Rendered before the span is locked: the values' own code runs there, and may say something in this span.
        let mut fields = Vec::new();
        values.record(&mut Rendered(&mut fields));
        if let Some(kept) = span.extensions_mut().get_mut::<Kept>() {
            for (name, json) in fields {
                set(&mut kept.fields, name, json);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let meta = event.metadata();
        let level = Level::of(meta.level());
        if !level.is_wanted() {
            return;
        }
        let site = level.site(self.target_as_logger);
        draft(site, |draft| {
            let mut values = Values { draft, origin: (meta.target() == "log").then(Origin::default) };
            event.record(&mut values);
            let Values { draft, origin } = values;
            let origin = origin.unwrap_or_default();
            let place = Place {
                target: origin.target.as_deref().unwrap_or(meta.target()),
                module: origin.module.as_deref().or(meta.module_path()),
                file: origin.file.as_deref().or(meta.file()),
                line: origin.line.or(meta.line()),
            };
            said(site, draft, &place, |members| put_spans(members, ctx.event_scope(event).into_iter().flatten()));
        });
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(&id) else { return };
        let Some(start) = span.extensions().get::<Kept>().and_then(|kept| kept.start) else { return };
        let word = word_of(&TIMER);
        if word & site::LIVE == 0 || engine::is_internal() {
            return;
        }
        let now = clock::ticks();
        if engine::client(site::client_of(word)).is_none_or(|client| client.is_timer_disabled(span.name())) {
            return;
        }
        draft(&TIMER, |Draft { members, .. }| {
            let meta = span.metadata();
            let place =
                Place { target: meta.target(), module: meta.module_path(), file: meta.file(), line: meta.line() };
            members.put_str("target", place.target);
            place.put(members, word);
            put_spans(members, span.scope());
            let ticks = Arg::Ticks(now.saturating_sub(start));
            let name = Arg::Str(span.name());
            thread::emit_at(&TIMER, word, now, [ticks, name, Arg::F64(1.0), Arg::Json(members.finish())]);
        });
    }
}

/// The fields of spans, from the innermost outwards.
fn put_spans<'a, S>(members: &mut Members, spans: impl Iterator<Item = SpanRef<'a, S>>)
where
    S: LookupSpan<'a> + 'a,
{
    for span in spans {
        if let Some(kept) = span.extensions().get::<Kept>() {
            // The innermost one's path holds all the others', and comes first.
            members.put_str("span", &kept.path);
            for (name, json) in &kept.fields {
                members.put(name, |out| out.extend_from_slice(json));
            }
        }
    }
}

fn set(fields: &mut Vec<(&'static str, Vec<u8>)>, name: &'static str, json: Vec<u8>) {
    match fields.iter_mut().find(|(own, _)| *own == name) {
        Some((_, own)) => *own = json,
        None => fields.push((name, json)),
    }
}

/// One value as JSON.
enum Json<'a> {
    Bool(bool),
    I64(i64),
    U64(u64),
    I128(i128),
    U128(u128),
    F64(f64),
    Str(&'a str),
    Error(&'a (dyn Error + 'static)),
    Debug(&'a dyn Debug),
}

impl Json<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        // Writing into a vector cannot fail.
        let _ = match *self {
            Json::Bool(truth) => write!(out, "{truth}"),
            Json::I128(number) => write!(out, "{number}"),
            Json::U128(number) => write!(out, "{number}"),
            Json::I64(number) => return wire::write_i64(out, number),
            Json::U64(number) => return wire::write_u64(out, number),
            Json::F64(number) => return wire::write_f64(out, number),
            Json::Str(text) => return wire::write_str(out, text),
            Json::Error(error) => return wire::write_str(out, &(&Trouble(&error)).chain()),
            Json::Debug(value) => {
                out.push(b'"');
                // If the value's own code fails, what came before stays.
                let _ = write!(Escaped(out), "{value:?}");
                return out.push(b'"');
            }
        };
    }
}

/// Writes what is formatted into JSON text, without a text in between.
struct Escaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        wire::write_str_inside(self.0, text);
        Ok(())
    }
}

/// A visitor is one function behind eight names.
macro_rules! visits {
    () => {
        fn record_f64(&mut self, field: &Field, value: f64) {
            self.take(field, Json::F64(value));
        }
        fn record_i64(&mut self, field: &Field, value: i64) {
            self.take(field, Json::I64(value));
        }
        fn record_u64(&mut self, field: &Field, value: u64) {
            self.take(field, Json::U64(value));
        }
        fn record_i128(&mut self, field: &Field, value: i128) {
            self.take(field, Json::I128(value));
        }
        fn record_u128(&mut self, field: &Field, value: u128) {
            self.take(field, Json::U128(value));
        }
        fn record_bool(&mut self, field: &Field, value: bool) {
            self.take(field, Json::Bool(value));
        }
        fn record_str(&mut self, field: &Field, value: &str) {
            self.take(field, Json::Str(value));
        }
        fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
            self.take(field, Json::Error(value));
        }
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.take(field, Json::Debug(value));
        }
    };
}

/// A span's fields.
struct Rendered<'a>(&'a mut Vec<(&'static str, Vec<u8>)>);

impl Rendered<'_> {
    fn take(&mut self, field: &Field, value: Json<'_>) {
        let mut json = Vec::new();
        value.write(&mut json);
        set(self.0, field.name(), json);
    }
}

impl Visit for Rendered<'_> {
    visits!();
}

/// Where `tracing-log` says that a record came from.
#[derive(Default)]
struct Origin {
    target: Option<String>,
    module: Option<String>,
    file: Option<String>,
    line: Option<u32>,
}

/// An event's fields.
struct Values<'a> {
    draft: &'a mut Draft,
    origin: Option<Origin>,
}

impl Values<'_> {
    fn take(&mut self, field: &Field, value: Json<'_>) {
        let name = field.name();
        if let Some(origin) = &mut self.origin
            && origin.take(name, &value)
        {
            return;
        }
        if name != "message" {
            return self.draft.members.put(name, |out| value.write(out));
        }
        let payload = &mut self.draft.payload;
        // Writing into a vector fails only if the value's own code does; then the payload is what came before.
        let _ = match value {
            Json::Str(text) => payload.write_all(text.as_bytes()),
            Json::Debug(value) => write!(payload, "{value:?}"),
            Json::Error(error) => payload.write_all((&Trouble(&error)).chain().as_bytes()),
            other => {
                other.write(payload);
                Ok(())
            }
        };
    }
}

impl Visit for Values<'_> {
    visits!();
}

impl Origin {
    /// Whether the field was one of these.
    fn take(&mut self, name: &str, value: &Json<'_>) -> bool {
        let text = || match value {
            Json::Str(text) => Some((*text).to_owned()),
            Json::Debug(text) => Some(format!("{text:?}")),
            _ => None,
        };
        match name {
            "log.target" => self.target = text(),
            "log.module_path" => self.module = text(),
            "log.file" => self.file = text(),
            "log.line" => {
                self.line = match value {
                    Json::U64(line) => u32::try_from(*line).ok(),
                    _ => None,
                }
            }
            _ => return false,
        }
        true
    }
}
