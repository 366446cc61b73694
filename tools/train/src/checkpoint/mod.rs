//! Checkpoints: everything that a run needs to go on as if it had never stopped.
//!
//! One checkpoint is one safetensors file, `step_00000120.safetensors`: weights under `model.`, their average under `ema.`, optimizer
//! state under `optimizer.`, and [`Progress`] as JSON in the metadata. There is no random state to store: torch's generator is seeded
//! anew for every step from (seed, step), and every sample has a stream of its own from (seed, epoch, index), so that seed and
//! position are the state of sampler and generators.
//!
//! A file is written under a temporary name, synced and renamed, and carries a checksum of all that is in it: a crash leaves the
//! checkpoint before, a damaged disk is noticed ([`folder::newest`] then falls back).

pub mod file;
pub mod folder;
pub mod retention;

use serde::{Deserialize, Serialize};

use crate::optim::{LossScale, NamedTensors};

/// Version of the layout. Files of other versions are refused.
pub const FORMAT: u32 = 1;

/// Where a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Version of the layout.
    pub format: u32,
    /// Optimizer steps done.
    pub step: u64,
    /// The epoch (from 0) that the next batch belongs to.
    pub epoch: usize,
    /// Batches of that epoch that are done.
    pub batch: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Updates of the moving average.
    pub ema_updates: u64,
    /// The best evaluation so far.
    pub best: Option<Best>,
    /// Seconds spent in training, evaluation included.
    pub seconds: f64,
    /// Hash of the resolved experiment ([`config_hash`]).
    pub config_hash: String,
    /// What an epoch consists of; checkpoints of version 0.1.0 have none.
    #[serde(default)]
    pub layout: Option<EpochLayout>,
    /// Added to a step to get its place in the schedule; not 0 in runs that were resumed with other batches.
    #[serde(default)]
    pub schedule_shift: i64,
    /// Steps that fit into `train.max_minutes`, as last estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_end: Option<u64>,
    /// Sums of the steps since the last record and since the epoch began, so that records are those of a run that was not interrupted.
    #[serde(default)]
    pub sums: RecordSums,
    /// The loss scale of `train.precision: fp16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
}

/// Sums of steps for records that are not due yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordSums {
    /// Since the last record of steps.
    pub window: StepSums,
    /// Since the epoch began.
    pub epoch: StepSums,
}

/// Sums over steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepSums {
    /// Steps.
    pub steps: u32,
    /// Images learned from.
    pub images: usize,
    /// Sum of the losses.
    pub loss: f64,
    /// Each loss, in the order that the head gives them.
    pub losses: Vec<(String, f64)>,
    /// Norms of the gradient before clipping, where it is clipped.
    pub grad_norm: Option<f64>,
    /// Seconds spent waiting for data.
    pub data_seconds: f64,
    /// Seconds in all.
    pub seconds: f64,
}

/// What an epoch consists of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLayout {
    /// Images per batch.
    pub batch_size: usize,
    /// Batches per optimizer step.
    pub accumulate: usize,
    /// Batches per epoch.
    pub batches: usize,
    /// Images per epoch, where they are counted.
    pub images: Option<usize>,
    /// Learning rate before its schedule.
    pub base_lr: f64,
}

impl EpochLayout {
    /// True where the same batch number means the same position in an epoch.
    pub fn same_batches(&self, other: &Self) -> bool {
        let of = |l: &Self| (l.batch_size, l.accumulate, l.batches, l.images);
        of(self) == of(other)
    }
}

/// The best evaluation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Step of the evaluated weights.
    pub step: u64,
    /// The metric, where more is better.
    pub value: f64,
}

/// A whole checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// Where the run is.
    pub progress: Progress,
    /// Weights and buffers.
    pub model: NamedTensors,
    /// Their moving average; empty where none is kept.
    pub ema: NamedTensors,
    /// Optimizer state.
    pub optimizer: NamedTensors,
}

/// A hash of the resolved experiment, to notice on resuming that it was changed: FNV-1a, 64 bits, in hexadecimal.
pub fn config_hash(resolved: &str) -> String {
    let hash = resolved.bytes().fold(0xCBF2_9CE4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3));
    format!("{hash:016x}")
}
