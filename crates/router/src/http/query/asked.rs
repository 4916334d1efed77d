//! What a question says: parameters of an address, or names in a body. A slip of the hand must not ask something else,
//! so whatever is not understood is refused.

use super::{Wrong, bad};
use metlog_message::Timestamp;
use metlog_query::store::{Cursor, Order};
use metlog_query::{Expr, Path, language};
use metlog_settings::{Span, suggest};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Names with their values, each of them once.
#[derive(Debug)]
pub(in crate::http) struct Asked(Vec<(String, String)>);

impl Asked {
    /// Of what stands behind the `?`.
    pub(in crate::http) fn of_address(query: Option<String>, known: &[&str]) -> Result<Self, Wrong> {
        let query = query.unwrap_or_default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        });
        Asked::of(pairs.collect::<Result<_, Wrong>>()?, known)
    }

    /// Of these.
    pub(in crate::http) fn of(pairs: Vec<(String, String)>, known: &[&str]) -> Result<Self, Wrong> {
        for (at, (name, _)) in pairs.iter().enumerate() {
            known_name("parameter", name, known)?;
            if pairs.iter().take(at).any(|(before, _)| before == name) {
                return Err(bad(format!("`{name}` is there twice")));
            }
        }
        Ok(Asked(pairs))
    }

    /// What one of them says, if it says anything.
    pub(in crate::http) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(in crate::http) fn expr(&self) -> Result<Expr, Wrong> {
        language::parse(self.get("query").unwrap_or_default(), Timestamp::now()).map_err(Wrong::Query)
    }

    pub(in crate::http) fn order(&self) -> Result<Order, Wrong> {
        let newest = ("newest", Order::NewestFirst);
        Ok(self.one_of("order", &[newest, ("oldest", Order::OldestFirst)])?.unwrap_or(Order::NewestFirst))
    }

    pub(in crate::http) fn after(&self, order: Order) -> Result<Option<Cursor>, Wrong> {
        self.get("after").map(|text| Cursor::parse(text, order)).transpose().map_err(bad)
    }

    /// How long it may take.
    pub(in crate::http) fn deadline(&self, usual: Duration, most: Duration) -> Result<Duration, Wrong> {
        let Some(text) = self.get("deadline") else { return Ok(usual) };
        let span: Span = text.parse().map_err(|why| bad(format!("`deadline`: {why}")))?;
        let span = span.duration();
        if span > most {
            return Err(bad(format!("`deadline` is `{}`, expected {}s at the most", short(text), most.as_secs())));
        }
        Ok(span)
    }

    pub(in crate::http) fn number(&self, name: &str, within: RangeInclusive<u64>) -> Result<Option<u64>, Wrong> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse().ok().filter(|number| digits && within.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let (least, most) = (within.start(), within.end());
                Err(bad(format!("`{name}` is `{}`, expected a whole number from {least} to {most}", short(text))))
            }
        }
    }

    pub(in crate::http) fn one_of<T: Copy>(&self, name: &str, known: &[(&str, T)]) -> Result<Option<T>, Wrong> {
        let Some(text) = self.get(name) else { return Ok(None) };
        if let Some((_, meaning)) = known.iter().find(|(known, _)| *known == text) {
            return Ok(Some(*meaning));
        }
        let names: Vec<String> = known.iter().map(|(known, _)| format!("`{known}`")).collect();
        Err(bad(format!("`{name}` is `{}`, expected {}", short(text), names.join(" or "))))
    }

    /// Paths with commas between them.
    pub(in crate::http) fn paths(&self, name: &str, most: usize) -> Result<Vec<Path>, Wrong> {
        let Some(text) = self.get(name) else { return Ok(Vec::new()) };
        let path = |text: &str| {
            let wrong = || bad(format!("`{name}`: `{}` is no path such as `fields.user`", short(text)));
            Path::new(text).ok_or_else(wrong)
        };
        let paths: Vec<Path> = text.split(',').map(str::trim).map(path).collect::<Result<_, _>>()?;
        if paths.len() > most {
            return Err(bad(format!("`{name}` has {} paths, at most {most} are allowed", paths.len())));
        }
        Ok(paths)
    }
}

/// Refuses any other name.
pub(in crate::http) fn known_name(what: &str, name: &str, known: &[&str]) -> Result<(), Wrong> {
    if known.contains(&name) {
        return Ok(());
    }
    let meant = suggest::nearest(name, known.iter().copied());
    let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    Err(bad(format!("unknown {what} `{}`, expected one of {}{meant}", short(name), known.join(", "))))
}

/// As much of a text as an answer repeats.
fn short(text: &str) -> &str {
    text.char_indices().nth(64).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

/// Percent signs and plus signs as forms have them. What they do not encode stands for itself.
fn decoded(text: &str) -> Result<String, Wrong> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let encoded = digit(0).zip(digit(1)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        rest = match (first, encoded) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                behind.get(2..).unwrap_or_default()
            }
            (b'+', _) => {
                bytes.push(b' ');
                behind
            }
            _ => {
                bytes.push(*first);
                behind
            }
        };
    }
    String::from_utf8(bytes).map_err(|_| bad(format!("`{}` is not UTF-8", short(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_decoded_and_what_they_do_not_mean_is_refused() {
        let query = |text: &str| {
            let asked = Asked::of_address(Some(text.to_owned()), &["query", "limit"]);
            asked.map(|asked| asked.get("query").unwrap_or("-").to_owned()).map_err(|wrong| wrong.to_string())
        };
        for (text, meant) in [
            ("", "-"),
            ("&&query=a+b%2Bc%20%C3%A9&", "a b+c é"),
            ("query=100%&limit=", "100%"),
            ("query=%zz%4", "%zz%4"),
            ("%71uery=a=b", "a=b"),
            ("query", "-"),
        ] {
            assert_eq!(query(text).as_deref(), Ok(meant), "{text}");
        }
        for (text, says) in [
            ("query=%ff", "`%ff` is not UTF-8"),
            ("query=a&query=a", "`query` is there twice"),
            ("qury=a", "unknown parameter `qury`, expected one of query, limit; did you mean `query`?"),
        ] {
            assert_eq!(query(text).as_ref().map_err(String::as_str), Err(says), "{text}");
        }
        let limit = |text: &str| {
            let asked =
                Asked::of_address(Some(format!("limit={text}")), &["limit"]).map_err(|wrong| wrong.to_string())?;
            asked.number("limit", 1..=10).map_err(|wrong| wrong.to_string())
        };
        assert_eq!((limit("10"), limit("")), (Ok(Some(10)), Ok(None)));
        for wrong in ["0", "11", "-1", "%2B1", "1.0", "1e1", "18446744073709551616", "x"] {
            assert!(limit(wrong).is_err_and(|why| why.contains("from 1 to 10")), "{wrong}");
        }
        assert!(limit(&"9".repeat(5000)).is_err_and(|why| why.len() < 200));
    }
}
