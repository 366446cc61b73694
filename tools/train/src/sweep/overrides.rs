//! Named sets of overrides: what a value of an axis changes in the base experiment.
//!
//! Keys are dotted keys of the experiment, values are YAML; maps merge into what is there (`model.head: {_delete_: true, …}` replaces).

use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_yaml::{Mapping, Value};

use crate::config::node::{Kind, Node, Origin};
use crate::config::overrides::Override;
use crate::config::ConfigError;

/// Dotted keys and their values, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OverrideMap(pub Vec<(String, Value)>);

impl OverrideMap {
    /// Sets the values in `tree`; `origin` is recorded as who set them.
    ///
    /// # Errors
    /// As [`Override::apply`].
    pub fn apply(&self, tree: &mut Node, origin: &Arc<str>) -> Result<(), ConfigError> {
        for (key, value) in &self.0 {
            Override::from_value(key, value.clone(), Origin::File(origin.clone()))?.apply(tree)?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for OverrideMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Option::<Mapping>::deserialize(deserializer)?.unwrap_or_default();
        map.into_iter().map(|(k, v)| Ok((text(k).map_err(D::Error::custom)?, v))).collect::<Result<_, _>>().map(Self)
    }
}

/// A map whose order counts: the names of an axis's values, the names of axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Named<T> {
    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The entry with that name.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Entries<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a map of names")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<String, T>()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }
        deserializer.deserialize_map(Entries(std::marker::PhantomData))
    }
}

fn text(value: Value) -> Result<String, String> {
    match Node::from_value(value, &Origin::Default)?.kind {
        Kind::Scalar(Value::String(s)) => Ok(s),
        other => Err(format!("expected a dotted key, found {other:?}")),
    }
}
