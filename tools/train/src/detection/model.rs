//! The detector of an experiment, and weight files that know what they are.

use std::collections::BTreeMap;
use std::path::Path;

use repghost_backbone::weights::{self, detect_form, load, load_any_form, Form, Strictness};
use repghost_backbone::{FuseLevel, Tree};
use repghost_coco::annotations::COCO_CATEGORIES;
use repghost_heads::legacy_names::upgrade_names;
use repghost_heads::{Decoder, Detector, PostprocessConfig};
use tch::Kind;

use super::data;
use crate::checkpoint::file::published;
use crate::config::data_paths::Split;
use crate::config::{Experiment, Task};
use crate::error::TrainError;
use crate::model::classes_in;
pub use crate::model::{keys, Class};
use crate::pretrained;
use crate::runtime::device;

/// Where a detector's names have its backbone.
const BODY: &str = "backbone.body.";

/// The classes of a data set, by label.
pub fn classes_of(dataset: &repghost_coco::Dataset) -> Vec<Class> {
    dataset.classes.iter().map(|c| Class { id: c.category_id, name: c.name.clone() }).collect()
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
    e.model.head.detector().ok_or_else(|| TrainError::HeadForTask {
        head: e.model.head.name().into(),
        task: Task::Detection,
        expected: repghost_heads::HeadConfig::NAMES.join(", "),
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
        let state = pretrained::read(&path)?;
        // Of a detector's file its backbone is taken.
        let prefix = if state.names().any(|n| n.starts_with(BODY)) { BODY } else { "" };
        let report = load(&detector.backbone().body, prefix, &state, Strictness::Covering)?;
        notes.push(format!("init.backbone {}: loaded {} tensors", path.display(), report.loaded.len()));
    }
    if let Some(path) = e.init_detector()? {
        let mut state = pretrained::read(&path)?;
        let renamed = upgrade_names(&mut state);
        let told = pretrained::load_all_but_classes(detector, "", &state, &detector.class_layers())?;
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

/// A detector with its weights, to predict with.
pub struct Ready {
    /// The network, in the form of the file's weights, on `run.device`.
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
    // First: libtorch looks for its CUDA half once.
    let device = device(e)?;
    let mut state = published(weights::read(path)?);
    upgrade_names(&mut state);
    let classes = match classes_in(&state.metadata) {
        Some(classes) => classes,
        None => fallback()?,
    };
    let mut detector = build(e, classes.len())?;
    let form = detect_form(&state);
    let report = load_any_form(&mut detector, "", &state, Strictness::Exact)?;
    if let Some(first) = report.dropped.first() {
        tracing::info!("weights: {} tensors of parts that the detector has not are skipped ({first}, …)", report.dropped.len());
    }
    detector.convert(device, Kind::Float);
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

/// Folds everything for speed: no batch norm is left. Predictions stay the same up to rounding.
pub fn fuse_all(detector: &mut Detector) {
    detector.fuse(FuseLevel::All);
}
