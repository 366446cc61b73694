//! `train.stop` and `train.best`: which evaluation is the best, and when a run has stopped getting better.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The keys below `train.best`: what makes an evaluation the best, whose weights are kept as `best.safetensors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BestConfig {
    /// Metric that decides, such as `bbox/AP50` or `top1`; more is better. Null: AP of masks where they are learned, else of boxes; top1.
    pub metric: Option<String>,
    /// The mean over this many latest evaluations decides, so that one lucky evaluation doesn't; 1: each alone.
    #[schemars(range(min = 1), extend("x-unit" = "evaluations"))]
    pub smooth: usize,
}

impl Default for BestConfig {
    fn default() -> Self {
        Self { metric: None, smooth: 1 }
    }
}

/// The keys below `train.stop`: the run ends where it has stopped getting better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StopConfig {
    /// Stop after so many evaluations in a row that were no improvement.
    #[schemars(range(min = 1), extend("x-unit" = "evaluations"))]
    pub patience: usize,
    /// Smallest gain over the best so far that counts as an improvement.
    #[schemars(range(min = 0.0))]
    pub min_delta: f64,
    /// Evaluations before the end of this epoch don't count as without improvement.
    #[schemars(extend("x-unit" = "epochs"))]
    pub after_epoch: usize,
    /// Metric that decides, as in `train.best.metric`. Null: as there.
    pub metric: Option<String>,
}

impl Default for StopConfig {
    fn default() -> Self {
        Self { patience: 10, min_delta: 0.0, after_epoch: 0, metric: None }
    }
}
