//! serde over the located tree: every node is read as what is asked for, within reason.

use crate::unfit::{Error, Step, one_of};
use crate::{Kind, Node, Origin, Secret, Table, ini};
use serde::de::value::{StrDeserializer, UnitDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// A node, to be read as whatever is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a>(pub &'a Node);

impl<'a> Reading<'a> {
    /// As what it is.
    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let node = self.0;
        let result = match &node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(truth) => visitor.visit_bool(*truth),
            Kind::Int(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => visitor.visit_i64(number),
                (_, Ok(number)) => visitor.visit_u64(number),
                _ => visitor.visit_i128(*number),
            },
            Kind::Float(number) => visitor.visit_f64(*number),
            Kind::Text(text) => visitor.visit_str(text),
            Kind::List(list) => visitor.visit_seq(Elements(list.iter().enumerate())),
            Kind::Table(table) => return self.map(table, visitor),
            Kind::Hole(0) => visitor.visit_i64(0),
            Kind::Hole(1) => visitor.visit_str(""),
            Kind::Hole(2) => visitor.visit_bool(false),
            Kind::Hole(3) => visitor.visit_map(Fields { names: &[], hole: node }),
            Kind::Hole(4) => visitor.visit_seq(Elements([].iter().enumerate())),
            Kind::Hole(_) => visitor.visit_unit(),
        };
        result.map_err(|error| error.at(node, None))
    }

    fn map<'de, V: Visitor<'de>>(self, table: &Table, visitor: V) -> Result<V::Value, Error> {
        let mut entries = Entries { left: table.iter(), key: None, value: None };
        let result = visitor.visit_map(&mut entries);
        result.map_err(|error| error.at(self.0, entries.key))
    }

    /// Text, from whatever the file wrote as bare text, and from whole numbers: nobody quotes `logger = 5`.
    fn text(self) -> Option<String> {
        match (&self.0.kind, &self.0.written) {
            (Kind::Text(text), _) => Some(text.clone()),
            (Kind::Bool(_) | Kind::Int(_), Some(written)) => Some(written.to_string()),
            (Kind::Int(number), None) => Some(number.to_string()),
            _ => None,
        }
    }

    fn string<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (self.text(), &self.0.kind) {
            (Some(text), _) => visitor.visit_string(text),
            (None, Kind::Hole(0)) => visitor.visit_str(""),
            _ => return self.any(visitor),
        }
        .map_err(|error: Error| error.at(self.0, None))
    }

    fn whole<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.kind {
            Kind::Text(text) => match text.trim().parse() {
                Ok(number) => {
                    let node = Node { kind: Kind::Int(number), ..self.0.clone() };
                    Reading(&node).any(visitor)
                }
                Err(_) => self.any(visitor),
            },
            _ => self.any(visitor),
        }
    }

    fn float<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let number = match &self.0.kind {
            Kind::Int(number) => Some(*number as f64),
            Kind::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        };
        match number {
            Some(number) => visitor.visit_f64(number).map_err(|error: Error| error.at(self.0, None)),
            None => self.any(visitor),
        }
    }

    fn truth<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let truth = match &self.0.kind {
            Kind::Int(0) | Kind::Hole(0) => Some(false),
            Kind::Int(1) => Some(true),
            Kind::Text(text) => match text.trim() {
                "0" => Some(false),
                "1" => Some(true),
                word => ini::truth(word),
            },
            _ => None,
        };
        match truth {
            Some(truth) => visitor.visit_bool(truth).map_err(|error: Error| error.at(self.0, None)),
            None => self.any(visitor),
        }
    }

    /// A list, or a list of one. Metlog took a lone text for a list of its characters, or looked for substrings in it.
    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let one = std::slice::from_ref(self.0).iter().enumerate();
        match &self.0.kind {
            // The only way to write an empty list in INI.
            Kind::Null | Kind::Hole(0) => visitor.visit_seq(Elements([].iter().enumerate())),
            Kind::Text(text) if text.is_empty() => visitor.visit_seq(Elements([].iter().enumerate())),
            Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) | Kind::Text(_) => visitor.visit_seq(Single(Elements(one))),
            _ => return self.any(visitor),
        }
        .map_err(|error: Error| error.at(self.0, None))
    }

    fn variant<'de, V: Visitor<'de>>(self, names: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        let node = self.0;
        let result = match (&node.kind, self.text()) {
            (_, Some(name)) => visitor.visit_enum(Variant { name: &name, content: None }),
            (Kind::Table(table), _) => match (table.iter().next(), table.len()) {
                (Some((name, _, content)), 1) => visitor.visit_enum(Variant { name, content: Some(content) }),
                _ => Err(de::Error::custom(format!("{} as its only key", one_of("value", names)))),
            },
            (Kind::Hole(at), _) => {
                let name = names.get(usize::from(*at)).copied().unwrap_or_default();
                visitor.visit_enum(Variant { name, content: Some(node) })
            }
            _ => {
                let known = one_of("value", names);
                return self.any(visitor).map_err(|error| error.expecting(known.trim_start_matches("expected ")));
            }
        };
        result.map_err(|error| error.at(node, None))
    }
}

macro_rules! read_as {
    ($way:ident: $($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$way(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reading<'_> {
    type Error = Error;

    read_as! { any: deserialize_any deserialize_bytes deserialize_byte_buf }
    read_as! { truth: deserialize_bool }
    read_as! { whole: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 }
    read_as! { whole: deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 }
    read_as! { float: deserialize_f32 deserialize_f64 }
    read_as! { string: deserialize_char deserialize_str deserialize_string deserialize_identifier }
    read_as! { list: deserialize_seq }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.kind {
            Kind::Null | Kind::Hole(_) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.kind {
            Kind::Hole(_) => visitor.visit_unit(),
            Kind::Table(table) if table.is_empty() => visitor.visit_unit(),
            _ => self.any(visitor),
        }
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        let placed = |error: Error| {
            let error = error.at(self.0, None);
            if name == Secret::TYPE { error.without_value() } else { error }
        };
        visitor.visit_newtype_struct(self).map_err(placed)
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        match self.0.kind {
            Kind::Hole(_) => visitor.visit_seq(Elements(vec![self.0.clone(); length.min(64)].iter().enumerate())),
            // Left out, it would push what follows into the wrong place.
            Kind::List(ref list) if list.iter().any(Node::is_gone) => {
                Err(<Error as de::Error>::custom("has a part that is wrong").at(self.0, None))
            }
            _ => self.list(visitor),
        }
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(length, visitor)
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_struct("", &[], visitor)
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.0.kind {
            // Every field it could want; should it not take one of them, the next try offers none.
            Kind::Hole(at) => visitor
                .visit_map(Fields { names: if *at == 0 { names } else { &[] }, hole: self.0 })
                .map_err(|error: Error| error.at(self.0, None)),
            _ => self.any(visitor),
        }
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.variant(names, visitor)
    }
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

/// Elements of a list.
struct Elements<'a>(std::iter::Enumerate<std::slice::Iter<'a, Node>>);

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Error;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some((at, node)) = self.0.find(|(_, node)| !node.is_gone()) else { return Ok(None) };
        seed.deserialize(Reading(node)).map(Some).map_err(|error| error.at(node, None).inside(Step::Index(at)))
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// A scalar as a list of one: there is no index on the way to it.
struct Single<'a>(Elements<'a>);

impl<'de> SeqAccess<'de> for Single<'_> {
    type Error = Error;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some((_, node)) = self.0.0.next() else { return Ok(None) };
        seed.deserialize(Reading(node)).map(Some).map_err(|error| error.at(node, None))
    }
}

/// Keys and values of a table; remembers the key, for errors that come without one.
struct Entries<'a, I> {
    left: I,
    key: Option<&'a str>,
    value: Option<&'a Node>,
}

impl<'a, 'de, I: Iterator<Item = (&'a str, &'a Origin, &'a Node)>> MapAccess<'de> for Entries<'a, I> {
    type Error = Error;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let next = self.left.find(|(_, _, node)| !node.is_gone());
        self.key = next.map(|(key, _, _)| key);
        self.value = next.map(|(_, _, node)| node);
        self.key.map(|key| seed.deserialize(StrDeserializer::new(key))).transpose()
    }
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let (Some(key), Some(node)) = (self.key, self.value) else {
            return Err(de::Error::custom("a value without a key"));
        };
        let result = seed.deserialize(Reading(node));
        result.map_err(|error| error.at(node, None).inside(Step::Key(key.to_owned())))
    }
}

/// A hole as a struct: each field is a hole too.
struct Fields<'a> {
    names: &'static [&'static str],
    hole: &'a Node,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.names.first().map(|name| seed.deserialize(StrDeserializer::new(name))).transpose()
    }
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        self.names = self.names.get(1..).unwrap_or_default();
        seed.deserialize(Reading(self.hole))
    }
}

/// A variant's name and, written as a table with that one key, its content.
struct Variant<'a> {
    name: &'a str,
    content: Option<&'a Node>,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = Content<'a>;
    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Content<'a>), Error> {
        let name: StrDeserializer<'_, Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, Content(self.name, self.content)))
    }
}

struct Content<'a>(&'a str, Option<&'a Node>);

impl<'a> Content<'a> {
    fn read<T>(self, read: impl FnOnce(Reading<'a>) -> Result<T, Error>) -> Result<T, Error> {
        let Content(name, Some(node)) = self else {
            return Err(de::Error::custom(format!("`{}` needs settings: {{ {} = … }}", self.0, self.0)));
        };
        match node.kind {
            Kind::Hole(_) => read(Reading(node)),
            _ => read(Reading(node)).map_err(|error| error.at(node, None).inside(Step::Key(name.to_owned()))),
        }
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Error;
    fn unit_variant(self) -> Result<(), Error> {
        match self.1 {
            None => Ok(()),
            Some(_) => self.read(de::Deserialize::deserialize),
        }
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        match self.1 {
            // `Option` and `()` can do without content.
            None => seed.deserialize(UnitDeserializer::new()),
            Some(_) => self.read(|node| seed.deserialize(node)),
        }
    }
    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        self.read(|node| node.deserialize_tuple(length, visitor))
    }
    fn struct_variant<V: Visitor<'de>>(self, names: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.read(|node| node.deserialize_struct("", names, visitor))
    }
}
