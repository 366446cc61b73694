//! One raw record to one typed record, with every problem named on the way.

use serde::{Deserialize, Serialize};

use crate::types::BoxXyxy;

use super::problem::Problem;
use super::raw::{RawAnnotation, RawBox, RawImage, Scalar};
use super::segmentation::Segmentation;

/// How far a box may reach beyond its image before it is worth a word; COCO rounds its boxes to 0.01 px.
const BORDER_TOLERANCE: f64 = 0.5;

/// An image of the data set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The id in the file; ids may have gaps and may be large.
    pub id: i64,
    /// Path below the image folder.
    pub file_name: String,
    /// Height in pixels, as in the file.
    pub height: u32,
    /// Width in pixels, as in the file.
    pub width: u32,
}

/// An object of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Annotation {
    /// The id in the file.
    pub id: i64,
    /// The category's id in the file.
    pub category_id: i64,
    /// The index that heads learn and predict (see [`super::ClassList`]).
    pub label: i64,
    /// x, y, width, height in pixels, as in the file.
    pub bbox: [f64; 4],
    /// Pixels of the object, as in the file; computed where the file has none.
    pub area: f64,
    /// Whether this is a region of many objects: ignored in training, never a miss in evaluation.
    pub iscrowd: bool,
    /// The outline, where segmentations are wanted and the file has one.
    pub segmentation: Segmentation,
}

impl Annotation {
    /// Its clipped box where it is one to train on: no crowd, and not without area.
    pub(super) fn training_box(&self, height: u32, width: u32) -> Option<BoxXyxy> {
        if self.iscrowd {
            None
        } else {
            self.clipped_box(height, width)
        }
    }

    /// The box as corners, clipped to an image of this size; `None` where nothing of it is left to learn from.
    fn clipped_box(&self, height: u32, width: u32) -> Option<BoxXyxy> {
        let [x, y, w, h] = self.bbox;
        let (width, height) = (f64::from(width), f64::from(height));
        let corners = [x.clamp(0.0, width), y.clamp(0.0, height), (x + w).clamp(0.0, width), (y + h).clamp(0.0, height)];
        let corners = corners.map(|v| v as f32);
        (corners[2] > corners[0] && corners[3] > corners[1]).then_some(corners)
    }
}

/// An id, with a word where it is spelled oddly.
pub(crate) fn read_id(scalar: &Scalar, field: &'static str, problems: &mut Vec<Problem>) -> Option<i64> {
    /// Doubles hold every integer up to here.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match *scalar {
        Scalar::Int(id) => Some(id),
        Scalar::Float(value) if value.fract() == 0.0 && value.abs() <= EXACT => {
            problems.push(Problem::FloatId { field, found: scalar.to_string() });
            Some(value as i64)
        }
        _ => {
            problems.push(Problem::BadId { field, found: scalar.to_string() });
            None
        }
    }
}

/// Reads an image record; `None` where it cannot serve.
pub(crate) fn read_image(raw: &RawImage, problems: &mut Vec<Problem>) -> Option<ImageRecord> {
    let id = read_id(&raw.id, "image id", problems);
    let file_name = match raw.file_name.text() {
        Some(text) if !text.is_empty() => Some(text.to_owned()),
        _ => {
            problems.push(Problem::BadFileName(raw.file_name.to_string()));
            None
        }
    };
    let side = |scalar: &Scalar| {
        scalar.number().filter(|v| v.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(v)).map(|v| v as u32)
    };
    let (height, width) = (side(&raw.height), side(&raw.width));
    if height.is_none() || width.is_none() {
        problems.push(Problem::BadImageSize { height: raw.height.to_string(), width: raw.width.to_string() });
    }
    Some(ImageRecord { id: id?, file_name: file_name?, height: height?, width: width? })
}

/// What an annotation is read against.
pub(crate) struct Context<'a> {
    /// Height and width of an image, `None` for an unknown id.
    pub image_size: &'a (dyn Fn(i64) -> Option<[u32; 2]> + Sync),
    /// The label of a category; the inner `None` for a category that is not wanted, the outer for an unknown one.
    pub label: &'a (dyn Fn(i64) -> Option<Option<i64>> + Sync),
    /// Whether outlines are kept and judged.
    pub segmentations: bool,
}

/// An annotation and the image it belongs to. The record is `None` where a problem of severity error was met.
pub(crate) struct ReadAnnotation {
    pub id: Option<i64>,
    pub image_id: Option<i64>,
    pub category_id: Option<i64>,
    /// Whether its category is one of the wanted ones (true where unknown).
    pub wanted: bool,
    pub record: Option<Annotation>,
    pub problems: Vec<Problem>,
}

/// Reads an annotation. `position` counts from 0.
pub(crate) fn read_annotation(raw: &RawAnnotation, position: usize, context: &Context) -> ReadAnnotation {
    let mut problems = Vec::new();
    let id = match raw.id {
        Scalar::Missing => {
            problems.push(Problem::NoAnnotationId);
            Some(position as i64 + 1)
        }
        ref scalar => read_id(scalar, "annotation id", &mut problems),
    };
    if id == Some(0) {
        problems.push(Problem::AnnotationIdZero);
    }
    let image_id = read_id(&raw.image_id, "image_id", &mut problems);
    let image_size = image_id.and_then(context.image_size);
    if let (Some(image_id), None) = (image_id, image_size) {
        problems.push(Problem::UnknownImage(image_id));
    }
    let category_id = read_id(&raw.category_id, "category_id", &mut problems);
    let label = category_id.and_then(|id| {
        let label = (context.label)(id);
        if label.is_none() {
            problems.push(Problem::UnknownCategory(id));
        }
        label
    });
    let wanted = label != Some(None);
    let iscrowd = read_crowd(&raw.iscrowd, &mut problems);

    let area = match raw.area {
        Scalar::Missing => {
            problems.push(Problem::NoArea);
            None
        }
        ref scalar => {
            let area = scalar.number().filter(|area| area.is_finite() && *area >= 0.0);
            if area.is_none() {
                problems.push(Problem::BadArea(scalar.to_string()));
            }
            area
        }
    };
    let needs_shape = context.segmentations || area.is_none() || raw.bbox == RawBox::Missing;
    let mut segmentation = match raw.segmentation {
        Some(text) if needs_shape && wanted => Segmentation::from_json(text.get(), image_size, &mut problems),
        _ => Segmentation::None,
    };
    // pycocotools rasterises to measure; so do we, and only where the file has no area.
    let mask = match (image_size, area.is_none() || raw.bbox == RawBox::Missing) {
        (Some([height, width]), true) => segmentation.to_rle(height, width).ok().flatten(),
        _ => None,
    };
    let bbox = match (raw.bbox, &mask) {
        (RawBox::Missing, Some(mask)) => {
            problems.push(Problem::BoxFromMask);
            Some(mask.bbox())
        }
        (RawBox::Missing, None) => {
            problems.push(Problem::NoBox);
            None
        }
        (RawBox::Other, _) => {
            problems.push(Problem::BoxType);
            None
        }
        (RawBox::List(4, bbox), _) => judge_box(bbox, image_size, &mut problems),
        (RawBox::List(count, _), _) => {
            problems.push(Problem::BoxLength(count));
            None
        }
    };
    let area = area.or(mask.map(|mask| mask.area() as f64)).or(bbox.map(|[_, _, w, h]| w * h));
    if !context.segmentations {
        segmentation = Segmentation::None;
    }
    let refused = problems.iter().any(|problem| problem.severity() == super::Severity::Error);
    let record = match (refused, id, category_id, label, bbox, area, iscrowd) {
        (false, Some(id), Some(category_id), Some(Some(label)), Some(bbox), Some(area), Some(iscrowd)) => {
            Some(Annotation { id, category_id, label, bbox, area, iscrowd, segmentation })
        }
        _ => None,
    };
    ReadAnnotation { id, image_id, category_id, wanted, record, problems }
}

fn read_crowd(scalar: &Scalar, problems: &mut Vec<Problem>) -> Option<bool> {
    match *scalar {
        Scalar::Missing => Some(false),
        Scalar::Bool(flag) => {
            problems.push(Problem::BoolCrowd(flag));
            Some(flag)
        }
        _ => match scalar.number() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            _ => {
                problems.push(Problem::BadCrowd(scalar.to_string()));
                None
            }
        },
    }
}

fn judge_box(bbox: [f64; 4], image_size: Option<[u32; 2]>, problems: &mut Vec<Problem>) -> Option<[f64; 4]> {
    let [x, y, w, h] = bbox;
    if bbox.iter().any(|v| !v.is_finite()) {
        problems.push(Problem::BoxNotFinite(bbox));
        return None;
    }
    if w < 0.0 || h < 0.0 {
        problems.push(Problem::BoxNegative(bbox));
        return None;
    }
    if w == 0.0 || h == 0.0 {
        problems.push(Problem::BoxEmpty(bbox));
    }
    if let Some([height, width]) = image_size {
        let (right, bottom) = (f64::from(width), f64::from(height));
        if x >= right || y >= bottom || x + w <= 0.0 && w > 0.0 || y + h <= 0.0 && h > 0.0 {
            problems.push(Problem::BoxOutside { bbox, width, height });
        } else if x < -BORDER_TOLERANCE
            || y < -BORDER_TOLERANCE
            || x + w > right + BORDER_TOLERANCE
            || y + h > bottom + BORDER_TOLERANCE
        {
            problems.push(Problem::BoxCrosses { bbox, width, height });
        }
    }
    Some(bbox)
}
