//! Detections ranked by score with what became of each: enough to compute average precision over any selection of images.
//!
//! A selection is a weight per image: 1 for each image is the set itself, and a bootstrap sample gives an image the number of times
//! that it was drawn.

use super::matched::{position, Matched};
use super::IOU;

/// A detection's fate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hit {
    /// The score.
    pub score: f64,
    /// Rank of the image.
    pub image: u32,
    /// Bit t: it hits an object at IoU threshold t.
    pub hits: u16,
    /// Bit t: it does not count at threshold t (it lies in a crowd region).
    pub ignored: u16,
}

/// The detections of a class.
#[derive(Clone, Debug, Default)]
pub(super) struct RankedClass {
    /// By falling score.
    pub detections: Vec<Hit>,
    /// Rank of an image and its objects, crowds left out.
    pub objects: Vec<(u32, u32)>,
}

/// All classes, in order of their category ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranked {
    /// Number of images.
    pub images: usize,
    /// Category ids.
    pub categories: Vec<i64>,
    /// Their detections.
    pub classes: Vec<RankedClass>,
    /// The IoU thresholds.
    pub ious: Vec<f64>,
    recalls: Vec<f64>,
}

impl Ranked {
    /// Ranks.
    pub fn new(matched: &Matched) -> Self {
        let params = &matched.evaluator.params;
        let mut classes = vec![RankedClass::default(); matched.categories.len()];
        for cell in matched.cells() {
            let (Some(image), Some(class)) = (position(cell.image_id), position(cell.category_id)) else { continue };
            let Some(class) = classes.get_mut(class) else { continue };
            let image = image as u32;
            let objects = cell.num_gt_in_denominator() as u32;
            if objects > 0 {
                class.objects.push((image, objects));
            }
            let bits = |matrix: &hotcoco::ThreshMatrix<bool>, d: usize| {
                (0..matrix.num_rows().min(16)).fold(0u16, |bits, t| bits | (u16::from(matrix.row(t)[d]) << t))
            };
            class.detections.extend(cell.dt_scores.iter().enumerate().map(|(d, &score)| Hit {
                score,
                image,
                hits: bits(&cell.dt_matched, d),
                ignored: bits(&cell.dt_ignore, d),
            }));
        }
        for class in &mut classes {
            // Ties stand in order of the images, as in pycocotools.
            class.detections.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.image.cmp(&b.image)));
        }
        Self {
            images: matched.images.len(),
            categories: matched.categories.clone(),
            classes,
            ious: params.iou_thrs.clone(),
            recalls: params.rec_thrs.clone(),
        }
    }

    /// Index of [`IOU`] among the thresholds.
    pub fn at_half(&self) -> usize {
        self.at(IOU)
    }

    /// Index of an IoU threshold.
    pub fn at(&self, iou: f64) -> usize {
        self.ious.iter().position(|t| (t - iou).abs() < 1e-9).unwrap_or(0)
    }

    /// Average precision of a class at each IoU threshold; `None` where the selection has no object of it.
    pub fn average_precision(&self, class: usize, weights: &[u32]) -> Option<Vec<f64>> {
        let class = &self.classes[class];
        let weight = |image: u32| u64::from(weights[image as usize]);
        let objects: u64 = class.objects.iter().map(|&(image, n)| weight(image) * u64::from(n)).sum();
        if objects == 0 {
            return None;
        }
        let mut points: Vec<Vec<(f64, f64)>> = vec![Vec::new(); self.ious.len()];
        let mut sums = vec![(0u64, 0u64); self.ious.len()];
        for hit in &class.detections {
            let weight = weight(hit.image);
            if weight == 0 {
                continue;
            }
            for (t, (found, wrong)) in sums.iter_mut().enumerate() {
                let bit = 1u16 << t;
                if hit.ignored & bit != 0 {
                    continue;
                }
                if hit.hits & bit != 0 {
                    *found += weight;
                    points[t].push((*found as f64 / objects as f64, *found as f64 / (*found + *wrong) as f64));
                } else {
                    *wrong += weight;
                }
            }
        }
        Some(points.iter().map(|points| interpolated(points, &self.recalls)).collect())
    }
}

/// Mean over the recall points of the highest precision at that recall or a higher one.
fn interpolated(points: &[(f64, f64)], recalls: &[f64]) -> f64 {
    let mut best = 0.0f64;
    let mut at = points.len();
    let mut sum = 0.0;
    for &recall in recalls.iter().rev() {
        while at > 0 && points[at - 1].0 >= recall {
            at -= 1;
            best = best.max(points[at].1);
        }
        sum += best;
    }
    sum / recalls.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotations::{Dataset, DatasetOptions};
    use crate::metrics::IouType;

    /// An image that is drawn twice counts as two: as pycocotools measures a set that has it twice (`tools/fixtures/judge.py`).
    #[test]
    fn weights_are_copies() {
        let cases: serde_json::Value = serde_json::from_str(include_str!("../../tests/fixtures/judge.json")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (truth, found) = (folder.path().join("gt.json"), folder.path().join("dt.json"));
        for case in cases.as_array().unwrap() {
            std::fs::write(&truth, case["gt"].to_string()).unwrap();
            std::fs::write(&found, case["dt"].to_string()).unwrap();
            let truth = Dataset::load(&truth, &DatasetOptions::default()).unwrap();
            let detections = crate::read_detections(&found, &truth).unwrap();
            let ranked = Ranked::new(&Matched::new(&truth, &detections, IouType::Bbox).unwrap());
            for sample in case["weighted"].as_array().unwrap() {
                let weights: Vec<u32> = serde_json::from_value(sample["weights"].clone()).unwrap();
                let classes: Vec<Vec<f64>> =
                    (0..ranked.classes.len()).filter_map(|k| ranked.average_precision(k, &weights)).collect();
                let mean = |of: &dyn Fn(&Vec<f64>) -> f64| classes.iter().map(of).sum::<f64>() / classes.len() as f64;
                let ap = mean(&|aps| aps.iter().sum::<f64>() / aps.len() as f64);
                let ap50 = mean(&|aps| aps[ranked.at_half()]);
                for (ours, name) in [(ap, "AP"), (ap50, "AP50")] {
                    let theirs = sample[name].as_f64().unwrap();
                    assert!((ours - theirs).abs() < 1e-9, "{name} of {weights:?}: {ours}, pycocotools {theirs}");
                }
            }
        }
    }
}
