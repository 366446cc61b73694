//! How scored boxes become detections: the settings that all detectors share.

use serde::{Deserialize, Serialize};

/// Thresholds and limits of the last step before detections.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostprocessConfig {
    /// Scores must be above this.
    pub score_threshold: f64,
    /// Boxes of one class that overlap by more than this IoU exclude each other.
    pub nms_threshold: f64,
    /// Candidates per pyramid level before NMS. (Faster and Mask R-CNN take their candidates from proposals and do not read it.)
    pub pre_nms_top_k: usize,
    /// Detections per image.
    pub max_detections: usize,
}

impl Default for PostprocessConfig {
    fn default() -> Self {
        Self { score_threshold: 0.05, nms_threshold: 0.5, pre_nms_top_k: 1000, max_detections: 100 }
    }
}
