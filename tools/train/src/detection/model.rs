//! The detector of an experiment, and weight files that know what they are.

use std::collections::BTreeMap;
use std::path::Path;

use repghost_backbone::freeze;
use repghost_backbone::weights::{self, detect_form, load, load_any_form, Form, Strictness};
use repghost_backbone::{Backbone, FuseLevel, Tree};
use repghost_coco::annotations::COCO_CATEGORIES;
use repghost_heads::legacy_names::upgrade_names;
use repghost_heads::{Decoder, Detector, PostprocessConfig};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

use super::data;
use crate::checkpoint::file::published;
use crate::config::needs::Split;
use crate::config::{Experiment, Loaded};
use crate::error::TrainError;
use crate::tuning;

/// Metadata keys of our weight files.
pub mod keys {
    /// Class names and category ids, as JSON.
    pub const CLASSES: &str = "classes";
    /// The resolved experiment, as YAML.
    pub const EXPERIMENT: &str = "experiment";
}

/// Where a detector's names have its backbone.
const BODY: &str = "backbone.body.";

/// A class that a network knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Category id in the annotation file it was trained on.
    pub id: i64,
    /// Its name.
    pub name: String,
}

/// The classes of a data set, by label.
pub fn classes_of(dataset: &repghost_coco::Dataset) -> Vec<Class> {
    dataset.classes.iter().map(|c| Class { id: c.category_id, name: c.name.clone() }).collect()
}

/// Where networks run: the first CUDA device if libtorch sees one, else the CPU.
pub fn device() -> Device {
    Device::cuda_if_available()
}

/// Builds the detector with initial weights that depend on `train.seed` only.
///
/// # Errors
/// Settings that make no detector.
pub fn build(e: &Experiment, classes: usize) -> Result<Detector, TrainError> {
    tch::manual_seed(e.train.seed as i64);
    // The classifier is cut off by the head.
    let backbone = e.model.backbone.build_features()?;
    let mut detector = head(e)?.build(backbone, &e.model.fpn, classes as i64)?;
    set_postprocess(e, &mut detector);
    Ok(detector)
}

/// The host part of the experiment's detector. No network is built.
///
/// # Errors
/// Settings that make no detector.
pub fn decoder(e: &Experiment, classes: usize) -> Result<Decoder, TrainError> {
    Ok(head(e)?.decoder(&e.model.fpn, classes as i64)?.with_postprocess(postprocess(e)))
}

fn head(e: &Experiment) -> Result<&repghost_heads::HeadConfig, TrainError> {
    e.model.head.detector().ok_or_else(|| {
        let detectors = repghost_heads::HeadConfig::NAMES.join(", ");
        TrainError::Config(format!("model.head.name: classifier is no detector; these are: {detectors}"))
    })
}

/// Sets thresholds and limits of detections to the experiment's.
pub fn set_postprocess(e: &Experiment, detector: &mut Detector) {
    detector.set_postprocess(postprocess(e));
}

fn postprocess(e: &Experiment) -> PostprocessConfig {
    PostprocessConfig {
        score_threshold: e.eval.score_threshold,
        nms_threshold: e.eval.nms_threshold,
        pre_nms_top_k: e.eval.pre_nms_top_k,
        max_detections: e.eval.max_detections,
    }
}

/// Loads `init.backbone` and `init.detector`, in this order. Returns lines for people about what was loaded and what was not.
///
/// # Errors
/// Files that are missing, damaged, in a folded form, or that do not fit.
pub fn initialise(e: &Experiment, detector: &Detector) -> Result<Vec<String>, TrainError> {
    let mut notes = vec![];
    if let Some(path) = e.init_backbone()? {
        let state = tuning::read(&path)?;
        // Of a detector's file its backbone is taken.
        let prefix = if state.names().any(|n| n.starts_with(BODY)) { BODY } else { "" };
        let report = load(&detector.backbone().body, prefix, &state, Strictness::Covering)?;
        notes.push(format!("init.backbone {}: loaded {} tensors", path.display(), report.loaded.len()));
    }
    if let Some(path) = e.init_detector()? {
        let mut state = tuning::read(&path)?;
        let renamed = upgrade_names(&mut state);
        let told = tuning::load_all_but_classes(detector, "", &state, &detector.class_layers())?;
        notes.push(format!("init.detector {}: {told}{}", path.display(), modernised(renamed.len())));
    }
    Ok(notes)
}

/// What to say about tensors that were renamed.
fn modernised(count: usize) -> String {
    match count {
        0 => String::new(),
        n => format!("; {n} of its tensors have names from before torchvision 0.13 and were renamed"),
    }
}

/// Applies `train.batch_norm` to the backbone. Returns a line for people where anything is frozen.
///
/// # Errors
/// When something is to be frozen that nothing was loaded into: that would keep noise.
pub fn apply_freezing(e: &Experiment, body: &Backbone) -> Result<Option<String>, TrainError> {
    let c = &e.train.batch_norm;
    let loaded = e.init.backbone.is_some() || e.init.detector.is_some();
    for (key, set) in
        [("frozen_stages", c.frozen_stages > 0), ("freeze_affine", c.freeze_affine), ("use_running_stats", c.use_running_stats)]
    {
        if set && !loaded {
            return Err(TrainError::Config(format!(
                "train.batch_norm.{key} freezes what the backbone starts with, but nothing was loaded into it: set init.backbone or \
                 init.detector, or switch it off"
            )));
        }
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

/// What a weights file says about itself.
pub fn metadata(resolved: &str, classes: &[Class]) -> BTreeMap<String, String> {
    let classes = serde_json::to_string(classes).unwrap_or_default();
    [
        ("format".to_string(), "repghost-det detector".to_string()),
        (keys::CLASSES.into(), classes),
        (keys::EXPERIMENT.into(), resolved.to_string()),
    ]
    .into()
}

/// A detector with its weights, to predict with.
pub struct Ready {
    /// The network, in the form of the file's weights, on [`device`].
    pub detector: Detector,
    /// Its classes, by label.
    pub classes: Vec<Class>,
    /// The form of the weights.
    pub form: Form,
    /// Metadata of the file.
    pub metadata: BTreeMap<String, String>,
}

/// Builds the experiment's detector and loads a weights file (in any form) or a checkpoint into it. The classes are the file's; where it
/// names none, `fallback` gives them.
///
/// # Errors
/// Files that are damaged or do not fit, tensor by tensor.
pub fn ready(
    e: &Experiment,
    path: &Path,
    fallback: impl FnOnce() -> Result<Vec<Class>, TrainError>,
) -> Result<Ready, TrainError> {
    let mut state = published(weights::read(path)?);
    upgrade_names(&mut state);
    let classes = match state.metadata.get(keys::CLASSES).and_then(|c| serde_json::from_str::<Vec<Class>>(c).ok()) {
        Some(classes) => classes,
        None => fallback()?,
    };
    let mut detector = build(e, classes.len())?;
    let form = detect_form(&state);
    load_any_form(&mut detector, "", &state, Strictness::Exact)?;
    detector.convert(device(), Kind::Float);
    Ok(Ready { detector, classes, form, metadata: state.metadata })
}

/// [`ready`], with COCO's classes or the validation data's where the file names none.
///
/// # Errors
/// As [`ready`], and data that cannot be read.
pub fn ready_for_val(e: &Experiment, path: &Path) -> Result<Ready, TrainError> {
    ready(e, path, || classes_without_metadata(e))
}

/// Classes for a weights file that names none: COCO's where the head is numbered by COCO's ids, else those of the validation data.
///
/// # Errors
/// Data that is not there.
fn classes_without_metadata(e: &Experiment) -> Result<Vec<Class>, TrainError> {
    if e.model.head.detector().is_some_and(|head| head.coco_91()) {
        return Ok(COCO_CATEGORIES.iter().map(|(id, name)| Class { id: *id, name: name.to_string() }).collect());
    }
    Ok(classes_of(&data::open(e, Split::Val, None)?.dataset))
}

/// Reads an experiment: a YAML file, or a run folder (its `config.yaml`).
///
/// # Errors
/// See [`Loaded::read`].
pub fn read_experiment(path: &Path, overrides: &[String]) -> Result<Loaded, TrainError> {
    let file = if path.is_dir() { path.join("config.yaml") } else { path.to_path_buf() };
    Ok(Loaded::read(&file, overrides)?)
}

/// Folds everything for speed: no batch norm is left. Predictions stay the same up to rounding.
pub fn fuse_all(detector: &mut Detector) {
    detector.fuse(FuseLevel::All);
}
