//! Measuring a detector: the COCO numbers, the files that hold them, the tables and plots that show them.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use repghost_coco::metrics::{evaluate, write_metrics, Evaluation};
use repghost_coco::{write_detections, Dataset, Detection, IouType};

use crate::config::data_paths::Split;
use crate::config::Experiment;
use crate::detection::{data, infer, model};
use crate::error::TrainError;
use crate::plots::precision_recall;
use crate::runtime::device;

/// Detections and their numbers.
pub struct Measured {
    /// Everything that was found.
    pub detections: Vec<Detection>,
    /// The numbers of boxes, and of masks where there are some.
    pub evaluations: Vec<Evaluation>,
}

impl Measured {
    /// Compares detections with the ground truth: boxes, and masks with `masks`.
    ///
    /// # Errors
    /// When the evaluator refuses its input.
    pub fn new(truth: &Dataset, detections: Vec<Detection>, masks: bool) -> Result<Self, TrainError> {
        let mut evaluations = vec![evaluate(truth, &detections, IouType::Bbox)?];
        if masks {
            evaluations.push(evaluate(truth, &detections, IouType::Segm)?);
        }
        Ok(Self { detections, evaluations })
    }

    /// The number that decides which weights are best: AP of masks where they are learned, else of boxes; not a
    /// number where the data has no object.
    pub fn headline(&self) -> f64 {
        // pycocotools' -1 stands for "no object to measure": such an evaluation must not count as the best so far.
        self.evaluations.last().map(|e| e.numbers.ap).filter(|ap| *ap >= 0.0).unwrap_or(f64::NAN)
    }

    /// Writes `metrics.json` and `detections.json` into a folder.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, folder: &Path) -> Result<(), TrainError> {
        let numbers = folder.join("metrics.json");
        write_metrics(&numbers, &self.evaluations).map_err(TrainError::io(numbers))?;
        Ok(write_detections(&folder.join("detections.json"), &self.detections)?)
    }

    /// Writes the plots `precision_recall_bbox.png` and, with masks, `precision_recall_segm.png` into a folder.
    ///
    /// # Errors
    /// The disk's.
    pub fn plot(&self, folder: &Path) -> Result<(), TrainError> {
        let plot = |e: &Evaluation| precision_recall(e, &folder.join(format!("precision_recall_{}.png", e.iou_type.name())));
        self.evaluations.iter().try_for_each(plot)
    }
}

/// The numbers that a line about an evaluation shows.
pub fn short(measured: &Measured) -> Vec<(String, f64)> {
    let named =
        measured.evaluations.iter().flat_map(|e| e.numbers.named().map(|(n, v)| (format!("{}/{n}", e.iou_type.name()), v)));
    named.collect()
}

/// Measures a weights file on the experiment's validation data. `None` when `stop` was raised.
///
/// # Errors
/// Files that do not fit, data that cannot be read.
pub fn evaluate_weights(
    e: &Experiment,
    weights: &Path,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Measured>, TrainError> {
    let mut ready = model::ready_for_val(e, weights)?;
    let names: Vec<String> = ready.classes.iter().map(|c| c.name.clone()).collect();
    let val = data::open(e, Split::Val, Some(&names))?;
    // The ids of the file that is measured on, which may differ from those that were trained on.
    let classes = model::classes_of(&val.dataset);
    model::fuse_all(&mut ready.detector);
    let loader = data::eval_loader(e, val.source)?;
    let found = infer::run(&ready.detector, device(e)?, &loader, &classes, stop, progress)?;
    let Some(found) = found else { return Ok(None) };
    let detections = found.into_iter().flat_map(|f| f.detections).collect();
    Measured::new(&val.dataset, detections, data::wants_masks(e)).map(Some)
}
