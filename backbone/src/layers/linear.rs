//! The fully connected layer.

use tch::Tensor;

use super::uniform_parameter;

/// `y = x @ weight^T + bias`.
#[derive(Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Tensor,
}

impl Linear {
    /// A layer with PyTorch's default initial values.
    pub fn new(inputs: i64, outputs: i64) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        Self { weight: uniform_parameter(&[outputs, inputs], bound), bias: uniform_parameter(&[outputs], bound) }
    }
}
