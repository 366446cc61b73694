//! Every way in which an experiment file can be wrong, each one line that names the key and who set it.

use std::path::PathBuf;

use super::node::Origin;

/// Why an experiment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is not there or cannot be read.
    #[error("cannot read the experiment file {}{}: {source}{hint}", path.display(), wanted_by(parent))]
    Read {
        /// The file.
        path: PathBuf,
        /// The file whose `_base_` names it.
        parent: Option<PathBuf>,
        /// What the system reports.
        source: std::io::Error,
        /// A built-in experiment of a similar name, or nothing.
        hint: String,
    },
    /// Not YAML, or a key twice.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser reports, with line and column.
        message: String,
    },
    /// `_base_` or `_delete_` does not hold what it should.
    #[error("{origin}: {key}: found {found}, expected {expected}")]
    Directive {
        /// Who set it.
        origin: Origin,
        /// Dotted key.
        key: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: &'static str,
    },
    /// A file inherits from itself.
    #[error("_base_ goes round in a circle: {}", chain.join(" -> "))]
    Cycle {
        /// The files of the circle, the first again at the end.
        chain: Vec<String>,
    },
    /// A `key=value` argument that cannot be applied.
    #[error("override '{argument}': {reason}")]
    Override {
        /// The argument.
        argument: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key that nothing reads.
    #[error("unknown key {key} ({origin}){hint}")]
    UnknownKey {
        /// Dotted key.
        key: String,
        /// Who set it.
        origin: Origin,
        /// `"; did you mean …?"` or the keys that there are.
        hint: String,
    },
    /// A value that its key cannot take.
    #[error("{key}: found {found}, expected {expected} ({origin})")]
    Value {
        /// Dotted key.
        key: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
        /// Who set it.
        origin: Origin,
    },
    /// More than one problem.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  also: "))]
    Several(Vec<ConfigError>),
    /// A trial of a sweep is wrong.
    #[error("trial {trial}: {source}")]
    Trial {
        /// The trial's id.
        trial: String,
        /// What is wrong with its experiment.
        source: Box<ConfigError>,
    },
    /// A key that must be there.
    #[error("{key} is missing: expected {expected}")]
    Missing {
        /// Dotted key.
        key: String,
        /// What should be there.
        expected: String,
    },
    /// A path needs an environment variable that is not set.
    #[error("{key}: the environment variable {variable} is not set (in '{template}'); export it, write ${{{variable}:-DEFAULT}}, or pass {key}=PATH")]
    Variable {
        /// Dotted key.
        key: String,
        /// Name of the variable.
        variable: String,
        /// The path as written.
        template: String,
    },
    /// A `${` without its end, or with a name that is none.
    #[error("{key}: '{template}' is no valid path: expected ${{NAME}} or ${{NAME:-DEFAULT}}")]
    Template {
        /// Dotted key.
        key: String,
        /// The path as written.
        template: String,
    },
    /// Data that the experiment needs is not in place.
    #[error("{key}: {} is not there; expected {expected}\n  {instead}", path.display())]
    DataMissing {
        /// Dotted key.
        key: String,
        /// The path after expansion.
        path: PathBuf,
        /// What should be where.
        expected: String,
        /// What can be done without it.
        instead: &'static str,
    },
    /// Annotations in another format than `data.source` names.
    #[error("{key}: {} looks like {found}, but data.source is {wanted}: {expects} is expected; data.source=coco takes any format", path.display())]
    OtherFormat {
        /// Dotted key.
        key: String,
        /// The path after expansion.
        path: PathBuf,
        /// The format that it looks like.
        found: &'static str,
        /// The format that is named.
        wanted: &'static str,
        /// What that format has.
        expects: &'static str,
    },
    /// A file that the experiment names is not there.
    #[error("{key}: {} is not there; expected {expected}", path.display())]
    FileMissing {
        /// Dotted key.
        key: String,
        /// The path after expansion.
        path: PathBuf,
        /// What should be where.
        expected: String,
    },
    /// Published weights that cannot be had.
    #[error("{key}: {source}")]
    Published {
        /// Dotted key.
        key: String,
        /// Why.
        source: Box<repghost_hub::HubError>,
    },
    /// The resolved configuration could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system reports.
        source: std::io::Error,
    },
}

fn wanted_by(parent: &Option<PathBuf>) -> String {
    parent.as_ref().map_or(String::new(), |p| format!(" (_base_ of {})", p.display()))
}
