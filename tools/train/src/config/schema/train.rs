//! `train`: optimizer, schedule, and what happens along the way.

use serde::{Deserialize, Serialize};

/// The keys below `train`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Passes over the training data.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Seed of everything that is drawn: initial weights, order, augmentation, sampling in heads.
    pub seed: u64,
    /// Threads of libtorch within an operation. Null: one a processor.
    pub threads: Option<usize>,
    /// Copies of the network in threads of their own, each with a share of every batch (PyTorch's DistributedDataParallel within a
    /// process). The threads above are shared out among them. On a CPU light networks gain much: 2x and more with 2 on two cores. Batch
    /// norms see a copy's share only, so a share should have a few images.
    pub replicas: usize,
    /// Precision of the forward and backward: `fp32`; `tf32` (convolutions and products of 32-bit floats on a card's matrix units, 10 bits
    /// of mantissa); `bf16` and `fp16` (in half precision where that is safe, losses and weights in 32 bits; `fp16` with a loss scale).
    pub precision: Precision,
    /// Only algorithms that give the same bits each time. On the CPU they always do; on a card they cost some speed.
    pub deterministic: bool,
    /// Stop after this many optimizer steps (the schedule still plans for `epochs`).
    pub max_steps: Option<u64>,
    /// Optimizer.
    pub optimizer: OptimizerConfig,
    /// Learning rate over time.
    pub schedule: ScheduleConfig,
    /// Batch for which `optimizer.lr` is meant: the rate is scaled by the true batch divided by this (Goyal et al. 2017). Null: no
    /// scaling.
    pub base_batch_size: Option<usize>,
    /// Upper bound of the gradient's L2 norm over all parameters. Null: none.
    pub clip_grad_norm: Option<f64>,
    /// Batches whose gradients are averaged into one optimizer step.
    pub accumulate: usize,
    /// Exponential moving average of weights and batch-norm buffers, evaluated and saved beside the raw weights. Null: none.
    pub ema: Option<EmaConfig>,
    /// Three separate switches for the backbone's batch norms.
    pub batch_norm: BatchNormConfig,
    /// When checkpoints are written and which are kept.
    pub checkpoint: CheckpointConfig,
    /// Evaluate every this many epochs (and after the last); 0: only after the last.
    pub eval_every: usize,
    /// Write a line of metrics every this many steps.
    pub log_every: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 12,
            batch_size: 16,
            seed: 0,
            threads: None,
            replicas: 1,
            precision: Precision::Fp32,
            deterministic: false,
            max_steps: None,
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            base_batch_size: None,
            clip_grad_norm: None,
            accumulate: 1,
            ema: None,
            batch_norm: BatchNormConfig::default(),
            checkpoint: CheckpointConfig::default(),
            eval_every: 1,
            log_every: 20,
        }
    }
}

/// Precision of forward and backward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// Optimizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerName {
    /// Stochastic gradient descent with momentum (PyTorch's form: the rate multiplies the velocity).
    #[default]
    Sgd,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    Adamw,
}

/// The keys below `train.optimizer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Optimizer.
    pub name: OptimizerName,
    /// Learning rate (the peak of the schedule).
    pub lr: f64,
    /// SGD: share of the velocity that is kept.
    pub momentum: f64,
    /// SGD: Nesterov's form.
    pub nesterov: bool,
    /// AdamW: decay of the first and second moment.
    pub betas: [f64; 2],
    /// AdamW: added to the denominator.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Leave biases and norms (all 1-D parameters) without weight decay.
    pub no_decay_on_1d: bool,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            name: OptimizerName::Sgd,
            lr: 0.01,
            momentum: 0.9,
            nesterov: false,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 1e-4,
            no_decay_on_1d: false,
        }
    }
}

/// Shape of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleStep {
    /// With every optimizer step.
    #[default]
    PerStep,
    /// With every epoch (timm's way, and so RepGhost's on ImageNet).
    PerEpoch,
}

/// The keys below `train.schedule`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// Shape after the warm-up.
    pub name: ScheduleName,
    /// When the learning rate changes.
    pub step: ScheduleStep,
    /// Length of the linear warm-up in optimizer steps. At most one of this and `warmup_epochs` may be set.
    pub warmup_steps: Option<u64>,
    /// Length of the linear warm-up in epochs (may be a fraction).
    pub warmup_epochs: Option<f64>,
    /// The warm-up starts at `lr` times this.
    pub warmup_factor: f64,
    /// `multi_step`: epochs after which the rate drops.
    pub milestones: Vec<f64>,
    /// `multi_step`: factor of each drop.
    pub gamma: f64,
    /// `cosine`, `one_cycle`: where the rate ends.
    pub min_lr: f64,
    /// `one_cycle`: share of all steps in which the rate rises.
    pub pct_start: f64,
    /// `one_cycle`: the rate starts at `lr` divided by this.
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

/// The keys below `train.ema`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmaConfig {
    /// Share of the average that is kept at each step.
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchNormConfig {
    /// Freeze all parameters and statistics of the backbone's first stages; 1 is stem and first stage. Refused where nothing was loaded
    /// into them.
    pub frozen_stages: usize,
    /// Freeze scale and shift of the backbone's batch norms.
    pub freeze_affine: bool,
    /// Normalise by the running statistics instead of the batch's, and leave them as they are (mmdetection's `norm_eval`).
    pub use_running_stats: bool,
}

/// The keys below `train.checkpoint`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Number of the latest checkpoints to keep; the best one is kept besides.
    pub keep_last: usize,
    /// Write one every this many epochs; 0: only after the last.
    pub every_epochs: usize,
    /// Write one every this many optimizer steps as well. Null: none.
    pub every_steps: Option<u64>,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { keep_last: 2, every_epochs: 1, every_steps: None }
    }
}
