//! Measuring a detector: the COCO numbers, the files that hold them, the tables and plots that show them.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use repghost_coco::judge::{compare, CompareOptions, Comparison};
use repghost_coco::metrics::{evaluate, write_metrics_with, Evaluation};
use repghost_coco::{write_detections, Dataset, Detection, IouType};
use repghost_distributed::Group;

use crate::chosen_thresholds::Cutoffs;
use crate::config::data_paths::Split;
use crate::config::Experiment;
use crate::detection::data::SplitData;
use crate::detection::engine::LibtorchPool;
use crate::detection::files::looked_at;
use crate::detection::{data, model};
use crate::engine::EnginePool;
use crate::error::TrainError;
use crate::inference::{run, Job};
use crate::model::{shortened, Class};
use crate::plots::precision_recall;
use crate::run::folder::write_json;
use crate::weights_file::WeightsFile;

/// Detections and their numbers.
pub struct Measured {
    /// Everything that was found.
    pub detections: Vec<Detection>,
    /// The numbers of boxes, and of masks where there are some.
    pub evaluations: Vec<Evaluation>,
    /// What they were compared with.
    pub truth: Arc<Dataset>,
}

impl Measured {
    /// Compares detections with the ground truth: boxes, and masks with `masks`.
    ///
    /// # Errors
    /// When the evaluator refuses its input.
    pub fn new(truth: &Arc<Dataset>, detections: Vec<Detection>, masks: bool) -> Result<Self, TrainError> {
        let mut evaluations = vec![evaluate(truth, &detections, IouType::Bbox)?];
        if masks {
            evaluations.push(evaluate(truth, &detections, IouType::Segm)?);
        }
        Ok(Self { detections, evaluations, truth: truth.clone() })
    }

    /// The number that decides which weights are best: AP of masks where they are learned, else of boxes; not a
    /// number where the data has no object.
    pub fn headline(&self) -> f64 {
        // pycocotools' -1 stands for "no object to measure": such an evaluation must not count as the best so far.
        self.evaluations.last().map(|e| e.numbers.ap).filter(|ap| *ap >= 0.0).unwrap_or(f64::NAN)
    }

    /// Writes `metrics.json`, `detections.json` and the `classes.json` of its category ids into a folder.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, folder: &Path) -> Result<(), TrainError> {
        self.write_with(folder, &[])
    }

    /// Writes as [`Measured::write`], with further keys in `metrics.json`.
    ///
    /// # Errors
    /// The disk's.
    pub fn write_with(&self, folder: &Path, further: &[(&str, serde_json::Value)]) -> Result<(), TrainError> {
        let numbers = folder.join("metrics.json");
        write_metrics_with(&numbers, &self.evaluations, further).map_err(TrainError::io(numbers))?;
        if let Some(first) = self.evaluations.first() {
            write_classes(folder, first.classes.iter().map(|class| (class.category_id, class.name.as_str())))?;
        }
        Ok(write_detections(&folder.join("detections.json"), &self.detections)?)
    }

    /// Compares with other detections on the same images, in the type that decides (masks where there are some).
    ///
    /// # Errors
    /// When the evaluator refuses its input.
    pub fn compared_with(&self, other: &Self) -> Result<Comparison, TrainError> {
        let iou_type = self.evaluations.last().map_or(IouType::Bbox, |e| e.iou_type);
        let options = CompareOptions { iou_type, ..CompareOptions::default() };
        Ok(compare(&self.truth, &[&other.detections], &[&self.detections], &options)?)
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

/// Writes `classes.json`, a list of category ids and names as COCO's `categories`, for detections in the same folder.
///
/// # Errors
/// The disk's.
pub fn write_classes<'a>(folder: &Path, classes: impl Iterator<Item = (i64, &'a str)>) -> Result<(), TrainError> {
    let list: Vec<serde_json::Value> = classes.map(|(id, name)| serde_json::json!({"id": id, "name": name})).collect();
    write_json(&folder.join("classes.json"), &list)
}

/// The numbers that a line about an evaluation shows.
pub fn short(measured: &Measured) -> Vec<(String, f64)> {
    let named =
        measured.evaluations.iter().flat_map(|e| e.numbers.named().map(|(n, v)| (format!("{}/{n}", e.iou_type.name()), v)));
    named.collect()
}

/// Validation data of a detector's classes, matched by name: of all of them, or of those that `data.classes` names. Of the processes of `group`
/// one per machine reads the annotations; all have to call this.
///
/// # Errors
/// Data that cannot be read or has none of the classes; names in `data.classes` that the detector doesn't have.
pub fn validation_data(e: &Experiment, classes: &[Class], group: Option<&Group>) -> Result<SplitData, TrainError> {
    let names: Vec<String> = classes.iter().map(|c| c.name.clone()).collect();
    let wanted = e.data.classes.as_ref().unwrap_or(&names);
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(name)) {
        let problem = format!("the weights have no class '{unknown}'; they have {}", shortened(&names));
        return Err(TrainError::setting("data.classes", problem));
    }
    looked_at(e, Split::Val, data::open_among(e, Split::Val, Some(wanted), group)?)
}

/// Classes by label with the ids that they have in a data set. Those that it doesn't have get ids of their own.
fn with_ids_of(classes: &[Class], truth: &Dataset) -> Vec<Class> {
    let largest = truth.classes.iter().map(|class| class.category_id).max().unwrap_or(0);
    let id = |(i, class): (usize, &Class)| {
        truth.classes.by_name(&class.name).map_or(largest.saturating_add(1 + i as i64), |found| found.category_id)
    };
    classes.iter().enumerate().map(|(i, class)| Class { id: id((i, class)), name: class.name.clone() }).collect()
}

/// What a detector finds in validation data ([`validation_data`]) in any runtime, in the images' order; the processes of `group` share the
/// images, and all of them return everything. `None` where `stop` was raised.
///
/// # Errors
/// Images that cannot be read; the runtime's.
pub fn detections_in(
    e: &Experiment,
    pool: &dyn EnginePool,
    val: &SplitData,
    group: Option<&Group>,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Vec<Detection>>, TrainError> {
    // The ids of the file that is measured on, which may differ from those that were trained on.
    let classes = with_ids_of(pool.classes(), &val.dataset);
    let job = Job {
        source: val.source.as_ref(),
        pool,
        classes: &classes,
        score_threshold: e.eval.score_threshold,
        cutoffs: Cutoffs::default(),
        skip_unreadable: false,
        threads: e.train.threads,
        group,
    };
    let Some(inferred) = run(&job, stop, progress, None)? else { return Ok(None) };
    let mut detections: Vec<Detection> = inferred.images.into_iter().flat_map(|image| image.objects).collect();
    detections.retain(|detection| val.dataset.classes.by_category(detection.category_id).is_some());
    Ok(Some(detections))
}

/// Measures a detector in any runtime on validation data ([`validation_data`]). `None` where `stop` was raised.
///
/// # Errors
/// Images that cannot be read; the runtime's.
pub fn evaluate_detector(
    e: &Experiment,
    pool: &dyn EnginePool,
    val: &SplitData,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Measured>, TrainError> {
    let found = detections_in(e, pool, val, None, stop, progress)?;
    found.map(|detections| Measured::new(&val.dataset, detections, data::wants_masks(e))).transpose()
}

/// Measures weights in libtorch on the experiment's validation data. `None` where `stop` was raised.
///
/// # Errors
/// Files that do not fit, data that cannot be read.
pub fn evaluate_weights(
    e: &Experiment,
    weights: WeightsFile,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Measured>, TrainError> {
    let pool = LibtorchPool::new(e, model::load_or_val_classes(e, weights)?);
    let val = validation_data(e, pool.classes(), None)?;
    evaluate_detector(e, &pool, &val, stop, progress)
}
