//! The classifier of an experiment, and weight files that name their classes.

use std::collections::BTreeMap;

use repghost_backbone::weights::{load_any_form, Form, StateDict, Strictness};
use repghost_backbone::{Backbone, Role, Tree};
use tch::Kind;

use crate::config::Experiment;
use crate::error::TrainError;
use crate::pretrained;
use crate::runtime::device;
use crate::weights_file::WeightsFile;

/// Builds the network with its classifier; initial weights depend on `train.seed` only.
///
/// # Errors
/// Settings that make no network.
pub fn build(e: &Experiment, classes: usize) -> Result<Backbone, TrainError> {
    tch::manual_seed(e.train.seed as i64);
    Ok(e.model.backbone.build_classifier(classes.max(1) as i64)?)
}

/// Loads `init.backbone`. A classifier of another number of classes is made anew. Returns lines for people.
///
/// # Errors
/// Files that are missing, damaged, in a folded form, or that do not fit.
pub fn initialise(e: &Experiment, net: &Backbone) -> Result<Vec<String>, TrainError> {
    if e.init.detector.is_some() {
        return Err(TrainError::setting("init.detector", "is for detectors; a classifier starts from init.backbone"));
    }
    let Some(path) = e.init_backbone()? else { return Ok(vec![]) };
    let summary = pretrained::load_all_but_classes(net, "", &pretrained::read(&path)?, &[last_layer(net)])?;
    Ok(vec![format!("init.backbone {}: {summary}", path.display())])
}

/// Path of the layer that gives the logits.
fn last_layer(net: &Backbone) -> String {
    let parameters = net.named_tensors().into_iter().filter(|e| e.role == Role::Parameter && e.tensor.dim() > 1);
    parameters.last().and_then(|e| Some(e.name.rsplit_once('.')?.0.to_string())).unwrap_or_default()
}

/// A classifier with its weights.
pub struct LoadedClassifier {
    /// The network, in the form of the file's weights, on `run.device`.
    pub net: Backbone,
    /// Class names by label.
    pub classes: Vec<String>,
    /// The form of the weights.
    pub form: Form,
    /// Metadata of the file.
    pub metadata: BTreeMap<String, String>,
}

/// Builds the experiment's classifier with as many classes as the file has, and loads the file (weights in any form, or a checkpoint).
/// Where the file names no classes (timm's do not), `names` gives them, from their number.
///
/// # Errors
/// Files that do not fit, tensor by tensor.
pub fn load(
    e: &Experiment,
    file: WeightsFile,
    names: impl FnOnce(usize) -> Result<Vec<String>, TrainError>,
) -> Result<LoadedClassifier, TrainError> {
    // First: libtorch looks for its CUDA half once.
    let device = device(e)?;
    let one = build(e, 1)?;
    let count = classes_in(&file.state, &one).ok_or_else(|| TrainError::NotAClassifier {
        path: file.path().into(),
        network: e.model.backbone.name.clone(),
        layer: format!("{}.weight", last_layer(&one)),
    })?;
    let classes = match file.classes().filter(|named| named.len() == count) {
        Some(named) => named.into_iter().map(|c| c.name).collect(),
        None => names(count)?,
    };
    let mut net = build(e, count)?;
    let form = file.form();
    load_any_form(&mut net, "", &file.state, Strictness::Exact)?;
    net.convert(device, Kind::Float);
    Ok(LoadedClassifier { net, classes, form, metadata: file.state.metadata })
}

/// Rows of the file's last layer.
fn classes_in(state: &StateDict, net: &Backbone) -> Option<usize> {
    let rows = state.get(&format!("{}.weight", last_layer(net)))?.size().first().copied()?;
    usize::try_from(rows).ok()
}

/// Numbers as names, for weights that name no classes.
pub fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}
