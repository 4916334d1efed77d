//! Messages that may hold anything, and queries about them.

use super::{SECOND, base};
use crate::expr::{Expr, Op, Test};
use crate::literal::{Glob, Literal};
use crate::path::Path;
use crate::words::Phrase;
use fastrand::Rng;
use metlog_message::{Fields, Message, Severity, Timestamp, Value};

pub(super) const TYPES: [&str; 6] = ["oldstyle", "timer", "counter", "Größe", "a'b\"c\\d", ""];

const LOGGERS: [&str; 6] = ["web", "web.api", "db", "", "日志", "100%_x"];

const WORDS: [&str; 14] = [
    "disk",
    "full",
    "timeout",
    "time",
    "Überlauf",
    "überlauf",
    "ΣΊΣΥΦΟΣ",
    "naïve",
    "don't",
    "x_y",
    "42",
    "日志",
    "İstanbul",
    "a\u{0}b",
];

/// A message that may hold anything, of the last two days. Timestamps are often equal.
pub(super) fn message(rng: &mut Rng, base: i64) -> Message {
    let mut message = Message::new(*rng.choice(&TYPES).unwrap_or(&"log"));
    message.logger = (*rng.choice(&LOGGERS).unwrap_or(&"")).to_owned();
    message.severity = Severity::from_number(rng.i64(0..8)).unwrap_or_default();
    let fraction = if rng.bool() { 0 } else { rng.i64(0..SECOND) };
    message.timestamp = Timestamp::from_nanos(base + rng.i64(0..120) * 1440 * SECOND + fraction);
    message.payload = payload(rng);
    for _ in 0..rng.usize(0..5) {
        let name = *rng.choice(&["user_id", "name", "rate", "http", "tags", "a.b", "ok"]).unwrap_or(&"x");
        message.fields.set(name, value(rng, 2));
    }
    let number = rng.u32(0..500);
    match rng.u8(0..6) {
        0 => message.fields.set("id", format!("id-{number}")),
        1 => message.fields.set("event_id", format!("Ü'{number}")),
        2 => message.fields.set("id", "x".repeat(100 + rng.usize(0..60))),
        3 => message.fields.set("id", i64::from(number)),
        _ => {}
    }
    if rng.u8(0..4) == 0 {
        message.fields.set("trace_id", format!("{:032x}", rng.u8(0..8)));
    }
    if rng.u8(0..8) == 0 {
        message.fields.set("ttl_seconds", 400_000_000);
    }
    if message.kind == "timer" || message.kind == "counter" {
        message.payload = Value::from(rng.u32(0..1000).to_string());
        message.fields.set("name", *rng.choice(&["db.query", "hits"]).unwrap_or(&"hits"));
        message.fields.set("rate", *rng.choice(&[1.0, 0.5, 0.1]).unwrap_or(&1.0));
    }
    message
}

fn payload(rng: &mut Rng) -> Value {
    let words = |rng: &mut Rng| {
        let words = (0..rng.usize(0..8)).map(|_| *rng.choice(&WORDS).unwrap_or(&"disk")).collect::<Vec<_>>();
        Value::from(words.join(*rng.choice(&[" ", ", ", "-", "\n"]).unwrap_or(&" ")))
    };
    match rng.u8(0..8) {
        0 => value(rng, 2),
        1 => Value::List(vec![words(rng), words(rng)]),
        2 => Value::Map(Fields::from_iter([("note", words(rng)), ("n", Value::Int(42))])),
        3 => Value::from("long".repeat(30)),
        _ => words(rng),
    }
}

fn value(rng: &mut Rng, depth: u8) -> Value {
    match rng.u8(0..if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => Value::Bool(rng.bool()),
        2 => Value::Int(rng.i64(-3..50)),
        3 => Value::Float(f64::from(rng.i8(-9..9)) / 4.0),
        4 => Value::from(rng.i64(0..50).to_string()),
        5 => Value::from(*rng.choice(&WORDS).unwrap_or(&"disk")),
        6 => Value::List((0..rng.usize(0..3)).map(|_| value(rng, depth - 1)).collect()),
        _ => {
            let names = ["status", "b", "n"];
            let entries = (0..rng.usize(0..3)).map(|at| (names.get(at).copied().unwrap_or("n"), value(rng, depth - 1)));
            Value::Map(entries.collect())
        }
    }
}

/// A query about what [`message`] makes.
pub(super) fn query(rng: &mut Rng, depth: u8) -> Expr {
    let paths = [
        "type",
        "logger",
        "severity",
        "fields.user_id",
        "fields.http.status",
        "fields.tags",
        "fields.a.b",
        "payload",
        "payload.note",
    ];
    let path = |rng: &mut Rng| Path::new(rng.choice(paths).unwrap_or("type")).unwrap_or_else(Path::itself);
    let parts = |rng: &mut Rng| (0..rng.usize(1..4)).map(|_| query(rng, depth - 1)).collect::<Vec<_>>();
    let moment = |rng: &mut Rng| Timestamp::from_nanos(base() + rng.i64(0..120) * 1440 * SECOND);
    match rng.u8(0..if depth == 0 { 12 } else { 16 }) {
        0 => Expr::Since(moment(rng)),
        1 => Expr::Until(moment(rng)),
        2 => Expr::Archived(rng.bool()),
        3 => Expr::Id(format!("id-{}", rng.u32(0..500))),
        4 => Expr::Trace(format!("{:032x}", rng.u8(0..8))),
        5 | 6 => {
            let text = (0..rng.usize(1..3)).map(|_| *rng.choice(&WORDS).unwrap_or(&"disk")).collect::<Vec<_>>();
            Phrase::new(&text.join(" "), rng.bool()).map_or(Expr::EVERYTHING, Expr::Words)
        }
        7 => Expr::Test(
            Path::new("type").unwrap_or_else(Path::itself),
            Test::Is(Literal::typed(*rng.choice(&TYPES).unwrap_or(&""))),
        ),
        8 => Expr::Test(
            Path::new("logger").unwrap_or_else(Path::itself),
            Test::In(LOGGERS.iter().filter(|_| rng.bool()).map(|one| Literal::exact(*one)).collect()),
        ),
        9 => {
            let op = *rng.choice(&[Op::Less, Op::AtMost, Op::More, Op::AtLeast]).unwrap_or(&Op::Less);
            Expr::Test(path(rng), Test::Order(op, Literal::exact(rng.i64(-2..50))))
        }
        10 => Expr::Test(path(rng), Test::Exists),
        11 => {
            let glob = Glob::new(vec!["w".to_owned(), String::new()]).map_or(Test::Exists, Test::Like);
            Expr::Test(path(rng), glob)
        }
        12 | 13 => Expr::all_of(parts(rng)),
        14 => Expr::any_of(parts(rng)),
        _ => query(rng, depth - 1).negated(),
    }
}
