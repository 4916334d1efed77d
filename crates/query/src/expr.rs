//! What both languages come down to, and whether it holds: of a row of a store, or of any JSON document.
//!
//! The two agree: what holds of a row is what holds of [`document`](crate::view::document) of that row.

use crate::facts;
use crate::literal::{Glob, Literal, Number, Pattern, Seen};
use crate::path::{self, Path, Root, Spot};
use crate::store::Row;
use crate::view::{Content, View, plain_text, spot, text_of, value_of};
use crate::words::Phrase;
use metlog_message::{Head, Timestamp, Value};
use std::borrow::Cow;
use std::cmp::Ordering;

/// How deep an expression may be.
pub const DEEPEST: usize = 32;
/// How many tests an expression may hold.
pub const MOST_TERMS: usize = 256;
/// So many tests one regular expression counts for: it may take a thousand times the memory of another test.
pub(crate) const PATTERN_COST: usize = 8;
pub(crate) const TOO_MANY_PATTERNS: &str =
    "too many conditions, of which a pattern counts for eight; at most 256 are allowed";

/// A condition on messages. [`Expr::all_of`], [`Expr::any_of`] and [`Expr::negated`] build it in the one form that
/// printing and reading again keeps.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// All of these hold; of nothing: everything is meant.
    All(Vec<Expr>),
    /// One of these holds at least; of nothing: nothing is meant.
    Any(Vec<Expr>),
    /// It does not hold.
    Not(Box<Expr>),
    /// The payload says these words, one after the other.
    Words(Phrase),
    /// Not before.
    Since(Timestamp),
    /// Before.
    Until(Timestamp),
    /// Whether it is set aside; of a document, whether its `archived` is true.
    Archived(bool),
    /// The message of this id: its field `id` or `event_id`.
    Id(String),
    /// Messages of this trace: the field `trace_id`.
    Trace(String),
    /// The message at this place in its store. Holds of no document.
    Position(u64),
    /// What stands at a path.
    Test(Path, Test),
}

/// A condition on what stands at a path. Where that is a list, it holds if it does of any item, or of the list itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// There is something, be it null.
    Exists,
    /// The same as this. Exactly null is also what is missing.
    Is(Literal),
    /// The same as one of these.
    In(Vec<Literal>),
    /// Less or more than this, of the same kind.
    Order(Op, Literal),
    /// A regular expression is found in it.
    Matches(Pattern),
    /// It begins, goes on and ends so.
    Like(Glob),
    /// A list of this many items.
    Size(u64),
    /// A list in which one object, as a document, is so.
    Element(Box<Expr>),
    /// A list in which one item is so; the expression's path is the item itself.
    Item(Box<Expr>),
}

/// How two values may stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Below.
    Less,
    /// Below, or the same.
    AtMost,
    /// Above.
    More,
    /// Above, or the same.
    AtLeast,
}

impl Op {
    pub(crate) fn allows(self, order: Ordering) -> bool {
        match self {
            Op::Less => order.is_lt(),
            Op::AtMost => order.is_le(),
            Op::More => order.is_gt(),
            Op::AtLeast => order.is_ge(),
        }
    }
}

impl Expr {
    /// Everything.
    pub const EVERYTHING: Expr = Expr::All(Vec::new());

    /// All of these.
    pub fn all_of(parts: impl IntoIterator<Item = Expr>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Expr::All(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.pop() {
            Some(only) if flat.is_empty() => only,
            last => {
                flat.extend(last);
                Expr::All(flat)
            }
        }
    }

    /// One of these at least.
    pub fn any_of(parts: impl IntoIterator<Item = Expr>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Expr::Any(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.pop() {
            Some(only) if flat.is_empty() => only,
            last => {
                flat.extend(last);
                Expr::Any(flat)
            }
        }
    }

    /// The opposite.
    pub fn negated(self) -> Self {
        match self {
            Expr::Not(inner) => *inner,
            Expr::All(parts) if parts.is_empty() => Expr::Any(parts),
            Expr::Any(parts) if parts.is_empty() => Expr::All(parts),
            other => Expr::Not(Box::new(other)),
        }
    }

    /// Whether archived messages are spoken of at all.
    pub fn speaks_of_archived(&self) -> bool {
        match self {
            Expr::All(parts) | Expr::Any(parts) => parts.iter().any(Expr::speaks_of_archived),
            Expr::Not(inner) => inner.speaks_of_archived(),
            Expr::Archived(_) => true,
            _ => false,
        }
    }

    /// Whether it holds of a message in a store: by its columns if they decide it; its bytes are looked into once at
    /// most.
    pub fn holds(&self, row: &Row<'_>) -> bool {
        match self.by_columns(row) {
            Some(truth) => truth,
            None => self.of_view(&View::of(row)),
        }
    }

    /// Whether it holds of a JSON document.
    pub fn holds_document(&self, document: &Value) -> bool {
        let fields = || document.as_map().and_then(|map| map.get("fields")).and_then(Value::as_map);
        let moment = || {
            let text = document.as_map().and_then(|map| map.get("timestamp")).and_then(Value::as_str);
            text.and_then(Timestamp::parse)
        };
        match self {
            Expr::All(parts) => parts.iter().all(|part| part.holds_document(document)),
            Expr::Any(parts) => parts.iter().any(|part| part.holds_document(document)),
            Expr::Not(inner) => !inner.holds_document(document),
            Expr::Words(phrase) => {
                let payload = document.as_map().and_then(|map| map.get("payload"));
                payload.is_some_and(|payload| phrase.is_in(payload))
            }
            Expr::Since(since) => moment().is_some_and(|moment| moment >= *since),
            Expr::Until(until) => moment().is_some_and(|moment| moment < *until),
            Expr::Archived(wanted) => {
                let archived = document.as_map().and_then(|map| map.get("archived"));
                (archived == Some(&Value::Bool(true))) == *wanted
            }
            Expr::Id(id) => {
                fields().is_some_and(|fields| facts::has_id(|name| fields.get(name)?.as_str().map(Cow::Borrowed), id))
            }
            Expr::Trace(trace) => {
                fields().is_some_and(|fields| fields.get("trace_id").and_then(Value::as_str) == Some(trace))
            }
            Expr::Position(_) => false,
            Expr::Test(path, test) => match path.root() {
                Root::Itself => test.of_item(document),
                _ => path.any(document, &mut |value| test.of_place(value)),
            },
        }
    }

    /// What the columns say.
    fn by_columns(&self, row: &Row<'_>) -> Option<bool> {
        match self {
            Expr::All(parts) => {
                let mut all = Some(true);
                for part in parts {
                    match part.by_columns(row) {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => all = None,
                    }
                }
                all
            }
            Expr::Any(parts) => {
                let mut any = Some(false);
                for part in parts {
                    match part.by_columns(row) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => any = None,
                    }
                }
                any
            }
            Expr::Not(inner) => inner.by_columns(row).map(|truth| !truth),
            Expr::Since(since) => Some(row.timestamp >= *since),
            Expr::Until(until) => Some(row.timestamp < *until),
            Expr::Archived(wanted) => Some(row.archived.is_some() == *wanted),
            Expr::Position(position) => Some(row.position == *position),
            Expr::Test(path, test) => match path.root() {
                Root::Kind => Some(test.of_scalar(&Seen::Text(row.kind))),
                Root::Logger => Some(test.of_scalar(&Seen::Text(row.logger))),
                Root::Severity => Some(test.of_scalar(&Seen::Number(severity(row)))),
                Root::Timestamp => test.of_moment(row.timestamp),
                Root::Archived if row.archived.is_some() => Some(test.of_scalar(&Seen::Truth(true))),
                Root::Archived => Some(test.of_nothing()),
                _ => None,
            },
            Expr::Words(_) | Expr::Id(_) | Expr::Trace(_) => None,
        }
    }

    fn of_view(&self, view: &View<'_, '_>) -> bool {
        match self {
            Expr::All(parts) => parts.iter().all(|part| part.of_view(view)),
            Expr::Any(parts) => parts.iter().any(|part| part.of_view(view)),
            Expr::Not(inner) => !inner.of_view(view),
            other => match other.by_columns(view.row()) {
                Some(truth) => truth,
                None => match view.content() {
                    Content::Bytes(head) => other.of_bytes(head, view.row().raw),
                    Content::Tree(document) => other.holds_document(document),
                },
            },
        }
    }

    /// Of a strictly right message, and of what is no column.
    fn of_bytes(&self, head: &Head<'_>, raw: &[u8]) -> bool {
        let text = |name: &str| match path::locate(head.fields, name) {
            Spot::At(json) => text_of(json),
            _ => None,
        };
        match self {
            Expr::Words(phrase) => match plain_text(head.payload) {
                Some(text) => phrase.is_in_text(text),
                None => value_of(head.payload).is_some_and(|payload| phrase.is_in(&payload)),
            },
            Expr::Id(id) => facts::has_id(text, id),
            Expr::Trace(trace) => text("trace_id").is_some_and(|found| found == *trace),
            Expr::Test(path, test) => test.of_spot(spot(path, head, raw)),
            _ => false,
        }
    }
}

fn severity(row: &Row<'_>) -> Number {
    Number::Whole(row.severity.into())
}

impl Test {
    /// Of what stands there, or of nothing.
    fn of_place(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else { return self.of_nothing() };
        match (self, value) {
            (Test::Exists, _) => true,
            (_, Value::List(items)) => self.of_list(items) || self.of_scalar(&Seen::Nested(value)),
            _ => self.of_scalar(&Seen::of(value)),
        }
    }

    fn of_nothing(&self) -> bool {
        match self {
            Test::Is(literal) => literal.is_missing_too(),
            Test::In(literals) => literals.iter().any(Literal::is_missing_too),
            _ => false,
        }
    }

    fn of_list(&self, items: &[Value]) -> bool {
        match self {
            Test::Size(size) => u64::try_from(items.len()) == Ok(*size),
            Test::Element(expr) => items.iter().any(|item| matches!(item, Value::Map(_)) && expr.holds_document(item)),
            Test::Item(expr) => items.iter().any(|item| expr.holds_document(item)),
            _ => items.iter().any(|item| self.of_scalar(&Seen::of(item))),
        }
    }

    /// Of one item, which is not looked into if it is a list; but it may have a size.
    fn of_item(&self, value: &Value) -> bool {
        match (self, value) {
            (Test::Size(_) | Test::Element(_) | Test::Item(_), Value::List(items)) => self.of_list(items),
            _ => self.of_scalar(&Seen::of(value)),
        }
    }

    pub(crate) fn of_scalar(&self, seen: &Seen<'_>) -> bool {
        match self {
            Test::Exists => true,
            Test::Is(literal) => literal.same(seen),
            Test::In(literals) => literals.iter().any(|literal| literal.same(seen)),
            Test::Order(op, literal) => literal.order(seen).is_some_and(|order| op.allows(order)),
            Test::Matches(pattern) => pattern.matches(seen),
            Test::Like(glob) => glob.matches(seen),
            Test::Size(_) | Test::Element(_) | Test::Item(_) => false,
        }
    }

    /// Of a message's timestamp, if it need not be known how that is written.
    fn of_moment(&self, moment: Timestamp) -> Option<bool> {
        match self {
            Test::Exists => Some(true),
            Test::Is(literal) => literal.instant.map(|instant| moment == instant),
            Test::Order(op, literal) => literal.instant.map(|instant| op.allows(moment.cmp(&instant))),
            Test::In(literals) if literals.iter().all(|literal| literal.instant.is_some()) => {
                Some(literals.iter().any(|literal| literal.instant == Some(moment)))
            }
            _ => None,
        }
    }

    fn of_spot(&self, spot: Spot<'_, '_>) -> bool {
        let json = match spot {
            Spot::Missing => return self.of_nothing(),
            Spot::At(json) => json,
            Spot::List(json, rest) => {
                let list = value_of(json);
                return list.is_some_and(|list| path::descend(&list, rest, &mut |value| self.of_place(value)));
            }
        };
        match (self, plain_text(json)) {
            (Test::Exists, _) => true,
            (_, Some(text)) => self.of_scalar(&Seen::Text(text)),
            (_, None) if matches!(json, [b'-' | b'0'..=b'9', ..]) => {
                let number = std::str::from_utf8(json).ok().and_then(Number::parse);
                number.is_some_and(|number| self.of_scalar(&Seen::Number(number)))
            }
            _ => value_of(json).is_some_and(|value| self.of_place(Some(&value))),
        }
    }
}
