//! Leaf layers: weights and geometry. Each is one operation of [`Ops`](crate::ops::Ops).
//!
//! Initial values are PyTorch's defaults, drawn from torch's global generator (seed it with `tch::manual_seed`).

mod conv;
mod conv_bn;
mod linear;
mod norm;
mod reading;

pub use conv::{Conv2d, Conv2dConfig, ConvTranspose2d};
pub use conv_bn::{fold, ConvBn};
pub use linear::Linear;
pub use norm::{BatchNorm, BatchNormConfig, GroupNorm};

use tch::{Device, Kind, Tensor};

/// A learned tensor with values from `U(-bound, bound)`.
pub(crate) fn uniform_parameter(shape: &[i64], bound: f64) -> Tensor {
    let t = Tensor::empty(shape, (Kind::Float, Device::Cpu));
    tch::no_grad(|| t.shallow_clone().uniform_(-bound, bound)).set_requires_grad(true)
}

/// A learned tensor filled with one value.
pub(crate) fn constant_parameter(shape: &[i64], value: f64) -> Tensor {
    Tensor::full(shape, value, (Kind::Float, Device::Cpu)).set_requires_grad(true)
}
