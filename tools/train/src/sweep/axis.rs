//! An axis: its values by name, or a plain list of values of one key.
//!
//! ```yaml
//! axes:
//!   branches:                                  # names and what each changes
//!     bn: {model.backbone.branches: [bn]}
//!     none: {model.backbone.branches: []}
//!   train.optimizer.lr: [0.005, 0.01, 0.02]    # a key and its values; each is its own name
//! ```

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_yaml::Value;

use super::overrides::{Named, OverrideMap};
use crate::config::node::{Node, Origin};

/// As a file has it: a list's values need the axis' name to become overrides.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a map of names and overrides, or a list of values of the key that the axis is called")]
enum Written {
    Names(Named<OverrideMap>),
    List(Vec<Value>),
}

/// All axes, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axes(pub Named<Named<OverrideMap>>);

impl<'de> Deserialize<'de> for Axes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Named::<Written>::deserialize(deserializer)?;
        let axes = written.0.into_iter().map(|(name, axis)| match axis {
            Written::Names(values) => Ok((name, values)),
            Written::List(values) => from_list(&name, values).map(|axis| (name, axis)),
        });
        axes.collect::<Result<_, String>>().map(|axes| Self(Named(axes))).map_err(D::Error::custom)
    }
}

/// Each value of the key `axis` under its own text.
fn from_list(axis: &str, values: Vec<Value>) -> Result<Named<OverrideMap>, String> {
    let mut named: Vec<(String, OverrideMap)> = Vec::with_capacity(values.len());
    for value in values {
        let name = match &value {
            Value::String(text) => text.clone(),
            value => Node::from_value(value.clone(), &Origin::Default)?.inline(),
        };
        if named.iter().any(|(other, _)| *other == name) {
            return Err(format!("axis {axis} has the value {name} twice"));
        }
        named.push((name, OverrideMap(vec![(axis.to_string(), value)])));
    }
    Ok(Named(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Axes, String> {
        serde_yaml::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn a_list_is_a_map_of_its_values() {
        let list = read("train.optimizer.lr: [0.005, 1e-2]\nmodel.backbone.branches: [[bn], []]").unwrap();
        let map = read(
            "train.optimizer.lr: {'0.005': {train.optimizer.lr: 0.005}, '0.01': {train.optimizer.lr: 0.01}}\n\
             model.backbone.branches: {'[bn]': {model.backbone.branches: [bn]}, '[]': {model.backbone.branches: []}}",
        )
        .unwrap();
        assert_eq!(list, map);
    }

    #[test]
    fn values_that_are_twice_are_named() {
        assert!(read("train.seed: [1, 2, 1]").unwrap_err().contains("axis train.seed has the value 1 twice"));
        assert!(read("train.seed: 3").unwrap_err().contains("a list of values"));
    }
}
