//! Detections as COCO's results format has them: a JSON list of image id, category id, box or mask, score.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::annotations::problem::Problem;
use crate::annotations::raw::{self, RawAnnotation, RawBox, Scalar};
use crate::annotations::record::read_id;
use crate::annotations::{AnnotationError, Dataset, Rle, Segmentation, Severity};
use crate::files::write_atomic;

/// Bad detections named in a message at most.
const FIRST_SHOWN: usize = 3;

/// One detected object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// The image's id in the annotation file.
    pub image_id: i64,
    /// The image's file name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// The category's id in the annotation file.
    pub category_id: i64,
    /// x, y, width, height in pixels of the original image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bbox: Option<[f64; 4]>,
    /// Confidence; higher is surer.
    pub score: f64,
    /// The mask on the original image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segmentation: Option<Rle>,
}

/// Reads a detections file that belongs to `ground_truth`.
///
/// # Errors
/// One line that names the first bad detections by their place in the file: unknown image, score that is no finite number,
/// box or mask broken, neither box nor mask. Detections of categories that the ground truth does not have are refused too,
/// unless it was read with a class subset; then they are left out.
pub fn read_detections(path: &Path, ground_truth: &Dataset) -> Result<Vec<Detection>, AnnotationError> {
    let mut bytes = raw::read_bytes(path)?;
    let records: Vec<RawAnnotation> = raw::parse_list(path, &mut bytes)?;
    let sizes: std::collections::HashMap<i64, [u32; 2]> =
        ground_truth.images.iter().map(|image| (image.id, [image.height, image.width])).collect();
    let known: &HashSet<i64> = &ground_truth.category_ids;
    let mut detections = Vec::with_capacity(records.len());
    let mut bad: Vec<String> = Vec::new();
    let mut count = 0;
    for (place, record) in records.iter().enumerate() {
        match read_detection(record, &sizes, known) {
            Ok(detection) if ground_truth.classes.by_category(detection.category_id).is_some() => detections.push(detection),
            Ok(_) => {}
            Err(reason) => {
                count += 1;
                if bad.len() < FIRST_SHOWN {
                    bad.push(format!("number {}: {reason}", place + 1));
                }
            }
        }
    }
    if count > 0 {
        let more = if count > bad.len() { "; …" } else { "" };
        return Err(AnnotationError::Records {
            path: path.to_owned(),
            what: "detections",
            count,
            first: format!("{}{more}", bad.join("; ")),
            advice: match ground_truth.path.as_os_str().is_empty() {
                true => "were they made for other data than the one they are compared with?".into(),
                false => format!("are they detections for {}?", ground_truth.path.display()),
            },
        });
    }
    Ok(detections)
}

fn read_detection(
    raw: &RawAnnotation,
    sizes: &std::collections::HashMap<i64, [u32; 2]>,
    known: &HashSet<i64>,
) -> Result<Detection, String> {
    let mut problems: Vec<Problem> = Vec::new();
    let image_id = read_id(&raw.image_id, "image_id", &mut problems);
    let category_id = read_id(&raw.category_id, "category_id", &mut problems);
    let size = image_id.and_then(|id| sizes.get(&id)).copied();
    if let (Some(id), None) = (image_id, size) {
        problems.push(Problem::UnknownImage(id));
    }
    if let Some(id) = category_id.filter(|id| !known.contains(id)) {
        problems.push(Problem::UnknownCategory(id));
    }
    let bbox = match raw.bbox {
        RawBox::Missing | RawBox::List(0, _) => None,
        RawBox::Other => {
            problems.push(Problem::BoxType);
            None
        }
        RawBox::List(4, bbox) if bbox.iter().any(|v| !v.is_finite()) => {
            problems.push(Problem::BoxNotFinite(bbox));
            None
        }
        RawBox::List(4, bbox) if bbox[2] < 0.0 || bbox[3] < 0.0 => {
            problems.push(Problem::BoxNegative(bbox));
            None
        }
        RawBox::List(4, bbox) => Some(bbox),
        RawBox::List(count, _) => {
            problems.push(Problem::BoxLength(count));
            None
        }
    };
    let shape = raw.segmentation.map(|text| Segmentation::from_json(text.get(), size, &mut problems)).unwrap_or_default();
    if let Some(problem) = problems.iter().find(|problem| problem.severity() == Severity::Error) {
        return Err(problem.to_string());
    }
    let [height, width] = size.unwrap_or_default();
    let segmentation = shape.to_rle(height, width)?;
    let score = raw.score.number().filter(|score| score.is_finite());
    let score = score.ok_or_else(|| format!("score is {}, a finite number is expected (NaN reads as missing)", raw.score))?;
    if bbox.is_none() && segmentation.is_none() {
        return Err("it has neither bbox nor segmentation".to_owned());
    }
    let file_name = match &raw.file_name {
        Scalar::Text(text) => Some(text.to_string()),
        _ => None,
    };
    match (image_id, category_id) {
        (Some(image_id), Some(category_id)) => Ok(Detection { image_id, file_name, category_id, bbox, score, segmentation }),
        _ => Err("it has no image_id and category_id".to_owned()),
    }
}

/// Writes detections as a JSON list, under a temporary name first.
///
/// # Errors
/// Where the file cannot be written, or a score or box value is no finite number (JSON has no NaN).
pub fn write_detections(path: &Path, detections: &[Detection]) -> Result<(), AnnotationError> {
    let broken = |d: &&Detection| !d.score.is_finite() || d.bbox.is_some_and(|bbox| bbox.iter().any(|v| !v.is_finite()));
    if let Some(detection) = detections.iter().find(broken) {
        return Err(AnnotationError::Records {
            path: path.to_owned(),
            what: "detections",
            count: detections.iter().filter(broken).count(),
            first: format!("image {}: score {}, bbox {:?}", detection.image_id, detection.score, detection.bbox),
            advice: "no value may be NaN or infinite; did training diverge?".to_owned(),
        });
    }
    let failed = |source| AnnotationError::Write { path: path.to_owned(), source };
    let text = serde_json::to_vec(detections).map_err(|error| failed(error.into()))?;
    write_atomic(path, &text).map_err(failed)
}
