//! The same questions as a JSON object, in MongoDB's manner: `{"type": "timer", "fields.user_id": {"$gt": 40}}`.
//!
//! It differs where that helps: texts that are moments compare as moments, sub-documents are the same whatever the order
//! of their names, and what a selector may cost is bounded.

use crate::expr::{DEEPEST, Expr, MOST_TERMS, Op, PATTERN_COST, TOO_MANY_PATTERNS, Test};
use crate::literal::{Literal, Pattern};
use crate::path::{Path, Root};
use metlog_message::{Fields, Value};
use metlog_settings::suggest;
use std::fmt;

/// Values in one list of `$in`.
pub const MOST_VALUES: usize = 1024;

const LOGIC: [&str; 3] = ["$and", "$or", "$nor"];
const OPERATORS: [&str; 17] = [
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$exists",
    "$regex",
    "$options",
    "$not",
    "$all",
    "$size",
    "$elemMatch",
    "$and",
    "$or",
];

/// What is wrong with a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where, such as `$or[1].fields.a.$gt`; empty at the top.
    pub place: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() { f.write_str(&self.what) } else { write!(f, "at {}: {}", self.place, self.what) }
    }
}

impl std::error::Error for Mistake {}

/// Reads a selector.
///
/// # Errors
/// If it is none, or beyond [`DEEPEST`], [`MOST_TERMS`] or [`MOST_VALUES`].
pub fn parse(selector: &Value) -> Result<Expr, Mistake> {
    Reader { terms: MOST_TERMS }.document(selector, &Place::Top, DEEPEST)
}

/// What has to hold at one path: a value, or an object of operators. Takes from `terms` what it needs.
pub(crate) fn condition(path: &Path, value: &Value, terms: &mut usize, depth: usize) -> Result<Expr, Mistake> {
    let mut reader = Reader { terms: *terms };
    let expr = reader.condition(path, value, &Place::Top, depth);
    *terms = reader.terms;
    expr
}

/// Where the reader is; written out only for a mistake.
enum Place<'a> {
    Top,
    Name(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Top => Ok(()),
            Place::Name(Place::Top, name) => f.write_str(name),
            Place::Name(before, name) => write!(f, "{before}.{name}"),
            Place::Item(before, at) => write!(f, "{before}[{at}]"),
        }
    }
}

impl Place<'_> {
    fn mistake<T>(&self, what: impl Into<String>) -> Result<T, Mistake> {
        Err(Mistake { place: self.to_string(), what: what.into() })
    }

    fn unknown<T>(&self, name: &str, known: &[&str]) -> Result<T, Mistake> {
        let meant = match suggest::nearest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        self.mistake(format!("there is no operator `{name}` here; {meant}"))
    }
}

struct Reader {
    terms: usize,
}

impl Reader {
    fn deeper(&self, depth: usize, place: &Place<'_>) -> Result<usize, Mistake> {
        match depth.checked_sub(1) {
            Some(depth) => Ok(depth),
            None => place.mistake(format!("nested too deep, at most {DEEPEST} levels are allowed")),
        }
    }

    fn document(&mut self, selector: &Value, place: &Place<'_>, depth: usize) -> Result<Expr, Mistake> {
        let depth = self.deeper(depth, place)?;
        let Value::Map(entries) = selector else {
            return place.mistake("a selector is an object such as {\"type\": \"timer\"}");
        };
        let mut parts = Vec::new();
        for (name, value) in entries.iter() {
            let place = Place::Name(place, name);
            let part = match name {
                "$and" => Expr::all_of(self.list(value, &place, depth, Self::document)?),
                "$or" => Expr::any_of(self.list(value, &place, depth, Self::document)?),
                "$nor" => Expr::any_of(self.list(value, &place, depth, Self::document)?).negated(),
                _ if name.starts_with('$') => return place.unknown(name, &LOGIC),
                _ => match Path::new(name) {
                    Some(path) => self.condition(&path, value, &place, depth)?,
                    None => return place.mistake(format!("`{name}` is not a path such as `fields.http.status`")),
                },
            };
            parts.push(part);
        }
        Ok(Expr::all_of(parts))
    }

    fn list(
        &mut self,
        value: &Value,
        place: &Place<'_>,
        depth: usize,
        mut read: impl FnMut(&mut Self, &Value, &Place<'_>, usize) -> Result<Expr, Mistake>,
    ) -> Result<Vec<Expr>, Mistake> {
        match value {
            Value::List(items) if !items.is_empty() => {
                let items = items.iter().enumerate();
                items.map(|(at, item)| read(self, item, &Place::Item(place, at), depth)).collect()
            }
            _ => place.mistake("takes a list of selectors that is not empty"),
        }
    }

    fn condition(&mut self, path: &Path, value: &Value, place: &Place<'_>, depth: usize) -> Result<Expr, Mistake> {
        let operators = |entries: &&Fields| entries.iter().any(|(name, _)| name.starts_with('$'));
        match value.as_map().filter(operators) {
            Some(entries) => self.operators(path, entries, place, depth),
            None => self.test(path, Test::Is(Literal::exact(value.clone())), place),
        }
    }

    fn test(&mut self, path: &Path, test: Test, place: &Place<'_>) -> Result<Expr, Mistake> {
        match self.terms.checked_sub(1) {
            Some(left) => self.terms = left,
            None => return place.mistake(format!("too many conditions, at most {MOST_TERMS} are allowed")),
        }
        Ok(Expr::Test(path.clone(), test))
    }

    fn operators(&mut self, path: &Path, entries: &Fields, place: &Place<'_>, depth: usize) -> Result<Expr, Mistake> {
        let depth = self.deeper(depth, place)?;
        let mut parts = Vec::new();
        for (name, value) in entries.iter() {
            if !name.starts_with('$') {
                return place.mistake(format!("operators and the name `{name}` in one object; it is one or the other"));
            }
            let place = Place::Name(place, name);
            if name == "$options" {
                if !entries.contains("$regex") {
                    return place.mistake("goes with `$regex` only");
                }
                continue;
            }
            let flags = entries.get("$options").filter(|_| name == "$regex");
            parts.push(self.operator(path, name, value, flags, &place, depth)?);
        }
        Ok(Expr::all_of(parts))
    }

    fn operator(
        &mut self,
        path: &Path,
        name: &str,
        value: &Value,
        flags: Option<&Value>,
        place: &Place<'_>,
        depth: usize,
    ) -> Result<Expr, Mistake> {
        let inner = |this: &mut Self, value: &Value, place: &Place<'_>, depth| match value {
            Value::Map(entries) if !entries.is_empty() => this.operators(path, entries, place, depth),
            _ => place.mistake("takes an object of operators, such as {\"$gt\": 5}"),
        };
        let test = match name {
            "$eq" => Test::Is(Literal::exact(value.clone())),
            "$ne" => return Ok(self.test(path, Test::Is(Literal::exact(value.clone())), place)?.negated()),
            "$gt" => order(Op::More, value, place)?,
            "$gte" => order(Op::AtLeast, value, place)?,
            "$lt" => order(Op::Less, value, place)?,
            "$lte" => order(Op::AtMost, value, place)?,
            "$in" => Test::In(literals(value, place)?),
            "$nin" => return Ok(self.test(path, Test::In(literals(value, place)?), place)?.negated()),
            "$exists" => {
                let wanted = match value {
                    Value::Bool(wanted) => *wanted,
                    Value::Int(number) => *number != 0,
                    _ => return place.mistake("takes true or false"),
                };
                let exists = self.test(path, Test::Exists, place)?;
                return Ok(if wanted { exists } else { exists.negated() });
            }
            "$regex" => {
                let flags = flags.map_or(Some(""), Value::as_str);
                let (Some(source), Some(flags)) = (value.as_str(), flags) else {
                    return place.mistake("takes a text, and `$options` one of the letters i, m, s and x");
                };
                match self.terms.checked_sub(PATTERN_COST - 1) {
                    Some(left) => self.terms = left,
                    None => return place.mistake(TOO_MANY_PATTERNS),
                }
                Test::Matches(Pattern::new(source, flags, true).or_else(|why| place.mistake(why))?)
            }
            "$size" => match value.as_f64().filter(|size| *size >= 0.0 && size.fract() == 0.0 && *size < 1e15) {
                Some(size) => Test::Size(size as u64),
                None => return place.mistake("takes a number of items, such as 3"),
            },
            "$all" => return self.all(path, value, place, depth),
            "$elemMatch" => Test::of_items(self.items(value, place, depth)?),
            "$not" => return Ok(inner(self, value, place, depth)?.negated()),
            // Inside one path MongoDB has no such lists; we print with them what has no other form.
            "$and" => return Ok(Expr::all_of(self.list(value, place, depth, inner)?)),
            "$or" => return Ok(Expr::any_of(self.list(value, place, depth, inner)?)),
            _ => return place.unknown(name, &OPERATORS),
        };
        self.test(path, test, place)
    }

    fn all(&mut self, path: &Path, value: &Value, place: &Place<'_>, depth: usize) -> Result<Expr, Mistake> {
        let Value::List(items) = value else { return place.mistake("takes a list of values") };
        if items.is_empty() {
            return Ok(Expr::Any(Vec::new()));
        }
        let parts = items.iter().enumerate().map(|(at, item)| {
            let place = Place::Item(place, at);
            match item.as_map().and_then(|map| map.get("$elemMatch")) {
                Some(inner) => {
                    let items = Test::of_items(self.items(inner, &place, depth)?);
                    self.test(path, items, &place)
                }
                None => self.test(path, Test::Is(Literal::exact(item.clone())), &place),
            }
        });
        Ok(Expr::all_of(parts.collect::<Result<Vec<_>, _>>()?))
    }

    /// What `$elemMatch` asks of an item: operators ask of the item itself (true), names of what is in it.
    fn items(&mut self, value: &Value, place: &Place<'_>, depth: usize) -> Result<(Expr, bool), Mistake> {
        let Value::Map(entries) = value else {
            return place.mistake("takes an object: of operators, or of names and what they are");
        };
        let itself = |name: &str| name.starts_with('$') && !LOGIC.contains(&name);
        if entries.iter().next().is_some_and(|(name, _)| itself(name)) {
            return Ok((self.operators(&Path::itself(), entries, place, depth)?, true));
        }
        Ok((self.document(value, place, depth)?, false))
    }
}

impl Test {
    fn of_items((expr, itself): (Expr, bool)) -> Self {
        if itself { Test::Item(Box::new(expr)) } else { Test::Element(Box::new(expr)) }
    }
}

fn order(op: Op, value: &Value, place: &Place<'_>) -> Result<Test, Mistake> {
    match value {
        // Of null there is nothing above or below.
        Value::Null if matches!(op, Op::AtLeast | Op::AtMost) => Ok(Test::Is(Literal::exact(()))),
        Value::Null => Ok(Test::In(Vec::new())),
        Value::List(_) | Value::Map(_) => place.mistake("takes a number, a text or a truth value"),
        plain => Ok(Test::Order(op, Literal::exact(plain.clone()))),
    }
}

fn literals(value: &Value, place: &Place<'_>) -> Result<Vec<Literal>, Mistake> {
    match value {
        Value::List(items) if items.len() <= MOST_VALUES => {
            Ok(items.iter().map(|item| Literal::exact(item.clone())).collect())
        }
        Value::List(items) => place.mistake(format!("{} values, at most {MOST_VALUES} are allowed", items.len())),
        _ => place.mistake("takes a list of values"),
    }
}

fn object(name: &str, value: impl Into<Value>) -> Value {
    Value::Map(Fields::from_iter([(name, value.into())]))
}

/// The operators that [`condition`] reads as this test.
pub(crate) fn write_test(test: &Test) -> Value {
    let value = |literal: &Literal| literal.value().clone();
    match test {
        Test::Exists => object("$exists", true),
        Test::Is(literal) => object("$eq", value(literal)),
        Test::In(literals) => object("$in", Value::List(literals.iter().map(value).collect())),
        Test::Order(op, literal) => {
            let name = match op {
                Op::Less => "$lt",
                Op::AtMost => "$lte",
                Op::More => "$gt",
                Op::AtLeast => "$gte",
            };
            object(name, value(literal))
        }
        Test::Matches(pattern) => {
            let mut both = Fields::from_iter([("$regex", pattern.source())]);
            if !pattern.flags().is_empty() {
                both.set("$options", pattern.flags());
            }
            Value::Map(both)
        }
        Test::Like(glob) => {
            let pieces: Vec<String> = glob.pieces().iter().map(|piece| regex::escape(piece)).collect();
            object("$regex", format!("(?s)^{}$", pieces.join(".*")))
        }
        Test::Size(size) => object("$size", *size),
        Test::Element(expr) => object("$elemMatch", write(expr)),
        Test::Item(expr) => {
            let inner = write_condition(expr);
            let logic = inner.as_map().is_some_and(|map| LOGIC.iter().any(|name| map.contains(name)));
            // At the front `$and` would be taken for one between names.
            object("$elemMatch", if logic { object("$not", object("$not", inner)) } else { inner })
        }
    }
}

/// Of an expression about one path, the operators.
fn write_condition(expr: &Expr) -> Value {
    let list = |parts: &[Expr]| Value::List(parts.iter().map(write_condition).collect());
    let nothing = || object("$all", Value::List(Vec::new()));
    match expr {
        Expr::All(parts) if parts.is_empty() => object("$not", nothing()),
        Expr::Any(parts) if parts.is_empty() => nothing(),
        Expr::All(parts) => object("$and", list(parts)),
        Expr::Any(parts) => object("$or", list(parts)),
        Expr::Not(inner) => object("$not", write_condition(inner)),
        Expr::Test(_, test) => write_test(test),
        _ => nothing(),
    }
}

/// The selector that [`parse`] reads as this expression. What selectors have no word for, such as words of the payload,
/// is left out.
pub fn write(expr: &Expr) -> Value {
    let list = |parts: &[Expr]| Value::List(parts.iter().map(write).collect());
    let everything = || Value::Map(Fields::new());
    match expr {
        Expr::All(parts) if parts.is_empty() => everything(),
        Expr::Any(parts) if parts.is_empty() => object("$nor", Value::List(vec![everything()])),
        Expr::All(parts) => object("$and", list(parts)),
        Expr::Any(parts) => object("$or", list(parts)),
        Expr::Not(inner) => match &**inner {
            Expr::Test(path, test) if path.root() != Root::Itself => {
                object(path.as_str(), object("$not", write_test(test)))
            }
            inner => object("$nor", Value::List(vec![write(inner)])),
        },
        Expr::Test(path, test) => object(path.as_str(), write_test(test)),
        _ => everything(),
    }
}
