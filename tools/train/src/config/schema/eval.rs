//! `eval` and `run`: post-processing, evaluation, and where results go.

use repghost_kernels::device::Choice;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::path::PathTemplate;

/// The keys below `eval`. The defaults are mmdetection's and torchvision's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Detections below this score are dropped.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub score_threshold: f64,
    /// Of two boxes of one class with a higher IoU, the lower score is dropped.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub nms_threshold: f64,
    /// Candidates that each pyramid level gives to the suppression.
    #[schemars(range(min = 1))]
    pub pre_nms_top_k: usize,
    /// Most detections per image.
    #[schemars(range(min = 1))]
    pub max_detections: usize,
    /// Images per forward pass.
    #[schemars(range(min = 1, max = 4096), extend("x-unit" = "images"))]
    pub batch_size: usize,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self { score_threshold: 0.05, nms_threshold: 0.5, pre_nms_top_k: 1000, max_detections: 100, batch_size: 1 }
    }
}

/// The keys below `run`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// The run folder; `--run-dir` sets it. Null: `runs/` and the experiment file's name.
    pub dir: Option<PathTemplate>,
    /// Where networks run: `auto` (the first card that works, else the CPU), `cpu`, `cuda` or `cuda:N`; `--device` sets it.
    #[schemars(with = "String")]
    pub device: Choice,
}
