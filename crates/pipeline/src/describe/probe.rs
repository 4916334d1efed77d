//! A deserializer that goes to one value of a type, and there asks what is wanted or offers something.

use super::STRANGE;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use std::cell::RefCell;
use std::fmt;

/// One step towards the value in question.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
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
pub(super) enum Answer {
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
pub(super) enum Outcome {
    Taken,
    /// The right kind of thing and yet not right.
    Wrong,
    /// The wrong kind.
    Alien,
}

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) enum Asked {
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
pub(super) struct Notes {
    pub asked: Option<(Asked, String)>,
    pub outcome: Option<Outcome>,
    /// The keys that would have been known.
    pub known: Option<Vec<&'static str>>,
    /// What was said of the value by itself.
    pub said: Option<String>,
}

pub(super) struct Probe<'a> {
    pub way: &'a [Step],
    /// Without one, it is only asked.
    pub answer: Option<&'a Answer>,
    pub notes: &'a RefCell<Notes>,
}

/// Why a run ended.
#[derive(Debug)]
pub(super) enum Halt {
    /// We have seen what we came for.
    Seen,
    Alien,
    Unknown(&'static [&'static str]),
    Other(String),
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
