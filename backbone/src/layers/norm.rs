//! Normalisation layers.

use tch::{Device, Kind, Tensor};

use super::constant_parameter;
use crate::switch::StatsSwitch;

/// Constants of a batch norm. `Default` is PyTorch's; torchvision's MobileNetV3 has eps 1e-3 and momentum 0.01.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormConfig {
    /// Added to the variance under the root.
    pub eps: f64,
    /// Weight of the new batch in the running statistics.
    pub momentum: f64,
    /// False makes torchvision's FrozenBatchNorm2d: running statistics in training too, scale and shift are buffers that nothing
    /// learns, and the state dict has no `num_batches_tracked`.
    pub tracked: bool,
}

impl Default for BatchNormConfig {
    fn default() -> Self {
        Self { eps: 1e-5, momentum: 0.1, tracked: true }
    }
}

/// Batch normalisation over `[N, C, H, W]` (Ioffe and Szegedy, 2015).
#[derive(Debug)]
pub struct BatchNorm {
    /// Scale `[C]`.
    pub weight: Tensor,
    /// Shift `[C]`.
    pub bias: Tensor,
    /// Running mean `[C]`.
    pub running_mean: Tensor,
    /// Running variance `[C]`, unbiased.
    pub running_var: Tensor,
    /// Batches seen in training (a scalar `i64`), as PyTorch keeps it.
    pub num_batches_tracked: Tensor,
    /// Constants.
    pub config: BatchNormConfig,
    /// Running statistics in training too, when set.
    pub use_running_stats: StatsSwitch,
}

impl BatchNorm {
    /// Scale 1, shift 0, statistics of a standard normal.
    pub fn new(channels: i64, config: BatchNormConfig) -> Self {
        let float = (Kind::Float, Device::Cpu);
        let use_running_stats = StatsSwitch::default();
        if !config.tracked {
            use_running_stats.freeze();
        }
        Self {
            weight: constant_parameter(&[channels], 1.0).set_requires_grad(config.tracked),
            bias: constant_parameter(&[channels], 0.0).set_requires_grad(config.tracked),
            running_mean: Tensor::zeros([channels], float),
            running_var: Tensor::ones([channels], float),
            num_batches_tracked: Tensor::zeros([], (Kind::Int64, Device::Cpu)),
            config,
            use_running_stats,
        }
    }

    /// The layer as `y = scale * x + shift` with the running statistics: `([C], [C])`.
    pub fn affine(&self) -> (Tensor, Tensor) {
        tch::no_grad(|| {
            let scale = &self.weight / (&self.running_var + self.config.eps).sqrt();
            let shift = &self.bias - &self.running_mean * &scale;
            (scale, shift)
        })
    }
}

/// Group normalisation (Wu and He, 2018): independent of the batch size.
#[derive(Debug)]
pub struct GroupNorm {
    /// Scale `[C]`.
    pub weight: Tensor,
    /// Shift `[C]`.
    pub bias: Tensor,
    /// Number of channel groups.
    pub groups: i64,
    /// Added to the variance under the root.
    pub eps: f64,
}

impl GroupNorm {
    /// Scale 1, shift 0.
    ///
    /// # Panics
    /// When `groups` does not divide `channels`.
    pub fn new(groups: i64, channels: i64) -> Self {
        assert!(channels % groups == 0, "{groups} groups do not divide {channels} channels");
        Self { weight: constant_parameter(&[channels], 1.0), bias: constant_parameter(&[channels], 0.0), groups, eps: 1e-5 }
    }
}
