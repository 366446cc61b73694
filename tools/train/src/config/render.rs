//! A tree as YAML text, with who set each value as a comment.

use std::path::Path;

use super::error::ConfigError;
use super::explain;
use super::load::Loaded;
use super::node::{join, Kind, Node, Origin};
use super::schema::Experiment;

/// Column at which comments start, where the line is short enough.
const COMMENT_COLUMN: usize = 48;

/// The tree as YAML. With `origins`, each value has a comment with who set it.
pub fn to_yaml(node: &Node, origins: bool) -> String {
    commented(node, &|_, node| origins.then(|| origin_text(node)))
}

/// The tree as YAML, with a comment where there is one for a key and its value.
fn commented(node: &Node, comment: &dyn Fn(&str, &Node) -> Option<String>) -> String {
    let mut out = String::new();
    match &node.kind {
        Kind::Map(entries) => write_map(&mut out, "", entries, comment),
        _ => out.push_str(&format!("{}\n", node.inline())),
    }
    out
}

fn write_map(out: &mut String, path: &str, entries: &[(String, Node)], comment: &dyn Fn(&str, &Node) -> Option<String>) {
    let indent = if path.is_empty() { 0 } else { 2 * (path.matches('.').count() + 1) };
    for (key, node) in entries {
        let child = join(path, key);
        let key = super::node::scalar_text(&serde_yaml::Value::String(key.clone()));
        match &node.kind {
            Kind::Map(children) if !children.is_empty() => {
                out.push_str(&format!("{:indent$}{key}:\n", ""));
                write_map(out, &child, children, comment);
            }
            _ => {
                let line = format!("{:indent$}{key}: {}", "", node.inline());
                match comment(&child, node) {
                    Some(comment) => out.push_str(&format!("{line:<COMMENT_COLUMN$} # {comment}\n")),
                    None => out.push_str(&format!("{line}\n")),
                }
            }
        }
    }
}

/// The origin of a value; for a list whose items come from different places, all of them.
fn origin_text(node: &Node) -> String {
    let mut origins = vec![&node.origin];
    if let Kind::List(items) = &node.kind {
        for item in items {
            if !origins.contains(&&item.origin) {
                origins.push(&item.origin);
            }
        }
    }
    origins.iter().map(|o| o.to_string()).collect::<Vec<_>>().join(", ")
}

impl Loaded {
    /// The whole resolved configuration as YAML. It reads back to the same experiment.
    pub fn to_yaml(&self, origins: bool) -> String {
        to_yaml(&self.resolved, origins)
    }

    /// The whole configuration as YAML for somebody who looks for a key: maps that are null show what they would hold, and the keys of
    /// other heads follow as comments.
    pub fn to_yaml_with_hidden(&self) -> String {
        let hidden = explain::hidden_maps();
        let value = |key: &str| hidden.iter().find(|(path, _)| path == key).map(|(_, value)| value);
        let null = |node: &Node| matches!(node.kind, Kind::Scalar(serde_yaml::Value::Null));
        let comment = |key: &str, node: &Node| value(key).filter(|_| null(node)).map(|v| format!("{{}} for {v}"));
        let head = self.experiment.model.head.name();
        let others = explain::other_heads(head);
        format!(
            "{}\n# Keys of the other heads, where model.head.name is not {head}:\n{others}",
            commented(&self.resolved, &comment)
        )
    }

    /// Only the values that somebody set.
    pub fn to_yaml_set_only(&self, origins: bool) -> String {
        let mut node = self.resolved.clone();
        drop_defaults(&mut node);
        to_yaml(&node, origins)
    }

    /// Writes the resolved configuration.
    ///
    /// # Errors
    /// What the system reports, with the path.
    pub fn write(&self, path: &Path) -> Result<(), ConfigError> {
        let text = format!("# Resolved from {}; comments name who set each value.\n{}", self.path.display(), self.to_yaml(true));
        repghost_files::write_bytes(path, text.as_bytes())
            .map_err(|source| ConfigError::Write { path: path.to_path_buf(), source })
    }
}

impl Experiment {
    /// All values as YAML, without origins.
    pub fn to_yaml(&self) -> String {
        let value = serde_yaml::to_value(self).unwrap_or_default();
        Node::from_value(value, &Origin::Default).map_or(String::new(), |node| to_yaml(&node, false))
    }
}

fn drop_defaults(node: &mut Node) {
    if let Kind::Map(entries) = &mut node.kind {
        for (_, child) in entries.iter_mut() {
            drop_defaults(child);
        }
        entries.retain(|(_, n)| match &n.kind {
            Kind::Map(children) => !children.is_empty(),
            _ => n.origin != Origin::Default,
        });
    }
}
