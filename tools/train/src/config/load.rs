//! Reads an experiment file with its bases and turns it into an [`Experiment`].

use std::path::{Component, Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_yaml::Value;

use super::de::{Fault, NodeReader};
use super::error::ConfigError;
use super::merge::{merge, Unused};
use super::node::{join, Kind, Node, Origin};
use super::overrides::Override;
use super::schema::{Experiment, HeadConfig};
use super::suggest;
use super::validate;

/// The key that names the files to inherit from.
const BASE: &str = "_base_";

/// An experiment and who set each of its values.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The typed experiment.
    pub experiment: Experiment,
    /// All its values, defaults included, with their origins.
    pub resolved: Node,
    /// The file it was read from.
    pub path: PathBuf,
}

impl Loaded {
    /// Reads `path`, merges its bases, applies `key=value` overrides in order, and checks the result.
    ///
    /// # Errors
    /// See [`ConfigError`]; every message names the key or the file.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut tree = read_tree(path)?;
        for argument in overrides {
            Override::parse(argument)?.apply(&mut tree)?;
        }
        Self::from_tree(tree, path)
    }

    /// From a tree that was read by [`read_tree`] and perhaps changed since.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn from_tree(tree: Node, path: &Path) -> Result<Self, ConfigError> {
        let experiment: Experiment = deserialize(&tree)?;
        validate::check(&experiment, &tree)?;
        let resolved = resolve(&experiment, &tree)?;
        Ok(Self { experiment, resolved, path: path.to_path_buf() })
    }

    /// Who set the value at a dotted key.
    pub fn origin(&self, key: &str) -> Origin {
        self.resolved.origin_of(key)
    }

    /// The run folder: `--run-dir`, else `run.dir`, else `runs/` and the experiment file's name.
    ///
    /// # Errors
    /// An environment variable in `run.dir` that is not set.
    pub fn run_dir(&self, argument: Option<&Path>) -> Result<PathBuf, ConfigError> {
        match (argument, &self.experiment.run.dir) {
            (Some(dir), _) => Ok(dir.to_path_buf()),
            (None, Some(dir)) => dir.resolve("run.dir"),
            (None, None) => Ok(Path::new("runs").join(self.path.file_stem().unwrap_or("run".as_ref()))),
        }
    }
}

/// Reads a file and merges it onto its bases, without reading anything into types.
///
/// Bases are read in order, relative to the file that names them; where two set the same key, the later one wins (and `config` shows
/// that it did). The file itself comes last.
///
/// # Errors
/// Files that are not there, YAML errors, circles.
pub fn read_tree(path: &Path) -> Result<Node, ConfigError> {
    read_with_bases(path, Unused::Drop, &mut Vec::new())
}

/// As [`read_tree`], for files that hold overrides of other files: a `_delete_` without anything to delete stays.
///
/// # Errors
/// As [`read_tree`].
pub fn read_tree_of_overrides(path: &Path) -> Result<Node, ConfigError> {
    read_with_bases(path, Unused::Keep, &mut Vec::new())
}

fn read_with_bases(path: &Path, unused: Unused, chain: &mut Vec<(PathBuf, PathBuf)>) -> Result<Node, ConfigError> {
    let parent = chain.last().map(|(shown, _)| shown.clone());
    let read_error = |source| ConfigError::Read { path: path.to_path_buf(), parent: parent.clone(), source };
    let real = path.canonicalize().map_err(&read_error)?;
    if let Some(start) = chain.iter().position(|(_, r)| *r == real) {
        let shown = chain[start..].iter().map(|(p, _)| p.display().to_string()).chain([path.display().to_string()]);
        return Err(ConfigError::Cycle { chain: shown.collect() });
    }
    let text = std::fs::read_to_string(path).map_err(&read_error)?;
    let mut own = parse(&text, path)?;
    let bases = take_bases(&mut own)?;
    chain.push((path.to_path_buf(), real));
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut tree = Node::empty(own.origin.clone());
    for base in bases {
        tree = merge(tree, read_with_bases(&tidy(&folder.join(base)), unused, chain)?, unused)?;
    }
    chain.pop();
    merge(tree, own, unused)
}

/// One file's YAML as a tree. An empty file is an empty map.
pub(crate) fn parse(text: &str, path: &Path) -> Result<Node, ConfigError> {
    let syntax = |message: String| ConfigError::Syntax { path: path.to_path_buf(), message };
    let mut value: Value = serde_yaml::from_str(text).map_err(|e| syntax(e.to_string()))?;
    value.apply_merge().map_err(|e| syntax(e.to_string()))?;
    let origin = Origin::File(path.display().to_string().into());
    let node = match value {
        Value::Null => Node::empty(origin),
        value => Node::from_value(value, &origin).map_err(syntax)?,
    };
    match node.kind {
        Kind::Map(_) => Ok(node),
        _ => Err(syntax(format!("expected keys and values, found {}", node.inline()))),
    }
}

fn take_bases(own: &mut Node) -> Result<Vec<String>, ConfigError> {
    let Kind::Map(entries) = &mut own.kind else { return Ok(Vec::new()) };
    let Some(at) = entries.iter().position(|(k, _)| k == BASE) else { return Ok(Vec::new()) };
    let (_, node) = entries.remove(at);
    let wrong = |node: &Node| ConfigError::Directive {
        origin: node.origin.clone(),
        key: BASE.into(),
        found: node.inline(),
        expected: "a file or a list of files",
    };
    let text = |node: &Node| match &node.kind {
        Kind::Scalar(Value::String(s)) => Ok(s.clone()),
        _ => Err(wrong(node)),
    };
    match &node.kind {
        Kind::List(items) => items.iter().map(text).collect(),
        _ => Ok(vec![text(&node)?]),
    }
}

/// `a/b/../c` to `a/c`, for messages; links are not looked at.
fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// Reads a tree into a type; errors name the dotted key and who set it.
///
/// # Errors
/// Unknown keys (with the nearest one), wrong types, missing keys.
pub fn deserialize<T: DeserializeOwned>(tree: &Node) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(NodeReader(tree)).map_err(|e| {
        let key = dotted(e.path());
        explain(tree, key, e.into_inner())
    })
}

/// serde's path in our form: `a.0.b`, where it writes `a[0].b`.
fn dotted(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |key, segment| match segment {
        Segment::Seq { index } => join(&key, &index.to_string()),
        Segment::Map { key: name } => join(&key, name),
        Segment::Enum { .. } | Segment::Unknown => key,
    })
}

fn explain(tree: &Node, key: String, fault: Fault) -> ConfigError {
    let origin = tree.origin_of(&key);
    match fault {
        Fault::UnknownField(field, expected) => {
            // The path ends with the unknown key itself, or with the map that holds it.
            let parent = key.strip_suffix(&field).map_or(key.as_str(), |k| k.trim_end_matches('.'));
            let full = join(parent, &field);
            let hint = unknown_key_hint(tree, parent, &field, expected);
            ConfigError::UnknownKey { origin: tree.origin_of(&full), key: full, hint }
        }
        Fault::UnknownVariant(found, expected) => {
            let hint =
                suggest::nearest(&found, expected.iter().copied()).map_or(String::new(), |n| format!("; did you mean {n}?"));
            ConfigError::Value {
                key,
                found: format!("'{found}'"),
                expected: format!("one of {}{hint}", expected.join(", ")),
                origin,
            }
        }
        Fault::Type(found, expected) => ConfigError::Value { key, found, expected, origin },
        Fault::Missing(field) => {
            let full = join(&key, field);
            let expected =
                if full == "model.head.name" { format!("one of {}", HeadConfig::names().join(", ")) } else { "a value".into() };
            ConfigError::Missing { key: full, expected }
        }
        Fault::Other(message) => ConfigError::Value { key, found: message, expected: "a valid value".into(), origin },
    }
}

/// What to say about an unknown key: the nearest one beside it, the `name` that left it behind, the place where it would be right
/// (`lr` for `train.optimizer.lr`), or the keys that there are.
fn unknown_key_hint(tree: &Node, parent: &str, field: &str, expected: &[&str]) -> String {
    let named = tree.at(&join(parent, "name"));
    let siblings = expected.iter().copied().chain(named.map(|_| "name"));
    if let Some(near) = suggest::nearest(field, siblings) {
        return format!("; did you mean {}?", join(parent, near));
    }
    let origin = tree.origin_of(&join(parent, field));
    if let Some(name) = named.filter(|n| n.origin != origin && origin != Origin::CommandLine) {
        return format!(
            "; {parent}.name is {} ({}), which has no such key: write `_delete_: true` beside that name to drop what was inherited",
            name.inline(),
            name.origin
        );
    }
    let all = serde_yaml::to_value(Experiment::default()).ok().and_then(|v| Node::from_value(v, &Origin::Default).ok());
    let leaves = all.as_ref().map_or(Vec::new(), Node::leaves);
    let elsewhere: Vec<&str> = leaves.iter().map(|(k, _)| k.as_str()).filter(|k| k.rsplit('.').next() == Some(field)).collect();
    match elsewhere.as_slice() {
        [] => suggest::hint(field, expected),
        keys => format!("; did you mean {}?", keys.join(" or ")),
    }
}

/// All values of the experiment, defaults included; origins are taken from `tree` where it has the value.
fn resolve(experiment: &Experiment, tree: &Node) -> Result<Node, ConfigError> {
    let fail = |found: String| ConfigError::Value {
        key: "experiment".into(),
        found,
        expected: "a tree of plain values".into(),
        origin: Origin::Default,
    };
    let value = serde_yaml::to_value(experiment).map_err(|e| fail(e.to_string()))?;
    let mut node = Node::from_value(value, &Origin::Default).map_err(fail)?;
    take_origins(&mut node, tree);
    Ok(node)
}

fn take_origins(node: &mut Node, from: &Node) {
    node.origin = from.origin.clone();
    match (&mut node.kind, &from.kind) {
        (Kind::Map(entries), Kind::Map(_)) => {
            for (key, child) in entries {
                if let Some(source) = from.get(key) {
                    take_origins(child, source);
                }
            }
        }
        (Kind::List(items), Kind::List(sources)) if items.len() == sources.len() => {
            for (item, source) in items.iter_mut().zip(sources) {
                take_origins(item, source);
            }
        }
        _ => {}
    }
}
