//! What a row is as a message: the sender's mapping the other way, and the names that other loggers use. The tables are
//! in the README.

use metlog_message::message::Origin;
use metlog_message::{Fields, Message, Severity, Timestamp, Value};

/// Keys of the envelope: what comes in under `envelope` must not pose as one.
const ENVELOPE: [&str; 11] = [
    "type",
    "timestamp",
    "logger",
    "severity",
    "payload",
    "fields",
    "env_version",
    "metlog_pid",
    "metlog_hostname",
    "metlog_client",
    "metlog_seq",
];

/// A message has no more fields than this, so whoever put more aside was not our sender.
const MOST: usize = 256;

/// Where loggers say how bad it is.
pub const LEVELS: [&str; 8] =
    ["level", "severity", "levelname", "lvl", "loglevel", "severity_text", "detected_level", "log.level"];

/// Whether a row is a message as it is, which is what our endpoint sends.
pub fn is_native(row: &Fields) -> bool {
    let text = |name: &str| row.get(name).is_some_and(|value| value.as_str().is_some());
    text("env_version") && text("type") && row.contains("timestamp") && row.contains("severity")
}

/// The message of a row, whose time and text are taken out already.
pub fn message(row: Fields, text: Value, time: Timestamp) -> Message {
    match ours(&row) {
        Some((kind, severity)) => of_sender(row, text, Message { severity, ..blank(kind, time) }),
        None => foreign(row, text, time),
    }
}

/// Type and severity together are what our sender always writes, and hardly anybody else.
fn ours(row: &Fields) -> Option<(String, Severity)> {
    let kind = row.get("type")?.as_str()?;
    Some((kind.to_owned(), Severity::from_number(integer(row.get("severity")?)?)?))
}

fn blank(kind: String, timestamp: Timestamp) -> Message {
    // Not by `new`, which asks for the time.
    Message {
        kind,
        timestamp,
        logger: String::new(),
        severity: Severity::default(),
        payload: Value::Str(String::new()),
        fields: Fields::new(),
        pid: None,
        hostname: None,
        origin: None,
        extra: Fields::new(),
    }
}

/// A number, also one that VictoriaLogs has made a text of.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// What our sender wrote.
fn of_sender(row: Fields, text: Value, mut message: Message) -> Message {
    // The sender lets the type stand for a text that is empty.
    if text.as_str() != Some(message.kind.as_str()) && text != Value::Null {
        message.payload = text;
    }
    let origin = row.get("metlog_client").and_then(Value::as_str).zip(row.get("metlog_seq").and_then(integer));
    message.origin =
        origin.and_then(|(client, seq)| Some(Origin { client: client.to_owned(), seq: u64::try_from(seq).ok()? }));
    let (mut aside, mut long) = (Fields::new(), Vec::new());
    for (name, value) in row {
        match (name.as_str(), value) {
            ("type" | "severity", _) => {}
            ("metlog_client" | "metlog_seq", _) if message.origin.is_some() => {}
            ("level", Value::Str(level)) if level == message.severity.name() => {}
            ("logger", Value::Str(logger)) => message.logger = logger,
            ("hostname", Value::Str(hostname)) => message.hostname = Some(hostname),
            ("pid", value) if integer(&value).is_some() => message.pid = integer(&value),
            ("payload", Value::Map(payload)) => message.payload = payload.into(),
            ("envelope", Value::Map(extra)) if !extra.iter().any(|(name, _)| ENVELOPE.contains(&name)) => {
                message.extra = extra;
            }
            ("fields", Value::Map(fields)) => aside = fields,
            ("long_names", Value::List(fields)) if fields.len() <= MOST => long = fields,
            (_, value) => message.fields.push(name, value),
        }
    }
    unfold(&mut message.fields, "fields", aside.into());
    for (at, one) in long.into_iter().enumerate() {
        unfold(&mut message.fields, &format!("long_names.{at}"), one);
    }
    message
}

/// Adds what was put aside under a name; what is there already, or was not made so by us, stays under that name.
fn unfold(fields: &mut Fields, name: &str, aside: Value) {
    match aside {
        Value::Map(aside) if !aside.iter().any(|(name, _)| fields.contains(name)) => {
            aside.into_iter().for_each(|(name, value)| fields.push(name, value));
        }
        other => fields.push(name.to_owned(), other),
    }
}

/// What anybody else wrote. The row keeps what the envelope has no place for.
pub fn foreign(mut row: Fields, text: Value, time: Timestamp) -> Message {
    let mut message = blank("oldstyle".to_owned(), time);
    if text != Value::Null {
        message.payload = text;
    }
    let level = LEVELS.iter().find_map(|name| severity(row.at(name)?));
    message.severity = level.unwrap_or_default();
    if row.get("level").and_then(Value::as_str).is_some_and(is_said_by_severity) {
        row.remove("level");
    }
    if let Some(logger) = text_of(&mut row, "logger") {
        message.logger = logger;
    }
    message.hostname = text_of(&mut row, "hostname");
    let number = |name: &&str| matches!(row.get(name), Some(Value::Int(_)));
    if let Some(name) = ["process", "pid"].into_iter().find(number) {
        message.pid = row.remove(name).as_ref().and_then(Value::as_i64);
    }
    message.fields = row;
    message
}

/// Takes a text out; anything else under the name stays.
fn text_of(row: &mut Fields, name: &str) -> Option<String> {
    row.get(name)?.as_str()?;
    match row.remove(name)? {
        Value::Str(text) => Some(text),
        _ => None,
    }
}

/// By name, by syslog's numbers, or by those from 10 to 60 that loggers of Node write.
fn severity(level: &Value) -> Option<Severity> {
    if let Some(name) = level.as_str()
        && let Some(severity) = Severity::parse(name)
    {
        return Some(severity);
    }
    let number = integer(level)?;
    Severity::from_number(number).or_else(|| {
        Some(match number {
            10..=29 => Severity::Debug,
            30..=39 => Severity::Informational,
            40..=49 => Severity::Warning,
            50..=59 => Severity::Error,
            60..=69 => Severity::Critical,
            _ => return None,
        })
    })
}

/// Whether a level says no more than the severity it stands for. `trace` and `fatal` say more, a number is another scale.
pub fn is_said_by_severity(level: &str) -> bool {
    let more = ["trace", "fatal", "panic"].iter().any(|name| level.trim().eq_ignore_ascii_case(name));
    !more && level.trim().parse::<i64>().is_err() && Severity::parse(level).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::wire;

    fn read(row: &str) -> Message {
        match wire::read_value(row.as_bytes()) {
            Ok(Value::Map(row)) => message(row, "text".into(), Timestamp::from_nanos(5)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn levels_of_all_sorts() {
        for (row, severity, kept) in [
            (r#"{"level":"INFO"}"#, Severity::Informational, 0),
            (r#"{"level":"Warning"}"#, Severity::Warning, 0),
            (r#"{"level":"CRITICAL"}"#, Severity::Critical, 0),
            (r#"{"level":"trace"}"#, Severity::Debug, 1),
            (r#"{"level":"FATAL"}"#, Severity::Critical, 1),
            (r#"{"level":"SUCCESS"}"#, Severity::Informational, 1),
            (r#"{"level":3}"#, Severity::Error, 1),
            (r#"{"level":"3"}"#, Severity::Error, 1),
            (r#"{"level":20}"#, Severity::Debug, 1),
            (r#"{"level":"50"}"#, Severity::Error, 1),
            (r#"{"level":99,"severity":"alert"}"#, Severity::Alert, 2),
            (r#"{"log":{"level":"error"}}"#, Severity::Error, 1),
            (r#"{"log.level":"error"}"#, Severity::Error, 1),
            (r#"{"detected_level":"warn"}"#, Severity::Warning, 1),
            (r#"{}"#, Severity::Informational, 0),
        ] {
            let message = read(row);
            assert_eq!((message.severity, message.fields.len()), (severity, kept), "{row}");
        }
    }

    #[test]
    fn what_does_not_fit_the_envelope_stays_a_field() {
        let message = read(r#"{"logger":5,"hostname":null,"process":{"pid":1},"pid":"7","type":"t","metlog_seq":1}"#);
        assert_eq!((message.logger.as_str(), &message.hostname, message.pid), ("", &None, None));
        assert_eq!((message.kind.as_str(), message.fields.len()), ("oldstyle", 6));
        let message = read(r#"{"process":1,"pid":2}"#);
        assert_eq!((message.pid, message.fields.get("pid")), (Some(1), Some(&Value::Int(2))));
    }

    #[test]
    fn a_row_that_victorialogs_gave_back_is_ours_although_all_is_text() {
        let message =
            read(r#"{"type":"t","severity":"3","level":"error","pid":"7","metlog_client":"c","metlog_seq":"9"}"#);
        let origin = Some(Origin { client: "c".into(), seq: 9 });
        assert_eq!((message.severity, message.pid, message.origin), (Severity::Error, Some(7), origin));
        assert_eq!((message.kind.as_str(), message.fields), ("t", Fields::new()));
    }

    #[test]
    fn what_was_put_aside_replaces_nothing() {
        let message = read(
            r#"{"type":"t","severity":6,"a":1,"fields":{"a":2,"b":3},"long_names":[{"n":1},{"n":2},5],"envelope":{"type":"x"},"metlog_seq":1,"payload":"p"}"#,
        );
        let expected: Fields = [
            ("a", Value::Int(1)),
            ("envelope", Value::Map([("type", "x")].into_iter().collect())),
            ("metlog_seq", Value::Int(1)),
            ("payload", "p".into()),
            ("fields", Value::Map([("a", 2), ("b", 3)].into_iter().collect())),
            ("n", Value::Int(1)),
            ("long_names.1", Value::Map([("n", 2)].into_iter().collect())),
            ("long_names.2", Value::Int(5)),
        ]
        .into_iter()
        .collect();
        assert_eq!(message.fields, expected);
    }
}
