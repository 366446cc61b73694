//! Reads an experiment file with its bases and turns it into an [`Experiment`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_yaml::Value;

use super::built_in;
use super::de::{Fault, NodeReader};
use super::error::ConfigError;
use super::merge::{merge, Unused};
use super::node::{brief, join, Kind, Node, Origin};
use super::overrides::Override;
use super::schema::{Experiment, HeadConfig, TrainConfig};
use super::source::Source;
use super::suggest;
use super::validate;

/// The key that may be [`AUTO`].
const BATCH_SIZE: &str = "train.batch_size";
const AUTO: &str = "auto";

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
    /// `train.batch_size` is `auto`: the number that stands there is to be replaced before the run ([`crate::auto_batch`]).
    pub auto_batch: bool,
}

impl Loaded {
    /// Reads `path`, merges its bases, applies `key=value` overrides in order, and checks the result.
    ///
    /// # Errors
    /// See [`ConfigError`]; every message names the key or the file.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let (path, mut tree) = read_with_bases(path, Unused::Drop)?;
        for argument in overrides {
            Override::parse(argument)?.apply(&mut tree)?;
        }
        Self::from_tree(tree, &path)
    }

    /// The defaults, with overrides.
    ///
    /// # Errors
    /// As [`Loaded::read`].
    pub fn defaults(overrides: &[String]) -> Result<Self, ConfigError> {
        let mut tree = Node::empty(Origin::Default);
        for argument in overrides {
            Override::parse(argument)?.apply(&mut tree)?;
        }
        // A head's keys need its name.
        if tree.at("model.head").is_some() && tree.at("model.head.name").is_none() {
            let name = HeadConfig::default().name();
            Override::from_value("model.head.name", name.into(), Origin::Default)?.apply(&mut tree)?;
        }
        Self::from_tree(tree, Path::new("defaults"))
    }

    /// Parses the text of an experiment, which has no bases, and applies overrides. `path` is where it came from, for messages.
    ///
    /// # Errors
    /// As [`Loaded::read`].
    pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut tree = parse(text, path)?;
        for argument in overrides {
            Override::parse(argument)?.apply(&mut tree)?;
        }
        Self::from_tree(tree, path)
    }

    /// From a tree that was read by [`read_tree`] and perhaps changed since.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn from_tree(mut tree: Node, path: &Path) -> Result<Self, ConfigError> {
        let auto = |node: &Node| matches!(&node.kind, Kind::Scalar(Value::String(text)) if text == AUTO);
        let auto_batch = tree.at(BATCH_SIZE).is_some_and(auto);
        if auto_batch {
            let stands_in = TrainConfig::default().batch_size as u64;
            Override::from_value(BATCH_SIZE, stands_in.into(), tree.origin_of(BATCH_SIZE))?.apply(&mut tree)?;
        }
        let experiment: Experiment = deserialize(&tree)?;
        validate::check(&experiment, &tree)?;
        let resolved = resolve(&experiment, &tree)?;
        Ok(Self { experiment, resolved, path: path.to_path_buf(), auto_batch })
    }

    /// The same with another batch size.
    ///
    /// # Errors
    /// A number that is refused.
    pub fn with_batch_size(&self, images: usize) -> Result<Self, ConfigError> {
        let mut tree = self.resolved.clone();
        Override::from_value(BATCH_SIZE, (images as u64).into(), self.resolved.origin_of(BATCH_SIZE))?.apply(&mut tree)?;
        Self::from_tree(tree, &self.path)
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
    Ok(read_with_bases(path, Unused::Drop)?.1)
}

/// As [`read_tree`], for files that hold overrides of other files: a `_delete_` without anything to delete stays.
///
/// # Errors
/// As [`read_tree`].
pub fn read_tree_of_overrides(path: &Path) -> Result<Node, ConfigError> {
    Ok(read_with_bases(path, Unused::Keep)?.1)
}

/// Reads the experiment that the file `from` names: relative to it, or built in. Returns its path for messages, too.
///
/// # Errors
/// As [`read_tree`].
pub fn read_base(from: &Path, base: &Path) -> Result<(PathBuf, Node), ConfigError> {
    let from_source = Source::open(from).map_err(|source| unreadable(from, None, source))?;
    let (path, source) = from_source.open_base(base);
    let source = source.map_err(|e| unreadable(&path, Some(from.to_path_buf()), e))?;
    Reader::start(source, Unused::Drop)
}

/// The path that messages show, and the merged tree.
fn read_with_bases(path: &Path, unused: Unused) -> Result<(PathBuf, Node), ConfigError> {
    Reader::start(Source::open(path).map_err(|source| unreadable(path, None, source))?, unused)
}

fn unreadable(path: &Path, parent: Option<PathBuf>, source: std::io::Error) -> ConfigError {
    let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let names = built_in::list();
    let near = suggest::nearest(name, names.iter().map(|(name, _)| name.as_str()));
    let hint = near.map_or(String::new(), |near| format!("; there is a built-in experiment {near}"));
    ConfigError::Read { path: path.to_path_buf(), parent, source, hint }
}

/// Reads files with their bases, each file once.
struct Reader {
    unused: Unused,
    /// Files that are being read, each a base of the one before.
    chain: Vec<(PathBuf, PathBuf)>,
    /// Trees of files that were read, by the path that messages show.
    known: HashMap<PathBuf, Node>,
}

impl Reader {
    fn start(source: Source, unused: Unused) -> Result<(PathBuf, Node), ConfigError> {
        let shown = source.shown.clone();
        Ok((shown, Self { unused, chain: Vec::new(), known: HashMap::new() }.read(source)?))
    }

    fn read(&mut self, source: Source) -> Result<Node, ConfigError> {
        if let Some(start) = self.chain.iter().position(|(_, identity)| *identity == source.identity) {
            let shown = self.chain[start..].iter().map(|(shown, _)| shown).chain([&source.shown]);
            return Err(ConfigError::Cycle { chain: shown.map(|p| p.display().to_string()).collect() });
        }
        if let Some(tree) = self.known.get(&source.shown) {
            return Ok(tree.clone());
        }
        let mut own = parse(&source.text, &source.shown)?;
        let bases = take_bases(&mut own)?;
        self.chain.push((source.shown.clone(), source.identity.clone()));
        let mut tree = Node::empty(own.origin.clone());
        for base in bases {
            let (path, base) = source.open_base(Path::new(&base));
            let base = base.map_err(|e| unreadable(&path, Some(source.shown.clone()), e))?;
            tree = merge(tree, self.read(base)?, self.unused)?;
        }
        self.chain.pop();
        let tree = merge(tree, own, self.unused)?;
        self.known.insert(source.shown, tree.clone());
        Ok(tree)
    }
}

/// Open brackets at most. The YAML reader refuses deep nesting too, but takes minutes for a hundred thousand brackets.
const MAX_DEPTH: usize = 1000;

/// True where so many brackets are open at once that no experiment can be meant (brackets in texts count as well).
fn too_deep(text: &str) -> bool {
    let depths = text.bytes().scan(0usize, |depth, byte| {
        match byte {
            b'[' | b'{' => *depth += 1,
            b']' | b'}' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    depths.max().is_some_and(|most| most > MAX_DEPTH)
}

/// One file's YAML as a tree. An empty file is an empty map.
pub(crate) fn parse(text: &str, path: &Path) -> Result<Node, ConfigError> {
    let syntax = |message: String| ConfigError::Syntax { path: path.to_path_buf(), message };
    if too_deep(text) {
        return Err(syntax(format!("more than {MAX_DEPTH} brackets are open at once")));
    }
    let mut value: Value = serde_yaml::from_str(text).map_err(|e| syntax(e.to_string()))?;
    value.apply_merge().map_err(|e| syntax(e.to_string()))?;
    let origin = Origin::File(path.display().to_string().into());
    let node = match value {
        Value::Null => Node::empty(origin),
        value => Node::from_value(value, &origin).map_err(syntax)?,
    };
    match node.kind {
        Kind::Map(_) => Ok(node),
        _ => Err(syntax(format!("expected keys and values, found {}", brief(&node.inline())))),
    }
}

fn take_bases(own: &mut Node) -> Result<Vec<String>, ConfigError> {
    let Kind::Map(entries) = &mut own.kind else { return Ok(Vec::new()) };
    let Some(at) = entries.iter().position(|(k, _)| k == BASE) else { return Ok(Vec::new()) };
    let (_, node) = entries.remove(at);
    let wrong = |node: &Node| ConfigError::Directive {
        origin: node.origin.clone(),
        key: BASE.into(),
        found: brief(&node.inline()),
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
                found: format!("'{}'", brief(&found)),
                expected: format!("one of {}{hint}", expected.join(", ")),
                origin,
            }
        }
        Fault::Type(found, expected) => {
            let quoted = matches!(tree.at(&key).map(|n| &n.kind), Some(Kind::Scalar(Value::Number(_) | Value::Bool(_))));
            let hint = if expected == "a text" && quoted { format!("; write \"{found}\", with quotes") } else { String::new() };
            ConfigError::Value { key, found: brief(&found), expected: format!("{expected}{hint}"), origin }
        }
        Fault::Missing(field) => {
            let full = join(&key, field);
            let expected =
                if full == "model.head.name" { format!("one of {}", HeadConfig::names().join(", ")) } else { "a value".into() };
            ConfigError::Missing { key: full, expected }
        }
        Fault::Other(message) => ConfigError::Value { key, found: message, expected: "a valid value".into(), origin },
    }
}

/// A hint for an unknown key: the nearest one beside it, the `name` that left it behind, the place where it would be right
/// (`lr` for `train.optimizer.lr`), or the keys that there are.
fn unknown_key_hint(tree: &Node, parent: &str, field: &str, expected: &[&str]) -> String {
    let named = tree.at(&join(parent, "name")).filter(|_| field != "name");
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
        [one] => format!("; did you mean {one}?"),
        [one, other] => format!("; did you mean {one} or {other}?"),
        // None, or a word that many maps use.
        _ => suggest::hint(field, expected),
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
