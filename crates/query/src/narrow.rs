//! From an expression to the bounds that every store's index can work with, and what those bounds mean.

use crate::expr::{Expr, Op, Test};
use crate::facts::{Facts, LONGEST_ID};
use crate::literal::{Literal, Number};
use crate::path::Root;
use crate::store::Narrow;
use metlog_message::Timestamp;

/// Longer lists bound nothing: an index is asked for each.
const MOST: usize = 1024;

impl Expr {
    /// Bounds inside which everything lies of which it holds. They are `exact` if it holds of all inside them.
    pub fn narrow(&self) -> Narrow {
        bounds(self, true)
    }
}

impl Narrow {
    /// Bounds inside which everything lies.
    pub fn everything() -> Self {
        Narrow { exact: true, ..Narrow::default() }
    }

    /// Bounds inside which nothing lies: they end before time begins.
    pub fn nothing() -> Self {
        Narrow { until: Some(Timestamp::from_nanos(i64::MIN)), exact: true, ..Narrow::default() }
    }

    /// Whether nothing can lie inside.
    pub fn is_nothing(&self) -> bool {
        let apart = self.since.zip(self.until).is_some_and(|(since, until)| since >= until);
        let severities = self.severity_min.zip(self.severity_max).is_some_and(|(min, max)| min > max);
        apart || severities || self.until == Some(Timestamp::from_nanos(i64::MIN))
    }

    /// What the bounds mean: whether a message lies inside. `facts` are those with words.
    pub fn contains(&self, position: u64, facts: &Facts, archived: bool) -> bool {
        let listed = |list: &[String], name: Option<&str>| {
            list.is_empty() || name.is_some_and(|name| list.iter().any(|one| one == name))
        };
        let word = |(word, open): &(String, bool)| {
            facts.words.iter().any(|found| if *open { found.starts_with(word.as_str()) } else { found == word })
        };
        self.since.is_none_or(|since| facts.timestamp >= since)
            && self.until.is_none_or(|until| facts.timestamp < until)
            && self.severity_max.is_none_or(|max| facts.severity <= max)
            && self.severity_min.is_none_or(|min| facts.severity >= min)
            && listed(&self.types, Some(&facts.kind))
            && listed(&self.loggers, Some(&facts.logger))
            && listed(&self.ids, facts.id.as_deref())
            && listed(&self.traces, facts.trace.as_deref())
            && (self.positions.is_empty() || self.positions.contains(&position))
            && self.archived.is_none_or(|wanted| wanted == archived)
            && self.words.iter().all(word)
    }
}

fn bounds(expr: &Expr, wanted: bool) -> Narrow {
    match (expr, wanted) {
        (Expr::All(parts), true) | (Expr::Any(parts), false) => {
            parts.iter().map(|part| bounds(part, wanted)).fold(Narrow::everything(), both)
        }
        (Expr::Any(parts), true) | (Expr::All(parts), false) => {
            let parts = parts.iter().map(|part| bounds(part, wanted)).filter(|part| !part.is_nothing());
            parts.reduce(either).unwrap_or_else(Narrow::nothing)
        }
        (Expr::Not(inner), wanted) => bounds(inner, !wanted),
        (Expr::Since(since), true) | (Expr::Until(since), false) => {
            Narrow { since: Some(*since), ..Narrow::everything() }
        }
        (Expr::Until(until), true) | (Expr::Since(until), false) => {
            Narrow { until: Some(*until), ..Narrow::everything() }
        }
        (Expr::Archived(archived), wanted) => Narrow { archived: Some(*archived == wanted), ..Narrow::everything() },
        (Expr::Position(position), true) => Narrow { positions: vec![*position], ..Narrow::everything() },
        (Expr::Words(phrase), true) => {
            let last = phrase.words().len() - 1;
            let words = phrase.words().iter().enumerate();
            let words = words.map(|(at, word)| (word.clone(), phrase.is_open() && at == last)).collect();
            Narrow { words, exact: last == 0, ..Narrow::default() }
        }
        (Expr::Id(id), true) if fits(id) => Narrow { ids: vec![id.clone()], ..Narrow::everything() },
        (Expr::Trace(trace), true) if fits(trace) => Narrow { traces: vec![trace.clone()], ..Narrow::everything() },
        (Expr::Test(path, test), wanted) => match path.root() {
            Root::Kind if wanted => Narrow { types: texts(test), exact: !texts(test).is_empty(), ..Narrow::default() },
            Root::Logger if wanted => {
                Narrow { loggers: texts(test), exact: !texts(test).is_empty(), ..Narrow::default() }
            }
            Root::Severity => severities(test, wanted),
            Root::Timestamp if wanted => moments(test),
            _ => Narrow::default(),
        },
        _ => Narrow::default(),
    }
}

fn fits(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST_ID
}

/// The texts of which one it must be; none if that is not all.
fn texts(test: &Test) -> Vec<String> {
    let literals = match test {
        Test::Is(literal) => std::slice::from_ref(literal),
        Test::In(literals) if literals.len() <= MOST => literals,
        _ => return Vec::new(),
    };
    let texts: Option<Vec<String>> = literals.iter().map(|literal| literal.only_text().map(str::to_owned)).collect();
    texts.unwrap_or_default()
}

/// Which of the eight severities pass: bounds, exact if there is no gap.
fn severities(test: &Test, wanted: bool) -> Narrow {
    let of = |severity: u8| {
        let seen = crate::literal::Seen::Number(Number::Whole(severity.into()));
        test.of_scalar(&seen) == wanted
    };
    let passing: Vec<u8> = (0..8).filter(|severity| of(*severity)).collect();
    let (Some(min), Some(max)) = (passing.first(), passing.last()) else { return Narrow::nothing() };
    Narrow {
        severity_min: (*min > 0).then_some(*min),
        severity_max: (*max < 7).then_some(*max),
        exact: usize::from(max - min) + 1 == passing.len(),
        ..Narrow::default()
    }
}

fn moments(test: &Test) -> Narrow {
    let after = |moment: Timestamp| moment.nanos().checked_add(1).map(Timestamp::from_nanos);
    let instant = |literal: &Literal| literal.instant;
    let between = |since, until| Narrow { since, until, ..Narrow::everything() };
    match test {
        Test::Exists => Narrow::everything(),
        Test::Is(literal) => match instant(literal) {
            Some(moment) => between(Some(moment), after(moment)),
            None => Narrow::default(),
        },
        Test::Order(op, literal) => match (op, instant(literal)) {
            (Op::Less, Some(moment)) => between(None, Some(moment)),
            (Op::AtMost, Some(moment)) => between(None, after(moment)),
            (Op::AtLeast, Some(moment)) => between(Some(moment), None),
            (Op::More, Some(moment)) => match after(moment) {
                Some(after) => between(Some(after), None),
                None => Narrow::nothing(),
            },
            (_, None) => Narrow::default(),
        },
        _ => Narrow::default(),
    }
}

/// Inside both.
fn both(one: Narrow, other: Narrow) -> Narrow {
    fn min<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
        one.into_iter().chain(other).min()
    }
    /// The common ones; `None` if there is none, which an empty list could not say.
    fn common<T: PartialEq>(mut one: Vec<T>, other: Vec<T>) -> Option<Vec<T>> {
        if one.is_empty() || other.is_empty() {
            one.extend(other);
            return Some(one);
        }
        one.retain(|item| other.contains(item));
        (!one.is_empty()).then_some(one)
    }
    let exact = one.exact && other.exact;
    let together = || {
        let archived = match (one.archived, other.archived) {
            (Some(one), Some(other)) if one != other => return None,
            (one, other) => one.or(other),
        };
        let mut words = one.words;
        words.extend(other.words);
        Some(Narrow {
            since: one.since.max(other.since),
            until: min(one.until, other.until),
            severity_max: min(one.severity_max, other.severity_max),
            severity_min: one.severity_min.max(other.severity_min),
            types: common(one.types, other.types)?,
            loggers: common(one.loggers, other.loggers)?,
            ids: common(one.ids, other.ids)?,
            traces: common(one.traces, other.traces)?,
            positions: common(one.positions, other.positions)?,
            words,
            archived,
            exact,
        })
    };
    match together() {
        Some(narrow) if narrow.is_nothing() => Narrow::nothing(),
        Some(narrow) => narrow,
        None => Narrow::nothing(),
    }
}

/// Inside one of the two at least.
fn either(one: Narrow, other: Narrow) -> Narrow {
    /// The least of both bounds that is there in both.
    fn hull<T: Ord>(one: Option<T>, other: Option<T>, wider: fn(T, T) -> T) -> Option<T> {
        one.zip(other).map(|(one, other)| wider(one, other))
    }
    fn union<T: PartialEq>(mut one: Vec<T>, other: Vec<T>) -> Vec<T> {
        if one.is_empty() || other.is_empty() || one.len() + other.len() > MOST {
            return Vec::new();
        }
        one.extend(other);
        one
    }
    if one == other {
        return one;
    }
    if one == Narrow::everything() || other == Narrow::everything() {
        return Narrow::everything();
    }
    let exact = one.exact && other.exact && one_list(&one) == one_list(&other);
    let narrow = Narrow {
        since: hull(one.since, other.since, Ord::min),
        until: hull(one.until, other.until, Ord::max),
        severity_max: hull(one.severity_max, other.severity_max, Ord::max),
        severity_min: hull(one.severity_min, other.severity_min, Ord::min),
        types: union(one.types, other.types),
        loggers: union(one.loggers, other.loggers),
        ids: union(one.ids, other.ids),
        traces: union(one.traces, other.traces),
        positions: union(one.positions, other.positions),
        words: one.words.into_iter().filter(|word| other.words.contains(word)).collect(),
        archived: one.archived.filter(|archived| other.archived == Some(*archived)),
        exact: false,
    };
    let exact = exact && one_list(&narrow).is_some();
    Narrow { exact, ..narrow }
}

/// Which list it is that alone says everything, if one does.
fn one_list(narrow: &Narrow) -> Option<usize> {
    let lists = [
        !narrow.types.is_empty(),
        !narrow.loggers.is_empty(),
        !narrow.ids.is_empty(),
        !narrow.traces.is_empty(),
        !narrow.positions.is_empty(),
    ];
    let without = Narrow {
        types: Vec::new(),
        loggers: Vec::new(),
        ids: Vec::new(),
        traces: Vec::new(),
        positions: Vec::new(),
        exact: false,
        ..narrow.clone()
    };
    let only = lists.iter().filter(|list| **list).count() == 1 && without == Narrow::default();
    only.then(|| lists.iter().position(|list| *list)).flatten()
}
