//! All problems of an experiment at once, each with who set the value.

use std::sync::OnceLock;

use repghost_backbone::registry;
use repghost_config::{check, Schema};

use super::error::ConfigError;
use super::node::Node;
use super::schema::Experiment;

/// The schema of an experiment. It lists the networks that are registered when it is first asked for.
pub fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::of::<Experiment>().with_values("model.backbone.name", &registry::names()))
}

/// Checks an experiment; `tree` holds who set what.
///
/// # Errors
/// All problems at once, one line each.
pub fn check(experiment: &Experiment, tree: &Node) -> Result<(), ConfigError> {
    let Err(problems) = check::problems(experiment, schema(), "") else { return Ok(()) };
    let mut errors: Vec<ConfigError> = problems
        .0
        .into_iter()
        .map(|p| ConfigError::Value { origin: tree.origin_of(&p.key), key: p.key, found: p.found, expected: p.expected })
        .collect();
    match errors.len() {
        1 => Err(errors.remove(0)),
        _ => Err(ConfigError::Several(errors)),
    }
}
