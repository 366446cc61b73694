//! How to decode raw outputs: everything that a reader in another language needs, as JSON beside the file.

use repghost_coco::Normalize;
use repghost_heads::{Detector, LabelMap, PostprocessConfig};
use repghost_train::detection::model::Class;
use serde::Serialize;
use serde_json::{json, Value};

use crate::spec::{ExportSpec, INPUT};

/// The sidecar.
#[derive(Clone, Debug, Serialize)]
pub struct RawSidecar {
    /// The value of `model.head.name`.
    pub head: &'static str,
    /// Name of the image input.
    pub input: &'static str,
    /// Height and width of the image input.
    pub size: [i64; 2],
    /// How a picture becomes the input.
    pub preprocess: Value,
    /// Class names and category ids, by label.
    pub classes: Vec<Class>,
    /// How outputs become scores and boxes, in words.
    pub decode: Vec<&'static str>,
    /// Numbers that the words refer to.
    pub constants: Value,
    /// Anchors of each level.
    pub anchors_per_level: Vec<usize>,
    /// All anchors, corners x1, y1, x2, y2 in pixels, in the order of the outputs.
    pub anchors: Vec<[f32; 4]>,
}

/// How raw outputs become detections, for a sidecar.
#[derive(Debug)]
pub struct Decoding {
    /// In words.
    pub steps: Vec<&'static str>,
    /// Numbers that the words refer to.
    pub constants: Value,
}

/// The step from offsets to boxes.
pub const BOX_CODER: &str = "a box from an anchor of centre (cx, cy) and size (w, h) and deltas (dx, dy, dw, dh), divided by the weights: \
centre = (cx + dx * w, cy + dy * h), size = (w * exp(min(dw, max_log_ratio)), h * exp(min(dh, max_log_ratio))); clipped to the image";

/// The last step of detectors without proposals.
pub const DENSE_SUPPRESSION: &str =
    "on each level keep the pre_nms_top_k best (anchor, class) pairs above score_threshold, then suppress \
within each class by nms_threshold and keep max_detections";

/// What `output_classes` among the numbers is.
pub const OUTPUT_CLASSES: &str = "output_classes: the class of each output, null where it is none";

/// The numbers of detectors without proposals.
pub fn dense_constants(labels: &LabelMap, p: &PostprocessConfig) -> Value {
    json!({
        "score_threshold": p.score_threshold, "nms_threshold": p.nms_threshold,
        "pre_nms_top_k": p.pre_nms_top_k, "max_detections": p.max_detections, "output_classes": labels.by_output(),
    })
}

fn preprocess() -> Value {
    let n = Normalize::default();
    json!({
        "channels": "RGB",
        "layout": "NCHW",
        "resize": "keep the aspect ratio; the larger of width / size[1] and height / size[0] becomes 1; bilinear, antialiased",
        "normalize": "(byte / 255 - mean) / std",
        "mean": n.mean,
        "std": n.std,
        "pad": "zeros at the right and at the bottom, after normalisation",
    })
}

impl RawSidecar {
    /// Of a detector.
    pub fn new(detector: &Detector, spec: &ExportSpec, classes: &[Class], decoding: Decoding) -> Self {
        let anchors = detector.decoder().anchors(spec.size);
        Self {
            head: detector.name(),
            input: INPUT,
            size: spec.size,
            preprocess: preprocess(),
            classes: classes.to_vec(),
            decode: decoding.steps,
            constants: decoding.constants,
            anchors_per_level: anchors.per_level.clone(),
            anchors: anchors.boxes.clone(),
        }
    }
}
