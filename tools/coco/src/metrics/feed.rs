//! Our records to the evaluator's.

use std::cmp::Ordering;
use std::collections::HashMap;

use hotcoco::types as hot;

use super::{IouType, MetricError};
use crate::annotations::suspicion::COUNTED;
use crate::annotations::{Annotation, Dataset, Segmentation};
use crate::detections::Detection;

/// The evaluator wants ids that are not negative; ranks keep the order, on which ties depend.
pub(crate) struct Ids {
    images: HashMap<i64, u64>,
    categories: HashMap<i64, u64>,
}

impl Ids {
    pub fn new(ground_truth: &Dataset) -> Self {
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

    /// Whether a detection takes part: its image and its category are in the ground truth.
    pub fn take_part(&self, image_id: i64, category_id: i64) -> bool {
        self.images.contains_key(&image_id) && self.categories.contains_key(&category_id)
    }

    pub fn truth(&self, ground_truth: &Dataset, iou_type: IouType) -> Result<hot::Dataset, MetricError> {
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

    /// The detections that the protocol counts, in their order: those that [take part](Self::take_part), of each class in each image the
    /// [`COUNTED`] best. pycocotools drops the others before it compares anything; of equal scores the first stay.
    pub fn counted<'a>(&self, detections: &'a [Detection]) -> Vec<&'a Detection> {
        let mut all: Vec<&Detection> = detections.iter().filter(|d| self.take_part(d.image_id, d.category_id)).collect();
        let mut cells: HashMap<(i64, i64), Vec<usize>> = HashMap::new();
        for (place, detection) in all.iter().enumerate() {
            cells.entry((detection.image_id, detection.category_id)).or_default().push(place);
        }
        let mut kept = vec![true; all.len()];
        for mut places in cells.into_values().filter(|places| places.len() > COUNTED) {
            places.sort_by(|&a, &b| all[b].score.partial_cmp(&all[a].score).unwrap_or(Ordering::Equal));
            places[COUNTED..].iter().for_each(|&place| kept[place] = false);
        }
        let mut kept = kept.iter();
        all.retain(|_| kept.next().copied().unwrap_or(false));
        all
    }

    /// `detections` as the evaluator has them, numbered from 1 in the order of [`Self::counted`].
    pub fn detections(&self, detections: &[Detection], iou_type: IouType) -> Vec<hot::Annotation> {
        // pycocotools judges the whole file by its first entry.
        let boxes_first = detections.first().is_some_and(|first| first.bbox.is_some());
        let counted = self.counted(detections);
        let mut annotations = Vec::with_capacity(counted.len());
        for detection in counted {
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

/// The images and categories alone: the frame that detections are put into.
pub(crate) fn without_annotations(dataset: &hot::Dataset) -> hot::Dataset {
    hot::Dataset { images: dataset.images.clone(), categories: dataset.categories.clone(), ..Default::default() }
}
