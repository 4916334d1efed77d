//! The filter by field says what a naive reading of the whole message says, and nothing in a message breaks it.

use metlog_filters::{Choice, Condition, Field, Number, Path};
use metlog_message::head::{self, Head};
use metlog_message::wire::{self, Limits};
use metlog_message::{Message, Severity, Timestamp, Value};
use metlog_pipeline::{Event, Filter};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::borrow::Cow;
use std::cmp::Ordering;

/// A condition, to be judged over the tree.
#[derive(Debug, Clone)]
enum Asked {
    In(Vec<Value>),
    Matches(&'static str),
    Exists(bool),
    Compare(&'static str, f64),
}

const PATTERNS: [&str; 4] = ["^a", "1$", "", "é|e"];

impl Asked {
    fn condition(&self) -> Condition {
        match self.clone() {
            Asked::In(values) => Condition::In(Choice::of(values)),
            Asked::Matches(pattern) => Condition::Matches(pattern.parse().expect("a pattern")),
            Asked::Exists(wanted) => Condition::Exists(wanted),
            Asked::Compare(way, than) => {
                let than = Number::of(than).expect("finite");
                match way {
                    "less" => Condition::Less(than),
                    "at_most" => Condition::AtMost(than),
                    "more" => Condition::More(than),
                    _ => Condition::AtLeast(than),
                }
            }
        }
    }

    fn naive(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else { return matches!(self, Asked::Exists(false)) };
        match self {
            Asked::In(values) => values.iter().any(|wanted| equal(value, wanted)),
            Asked::Matches(pattern) => {
                let text = value.to_text();
                let plain = !matches!(value, Value::Null | Value::List(_) | Value::Map(_));
                plain
                    && match *pattern {
                        "^a" => text.starts_with('a'),
                        "1$" => text.ends_with('1'),
                        "" => true,
                        _ => text.contains(['é', 'e']),
                    }
            }
            Asked::Exists(wanted) => *wanted,
            Asked::Compare(way, than) => match (compare(value, &Value::Float(*than)), *way) {
                (Some(order), "less") => order.is_lt(),
                (Some(order), "at_most") => order.is_le(),
                (Some(order), "more") => order.is_gt(),
                (Some(order), _) => order.is_ge(),
                (None, _) => false,
            },
        }
    }
}

fn equal(value: &Value, wanted: &Value) -> bool {
    if matches!(value, Value::Null | Value::List(_) | Value::Map(_)) {
        return false;
    }
    let read = wire::read_value(wanted.to_text().as_bytes());
    value.to_text() == wanted.to_text() || read.is_ok_and(|wanted| compare(value, &wanted) == Some(Ordering::Equal))
}

/// By decimal digits as far as 128 bits go.
fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    let whole = |value: &Value| match value {
        Value::Float(number) if number.fract() == 0.0 => format!("{number:.0}").parse::<i128>().ok(),
        Value::Int(_) | Value::UInt(_) | Value::Big(_) => value.to_text().parse().ok(),
        _ => None,
    };
    let float = |value: &Value| value.as_f64().filter(|number| number.is_finite());
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => float(one)?.partial_cmp(&float(other)?),
    }
}

fn naive_find(message: &Message, path: &str) -> Option<Value> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let below = |value: Value| if rest.is_empty() { Some(value) } else { value.as_map()?.at(rest).cloned() };
    match first {
        "payload" => below(message.payload.clone()),
        "fields" => below(Value::Map(message.fields.clone())),
        "type" => Some(Value::from(&message.kind)),
        "severity" => Some(Value::from(message.severity.number())),
        "logger" => Some(Value::from(&message.logger)),
        "metlog_pid" => message.pid.map(Value::from),
        "metlog_hostname" => message.hostname.as_ref().map(Value::from),
        "metlog_seq" => message.origin.as_ref().map(|origin| Value::from(origin.seq)),
        _ => message.fields.at(path).cloned(),
    }
}

/// JSON as it may come, before it is written: numbers as digits, names as often as they like.
#[derive(Debug, Clone)]
enum Json {
    Plain(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Writes with blanks and escapes wherever the choices say so.
struct Writer<'a> {
    out: String,
    choices: std::iter::Cycle<std::slice::Iter<'a, u8>>,
}

impl Writer<'_> {
    fn chance(&mut self) -> bool {
        self.choices.next().is_some_and(|choice| choice % 4 == 0)
    }

    fn mark(&mut self, mark: &str) {
        for blank in [" ", "\n\t"] {
            if self.chance() {
                self.out.push_str(blank);
            }
        }
        self.out.push_str(mark);
        if self.chance() {
            self.out.push(' ');
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            if self.chance() || matches!(character, '"' | '\\' | '\0'..='\x1f') {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    self.out.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                self.out.push(character);
            }
        }
        self.out.push('"');
    }

    fn json(&mut self, json: &Json) {
        match json {
            Json::Plain(plain) => self.out.push_str(plain),
            Json::Text(text) => self.text(text),
            Json::List(items) => {
                self.mark("[");
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        self.mark(",");
                    }
                    self.json(item);
                }
                self.mark("]");
            }
            Json::Object(entries) => {
                self.mark("{");
                for (at, (name, value)) in entries.iter().enumerate() {
                    if at > 0 {
                        self.mark(",");
                    }
                    self.text(name);
                    self.mark(":");
                    self.json(value);
                }
                self.mark("}");
            }
        }
    }
}

/// An envelope around payload and fields, strictly right.
fn written(payload: &Json, fields: &Json, choices: &[u8]) -> Vec<u8> {
    let mut writer = Writer { out: String::new(), choices: choices.iter().cycle() };
    let text = |text: &str| Json::Text(text.into());
    let envelope = [
        ("type", text("a é")),
        ("payload", payload.clone()),
        ("timestamp", text("2026-01-02T03:04:05.000006Z")),
        ("metlog_pid", Json::Plain("1".into())),
        ("a", text("no field")),
        ("logger", text("")),
        ("fields", fields.clone()),
        ("severity", Json::Plain("1".into())),
        ("metlog_hostname", text("a1")),
    ];
    let entries = envelope.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    writer.json(&Json::Object(entries));
    writer.out.into_bytes()
}

const NAMES: [&str; 8] = ["a", "b", "a.b", "b.a", "é\"\\", "type", "fields", "𝄞"];

fn name() -> impl Strategy<Value = String> {
    select(NAMES.as_slice()).prop_map(str::to_owned)
}

const NUMBERS: [&str; 20] = [
    "0",
    "-0",
    "0.0",
    "1",
    "1.0",
    "10e-1",
    "-1",
    "1.5",
    "15E-1",
    "500",
    "5e2",
    "500.000",
    "9007199254740992",
    "9007199254740993",
    "9007199254740992.0",
    "18446744073709551615",
    "18446744073709551616",
    "1e40",
    "10000000000000000000000000000000000000000",
    "-1e300",
];
const TEXTS: [&str; 11] = ["", "a", "a1", "e", "é", "1", "1.0", "500", "true", "null", "\"\\/\n\u{1}𝄞"];

fn json() -> impl Strategy<Value = Json> {
    let plain = prop_oneof![
        select(NUMBERS.as_slice()).prop_map(|digits| Json::Plain(digits.into())),
        any::<i64>().prop_map(|number| Json::Plain(number.to_string())),
        select(["true", "false", "null"].as_slice()).prop_map(|word| Json::Plain(word.into())),
        Just(Json::Plain("7".repeat(400))),
        select(TEXTS.as_slice()).prop_map(|text| Json::Text(text.into())),
        any::<String>().prop_map(Json::Text),
    ];
    plain.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            1 => vec(inner.clone(), 0..4).prop_map(Json::List),
            3 => vec((name(), inner), 0..6).prop_map(Json::Object),
        ]
    })
}

fn object() -> impl Strategy<Value = Json> {
    vec((name(), json()), 0..6).prop_map(Json::Object)
}

fn asked() -> impl Strategy<Value = Asked> {
    let number = select(NUMBERS.as_slice()).prop_map(|digits| wire::read_value(digits.as_bytes()).expect("a number"));
    let wanted = prop_oneof![
        number.clone(),
        select(TEXTS.as_slice()).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        select(NUMBERS.as_slice()).prop_map(Value::from),
    ];
    prop_oneof![
        vec(wanted, 0..5).prop_map(Asked::In),
        select(PATTERNS.as_slice()).prop_map(Asked::Matches),
        any::<bool>().prop_map(Asked::Exists),
        (select(["less", "at_most", "more", "at_least"].as_slice()), number)
            .prop_map(|(way, than)| Asked::Compare(way, than.as_f64().expect("a number"))),
    ]
}

fn path() -> impl Strategy<Value = String> {
    let root = select(["", "", "fields.", "payload."].as_slice());
    let deep = (root, vec(name(), 1..4)).prop_map(|(root, names)| format!("{root}{}", names.join(".")));
    let plain = ["type", "severity", "logger", "payload", "fields", "metlog_pid", "metlog_hostname", "metlog_seq"];
    prop_oneof![
        4 => deep.prop_filter("a field of this name is told apart", |path| path.parse::<Path>().is_ok()),
        1 => select(plain.to_vec()).prop_map(str::to_owned),
    ]
}

/// What the filter says, and what the tree says; nothing of what the scan does not vouch for.
fn both(text: &[u8], path: &str, asked: &Asked) -> Option<(bool, bool)> {
    let head = head::scan(text, &Limits::default()).ok()?;
    let message = wire::read(text, &Limits::default()).expect("the scan vouched for it").message;
    let mut field = Field::new(path.parse().expect("a path"), asked.condition());
    let kept = field.keep(&Event { head: &head, raw: text });
    assert!(field.decide(&head.kind, head.severity).is_none_or(|known| known == kept));
    let value = naive_find(&message, path);
    if let (Asked::Matches(_), Some(Value::Float(_))) = (asked, &value) {
        // A pattern sees a number as it is written, which the tree no longer knows.
        return Some((kept, kept));
    }
    Some((kept, asked.naive(value.as_ref())))
}

proptest! {
    #[test]
    fn as_over_the_whole_tree(
        payload in json(), fields in object(), choices in vec(any::<u8>(), 1..60),
        questions in vec((path(), asked()), 1..20),
    ) {
        let text = written(&payload, &fields, &choices);
        for (path, asked) in questions {
            let (kept, naive) = both(&text, &path, &asked).expect("strictly right");
            prop_assert_eq!(kept, naive, "{} {:?} {}", path, asked, String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn as_over_the_whole_tree_after_damage(
        payload in json(), fields in object(), choices in vec(any::<u8>(), 1..20),
        damage in vec((any::<proptest::sample::Index>(), select(b"\"\\{}[],:a1 \n".as_slice())), 1..4),
        path in path(), asked in asked(),
    ) {
        let mut text = written(&payload, &fields, &choices);
        for (at, byte) in damage {
            let at = at.index(text.len());
            text[at] = byte;
        }
        if let Some((kept, naive)) = both(&text, &path, &asked) {
            prop_assert_eq!(kept, naive, "{} {:?} {}", path, asked, String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn bytes_that_nobody_vouched_for(
        bytes in vec(prop_oneof![select(b"\"\\{}[],:ab1 n".as_slice()), any::<u8>()], 0..60),
        path in path(), asked in asked(),
    ) {
        unvouched(&bytes, &mut Field::new(path.parse().expect("a path"), asked.condition()));
    }
}

/// Asks about a message whose parts are all these bytes.
fn unvouched(bytes: &[u8], field: &mut Field) -> bool {
    let head = Head {
        kind: Cow::Borrowed(""),
        timestamp: Timestamp::from_nanos(0),
        logger: Cow::Borrowed(""),
        severity: Severity::Debug,
        payload: bytes,
        fields: bytes,
        origin: None,
    };
    field.keep(&Event { head: &head, raw: bytes })
}

#[test]
fn hostile_json_is_passed_over() {
    let many = 200_000;
    let corpus: Vec<Vec<u8>> = [
        "",
        " ",
        "{",
        "}",
        "[",
        "\"",
        "{\"",
        "{\"a",
        "{\"a\"",
        "{\"a\":",
        "{\"a\": ",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\\",
        "{\"a\":1",
        "{\"a\":,",
        "{\"a\":}",
        "{\"a\":]}",
        "{\"a\":[}",
        "{\"a\":{]",
        "{\"a\" 1}",
        "{a:1}",
        "{,}",
        "{\"a\":1 2}",
        "{\"\\u\":1}",
        "{\"\\u00\":1}",
        "{\"\\ud800\":1}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":nul}",
        "{\"a\":-}",
        "{\"a\":1e999999999}",
        "{\"a\":\u{feff}1}",
        "\u{feff}{\"a\":1}",
        "{\"a\":\"\0\"}",
        "{\"a\":{\"b\":}}",
        "[{\"a\":1}]",
        "{\"a\":1,,\"b\":2}",
        "{\"a\"::1}",
        "{\"a\":\"\"\"}",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([
        "[".repeat(many).into_bytes(),
        "{\"a\":".repeat(many).into_bytes(),
        format!("{{\"b\":{}{}}}", "[".repeat(many), "]".repeat(many)).into_bytes(),
        format!("{{{}}}", "\"\\u0061\":1,".repeat(many)).into_bytes(),
        format!("{{\"a\":\"{}\"}}", "\\\\".repeat(many)).into_bytes(),
        format!("{{\"a\":{}}}", "9".repeat(many)).into_bytes(),
        b"{\"a\":\"\xff\"}".to_vec(),
        b"{\"\xff\":1}".to_vec(),
        vec![0; many],
    ])
    .collect();
    let questions = [
        ("a", "^"),
        ("a.b", "^"),
        ("a.a.a.a.a.a.a.a", "^"),
        ("payload", "^"),
        ("payload.a", "^"),
        ("metlog_pid", "^"),
        ("b", "^"),
    ];
    for bytes in &corpus {
        for (path, pattern) in questions {
            let path: Path = path.parse().expect("a path");
            unvouched(bytes, &mut Field::new(path.clone(), Condition::Matches(pattern.parse().expect("a pattern"))));
            unvouched(bytes, &mut Field::new(path.clone(), Condition::Less(0_i64.into())));
            unvouched(bytes, &mut Field::new(path, Condition::In(Choice::of(["a"]))));
        }
    }
    // What can be told from a wrong text is; what cannot is not there.
    let there = |bytes: &[u8]| unvouched(bytes, &mut Field::new("a".parse().expect("a path"), Condition::Exists(true)));
    assert!(there(b"{\"a\":1"));
    assert!(there(format!("{{\"b\":{}{},\"a\":1}}", "[".repeat(many), "]".repeat(many)).as_bytes()));
    assert!(!there(b"{\"b\":[,\"a\":1}"));
    assert!(!there(b"{\"a\":\"\xff\"}"));
    assert!(!there(b"[\"a\",1]"));
}
