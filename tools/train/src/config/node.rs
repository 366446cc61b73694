//! A YAML tree that records for each value who set it.

use std::fmt;
use std::sync::Arc;

use serde_yaml::Value;

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody: it is the default.
    Default,
    /// An experiment file.
    File(Arc<str>),
    /// A `key=value` argument.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(path),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Null, a boolean, a number or a string.
    Scalar(Value),
    /// Items in order.
    List(Vec<Node>),
    /// Entries in the order of the file.
    Map(Vec<(String, Node)>),
}

/// A value and who set it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it holds.
    pub kind: Kind,
    /// Who set it.
    pub origin: Origin,
}

impl Node {
    /// An empty map.
    pub fn empty(origin: Origin) -> Self {
        Self { kind: Kind::Map(Vec::new()), origin }
    }

    /// A tree whose every value has the same origin.
    ///
    /// # Errors
    /// A tag (`!name`) or a key that is no scalar; the text names it.
    pub fn from_value(value: Value, origin: &Origin) -> Result<Self, String> {
        let kind = match value {
            Value::Sequence(items) => {
                Kind::List(items.into_iter().map(|v| Self::from_value(v, origin)).collect::<Result<_, _>>()?)
            }
            Value::Mapping(map) => {
                let mut entries = Vec::with_capacity(map.len());
                for (key, value) in map {
                    let node = Self::from_value(value, origin)?;
                    entries.push((key_text(key)?, node));
                }
                Kind::Map(entries)
            }
            Value::Tagged(tagged) => return Err(format!("tag {} is not supported", tagged.tag)),
            scalar => Kind::Scalar(scalar),
        };
        Ok(Self { kind, origin: origin.clone() })
    }

    /// The tree without origins.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => Value::Sequence(items.iter().map(Self::to_value).collect()),
            Kind::Map(entries) => Value::Mapping(entries.iter().map(|(k, n)| (Value::String(k.clone()), n.to_value())).collect()),
        }
    }

    /// The entry of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, n)| n),
            _ => None,
        }
    }

    /// The node at a dotted key, or `None`. Numbers index lists.
    pub fn at(&self, dotted: &str) -> Option<&Node> {
        let mut node = self;
        for part in dotted.split('.').filter(|p| !p.is_empty()) {
            node = match &node.kind {
                Kind::Map(_) => node.get(part)?,
                Kind::List(items) => items.get(part.parse::<usize>().ok()?)?,
                Kind::Scalar(_) => return None,
            };
        }
        Some(node)
    }

    /// Who set the value at a dotted key: the deepest node on the way there that exists.
    pub fn origin_of(&self, dotted: &str) -> Origin {
        let mut key = dotted;
        loop {
            if let Some(node) = self.at(key) {
                return node.origin.clone();
            }
            match key.rfind('.') {
                Some(dot) => key = &key[..dot],
                None => return self.origin.clone(),
            }
        }
    }

    /// Dotted keys of all values below, lists counted as one value.
    pub fn leaves(&self) -> Vec<(String, &Node)> {
        fn walk<'a>(node: &'a Node, path: &str, out: &mut Vec<(String, &'a Node)>) {
            match &node.kind {
                Kind::Map(entries) if !entries.is_empty() => {
                    for (key, child) in entries {
                        walk(child, &join(path, key), out);
                    }
                }
                _ => out.push((path.to_string(), node)),
            }
        }
        let mut out = Vec::new();
        walk(self, "", &mut out);
        out
    }

    /// One line of YAML (flow style), for messages and comments.
    pub fn inline(&self) -> String {
        match &self.kind {
            Kind::Scalar(value) => scalar_text(value),
            Kind::List(items) => format!("[{}]", items.iter().map(Self::inline).collect::<Vec<_>>().join(", ")),
            Kind::Map(entries) => {
                format!("{{{}}}", entries.iter().map(|(k, n)| format!("{k}: {}", n.inline())).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// Longest text that a message repeats.
const BRIEF: usize = 120;

/// A text for a message: cut where it is long, control characters escaped.
pub fn brief(text: &str) -> String {
    let mut out = String::new();
    for (i, c) in text.chars().enumerate() {
        match c {
            _ if i == BRIEF => return out + "…",
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// `a` and `b` to `a.b`.
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_string()
    } else {
        format!("{path}.{key}")
    }
}

/// A scalar as YAML writes it, safe inside flow style too.
pub fn scalar_text(value: &Value) -> String {
    let text = serde_yaml::to_string(value).unwrap_or_default();
    let text = text.trim_end_matches('\n');
    match value {
        // Block scalars (several lines) and characters that mean something within [] and {} are written with double quotes, which
        // JSON and YAML share.
        Value::String(s)
            if text.contains('\n') || (!text.starts_with(['\'', '"']) && s.contains([',', '[', ']', '{', '}', '#'])) =>
        {
            serde_json::to_string(s).unwrap_or_default()
        }
        _ => text.to_string(),
    }
}

fn key_text(key: Value) -> Result<String, String> {
    match key {
        Value::String(s) => Ok(s),
        Value::Number(n) => Ok(n.to_string()),
        Value::Bool(b) => Ok(b.to_string()),
        other => Err(format!("a key must be a word, found {}", serde_yaml::to_string(&other).unwrap_or_default().trim())),
    }
}
