//! Deep merge of two trees: mmdetection's rule.
//!
//! Maps merge key by key, everything else (lists too) is replaced. A map with `_delete_: true` replaces the inherited map instead of
//! merging into it.

use std::collections::HashMap;

use serde_yaml::Value;

use super::error::ConfigError;
use super::node::{join, Kind, Node};

/// The key that drops what is inherited.
pub const DELETE: &str = "_delete_";

/// What becomes of a `_delete_` that has nothing to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// It is dropped: the usual case.
    Drop,
    /// It stays. A sweep file's overrides are merged into an experiment later, and there it is meant.
    Keep,
}

/// `over` on top of `base`.
///
/// # Errors
/// A `_delete_` that is no boolean.
pub fn merge(base: Node, over: Node, unused: Unused) -> Result<Node, ConfigError> {
    merge_at("", Some(base), over, unused)
}

/// As [`merge`], for trees that hang at the dotted key `path`.
pub(super) fn merge_at(path: &str, base: Option<Node>, over: Node, unused: Unused) -> Result<Node, ConfigError> {
    let Node { kind, origin } = over;
    let Kind::Map(mut entries) = kind else {
        return Ok(Node { kind, origin });
    };
    let delete = take_delete(path, &mut entries)?;
    let kept = delete.clone().filter(|_| base.is_none() && unused == Unused::Keep);
    let inherited = match base {
        Some(Node { kind: Kind::Map(inherited), .. }) if delete.is_none() => inherited,
        _ => Vec::new(),
    };
    let mut merged: Vec<(String, Option<Node>)> = inherited.into_iter().map(|(k, n)| (k, Some(n))).collect();
    // Only inherited keys can be met again: a map has each key once.
    let places: HashMap<String, usize> = merged.iter().enumerate().map(|(i, (key, _))| (key.clone(), i)).collect();
    for (key, node) in entries {
        let child = join(path, &key);
        match places.get(&key) {
            Some(&at) => merged[at].1 = Some(merge_at(&child, merged[at].1.take(), node, unused)?),
            None => merged.push((key, Some(merge_at(&child, None, node, unused)?))),
        }
    }
    merged.extend(kept.map(|node| (DELETE.to_string(), Some(node))));
    let entries = merged.into_iter().filter_map(|(k, n)| n.map(|n| (k, n))).collect();
    Ok(Node { kind: Kind::Map(entries), origin })
}

/// Takes `_delete_` out of a map; it is returned where it is true.
fn take_delete(path: &str, entries: &mut Vec<(String, Node)>) -> Result<Option<Node>, ConfigError> {
    let Some(at) = entries.iter().position(|(k, _)| k == DELETE) else {
        return Ok(None);
    };
    let (_, node) = entries.remove(at);
    match node.kind {
        Kind::Scalar(Value::Bool(delete)) => Ok(delete.then_some(node)),
        _ => Err(ConfigError::Directive {
            found: node.inline(),
            origin: node.origin,
            key: join(path, DELETE),
            expected: "true or false",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::Origin;
    use super::*;

    fn node(text: &str, file: &str) -> Node {
        Node::from_value(serde_yaml::from_str(text).unwrap(), &Origin::File(file.into())).unwrap()
    }

    fn merged(base: &str, over: &str) -> Node {
        merge(node(base, "base"), node(over, "over"), Unused::Drop).unwrap()
    }

    #[test]
    fn maps_merge_and_lists_are_replaced() {
        let m = merged("a: {x: 1, y: [1, 2, 3]}\nb: 2", "a: {y: [9], z: 3}");
        assert_eq!(m.inline(), "{a: {x: 1, y: [9], z: 3}, b: 2}");
    }

    #[test]
    fn origins_follow_the_values() {
        let m = merged("a: {x: 1, y: 2}", "a: {y: 3}");
        assert_eq!(m.origin_of("a.x").to_string(), "base");
        assert_eq!(m.origin_of("a.y").to_string(), "over");
    }

    #[test]
    fn delete_drops_inherited_siblings_only_where_it_stands() {
        let m = merged("a: {x: 1, y: {p: 1}}\nb: {q: 1}", "a: {_delete_: true, y: {r: 2}}\nb: {s: 2}");
        assert_eq!(m.inline(), "{a: {y: {r: 2}}, b: {q: 1, s: 2}}");
    }

    #[test]
    fn delete_false_merges_and_leaves_no_trace() {
        assert_eq!(merged("a: {x: 1}", "a: {_delete_: false, y: 2}").inline(), "{a: {x: 1, y: 2}}");
        assert_eq!(merged("{}", "a: {_delete_: true, y: 2}").inline(), "{a: {y: 2}}");
    }

    #[test]
    fn an_unused_delete_can_be_kept_for_later() {
        let over = "a: {_delete_: true, y: 2}\nb: {_delete_: true, z: 3}";
        let m = merge(node("b: {x: 1}", "base"), node(over, "over"), Unused::Keep).unwrap();
        assert_eq!(m.inline(), "{b: {z: 3}, a: {y: 2, _delete_: true}}");
    }

    #[test]
    fn null_and_maps_replace_each_other() {
        assert_eq!(merged("a: {x: 1}", "a: null").inline(), "{a: null}");
        assert_eq!(merged("a: null", "a: {x: 1}").inline(), "{a: {x: 1}}");
    }

    #[test]
    fn delete_must_be_a_boolean() {
        let e = merge(node("a: 1", "base"), node("b: {_delete_: maybe}", "over"), Unused::Drop).unwrap_err();
        assert_eq!(e.to_string(), "over: b._delete_: found maybe, expected true or false");
    }
}
