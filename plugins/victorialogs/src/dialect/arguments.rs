//! What a request says about its lines: query arguments, and headers of the same meaning, which count where there is no
//! argument.

use metlog_http::Refused;
use metlog_http::axum::http::{HeaderMap, StatusCode, Uri};

/// Names in one argument. Each is looked for in every line.
const MOST: usize = 100;

/// A request's arguments, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Fields that may hold the text; the first that is not empty does.
    pub text: Vec<String>,
    /// Fields that may hold the time; the first that is there does.
    pub time: Vec<String>,
    /// Fields that are thrown away.
    pub ignore: Names,
    /// Fields whose colours are taken out.
    pub decolorize: Names,
    /// Fields that every line gets, over its own.
    pub extra: Vec<(String, String)>,
    /// Store nothing, show what would have been.
    pub debug: bool,
    /// Loki: the text of an entry is text, also when it is JSON.
    pub plain: bool,
    /// `AccountID` and `ProjectID`, where given.
    pub tenant: Vec<(&'static str, u32)>,
}

impl Arguments {
    /// Reads them. Where no field is named for text or time, these stand in.
    ///
    /// # Errors
    /// 400 for what VictoriaLogs answers so too: a bad tenant, bad `extra_fields`.
    pub fn read(uri: &Uri, headers: &HeaderMap, text: &[&str], time: &[&str]) -> Result<Self, Refused> {
        let asked = Asked { query: pairs(uri.query().unwrap_or_default()), headers };
        let named = |argument, header, otherwise: &[&str]| {
            let names = asked.list(argument, header)?;
            Ok::<_, Refused>(if names.is_empty() { owned(otherwise) } else { names })
        };
        let mut arguments = Arguments {
            text: named("_msg_field", "VL-Msg-Field", text)?,
            time: named("_time_field", "VL-Time-Field", time)?,
            ignore: Names(asked.list("ignore_fields", "VL-Ignore-Fields")?),
            decolorize: Names(asked.list("decolorize_fields", "VL-Decolorize-Fields")?),
            debug: is_set(&asked.one("debug", "VL-Debug")),
            plain: is_set(&asked.one("disable_message_parsing", "VL-Loki-Disable-Message-Parsing")),
            ..Arguments::default()
        };
        // Every field is found by its value here, so there are no streams to make of them.
        asked.list("_stream_fields", "VL-Stream-Fields")?;
        for pair in asked.list("extra_fields", "VL-Extra-Fields")? {
            match pair.split_once('=') {
                Some((name, value)) if !name.is_empty() => arguments.extra.push((name.to_owned(), value.to_owned())),
                _ => return Err(bad("extra_fields is a list of name=value, separated by commas")),
            }
        }
        for header in ["AccountID", "ProjectID"] {
            let given = asked.header(header);
            if !given.is_empty() {
                let number =
                    given.parse().map_err(|_| bad(format!("{header} is a number of 32 bits, or not there")))?;
                arguments.tenant.push((header, number));
            }
        }
        Ok(arguments)
    }

    /// Whether lines stay as they are but for their time and text.
    pub fn change_nothing(&self) -> bool {
        self.ignore.0.is_empty() && self.decolorize.0.is_empty() && self.extra.is_empty() && self.tenant.is_empty()
    }
}

/// Names, or what names begin with and then `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is meant.
    pub fn hold(&self, name: &str) -> bool {
        self.0.iter().any(|one| match one.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == one,
        })
    }
}

struct Asked<'a> {
    query: Vec<(String, String)>,
    headers: &'a HeaderMap,
}

impl Asked<'_> {
    fn header(&self, name: &str) -> String {
        let value = self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        value.unwrap_or_default().trim().to_owned()
    }

    fn one(&self, argument: &str, header: &str) -> String {
        let found = self.query.iter().find(|(name, _)| name == argument);
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty()).unwrap_or_else(|| self.header(header))
    }

    fn list(&self, argument: &str, header: &str) -> Result<Vec<String>, Refused> {
        let names = self.one(argument, header);
        let names: Vec<String> =
            names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if names.len() > MOST {
            return Err(bad(format!("{argument} names {} fields, at most {MOST} are allowed", names.len())));
        }
        Ok(names)
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// As Go reads a truth value, near enough: what is not plainly no is yes.
fn is_set(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "" | "0" | "f" | "false" | "no" | "off")
}

fn bad(why: impl Into<std::borrow::Cow<'static, str>>) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, why)
}

/// The pairs of a query, decoded.
fn pairs(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// `+` and `%XX`; a percent sign without two digits stands for itself.
pub fn decoded(text: &str) -> String {
    let (mut made, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        made.push(match (byte, after) {
            (b'+', _) => b' ',
            (b'%', [high, low, more @ ..]) => match (char::from(*high).to_digit(16), char::from(*low).to_digit(16)) {
                (Some(high), Some(low)) => {
                    rest = more;
                    (high * 16 + low) as u8
                }
                _ => b'%',
            },
            (other, _) => *other,
        });
    }
    String::from_utf8_lossy(&made).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, headers: &[(&'static str, &str)]) -> Result<Arguments, Refused> {
        let uri = format!("/insert/jsonline?{query}").parse().expect("an address");
        let headers =
            headers.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        Arguments::read(&uri, &headers.collect(), &["_msg"], &["_time"])
    }

    #[test]
    fn each_argument_by_query_and_by_header() {
        let expected = Arguments {
            text: owned(&["message", "short message"]),
            time: owned(&["t", "meta.at"]),
            ignore: Names(owned(&["secret", "tmp*"])),
            decolorize: Names(owned(&["_msg"])),
            extra: vec![("dc".into(), "b er".into()), ("a".into(), "x=y".into())],
            debug: true,
            plain: true,
            tenant: vec![("AccountID", 7), ("ProjectID", 4_294_967_295)],
        };
        let tenant = [("AccountID", "7"), ("projectid", " 4294967295 ")];
        let query = "_msg_field=message,,short+message&_time_field=t%2Cmeta.at&ignore_fields=secret,tmp*&\
            decolorize_fields=_msg&extra_fields=dc=b%20er,a=x=y&debug=1&disable_message_parsing=true&_stream_fields=a";
        assert_eq!(read(query, &tenant).as_ref(), Ok(&expected));
        let headers = [
            ("VL-Msg-Field", "message,short message"),
            ("VL-Time-Field", "t,meta.at"),
            ("VL-Ignore-Fields", "secret, tmp*"),
            ("VL-Decolorize-Fields", "_msg"),
            ("VL-Extra-Fields", "dc=b er,a=x=y"),
            ("VL-Debug", "1"),
            ("VL-Loki-Disable-Message-Parsing", "1"),
            ("VL-Stream-Fields", "a"),
        ];
        let both: Vec<_> = headers.iter().chain(&tenant).copied().collect();
        assert_eq!(read("", &both).as_ref(), Ok(&expected));
        let won = read("_msg_field=mine&debug=0&_time_field=", &both).expect("read");
        assert_eq!((won.text, won.debug, won.time), (owned(&["mine"]), false, expected.time));
    }

    #[test]
    fn without_any() {
        let arguments = read("", &[]).expect("read");
        assert_eq!((&arguments.text, &arguments.time), (&owned(&["_msg"]), &owned(&["_time"])));
        assert!(arguments.change_nothing() && !arguments.debug && !arguments.plain);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (query, headers, words) in [
            ("extra_fields=a", &[][..], "name=value"),
            ("extra_fields=a=1,=b", &[], "name=value"),
            ("", &[("AccountID", "me")], "AccountID is a number"),
            ("", &[("ProjectID", "4294967296")], "ProjectID is a number"),
            (&format!("ignore_fields={}", "a,".repeat(101)), &[], "at most 100"),
        ] {
            let refused = read(query, headers).expect_err("refused");
            assert!(refused.status == StatusCode::BAD_REQUEST && refused.error.contains(words), "{refused:?}");
        }
    }

    #[test]
    fn percent_signs() {
        for (text, expected) in [("a%2Cb+c", "a,b c"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%ff", "\u{fffd}")] {
            assert_eq!(decoded(text), expected);
        }
    }
}
