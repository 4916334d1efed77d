//! The rows that nearly all loggers write: an object of some values with nothing to look twice at. They go into the
//! message as they are written, without being read.
//!
//! It says yes only where it knows that reading would give the same; everything else is left to the reader.

use super::arguments::Arguments;
use super::desk::exact;
use super::mapping::{LEVELS, is_said_by_severity};
use super::moment::{Moment, of_text};
use memchr::memchr2;
use metlog_message::time::TimestampWriter;
use metlog_message::{Severity, Timestamp, wire};

/// More names take longer to compare with each other than to read.
const MOST: usize = 32;

/// Longer names are for the reader to refuse.
const NAME: usize = 120;

/// Names in an object inside, for the same reason.
const INSIDE: usize = 16;

/// Levels of objects and lists inside, and values in a row: far from what is refused.
const LEVEL: (usize, usize) = (16, 4096);

/// Writes messages of flat rows.
#[derive(Debug, Default)]
pub struct Flat {
    times: TimestampWriter,
}

impl Flat {
    /// Writes the message of a row; false if it has to be read, and then what was written means nothing.
    pub fn write(&mut self, row: &[u8], arguments: &Arguments, now: Timestamp, out: &mut Vec<u8>) -> bool {
        self.try_write(row, arguments, now, out).is_some()
    }

    fn try_write(&mut self, row: &[u8], arguments: &Arguments, now: Timestamp, out: &mut Vec<u8>) -> Option<()> {
        let mut pairs = Pairs::read(row)?;
        // A name with a dot may be meant for what is inside.
        let dotted = |names: &[String]| names.iter().any(|name| name.contains('.'));
        if pairs.nested && (dotted(&arguments.time) || dotted(&arguments.text)) {
            return None;
        }
        let time = match arguments.time.iter().find_map(|name| pairs.take(name).filter(|time| *time != b"null")) {
            None => now,
            Some(time) => match of_text(plain(time).or_else(|| std::str::from_utf8(time).ok())?) {
                Moment::At(time) => time,
                Moment::Now => now,
                Moment::Unreadable => return None,
            },
        };
        let text = arguments.text.iter().find_map(|name| pairs.take(name))?;
        if text == b"\"\"" || text == b"null" {
            return None;
        }
        let said = if pairs.get("severity").is_some() { pairs.of_sender(text)? } else { pairs.foreign(text)? };
        out.clear();
        out.extend_from_slice(b"{\"type\":");
        out.extend_from_slice(said.kind);
        out.extend_from_slice(b",\"timestamp\":\"");
        self.times.write(time, out);
        out.extend_from_slice(b"\",\"logger\":");
        out.extend_from_slice(pairs.take_text("logger").unwrap_or(b"\"\""));
        out.extend_from_slice(b",\"severity\":");
        wire::write_u64(out, said.severity.number().into());
        out.extend_from_slice(b",\"payload\":");
        out.extend_from_slice(said.payload);
        let hostname = pairs.take_text("hostname");
        out.extend_from_slice(b",\"fields\":{");
        let begin = out.len();
        for (name, value) in pairs.left() {
            if out.len() > begin {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(name);
            out.extend_from_slice(b"\":");
            out.extend_from_slice(value);
        }
        out.extend_from_slice(b"},\"env_version\":\"0.8\"");
        for (key, value) in [
            (b",\"metlog_pid\":".as_slice(), said.pid),
            (b",\"metlog_hostname\":", hostname),
            (b",\"metlog_client\":", said.origin.map(|(client, _)| client)),
            (b",\"metlog_seq\":", said.origin.map(|(_, seq)| seq)),
        ] {
            if let Some(value) = value {
                out.extend_from_slice(key);
                out.extend_from_slice(value);
            }
        }
        out.push(b'}');
        exact(out, time);
        Some(())
    }
}

/// What of a row goes to the envelope, as it is written there.
struct Said<'a> {
    kind: &'a [u8],
    severity: Severity,
    payload: &'a [u8],
    pid: Option<&'a [u8]>,
    origin: Option<(&'a [u8], &'a [u8])>,
}

/// A text without escapes.
fn plain(value: &[u8]) -> Option<&str> {
    let text = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    std::str::from_utf8(text).ok().filter(|text| !text.contains('\\'))
}

/// Whether it is an integer; none for one that may not be a process.
fn is_integer(value: &[u8]) -> Option<bool> {
    let whole = value.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
    (!whole || value.len() <= 18 && value.first() != Some(&b'-')).then_some(whole)
}

/// Names without their quotes and values with them; what was taken has no name any more.
struct Pairs<'a> {
    all: [(&'a [u8], &'a [u8]); MOST],
    length: usize,
    /// Whether there is an object or a list among the values.
    nested: bool,
}

impl<'a> Pairs<'a> {
    fn read(row: &'a [u8]) -> Option<Self> {
        // Together: valid UTF-8, and no control character, neither within texts nor between them.
        if row.iter().any(|byte| *byte < b' ') || std::str::from_utf8(row).is_err() {
            return None;
        }
        let mut pairs = Pairs { all: [(&[], &[]); MOST], length: 0, nested: false };
        let mut values = LEVEL.1;
        let mut marks = [0_u64; MOST];
        let mut rest = blanks(row).strip_prefix(b"{")?;
        loop {
            let name = text(&mut rest)?;
            let name = name.get(1..name.len() - 1).filter(|name| !name.is_empty() && name.len() <= NAME)?;
            rest = blanks(blanks(rest).strip_prefix(b":")?);
            pairs.nested |= matches!(rest.first(), Some(b'{' | b'['));
            let value = value(&mut rest, LEVEL.0, &mut values)?;
            let mark = mark(name);
            let known = marks.get(..pairs.length)?.iter().zip(&pairs.all);
            if name.contains(&b'\\') || known.into_iter().any(|(other, pair)| *other == mark && pair.0 == name) {
                return None;
            }
            *pairs.all.get_mut(pairs.length)? = (name, value);
            *marks.get_mut(pairs.length)? = mark;
            pairs.length += 1;
            rest = blanks(rest);
            match rest.split_first()? {
                (b',', after) => rest = after,
                (b'}', after) => return blanks(after).is_empty().then_some(pairs),
                _ => return None,
            }
        }
    }

    /// As our sender writes it, with nothing put aside.
    fn of_sender(&mut self, text: &'a [u8]) -> Option<Said<'a>> {
        let aside = ["env_version", "envelope", "fields", "long_names"].iter().any(|name| self.get(name).is_some());
        if aside || self.get("payload").is_some_and(|payload| payload.starts_with(b"{")) {
            return None;
        }
        let kind = self.take_text("type").filter(|kind| plain(kind).is_some())?;
        let severity = match self.take("severity")? {
            [digit @ b'0'..=b'7'] => Severity::from_number((digit - b'0').into())?,
            _ => return None,
        };
        if self.get("level").and_then(plain) == Some(severity.name()) {
            self.take("level");
        }
        let pid = match self.take("pid") {
            Some(pid) if !is_integer(pid)? => return None,
            pid => pid,
        };
        let origin = match (self.take("metlog_client"), self.take("metlog_seq")) {
            (None, None) => None,
            (Some(client), Some(seq)) if client.first() == Some(&b'"') && is_integer(seq)? => Some((client, seq)),
            _ => return None,
        };
        // Escapes by which a text could be the type all the same.
        if text.windows(2).any(|pair| pair == b"\\/" || pair == b"\\u") {
            return None;
        }
        Some(Said { kind, severity, payload: if text == kind { b"\"\"" } else { text }, pid, origin })
    }

    fn foreign(&mut self, text: &'a [u8]) -> Option<Said<'a>> {
        // These need a look at their values; the last of them may be inside `log`.
        let inside = self.nested && self.get("log").is_some();
        if inside || LEVELS.iter().skip(1).any(|name| self.get(name).is_some()) {
            return None;
        }
        let mut severity = Severity::default();
        if let Some(level) = self.get("level") {
            let level = plain(level)?;
            if level.trim().parse::<i64>().is_ok() {
                return None;
            }
            severity = Severity::parse(level).unwrap_or_default();
            if is_said_by_severity(level) {
                self.take("level");
            }
        }
        let pid = match (self.get("process"), self.get("pid")) {
            (Some(_), Some(_)) => return None,
            (Some(pid), None) if is_integer(pid)? => self.take("process"),
            (None, Some(pid)) if is_integer(pid)? => self.take("pid"),
            _ => None,
        };
        Some(Said { kind: b"\"oldstyle\"", severity, payload: text, pid, origin: None })
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.all.iter().take(self.length).position(|(key, _)| *key == name.as_bytes())
    }

    fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.all.get(self.find(name)?).map(|(_, value)| *value)
    }

    fn take(&mut self, name: &str) -> Option<&'a [u8]> {
        let at = self.find(name)?;
        let (key, value) = self.all.get_mut(at)?;
        *key = &[];
        Some(value)
    }

    fn take_text(&mut self, name: &str) -> Option<&'a [u8]> {
        self.get(name).filter(|value| value.first() == Some(&b'"')).and_then(|_| self.take(name))
    }

    fn left(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.all.iter().take(self.length).copied().filter(|(name, _)| !name.is_empty())
    }
}

/// Tells most names apart: their length and their first bytes.
fn mark(name: &[u8]) -> u64 {
    name.iter().take(7).fold(name.len() as u64, |mark, byte| mark << 8 | u64::from(*byte))
}

fn blanks(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(b" ") {
        text = rest;
    }
    text
}

/// Any value, of so many levels, of so many that may still come.
fn value<'a>(rest: &mut &'a [u8], levels: usize, values: &mut usize) -> Option<&'a [u8]> {
    let all = *rest;
    *values = values.checked_sub(1)?;
    match all.first()? {
        b'"' => text(rest),
        b'-' | b'0'..=b'9' => number(rest),
        open @ (b'{' | b'[') => {
            inside(rest, *open, levels.checked_sub(1)?, values)?;
            all.get(..all.len() - rest.len())
        }
        _ => word(rest),
    }
}

/// Goes behind an object or a list.
fn inside(rest: &mut &[u8], open: u8, levels: usize, values: &mut usize) -> Option<()> {
    let close = open + 2;
    *rest = blanks(rest.get(1..)?);
    if let Some(after) = rest.strip_prefix(&[close]) {
        *rest = after;
        return Some(());
    }
    let (mut names, mut length) = ([[].as_slice(); INSIDE], 0);
    loop {
        if open == b'{' {
            let name = text(rest)?;
            if name.len() > NAME || name.contains(&b'\\') || names.get(..length)?.contains(&name) {
                return None;
            }
            *names.get_mut(length)? = name;
            length += 1;
            *rest = blanks(rest).strip_prefix(b":")?;
        }
        *rest = blanks(rest);
        value(rest, levels, values)?;
        let (next, after) = blanks(rest).split_first()?;
        *rest = after;
        match *next {
            b',' => {}
            next if next == close => return Some(()),
            _ => return None,
        }
    }
}

/// How long an escape is, of one letter, of a number, or of the two halves of a pair.
fn escape(text: &[u8]) -> Option<usize> {
    let code = |text: &[u8]| {
        let digits = text.strip_prefix(b"\\u")?.get(..4)?;
        digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))
    };
    match text.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => match code(text)? {
            0xd800..0xdc00 => code(text.get(6..)?).filter(|low| (0xdc00..0xe000).contains(low)).map(|_| 12),
            0xdc00..0xe000 => None,
            _ => Some(6),
        },
        _ => None,
    }
}

/// A text in its quotes.
fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    *rest = blanks(rest);
    let all = *rest;
    let mut at = 1;
    all.strip_prefix(b"\"")?;
    loop {
        at += memchr2(b'"', b'\\', all.get(at..)?)?;
        if all.get(at) == Some(&b'"') {
            let (text, after) = all.split_at_checked(at + 1)?;
            *rest = after;
            return Some(text);
        }
        at += escape(all.get(at..)?)?;
    }
}

/// A number without exponent, and not so long that a float could be too small for it.
fn number<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let all = *rest;
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(all.first() == Some(&b'-'));
    let whole = digits(all.get(sign..)?);
    if whole == 0 || whole > 40 || whole > 1 && all.get(sign) == Some(&b'0') {
        return None;
    }
    let mut length = sign + whole;
    if all.get(length) == Some(&b'.') {
        let fraction = digits(all.get(length + 1..)?);
        if fraction == 0 || fraction > 40 {
            return None;
        }
        length += 1 + fraction;
    }
    let (number, after) = all.split_at_checked(length)?;
    *rest = after;
    Some(number).filter(|_| !matches!(after.first(), Some(b'e' | b'E')))
}

fn word<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = [b"true".as_slice(), b"false", b"null"].into_iter().find(|word| rest.starts_with(word))?.len();
    let (word, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(word)
}

#[cfg(test)]
mod tests {
    use super::super::mapping::message;
    use super::super::moment::moment;
    use super::*;
    use metlog_message::{Message, Value};
    use proptest::prelude::*;

    fn arguments() -> Arguments {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Arguments { time: names(&["t"]), text: names(&["m", "_msg"]), ..Arguments::default() }
    }

    /// What the reader makes of a row that has a time and a text.
    fn read(row: &str) -> Message {
        let Ok(Value::Map(mut row)) = wire::read_value(row.as_bytes()) else { panic!("{row}") };
        let now = Timestamp::from_nanos(5);
        let time = match row.remove("t").map_or(Moment::Now, |time| moment(&time, || None)) {
            Moment::At(time) => time,
            Moment::Now => now,
            Moment::Unreadable => panic!("{row:?}"),
        };
        let text = row.remove("m").or_else(|| row.remove("_msg")).expect("a text");
        message(row, text, time)
    }

    fn written(row: &str) -> Option<Message> {
        let (mut flat, mut line) = (Flat::default(), Vec::new());
        if !flat.write(row.as_bytes(), &arguments(), Timestamp::from_nanos(5), &mut line) {
            return None;
        }
        let read = wire::read(&line, &wire::Limits::default()).unwrap_or_else(|refusal| panic!("{refusal}: {row}"));
        assert!(read.notes.is_empty(), "{:?}: {row}", read.notes);
        Some(read.message)
    }

    #[test]
    fn what_is_usual() {
        for row in [
            r#"{"m":"x"}"#,
            r#" { "t" : 1790000000.123456 , "m" : "a \"b\" \n ä🦀" , "level" : "ERROR" , "n" : -1.50 , "z" : null } "#,
            r#"{"t":"1790000000123456789","_msg":"x","logger":"l","hostname":"h","process":12,"yes":true,"no":false}"#,
            r#"{"t":0,"m":5,"level":"SUCCESS","logger":5,"hostname":null,"process":"p"}"#,
            r#"{"m":"x","pid":0,"process_name":"p"}"#,
            r#"{"m":"x","pid":1.5}"#,
            r#"{"m":"\u0041\u0000\ud83E\uDD80\"","a":{"b":"\u00e4"}}"#,
            r#"{"t":"5","m":"x","type":"c","severity":3,"level":"error","hostname":"h","pid":7,"metlog_client":"c","metlog_seq":9,"a":1}"#,
            r#"{"m":"c","type":"c","severity":7,"level":"trace","process":1}"#,
            r#"{"m":"x","level":"trace","a.b":"c","type":"t","big":123456789012345678901234567890}"#,
            r#"{"m":"x","t":null,"abcdefgh1":1,"abcdefgh2":2}"#,
            r#"{"m":[1, {"a":null}],"a":{ } ,"b":[ ],"c" : { "d" : [ { "d" : "}]" } , -1 ] , "":true },"process":{"pid":1}}"#,
            r#"{"m":"x","severity":3,"type":"t","a":{"b":{"c":[1,"2"]}},"payload":[1],"logger":[1]}"#,
        ] {
            assert_eq!(written(row), Some(read(row)), "{row}");
        }
    }

    #[test]
    fn what_needs_a_look() {
        let many: String = (0..40).map(|number| format!(",\"n{number}\":1")).collect();
        for row in [
            "",
            "{",
            "{}",
            "[]",
            "5",
            r#"{"a":1}"#,
            r#"{"m":""}"#,
            r#"{"m":"x""#,
            r#"{"m":"x"}}"#,
            r#"{"m":"x"} 5"#,
            r#"{"m":"x",}"#,
            r#"{"m":"x","a":[1}"#,
            r#"{"m":"x","a":[1,]}"#,
            r#"{"m":"x","a":{"b":1,"b":2}}"#,
            r#"{"m":"x","a":{"b" 1}}"#,
            r#"{"m":"x","a":{"b":"\u+041"}}"#,
            r#"{"m":"x","a":{"\n":1}}"#,
            r#"{"m":"x","log":{"level":"error"}}"#,
            r#"{"m":"x","severity":3,"type":"t","payload":{"a":1}}"#,
            &format!("{{\"m\":\"x\",\"a\":{}1{}}}", "[".repeat(17), "]".repeat(17)),
            &format!("{{\"m\":\"x\",\"a\":[{}1]}}", "1,".repeat(4096)),
            r#"{"m":"x","a":1,"a":2}"#,
            r#"{"m":"x","a":1e5}"#,
            r#"{"m":"x","a":01}"#,
            r#"{"m":"x","a":1.}"#,
            r#"{"m":"x","a":-}"#,
            r#"{"m":"x","a":NaN}"#,
            r#"{"m":"x","a":"\u00g1"}"#,
            r#"{"m":"x","a":"\u12"}"#,
            r#"{"m":"x","a":"\ud83e"}"#,
            r#"{"m":"x","a":"\ud83e\u0041"}"#,
            r#"{"m":"x","a":"\udd80"}"#,
            r#"{"m":"x","level":"\u0041"}"#,
            r#"{"m":"x","a":"\q"}"#,
            r#"{"m":"x","\n":1}"#,
            "{\"m\":\"x\ty\"}",
            "{\"m\":\"x\",\t\"a\":1}",
            r#"{"m":"x","":1}"#,
            r#"{"m":"x","level":3}"#,
            r#"{"m":"x","level":"3"}"#,
            r#"{"m":"x","severity":3}"#,
            r#"{"m":"x","severity":8,"type":"t"}"#,
            r#"{"m":"x","severity":3,"type":5}"#,
            r#"{"m":"x","severity":3,"type":"t","pid":"7"}"#,
            r#"{"m":"x","severity":3,"type":"t","metlog_seq":7}"#,
            r#"{"m":"x","severity":3,"type":"t","fields":7}"#,
            r#"{"m":"x","t":"soon"}"#,
            r#"{"m":"x","t":true}"#,
            r#"{"m":"x","process":1,"pid":2}"#,
            r#"{"m":"x","process":-1}"#,
            r#"{"m":"x","pid":1234567890123456789}"#,
            r#"{"m":"x" "a":1}"#,
            r#"{"m" "x"}"#,
            r#"{m:"x"}"#,
            r#"{"m":"x","a":tru}"#,
            &format!("{{\"m\":\"x\"{many}}}"),
            &format!("{{\"m\":\"x\",\"{}\":1}}", "n".repeat(121)),
        ] {
            assert_eq!(written(row), None, "{row}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// Whatever it says yes to, the reader says the same of.
        #[test]
        fn as_the_reader_has_it(
            names in prop::sample::subsequence(
                vec![
                    "t", "_msg", "level", "logger", "hostname", "process", "pid", "a", "b", "", "log.level",
                    "metlog_client", "metlog_seq", "payload", "log", "fields",
                ],
                0..5,
            ).prop_shuffle(),
            values in prop::collection::vec(
                prop_oneof![
                    r#""([ -~]|\\[n"u/]|\\u([0de][089][a-c0]3){1,2})*""#,
                    "-?[0-9]{1,20}(\\.[0-9]{0,9})?(e5)?",
                    "[0-9]",
                    r#"\{("b":1)?\}|\[(1,? ?){0,2}\]|\{"level":("error"|\[\])(,"[bl]":0)?\}|\{"level":1,"level":2\}"#,
                    "null|true|false|tru|\"INFO\"|\"error\"|\"1790000000\"|NaN",
                ],
                5,
            ),
            begin in prop_oneof![
                Just(r#""m":"text""#.to_owned()),
                r#""m":"[ab]","severity":[0-9],"type":"[ab/]""#,
                r#""a":1"#,
            ],
            blank in " ?",
        ) {
            let pairs = names.iter().zip(values).map(|(name, value)| format!(",{blank}\"{name}\":{blank}{value}"));
            let row = format!("{{{begin}{}}}", pairs.collect::<String>());
            if let Some(made) = written(&row) {
                let mut read = read(&row);
                // A float has 53 bits of what was written.
                let apart = made.timestamp.nanos().abs_diff(read.timestamp.nanos());
                prop_assert!(apart <= (made.timestamp.nanos().unsigned_abs() >> 51), "{}", row);
                read.timestamp = made.timestamp;
                prop_assert_eq!(made, read, "{}", row);
            }
        }
    }
}
