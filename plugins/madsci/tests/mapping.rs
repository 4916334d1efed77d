//! Message ⇄ event: nothing is lost, either way, through the wire and back.

use metlog_madsci::event::{Event, SOURCES};
use metlog_madsci::{mapping, types};
use metlog_message::message::Origin;
use metlog_message::wire::{self, Limits};
use metlog_message::{Fields, Message, Severity, Timestamp, Value};
use metlog_testkit::sample;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const ULID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn json(text: &str) -> Value {
    wire::read_value(text.as_bytes()).expect(text)
}

fn event(text: &str) -> Event {
    Event::read(json(text)).unwrap_or_else(|no| panic!("{}: {text}", no.why))
}

/// As the router keeps it and gives it back.
fn kept(message: &Message) -> Message {
    let mut line = Vec::new();
    wire::write(&mut line, message);
    wire::read(&line, &Limits::NONE).expect("a message").message
}

fn text(value: &Value) -> String {
    value.to_text().into_owned()
}

#[test]
fn an_event_as_a_message_word_by_word() {
    let event = event(concat!(
        r#"{"event_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","event_type":"log_warning","log_level":30,"alert":false,"#,
        r#""event_timestamp":"2026-11-20T22:00:50.5","source":{"node_id":"01ARZ3NDEKTSV4RRFFQ69G5FAW"},"#,
        r#""event_data":{"message":"too warm","celsius":41.5},"trace_id":null,"span_id":null,"#,
        r#""archived":false,"archived_at":null}"#
    ));
    let (at, said) = event.moment();
    assert!(!said);
    let mut line = Vec::new();
    wire::write(&mut line, &mapping::message(event, at));
    let expected = concat!(
        r#"{"type":"log_warning","timestamp":"2026-11-20T22:00:50.500000Z","logger":"madsci","severity":4,"#,
        r#""payload":"too warm","fields":{"event_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","event_type":"log_warning","#,
        r#""log_level":30,"alert":false,"event_timestamp":"2026-11-20T22:00:50.5","#,
        r#""source":{"node_id":"01ARZ3NDEKTSV4RRFFQ69G5FAW"},"event_data":{"celsius":41.5}},"#,
        r#""env_version":"0.8","via":"madsci"}"#
    );
    assert_eq!(String::from_utf8_lossy(&line), expected);
}

#[test]
fn the_text_of_either_release_is_the_payload() {
    let payload = |data: &str| {
        let event = event(&format!(r#"{{"event_data":{data}}}"#));
        text(&mapping::message(event, Timestamp::default()).payload)
    };
    assert_eq!(payload(r#""\"hello \\u00e9\"""#), "hello \u{e9}");
    assert_eq!(payload(r#""Traceback (most recent call last):\n""#), "Traceback (most recent call last):\n");
    assert_eq!(payload(r#""\"as another writer writes it: é\"""#), "as another writer writes it: \u{e9}");
    assert_eq!(payload(r#"{"message":"hello","n":1}"#), "hello");
    assert_eq!(payload(r#"{"n":1,"message":"hello"}"#), "hello");
    assert_eq!(payload(r#"{"message":["no","text"]}"#), "");
    assert_eq!(payload("[1,2]"), "");
}

#[test]
fn a_text_is_kept_once_and_given_back_as_it_was() {
    for (data, form) in [
        (r#""\"h\u00e9llo \ud83e\udd80 \\n\\u0000\"""#, Some("json")),
        (r#""\"h\\u00e9llo \\ud83e\\udd80 \\n\\u0000\\b\\\\ \\\" \u007f\"""#, Some("json")),
        (r#""plain""#, Some("plain")),
        (r#""""#, Some("plain")),
        (r#""\"\"""#, Some("json")),
        ("7", None),
    ] {
        let event = event(&format!(r#"{{"event_data":{data}}}"#));
        let message = mapping::message(event.clone(), event.moment().0);
        let is_ascii = event.data.as_str().is_none_or(str::is_ascii);
        let expected = form.filter(|form| *form == "plain" || is_ascii);
        assert_eq!(message.fields.get("event_text").and_then(Value::as_str), expected, "{data}");
        assert_eq!(message.fields.contains("event_data"), expected.is_none(), "{data}");
        assert_eq!(mapping::event(kept(&message)), event, "{data}");
    }
}

#[test]
fn a_type_inside_the_data_is_the_messages() {
    let event = event(r#"{"event_type":"log_info","event_data":{"message":"m","event_type":"workflow_start"}}"#);
    let message = mapping::message(event.clone(), Timestamp::default());
    assert_eq!(message.kind, "workflow_start");
    assert_eq!(mapping::event(message).kind, "log_info", "as it was sent");
}

/// Every envelope key and field there is, and names that stand in the way of each other.
fn rich() -> Message {
    let mut message = sample::message(3)
        .payload(Value::List(vec![1.into(), "two".into()]))
        .field("message", "mine")
        .field("_message", "mine too")
        .field("node_id", ULID)
        .field("metlog", Value::Map([("a", 1)].into_iter().collect()))
        .field("event_type", "workflow_start")
        .field("alert", true)
        .field("trace_id", "0123456789abcdef0123456789abcdef")
        .field("span_id", "short")
        .field("user_id", "ann")
        .field("last", Value::Null);
    message.extra.set("shard", 7);
    message
}

/// What its event is made into again, without what the dialect adds.
fn through(message: &Message) -> Message {
    let body = Value::Map(mapping::event(message.clone()).body());
    let mut bytes = Vec::new();
    wire::write_value(&mut bytes, &body);
    let event = Event::read(wire::read_value(&bytes).expect("JSON")).expect("an event");
    let at = event.moment().0;
    let mut again = kept(&mapping::message(event.clone(), at));
    assert_eq!(again.extra.remove("via"), Some("madsci".into()));
    assert_eq!(again.fields.get("event_id"), Some(&event.id.into()), "it can be found");
    if !message.fields.contains("event_id") {
        again.fields.remove("event_id");
    }
    again
}

#[test]
fn our_senders_events_are_the_messages_they_were() {
    let plain = sample::message(1);
    let mut nothing = Message::new("").payload(Value::Null);
    nothing.timestamp = plain.timestamp;
    let named = sample::message(2).field("event_id", ULID).field("after", 1);
    let mut anonymous = sample::message(4).field("id", "job-7");
    anonymous.origin = None;
    for message in [plain, nothing, rich(), named, anonymous] {
        assert_eq!(through(&message), kept(&message));
    }
}

#[test]
fn our_senders_events_are_read_back_as_they_were_sent() {
    for message in [sample::message(1), rich()] {
        let sent = mapping::event(message);
        let again = mapping::event(kept(&mapping::message(sent.clone(), sent.moment().0)));
        assert_eq!(again, sent);
    }
}

#[test]
fn what_only_looks_like_our_senders_event_loses_nothing_either() {
    let good = mapping::event(sample::message(1));
    for (path, value) in [
        ("severity", Value::from(9)),
        ("severity", 3.into()),
        ("type", 1.into()),
        ("moved", Value::Map([("node_id", 0)].into_iter().collect())),
        ("moved", Value::Map([("event_type", -1)].into_iter().collect())),
        ("more", "than we write".into()),
        ("seq", "1".into()),
    ] {
        let mut event = good.clone();
        if let Value::Map(data) = &mut event.data
            && let Some(Value::Map(mut envelope)) = data.remove("metlog")
        {
            envelope.set(path, value);
            data.set("metlog", envelope);
        }
        let message = kept(&mapping::message(event.clone(), event.moment().0));
        assert_eq!(message.logger, "madsci", "{path}: kept as any other event");
        assert_eq!(mapping::event(message), event, "{path}");
    }
}

#[test]
fn an_event_that_is_forwarded_is_the_same_event() {
    let event = event(&format!(
        r#"{{"event_id":"{ULID}","event_type":"workflow_start","event_timestamp":"2026-01-01T00:00:00","event_data":{{"message":"m","a":1}}}}"#
    ));
    let message = kept(&mapping::message(event.clone(), event.moment().0));
    let body = Event::read(Value::Map(mapping::event(message).body())).expect("an event");
    assert_eq!(body, event);
}

#[test]
fn a_type_that_one_server_does_not_know_goes_where_both_take_it() {
    for kind in ["resource_create", "experiment_cancelled", "experiment_stop"] {
        let event = event(&format!(r#"{{"event_type":"{kind}","log_level":40,"event_data":{{"a":1}}}}"#));
        let body = event.body();
        assert_eq!(body.get("event_type"), Some(&"log_error".into()));
        assert_eq!(body.at("event_data.event_type"), Some(&kind.into()));
        assert_eq!(Event::read(Value::Map(body)).expect("an event").effective_kind(), kind);
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "-?[1-9][0-9]{25}".prop_map(Value::Big),
        (-1e12..1e12).prop_map(Value::Float),
        "\\PC{0,12}|[\"\\\\\u{0}\n\u{2028}]{1,4}".prop_map(Value::Str),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![vec(inner.clone(), 0..4).prop_map(Value::List), maps(inner).prop_map(Value::Map)]
    })
}

/// What events hold: often the JSON of a text.
fn datas() -> impl Strategy<Value = Value> {
    let encoded =
        "\\PC{0,12}|[\"\\\\\u{0}\n\u{7f}a]{0,6}".prop_map(|text| Value::from(serde_json::json!(text).to_string()));
    let escaped = "(\\\\u00e9|\\\\n|[a-z ]){0,6}".prop_map(|text| Value::from(format!("\"{text}\"")));
    prop_oneof![values(), encoded, escaped]
}

fn maps(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Fields> {
    let names = prop_oneof![
        "[a-c]{1,2}|\\PC{0,6}",
        Just("message".to_owned()),
        Just("_message".to_owned()),
        Just("event_type".to_owned()),
        Just("event_id".to_owned()),
        Just("alert".to_owned()),
        Just("metlog".to_owned()),
        Just("via".to_owned()),
        Just("id".to_owned()),
    ];
    vec((names, values), 0..5).prop_map(|entries| entries.into_iter().collect())
}

fn kinds() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("log_info"),
        Just("unknown"),
        Just("experiment_stop"),
        Just("experiment_cancelled"),
        Just("resource_create"),
        Just("workflow_start"),
    ]
}

fn sources() -> impl Strategy<Value = Fields> {
    vec(proptest::sample::select(SOURCES), 0..4)
        .prop_map(|names| names.into_iter().map(|name| (name, ULID)).collect::<Fields>())
}

fn events() -> impl Strategy<Value = Event> {
    let times = prop_oneof![
        Just(Value::from("2026-01-01T00:00:00.123456")),
        Just("2026-01-01 00:00:00+02:00".into()),
        Just("2026-01-01".into()),
        Just(1_767_225_600.into()),
        Just(1_767_225_600.25.into()),
    ];
    let ids = prop_oneof![Just(ULID.to_owned()), "\\PC{1,20}".prop_map(|id| id.chars().take(20).collect())];
    let hexadecimal = option::of("[0-9a-f]{0,32}");
    let levels = (0u8..6).prop_map(|tens| tens * 10);
    let archived = option::of(Just("2026-01-02T00:00:00Z"));
    (
        (ids, kinds(), levels, any::<bool>(), times),
        (sources(), datas(), hexadecimal.clone(), hexadecimal, archived, option::of(values())),
    )
        .prop_map(|((id, kind, level, alert, timestamp), (source, data, trace_id, span_id, archived, extra))| {
            Event {
                id,
                kind,
                level,
                alert,
                timestamp,
                source,
                data,
                trace_id,
                span_id,
                archived: archived.is_some(),
                archived_at: archived.into(),
                extra: extra.into_iter().map(|value| ("labels", value)).collect(),
            }
        })
}

fn messages() -> impl Strategy<Value = Message> {
    let payloads = prop_oneof![values(), "\\PC{0,20}".prop_map(Value::Str)];
    let own = prop_oneof![
        Just(("node_id", Value::from(ULID))),
        Just(("user_id", ULID.into())),
        Just(("user_id", "ann".into())),
        Just(("event_id", ULID.into())),
        Just(("event_type", "workflow_start".into())),
        Just(("event_type", "WORKFLOW_START".into())),
        Just(("event_type", "lunch".into())),
        Just(("alert", false.into())),
        Just(("alert", "yes".into())),
        Just(("trace_id", "0123456789abcdef0123456789abcdef".into())),
        Just(("span_id", "0123456789abcdef".into())),
        Just(("message", "m".into())),
    ];
    (
        ("[a-z_]{0,12}|workflow_start|alert", any::<bool>(), 0i64..8, payloads, maps(values()), vec(own, 0..5)),
        (option::of(any::<i64>()), option::of("\\PC{1,10}"), option::of(any::<u64>()), option::of(values())),
    )
        .prop_map(|((kind, logger, severity, payload, fields, own), (pid, hostname, seq, extra))| {
            let mut message = Message::new(kind).payload(payload).logger(if logger { "shop.cart" } else { "" });
            message.severity = Severity::from_number(severity).expect("one of eight");
            message.timestamp = Timestamp::from_nanos(1_795_212_050_000_001_000);
            message.fields = fields;
            own.into_iter().for_each(|(name, value)| message.fields.set(name, value));
            message.pid = pid;
            message.hostname = hostname;
            message.origin = seq.map(|seq| Origin { client: "c0ffee".into(), seq });
            message.extra = extra.into_iter().map(|value| ("shard", value)).collect();
            message
        })
}

proptest! {
    #[test]
    fn event_message_event(event in events()) {
        let message = kept(&mapping::message(event.clone(), event.moment().0));
        prop_assert_eq!(metlog_query::facts::id_of(&message.fields), Some(event.id.as_str()), "it can be found");
        prop_assert_eq!(message.severity, types::severity(event.level));
        prop_assert_eq!(mapping::event(message), event);
    }

    #[test]
    fn message_event_message(message in messages()) {
        let sent = kept(&message);
        let event = Event::read(Value::Map(mapping::event(sent.clone()).body())).expect("an event");
        let again = kept(&mapping::message(event.clone(), event.moment().0));
        // A field `event_id` that is not the event's is a case of its own: found by the event's, so kept as an event.
        let own_id = sent.fields.get("event_id").is_some_and(|id| id.as_str() != Some(&event.id));
        if own_id {
            prop_assert_eq!(mapping::event(again), event);
        } else {
            prop_assert_eq!(through(&sent), sent);
        }
    }

    #[test]
    fn any_object_is_taken_or_told_why(keys in maps(values())) {
        match Event::read(Value::Map(keys)) {
            Ok(event) => {
                let message = kept(&mapping::message(event.clone(), event.moment().0));
                prop_assert_eq!(mapping::event(message), event);
            }
            Err(no) => prop_assert!(!no.why.is_empty()),
        }
    }
}
