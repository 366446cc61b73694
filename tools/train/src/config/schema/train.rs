//! `train`: optimizer, schedule, and what happens along the way.

use repghost_config::{Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::selection::{BestConfig, StopConfig};
use crate::optim::OptimizerConfig;
use crate::schedule::ScheduleConfig;

/// The keys below `train`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Passes over the training data.
    #[schemars(range(min = 1), extend("x-unit" = "epochs"))]
    pub epochs: usize,
    /// Length in optimizer steps in place of `epochs`, rounded up to whole epochs: what a small set needs does not depend on its size. Null:
    /// `epochs` counts.
    #[schemars(range(min = 1), extend("x-unit" = "steps"))]
    pub steps: Option<u64>,
    /// Images per batch; or `auto`: as many as fit into the memory of the card or the machine, measured before the run.
    #[schemars(range(min = 1, max = 4096), extend("x-unit" = "images"))]
    pub batch_size: usize,
    /// Seed of everything that is drawn: initial weights, order, augmentation, sampling in heads.
    pub seed: u64,
    /// Threads of libtorch within an operation. Null: one per core, no more than the container's quota allows.
    #[schemars(range(min = 1))]
    pub threads: Option<usize>,
    /// Copies of the network in threads of their own, each with a share of every batch (PyTorch's DistributedDataParallel within a
    /// process). The threads above are shared out among them. On a CPU light networks gain much: 2x and more with 2 on two cores. Batch
    /// norms see a copy's share only, so a share should have a few images.
    #[schemars(range(min = 1))]
    pub replicas: usize,
    /// Precision of the forward and backward: `fp32`; `tf32` (convolutions and products of 32-bit floats on a card's matrix units, 10 bits
    /// of mantissa); `bf16` and `fp16` (in half precision where that is safe, losses and weights in 32 bits; `fp16` with a loss scale).
    pub precision: Precision,
    /// Convolutions on a CPU, in training and wherever libtorch runs the network: `fast` takes this program's own kernels for the layers
    /// that they were measured to be faster for (dense 3x3 by Winograd's algorithm, depthwise 3x3 and 5x5; batch norm in training),
    /// `libtorch` none. Rounding errors are of one size; the bits differ. Cards and `bf16` are not concerned.
    pub kernels: Kernels,
    /// Over what squeeze-and-excitation and group norm average in training: `batch` (maps with the padding of a batch of images of
    /// several sizes, as torchvision and mmdetection do) or `image` (each image alone, as evaluation and exported files do).
    pub means: Means,
    /// Only algorithms that give the same bits each time. On the CPU they always do; on a card they cost some speed.
    pub deterministic: bool,
    /// Stop after this many optimizer steps (the schedule still plans for `epochs` or `steps`).
    #[schemars(extend("x-unit" = "steps"))]
    pub max_steps: Option<u64>,
    /// Train for so many minutes at most, evaluations included: the steps that fit are estimated from the run's own speed, and the learning
    /// rate's schedule is compressed to them. Null: no limit.
    #[schemars(extend("exclusiveMinimum" = 0, "x-unit" = "minutes"))]
    pub max_minutes: Option<f64>,
    /// When the run ends before its last step because it has stopped getting better. Null: never.
    pub stop: Option<StopConfig>,
    /// Which evaluation's weights are kept as the best.
    pub best: BestConfig,
    /// How weights are updated.
    pub optimizer: OptimizerConfig,
    /// Learning rate over time.
    pub schedule: ScheduleConfig,
    /// Batch for which `optimizer.lr` is meant: the rate is scaled by the true batch divided by this (Goyal et al. 2017). Null: no
    /// scaling.
    #[schemars(range(min = 1), extend("x-unit" = "images"))]
    pub base_batch_size: Option<usize>,
    /// Upper bound of the gradient's L2 norm over all parameters. Null: none.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub clip_grad_norm: Option<f64>,
    /// Batches whose gradients are averaged into one optimizer step.
    #[schemars(range(min = 1), extend("x-unit" = "batches"))]
    pub accumulate: usize,
    /// Exponential moving average of weights and batch-norm buffers, evaluated and saved beside the raw weights. Null: none.
    pub ema: Option<EmaConfig>,
    /// Three separate switches for the backbone's batch norms.
    pub batch_norm: BatchNormConfig,
    /// Several processes that train together.
    pub distributed: DistributedConfig,
    /// When checkpoints are written and which are kept.
    pub checkpoint: CheckpointConfig,
    /// Evaluate every this many epochs (and after the last); 0: only after the last.
    #[schemars(extend("x-unit" = "epochs"))]
    pub eval_every: usize,
    /// Write a line of metrics every this many steps.
    #[schemars(range(min = 1), extend("x-unit" = "steps"))]
    pub log_every: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 12,
            steps: None,
            batch_size: 16,
            seed: 0,
            threads: None,
            replicas: 1,
            precision: Precision::Fp32,
            kernels: Kernels::Fast,
            means: Means::Batch,
            deterministic: false,
            max_steps: None,
            max_minutes: None,
            stop: None,
            best: BestConfig::default(),
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            base_batch_size: None,
            clip_grad_norm: None,
            accumulate: 1,
            ema: None,
            batch_norm: BatchNormConfig::default(),
            distributed: DistributedConfig::default(),
            checkpoint: CheckpointConfig::default(),
            eval_every: 1,
            log_every: 20,
        }
    }
}

/// Convolutions on a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kernels {
    /// This program's where they are faster, else libtorch's.
    #[default]
    Fast,
    /// libtorch's.
    Libtorch,
}

/// Over what maps are averaged in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// The padded batch.
    #[default]
    Batch,
    /// Each image.
    Image,
}

/// Precision of forward and backward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats everywhere.
    #[default]
    Fp32,
    /// 32-bit floats, multiplied as TF32 on cards of compute capability 8.0 and above.
    Tf32,
    /// bfloat16 in convolutions and products.
    Bf16,
    /// 16-bit floats in convolutions and products, with a loss scale that follows overflows (Micikevicius et al. 2018).
    Fp16,
}

impl Check for TrainConfig {
    fn rules(&self, at: &mut Checker) {
        let replicas = (1..=self.batch_size.max(1)).contains(&self.replicas);
        at.require(replicas, "replicas", self.replicas, format!("from 1 to {} ({})", at.key("batch_size"), self.batch_size));
        at.part("optimizer", &self.optimizer);
        at.part("schedule", &self.schedule);
        let expected = format!("at most {} ({})", at.key("optimizer.lr"), self.optimizer.lr);
        at.require(self.schedule.min_lr <= self.optimizer.lr, "schedule.min_lr", self.schedule.min_lr, expected);
    }
}

/// The keys below `train.ema`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EmaConfig {
    /// Share of the average that is kept at each step.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1))]
    pub decay: f64,
    /// The decay at step t is `min(decay, (1 + t) / (10 + t))`, so that short runs do not keep their initial weights.
    pub warmup: bool,
}

impl Default for EmaConfig {
    fn default() -> Self {
        Self { decay: 0.9999, warmup: true }
    }
}

/// The keys below `train.batch_norm`: three questions that are often mixed up (mmdetection's `frozen_stages` and `norm_eval`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchNormConfig {
    /// Freeze all parameters and statistics of the backbone's first stages; 1 is stem and first stage. Refused where nothing was loaded
    /// into them.
    #[schemars(range(max = 4), extend("x-unit" = "stages"))]
    pub frozen_stages: usize,
    /// Freeze scale and shift of the backbone's batch norms.
    pub freeze_affine: bool,
    /// Normalise by the running statistics instead of the batch's, and leave them as they are (mmdetection's `norm_eval`).
    pub use_running_stats: bool,
    /// Where several processes train together: take the batch's statistics over all of them (PyTorch's SyncBatchNorm), not over each one's share.
    pub sync: bool,
}

/// The keys below `train.distributed`: several processes that train together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DistributedConfig {
    /// Longest wait for another process, the start included. One that does not answer by then ends the run.
    #[schemars(range(min = 1), extend("x-unit" = "seconds"))]
    pub timeout_s: u64,
    /// What adds the gradients of cards. On CPUs it is gloo.
    pub engine: DistributedEngine,
    /// Gradients that are sent together. Smaller ones start earlier where they are sent during the backward.
    #[schemars(range(min = 1, max = 4096), extend("x-unit" = "MiB"))]
    pub bucket_mb: usize,
    /// Send gradients while the backward goes on. It helps where the network between machines is slow (docs/distributed.md). Not with `accumulate`
    /// or shared batch norms, and not on cards.
    pub overlap: bool,
    /// Round gradients to fewer bits on their way.
    pub compress: Compress,
}

impl Default for DistributedConfig {
    fn default() -> Self {
        Self { timeout_s: 600, engine: DistributedEngine::Auto, bucket_mb: 25, overlap: false, compress: Compress::None }
    }
}

/// What adds the gradients of cards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DistributedEngine {
    /// NCCL where every process has a card of its own and the library is there, else gloo by way of main memory.
    #[default]
    Auto,
    /// NCCL, and an error where that is not possible.
    Nccl,
    /// gloo by way of main memory.
    Gloo,
}

/// How gradients go between processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compress {
    /// As they are.
    #[default]
    None,
    /// As bfloat16, half the bytes: each sum is rounded to 8 bits of precision.
    Bf16,
}

/// The keys below `train.checkpoint`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Number of the latest checkpoints to keep; the best one is kept besides.
    #[schemars(range(min = 1))]
    pub keep_last: usize,
    /// Write one every this many epochs; 0: only after the last.
    #[schemars(extend("x-unit" = "epochs"))]
    pub every_epochs: usize,
    /// Write one every this many optimizer steps as well. Null: none.
    #[schemars(range(min = 1), extend("x-unit" = "steps"))]
    pub every_steps: Option<u64>,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { keep_last: 2, every_epochs: 1, every_steps: None }
    }
}
