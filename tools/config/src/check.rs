//! The trait that every configuration struct implements.

use schemars::JsonSchema;
use serde::Serialize;

use crate::problem::{join, Problem, Problems};
use crate::schema::Schema;

/// A configuration struct.
///
/// Ranges of single numbers and lengths of lists stand in `schemars` attributes beside the fields; [`Check::rules`] adds what needs
/// more than one key. Both are reported together.
pub trait Check: Serialize + JsonSchema {
    /// Rules beyond the ranges. Structs that have parts pass the call on: `at.part("anchors", &self.anchors)`.
    fn rules(&self, at: &mut Checker) {
        let _ = at;
    }

    /// Checks ranges and rules; `key` is where the struct stands in its file (empty for the whole file).
    ///
    /// # Errors
    /// All problems at once.
    fn check(&self, key: &str) -> Result<(), Problems>
    where
        Self: Sized,
    {
        problems(self, &Schema::of::<Self>(), key)
    }
}

/// As [`Check::check`], with a schema that was made before.
///
/// # Errors
/// All problems at once.
pub fn problems<T: Check>(config: &T, schema: &Schema, key: &str) -> Result<(), Problems> {
    let mut at = Checker { path: key.to_string(), problems: Vec::new() };
    match serde_yaml::to_value(config) {
        Ok(value) => schema.outside(&value, key, &mut at.problems),
        Err(e) => at.problems.push(Problem { key: key.into(), found: e.to_string(), expected: "plain values".into() }),
    }
    config.rules(&mut at);
    match at.problems.is_empty() {
        true => Ok(()),
        false => Err(Problems(at.problems)),
    }
}

/// Collects problems; it is at the key of the struct that is checked.
#[derive(Debug)]
pub struct Checker {
    path: String,
    problems: Vec<Problem>,
}

impl Checker {
    /// The dotted key of a field of the struct that is checked.
    pub fn key(&self, field: &str) -> String {
        join(&self.path, field)
    }

    /// Records a problem with a field unless `ok`. Where its range is violated already, that problem is enough.
    pub fn require(&mut self, ok: bool, field: &str, found: impl ToString, expected: impl Into<String>) {
        let key = self.key(field);
        let item = |p: &Problem| {
            p.key.strip_prefix(&key).and_then(|rest| rest.strip_prefix('.')).is_some_and(|i| i.parse::<usize>().is_ok())
        };
        if !ok && !self.problems.iter().any(|p| p.key == key || item(p)) {
            self.problems.push(Problem { key, found: found.to_string(), expected: expected.into() });
        }
    }

    /// Requires `[low, high]` in this order.
    pub fn ordered(&mut self, field: &str, pair: [f64; 2]) {
        // Not a number compares as false, but its range has reported it.
        self.require(pair[0] <= pair[1], field, format!("[{}, {}]", pair[0], pair[1]), "[low, high]");
    }

    /// Checks the rules of a part that stands at `field`.
    pub fn part(&mut self, field: &str, part: &impl Check) {
        let inner = join(&self.path, field);
        let outer = std::mem::replace(&mut self.path, inner);
        part.rules(self);
        self.path = outer;
    }

    /// As [`Checker::part`], for a part that may be absent.
    pub fn optional(&mut self, field: &str, part: &Option<impl Check>) {
        if let Some(part) = part {
            self.part(field, part);
        }
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Serialize;

    use super::*;

    #[derive(Serialize, JsonSchema)]
    struct Crop {
        #[schemars(inner(range(min = 0.0, max = 1.0)))]
        scale: [f64; 2],
    }

    impl Check for Crop {
        fn rules(&self, at: &mut Checker) {
            at.ordered("scale", self.scale);
        }
    }

    /// A range that is violated by an item of a list is enough, too.
    #[test]
    fn an_item_out_of_range_is_one_problem() {
        let keys = |scale| Crop { scale }.check("").err().map(|p| p.0.iter().map(|p| p.key.clone()).collect::<Vec<_>>());
        assert_eq!(keys([2.0, 0.5]), Some(vec!["scale.0".into()]));
        assert_eq!(keys([0.9, 0.5]), Some(vec!["scale".into()]));
        assert_eq!(keys([0.5, 0.9]), None);
    }
}
