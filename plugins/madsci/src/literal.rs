//! A value as Python prints it: `{'log_level': {'$gte': 40}, 'alert': True}`. That is how the client of 0.8.1 sends a
//! selector, and no other server understands it.

use metlog_message::{Fields, Value, wire};

/// Deeper values are refused, since the reader calls itself.
const DEPTH: usize = 32;

/// Reads JSON, or else a Python literal.
///
/// # Errors
/// What was expected, and where.
pub fn read(text: &str) -> Result<Value, String> {
    wire::read_value(text.as_bytes()).or_else(|_| python(text))
}

fn python(text: &str) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0, depth: DEPTH };
    let value = reader.value()?;
    reader.blanks();
    if reader.rest().is_empty() { Ok(value) } else { Err(reader.wrong("the end")) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, expected: &str) -> String {
        format!("byte {}: expected {expected}", self.at)
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, symbol: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(symbol);
        self.at += if found { symbol.len() } else { 0 };
        found
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest().chars().next()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn value(&mut self) -> Result<Value, String> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| self.wrong("less depth"))?;
        self.blanks();
        let value = match self.rest().chars().next() {
            Some('{') => self.map(),
            Some('[') => self.list("]"),
            Some('(') => self.list(")"),
            Some('\'' | '"') => self.string().map(Value::Str),
            Some('<') => self.member(),
            _ => self.word(),
        }?;
        self.depth += 1;
        Ok(value)
    }

    fn map(&mut self) -> Result<Value, String> {
        self.next();
        let mut fields = Fields::new();
        while !self.take("}") {
            let name = match self.value()? {
                Value::Str(name) => name,
                other => other.to_text().into_owned(),
            };
            if !self.take(":") {
                return Err(self.wrong("`:`"));
            }
            let value = self.value()?;
            fields.set(name, value);
            if !self.take(",") && !self.rest().starts_with('}') {
                return Err(self.wrong("`,` or `}`"));
            }
        }
        Ok(Value::Map(fields))
    }

    fn list(&mut self, close: &str) -> Result<Value, String> {
        self.next();
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(self.value()?);
            if !self.take(",") && !self.rest().starts_with(close) {
                return Err(self.wrong("`,` or the end of the list"));
            }
        }
        Ok(Value::List(items))
    }

    /// `<EventType.LAB_START: 'lab_start'>`, a member of an enumeration, stands for its value.
    fn member(&mut self) -> Result<Value, String> {
        let Some(colon) = self.rest().find(':') else { return Err(self.wrong("a member's value")) };
        self.at += colon + 1;
        let value = self.value()?;
        if self.take(">") { Ok(value) } else { Err(self.wrong("`>`")) }
    }

    fn string(&mut self) -> Result<String, String> {
        let quote = self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(self.wrong("the end of a text")),
                end if end == quote => return Ok(text),
                Some('\\') => self.escape(&mut text)?,
                Some(symbol) => text.push(symbol),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), String> {
        let digits = match self.next() {
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            plain => {
                text.push(match plain {
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some(symbol @ ('\\' | '\'' | '"')) => symbol,
                    _ => return Err(self.wrong("an escape of Python's")),
                });
                return Ok(());
            }
        };
        let code = self.rest().get(..digits).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.wrong("hexadecimal digits"))?;
        self.at += digits;
        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        Ok(())
    }

    /// Names and numbers, and a date with a time.
    fn word(&mut self) -> Result<Value, String> {
        let is_part = |symbol: char| symbol.is_ascii_alphanumeric() || matches!(symbol, '_' | '.' | '+' | '-');
        let rest = self.rest();
        let end = rest.find(|symbol| !is_part(symbol)).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        let value = match word {
            "None" => Value::Null,
            "True" => true.into(),
            "False" => false.into(),
            "nan" => f64::NAN.into(),
            "inf" => f64::INFINITY.into(),
            "-inf" => f64::NEG_INFINITY.into(),
            "datetime.datetime" => {
                self.at += end;
                return self.moment();
            }
            number => match wire::read_value(number.as_bytes()) {
                Ok(number @ (Value::Int(_) | Value::UInt(_) | Value::Big(_) | Value::Float(_))) => number,
                _ => return Err(self.wrong("a value")),
            },
        };
        self.at += end;
        Ok(value)
    }

    /// After `datetime.datetime`: its parts in parentheses, and UTC as the only zone that is printed in few words.
    fn moment(&mut self) -> Result<Value, String> {
        if !self.take("(") {
            return Err(self.wrong("`(`"));
        }
        let mut parts = [0_i64; 7];
        let mut zone = "";
        for place in 0.. {
            if self.take(")") {
                break;
            }
            if self.take("tzinfo=datetime.timezone.utc")
                || self.take("tzinfo=TzInfo(UTC)")
                || self.take("tzinfo=TzInfo(0)")
            {
                zone = "Z";
            } else {
                let part = self.value()?.as_i64().filter(|part| (0..1_000_000).contains(part));
                match (parts.get_mut(place), part) {
                    (Some(slot), Some(part)) => *slot = part,
                    _ => return Err(self.wrong("a part of a time in UTC or without a zone")),
                }
            }
            if !self.take(",") && !self.rest().starts_with(')') {
                return Err(self.wrong("`,` or `)`"));
            }
        }
        let [year, month, day, hour, minute, second, micros] = parts;
        Ok(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}{zone}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        read(text).map_or_else(|why| why, |value| value.to_text().into_owned())
    }

    #[test]
    fn reads_what_python_prints() {
        for (printed, json) in [
            ("{'log_level': {'$gte': 40}, 'alert': True}", r#"{"log_level":{"$gte":40},"alert":true}"#),
            (r#"{"a": [1, -2.5, 1e+20, None, False, ('x',), ()]}"#, r#"{"a":[1,-2.5,1e+20,null,false,["x"],[]]}"#),
            (r#"{'q': "it's", 'e': 'a\\b\n\x1f\u65e5\U0001f980'}"#, r#"{"q":"it's","e":"a\\b\n\u001f日🦀"}"#),
            (
                "{'t': <EventType.LAB_START: 'lab_start'>, 'l': <EventLogLevel.ERROR: 40>}",
                r#"{"t":"lab_start","l":40}"#,
            ),
            (
                "{'at': datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.timezone.utc)}",
                r#"{"at":"2026-01-02T03:04:00.000000Z"}"#,
            ),
            ("{'at': datetime.datetime(2026, 1, 2, 3, 4, 5, 6)}", r#"{"at":"2026-01-02T03:04:05.000006"}"#),
            (r#"{"json": [true, null]}"#, r#"{"json":[true,null]}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(shown(printed), json, "{printed}");
        }
    }

    #[test]
    fn says_where_it_ends() {
        for (text, why) in [
            ("{'a' 1}", "byte 5: expected `:`"),
            ("{'a': foo()}", "byte 6: expected a value"),
            ("{'a': 1} x", "byte 9: expected the end"),
            ("'open", "byte 5: expected the end of a text"),
            ("__import__('os')", "byte 0: expected a value"),
        ] {
            assert_eq!(shown(text), why, "{text}");
        }
        assert!(read(&"[".repeat(100_000)).is_err_and(|why| why.contains("less depth")));
    }

    /// As Python's `repr`, for what a selector holds.
    fn repr(value: &Value) -> String {
        match value {
            Value::Null => "None".into(),
            Value::Bool(true) => "True".into(),
            Value::Bool(false) => "False".into(),
            Value::Str(text) => {
                let escaped: String = text
                    .chars()
                    .map(|symbol| match symbol {
                        '\'' | '\\' => format!("\\{symbol}"),
                        control if (control as u32) < 32 => format!("\\x{:02x}", control as u32),
                        other => other.to_string(),
                    })
                    .collect();
                format!("'{escaped}'")
            }
            Value::List(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
            Value::Map(map) => {
                let parts: Vec<_> =
                    map.iter().map(|(name, value)| format!("{}: {}", repr(&name.into()), repr(value))).collect();
                format!("{{{}}}", parts.join(", "))
            }
            number => number.to_text().into_owned(),
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(Value::Float),
            "\\PC{0,8}|['\"\\\\\n\t\u{1}]{0,4}".prop_map(Value::Str),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                proptest::collection::vec(("\\PC{0,6}", inner), 0..4)
                    .prop_map(|entries| Value::Map(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn prints_and_reads(value in values()) {
            prop_assert_eq!(read(&repr(&value)), Ok(value));
        }

        #[test]
        fn takes_any_text_without_harm(text in "\\PC*|[\\[\\]{}()'\":,<>\\\\x0-9a-z. ]*") {
            let _either = read(&text);
        }
    }
}
