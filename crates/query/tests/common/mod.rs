//! Expressions, messages and documents as they come, for tests that hold of all of them.
#![allow(dead_code)]

use metlog_message::{Fields, Timestamp, Value};
use metlog_query::expr::{Expr, Op, Test};
use metlog_query::literal::{Glob, Literal, Pattern};
use metlog_query::selector;
use metlog_query::words::Phrase;
use metlog_query::{Path, Row};
use proptest::prelude::*;

/// Before everything that [`value`] makes, 2026-11-20T10:00:00Z.
pub const NOON: i64 = 1_795_168_800_000_000_000;

pub fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        (0..5_i64).prop_map(|hour| Timestamp::from_nanos(NOON + hour * 3_600_000_000_000)),
        (0..5_i64, 0..2000_i64)
            .prop_map(|(hour, nanos)| Timestamp::from_nanos(NOON + hour * 3_600_000_000_000 + nanos)),
    ]
}

pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "", "a", "web", "web.api", "42", "42.0", "true", "null", "disk full", "x*y", "it's \"so\" \\ here", "(a)", "日志",
            "Größe", "İ", "2026-11-20T10:00:00Z", "2026-11-20T11:00:00+01:00", "2026-11-20T12:00:00Z", "-", "NOT", "a/b", "{}",
            "\n", "\u{2028}", "\u{0}", "😀",
        ]).prop_map(str::to_owned),
        1 => ".{0,8}",
    ]
}

pub fn plain() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-3..8_i64).prop_map(Value::Int),
        (-8..16_i32).prop_map(|quarter| Value::Float(f64::from(quarter) / 4.0)),
        Just(Value::UInt(u64::MAX)),
        text().prop_map(Value::Str),
    ]
}

pub fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "a.b", "id", "0", "x y", "Ü"]).prop_map(str::to_owned)
}

pub fn value() -> impl Strategy<Value = Value> {
    plain().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            prop::collection::vec((name(), inner), 0..3)
                .prop_map(|entries| Value::Map(entries.into_iter().collect::<Fields>())),
        ]
    })
}

pub fn path() -> impl Strategy<Value = Path> {
    let name = prop::sample::select(vec![
        "type",
        "severity",
        "logger",
        "timestamp",
        "payload",
        "payload.a",
        "payload.a.b",
        "fields",
        "fields.a",
        "fields.a.b",
        "fields.a.0",
        "fields.a.b.c",
        "fields.0",
        "fields.id",
        "fields.x y",
        "via",
        "via.a",
        "other",
        "archived",
        "severity.x",
        "fields.severity",
        "metlog_pid",
    ]);
    name.prop_map(|name| Path::new(name).unwrap())
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![value().prop_map(Literal::exact), text().prop_map(Literal::typed)]
}

fn op() -> impl Strategy<Value = Op> {
    prop::sample::select(vec![Op::Less, Op::AtMost, Op::More, Op::AtLeast])
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let source = prop::sample::select(vec!["a", "^web", r"\d+", "a/b", r"[\\/]", "x*y?", "^$", r#"["]"#, "ß"]);
    (source, prop::sample::select(vec!["", "i", "ims"]), any::<bool>())
        .prop_map(|(source, flags, texts)| Pattern::new(source, flags, texts).unwrap())
}

fn of_columns() -> impl Strategy<Value = (Path, Test)> {
    let severity = (op(), 0..8_u8)
        .prop_map(|(op, number)| (Path::new("severity").unwrap(), Test::Order(op, Literal::typed(number.to_string()))));
    let listed =
        (prop::sample::select(vec!["type", "logger"]), prop::collection::vec(text().prop_map(Literal::exact), 0..4))
            .prop_map(|(path, literals)| (Path::new(path).unwrap(), Test::In(literals)));
    let moment = (op(), moment()).prop_map(|(op, moment)| {
        (Path::new("timestamp").unwrap(), Test::Order(op, Literal::exact(moment.to_string())))
    });
    prop_oneof![severity, listed, moment]
}

/// What is asked of a path, in either language.
pub fn test() -> impl Strategy<Value = (Path, Test)> {
    let glob = prop::collection::vec(text(), 2..4).prop_filter_map("only stars", |pieces| {
        let any = pieces.iter().any(|piece| !piece.is_empty());
        Glob::new(pieces).filter(|_| any)
    });
    // A typed severity is always a number, whatever was typed.
    let any_literal = |path: &Path, literal: &Literal| path.as_str() != "severity" || !literal.is_typed();
    prop_oneof![
        1 => path().prop_map(|path| (path, Test::Exists)),
        3 => (path(), literal())
            .prop_filter("a name of a severity", move |(path, literal)| any_literal(path, literal))
            .prop_map(|(path, literal)| (path, Test::Is(literal))),
        2 => (path(), prop::collection::vec(value().prop_map(Literal::exact), 0..3))
            .prop_map(|(path, literals)| (path, Test::In(literals))),
        3 => (path(), op(), literal())
            .prop_filter("a name of a severity", move |(path, _, literal)| any_literal(path, literal))
            .prop_filter("nothing to compare", |(_, _, literal)| {
                !matches!(literal.value(), Value::Null | Value::List(_) | Value::Map(_))
            })
            .prop_map(|(path, op, literal)| (path, Test::Order(op, literal))),
        1 => (path(), pattern()).prop_map(|(path, pattern)| (path, Test::Matches(pattern))),
        1 => (path(), glob)
            .prop_filter("a name of a severity", |(path, _)| path.as_str() != "severity")
            .prop_map(|(path, glob)| (path, Test::Like(glob))),
        1 => (path(), 0..3_u64).prop_map(|(path, size)| (path, Test::Size(size))),
        2 => (path(), inner_selector()).prop_filter_map("no items", |(path, inner)| {
            let selector = Value::Map(Fields::from_iter([(path.as_str(), Value::Map(Fields::from_iter([("$elemMatch", inner)])))]));
            match selector::parse(&selector).ok()? {
                Expr::Test(path, test) => Some((path, test)),
                _ => None,
            }
        }),
        3 => of_columns(),
    ]
}

fn inner_selector() -> impl Strategy<Value = Value> {
    let operators = prop::sample::select(vec!["$eq", "$gt", "$ne", "$lte"]);
    let ask = prop::collection::vec((operators, -1..5_i64), 0..3);
    prop_oneof![
        ask.clone().prop_map(|ask| Value::Map(ask.into_iter().collect())),
        (name(), ask).prop_map(|(name, ask)| {
            Value::Map(Fields::from_iter([(name, Value::Map(ask.into_iter().collect::<Fields>()))]))
        }),
        value().prop_map(|value| Value::Map(Fields::from_iter([(
            "$not",
            Value::Map(Fields::from_iter([("$all", Value::List(vec![value, 1.into()]))]))
        )]))),
    ]
}

pub fn expr() -> impl Strategy<Value = Expr> {
    let words = (
        prop_oneof![text(), Just("disk".to_owned()), Just("fu".to_owned()), Just("disk full".to_owned())],
        any::<bool>(),
    )
        .prop_filter_map("no words", |(text, open)| Phrase::new(&text, open).map(Expr::Words));
    let leaf = prop_oneof![
        2 => words,
        1 => moment().prop_map(Expr::Since),
        1 => moment().prop_map(Expr::Until),
        1 => any::<bool>().prop_map(Expr::Archived),
        1 => text().prop_map(Expr::Id),
        1 => Just(Expr::Trace("t1".to_owned())),
        1 => (0..4_u64).prop_map(Expr::Position),
        8 => test().prop_map(|(path, test)| Expr::Test(path, test)),
        1 => Just(Expr::EVERYTHING),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Expr::all_of),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Expr::any_of),
            inner.prop_map(Expr::negated),
        ]
    })
}

/// A message as somebody else may write it: perhaps not strictly.
#[derive(Debug, Clone)]
pub struct Written {
    pub raw: Vec<u8>,
    pub archived: bool,
    pub position: u64,
}

pub fn written() -> impl Strategy<Value = Written> {
    let envelope = (text(), text(), 0..8_u8, moment(), value(), prop::collection::vec((name(), value()), 0..4));
    let more = (prop::option::of(value()), prop::option::of(value()), any::<bool>(), 0..4_u64, 0..12_u8);
    let ids = (prop::option::of(text()), any::<bool>());
    (envelope, more, ids).prop_map(
        |((kind, logger, severity, moment, payload, fields), (via, other, archived, position, odd), (id, traced))| {
            let mut fields: Fields = fields.into_iter().collect();
            if let Some(id) = id {
                fields.set("id", id);
            }
            if traced {
                fields.set("trace_id", "t1");
            }
            let mut message =
                Fields::from_iter([("type", kind), ("logger", logger), ("timestamp", moment.to_string())]);
            message.set("severity", severity);
            message.set("payload", payload);
            message.set("fields", fields);
            message.set("env_version", "0.8");
            for (name, value) in [("via", via), ("other", other)] {
                if let Some(value) = value {
                    message.set(name, value);
                }
            }
            match odd {
                0 => message.set("severity", severity.to_string()),
                1 => message.set("metlog_pid", "7"),
                2 => drop(message.remove("payload")),
                _ => {}
            }
            let mut raw = Value::Map(message).to_text().into_owned();
            match odd {
                3 => raw = raw.replace("\"fields\":", " \"fi\\u0065lds\" :\t"),
                4 => raw = raw.replacen("\"a\":", "\"a\":[null],\"\\u0061\":", 1),
                5 => raw.insert(1, ' '),
                _ => {}
            }
            Written { raw: raw.into_bytes(), archived, position }
        },
    )
}

/// The row a store makes of it.
pub fn row<'a>(written: &'a Written, facts: &'a metlog_query::Facts) -> Row<'a> {
    Row {
        position: written.position,
        timestamp: facts.timestamp,
        severity: facts.severity,
        kind: &facts.kind,
        logger: &facts.logger,
        archived: written.archived.then_some(facts.timestamp),
        raw: &written.raw,
    }
}
