//! From a [`Node`] to typed structs, with errors that name the dotted key.
//!
//! This is a serde deserializer of its own (and not `serde_yaml`'s) for two reasons: its error keeps the list of keys that serde
//! expected, from which the nearest is suggested; and it hands out `name` first, so that a map which is chosen by name
//! ([`super::schema::HeadConfig`]) can be read in one go.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde_yaml::Value;

use super::node::{Kind, Node};

/// What serde found wrong.
#[derive(Debug)]
pub enum Fault {
    /// A key that the struct does not have.
    UnknownField(String, &'static [&'static str]),
    /// A value that the enum does not have.
    UnknownVariant(String, &'static [&'static str]),
    /// A value of another type, or out of range: found, expected.
    Type(String, String),
    /// A key that must be there.
    Missing(&'static str),
    /// Anything else.
    Other(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }

    fn invalid_type(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::Type(found_text(found), expected_text(expected))
    }

    fn invalid_value(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(len: usize, expected: &dyn Expected) -> Self {
        Self::Type(format!("a list of {len}"), expected_text(expected))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::UnknownVariant(variant.to_string(), expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::UnknownField(field.to_string(), expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
}

fn found_text(found: Unexpected) -> String {
    match found {
        Unexpected::Bool(b) => b.to_string(),
        Unexpected::Unsigned(n) => n.to_string(),
        Unexpected::Signed(n) => n.to_string(),
        Unexpected::Float(x) => x.to_string(),
        Unexpected::Str(s) => format!("the text '{s}'"),
        Unexpected::Unit | Unexpected::Option => "null".into(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a map".into(),
        other => other.to_string(),
    }
}

/// Serde names Rust types; messages are for people who write YAML.
fn expected_text(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number, 0 or more".into(),
        "isize" | "i64" | "i32" | "i16" | "i8" => "a whole number".into(),
        "f64" | "f32" => "a number".into(),
        "a boolean" => "true or false".into(),
        "a string" => "a text".into(),
        "a sequence" => "a list".into(),
        _ if text.starts_with("struct ") => "a map".into(),
        _ => match text.strip_prefix("an array of length ") {
            Some(n) => format!("a list of {n}"),
            None => text,
        },
    }
}

/// Reads a node.
#[derive(Clone, Copy, Debug)]
pub struct NodeReader<'a>(pub &'a Node);

impl<'de> IntoDeserializer<'de, Fault> for NodeReader<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for NodeReader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.kind {
            Kind::Scalar(Value::Null) => visitor.visit_unit(),
            Kind::Scalar(Value::Bool(b)) => visitor.visit_bool(*b),
            Kind::Scalar(Value::String(s)) => visitor.visit_borrowed_str(s),
            Kind::Scalar(Value::Number(n)) => match (n.as_u64(), n.as_i64(), n.as_f64()) {
                (Some(n), _, _) => visitor.visit_u64(n),
                (_, Some(n), _) => visitor.visit_i64(n),
                (_, _, Some(x)) => visitor.visit_f64(x),
                _ => Err(de::Error::custom(format!("{n} is no number"))),
            },
            Kind::Scalar(_) => Err(de::Error::custom("tags and nested values are no scalars")),
            Kind::List(items) => {
                let mut seq = SeqDeserializer::new(items.iter().map(NodeReader));
                let value = visitor.visit_seq(&mut seq)?;
                seq.end()?;
                Ok(value)
            }
            Kind::Map(entries) => visitor.visit_map(map_access(entries)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.kind {
            Kind::Scalar(Value::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.kind {
            Kind::Scalar(Value::String(s)) => visitor.visit_enum(StrDeserializer::new(s)),
            Kind::Map(entries) => visitor.visit_enum(MapAccessDeserializer::new(map_access(entries))),
            _ => Err(Fault::Type(self.0.inline(), format!("one of {}", variants.join(", ")))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map struct identifier ignored_any
    }
}

type Entries<'de> = MapDeserializer<'de, std::vec::IntoIter<(&'de str, NodeReader<'de>)>, Fault>;

fn map_access(entries: &[(String, Node)]) -> Entries<'_> {
    let mut pairs: Vec<(&str, NodeReader)> = entries.iter().map(|(k, n)| (k.as_str(), NodeReader(n))).collect();
    pairs.sort_by_key(|(k, _)| *k != "name");
    MapDeserializer::new(pairs.into_iter())
}
