//! `key=value` arguments: `train.optimizer.lr=0.02`, `train.schedule.milestones.0=6`, `model.head={_delete_: true, name: mask_rcnn}`.

use serde_yaml::Value;

use super::error::ConfigError;
use super::merge::{merge_at, Unused};
use super::node::{brief, join, Kind, Node, Origin};

/// A parsed argument.
#[derive(Clone, Debug)]
pub struct Override {
    argument: String,
    key: Vec<String>,
    value: Node,
}

/// True for arguments that look like `key=value` (a file name with `=` in it can be written `./a=b.yaml`).
pub fn is_override(argument: &str) -> bool {
    argument.split_once('=').is_some_and(|(key, _)| {
        key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
    })
}

impl Override {
    /// Splits at the first `=`; the value is YAML.
    ///
    /// # Errors
    /// No `=`, an empty part of the key, or a value that is no YAML.
    pub fn parse(argument: &str) -> Result<Self, ConfigError> {
        let fail = |reason: String| ConfigError::Override { argument: brief(argument), reason };
        let (key, text) = argument.split_once('=').ok_or_else(|| fail("expected key=value".into()))?;
        let value: Value = serde_yaml::from_str(text).map_err(|e| fail(format!("the value is no YAML: {e}")))?;
        Self::new(argument, key.trim(), value, Origin::CommandLine)
    }

    /// An override that comes from a file (a sweep's), whose value was parsed already.
    ///
    /// # Errors
    /// An empty part of the key.
    pub fn from_value(key: &str, value: Value, origin: Origin) -> Result<Self, ConfigError> {
        Self::new(key, key, value, origin)
    }

    fn new(argument: &str, key: &str, value: Value, origin: Origin) -> Result<Self, ConfigError> {
        let fail = |reason: String| ConfigError::Override { argument: brief(argument), reason };
        let key: Vec<String> = key.split('.').map(str::to_string).collect();
        if key.iter().any(String::is_empty) {
            return Err(fail("the key has an empty part; expected names joined by dots".into()));
        }
        let value = Node::from_value(value, &origin).map_err(fail)?;
        Ok(Self { argument: argument.to_string(), key, value })
    }

    /// Sets the value in `tree`; maps merge as files do.
    ///
    /// # Errors
    /// An index outside a list, or a key below a value that is no map.
    pub fn apply(&self, tree: &mut Node) -> Result<(), ConfigError> {
        self.set(tree, "", &self.key)
    }

    fn set(&self, node: &mut Node, path: &str, rest: &[String]) -> Result<(), ConfigError> {
        let Some((key, rest)) = rest.split_first() else {
            let base = std::mem::replace(node, Node::empty(self.value.origin.clone()));
            *node = merge_at(path, Some(base), self.value.clone(), Unused::Drop)?;
            return Ok(());
        };
        let fail = |reason: String| ConfigError::Override { argument: brief(&self.argument), reason };
        if matches!(node.kind, Kind::Scalar(Value::Null)) {
            *node = Node::empty(self.value.origin.clone());
        }
        let child = join(path, key);
        match &mut node.kind {
            Kind::Map(entries) => {
                let at = entries.iter().position(|(k, _)| k == key).unwrap_or_else(|| {
                    entries.push((key.clone(), Node { kind: Kind::Scalar(Value::Null), origin: self.value.origin.clone() }));
                    entries.len() - 1
                });
                self.set(&mut entries[at].1, &child, rest)
            }
            Kind::List(items) => {
                let len = items.len();
                match key.parse::<usize>().ok().and_then(|i| items.get_mut(i)) {
                    Some(item) => self.set(item, &child, rest),
                    None => Err(fail(format!(
                        "{path} is a list of {len}; expected an index from 0 to {}, found {key}",
                        len.saturating_sub(1)
                    ))),
                }
            }
            Kind::Scalar(_) => Err(fail(format!("{path} holds {}, which has no key {key}", brief(&node.inline())))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(base: &str, arguments: &[&str]) -> Result<Node, ConfigError> {
        let mut tree = Node::from_value(serde_yaml::from_str(base).unwrap(), &Origin::File("f".into())).unwrap();
        for a in arguments {
            Override::parse(a)?.apply(&mut tree)?;
        }
        Ok(tree)
    }

    #[test]
    fn scalars_lists_and_new_keys() {
        let t = applied("a: {b: [{c: 1}, {c: 2}]}", &["a.b.1.c=1e-3", "a.n.m=[1, 2]", "a.s=x=y", "a.e="]).unwrap();
        assert_eq!(t.inline(), "{a: {b: [{c: 1}, {c: 0.001}], n: {m: [1, 2]}, s: x=y, e: null}}");
        assert_eq!(t.origin_of("a.b.1.c"), Origin::CommandLine);
        assert_eq!(t.origin_of("a.b.0.c"), Origin::File("f".into()));
    }

    #[test]
    fn maps_merge_or_replace() {
        assert_eq!(applied("a: {x: 1}", &["a={y: 2}"]).unwrap().inline(), "{a: {x: 1, y: 2}}");
        assert_eq!(applied("a: {x: 1}", &["a={_delete_: true, y: 2}"]).unwrap().inline(), "{a: {y: 2}}");
        assert_eq!(applied("a: null", &["a.x=1"]).unwrap().inline(), "{a: {x: 1}}");
    }

    #[test]
    fn mistakes_are_told() {
        for (argument, text) in [
            ("a.b.2=1", "override 'a.b.2=1': a.b is a list of 2; expected an index from 0 to 1, found 2"),
            ("a.b.x=1", "override 'a.b.x=1': a.b is a list of 2; expected an index from 0 to 1, found x"),
            ("a.s.t=1", "override 'a.s.t=1': a.s holds 5, which has no key t"),
            ("a", "override 'a': expected key=value"),
            ("a..b=1", "override 'a..b=1': the key has an empty part; expected names joined by dots"),
        ] {
            assert_eq!(applied("a: {b: [1, 2], s: 5}", &[argument]).unwrap_err().to_string(), text);
        }
        let e = applied("a: 1", &["a=[1"]).unwrap_err().to_string();
        assert!(e.starts_with("override 'a=[1': the value is no YAML: "), "{e}");
    }

    #[test]
    fn files_and_overrides_are_told_apart() {
        assert!(is_override("train.epochs=3"));
        assert!(!is_override("experiments/demo.yaml"));
        assert!(!is_override("./a=b.yaml"));
        assert!(!is_override("runs/a=b/config.yaml"));
    }
}
