//! What a number or a list may be: the test and the words for it, from one place.

use serde_json::{Map, Value};

/// The bounds that a schema sets to a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    whole: bool,
    least: Option<Bound>,
    most: Option<Bound>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound {
    value: f64,
    /// Whether the bound itself is out.
    open: bool,
}

impl Range {
    /// The range of a number's schema; `None` for schemas of other types.
    pub fn of(schema: &Map<String, Value>) -> Option<Self> {
        let whole = match type_of(schema)? {
            "integer" => true,
            "number" => false,
            _ => return None,
        };
        let bound = |closed: &str, open: &str| {
            let read = |key: &str, open| schema.get(key).and_then(Value::as_f64).map(|value| Bound { value, open });
            read(open, true).or_else(|| read(closed, false))
        };
        Some(Self { whole, least: bound("minimum", "exclusiveMinimum"), most: bound("maximum", "exclusiveMaximum") })
    }

    /// Whether a number lies inside. What is not finite lies outside of every range.
    pub fn contains(&self, value: f64) -> bool {
        let above = self.least.is_none_or(|b| if b.open { value > b.value } else { value >= b.value });
        let below = self.most.is_none_or(|b| if b.open { value < b.value } else { value <= b.value });
        value.is_finite() && above && below
    }

    /// For tables: `from 0 to 1`, `above 0`, `1 or more`; empty where there are no bounds.
    pub fn words(&self) -> String {
        match (self.least, self.most) {
            (None, None) => String::new(),
            (Some(least), None) if least.open => format!("above {}", number(least.value)),
            (Some(least), None) => format!("{} or more", number(least.value)),
            (None, Some(most)) if most.open => format!("below {}", number(most.value)),
            (None, Some(most)) => format!("at most {}", number(most.value)),
            (Some(least), Some(most)) => {
                let from = if least.open { "above" } else { "from" };
                let to = if most.open { "to below" } else { "to" };
                format!("{from} {} {to} {}", number(least.value), number(most.value))
            }
        }
    }

    /// For messages: `a whole number, 1 or more`.
    pub fn expected(&self) -> String {
        let noun = if self.whole { "a whole number" } else { "a number" };
        match self.words() {
            words if words.is_empty() => noun.to_string(),
            words if words.ends_with("or more") => format!("{noun}, {words}"),
            words => format!("{noun} {words}"),
        }
    }
}

/// The type in a schema, null aside.
pub(crate) fn type_of(schema: &Map<String, Value>) -> Option<&str> {
    match schema.get("type")? {
        Value::String(one) => Some(one),
        Value::Array(several) => several.iter().filter_map(Value::as_str).find(|t| *t != "null"),
        _ => None,
    }
}

/// A bound as people write it.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        small if small > 0.0 && small < 1e-4 => format!("{value:e}"),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(schema: Value) -> Range {
        Range::of(schema.as_object().expect("an object")).expect("a number")
    }

    #[test]
    fn bounds_as_tests_and_as_words() {
        for (schema, inside, outside, words) in [
            (serde_json::json!({"type": "number", "minimum": 0, "maximum": 1}), [0.0, 1.0], [-0.1, 1.1], "a number from 0 to 1"),
            (
                serde_json::json!({"type": "number", "minimum": 0, "exclusiveMaximum": 1}),
                [0.0, 0.99],
                [-0.1, 1.0],
                "a number from 0 to below 1",
            ),
            (serde_json::json!({"type": "number", "exclusiveMinimum": 0}), [1e-9, 1e9], [0.0, f64::NAN], "a number above 0"),
            (
                serde_json::json!({"type": ["integer", "null"], "minimum": 1, "format": "uint"}),
                [1.0, 1e9],
                [0.0, f64::INFINITY],
                "a whole number, 1 or more",
            ),
            (
                serde_json::json!({"type": "number", "minimum": 1e-9, "maximum": 0.5}),
                [1e-9, 0.5],
                [0.0, 0.6],
                "a number from 1e-9 to 0.5",
            ),
            (serde_json::json!({"type": "number"}), [-1e9, 1e9], [f64::NAN, f64::INFINITY], "a number"),
        ] {
            let range = range(schema);
            assert!(inside.iter().all(|v| range.contains(*v)), "{words}");
            assert!(!outside.iter().any(|v| range.contains(*v)), "{words}");
            assert_eq!(range.expected(), words);
        }
    }
}
