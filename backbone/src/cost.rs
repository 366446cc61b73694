//! The reader that counts parameters, multiply-adds and activation elements from shapes alone, layer by layer.
//!
//! Multiply-adds are those of convolutions and fully connected layers, as the papers count them; norms, activations and sums
//! count zero.

use crate::layers::{BatchNorm, Conv2d, ConvTranspose2d, GroupNorm, Linear};
use crate::ops::{Activation, Ops};

/// One operation.
#[derive(Clone, Debug)]
pub struct CostRow {
    /// Module path.
    pub path: String,
    /// Operation: `conv2d`, `batch_norm`, `add`, …
    pub op: &'static str,
    /// Learned elements.
    pub parameters: i64,
    /// Multiply-adds.
    pub macs: i64,
    /// Elements written.
    pub activations: i64,
}

/// Records one row per operation of a forward.
#[derive(Debug, Default)]
pub struct Cost {
    path: Vec<String>,
    /// One row per operation, in order of execution.
    pub rows: Vec<CostRow>,
}

impl Cost {
    /// Sum of multiply-adds.
    pub fn macs(&self) -> i64 {
        self.rows.iter().map(|r| r.macs).sum()
    }

    /// Sum of learned elements (shared layers count each time they run).
    pub fn parameters(&self) -> i64 {
        self.rows.iter().map(|r| r.parameters).sum()
    }

    fn record(&mut self, op: &'static str, parameters: i64, macs: i64, shape: Vec<i64>) -> Vec<i64> {
        self.rows.push(CostRow { path: self.path.join("."), op, parameters, macs, activations: shape.iter().product() });
        shape
    }
}

impl Ops for Cost {
    type Value = Vec<i64>;

    fn share(x: &Vec<i64>) -> Vec<i64> {
        x.clone()
    }

    fn enter(&mut self, name: &str) {
        self.path.push(name.to_string());
    }

    fn leave(&mut self) {
        self.path.pop();
    }

    fn conv2d(&mut self, x: &Vec<i64>, layer: &Conv2d) -> Vec<i64> {
        let [h, w] = layer.output_size([x[2], x[3]]);
        let shape = vec![x[0], layer.outputs(), h, w];
        let weights = layer.weight.numel() as i64;
        let bias = layer.bias.as_ref().map_or(0, |b| b.numel() as i64);
        self.record("conv2d", weights + bias, x[0] * h * w * weights, shape)
    }

    fn conv_transpose2d(&mut self, x: &Vec<i64>, layer: &ConvTranspose2d) -> Vec<i64> {
        let size = layer.weight.size();
        let out = |d: i64| (d - 1) * layer.stride + size[2];
        let shape = vec![x[0], size[1], out(x[2]), out(x[3])];
        let weights = layer.weight.numel() as i64;
        self.record("conv_transpose2d", weights + size[1], x[0] * x[2] * x[3] * weights, shape)
    }

    fn linear(&mut self, x: &Vec<i64>, layer: &Linear) -> Vec<i64> {
        let [out, inputs] = [layer.weight.size()[0], layer.weight.size()[1]];
        self.record("linear", out * inputs + out, x[0] * out * inputs, vec![x[0], out])
    }

    fn batch_norm(&mut self, x: &Vec<i64>, layer: &BatchNorm) -> Vec<i64> {
        let learned = if layer.config.tracked { 2 * x[1] } else { 0 };
        self.record("batch_norm", learned, 0, x.clone())
    }

    fn group_norm(&mut self, x: &Vec<i64>, _: &GroupNorm) -> Vec<i64> {
        self.record("group_norm", 2 * x[1], 0, x.clone())
    }

    fn activation(&mut self, x: &Vec<i64>, activation: Activation) -> Vec<i64> {
        if activation == Activation::Identity {
            return x.clone();
        }
        self.record("activation", 0, 0, x.clone())
    }

    fn add(&mut self, a: &Vec<i64>, _: &Vec<i64>) -> Vec<i64> {
        self.record("add", 0, 0, a.clone())
    }

    fn mul(&mut self, a: &Vec<i64>, _: &Vec<i64>) -> Vec<i64> {
        self.record("mul", 0, 0, a.clone())
    }

    fn concat(&mut self, parts: &[Vec<i64>], dim: i64) -> Vec<i64> {
        let mut shape = parts[0].clone();
        shape[dim as usize] = parts.iter().map(|p| p[dim as usize]).sum();
        self.record("concat", 0, 0, shape)
    }

    fn narrow_channels(&mut self, x: &Vec<i64>, _: i64, len: i64) -> Vec<i64> {
        self.record("narrow", 0, 0, vec![x[0], len, x[2], x[3]])
    }

    fn mean_hw(&mut self, x: &Vec<i64>) -> Vec<i64> {
        self.record("mean_hw", 0, 0, vec![x[0], x[1], 1, 1])
    }

    fn max_pool2d(&mut self, x: &Vec<i64>, kernel: i64, stride: i64, padding: i64) -> Vec<i64> {
        let out = |d: i64| (d + 2 * padding - kernel) / stride + 1;
        self.record("max_pool2d", 0, 0, vec![x[0], x[1], out(x[2]), out(x[3])])
    }

    fn avg_pool2d(&mut self, x: &Vec<i64>, kernel: i64, stride: i64) -> Vec<i64> {
        let out = |d: i64| (d - kernel.min(d)) / stride + 1;
        self.record("avg_pool2d", 0, 0, vec![x[0], x[1], out(x[2]), out(x[3])])
    }

    fn upsample_nearest(&mut self, x: &Vec<i64>, like: &Vec<i64>) -> Vec<i64> {
        self.record("upsample", 0, 0, vec![x[0], x[1], like[2], like[3]])
    }

    fn flatten(&mut self, x: &Vec<i64>) -> Vec<i64> {
        vec![x[0], x[1..].iter().product()]
    }

    fn flatten_positions(&mut self, x: &Vec<i64>, k: i64) -> Vec<i64> {
        vec![x[0], x[1..].iter().product::<i64>() / k, k]
    }

    fn dropout(&mut self, x: &Vec<i64>, _: f64) -> Vec<i64> {
        x.clone()
    }
}
