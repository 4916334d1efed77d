//! What settings can look like, found out by asking serde: a deserializer that answers with nothing but notes what it is
//! asked for. So a schema for editors cannot disagree with what is read.
//!
//! Each question is one run over the whole type along a way to one value, since serde lets go of a visitor with its first
//! answer. What a type checks after it was read, a range or an address, remains unseen.

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use std::cell::RefCell;
use std::fmt;

/// Types within types are followed so far; what refers to itself ends there.
const DEEPEST: usize = 8;

/// What no setting is called, and no text says.
const STRANGE: &str = "\u{1}";

/// What a value can be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// One of these; none: anything.
    pub forms: Vec<Form>,
    /// What the type says it wants, where that is more than its form.
    pub expected: Option<String>,
}

/// One thing a value can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `true` or `false`.
    Truth,
    /// A whole number, and its bounds as far as they are known.
    Whole {
        /// The smallest.
        least: Option<i64>,
        /// The largest.
        most: Option<i64>,
    },
    /// A number.
    Number,
    /// Text.
    Text,
    /// One of these words.
    Choice(Vec<String>),
    /// A list of such values.
    List(Box<Shape>),
    /// A table of such values, under any keys.
    Map(Box<Shape>),
    /// A table with these keys, other names of the same thing included.
    Table {
        /// Key and value.
        fields: Vec<(String, Shape)>,
        /// Whether any other key is an error.
        closed: bool,
    },
}

/// What a settings type can be read from.
pub fn describe<T: DeserializeOwned>() -> Shape {
    Explorer { run: |probe| T::deserialize(probe).map(drop), way: Vec::new() }.shape()
}

type Run = fn(Probe<'_>) -> Result<(), Halt>;

/// One step towards the value in question.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Into an option that is there.
    Some,
    /// Into a newtype.
    Inside,
    /// To a list's element.
    Element,
    /// To the value of a key.
    Key(&'static str),
}

/// What the value in question is to answer.
#[derive(Debug, Clone)]
enum Answer {
    Truth,
    Whole(i64),
    Number,
    Text,
    List,
    Map,
    /// A table with one key, which nobody knows.
    Stranger,
    /// A word.
    Word(&'static str),
}

/// What came of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Taken,
    /// The right kind of thing and yet not right.
    Wrong,
    /// The wrong kind.
    Alien,
}

/// What was asked for.
#[derive(Debug, Clone)]
enum Asked {
    Anything,
    Truth,
    Whole { least: Option<i64>, most: Option<i64> },
    Number,
    Text,
    Option,
    Newtype,
    List,
    Map,
    Struct(&'static [&'static str]),
    Enum(&'static [&'static str]),
    Nothing,
}

#[derive(Debug, Default)]
struct Notes {
    asked: Option<(Asked, String)>,
    outcome: Option<Outcome>,
    /// The keys that would have been known.
    known: Option<Vec<&'static str>>,
    /// What was said of the value by itself.
    said: Option<String>,
}

struct Probe<'a> {
    way: &'a [Step],
    /// Without one, it is only asked.
    answer: Option<&'a Answer>,
    notes: &'a RefCell<Notes>,
}

/// Why a run ended.
#[derive(Debug)]
enum Halt {
    /// We have seen what we came for.
    Seen,
    Alien,
    Unknown(&'static [&'static str]),
    Other(String),
}

/// A type, and the way to the value in question.
struct Explorer {
    run: Run,
    way: Vec<Step>,
}

impl Explorer {
    fn ask(&self, answer: Option<&Answer>) -> Notes {
        let notes = RefCell::new(Notes::default());
        // How the run ends does not matter: nothing but questions can come of it.
        let _ = (self.run)(Probe { way: &self.way, answer, notes: &notes });
        notes.into_inner()
    }

    fn outcome(&self, answer: &Answer) -> Outcome {
        self.ask(Some(answer)).outcome.unwrap_or(Outcome::Alien)
    }

    fn takes(&self, answer: &Answer) -> bool {
        self.outcome(answer) != Outcome::Alien
    }

    fn below(&mut self, step: Step) -> Shape {
        self.way.push(step);
        let shape = self.shape();
        self.way.pop();
        shape
    }

    /// What is at the end of the way.
    fn shape(&mut self) -> Shape {
        if self.way.len() > DEEPEST {
            return Shape::default();
        }
        let Some((asked, expected)) = self.ask(None).asked else { return Shape::default() };
        let expected = beyond_the_usual(expected);
        let forms = match asked {
            Asked::Option => return self.below(Step::Some),
            Asked::Newtype => return self.below(Step::Inside),
            Asked::Nothing => Vec::new(),
            Asked::Truth => vec![Form::Truth],
            Asked::Whole { least, most } => vec![Form::Whole { least: self.least(least), most }],
            Asked::Number => vec![Form::Number],
            Asked::Text => {
                // A text that is looked at afterwards: what is said of a wrong one tells what a right one is.
                let said = self.ask(Some(&Answer::Text)).said.filter(|said| !said.contains(STRANGE));
                let said = said.map(|said| said.strip_prefix("expected ").unwrap_or(&said).to_owned());
                let mut forms = self.scalars();
                if !forms.contains(&Form::Text) {
                    forms.push(Form::Text);
                }
                return Shape { forms, expected: expected.or(said) };
            }
            Asked::List => vec![Form::List(Box::new(self.below(Step::Element)))],
            Asked::Map => vec![self.table(None)],
            Asked::Struct(names) => vec![self.table(Some(names))],
            Asked::Enum(names) => self.words(names),
            Asked::Anything => {
                let mut forms = self.scalars();
                let (list, map) = (self.takes(&Answer::List), self.takes(&Answer::Map));
                if list && map && forms.len() == 4 {
                    return Shape { forms: Vec::new(), expected };
                }
                if list {
                    forms.push(Form::List(Box::new(self.below(Step::Element))));
                }
                if map {
                    forms.push(self.table(None));
                }
                forms
            }
        };
        Shape { forms, expected }
    }

    fn scalars(&self) -> Vec<Form> {
        let forms = [
            self.takes(&Answer::Truth).then_some(Form::Truth),
            self.takes(&Answer::Whole(1)).then(|| Form::Whole { least: self.least(None), most: None }),
            self.takes(&Answer::Number).then_some(Form::Number),
            self.takes(&Answer::Text).then_some(Form::Text),
        ];
        forms.into_iter().flatten().collect()
    }

    /// The smallest whole number that is taken, if that is 0 or 1, or else what its type allows.
    fn least(&self, otherwise: Option<i64>) -> Option<i64> {
        match [-1, 0, 1].map(|number| self.outcome(&Answer::Whole(number)) == Outcome::Taken) {
            [_, _, false] | [true, _, _] => otherwise,
            [_, true, _] => Some(0),
            _ => Some(1),
        }
    }

    /// A table: which keys it has it says when it meets a strange one, or has said already.
    fn table(&mut self, names: Option<&[&'static str]>) -> Form {
        let known = self.ask(Some(&Answer::Stranger)).known;
        let closed = known.is_some();
        let Some(names) = known.as_deref().filter(|known| !known.is_empty()).or(names) else {
            return Form::Map(Box::new(self.below(Step::Key("key"))));
        };
        let fields = names.iter().map(|name| ((*name).to_owned(), self.below(Step::Key(name))));
        Form::Table { fields: fields.collect(), closed }
    }

    /// Words, and tables with one of those words as their key.
    fn words(&self, names: &[&'static str]) -> Vec<Form> {
        let plain = |name: &&&'static str| self.outcome(&Answer::Word(name)) == Outcome::Taken;
        let (plain, with_content): (Vec<&&str>, Vec<&&str>) = names.iter().partition(plain);
        let mut forms = Vec::new();
        if !plain.is_empty() {
            forms.push(Form::Choice(plain.into_iter().map(|name| (*name).to_owned()).collect()));
        }
        if !with_content.is_empty() {
            let fields = with_content.into_iter().map(|name| ((*name).to_owned(), Shape::default()));
            forms.push(Form::Table { fields: fields.collect(), closed: true });
        }
        forms
    }
}

/// Not what serde's own visitors say, which the form says already.
fn beyond_the_usual(expected: String) -> Option<String> {
    let usual = [
        "struct ",
        "enum ",
        "tuple ",
        "a nonzero ",
        "a string",
        "a boolean",
        "a sequence",
        "a map",
        "option",
        "a char",
        "path string",
    ];
    let numbers =
        ["u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "isize", "u128", "i128", "f32", "f64"];
    let known = usual.iter().any(|start| expected.starts_with(start)) || numbers.contains(&expected.as_str());
    (!known && !expected.is_empty() && expected != "text").then_some(expected)
}

/// A visitor's own words.
struct Words<'v, V>(&'v V);

impl<'de, V: Visitor<'de>> fmt::Display for Words<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

impl<'a> Probe<'a> {
    fn further(self, way: &'a [Step]) -> Self {
        Probe { way, ..self }
    }

    fn go<'de, V: Visitor<'de>>(self, asked: Asked, visitor: V) -> Result<V::Value, Halt> {
        match (self.way.split_first(), self.answer) {
            (Some((Step::Some, rest)), _) => visitor.visit_some(self.further(rest)),
            (Some((Step::Inside, rest)), _) => visitor.visit_newtype_struct(self.further(rest)),
            (Some((Step::Element, rest)), _) => visitor.visit_seq(One { key: None, value: Some(self.further(rest)) }),
            (Some((Step::Key(key), rest)), _) => {
                visitor.visit_map(One { key: Some(key), value: Some(self.further(rest)) })
            }
            (None, None) => {
                self.notes.borrow_mut().asked = Some((asked, Words(&visitor).to_string()));
                Err(Halt::Seen)
            }
            (None, Some(answer)) => {
                let notes = self.notes;
                let result = answer_with(answer, asked, visitor);
                let mut notes = notes.borrow_mut();
                notes.outcome = Some(match &result {
                    Ok(_) => Outcome::Taken,
                    Err(Halt::Alien) => Outcome::Alien,
                    Err(_) => Outcome::Wrong,
                });
                if let Err(Halt::Unknown(known)) = &result {
                    notes.known = Some(known.to_vec());
                }
                result
            }
        }
    }
}

fn answer_with<'de, V: Visitor<'de>>(answer: &Answer, asked: Asked, visitor: V) -> Result<V::Value, Halt> {
    match answer {
        Answer::Truth => visitor.visit_bool(false),
        Answer::Whole(number) => visitor.visit_i64(*number),
        Answer::Number => visitor.visit_f64(0.5),
        Answer::Text => visitor.visit_str(STRANGE),
        Answer::List => visitor.visit_seq(Nobody),
        Answer::Map => visitor.visit_map(Nobody),
        Answer::Stranger => visitor.visit_map(Stranger(false)),
        Answer::Word(word) if matches!(asked, Asked::Enum(_)) => visitor.visit_enum(Word(word)),
        Answer::Word(_) => Err(Halt::Alien),
    }
}

macro_rules! asks {
    ($($method:ident $asked:expr,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
            self.go($asked, visitor)
        }
    )*};
}

const fn whole(least: Option<i64>, most: Option<i64>) -> Asked {
    Asked::Whole { least, most }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Halt;

    asks! {
        deserialize_any Asked::Anything,
        deserialize_bool Asked::Truth,
        deserialize_u8 whole(Some(0), Some(u8::MAX as i64)),
        deserialize_u16 whole(Some(0), Some(u16::MAX as i64)),
        deserialize_u32 whole(Some(0), Some(u32::MAX as i64)),
        deserialize_u64 whole(Some(0), None),
        deserialize_u128 whole(Some(0), None),
        deserialize_i8 whole(Some(i8::MIN as i64), Some(i8::MAX as i64)),
        deserialize_i16 whole(Some(i16::MIN as i64), Some(i16::MAX as i64)),
        deserialize_i32 whole(Some(i32::MIN as i64), Some(i32::MAX as i64)),
        deserialize_i64 whole(None, None),
        deserialize_i128 whole(None, None),
        deserialize_f32 Asked::Number,
        deserialize_f64 Asked::Number,
        deserialize_char Asked::Text,
        deserialize_str Asked::Text,
        deserialize_string Asked::Text,
        deserialize_bytes Asked::Text,
        deserialize_byte_buf Asked::Text,
        deserialize_identifier Asked::Text,
        deserialize_option Asked::Option,
        deserialize_unit Asked::Nothing,
        deserialize_seq Asked::List,
        deserialize_map Asked::Map,
        deserialize_ignored_any Asked::Nothing,
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Halt> {
        self.go(Asked::Nothing, visitor)
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Halt> {
        self.go(Asked::Newtype, visitor)
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Halt> {
        self.go(Asked::List, visitor)
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Halt> {
        self.go(Asked::List, visitor)
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Halt> {
        self.go(Asked::Struct(names), visitor)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Halt> {
        self.go(Asked::Enum(names), visitor)
    }
}

/// A list or a table of one.
struct One<'a> {
    key: Option<&'a str>,
    value: Option<Probe<'a>>,
}

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Halt;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Halt> {
        self.value.take().map(|probe| seed.deserialize(probe)).transpose()
    }
}

impl<'de> MapAccess<'de> for One<'_> {
    type Error = Halt;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Halt> {
        self.key.take().map(|key| seed.deserialize(StrDeserializer::new(key))).transpose()
    }
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Halt> {
        let Some(probe) = self.value.take() else { return Err(Halt::Seen) };
        let notes = probe.notes;
        seed.deserialize(probe).inspect_err(|halt| {
            if let Halt::Other(said) = halt {
                notes.borrow_mut().said = Some(said.clone());
            }
        })
    }
}

/// A list or a table of none.
struct Nobody;

impl<'de> SeqAccess<'de> for Nobody {
    type Error = Halt;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, _: T) -> Result<Option<T::Value>, Halt> {
        Ok(None)
    }
}

impl<'de> MapAccess<'de> for Nobody {
    type Error = Halt;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, _: K) -> Result<Option<K::Value>, Halt> {
        Ok(None)
    }
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, _: T) -> Result<T::Value, Halt> {
        Err(Halt::Seen)
    }
}

/// A table with a key nobody knows. True: it was handed out.
struct Stranger(bool);

impl<'de> MapAccess<'de> for Stranger {
    type Error = Halt;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Halt> {
        match std::mem::replace(&mut self.0, true) {
            true => Ok(None),
            false => seed.deserialize(StrDeserializer::new(STRANGE)).map(Some),
        }
    }
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, _: T) -> Result<T::Value, Halt> {
        Err(Halt::Seen)
    }
}

/// A variant without content.
struct Word<'a>(&'a str);

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = Halt;
    type Variant = Bare;
    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Bare), Halt> {
        Ok((seed.deserialize(StrDeserializer::<Halt>::new(self.0))?, Bare))
    }
}

struct Bare;

impl<'de> VariantAccess<'de> for Bare {
    type Error = Halt;
    fn unit_variant(self) -> Result<(), Halt> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Halt> {
        Err(Halt::Alien)
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Halt> {
        Err(Halt::Alien)
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Halt> {
        Err(Halt::Alien)
    }
}

impl de::Error for Halt {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Halt::Other(message.to_string())
    }
    fn invalid_type(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Halt::Alien
    }
    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Halt::Unknown(known)
    }
    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        // serde's words for it name what is not known here.
        Halt::Seen
    }
    fn missing_field(_: &'static str) -> Self {
        Halt::Seen
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Halt::Seen => "seen",
            Halt::Alien => "another kind of thing",
            Halt::Unknown(_) => "an unknown key",
            Halt::Other(why) => why,
        })
    }
}

impl std::error::Error for Halt {}

#[cfg(test)]
mod tests {
    use super::*;
    use metlog_message::{Severity, Value};
    use metlog_settings::{Secret, Size, Span};
    use serde::Deserialize;
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::num::NonZeroU16;

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[allow(dead_code)]
    enum Mode {
        #[serde(alias = "quick")]
        Fast,
        Slow,
        Every(u8),
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        level: Severity,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct All {
        truth: bool,
        byte: u8,
        positive: Option<NonZeroU16>,
        signed: i64,
        part: f32,
        #[serde(alias = "label")]
        name: String,
        key: Secret,
        at: SocketAddr,
        wait: Span,
        room: Size,
        mode: Mode,
        list: Vec<Inner>,
        map: BTreeMap<String, u16>,
        anything: Value,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Open {
        more: Option<Box<Open>>,
    }

    fn form(form: Form) -> Shape {
        Shape { forms: vec![form], expected: None }
    }

    #[test]
    fn each_type_is_what_it_can_be_read_from() {
        let Form::Table { fields, closed } = describe::<All>().forms.remove(0) else { panic!("a table") };
        assert!(closed);
        let fields: BTreeMap<String, Shape> = fields.into_iter().collect();
        let whole = |least, most| form(Form::Whole { least: Some(least), most: Some(most) });
        assert_eq!(fields["truth"], form(Form::Truth));
        assert_eq!(fields["byte"], whole(0, 255));
        assert_eq!(fields["positive"], whole(1, 65535));
        assert_eq!(fields["signed"], form(Form::Whole { least: None, most: None }));
        assert_eq!(fields["part"], form(Form::Number));
        assert_eq!(
            (&fields["name"], &fields["label"], &fields["key"]),
            (&form(Form::Text), &form(Form::Text), &form(Form::Text))
        );
        assert_eq!(fields["at"].expected.as_deref(), Some("socket address"));
        let from_zero = Form::Whole { least: Some(0), most: None };
        assert_eq!(fields["wait"].forms, [from_zero.clone(), Form::Number, Form::Text]);
        assert_eq!(fields["room"].forms, [from_zero.clone(), Form::Text]);
        assert!(fields["room"].expected.as_deref().is_some_and(|text| text.contains("10 MiB")));
        let words = ["fast", "quick", "slow"].map(str::to_owned).to_vec();
        let every = Form::Table { fields: vec![("every".to_owned(), Shape::default())], closed: true };
        assert_eq!(fields["mode"].forms, [Form::Choice(words), every]);
        let level = Shape {
            forms: vec![from_zero, Form::Text],
            expected: Some("a severity: 0 to 7, or a name such as `warning`".into()),
        };
        let inner = form(Form::Table { fields: vec![("level".to_owned(), level)], closed: true });
        assert_eq!(fields["list"], form(Form::List(Box::new(inner))));
        assert_eq!(fields["map"], form(Form::Map(Box::new(whole(0, 65535)))));
        assert!(fields["anything"].forms.is_empty());
        assert_eq!(fields.len(), 15);
    }

    #[test]
    fn what_refers_to_itself_comes_to_an_end() {
        let mut shape = describe::<Open>();
        let mut depth = 0;
        while let Some(Form::Table { mut fields, closed }) = shape.forms.pop() {
            assert!(!closed);
            shape = fields.remove(0).1;
            depth += 1;
        }
        assert!(depth > 1 && depth <= DEEPEST, "{depth}");
    }
}
