//! The two languages in which messages are asked for.

use metlog_message::{Fields, Message, Severity, Timestamp, Value, wire};
use metlog_query::view::document;
use metlog_query::{Expr, Facts, Row, language, selector};

/// What no JSON has: the one is not the same as itself, the other prints as a text.
const NO_NUMBERS: [&str; 2] = ["NaN", "Infinity"];

/// The query box: a mistake is at a column that is there, and what is understood prints as what is understood again.
pub fn query_box(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let now = Timestamp::from_nanos(1_795_212_050_001_002_000);
    match language::parse(&text, now) {
        Err(mistake) => {
            assert!(!mistake.what.is_empty(), "nothing is said");
            let most = text.chars().count() + 1;
            assert!((1..=most).contains(&mistake.column), "{mistake}, but there are {most} columns");
        }
        Ok(expr) => {
            let printed = expr.to_string();
            // What is printed says everything in full, and may be longer than anything that may be typed.
            if printed.len() <= language::LONGEST {
                let again = language::parse(&printed, now).unwrap_or_else(|why| panic!("{printed}: {why}"));
                assert!(again == expr || odd(&printed), "{printed}: {again:?}, and it was {expr:?}");
                assert_eq!(again.to_string(), printed);
            }
            asked(&expr);
        }
    }
}

/// A selector: a mistake names a place, and what is understood is written as what is understood again.
pub fn selector(data: &[u8]) {
    let Ok(value) = wire::read_value(data) else { return };
    match selector::parse(&value) {
        Err(mistake) => assert!(!mistake.what.is_empty(), "nothing is said"),
        Ok(expr) => {
            let written = selector::write(&expr);
            let text = written.to_text();
            // Written in full it is a little deeper, so what is as deep as may be cannot be read again.
            match selector::parse(&written) {
                Ok(again) => {
                    assert!(again == expr || odd(&text), "{text}: {again:?}, and it was {expr:?}");
                    assert_eq!(selector::write(&again).to_text(), text);
                }
                Err(mistake) => assert!(mistake.what.contains("too deep"), "{mistake}: {text}"),
            }
            asked(&expr);
        }
    }
}

fn odd(text: &str) -> bool {
    NO_NUMBERS.iter().any(|name| text.contains(name))
}

/// Of a message: its row and its document agree, it lies inside the bounds, and the opposite is the opposite.
fn asked(expr: &Expr) {
    let mut raw = Vec::new();
    for (number, archived) in [(0, false), (1, true)] {
        raw.clear();
        wire::write(&mut raw, &message(number));
        let facts = Facts::of(&raw, true).expect("a message");
        let timestamp = facts.timestamp;
        let row = Row {
            position: 5,
            timestamp,
            severity: facts.severity,
            kind: &facts.kind,
            logger: &facts.logger,
            archived: archived.then_some(timestamp),
            raw: &raw,
        };
        let holds = expr.holds(&row);
        assert_ne!(holds, expr.clone().negated().holds(&row), "the opposite of {expr}");
        let narrow = expr.narrow();
        let inside = narrow.contains(row.position, &facts, archived);
        assert!(inside || !holds, "{expr} holds, but not {narrow:?}");
        assert!(!narrow.exact || inside == holds, "{expr} is not exactly {narrow:?}");
        if !has_position(expr) {
            assert_eq!(holds, expr.holds_document(&document(&row)), "{expr} of the document");
        }
    }
}

/// Of a document there is none.
fn has_position(expr: &Expr) -> bool {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts.iter().any(has_position),
        Expr::Not(inner) => has_position(inner),
        Expr::Position(_) => true,
        _ => false,
    }
}

fn message(number: i64) -> Message {
    let inner: Fields = [("a", Value::from(1)), ("b", Value::from(number))].into_iter().collect();
    let fields = [
        ("user_id", Value::from(42)),
        ("a", Value::from(number)),
        ("tags", Value::from(vec!["a", "b"])),
        ("n", Value::List(vec![Value::from(1), Value::Float(2.5), Value::from("x"), Value::Null])),
        ("items", Value::List(vec![Value::Map(inner.clone()), Value::from(4)])),
        ("http", Value::Map(inner)),
        ("id", Value::from("abc-1")),
    ];
    Message {
        kind: ["timer", "log"][usize::from(number == 0)].to_owned(),
        timestamp: Timestamp::from_nanos(1_795_212_050_001_002_000),
        logger: "web.api".to_owned(),
        severity: Severity::Warning,
        payload: if number == 0 { Value::from("disk full: out of Käse a b c 日本 x") } else { Value::from(7.5) },
        fields: fields.into_iter().collect(),
        pid: None,
        hostname: None,
        origin: None,
        extra: Fields::new(),
    }
}
