//! What detectors and classifiers have in common: classes, metadata of weight files, freezing.

use std::collections::BTreeMap;
use std::path::Path;

use repghost_backbone::{freeze, Backbone, Tree};
use serde::{Deserialize, Serialize};

use crate::config::portable::portable;
use crate::config::{Experiment, Loaded};
use crate::error::TrainError;

/// Metadata keys of our weight files.
pub mod keys {
    /// What the file holds: `repghost-det detector` or `repghost-det classifier`.
    pub const FORMAT: &str = "format";
    /// Class names and category ids, as JSON.
    pub const CLASSES: &str = "classes";
    /// The resolved experiment, as YAML.
    pub const EXPERIMENT: &str = "experiment";
}

/// A class of a trained network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Category id in the annotation file it was trained on; of a classifier, the label.
    pub id: i64,
    /// Name.
    pub name: String,
}

/// Classes that are called by their numbers.
pub fn numbered(count: usize) -> Vec<Class> {
    (0..count as i64).map(|id| Class { id, name: id.to_string() }).collect()
}

/// Classes with these names and their positions as ids.
pub fn named(names: &[String]) -> Vec<Class> {
    names.iter().zip(0..).map(|(name, id)| Class { id, name: name.clone() }).collect()
}

/// The first names of a list, for a line of text.
pub(crate) fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "))
}

/// Metadata of a weights file: `format` (detector or classifier), classes by label, the resolved experiment without absolute paths.
pub fn metadata(kind: &str, resolved: &str, classes: &[Class]) -> BTreeMap<String, String> {
    [
        (keys::FORMAT.to_string(), format!("repghost-det {kind}")),
        (keys::CLASSES.into(), serde_json::to_string(classes).unwrap_or_default()),
        (keys::EXPERIMENT.into(), portable(resolved)),
    ]
    .into()
}

/// The classes that a weights file names, by label; `None` where it names none.
pub fn classes_in(metadata: &BTreeMap<String, String>) -> Option<Vec<Class>> {
    metadata.get(keys::CLASSES).and_then(|text| serde_json::from_str(text).ok())
}

/// Applies `train.batch_norm` to the backbone. Returns a line of text where anything is frozen.
///
/// # Errors
/// [`TrainError::FreezesRandomWeights`] where nothing was loaded into what is to be frozen.
pub fn apply_freezing(e: &Experiment, body: &Backbone) -> Result<Option<String>, TrainError> {
    let c = &e.train.batch_norm;
    let loaded = e.init.backbone.is_some() || e.init.detector.is_some();
    let switches =
        [("frozen_stages", c.frozen_stages > 0), ("freeze_affine", c.freeze_affine), ("use_running_stats", c.use_running_stats)];
    if let Some((key, _)) = switches.into_iter().find(|(_, set)| *set && !loaded) {
        return Err(TrainError::FreezesRandomWeights { key });
    }
    let mut frozen = freeze::freeze_stages(body, c.frozen_stages);
    if c.freeze_affine {
        frozen += freeze::freeze_affine(body);
    }
    let norms = if c.use_running_stats { freeze::use_running_stats(body, true) } else { 0 };
    Ok((frozen > 0 || norms > 0)
        .then(|| format!("frozen: {frozen} elements of the backbone; {norms} of its batch norms use their running statistics")))
}

/// Gives `copy` the batch-norm switches of `network`, which has the same modules.
pub fn copy_switches(network: &dyn Tree, copy: &dyn Tree) {
    for ((_, from), (_, to)) in network.survey().norms.into_iter().zip(copy.survey().norms) {
        to.set(from.get());
    }
}

/// Reads an experiment: a YAML file, or a run folder (its `config.yaml`).
///
/// # Errors
/// See [`Loaded::read`].
pub fn read_experiment(path: &Path, overrides: &[String]) -> Result<Loaded, TrainError> {
    let file = if path.is_dir() { path.join("config.yaml") } else { path.to_path_buf() };
    Ok(Loaded::read(&file, overrides)?)
}
