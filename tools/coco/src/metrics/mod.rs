//! The COCO numbers: average precision and recall of boxes or masks.
//!
//! The protocol is that of cocodataset.org/#detection-eval and of pycocotools, its reference: ten IoU thresholds from 0.50 to
//! 0.95, 101 recall points, three sizes, at most 100 detections per image and class, crowds ignored. hotcoco does the matching
//! and the accumulation, to the last bit as pycocotools does; this file feeds it and names what comes out. Where a file gives
//! both a box and a mask, the mask is compared and the area is the box's, since `loadRes` of pycocotools has it so.
//! One difference is meant: an object with annotation id 0 counts like any other (pycocotools takes 0 for "no match").

use std::collections::HashMap;
use std::path::Path;

use hotcoco::types as hot;
use hotcoco::{COCOeval, COCO};
use serde::{Serialize, Serializer};

use crate::annotations::{Class, Dataset};
use crate::detections::Detection;
use crate::files::write_atomic;

pub(crate) mod feed;
mod tables;

use feed::{without_annotations, Ids};
use tables::Tables;

/// Number of the points at which precision is read: recall 0.00, 0.01, … 1.00.
pub const RECALL_POINTS: usize = 101;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IouType {
    /// Boxes.
    Bbox,
    /// Masks.
    Segm,
}

impl IouType {
    /// `bbox` or `segm`, as files and options have it.
    pub fn name(self) -> &'static str {
        match self {
            IouType::Bbox => "bbox",
            IouType::Segm => "segm",
        }
    }
}

/// The twelve numbers; -1 where there is nothing to measure (no object of that size), as in pycocotools.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct Numbers {
    /// Mean of the average precisions at IoU 0.50, 0.55, … 0.95.
    pub ap: f64,
    /// At IoU 0.50.
    pub ap50: f64,
    /// At IoU 0.75.
    pub ap75: f64,
    /// Of objects below 32 x 32 pixels.
    #[serde(rename = "APs")]
    pub ap_small: f64,
    /// Of objects between 32 x 32 and 96 x 96 pixels.
    #[serde(rename = "APm")]
    pub ap_medium: f64,
    /// Of objects above 96 x 96 pixels.
    #[serde(rename = "APl")]
    pub ap_large: f64,
    /// Recall with one detection an image.
    pub ar1: f64,
    /// Recall with ten detections per image.
    pub ar10: f64,
    /// Recall with a hundred detections per image.
    pub ar100: f64,
    /// Recall of objects below 32 x 32 pixels.
    #[serde(rename = "ARs")]
    pub ar_small: f64,
    /// Recall of objects between 32 x 32 and 96 x 96 pixels.
    #[serde(rename = "ARm")]
    pub ar_medium: f64,
    /// Recall of objects above 96 x 96 pixels.
    #[serde(rename = "ARl")]
    pub ar_large: f64,
}

impl Numbers {
    /// Name and value, in the usual order.
    pub fn named(&self) -> [(&'static str, f64); 12] {
        [
            ("AP", self.ap),
            ("AP50", self.ap50),
            ("AP75", self.ap75),
            ("APs", self.ap_small),
            ("APm", self.ap_medium),
            ("APl", self.ap_large),
            ("AR1", self.ar1),
            ("AR10", self.ar10),
            ("AR100", self.ar100),
            ("ARs", self.ar_small),
            ("ARm", self.ar_medium),
            ("ARl", self.ar_large),
        ]
    }

    fn from_stats(stats: &[f64]) -> Option<Self> {
        let &[ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10, ar100, ar_small, ar_medium, ar_large] = stats else {
            return None;
        };
        Some(Numbers { ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10, ar100, ar_small, ar_medium, ar_large })
    }
}

/// The numbers of one class; `None` where the ground truth has no object of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassNumbers {
    /// The class's id in the annotation file.
    pub category_id: i64,
    /// Its name.
    pub name: String,
    /// Objects in the ground truth, crowds left out.
    pub objects: usize,
    /// Mean average precision over the IoU thresholds.
    #[serde(rename = "AP")]
    pub ap: Option<f64>,
    /// Average precision at IoU 0.50.
    #[serde(rename = "AP50")]
    pub ap50: Option<f64>,
    /// Recall with a hundred detections per image.
    #[serde(rename = "AR100")]
    pub ar100: Option<f64>,
    /// Precision at IoU 0.50 for each of the [`RECALL_POINTS`]; empty where `ap` is `None`.
    #[serde(skip)]
    pub precision50: Vec<f64>,
}

/// Precision over recall, the mean of the classes, for the plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The IoU threshold; `None` for the mean of all ten.
    pub iou: Option<f64>,
    /// One value for each of the [`RECALL_POINTS`].
    pub precision: Vec<f64>,
}

/// The result of one evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// What was compared.
    pub iou_type: IouType,
    /// The twelve numbers.
    pub numbers: Numbers,
    /// By class, in order of the category ids.
    pub classes: Vec<ClassNumbers>,
    /// At IoU 0.50, at IoU 0.75, and the mean over all thresholds; empty where there is no object at all.
    pub curves: Vec<Curve>,
}

/// Why an evaluation was not possible.
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    /// Masks are asked for and the ground truth has none.
    #[error("{file}: no object has a segmentation, so masks cannot be evaluated; evaluate boxes (bbox)")]
    NoMasks {
        /// The annotation file.
        file: String,
    },
    /// Detections that have nothing to compare.
    #[error("{count} of {total} detections have neither bbox nor segmentation (the first is on image {image_id})")]
    NoGeometry {
        /// Detections without both.
        count: usize,
        /// All detections.
        total: usize,
        /// The first one's image.
        image_id: i64,
    },
    /// The evaluator refused its input.
    #[error("the evaluation failed: {0}")]
    Evaluator(String),
}

impl MetricError {
    /// What went wrong, without the words that it was an evaluation.
    pub fn reason(&self) -> String {
        match self {
            Self::Evaluator(reason) => reason.clone(),
            other => other.to_string(),
        }
    }
}

/// Compares detections with a ground truth. Detections of unknown images or classes count nowhere.
///
/// # Errors
/// [`MetricError`]: masks asked for where there are none.
pub fn evaluate(ground_truth: &Dataset, detections: &[Detection], iou_type: IouType) -> Result<Evaluation, MetricError> {
    let mut evaluator = evaluator(ground_truth, detections, &Ids::new(ground_truth), iou_type)?;
    evaluator.evaluate().map_err(|error| MetricError::Evaluator(error.to_string()))?;
    evaluator.accumulate();
    evaluator.summarize_lines();
    let numbers = evaluator.stats().and_then(Numbers::from_stats);
    let (Some(numbers), Some(_)) = (numbers, evaluator.accumulated()) else {
        return Err(MetricError::Evaluator("it gave no twelve numbers".to_owned()));
    };
    let tables = Tables::new(&evaluator);
    let mut objects: HashMap<i64, usize> = HashMap::new();
    for annotation in (0..ground_truth.len()).flat_map(|index| ground_truth.annotations(index)) {
        *objects.entry(annotation.category_id).or_default() += usize::from(!annotation.iscrowd);
    }
    let mut sorted: Vec<&Class> = ground_truth.classes.iter().collect();
    sorted.sort_by_key(|class| class.category_id);
    let classes = sorted
        .into_iter()
        .enumerate()
        .map(|(k, class)| ClassNumbers {
            category_id: class.category_id,
            name: class.name.clone(),
            objects: objects.get(&class.category_id).copied().unwrap_or(0),
            ap: mean((0..tables.ious).flat_map(|t| tables.precision(t, k))),
            ap50: mean(tables.precision(0, k)),
            ar100: mean((0..tables.ious).map(|t| tables.recall(t, k))),
            precision50: tables.precision(0, k).filter(|&p| p > -1.0).collect(),
        })
        .collect();
    Ok(Evaluation { iou_type, numbers, classes, curves: tables.curves() })
}

/// The evaluator of hotcoco with the ground truth and the detections; nothing is matched yet.
pub(crate) fn evaluator(
    ground_truth: &Dataset,
    detections: &[Detection],
    ids: &Ids,
    iou_type: IouType,
) -> Result<COCOeval, MetricError> {
    let lacks = |d: &&Detection| d.bbox.is_none() && d.segmentation.is_none();
    if let Some(first) = detections.iter().find(lacks) {
        let count = detections.iter().filter(lacks).count();
        return Err(MetricError::NoGeometry { count, total: detections.len(), image_id: first.image_id });
    }
    let truth = ids.truth(ground_truth, iou_type)?;
    let found = hot::Dataset { annotations: ids.detections(detections, iou_type), ..without_annotations(&truth) };
    let kind = match iou_type {
        IouType::Bbox => hotcoco::params::IouType::Bbox,
        IouType::Segm => hotcoco::params::IouType::Segm,
    };
    Ok(COCOeval::new(COCO::from_dataset(truth), COCO::from_dataset(found), kind))
}

/// Writes `{"bbox": {"AP": …}, "segm": {…}}` with every digit.
///
/// # Errors
/// The system's message.
pub fn write_metrics(path: &Path, evaluations: &[Evaluation]) -> std::io::Result<()> {
    write_metrics_with(path, evaluations, &[])
}

/// Writes as [`write_metrics`], with further keys behind the numbers.
///
/// # Errors
/// The system's message.
pub fn write_metrics_with(path: &Path, evaluations: &[Evaluation], further: &[(&str, serde_json::Value)]) -> std::io::Result<()> {
    let mut by_type: serde_json::Map<String, serde_json::Value> = evaluations
        .iter()
        .map(|evaluation| Ok((evaluation.iou_type.name().to_owned(), serde_json::to_value(evaluation.numbers)?)))
        .collect::<Result<_, serde_json::Error>>()?;
    by_type.extend(further.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let mut text = serde_json::to_string_pretty(&by_type)?;
    text.push('\n');
    write_atomic(path, text.as_bytes())
}

/// Mean of what was measured, as numpy sums it.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let measured: Vec<f64> = values.filter(|&value| value > -1.0).collect();
    (!measured.is_empty()).then(|| measured.iter().sum::<f64>() / measured.len() as f64)
}

impl Serialize for IouType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
