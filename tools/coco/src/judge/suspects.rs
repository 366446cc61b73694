//! Labels that confident detections contradict: candidates for a second look, best evidence first.
//!
//! A detector that was trained on most labels rightly is a witness against the few wrong ones (Northcutt et al. 2021, for boxes: Object
//! Lab, Tkachenko et al. 2023). Detections that match an object are no evidence; of the others, above a score:
//!
//! | suspicion | evidence |
//! |---|---|
//! | wrong class | it covers (IoU 0.5 or more) an object of another class that no detection matches |
//! | badly placed | it overlaps (IoU 0.1 to 0.5) an object of its class that no detection matches |
//! | missing | it overlaps nothing that is labelled (IoU below 0.1) |

use hotcoco::{DtStatus, GtStatus};
use serde::Serialize;

use super::matched::Matched;
use super::IOU;
use crate::annotations::{Annotation, Dataset};
use crate::detections::Detection;
use crate::metrics::{IouType, MetricError};

/// Overlap below which boxes count as apart.
const APART: f64 = 0.1;

/// What may be wrong with a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspicion {
    /// An object that nobody labelled.
    Missing,
    /// A label of another class.
    WrongClass,
    /// A box that is not where the object is.
    BadlyPlaced,
}

impl Suspicion {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Suspicion::Missing => "missing label",
            Suspicion::WrongClass => "wrong class",
            Suspicion::BadlyPlaced => "badly placed",
        }
    }
}

/// A label under suspicion.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suspect {
    /// What may be wrong.
    pub suspicion: Suspicion,
    /// Score of the detection that contradicts.
    pub score: f64,
    /// The image's id.
    pub image_id: i64,
    /// Its file name.
    pub file_name: String,
    /// Id of the annotation; `None` where a label is missing.
    pub annotation_id: Option<i64>,
    /// Class of the label; `None` where it is missing.
    pub labelled: Option<String>,
    /// Class that was detected.
    pub detected: String,
    /// Box of the label: x, y, width, height in pixels.
    pub label_box: Option<[f64; 4]>,
    /// Box of the detection.
    pub detected_box: [f64; 4],
    /// Overlap of the two (intersection over union).
    pub iou: f64,
}

/// Suspects by falling score of the detection. Each label, and each place without one, is listed once.
///
/// # Errors
/// [`MetricError`], as an evaluation.
pub fn suspects(truth: &Dataset, detections: &[Detection], least_score: f64) -> Result<Vec<Suspect>, MetricError> {
    let matched = Matched::new(truth, detections, IouType::Bbox)?;
    let found = matched.evaluator.image_diagnostics(IOU, least_score).map_err(|e| MetricError::Evaluator(e.to_string()))?;
    let mut unmatched: Vec<&Detection> = Vec::new();
    for (&id, &status) in &found.annotations.dt_status {
        let detection = matched.detection(id).filter(|d| d.score >= least_score);
        unmatched.extend(detection.filter(|_| status == DtStatus::Fp));
    }
    unmatched.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.image_id.cmp(&b.image_id)).then(by_place(a, b)));
    let mut objects: std::collections::HashMap<i64, Vec<(&Annotation, bool)>> = std::collections::HashMap::new();
    for (place, (image, object)) in matched.objects.iter().enumerate() {
        let missed = found.annotations.gt_status.get(&(place as u64 + 1)) == Some(&GtStatus::Fn);
        objects.entry(truth.images[*image].id).or_default().push((object, missed));
    }
    let images: std::collections::HashMap<i64, &str> =
        truth.images.iter().map(|image| (image.id, image.file_name.as_str())).collect();
    let class = |id: i64| truth.classes.by_category(id).map_or(String::new(), |class| class.name.clone());
    let mut list: Vec<Suspect> = Vec::new();
    for detection in unmatched {
        let bbox = box_of(detection);
        let here = objects.get(&detection.image_id).map_or(&[][..], Vec::as_slice);
        let Some((suspicion, object, iou)) = evidence(detection, bbox, here) else { continue };
        let known = |s: &Suspect| {
            s.image_id == detection.image_id
                && match object {
                    Some(object) => s.label_box.is_some() && s.annotation_id == Some(object.id),
                    None => s.label_box.is_none() && overlap(s.detected_box, bbox) >= IOU,
                }
        };
        if list.iter().any(known) {
            continue;
        }
        list.push(Suspect {
            suspicion,
            score: detection.score,
            image_id: detection.image_id,
            file_name: images.get(&detection.image_id).copied().unwrap_or_default().to_owned(),
            annotation_id: object.map(|o| o.id),
            labelled: object.map(|o| class(o.category_id)),
            detected: class(detection.category_id),
            label_box: object.map(|o| o.bbox),
            detected_box: bbox,
            iou,
        });
    }
    Ok(list)
}

/// What a detection that matches nothing is evidence of. `objects` carry whether no detection matches them.
fn evidence<'a>(
    detection: &Detection,
    bbox: [f64; 4],
    objects: &[(&'a Annotation, bool)],
) -> Option<(Suspicion, Option<&'a Annotation>, f64)> {
    let closest = |same_class: bool| {
        let missed = objects.iter().filter(|(o, missed)| *missed && (o.category_id == detection.category_id) == same_class);
        missed.map(|(o, _)| (*o, overlap(o.bbox, bbox))).max_by(|a, b| a.1.total_cmp(&b.1))
    };
    if let Some((object, iou)) = closest(false).filter(|(_, iou)| *iou >= IOU) {
        return Some((Suspicion::WrongClass, Some(object), iou));
    }
    if let Some((object, iou)) = closest(true).filter(|(_, iou)| *iou >= APART) {
        return Some((Suspicion::BadlyPlaced, Some(object), iou));
    }
    let nearest = objects.iter().map(|(o, _)| overlap(o.bbox, bbox)).fold(0.0, f64::max);
    (nearest < APART).then_some((Suspicion::Missing, None, nearest))
}

fn by_place(a: &Detection, b: &Detection) -> std::cmp::Ordering {
    let (a, b) = (box_of(a), box_of(b));
    a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1]))
}

/// The box of a detection; that of its mask where it has no other.
fn box_of(detection: &Detection) -> [f64; 4] {
    detection.bbox.or_else(|| detection.segmentation.as_ref().map(|mask| mask.bbox())).unwrap_or_default()
}

/// Intersection over union of boxes (x, y, width, height).
pub fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let width = (a[0] + a[2]).min(b[0] + b[2]) - a[0].max(b[0]);
    let height = (a[1] + a[3]).min(b[1] + b[3]) - a[1].max(b[1]);
    let both = width.max(0.0) * height.max(0.0);
    let union = a[2] * a[3] + b[2] * b[3] - both;
    if union > 0.0 {
        both / union
    } else {
        0.0
    }
}
