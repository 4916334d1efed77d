//! Values on their way from a call into a record: binary where the type allows, text made on the spot where not.
//!
//! The macros write `(&&&&Wrap(&value)).capture().arg()`. Method look-up takes the first trait that fits, so numbers and
//! text cost a copy of their bytes, containers become JSON, anything else with `Display` becomes text, and a type with
//! none of these still compiles where a format string rules the branch out (it is then formatted by `format!`).

use metlog_message::{Fields, Severity, Value, wire};
use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

/// One captured value, borrowed from the call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arg<'a> {
    /// `null`
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer.
    U64(u64),
    /// A float.
    F64(f64),
    /// Text.
    Str(&'a str),
    /// JSON text, rendered already.
    Json(&'a str),
    /// Clock ticks that a timer ran.
    Ticks(u64),
    /// Values that were put into bytes before.
    Raw(&'a [u8]),
}

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const I64: u8 = 3;
const U64: u8 = 4;
const F64: u8 = 5;
const STR: u8 = 6;
const JSON: u8 = 7;
const TICKS: u8 = 8;

impl<'a> Arg<'a> {
    /// How many bytes it takes in a record.
    #[inline(always)]
    pub fn size(&self) -> usize {
        match self {
            Arg::Null | Arg::Bool(_) => 1,
            Arg::I64(_) | Arg::U64(_) | Arg::F64(_) | Arg::Ticks(_) => 9,
            Arg::Str(text) | Arg::Json(text) => 5 + text.len(),
            Arg::Raw(bytes) => bytes.len(),
        }
    }

    /// Writes it at the front of `place` and returns the rest.
    #[inline(always)]
    pub fn put<'p>(&self, place: &'p mut [u8]) -> &'p mut [u8] {
        match *self {
            Arg::Null => put_tag(place, NULL),
            Arg::Bool(false) => put_tag(place, FALSE),
            Arg::Bool(true) => put_tag(place, TRUE),
            Arg::I64(number) => put_word(place, I64, number.to_le_bytes()),
            Arg::U64(number) => put_word(place, U64, number.to_le_bytes()),
            Arg::F64(number) => put_word(place, F64, number.to_bits().to_le_bytes()),
            Arg::Ticks(number) => put_word(place, TICKS, number.to_le_bytes()),
            Arg::Str(text) => put_text(place, STR, text),
            Arg::Json(text) => put_text(place, JSON, text),
            Arg::Raw(bytes) => put_raw(place, bytes),
        }
    }

    /// Reads one from the front of a record and returns the rest. `None` when the record ends early.
    #[inline(always)]
    pub fn take(record: &'a [u8]) -> Option<(Arg<'a>, &'a [u8])> {
        let (tag, rest) = record.split_first()?;
        Some(match *tag {
            NULL => (Arg::Null, rest),
            FALSE => (Arg::Bool(false), rest),
            TRUE => (Arg::Bool(true), rest),
            STR | JSON => {
                let (len, rest) = rest.split_first_chunk::<4>()?;
                let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
                let text = std::str::from_utf8(text).ok()?;
                (if *tag == STR { Arg::Str(text) } else { Arg::Json(text) }, rest)
            }
            tag => {
                let (word, rest) = rest.split_first_chunk::<8>()?;
                let arg = match tag {
                    I64 => Arg::I64(i64::from_le_bytes(*word)),
                    U64 => Arg::U64(u64::from_le_bytes(*word)),
                    F64 => Arg::F64(f64::from_bits(u64::from_le_bytes(*word))),
                    TICKS => Arg::Ticks(u64::from_le_bytes(*word)),
                    _ => return None,
                };
                (arg, rest)
            }
        })
    }

    /// As a JSON value.
    pub fn to_value(self) -> Value {
        match self {
            Arg::Null => Value::Null,
            Arg::Bool(truth) => Value::Bool(truth),
            Arg::I64(number) => Value::Int(number),
            Arg::U64(number) => Value::from(number),
            Arg::F64(number) => Value::Float(number),
            Arg::Str(text) => Value::from(text),
            Arg::Json(text) => wire::read_value(text.as_bytes()).unwrap_or(Value::Null),
            Arg::Ticks(ticks) => Value::from(crate::clock::millis(ticks)),
            Arg::Raw(_) => Value::Null,
        }
    }

    /// As a number, for sampling rates.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Arg::I64(number) => Some(number as f64),
            Arg::U64(number) => Some(number as f64),
            Arg::F64(number) => Some(number),
            _ => None,
        }
    }

    /// As a severity, by number or name.
    pub fn as_severity(&self) -> Option<Severity> {
        match *self {
            Arg::I64(number) => Severity::from_number(number),
            Arg::U64(number) => i64::try_from(number).ok().and_then(Severity::from_number),
            Arg::Str(name) => Severity::parse(name),
            _ => None,
        }
    }
}

#[inline(always)]
fn put_tag(place: &mut [u8], tag: u8) -> &mut [u8] {
    match place.split_first_mut() {
        Some((first, rest)) => {
            *first = tag;
            rest
        }
        None => &mut [],
    }
}

#[inline(always)]
fn put_word(place: &mut [u8], tag: u8, word: [u8; 8]) -> &mut [u8] {
    match put_tag(place, tag).split_first_chunk_mut::<8>() {
        Some((first, rest)) => {
            *first = word;
            rest
        }
        None => &mut [],
    }
}

fn put_raw<'p>(place: &'p mut [u8], bytes: &[u8]) -> &'p mut [u8] {
    match place.split_at_mut_checked(bytes.len()) {
        Some((body, rest)) => {
            body.copy_from_slice(bytes);
            rest
        }
        None => &mut [],
    }
}

#[inline(always)]
fn put_text<'p>(place: &'p mut [u8], tag: u8, text: &str) -> &'p mut [u8] {
    let Some((len, rest)) = put_tag(place, tag).split_first_chunk_mut::<4>() else { return &mut [] };
    // Records are far below 4 GiB: a longer text goes another way before it comes here.
    *len = (text.len() as u32).to_le_bytes();
    match rest.split_at_mut_checked(text.len()) {
        Some((body, rest)) => {
            copy(body, text.as_bytes());
            rest
        }
        None => &mut [],
    }
}

/// Copies a text of the same length; a short one in two pieces that overlap, without a call.
#[inline(always)]
fn copy(to: &mut [u8], from: &[u8]) {
    #[inline(always)]
    fn ends<const N: usize>(to: &mut [u8], from: &[u8]) {
        if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
            *to = *from;
        }
        if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
            *to = *from;
        }
    }
    match from.len() {
        16..=32 => ends::<16>(to, from),
        8..16 => ends::<8>(to, from),
        4..8 => ends::<4>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// A captured value that may own its text for the length of the call.
pub enum Captured<'a> {
    /// Borrowed or small.
    Plain(Arg<'a>),
    /// Made on the spot.
    Text(String),
    /// JSON made on the spot.
    Json(String),
}

impl Captured<'_> {
    /// The value to write.
    #[inline(always)]
    pub fn arg(&self) -> Arg<'_> {
        match self {
            Captured::Plain(arg) => *arg,
            Captured::Text(text) => Arg::Str(text),
            Captured::Json(text) => Arg::Json(text),
        }
    }
}

/// What the macros wrap an argument in.
pub struct Wrap<'a, T: ?Sized>(pub &'a T);

/// A type whose values go into a record as they are.
pub trait Primitive {
    /// The value.
    fn plain(&self) -> Arg<'_>;
}

macro_rules! primitive {
    ($($of:ty => |$value:ident| $arg:expr),* $(,)?) => {$(
        impl Primitive for $of {
            #[inline(always)]
            fn plain(&self) -> Arg<'_> { let $value = self; $arg }
        }
    )*};
}

primitive! {
    bool => |v| Arg::Bool(*v),
    i8 => |v| Arg::I64((*v).into()), i16 => |v| Arg::I64((*v).into()), i32 => |v| Arg::I64((*v).into()),
    i64 => |v| Arg::I64(*v), isize => |v| Arg::I64(*v as i64),
    u8 => |v| Arg::U64((*v).into()), u16 => |v| Arg::U64((*v).into()), u32 => |v| Arg::U64((*v).into()),
    u64 => |v| Arg::U64(*v), usize => |v| Arg::U64(*v as u64),
    f32 => |v| Arg::F64((*v).into()), f64 => |v| Arg::F64(*v),
    str => |v| Arg::Str(v), String => |v| Arg::Str(v), Cow<'_, str> => |v| Arg::Str(v),
    Box<str> => |v| Arg::Str(v), std::sync::Arc<str> => |v| Arg::Str(v), std::rc::Rc<str> => |v| Arg::Str(v),
    Severity => |v| Arg::U64(v.number().into()), () => |_v| Arg::Null,
}

impl<T: Primitive + ?Sized> Primitive for &T {
    #[inline(always)]
    fn plain(&self) -> Arg<'_> {
        (**self).plain()
    }
}

impl<T: Primitive + ?Sized> Primitive for &mut T {
    #[inline(always)]
    fn plain(&self) -> Arg<'_> {
        (**self).plain()
    }
}

impl<T: Primitive> Primitive for Option<T> {
    #[inline(always)]
    fn plain(&self) -> Arg<'_> {
        self.as_ref().map_or(Arg::Null, Primitive::plain)
    }
}

/// A type that becomes JSON on the spot: lists, maps, whole values.
pub trait Structured {
    /// The JSON value.
    fn value(&self) -> Value;
}

impl Structured for Value {
    fn value(&self) -> Value {
        self.clone()
    }
}

impl Structured for Fields {
    fn value(&self) -> Value {
        Value::Map(self.clone())
    }
}

impl<T: Clone + Into<Value>> Structured for [T] {
    fn value(&self) -> Value {
        Value::from(self)
    }
}

impl<T: Clone + Into<Value>, const N: usize> Structured for [T; N] {
    fn value(&self) -> Value {
        Value::from(self.as_slice())
    }
}

impl<T: Clone + Into<Value>> Structured for Vec<T> {
    fn value(&self) -> Value {
        Value::from(self.as_slice())
    }
}

impl Structured for Duration {
    /// Seconds, as everywhere in metlog where a duration stands without a unit.
    fn value(&self) -> Value {
        Value::Float(self.as_secs_f64())
    }
}

impl Structured for std::time::SystemTime {
    fn value(&self) -> Value {
        Value::from(metlog_message::Timestamp::from(*self).to_string())
    }
}

impl Structured for metlog_message::Timestamp {
    fn value(&self) -> Value {
        Value::from(self.to_string())
    }
}

impl<T: Structured + ?Sized> Structured for &T {
    fn value(&self) -> Value {
        (**self).value()
    }
}

impl<T: Structured> Structured for Option<T> {
    fn value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Structured::value)
    }
}

/// First choice: as it is.
pub trait ViaPrimitive {
    /// Captures.
    fn capture(&self) -> Captured<'_>;
}

impl<T: Primitive + ?Sized> ViaPrimitive for &&&Wrap<'_, T> {
    #[inline(always)]
    fn capture(&self) -> Captured<'_> {
        Captured::Plain(self.0.plain())
    }
}

/// Second choice: as JSON.
pub trait ViaStructured {
    /// Captures.
    fn capture(&self) -> Captured<'_>;
}

impl<T: Structured + ?Sized> ViaStructured for &&Wrap<'_, T> {
    fn capture(&self) -> Captured<'_> {
        let mut out = Vec::new();
        wire::write_value(&mut out, &self.0.value());
        Captured::Json(String::from_utf8(out).unwrap_or_default())
    }
}

/// Third choice: as its text.
pub trait ViaDisplay {
    /// Captures.
    fn capture(&self) -> Captured<'_>;
}

impl<T: Display + ?Sized> ViaDisplay for &Wrap<'_, T> {
    fn capture(&self) -> Captured<'_> {
        Captured::Text(self.0.to_string())
    }
}

/// Last: nothing. Only reached in branches that a constant rules out.
pub trait ViaNothing {
    /// Captures nothing.
    fn capture(&self) -> Captured<'static> {
        Captured::Plain(Arg::Null)
    }
}

impl<T: ?Sized> ViaNothing for Wrap<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! captured {
        ($value:expr) => {
            match (&&&&Wrap(&$value)).capture() {
                Captured::Plain(arg) => arg.to_value(),
                Captured::Text(text) => Value::Str(text),
                Captured::Json(json) => Arg::Json(&json).to_value(),
            }
        };
    }

    #[test]
    fn the_narrowest_form_is_taken() {
        assert_eq!(captured!(7u8), Value::Int(7));
        assert_eq!(captured!("text"), Value::from("text"));
        assert_eq!(captured!(String::from("owned")), Value::from("owned"));
        assert_eq!(captured!(&&1.5f32), Value::Float(1.5));
        assert_eq!(captured!(Some(true)), Value::Bool(true));
        assert_eq!(captured!(None::<u64>), Value::Null);
        assert_eq!(captured!(["a", "b"]), Value::from(["a", "b"]));
        assert_eq!(captured!(vec![1, 2]), Value::from([1, 2]));
        assert_eq!(captured!(Duration::from_millis(1500)), Value::Float(1.5));
        assert_eq!(captured!(std::net::Ipv4Addr::LOCALHOST), Value::from("127.0.0.1"), "Display");
        assert_eq!(captured!('x'), Value::from("x"));
    }

    #[test]
    fn what_is_put_is_what_is_taken() {
        let args = [
            Arg::Null,
            Arg::Bool(true),
            Arg::Bool(false),
            Arg::I64(-3),
            Arg::U64(u64::MAX),
            Arg::F64(0.5),
            Arg::Str("täxt"),
            Arg::Json("[1]"),
            Arg::Ticks(9),
        ];
        let mut record = vec![0; args.iter().map(Arg::size).sum()];
        let mut place = record.as_mut_slice();
        for arg in &args {
            place = arg.put(place);
        }
        assert!(place.is_empty(), "size() is what put() writes");
        let mut rest = record.as_slice();
        for arg in args {
            let (taken, after) = Arg::take(rest).expect("a whole record");
            assert_eq!(taken, arg);
            rest = after;
        }
        for cut in 0..record.len() {
            let mut rest = &record[..cut];
            while let Some((_, after)) = Arg::take(rest) {
                rest = after;
            }
        }
    }
}
