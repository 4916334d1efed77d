//! Lines of statsd: what the crate `statsd` leaves to its caller (clean names) and what it cannot say at all (rates,
//! tags behind the type, and a negative gauge that is not a step down).

use serde::Deserialize;
use std::fmt::Write;

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Timer,
    Gauge,
}

/// How fields become tags. All of these are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tags {
    /// The values become parts of the name: `name.value:1|c`.
    #[default]
    None,
    /// `name:1|c|#key:value`: Datadog, statsd from 0.9 on, Vector.
    Dogstatsd,
    /// `name,key=value:1|c`: Telegraf. statsd itself takes it for a name.
    Influx,
    /// `name;key=value:1|c`: Graphite from 1.1 on.
    Graphite,
}

/// Where one tag goes.
pub fn tag(name: &mut String, suffix: &mut String, tags: Tags, key: &str, value: Option<&str>) {
    let value = value.filter(|value| !value.is_empty());
    let (out, open, equals) = match tags {
        Tags::None => {
            // A place that stayed empty would move the ones behind it.
            name.push('.');
            return clean(name, value.unwrap_or("_"));
        }
        Tags::Dogstatsd if suffix.is_empty() => (suffix, "|#", ':'),
        Tags::Dogstatsd => (suffix, ",", ':'),
        Tags::Influx => (name, ",", '='),
        Tags::Graphite => (name, ";", '='),
    };
    if let Some(value) = value {
        out.push_str(open);
        clean(out, key);
        out.push(equals);
        clean(out, value);
    }
}

/// Letters, digits, `_`, `.` and `-` stay, Metlog's `::` becomes `.`, anything else `_`: no name and no tag can end its
/// line or begin another part of it.
pub fn clean(out: &mut String, text: &str) {
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        out.push(match char {
            ':' if chars.next_if_eq(&':').is_some() => '.',
            'A'..='Z' | 'a'..='z' | '0'..='9' | '_' | '.' | '-' => char,
            _ => '_',
        });
    }
}

/// Whether 64 bits of floating point hold every whole number up to this one.
fn is_whole(value: f64) -> bool {
    value.fract() == 0.0 && value.abs() < 1e15
}

/// Digits without an exponent.
pub fn number(out: &mut String, value: f64) {
    if is_whole(value) {
        out.push_str(itoa::Buffer::new().format(value as i64));
    } else {
        let _a_string_takes_all = write!(out, "{value}");
    }
}

/// How many bytes the number takes.
pub fn number_width(value: f64) -> usize {
    struct Count(usize);
    impl Write for Count {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    if is_whole(value) {
        let digits = (value.abs() as u64).checked_ilog10().map_or(1, |digits| digits as usize + 1);
        return digits + usize::from(value < 0.0);
    }
    let mut count = Count(0);
    let _it_counts_all = write!(count, "{value}");
    count.0
}

/// Whether the crate has words for it.
pub fn is_plain(kind: Kind, value: f64, rate: f64, suffix: &str) -> bool {
    suffix.is_empty() && rate >= 1.0 && !(kind == Kind::Gauge && value < 0.0)
}

/// No fewer bytes than [`write`] takes.
pub fn width(kind: Kind, name: &str, value: f64, rate: f64, suffix: &str) -> usize {
    let rate = if rate < 1.0 { number_width(rate) + 2 } else { 0 };
    let one = name.len() + 1 + number_width(value) + "|ms".len() + rate + suffix.len() + 1;
    if kind == Kind::Gauge && value < 0.0 { one + name.len() + ":0|g\n".len() + suffix.len() } else { one }
}

/// A line and its newline.
pub fn write(out: &mut String, kind: Kind, name: &str, value: f64, rate: f64, suffix: &str) {
    if kind == Kind::Gauge && value < 0.0 {
        // A sign makes it a step from what the gauge was. Nought first: both in one packet, so that neither is lost alone.
        write(out, kind, name, 0.0, rate, suffix);
    }
    out.push_str(name);
    out.push(':');
    number(out, value);
    out.push_str(match kind {
        Kind::Counter => "|c",
        Kind::Timer => "|ms",
        Kind::Gauge => "|g",
    });
    if rate < 1.0 {
        out.push_str("|@");
        number(out, rate);
    }
    out.push_str(suffix);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> String {
        let mut out = String::new();
        clean(&mut out, text);
        out
    }

    fn line(kind: Kind, value: f64, rate: f64, suffix: &str) -> String {
        let mut out = String::new();
        write(&mut out, kind, "n", value, rate, suffix);
        assert!(width(kind, "n", value, rate, suffix) >= out.len(), "{out}");
        out
    }

    #[test]
    fn names_cannot_leave_their_place() {
        assert_eq!(cleaned("a::b:c|d@e#f;g,h=i\nj\0k täg日"), "a.b_c_d_e_f_g_h_i_j_k_t_g_");
        assert_eq!(cleaned("a:::b::::c"), "a._b..c");
    }

    #[test]
    fn lines_word_by_word() {
        assert_eq!(line(Kind::Counter, 3.0, 0.1, ""), "n:3|c|@0.1\n");
        assert_eq!(line(Kind::Counter, -3.5, 1.0, "|#a:b"), "n:-3.5|c|#a:b\n");
        assert_eq!(line(Kind::Timer, 12.0, 0.5, "|#a:b"), "n:12|ms|@0.5|#a:b\n");
        assert_eq!(line(Kind::Gauge, -5.0, 1.0, ""), "n:0|g\nn:-5|g\n");
    }

    #[test]
    fn numbers_have_no_exponent() {
        for value in [
            0.0,
            -1.0,
            9.0,
            10.0,
            -99.0,
            999e12,
            0.1 + 0.2,
            1e15,
            1e20,
            -1e300,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            9_007_199_254_740_991.0,
        ] {
            let mut out = String::new();
            number(&mut out, value);
            assert!(out.bytes().all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte)), "{out}");
            assert_eq!(out.len(), number_width(value), "{out}");
            assert_eq!(out.parse::<f64>(), Ok(value));
        }
    }
}
