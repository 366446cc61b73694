//! Detections matched with a ground truth, and the way back from the evaluator's ids to ours.

use hotcoco::{COCOeval, EvalImg};

use crate::annotations::{Annotation, Dataset};
use crate::detections::Detection;
use crate::metrics::feed::Ids;
use crate::metrics::{evaluator, IouType, MetricError};

/// Matched detections. The evaluator numbers images, categories, objects and detections from 1, in the orders of the fields here.
pub(super) struct Matched<'a> {
    /// hotcoco's evaluator, after matching, over objects of all sizes.
    pub evaluator: COCOeval,
    /// Indices of the images, by rank of their ids.
    pub images: Vec<usize>,
    /// Category ids, ascending.
    pub categories: Vec<i64>,
    /// Image index and annotation of each object.
    pub objects: Vec<(usize, &'a Annotation)>,
    /// The detections that count.
    pub detections: Vec<&'a Detection>,
}

impl<'a> Matched<'a> {
    /// Matches.
    pub fn new(truth: &'a Dataset, detections: &'a [Detection], iou_type: IouType) -> Result<Self, MetricError> {
        let ids = Ids::new(truth);
        let mut evaluator = evaluator(truth, detections, &ids, iou_type)?;
        evaluator.params.area_ranges.retain(|range| range.label == "all");
        evaluator.evaluate().map_err(|e| MetricError::Evaluator(e.to_string()))?;
        let mut images: Vec<usize> = (0..truth.images.len()).collect();
        images.sort_by_key(|i| truth.images[*i].id);
        let mut categories: Vec<i64> = truth.classes.iter().map(|class| class.category_id).collect();
        categories.sort_unstable();
        let all = (0..truth.images.len()).flat_map(|i| truth.annotations(i).iter().map(move |object| (i, object)));
        let objects = all.filter(|(i, object)| ids.take_part(truth.images[*i].id, object.category_id)).collect();
        let detections = ids.counted(detections);
        Ok(Self { evaluator, images, categories, objects, detections })
    }

    /// The matched cells, one an image and class.
    pub fn cells(&self) -> impl Iterator<Item = &EvalImg> {
        self.evaluator.eval_imgs().iter().flatten()
    }

    /// The object of an evaluator's id.
    pub fn object(&self, id: u64) -> Option<(usize, &'a Annotation)> {
        self.objects.get(position(id)?).copied()
    }

    /// The detection of an evaluator's id.
    pub fn detection(&self, id: u64) -> Option<&'a Detection> {
        self.detections.get(position(id)?).copied()
    }
}

/// The evaluator's ids start at 1.
pub(super) fn position(id: u64) -> Option<usize> {
    usize::try_from(id.checked_sub(1)?).ok()
}
