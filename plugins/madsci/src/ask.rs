//! Questions: what stands behind the question mark, and the store that is asked.

use metlog_http::Refused;
use metlog_http::axum::Extension;
use metlog_http::axum::body::Body;
use metlog_http::axum::http::{Response, StatusCode};
use metlog_http::server::{json, quote};
use metlog_query::{Shelf, Store, Trouble};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The store, if there is one.
pub type Kept = Option<Extension<Shelf>>;

/// So many questions at a time; each may hold an answer of 32 MiB.
const AT_A_TIME: usize = 4;

/// Above the deadline, so that a store which does not look at its clock holds up nobody.
const GRACE: Duration = Duration::from_secs(1);

/// Who may ask now.
#[derive(Debug, Clone)]
pub struct Askers(Arc<Semaphore>);

impl Default for Askers {
    fn default() -> Self {
        Askers(Arc::new(Semaphore::new(AT_A_TIME)))
    }
}

impl Askers {
    /// Asks the store, off the event loop, once all that was acknowledged has reached it.
    ///
    /// # Errors
    /// 503 if there is no store, no turn or no answer in time; 400 for what the store does not do.
    pub async fn ask<T: Send + 'static>(
        &self,
        kept: Kept,
        within: Duration,
        work: impl FnOnce(&dyn Store, Instant) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Refused> {
        let deadline = Instant::now() + within;
        let Some(Extension(shelf)) = kept else {
            return Err(Refused::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no store is configured, so nothing can be read",
            ));
        };
        let turn = timeout(within, self.0.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Refused::later("too many questions at a time; try again", Duration::from_secs(1)));
        };
        shelf.settled().await;
        let (_asker, store) = shelf.lend();
        let asked = tokio::task::spawn_blocking(move || {
            let answer = work(&store, deadline);
            drop(turn);
            answer
        });
        match timeout(within + GRACE, asked).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(Trouble::Away(why)))) => Err(Refused::later(why, Duration::from_secs(1))),
            Ok(Ok(Err(Trouble::Refused(why)))) => Err(Refused::new(StatusCode::BAD_REQUEST, why)),
            Ok(Err(_)) => Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the store failed")),
            Err(_) => Err(Refused::later("the store did not answer in time", Duration::from_secs(1))),
        }
    }
}

/// An explanation under the name that MADSci's servers give it, and ours.
pub fn detail(status: StatusCode, why: &str) -> Response<Body> {
    let mut body = Vec::new();
    for name in ["{\"detail\":", ",\"error\":"] {
        body.extend_from_slice(name.as_bytes());
        quote(&mut body, why);
    }
    body.push(b'}');
    json(status, body)
}

/// What stands behind the question mark.
#[derive(Debug, Clone, Default)]
pub struct Asked(Vec<(String, String)>);

/// More parameters are not looked at.
const PARAMETERS: usize = 256;

impl Asked {
    /// Names and values, unescaped.
    pub fn of(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).take(PARAMETERS);
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescaped(name), unescaped(value))
        };
        Asked(pairs.map(pair).collect())
    }

    /// All values of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The last value of a name, unless it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }

    /// The last value of a name as what it is to be.
    ///
    /// # Errors
    /// That it is not, in words.
    pub fn parsed<T>(&self, name: &str, what: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, String> {
        let Some(text) = self.get(name) else { return Ok(None) };
        read(text).map(Some).ok_or_else(|| format!("`{name}` is {what}"))
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// That it is none.
    pub fn count(&self, name: &str, default: usize) -> Result<usize, String> {
        Ok(self.parsed(name, "a whole number, 0 or more", |text| text.trim().parse().ok())?.unwrap_or(default))
    }

    /// True or false.
    ///
    /// # Errors
    /// That it is neither.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, String> {
        let read = |text: &str| crate::event::truth(Some(text.into()));
        Ok(self.parsed(name, "true or false", read)?.unwrap_or(default))
    }
}

fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, more @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high * 16 + low);
                    rest = more;
                }
                _ => out.push(b'%'),
            },
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(*byte),
        }
    }
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        let asked = Asked::of(Some("number=5&level=error&selector=a&selector=b%20%27c%27+d&x=%zz%4&empty=&flag=True"));
        assert_eq!((asked.count("number", 100), asked.count("offset", 7)), (Ok(5), Ok(7)));
        assert_eq!(asked.all("selector").collect::<Vec<_>>(), ["a", "b 'c' d"]);
        assert_eq!((asked.get("x"), asked.get("empty"), asked.flag("flag", false)), (Some("%zz%4"), None, Ok(true)));
        assert_eq!(asked.count("level", 0), Err("`level` is a whole number, 0 or more".to_owned()));
        assert_eq!(Asked::of(None).get("x"), None);
    }
}
