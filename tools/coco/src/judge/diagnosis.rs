//! Where a detector is wrong.
//!
//! Error types are those of TIDE (Bolya et al. 2020): each false positive, and each missed object, is of one type, and a type's weight
//! is what AP50 would win if all its errors were repaired. Everything else is counted at an operating point: the score threshold with the
//! best F1, unless one is given.

use std::collections::HashMap;

use hotcoco::{DtStatus, GtStatus};
use serde::Serialize;

use super::matched::Matched;
use super::ranked::Ranked;
use super::{thresholds, IOU};
use crate::annotations::Dataset;
use crate::detections::Detection;
use crate::metrics::{IouType, MetricError};

/// Overlap up to which a false positive lies on background (TIDE's default).
const BACKGROUND: f64 = 0.1;
/// Bins of the calibration curve.
const BINS: usize = 10;
/// Worst images that are listed.
const WORST: usize = 20;
/// The evaluator's names of the error types, and ours.
const TYPES: [(&str, &str); 6] = [
    ("Cls", "classification"),
    ("Loc", "localization"),
    ("Both", "both"),
    ("Dupe", "duplicate"),
    ("Bkg", "background"),
    ("Miss", "missed"),
];
/// COCO's sizes: areas in pixels.
const SIZES: [(&str, f64, f64); 3] =
    [("small", 0.0, 32.0 * 32.0), ("medium", 32.0 * 32.0, 96.0 * 96.0), ("large", 96.0 * 96.0, f64::INFINITY)];

/// Where a detector is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnosis {
    /// What was compared.
    pub iou_type: IouType,
    /// Score from which detections count in everything but the error types and the calibration.
    pub score_threshold: f64,
    /// Average precision at IoU 0.50, which the error types refer to.
    pub ap50: f64,
    /// Error types, in TIDE's order.
    pub errors: Vec<ErrorType>,
    /// Which class was taken for which.
    pub confusion: Confusion,
    /// Whether scores are probabilities; `None` where some lie outside of 0 to 1, or there are none.
    pub calibration: Option<Calibration>,
    /// Objects by size.
    pub sizes: Vec<Group>,
    /// Objects by class, in order of the category ids.
    pub classes: Vec<Group>,
    /// The images with the lowest F1 that have an error, worst first.
    pub worst: Vec<WorstImage>,
}

/// A type of error.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorType {
    /// `classification` (right place, wrong class), `localization` (right class, IoU from 0.1 to 0.5), `both`, `duplicate` (of an object
    /// that was found already), `background` (on nothing), `missed` (objects).
    pub name: String,
    /// Number of errors.
    pub count: u64,
    /// AP50 that repairing all of them would win.
    pub ap50_gain: f64,
}

/// Detections against objects at IoU 0.50, whatever their class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Confusion {
    /// Class names; rows and columns have one more, the background.
    pub classes: Vec<String>,
    /// `counts[truth][detected]`; the last row are false alarms on background, the last column missed objects.
    pub counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// The most frequent mix-up of two classes: truth, detected, how often.
    pub fn worst(&self) -> Option<(&str, &str, u64)> {
        let n = self.classes.len();
        let pairs = (0..n).flat_map(|t| (0..n).filter(move |d| *d != t).map(move |d| (t, d)));
        // Of equals the first.
        let worst = pairs.rev_max(|&(t, d)| self.counts[t][d])?;
        let count = self.counts[worst.0][worst.1];
        (count > 0).then(|| (self.classes[worst.0].as_str(), self.classes[worst.1].as_str(), count))
    }

    /// Objects that were matched, and those of them that got another class.
    pub fn matched(&self) -> (u64, u64) {
        let n = self.classes.len();
        let all: u64 = (0..n).map(|t| self.counts[t][..n].iter().sum::<u64>()).sum();
        let right: u64 = (0..n).map(|k| self.counts[k][k]).sum();
        (all, all - right)
    }
}

/// The first of the highest.
trait RevMax: Iterator + Sized {
    fn rev_max(self, key: impl Fn(&Self::Item) -> u64) -> Option<Self::Item> {
        self.fold(None, |best, item| match best {
            Some(best) if key(&best) >= key(&item) => Some(best),
            _ => Some(item),
        })
    }
}

impl<I: Iterator> RevMax for I {}

/// Scores against the share of hits at IoU 0.50 (reliability diagram, DeGroot and Fienberg 1983).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Expected calibration error: mean distance of score and precision over the bins, weighted by detections (Guo et al. 2017).
    pub ece: f64,
    /// The largest distance of a bin.
    pub mce: f64,
    /// Mean score minus share of hits: above 0 where scores promise too much.
    pub excess: f64,
    /// Detections.
    pub detections: usize,
    /// Bins of equal width that have detections.
    pub bins: Vec<Bin>,
}

/// A bin of scores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// Mean score.
    pub score: f64,
    /// Share of hits.
    pub precision: f64,
    /// Detections.
    pub count: usize,
}

/// Objects of a size or class at the operating point.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Objects.
    pub objects: usize,
    /// Of these, found.
    pub found: usize,
    /// False alarms; of a size by the size of the detection.
    pub false_alarms: usize,
    /// Average precision; `None` where there is no object.
    #[serde(rename = "AP")]
    pub ap: Option<f64>,
}

impl Group {
    /// Objects found among all; `None` where there is none.
    pub fn recall(&self) -> Option<f64> {
        (self.objects > 0).then(|| self.found as f64 / self.objects as f64)
    }

    /// Hits among all detections; `None` where there is none.
    pub fn precision(&self) -> Option<f64> {
        let shown = self.found + self.false_alarms;
        (shown > 0).then(|| self.found as f64 / shown as f64)
    }
}

/// An image with errors.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorstImage {
    /// The image's id.
    pub image_id: i64,
    /// Its file name.
    pub file_name: String,
    /// Objects found.
    pub found: usize,
    /// Objects missed.
    pub missed: usize,
    /// Detections that hit nothing.
    pub false_alarms: usize,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
}

/// Diagnoses detections. Without `score_threshold` the operating point is the threshold with the best F1.
///
/// # Errors
/// [`MetricError`], as an evaluation.
pub fn diagnose(
    truth: &Dataset,
    detections: &[Detection],
    iou_type: IouType,
    score_threshold: Option<f64>,
) -> Result<Diagnosis, MetricError> {
    let failed = |e: hotcoco::Error| MetricError::Evaluator(e.to_string());
    let numbers = crate::metrics::evaluate(truth, detections, iou_type)?;
    let matched = Matched::new(truth, detections, iou_type)?;
    let threshold = score_threshold.or_else(|| thresholds::best_f1(&Ranked::new(&matched))).unwrap_or(0.5);
    let tide = matched.evaluator.tide_errors(IOU, BACKGROUND).map_err(failed)?;
    let errors = TYPES
        .iter()
        .map(|(key, name)| ErrorType {
            name: (*name).to_owned(),
            count: tide.counts.get(*key).copied().unwrap_or(0),
            ap50_gain: tide.delta_ap.get(*key).copied().unwrap_or(0.0),
        })
        .collect();
    let tallies = Tallies::new(&matched, truth, threshold).map_err(failed)?;
    let named = |ap: f64| (ap >= 0.0).then_some(ap);
    let aps = [numbers.numbers.ap_small, numbers.numbers.ap_medium, numbers.numbers.ap_large].map(named);
    let sizes = SIZES.iter().zip(aps).map(|((name, ..), ap)| tallies.sizes.get(name).group(name, ap)).collect();
    let classes = numbers.classes.iter().map(|c| tallies.classes.get(&c.category_id).group(&c.name, c.ap)).collect();
    Ok(Diagnosis {
        iou_type,
        score_threshold: threshold,
        ap50: tide.ap_base,
        errors,
        confusion: confusion(&matched, truth, threshold),
        calibration: calibration(&matched),
        sizes,
        classes,
        worst: tallies.worst(truth),
    })
}

fn confusion(matched: &Matched, truth: &Dataset, threshold: f64) -> Confusion {
    let matrix = matched.evaluator.confusion_matrix(IOU, None, Some(threshold));
    let n = matrix.num_cats;
    let name = |id: &i64| truth.classes.by_category(*id).map_or(String::new(), |class| class.name.clone());
    Confusion {
        classes: matched.categories.iter().map(name).collect(),
        counts: (0..=n).map(|t| (0..=n).map(|d| matrix.get(t, d)).collect()).collect(),
    }
}

fn calibration(matched: &Matched) -> Option<Calibration> {
    let result = matched.evaluator.calibration(BINS, IOU).ok().filter(|c| c.num_detections > 0)?;
    let bins: Vec<Bin> = result
        .bins
        .iter()
        .filter(|bin| bin.count > 0)
        .map(|bin| Bin {
            low: bin.bin_lower,
            high: bin.bin_upper,
            score: bin.avg_confidence,
            precision: bin.avg_accuracy,
            count: bin.count,
        })
        .collect();
    let weighted: f64 = bins.iter().map(|bin| (bin.score - bin.precision) * bin.count as f64).sum();
    Some(Calibration {
        ece: result.ece,
        mce: result.mce,
        excess: weighted / result.num_detections as f64,
        detections: result.num_detections,
        bins,
    })
}

/// Objects, hits and false alarms.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    objects: usize,
    found: usize,
    false_alarms: usize,
}

impl Tally {
    fn group(self, name: &str, ap: Option<f64>) -> Group {
        Group { name: name.to_owned(), objects: self.objects, found: self.found, false_alarms: self.false_alarms, ap }
    }
}

/// Tallies by some key.
struct By<K>(HashMap<K, Tally>);

impl<K: std::hash::Hash + Eq> By<K> {
    fn get(&self, key: &K) -> Tally {
        self.0.get(key).copied().unwrap_or_default()
    }

    fn of(&mut self, key: K) -> &mut Tally {
        self.0.entry(key).or_default()
    }
}

struct Tallies {
    sizes: By<&'static str>,
    classes: By<i64>,
    /// By index.
    images: By<usize>,
}

impl Tallies {
    /// Counts at a score threshold.
    fn new(matched: &Matched, truth: &Dataset, threshold: f64) -> Result<Self, hotcoco::Error> {
        let index = matched.evaluator.image_diagnostics(IOU, threshold)?.annotations;
        let place: HashMap<i64, usize> = truth.images.iter().enumerate().map(|(i, image)| (image.id, i)).collect();
        let mut tallies = Self { sizes: By(HashMap::new()), classes: By(HashMap::new()), images: By(HashMap::new()) };
        for (&id, status) in &index.gt_status {
            let Some((image, object)) = matched.object(id) else { continue };
            let by = index.gt_match.get(&id).and_then(|by| matched.detection(*by));
            let found = *status == GtStatus::Matched && by.is_some_and(|d| d.score >= threshold);
            tallies.each(size(object.area), object.category_id, image, |tally| {
                tally.objects += 1;
                tally.found += usize::from(found);
            });
        }
        for (&id, status) in &index.dt_status {
            let Some(detection) = matched.detection(id).filter(|d| *status == DtStatus::Fp && d.score >= threshold) else {
                continue;
            };
            let area =
                detection.bbox.map_or_else(|| detection.segmentation.as_ref().map_or(0.0, |m| m.area() as f64), |b| b[2] * b[3]);
            let Some(&image) = place.get(&detection.image_id) else { continue };
            tallies.each(size(area), detection.category_id, image, |tally| tally.false_alarms += 1);
        }
        Ok(tallies)
    }

    fn each(&mut self, size: &'static str, category: i64, image: usize, f: impl Fn(&mut Tally)) {
        f(self.sizes.of(size));
        f(self.classes.of(category));
        f(self.images.of(image));
    }

    fn worst(&self, truth: &Dataset) -> Vec<WorstImage> {
        let mut images: Vec<(usize, WorstImage)> = self
            .images
            .0
            .iter()
            .map(|(&i, tally)| {
                let missed = tally.objects - tally.found;
                let all = 2 * tally.found + missed + tally.false_alarms;
                let f1 = if all == 0 { 1.0 } else { 2.0 * tally.found as f64 / all as f64 };
                let image = &truth.images[i];
                let (found, false_alarms) = (tally.found, tally.false_alarms);
                let file_name = image.file_name.clone();
                (i, WorstImage { image_id: image.id, file_name, found, missed, false_alarms, f1 })
            })
            .filter(|(_, image)| image.missed + image.false_alarms > 0)
            .collect();
        let errors = |image: &WorstImage| image.missed + image.false_alarms;
        images.sort_by(|(i, a), (j, b)| a.f1.total_cmp(&b.f1).then(errors(b).cmp(&errors(a))).then(i.cmp(j)));
        images.into_iter().take(WORST).map(|(_, image)| image).collect()
    }
}

fn size(area: f64) -> &'static str {
    SIZES.iter().find(|(_, low, high)| (*low..*high).contains(&area)).map_or("large", |(name, ..)| name)
}
