//! What the conditions of the filter by field mean, and what its configuration may say.

mod common;

use common::{event, filter, keeps, open};
use metlog_filters::{Choice, Condition, Field, Path};
use metlog_message::{Message, Severity, Value, wire};
use metlog_pipeline::Filter;
use metlog_testkit::{ini_settings, settings};

/// A message with these fields as they are written here.
fn raw(fields: &str) -> String {
    let before = r#""type":"t","timestamp":"2026-01-02T03:04:05Z","logger":"","severity":6,"payload":"","fields":"#;
    format!("{{{before}{fields}}}")
}

fn message(fields: &str) -> Message {
    let mut message = Message::new("log").payload("a text");
    let Ok(Value::Map(fields)) = wire::read_value(fields.as_bytes()) else { panic!("{fields}") };
    message.fields = fields;
    message
}

#[test]
fn what_is_missing_only_is_not_there() {
    for (condition, null, missing) in [
        ("equals = 'null'", false, false),
        ("in = ['', 'null', 0, false]", false, false),
        ("matches = ''", false, false),
        ("exists = true", true, true),
        ("exists = false", false, false),
        ("less = 1", false, false),
        ("at_most = 0", false, false),
        ("more = -1", false, false),
        ("at_least = 0", false, false),
    ] {
        let mut filter = filter("field", &format!("path = 'a.b'\n{condition}"));
        assert_eq!(keeps(&mut *filter, &message(r#"{"a":{"b":null}}"#)), null, "{condition}");
        for nothing in ["{}", r#"{"a":{}}"#, r#"{"a":null}"#, r#"{"a":"b"}"#, r#"{"a":["b"]}"#, r#"{"b":1}"#] {
            let expected = if condition.starts_with("exists") { !missing } else { missing };
            assert_eq!(keeps(&mut *filter, &message(nothing)), expected, "{condition} {nothing}");
        }
    }
}

#[test]
fn exists_says_whether() {
    let (there, not) = (message(r#"{"a":{"b":null}}"#), message(r#"{"a":{"c":1}}"#));
    for (wanted, text) in [(true, "true"), (false, "false")] {
        let mut filter = filter("field", &format!("path = 'a.b'\nexists = {text}"));
        assert_eq!((keeps(&mut *filter, &there), keeps(&mut *filter, &not)), (wanted, !wanted));
    }
}

#[test]
fn texts_numbers_and_truth_values() {
    for (condition, json, passes) in [
        ("equals = 500", "500", true),
        ("equals = 500", "5e2", true),
        ("equals = 500.0", "500", true),
        ("equals = 500", "\"500\"", true),
        ("equals = 500", "\"5e2\"", false),
        ("equals = 0.5", "5e-1", true),
        ("equals = '500'", "\"500\"", true),
        ("equals = '500'", "500.0", true),
        ("equals = '0500'", "500", false),
        ("equals = true", "true", true),
        ("equals = true", "\"true\"", true),
        ("equals = true", "false", false),
        ("equals = true", "1", false),
        ("equals = 'true'", "true", true),
        ("equals = 'True'", "true", false),
        ("equals = 'a'", "[\"a\"]", false),
        ("equals = '[]'", "[]", false),
        ("equals = 9007199254740993", "9007199254740992", false),
        ("equals = 9007199254740992.0", "9007199254740993", false),
        ("more = 9007199254740992.0", "9007199254740993", true),
        ("in = ['a', 5]", "5", true),
        ("in = ['a', 5]", "\"a\"", true),
        ("in = 'a'", "\"a\"", true),
        ("in = []", "\"a\"", false),
        ("matches = '^5..$'", "503", true),
        ("matches = '^5..$'", "\"503 and so on\"", false),
        ("matches = '(?i)TIME ?OUT'", "\"after a timeout of 5 s\"", true),
        ("matches = '^5e2$'", "5e2", true),
        ("matches = '^500'", "5e2", false),
        ("matches = '^500'", "500.0", true),
        ("matches = '^true$'", "true", true),
        ("matches = ''", "{}", false),
        ("less = 1", "\"0\"", false),
        ("less = 0.1", "0.09", true),
        ("less = '5'", "4", true),
        ("at_most = 5", "5.0", true),
        ("more = 5", "5.0000001", true),
        ("at_least = 18446744073709551615", "18446744073709551614", false),
    ] {
        let mut filter = filter("field", &format!("path = 'x'\n{condition}"));
        let text = raw(&format!("{{\"x\":{json}}}"));
        assert_eq!(event(text.as_bytes(), |event| filter.keep(event)), passes, "{condition} {json}");
    }
    let mut ini = open("field", &ini_settings("path = x\nin =\n    500\n    yes")).expect("opens");
    assert!(keeps(&mut *ini, &message(r#"{"x":500}"#)) && keeps(&mut *ini, &message(r#"{"x":"yes"}"#)));
}

#[test]
fn type_and_severity_decide_alone() {
    let by_severity = filter("field", "path = 'severity'\nat_most = 3");
    assert_eq!(by_severity.decide("x", Severity::Error), Some(true));
    assert_eq!(by_severity.decide("x", Severity::Warning), Some(false));
    let by_type = filter("field", "path = 'type'\nmatches = '^db\\.'");
    assert_eq!(by_type.decide("db.query", Severity::Debug), Some(true));
    assert_eq!(by_type.decide("web", Severity::Debug), Some(false));
    let by_logger = filter("field", "path = 'logger'\nequals = 'web'");
    assert_eq!(by_logger.decide("web", Severity::Debug), None);
}

#[test]
fn names_with_dots_win_and_the_last_of_equal_names_counts() {
    let mut wanted = Field::new("a.b".parse().expect("a path"), Condition::In(Choice::of([1_i64])));
    for (fields, passes) in [
        (r#"{"a":{"b":2},"a.b":1}"#, true),
        (r#"{"a.b":2,"a":{"b":1}}"#, false),
        (r#"{"a":{"b":1},"a":{"c":1}}"#, false),
        (r#"{"a":{"c":1},"a":{"b":2,"b":1}}"#, true),
        (r#"{"a":{"b":1},"\u0061":{}}"#, false),
    ] {
        assert_eq!(event(raw(fields).as_bytes(), |event| wanted.keep(event)), passes, "{fields}");
    }
}

#[test]
fn paths_are_written_as_they_are_read() {
    for (path, same) in [
        ("a.b", "fields.a.b"),
        ("fields.type", "fields.type"),
        ("type", "type"),
        ("metlog_pid", "metlog_pid"),
        ("payload.x", "payload.x"),
        ("fields", "fields"),
    ] {
        let read: Path = path.parse().expect("a path");
        assert_eq!(read.to_string(), same);
        assert_eq!(same.parse(), Ok(read));
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (toml, words) in [
        ("path = 'x'\nequals = 1\nless = 2", "test.toml:3:1: `less`: `equals` and `less`: a filter has one condition"),
        ("path = 'x'", "a condition is missing: one of equals, in, matches, exists"),
        ("equals = 1", "missing key `path`"),
        ("path = 'x'\nequal = 1", "test.toml:2:1: unknown key `equal`"),
        ("path = 'x'\nequal = 1", "did you mean `equals`?"),
        (
            "path = 'x'\nmatches = 'é(b'",
            "test.toml:2:11: `matches`: the pattern `é(b` is wrong at its character 2: unclosed group",
        ),
        ("path = 'x'\nmatches = '((a{100}){100}){100}'", "needs more than 1048576 bytes when it is compiled"),
        ("path = 'x'\nmatches = '(?=a)'", "at its character 1: look-around"),
        ("path = 'x'\nequals = []", "test.toml:2:10: `equals`: expected a text, a number or a truth value"),
        ("path = 'x'\nin = ['a', {}]", "test.toml:2:12: `in[1]`: expected a text, a number or a truth value"),
        ("path = 'x'\nless = 'many'", "test.toml:2:8: `less`: expected a number, found text `many`"),
        (
            "path = 'x'\nequals = 1\nmatches = '('",
            "test.toml:3:11: `matches`: the pattern `(` is wrong at its character 1",
        ),
        ("path = 'x'\nless = nan", "expected a number that is finite"),
        ("path = 'x'\nexists = 'perhaps'", "test.toml:2:10: "),
        ("path = ''\nexists = true", "test.toml:1:8: `path`: `` is not a path such as"),
        ("path = 'a..b'\nexists = true", "`a..b` is not a path such as"),
        (
            "path = 'logger.name'\nexists = true",
            "`logger` holds no other values; a field of this name is `fields.logger.name`",
        ),
    ] {
        let problems = open("field", &settings(toml)).err().unwrap_or_else(|| panic!("{toml}: refused"));
        assert!(problems.contains(words), "{toml}\n{problems}");
    }
    let two = open("field", &settings("path = ''\nmatches = '('\nmore = 1")).err().expect("refused");
    assert_eq!(two.lines().count(), 2, "all at once, and nothing said of what stood in: {two}");
}
