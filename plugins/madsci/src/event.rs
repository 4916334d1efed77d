//! An event: what it may be when it comes in, and how it is written for whom.

use crate::types::{self, Speaker};
use crate::ulid;
use metlog_message::{Fields, Timestamp, Value};

/// The ids of an event's source, each a ULID.
pub const SOURCES: &[&str] = &[
    "user_id",
    "experiment_id",
    "campaign_id",
    "project_id",
    "node_id",
    "workcell_id",
    "lab_id",
    "step_id",
    "workflow_id",
    "manager_id",
];

/// Longer ids are in no store's index, so nobody would find the event again.
const LONGEST_ID: usize = 128;

/// Beyond this a number is a time in milliseconds, as MADSci's own reader decides.
const MILLISECONDS_FROM: f64 = 2e10;

/// An event, checked and with every default in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its id, a ULID unless its sender wanted otherwise.
    pub id: String,
    /// Its type, as [`types::known`] spells it.
    pub kind: &'static str,
    /// 0, 10, 20, 30, 40 or 50.
    pub level: u8,
    /// Whether somebody is to be told.
    pub alert: bool,
    /// When, as it was written.
    pub timestamp: Value,
    /// Whose it is.
    pub source: Fields,
    /// What it says.
    pub data: Value,
    /// 32 hexadecimal digits.
    pub trace_id: Option<String>,
    /// 16 hexadecimal digits.
    pub span_id: Option<String>,
    /// Whether its sender had set it aside already.
    pub archived: bool,
    /// Since when, as it was written; null if never.
    pub archived_at: Value,
    /// Keys that no release knows.
    pub extra: Fields,
}

/// Why something is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoEvent {
    /// The id it calls itself by.
    pub id: Option<String>,
    /// What is wrong.
    pub why: String,
}

impl Event {
    /// Takes what either release's reader takes, and the types of both.
    ///
    /// # Errors
    /// What is wrong with it. The published servers answer the same with 422.
    pub fn read(value: Value) -> Result<Self, NoEvent> {
        let Value::Map(mut keys) = value else {
            return Err(NoEvent { id: None, why: "an event is a JSON object".to_owned() });
        };
        let (stored, sent) = (keys.remove("_id"), keys.remove("event_id"));
        let id = match stored.or(sent) {
            Some(Value::Str(id)) if !id.is_empty() => id,
            None | Some(Value::Null | Value::Str(_)) => ulid::new(Timestamp::now()),
            Some(other) => other.to_text().into_owned(),
        };
        match Self::of(id.clone(), keys) {
            _ if id.len() > LONGEST_ID => {
                Err(NoEvent { id: None, why: format!("`event_id` has at most {LONGEST_ID} bytes") })
            }
            Ok(event) => Ok(event),
            Err(why) => Err(NoEvent { id: Some(id), why }),
        }
    }

    fn of(id: String, mut keys: Fields) -> Result<Self, String> {
        let mut take = |name: &str| keys.remove(name);
        let kind = match take("event_type") {
            None => "unknown",
            Some(Value::Str(name)) => types::known(&name)
                .ok_or_else(|| format!("`event_type` is `{}`, which neither release knows", shown(&name)))?,
            Some(_) => return Err("`event_type` is a text".to_owned()),
        };
        let level = take("log_level").map_or(Some(20), |level| as_level(&level));
        let level = level.ok_or("`log_level` is 0, 10, 20, 30, 40 or 50, or one of their names")?;
        let alert = truth(take("alert")).ok_or("`alert` is true or false")?;
        let timestamp = take("event_timestamp").unwrap_or_else(|| Value::from(Timestamp::now().to_string()));
        if moment(&timestamp).is_none() {
            return Err("`event_timestamp` is an ISO 8601 date and time".to_owned());
        }
        let source = match take("source") {
            None | Some(Value::Null) => Fields::new(),
            Some(Value::Map(source)) => checked(source)?,
            Some(_) => return Err("`source` is an object".to_owned()),
        };
        let data = take("event_data").unwrap_or_else(|| Value::Map(Fields::new()));
        let trace_id = text(take("trace_id")).ok_or("`trace_id` is a text or null")?;
        let span_id = text(take("span_id")).ok_or("`span_id` is a text or null")?;
        let archived = truth(take("archived")).ok_or("`archived` is true or false")?;
        let archived_at = take("archived_at").unwrap_or(Value::Null);
        if archived_at != Value::Null && moment(&archived_at).is_none() {
            return Err("`archived_at` is an ISO 8601 date and time, or null".to_owned());
        }
        let extra = keys;
        Ok(Event { id, kind, level, alert, timestamp, source, data, trace_id, span_id, archived, archived_at, extra })
    }

    /// The type that says most: one inside the data wins over `log_…`, since the client of 0.8.1 puts
    /// `event_type=` there.
    pub fn effective_kind(&self) -> &'static str {
        let inner = || types::known(self.data.as_map()?.get("event_type")?.as_str()?);
        if types::is_log(self.kind) { inner().unwrap_or(self.kind) } else { self.kind }
    }

    /// When it happened, and whether that was said with a zone.
    pub fn moment(&self) -> (Timestamp, bool) {
        moment(&self.timestamp).unwrap_or_else(|| (Timestamp::now(), true))
    }

    /// As both event managers take it. A type that one of them does not know goes where its client puts types.
    pub fn body(mut self) -> Fields {
        let mut body = Fields::new();
        body.set("event_id", self.id);
        let kind = types::spoken(self.kind, Speaker::Either);
        if kind == self.kind {
            body.set("event_type", kind);
        } else {
            body.set("event_type", types::of_severity(types::severity(self.level)).1);
            if let Value::Map(data) = &mut self.data
                && !data.contains("event_type")
            {
                data.set("event_type", self.kind);
            }
        }
        body.set("log_level", self.level);
        body.set("alert", self.alert);
        body.set("event_timestamp", self.timestamp);
        body.set("source", self.source);
        for (name, id) in [("trace_id", self.trace_id), ("span_id", self.span_id)] {
            if let Some(id) = id {
                body.set(name, id);
            }
        }
        body.set("event_data", self.data);
        if self.archived {
            body.set("archived", true);
            body.set("archived_at", self.archived_at);
        }
        body
    }

    /// As a client reads it back. Of a type it would choke on it is told the nearest it knows, and the right one beside.
    /// `since` is what the store says of it being archived.
    pub fn answer(self, speaker: Speaker, since: Option<Timestamp>) -> Fields {
        let spoken = types::spoken(self.kind, speaker);
        let mut answer = Fields::new();
        answer.set("_id", self.id);
        answer.set("event_type", spoken);
        answer.set("log_level", self.level);
        answer.set("alert", self.alert);
        answer.set("event_timestamp", readable(self.timestamp));
        answer.set("source", self.source);
        answer.set("event_data", self.data);
        answer.set("trace_id", self.trace_id);
        answer.set("span_id", self.span_id);
        answer.set("archived", self.archived || since.is_some());
        answer.set("archived_at", since.map_or_else(|| readable(self.archived_at), |since| since.to_string().into()));
        for (name, value) in self.extra {
            if !answer.contains(&name) {
                answer.push(name, value);
            }
        }
        if spoken != self.kind {
            answer.set("metlog_event_type", self.kind);
        }
        answer
    }
}

/// A moment, and whether it says its zone; if not, it is read as if in UTC.
pub fn moment(value: &Value) -> Option<(Timestamp, bool)> {
    let seconds = |number: f64| {
        let seconds = if number.abs() > MILLISECONDS_FROM { number / 1000.0 } else { number };
        let micros = (seconds * 1e6).round();
        (micros.abs() < 9.2e15).then(|| (Timestamp::from_nanos(micros as i64 * 1000), true))
    };
    let Value::Str(text) = value else { return seconds(value.as_f64()?) };
    let whole = match text.len() {
        10 => format!("{text}T00:00:00"),
        16 => format!("{text}:00"),
        _ => text.clone(),
    };
    match Timestamp::parse(&whole) {
        Some(moment) => {
            let zone = whole.get(19..).unwrap_or_default();
            Some((moment, zone.contains(['Z', 'z', '+', '-'])))
        }
        None => seconds(text.trim().parse().ok()?),
    }
}

/// A moment in a form that MADSci's reader takes: it knows no leap second and no offset in hours alone.
fn readable(value: Value) -> Value {
    let Some((moment, _)) = moment(&value) else { return Value::Null };
    let plain = value.as_str().is_some_and(|text| {
        let zone = text.find(['+', 'Z', 'z']).or_else(|| text.rfind('-').filter(|at| *at > 10));
        let zone = zone.and_then(|at| text.get(at..)).unwrap_or_default();
        text.len() >= 19 && text.get(17..19) != Some("60") && zone.len() != 3
    });
    if plain { value } else { moment.to_string().into() }
}

/// What is sent of a foreign text into an explanation.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

fn as_level(value: &Value) -> Option<u8> {
    match value {
        Value::Str(name) => types::level(name),
        Value::Null => Some(20),
        number => {
            let number = number.as_f64()?;
            let level = (number.fract() == 0.0 && (0.0..=50.0).contains(&number)).then_some(number as u8)?;
            types::is_level(level).then_some(level)
        }
    }
}

/// True, false or nothing, in the words that MADSci's reader takes for them.
pub fn truth(value: Option<Value>) -> Option<bool> {
    match value {
        None | Some(Value::Null) => Some(false),
        Some(Value::Bool(truth)) => Some(truth),
        Some(Value::Int(number @ 0..=1)) => Some(number == 1),
        Some(Value::Str(word)) => match word.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn text(value: Option<Value>) -> Option<Option<String>> {
    match value {
        None | Some(Value::Null) => Some(None),
        Some(Value::Str(text)) => Some(Some(text)),
        _ => None,
    }
}

fn checked(mut source: Fields) -> Result<Fields, String> {
    for name in SOURCES {
        match source.get(name) {
            None => {}
            Some(Value::Null) => drop(source.remove(name)),
            Some(Value::Str(id)) if ulid::is_valid(id) => {}
            Some(_) => return Err(format!("`source.{name}` is no ULID")),
        }
    }
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::wire;

    fn read(text: &str) -> Result<Event, NoEvent> {
        Event::read(wire::read_value(text.as_bytes()).expect("JSON"))
    }

    #[test]
    fn every_key_has_a_default() {
        let event = read("{}").expect("an event");
        assert!(ulid::is_valid(&event.id));
        assert_eq!((event.kind, event.level, event.alert), ("unknown", 20, false));
        assert_eq!((&event.data, event.source.is_empty()), (&Value::Map(Fields::new()), true));
    }

    #[test]
    fn takes_what_the_published_servers_take() {
        let event = read(
            r#"{"_id":"a","event_id":"b","event_type":"LAB_Start","log_level":"EventLogLevel.ERROR","alert":"yes",
                "event_timestamp":"2026-01-01","source":{"node_id":null,"user_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}}"#,
        );
        let event = event.expect("an event");
        assert_eq!((event.id.as_str(), event.kind, event.level, event.alert), ("a", "lab_start", 40, true));
        assert_eq!(event.source.len(), 1);
        assert_eq!(read(r#"{"event_id":7}"#).expect("an event").id, "7");
    }

    #[test]
    fn refuses_with_the_reason() {
        for (text, why) in [
            ("[]", "an event is a JSON object"),
            (r#"{"event_id":"x","event_type":"lunch"}"#, "`event_type` is `lunch`, which neither release knows"),
            (r#"{"log_level":25}"#, "`log_level` is 0, 10, 20, 30, 40 or 50, or one of their names"),
            (r#"{"source":{"node_id":"robot"}}"#, "`source.node_id` is no ULID"),
            (r#"{"source":[]}"#, "`source` is an object"),
            (r#"{"event_timestamp":"noon"}"#, "`event_timestamp` is an ISO 8601 date and time"),
            (r#"{"alert":2}"#, "`alert` is true or false"),
            (r#"{"trace_id":1}"#, "`trace_id` is a text or null"),
        ] {
            assert_eq!(read(text).expect_err(text).why, why);
        }
        let long = format!(r#"{{"event_id":"{}"}}"#, "x".repeat(129));
        assert_eq!(read(&long).expect_err("long").why, "`event_id` has at most 128 bytes");
    }

    #[test]
    fn a_time_is_answered_so_that_it_can_be_read() {
        for (written, answered) in [
            ("\"2026-01-01T00:00:00.123\"", "2026-01-01T00:00:00.123"),
            ("\"2026-01-01 00:00:00+0200\"", "2026-01-01 00:00:00+0200"),
            ("\"2026-01-01T00:00:00-06:00\"", "2026-01-01T00:00:00-06:00"),
            ("\"2026-01-01T00:00:00+02\"", "2025-12-31T22:00:00.000000Z"),
            ("\"2026-01-01T00:00:60Z\"", "2026-01-01T00:00:59.000000Z"),
            ("1767225600", "2026-01-01T00:00:00.000000Z"),
            ("1767225600000", "2026-01-01T00:00:00.000000Z"),
            ("\"1767225600.5\"", "2026-01-01T00:00:00.500000Z"),
        ] {
            let event = read(&format!("{{\"event_timestamp\":{written}}}")).expect(written);
            let answer = event.answer(Speaker::New, None);
            assert_eq!(answer.get("event_timestamp").and_then(Value::as_str), Some(answered));
        }
    }

    #[test]
    fn a_type_inside_the_data_is_what_it_is() {
        let kind = |text| read(text).expect("an event").effective_kind();
        assert_eq!(kind(r#"{"event_type":"log_info","event_data":{"event_type":"Workflow_Start"}}"#), "workflow_start");
        assert_eq!(kind(r#"{"event_type":"lab_stop","event_data":{"event_type":"workflow_start"}}"#), "lab_stop");
        assert_eq!(kind(r#"{"event_type":"log","event_data":{"event_type":"tea"}}"#), "log");
    }
}
