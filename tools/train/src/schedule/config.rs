//! The keys of `train.schedule`, and the schedule that they describe.

use repghost_config::{Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Decay, Schedule, WarmUp};

/// Shape of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleName {
    /// Times `gamma` after each of `milestones`.
    #[default]
    MultiStep,
    /// Half a cosine from `lr` to `min_lr`.
    Cosine,
    /// Up and down again (Smith 2018): cosine from `lr / div_factor` to `lr` and on to `min_lr`.
    OneCycle,
    /// Flat.
    Constant,
}

/// When the learning rate changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleStep {
    /// With every optimizer step.
    #[default]
    PerStep,
    /// With every epoch (timm's way, and so RepGhost's on ImageNet).
    PerEpoch,
}

/// The keys below `train.schedule`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// Shape after the warm-up.
    pub name: ScheduleName,
    /// When the learning rate changes.
    pub step: ScheduleStep,
    /// Length of the linear warm-up in optimizer steps. At most one of this and `warmup_epochs` may be set.
    #[schemars(extend("x-unit" = "steps"))]
    pub warmup_steps: Option<u64>,
    /// Length of the linear warm-up in epochs (may be a fraction).
    #[schemars(range(min = 0.0), extend("x-unit" = "epochs"))]
    pub warmup_epochs: Option<f64>,
    /// The warm-up starts at `lr` times this.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warmup_factor: f64,
    /// `multi_step`: epochs after which the rate drops.
    #[schemars(inner(range(min = 0.0)), extend("x-unit" = "epochs"))]
    pub milestones: Vec<f64>,
    /// `multi_step`: factor of each drop.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub gamma: f64,
    /// `cosine`, `one_cycle`: where the rate ends.
    #[schemars(range(min = 0.0))]
    pub min_lr: f64,
    /// `one_cycle`: share of all steps in which the rate rises.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub pct_start: f64,
    /// `one_cycle`: the rate starts at `lr` divided by this.
    #[schemars(range(min = 1.0))]
    pub div_factor: f64,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            name: ScheduleName::MultiStep,
            step: ScheduleStep::PerStep,
            warmup_steps: None,
            warmup_epochs: None,
            warmup_factor: 0.001,
            milestones: vec![8.0, 11.0],
            gamma: 0.1,
            min_lr: 0.0,
            pct_start: 0.3,
            div_factor: 25.0,
        }
    }
}

impl Check for ScheduleConfig {
    fn rules(&self, at: &mut Checker) {
        let one = self.warmup_steps.is_none() || self.warmup_epochs.is_none();
        at.require(one, "warmup_epochs", "a value beside warmup_steps", "only one of the two (set the other to null)");
        let rising = self.milestones.windows(2).all(|w| w[0] < w[1]);
        at.require(rising, "milestones", format!("{:?}", self.milestones), "epochs in rising order");
    }
}

impl ScheduleConfig {
    /// The schedule of a run whose rate is `lr` at its peak.
    pub fn build(&self, lr: f64, steps_per_epoch: u64, total_steps: u64) -> Schedule {
        let in_steps = |epochs: f64| (epochs * steps_per_epoch as f64).round() as u64;
        // Like the rate, `min_lr` is meant for the base batch.
        let floor = self.min_lr / lr;
        let decay = match self.name {
            ScheduleName::Constant => Decay::Constant,
            ScheduleName::MultiStep => {
                Decay::MultiStep { milestones: self.milestones.iter().map(|e| in_steps(*e)).collect(), gamma: self.gamma }
            }
            ScheduleName::Cosine => Decay::Cosine { floor },
            ScheduleName::OneCycle => Decay::OneCycle { rise: self.pct_start, div: self.div_factor, floor },
        };
        Schedule {
            warm_up: WarmUp {
                steps: self.warmup_steps.unwrap_or_else(|| in_steps(self.warmup_epochs.unwrap_or(0.0))),
                start: self.warmup_factor,
            },
            decay,
            total_steps,
            stride: match self.step {
                ScheduleStep::PerStep => 1,
                ScheduleStep::PerEpoch => steps_per_epoch,
            },
        }
    }
}
