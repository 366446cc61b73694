//! The COCO numbers: average precision and recall of boxes or masks.
//!
//! The protocol is that of cocodataset.org/#detection-eval and of pycocotools, its reference: ten IoU thresholds from 0.50 to
//! 0.95, 101 recall points, three sizes, at most 100 detections an image and class, crowds ignored. hotcoco does the matching
//! and the accumulation, to the last bit as pycocotools does; this file feeds it and names what comes out. Where a file gives
//! both a box and a mask, the mask is compared and the area is the box's, since `loadRes` of pycocotools has it so.

use std::collections::HashMap;
use std::path::Path;

use hotcoco::types as hot;
use hotcoco::{COCOeval, COCO};
use serde::{Serialize, Serializer};

use crate::annotations::{Annotation, Class, Dataset, Segmentation};
use crate::detections::Detection;
use crate::files::write_atomic;

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
    /// Recall with ten detections an image.
    pub ar10: f64,
    /// Recall with a hundred detections an image.
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
    /// Recall with a hundred detections an image.
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
    #[error("{file}: no object has a segmentation, so masks cannot be evaluated; use `--iou-type bbox`")]
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

/// Compares detections with a ground truth. Detections of unknown images or classes count nowhere.
///
/// # Errors
/// [`MetricError`]: masks asked for where there are none.
pub fn evaluate(ground_truth: &Dataset, detections: &[Detection], iou_type: IouType) -> Result<Evaluation, MetricError> {
    let lacks = |d: &&Detection| d.bbox.is_none() && d.segmentation.is_none();
    if let Some(first) = detections.iter().find(lacks) {
        let count = detections.iter().filter(lacks).count();
        return Err(MetricError::NoGeometry { count, total: detections.len(), image_id: first.image_id });
    }
    let ids = Ids::new(ground_truth);
    let truth = ids.truth(ground_truth, iou_type)?;
    let found = hot::Dataset { annotations: ids.detections(detections, iou_type), ..without_annotations(&truth) };
    let kind = match iou_type {
        IouType::Bbox => hotcoco::params::IouType::Bbox,
        IouType::Segm => hotcoco::params::IouType::Segm,
    };
    let mut evaluator = COCOeval::new(COCO::from_dataset(truth), COCO::from_dataset(found), kind);
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

/// Writes `{"bbox": {"AP": …}, "segm": {…}}` with every digit.
///
/// # Errors
/// What the system says.
pub fn write_metrics(path: &Path, evaluations: &[Evaluation]) -> std::io::Result<()> {
    let by_type: serde_json::Map<String, serde_json::Value> = evaluations
        .iter()
        .map(|evaluation| Ok((evaluation.iou_type.name().to_owned(), serde_json::to_value(evaluation.numbers)?)))
        .collect::<Result<_, serde_json::Error>>()?;
    let mut text = serde_json::to_string_pretty(&by_type)?;
    text.push('\n');
    write_atomic(path, text.as_bytes())
}

fn without_annotations(dataset: &hot::Dataset) -> hot::Dataset {
    hot::Dataset { images: dataset.images.clone(), categories: dataset.categories.clone(), ..Default::default() }
}

/// Mean of what was measured, as numpy sums it.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let measured: Vec<f64> = values.filter(|&value| value > -1.0).collect();
    (!measured.is_empty()).then(|| measured.iter().sum::<f64>() / measured.len() as f64)
}

/// The evaluator wants ids that are not negative; ranks keep the order, on which ties depend.
struct Ids {
    images: HashMap<i64, u64>,
    categories: HashMap<i64, u64>,
}

impl Ids {
    fn new(ground_truth: &Dataset) -> Self {
        fn ranks(ids: impl Iterator<Item = i64>) -> HashMap<i64, u64> {
            let mut ids: Vec<i64> = ids.collect();
            ids.sort_unstable();
            ids.into_iter().zip(1..).collect()
        }
        Ids {
            images: ranks(ground_truth.images.iter().map(|image| image.id)),
            categories: ranks(ground_truth.classes.iter().map(|class| class.category_id)),
        }
    }

    fn truth(&self, ground_truth: &Dataset, iou_type: IouType) -> Result<hot::Dataset, MetricError> {
        let mut annotations = Vec::new();
        let mut with_mask = 0;
        for (index, image) in ground_truth.images.iter().enumerate() {
            for object in ground_truth.annotations(index) {
                with_mask += usize::from(!object.segmentation.is_none());
                let ids = self.images.get(&image.id).zip(self.categories.get(&object.category_id));
                if let Some((&image_id, &category_id)) = ids {
                    let id = annotations.len() as u64 + 1;
                    annotations.push(truth(object, [id, image_id, category_id], iou_type));
                }
            }
        }
        if iou_type == IouType::Segm && with_mask == 0 && !annotations.is_empty() {
            return Err(MetricError::NoMasks { file: ground_truth.path.display().to_string() });
        }
        let images = ground_truth
            .images
            .iter()
            .filter_map(|image| {
                let id = *self.images.get(&image.id)?;
                Some(hot::Image { id, height: image.height, width: image.width, ..Default::default() })
            })
            .collect();
        let categories =
            self.categories.values().map(|&id| hot::Category { id, name: id.to_string(), ..Default::default() }).collect();
        Ok(hot::Dataset { images, annotations, categories, ..Default::default() })
    }

    fn detections(&self, detections: &[Detection], iou_type: IouType) -> Vec<hot::Annotation> {
        // pycocotools judges the whole file by its first entry.
        let boxes_first = detections.first().is_some_and(|first| first.bbox.is_some());
        let mut annotations = Vec::with_capacity(detections.len());
        for detection in detections {
            let ids = self.images.get(&detection.image_id).zip(self.categories.get(&detection.category_id));
            let Some((&image_id, &category_id)) = ids else { continue };
            let mask = detection.segmentation.as_ref();
            let bbox = detection.bbox.or_else(|| mask.map(|mask| mask.bbox()));
            let box_area = bbox.map(|[_, _, w, h]| w * h);
            let area = if boxes_first { box_area } else { mask.map(|mask| mask.area() as f64).or(box_area) };
            let segmentation = match (iou_type, mask, bbox) {
                (IouType::Bbox, ..) => None,
                (IouType::Segm, Some(mask), _) => {
                    Some(hot::Segmentation::UncompressedRle { size: mask.size, counts: mask.counts.clone() })
                }
                (IouType::Segm, None, bbox) => bbox.map(hot::Segmentation::Rect),
            };
            annotations.push(hot::Annotation {
                id: annotations.len() as u64 + 1,
                image_id,
                category_id,
                bbox,
                area,
                segmentation,
                score: Some(detection.score),
                ..Default::default()
            });
        }
        annotations
    }
}

/// A ground-truth object; in mask evaluation, an object that has only a box stands with the box.
fn truth(object: &Annotation, [id, image_id, category_id]: [u64; 3], iou_type: IouType) -> hot::Annotation {
    let segmentation = match (iou_type, &object.segmentation) {
        (IouType::Bbox, _) => None,
        (IouType::Segm, Segmentation::None) => Some(hot::Segmentation::Rect(object.bbox)),
        (IouType::Segm, Segmentation::Polygons(polygons)) => Some(hot::Segmentation::Polygon(polygons.clone())),
        (IouType::Segm, Segmentation::Rle(rle)) => {
            Some(hot::Segmentation::UncompressedRle { size: rle.size, counts: rle.counts.clone() })
        }
    };
    hot::Annotation {
        id,
        image_id,
        category_id,
        bbox: Some(object.bbox),
        area: Some(object.area),
        segmentation,
        iscrowd: object.iscrowd,
        ..Default::default()
    }
}

/// The evaluator's tables at all sizes and at most a hundred detections.
struct Tables<'a> {
    accumulated: Option<&'a hotcoco::AccumulatedEval>,
    ious: usize,
    classes: usize,
    area: usize,
    limit: usize,
}

impl<'a> Tables<'a> {
    fn new(evaluator: &'a COCOeval) -> Self {
        let accumulated = evaluator.accumulated();
        let shape = accumulated.map(|a| a.shape);
        Tables {
            accumulated,
            ious: shape.map_or(0, |shape| shape.t),
            classes: shape.map_or(0, |shape| shape.k),
            area: evaluator.params.all_area_idx(),
            limit: evaluator.params.max_det_idx(),
        }
    }

    /// Precision at the recall points; -1 where the class has no object.
    fn precision(&self, iou: usize, class: usize) -> impl Iterator<Item = f64> + '_ {
        let points = self.accumulated.map_or(0, |a| a.shape.r);
        (0..points).map(move |point| {
            let at = |a: &hotcoco::AccumulatedEval| {
                a.precision.get(a.precision_idx(iou, point, class, self.area, self.limit)).copied()
            };
            self.accumulated.and_then(at).unwrap_or(-1.0)
        })
    }

    fn recall(&self, iou: usize, class: usize) -> f64 {
        let at = |a: &hotcoco::AccumulatedEval| a.recall.get(a.recall_idx(iou, class, self.area, self.limit)).copied();
        self.accumulated.and_then(at).unwrap_or(-1.0)
    }

    fn curves(&self) -> Vec<Curve> {
        // Thresholds 0.50 and 0.75 are the first and the sixth of ten.
        let wanted = [(Some(0.5), 0..1), (Some(0.75), 5..6), (None, 0..self.ious)];
        let curve = |(iou, range): (Option<f64>, std::ops::Range<usize>)| {
            let mut sum = vec![0.0; RECALL_POINTS];
            let mut count = 0;
            for (t, class) in range.flat_map(|t| (0..self.classes).map(move |class| (t, class))) {
                let values: Vec<f64> = self.precision(t, class).collect();
                if values.len() == RECALL_POINTS && values.iter().all(|&p| p > -1.0) {
                    count += 1;
                    sum.iter_mut().zip(&values).for_each(|(sum, value)| *sum += value);
                }
            }
            (count > 0).then(|| Curve { iou, precision: sum.iter().map(|sum| sum / f64::from(count)).collect() })
        };
        wanted.into_iter().filter_map(curve).collect()
    }
}

impl Serialize for IouType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
