//! An expression as a query that is read as the same again.

use super::SPECIAL;
use super::moments::written;
use crate::expr::{Expr, Op, Test};
use crate::literal::{Literal, Pattern};
use crate::path::{ENVELOPE, Path};
use crate::selector;
use metlog_message::Value;
use std::fmt::{self, Write};

impl fmt::Display for Expr {
    /// The query, with absolute times. [`super::parse`] makes the same expression of it, if it was made by a language.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.speaks_of_archived() {
            return either(self, f);
        }
        match self {
            Expr::All(parts) if parts.is_empty() => f.write_str("archived:any"),
            Expr::Any(parts) if parts.len() > 1 => {
                f.write_char('(')?;
                either(self, f)?;
                f.write_str(") archived:any")
            }
            other => {
                either(other, f)?;
                f.write_str(" archived:any")
            }
        }
    }
}

/// Where `OR` may stand without parentheses.
fn either(expr: &Expr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match expr {
        Expr::Any(parts) if parts.len() > 1 => {
            for (at, part) in parts.iter().enumerate() {
                f.write_str(if at > 0 { " OR " } else { "" })?;
                together(part, f)?;
            }
            Ok(())
        }
        other => together(other, f),
    }
}

fn together(expr: &Expr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match expr {
        Expr::All(parts) if parts.len() > 1 => {
            for (at, part) in parts.iter().enumerate() {
                f.write_str(if at > 0 { " " } else { "" })?;
                one(part, f)?;
            }
            Ok(())
        }
        other => one(other, f),
    }
}

fn one(expr: &Expr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match expr {
        Expr::All(parts) if parts.is_empty() => f.write_char('*'),
        Expr::Any(parts) if parts.is_empty() => f.write_str("-*"),
        Expr::All(_) | Expr::Any(_) => {
            f.write_char('(')?;
            either(expr, f)?;
            f.write_char(')')
        }
        Expr::Not(inner) => {
            f.write_char('-')?;
            one(inner, f)
        }
        Expr::Words(phrase) => {
            // In lower case it became two characters, of which one is no letter.
            let text = phrase.words().join(" ").replace("i\u{307}", "İ");
            let quote = if phrase.words().len() > 1 { "\"" } else { "" };
            write!(f, "{quote}{text}{quote}{}", if phrase.is_open() { "*" } else { "" })
        }
        Expr::Since(since) => write!(f, "since:{}", written(*since)),
        Expr::Until(until) => write!(f, "until:{}", written(*until)),
        Expr::Archived(archived) => write!(f, "archived:{}", if *archived { "yes" } else { "no" }),
        Expr::Id(id) => {
            f.write_str("id:")?;
            value(id, f)
        }
        Expr::Trace(trace) => {
            f.write_str("trace:")?;
            value(trace, f)
        }
        Expr::Position(position) => write!(f, "position:{position}"),
        Expr::Test(path, test) => of_test(path, test, f),
    }
}

fn of_test(path: &Path, test: &Test, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match test {
        Test::Exists => {
            f.write_str("has:")?;
            value(&rooted(path), f)
        }
        Test::Is(literal) if literal.is_typed() => {
            name(path, f)?;
            f.write_char(':')?;
            value(text(literal), f)
        }
        Test::Order(op, literal) if literal.is_typed() => {
            name(path, f)?;
            f.write_str(match op {
                Op::Less => "<",
                Op::AtMost => "<=",
                Op::More => ">",
                Op::AtLeast => ">=",
            })?;
            match literal.number {
                Some(_) if path.as_str() != "timestamp" => f.write_str(text(literal)),
                // Without quotes a date would become a moment.
                _ => quoted(text(literal), f),
            }
        }
        Test::Matches(pattern) if !pattern.texts_only() => {
            name(path, f)?;
            f.write_char('~')?;
            of_pattern(pattern, f)
        }
        Test::Like(glob) => {
            name(path, f)?;
            f.write_char(':')?;
            for (at, piece) in glob.pieces().iter().enumerate() {
                f.write_str(if at > 0 { "*" } else { "" })?;
                for symbol in piece.chars() {
                    if !symbol.is_alphanumeric() {
                        f.write_char('\\')?;
                    }
                    f.write_char(symbol)?;
                }
            }
            Ok(())
        }
        other => {
            name(path, f)?;
            write!(f, ":{}", selector::write_test(other).to_text())
        }
    }
}

fn text(literal: &Literal) -> &str {
    literal.value().as_str().unwrap_or_default()
}

fn of_pattern(pattern: &Pattern, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if pattern.source().contains('/') || pattern.source().ends_with('\\') {
        quoted(pattern.source(), f)?;
    } else {
        write!(f, "/{}/", pattern.source())?;
    }
    f.write_str(pattern.flags())
}

/// A path as a query names it.
fn rooted(path: &Path) -> String {
    let first = path.as_str().split('.').next().unwrap_or_default();
    let dot = if first == "fields" || ENVELOPE.contains(&first) { "" } else { "." };
    // Of these only the two first hold other values.
    let inside = first != path.as_str() && !matches!(first, "fields" | "payload");
    format!("{}{path}", if inside { "." } else { dot })
}

fn name(path: &Path, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let rooted = rooted(path);
    let plain = rooted.chars().all(|symbol| symbol.is_alphanumeric() || matches!(symbol, '_' | '.'));
    if plain && !SPECIAL.contains(&rooted.as_str()) { f.write_str(&rooted) } else { quoted(&rooted, f) }
}

fn value(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plain = |symbol: char| symbol.is_alphanumeric() || matches!(symbol, '_' | '.' | '-' | ':' | '/' | '@' | '+');
    let pasted = text.starts_with(':') || text.starts_with("//");
    if !text.is_empty() && !pasted && text.chars().all(plain) { f.write_str(text) } else { quoted(text, f) }
}

fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for symbol in text.chars() {
        if matches!(symbol, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(symbol)?;
    }
    f.write_char('"')
}

/// The text of a value, for those who show it.
impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value() {
            Value::Str(text) => f.write_str(text),
            other => f.write_str(&other.to_text()),
        }
    }
}
