//! A tree as YAML text, with who set each value as a comment.

use std::path::Path;

use super::error::ConfigError;
use super::load::Loaded;
use super::node::{Kind, Node, Origin};
use super::schema::Experiment;

/// Column at which comments start, where the line is short enough.
const COMMENT_COLUMN: usize = 48;

/// The tree as YAML. With `origins`, each value has a comment that says who set it.
pub fn to_yaml(node: &Node, origins: bool) -> String {
    let mut out = String::new();
    match &node.kind {
        Kind::Map(entries) => write_map(&mut out, entries, 0, origins),
        _ => out.push_str(&format!("{}\n", node.inline())),
    }
    out
}

fn write_map(out: &mut String, entries: &[(String, Node)], indent: usize, origins: bool) {
    for (key, node) in entries {
        let key = super::node::scalar_text(&serde_yaml::Value::String(key.clone()));
        match &node.kind {
            Kind::Map(children) if !children.is_empty() => {
                out.push_str(&format!("{:indent$}{key}:\n", ""));
                write_map(out, children, indent + 2, origins);
            }
            _ => {
                let line = format!("{:indent$}{key}: {}", "", node.inline());
                match origins {
                    true => out.push_str(&format!("{line:<COMMENT_COLUMN$} # {}\n", origin_text(node))),
                    false => out.push_str(&format!("{line}\n")),
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

    /// Only the values that somebody set.
    pub fn to_yaml_set_only(&self, origins: bool) -> String {
        let mut node = self.resolved.clone();
        drop_defaults(&mut node);
        to_yaml(&node, origins)
    }

    /// Writes the resolved configuration, first to a temporary name.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn write(&self, path: &Path) -> Result<(), ConfigError> {
        let temporary = path.with_extension("yaml.tmp");
        let text =
            format!("# Resolved from {}; the comments say who set each value.\n{}", self.path.display(), self.to_yaml(true));
        let write = || -> std::io::Result<()> {
            use std::io::Write;
            let mut file = std::fs::File::create(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&temporary, path)
        };
        write().map_err(|source| ConfigError::Write { path: path.to_path_buf(), source })
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
