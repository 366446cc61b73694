//! The detector of an experiment, and weight files that describe their network.

use std::collections::BTreeMap;

use repghost_backbone::weights::{self, load_any_form, Form, Strictness};
use repghost_backbone::{FuseLevel, Tree};
use repghost_coco::annotations::COCO_CATEGORIES;
use repghost_heads::legacy_names::upgrade_names;
use repghost_heads::{Decoder, Detector, PostprocessConfig};
use tch::Kind;

use super::data;
use crate::config::data_paths::Split;
use crate::config::{Experiment, Task};
use crate::error::TrainError;
pub use crate::model::{keys, Class};
use crate::model::{named, numbered};
use crate::pretrained;
use crate::runtime::device;
use crate::weights_file::{WeightsFile, BODY};

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
        let report = weights::load(&detector.backbone().body, prefix, &state, Strictness::Covering)?;
        notes.push(format!("init.backbone {}: loaded {} tensors", path.display(), report.loaded.len()));
    }
    if let Some(path) = e.init_detector()? {
        let mut state = pretrained::read(&path)?;
        let renamed = upgrade_names(&mut state);
        let summary = pretrained::load_all_but_classes(detector, "", &state, &detector.class_layers())?;
        notes.push(format!("init.detector {}: {summary}{}", path.display(), modernised(renamed.len())));
    }
    Ok(notes)
}

/// The note about tensors that were renamed.
fn modernised(count: usize) -> String {
    match count {
        0 => String::new(),
        n => format!("; {n} of its tensors have names from before torchvision 0.13 and were renamed"),
    }
}

/// A detector with its weights, to predict with.
pub struct LoadedDetector {
    /// The network, in the form of the file's weights, on `run.device`.
    pub detector: Detector,
    /// Its classes, by label.
    pub classes: Vec<Class>,
    /// The form of the weights.
    pub form: Form,
    /// Metadata of the file.
    pub metadata: BTreeMap<String, String>,
}

/// Builds the experiment's detector and loads weights in any form. No data is read: where the file names no classes, they are COCO's for heads
/// that are numbered by COCO's ids, else `data.classes` where there are as many, else numbers.
///
/// # Errors
/// Files that do not fit, tensor by tensor.
pub fn load(e: &Experiment, file: WeightsFile) -> Result<LoadedDetector, TrainError> {
    let classes = match file.classes().or_else(|| coco_classes(e)) {
        Some(classes) => classes,
        None => {
            let count = classes_of_weights(e, &file)?;
            let named_in_experiment = e.data.classes.as_ref().filter(|names| names.len() == count);
            named_in_experiment.map_or_else(|| numbered(count), |names| named(names))
        }
    };
    load_with_classes(e, file, classes)
}

/// As [`load`], with the validation data's classes where the file names none: those whose labels an evaluation compares.
///
/// # Errors
/// As [`load`], and data that cannot be read or has another number of classes.
pub fn load_or_val_classes(e: &Experiment, file: WeightsFile) -> Result<LoadedDetector, TrainError> {
    if file.classes().is_some() || coco_classes(e).is_some() {
        return load(e, file);
    }
    let classes = classes_of(&data::open(e, Split::Val, None)?.dataset);
    let weights = classes_of_weights(e, &file)?;
    if classes.len() != weights {
        return Err(TrainError::ClassesMismatch { weights, data: classes.len(), place: "the validation data" });
    }
    load_with_classes(e, file, classes)
}

fn load_with_classes(e: &Experiment, file: WeightsFile, classes: Vec<Class>) -> Result<LoadedDetector, TrainError> {
    let device = device(e)?;
    let mut detector = build(e, classes.len())?;
    let form = file.form();
    let report = load_any_form(&mut detector, "", &file.state, Strictness::Exact)?;
    if let Some(first) = report.dropped.first() {
        tracing::info!("weights: {} tensors of parts that the detector has not are skipped ({first}, …)", report.dropped.len());
    }
    detector.convert(device, Kind::Float);
    Ok(LoadedDetector { detector, classes, form, metadata: file.state.metadata })
}

/// COCO's classes, for heads that are numbered by COCO's category ids.
fn coco_classes(e: &Experiment) -> Option<Vec<Class>> {
    let coco_91 = e.model.head.detector().is_some_and(|head| head.coco_91());
    coco_91.then(|| COCO_CATEGORIES.iter().map(|(id, name)| Class { id: *id, name: name.to_string() }).collect())
}

/// The number of classes of weights, from the rows of a layer that grows with it: those of detectors of one and of two classes give the line.
fn classes_of_weights(e: &Experiment, file: &WeightsFile) -> Result<usize, TrainError> {
    let rows = |classes| -> Result<(String, i64), TrainError> {
        let detector = build(e, classes)?;
        let name = detector.class_layers().into_iter().next().map_or_else(String::new, |layer| format!("{layer}.weight"));
        let found = detector.named_tensors().into_iter().find(|entry| entry.name == name);
        Ok((name, found.and_then(|entry| entry.tensor.size().first().copied()).unwrap_or(0)))
    };
    let ((name, one), (_, two)) = (rows(1)?, rows(2)?);
    let stored = file.state.get(&name).and_then(|tensor| tensor.size().first().copied());
    let step = (two - one).max(1);
    match stored {
        Some(rows) if rows >= one && (rows - one) % step == 0 => Ok(1 + ((rows - one) / step) as usize),
        // Loading lists every tensor that differs.
        _ => Ok(1),
    }
}

/// Folds everything for speed: no batch norm is left. Predictions stay the same up to rounding.
pub fn fuse_all(detector: &mut Detector) {
    detector.fuse(FuseLevel::All);
}
