//! What differs between two resolved configurations.

use super::node::{join, Kind, Node};

/// One key with different values. `None`: the key is not there.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Dotted key.
    pub key: String,
    /// Value and origin on the left.
    pub left: Option<(String, String)>,
    /// Value and origin on the right.
    pub right: Option<(String, String)>,
}

/// All keys whose values differ, in the order of the left tree, then those that only the right one has. Where one side has a map and
/// the other has not (`train.ema: null`), the whole map is one difference.
pub fn diff(left: &Node, right: &Node) -> Vec<Difference> {
    let mut out = Vec::new();
    walk("", Some(left), Some(right), &mut out);
    out
}

fn walk(key: &str, left: Option<&Node>, right: Option<&Node>, out: &mut Vec<Difference>) {
    if let (Some(Kind::Map(a)), Some(Kind::Map(b))) = (left.map(|n| &n.kind), right.map(|n| &n.kind)) {
        let only_right = b.iter().filter(|(k, _)| !a.iter().any(|(other, _)| other == k));
        for (name, _) in a.iter().chain(only_right) {
            walk(&join(key, name), left.and_then(|n| n.get(name)), right.and_then(|n| n.get(name)), out);
        }
    } else if left.map(Node::to_value) != right.map(Node::to_value) {
        let side = |node: &Node| (node.inline(), node.origin.to_string());
        out.push(Difference { key: key.to_string(), left: left.map(side), right: right.map(side) });
    }
}

/// The differences as text, three lines a key.
pub fn to_text(differences: &[Difference]) -> String {
    let side = |sign: char, side: &Option<(String, String)>| match side {
        Some((value, origin)) => format!("  {sign} {value:<40} # {origin}\n"),
        None => format!("  {sign} (not there)\n"),
    };
    differences.iter().map(|d| format!("{}\n{}{}", d.key, side('-', &d.left), side('+', &d.right))).collect()
}
