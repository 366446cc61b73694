//! What is written down while a run goes on.

use serde::{Deserialize, Serialize};

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// Means over the steps since the last such record.
    Step(StepRecord),
    /// An epoch has ended.
    Epoch(EpochRecord),
    /// An evaluation.
    Eval(EvalRecord),
}

impl Record {
    /// Optimizer steps done when it was written.
    pub fn step(&self) -> u64 {
        match self {
            Record::Step(r) => r.step,
            Record::Epoch(r) => r.step,
            Record::Eval(r) => r.step,
        }
    }
}

/// Means over the steps since the last such record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Optimizer steps done.
    pub step: u64,
    /// Epochs done, with fraction.
    pub epoch: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Sum of the losses.
    pub loss: f64,
    /// Each loss, in the order that the head gives them.
    pub losses: Vec<(String, f64)>,
    /// Norm of the gradient before clipping, where it is clipped.
    pub grad_norm: Option<f64>,
    /// Images learned from in a second, waiting included.
    pub images_per_second: f64,
    /// Seconds a step.
    pub step_seconds: f64,
    /// Of these, seconds spent waiting for data.
    pub data_seconds: f64,
    /// Resident memory in MiB, where the system tells.
    pub memory_mib: Option<f64>,
}

/// An epoch has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Optimizer steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: usize,
    /// Mean of the loss over the epoch (over the part since a resume).
    pub loss: f64,
    /// Seconds it took, without evaluation.
    pub seconds: f64,
    /// Of these, seconds spent waiting for data.
    pub data_seconds: f64,
}

/// An evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvalRecord {
    /// Optimizer steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: usize,
    /// Whether the moving average was evaluated, not the weights themselves.
    pub ema: bool,
    /// Numbers by name: `bbox/AP`, `bbox/AP50`, …
    pub metrics: Vec<(String, f64)>,
    /// The number that decides what is best.
    pub headline: f64,
    /// Whether these are the best weights so far.
    pub best: bool,
    /// Seconds it took.
    pub seconds: f64,
}

impl EvalRecord {
    /// The metric of that name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }
}
