//! The JSON schema of a configuration struct, and what in a value lies outside it.
//!
//! Types and unknown keys are the deserializer's business; only ranges of numbers and lengths of lists are looked at here.

use schemars::JsonSchema;
use serde_json::{Map, Value};
use serde_yaml::Value as Yaml;

use crate::problem::{join, Problem};
use crate::range::Range;

/// The schema of a struct with all its parts.
#[derive(Clone, Debug)]
pub struct Schema {
    root: Value,
}

impl Schema {
    /// The schema of `T`.
    pub fn of<T: JsonSchema>() -> Self {
        Self { root: schemars::schema_for!(T).to_value() }
    }

    /// The schema as JSON (draft 2020-12).
    pub fn json(&self) -> &Value {
        &self.root
    }

    /// The schema with the values that the text at `key` may have, where they are known only while the program runs. A key that does not exist
    /// changes nothing.
    #[must_use]
    pub fn with_values(mut self, key: &str, values: &[&str]) -> Self {
        let mut pointer = String::new();
        for field in key.split('.') {
            let target = self.root.pointer(&pointer).and_then(|schema| schema.get("$ref")).and_then(Value::as_str);
            if let Some(target) = target.and_then(|r| r.strip_prefix('#')) {
                pointer = target.to_string();
            }
            pointer = format!("{pointer}/properties/{field}");
        }
        if let Some(Value::Object(schema)) = self.root.pointer_mut(&pointer) {
            schema.insert("enum".into(), values.into());
        }
        self
    }

    pub(crate) fn root(&self) -> Option<&Map<String, Value>> {
        self.root.as_object()
    }

    /// The definition that a schema refers to, or the schema itself.
    pub(crate) fn resolve<'a>(&'a self, schema: &'a Map<String, Value>) -> &'a Map<String, Value> {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
        target.and_then(|pointer| self.root.pointer(pointer)).and_then(Value::as_object).unwrap_or(schema)
    }

    /// The alternatives of a schema, null aside.
    pub(crate) fn alternatives<'a>(&'a self, schema: &'a Map<String, Value>) -> Vec<&'a Map<String, Value>> {
        let list = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)).and_then(Value::as_array);
        let objects = list.into_iter().flatten().filter_map(Value::as_object);
        objects.filter(|s| s.get("type").and_then(Value::as_str) != Some("null")).map(|s| self.resolve(s)).collect()
    }

    /// Adds a problem for every number and list of `value` that lies outside the schema; `key` is put before the keys.
    pub fn outside(&self, value: &Yaml, key: &str, problems: &mut Vec<Problem>) {
        if let Some(root) = self.root() {
            self.walk(root, value, key, problems);
        }
    }

    fn walk(&self, schema: &Map<String, Value>, value: &Yaml, key: &str, problems: &mut Vec<Problem>) {
        // A description beside a reference does not hide what else stands there, so both are looked at.
        let target = self.resolve(schema);
        match value {
            Yaml::Mapping(entries) => {
                let object = self.alternatives(target).into_iter().find(|s| names(s, value)).unwrap_or(target);
                let properties = object.get("properties").and_then(Value::as_object);
                for (name, inner) in entries {
                    let Some(name) = name.as_str() else { continue };
                    if let Some(schema) = properties.and_then(|p| p.get(name)).and_then(Value::as_object) {
                        self.walk(schema, inner, &join(key, name), problems);
                    }
                }
            }
            Yaml::Sequence(items) => {
                if let Some(expected) = wrong_length(target, items.len()) {
                    problems.push(Problem { key: key.into(), found: format!("a list of {}", items.len()), expected });
                }
                if let Some(schema) = target.get("items").and_then(Value::as_object) {
                    for (i, item) in items.iter().enumerate() {
                        self.walk(schema, item, &join(key, &i.to_string()), problems);
                    }
                }
            }
            Yaml::Number(number) => {
                let value = number.as_f64().unwrap_or(f64::NAN);
                if let Some(range) = Range::of(target).filter(|r| !r.contains(value)) {
                    problems.push(Problem { key: key.into(), found: value.to_string(), expected: range.expected() });
                }
            }
            _ => {}
        }
    }
}

/// Whether an alternative is meant by a map: it has no name, or the map's.
fn names(schema: &Map<String, Value>, value: &Yaml) -> bool {
    let name = schema.get("properties").and_then(|p| p.pointer("/name/const")).and_then(Value::as_str);
    name.is_none_or(|name| value.get("name").and_then(Yaml::as_str) == Some(name))
}

fn wrong_length(schema: &Map<String, Value>, length: usize) -> Option<String> {
    let read = |key: &str| schema.get(key).and_then(Value::as_u64).map(|n| n as usize);
    let (least, most) = (read("minItems").unwrap_or(0), read("maxItems").unwrap_or(usize::MAX));
    match length {
        _ if (least..=most).contains(&length) => None,
        _ if most == usize::MAX => Some(format!("a list of {least} or more")),
        _ if least == most => Some(format!("a list of {least}")),
        _ => Some(format!("a list of {least} to {most}")),
    }
}

/// For `#[schemars(transform = …)]`: the numbers of a list (of lists) have to be above 0.
pub fn items_above_zero(schema: &mut schemars::Schema) {
    let mut inner = schema.as_object_mut();
    while let Some(object) = inner {
        if matches!(object.get("type").and_then(Value::as_str), Some("number" | "integer")) {
            object.remove("minimum");
            object.insert("exclusiveMinimum".into(), 0.into());
            return;
        }
        inner = object.get_mut("items").and_then(Value::as_object_mut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Outer {
        /// What it holds.
        inner: Inner,
    }

    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Inner {
        name: String,
    }

    #[test]
    fn values_are_listed_at_a_key_below_references() {
        let schema = Schema::of::<Outer>().with_values("inner.name", &["a", "b"]).with_values("inner.nothing.there", &["c"]);
        let key = &schema.sections()[1].keys[0];
        let values: Vec<&str> = key.values.iter().map(|(value, _)| value.as_str()).collect();
        assert_eq!((key.path.as_str(), key.kind.as_str(), values), ("inner.name", "one of", vec!["a", "b"]));
    }
}
