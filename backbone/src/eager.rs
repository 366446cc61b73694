//! The reader that executes a network on tensors.

use repghost_kernels::cpu::{self, Conv, Normed};
use repghost_kernels::cuda::batch_norm::{self, Statistics};
use repghost_kernels::cuda::{available, depthwise, layout};
use tch::Tensor;

use crate::dropout::dropout;
use crate::layers::{BatchNorm, Conv2d, ConvTranspose2d, GroupNorm, Linear};
use crate::module::Named;
use crate::ops::{Activation, Ops};
use crate::{region, sync_norm};

/// Executes each operation at once. Gradients are recorded as usual (wrap in `tch::no_grad` for inference).
#[derive(Clone, Copy, Debug)]
pub struct Eager {
    /// Batch statistics and dropout when set; running statistics and no dropout otherwise.
    pub train: bool,
}

impl Eager {
    /// Training mode.
    pub fn train() -> Self {
        Self { train: true }
    }

    /// Inference mode.
    pub fn eval() -> Self {
        Self { train: false }
    }
}

fn geometry(layer: &Conv2d) -> Conv {
    let c = &layer.config;
    Conv { stride: c.stride, padding: c.padding, dilation: c.dilation, groups: c.groups }
}

fn normed<'a>(x: &'a Tensor, layer: &'a BatchNorm) -> Normed<'a> {
    Normed {
        x,
        weight: &layer.weight,
        bias: &layer.bias,
        running: [&layer.running_mean, &layer.running_var],
        momentum: layer.config.momentum,
        eps: layer.config.eps,
    }
}

impl Eager {
    /// Whether a norm takes the statistics of this batch. A single value per channel has no variance: PyTorch's module refuses it, the bare operator
    /// writes NaN into the running variance. Here such a batch (one image, 1x1 map) is normalised by the running statistics and leaves them alone.
    fn takes_batch(self, x: &Tensor, layer: &BatchNorm) -> bool {
        let values = x.numel() as i64 / x.size()[1].max(1);
        self.train && !layer.use_running_stats.get() && values > 1
    }

    /// Norms of this process alone by a card's kernel, where all have their statistics from the same place.
    fn norms_on_card(self, parts: &[(&Tensor, &BatchNorm)], relu: bool) -> Option<Tensor> {
        let (x, layer) = parts.first()?;
        if !available(x.device()) {
            return None;
        }
        let batch = self.takes_batch(x, layer);
        let shared = self.train && sync_norm::is_shared();
        if parts.iter().any(|(x, layer)| self.takes_batch(x, layer) != batch || (shared && !layer.use_running_stats.get())) {
            return None;
        }
        let normed: Vec<Normed> = parts.iter().map(|(x, layer)| normed(x, layer)).collect();
        let sum = batch_norm::sum(&normed, if batch { Statistics::Batch } else { Statistics::Running }, relu)?;
        if batch {
            parts.iter().for_each(|(_, layer)| count_batch(layer));
        }
        Some(sum)
    }
}

fn count_batch(layer: &BatchNorm) {
    let _ = layer.num_batches_tracked.shallow_clone().g_add_scalar_(1);
}

impl Ops for Eager {
    type Value = Tensor;

    fn share(x: &Tensor) -> Tensor {
        x.shallow_clone()
    }

    /// Tensors carry no names.
    fn enter(&mut self, _: &str) {}

    fn leave(&mut self) {}

    fn conv2d(&mut self, x: &Tensor, layer: &Conv2d) -> Tensor {
        let c = &layer.config;
        if c.groups > 1 && c.dilation == 1 && c.padding[0] == c.padding[1] {
            if let Some(y) = depthwise::conv2d(x, &layer.weight, layer.bias.as_ref(), c.stride, c.padding[0]) {
                return y;
            }
        }
        if let Some(y) = cpu::conv2d(x, &layer.weight, layer.bias.as_ref(), &geometry(layer)) {
            return y;
        }
        x.conv2d(&layer.weight, layer.bias.as_ref(), [c.stride; 2], c.padding, [c.dilation; 2], c.groups)
    }

    fn conv2d_levels(&mut self, xs: &[Tensor], layer: &Conv2d) -> Vec<Tensor> {
        match cpu::conv2d_levels(xs, &layer.weight, layer.bias.as_ref(), &geometry(layer)) {
            Some(ys) => ys,
            None => xs.iter().map(|x| self.conv2d(x, layer)).collect(),
        }
    }

    /// All at once: the filters are transformed once for all of them, and small levels fill what large ones leave. On a card level by level: the
    /// backward then holds the gradients of one level at a time.
    fn levels<R>(&mut self, xs: &[Tensor], mut f: impl FnMut(&mut Self, &[Tensor]) -> Vec<R>) -> Vec<R> {
        match xs.first().map(Tensor::device) {
            Some(device) if device.is_cuda() => xs.iter().flat_map(|x| f(self, std::slice::from_ref(x))).collect(),
            _ => f(self, xs),
        }
    }

    fn for_convolutions(&mut self, x: &Tensor) -> Tensor {
        layout::for_convolutions(x)
    }

    fn conv_transpose2d(&mut self, x: &Tensor, layer: &ConvTranspose2d) -> Tensor {
        x.conv_transpose2d(&layer.weight, Some(&layer.bias), [layer.stride; 2], [0, 0], [0, 0], 1, [1, 1])
    }

    fn linear(&mut self, x: &Tensor, layer: &Linear) -> Tensor {
        x.linear(&layer.weight, Some(&layer.bias))
    }

    fn batch_norm_sum(&mut self, parts: &[(&Tensor, &Named<BatchNorm>)], activation: Activation) -> Tensor {
        let relu = match activation {
            Activation::Relu => Some(true),
            Activation::Identity => Some(false),
            _ => None,
        };
        let alone = sync_norm::shared().is_none();
        let layers: Vec<(&Tensor, &BatchNorm)> = parts.iter().map(|(x, layer)| (*x, &***layer)).collect();
        if let Some(sum) = self.norms_on_card(&layers, relu.unwrap_or(false)) {
            return if relu.is_some() { sum } else { self.activation(&sum, activation) };
        }
        if self.train && alone && parts.iter().all(|(_, layer)| !layer.use_running_stats.get()) {
            let normed: Vec<Normed> = parts.iter().map(|(x, layer)| normed(x, layer)).collect();
            if let Some(sum) = cpu::batch_norm_sum(&normed, relu.unwrap_or(false)) {
                parts.iter().for_each(|(_, layer)| count_batch(layer));
                return if relu.is_some() { sum } else { self.activation(&sum, activation) };
            }
        }
        let mut normed = parts.iter().map(|(x, layer)| self.batch_norm(x, layer));
        let first = normed.next().expect("a sum has parts");
        let sum = normed.fold(first, |sum, y| sum + y);
        self.activation(&sum, activation)
    }

    fn batch_norm(&mut self, x: &Tensor, layer: &BatchNorm) -> Tensor {
        if let Some(shared) = sync_norm::shared().filter(|_| self.train && !layer.use_running_stats.get()) {
            count_batch(layer);
            return sync_norm::batch_norm(x, layer, &shared);
        }
        if let Some(y) = self.norms_on_card(&[(x, layer)], false) {
            return y;
        }
        let train = self.takes_batch(x, layer);
        if train {
            if let Some(y) = cpu::batch_norm_sum(&[normed(x, layer)], false) {
                count_batch(layer);
                return y;
            }
            count_batch(layer);
        }
        x.batch_norm(
            Some(&layer.weight),
            Some(&layer.bias),
            Some(&layer.running_mean),
            Some(&layer.running_var),
            train,
            layer.config.momentum,
            layer.config.eps,
            true,
        )
    }

    fn group_norm(&mut self, x: &Tensor, layer: &GroupNorm) -> Tensor {
        if let Some(normed) = region::group_norm(x, layer.groups, layer.eps) {
            return normed * layer.weight.view([1, -1, 1, 1]) + layer.bias.view([1, -1, 1, 1]);
        }
        x.group_norm(layer.groups, Some(&layer.weight), Some(&layer.bias), layer.eps, true)
    }

    fn activation(&mut self, x: &Tensor, activation: Activation) -> Tensor {
        match activation {
            Activation::Identity => x.shallow_clone(),
            Activation::Relu => x.relu(),
            Activation::Relu6 => x.relu6(),
            Activation::HardSwish => x.hardswish(),
            Activation::HardSigmoid => x.hardsigmoid(),
            Activation::Sigmoid => x.sigmoid(),
        }
    }

    fn add(&mut self, a: &Tensor, b: &Tensor) -> Tensor {
        a + b
    }

    fn mul(&mut self, a: &Tensor, b: &Tensor) -> Tensor {
        a * b
    }

    fn concat(&mut self, parts: &[Tensor], dim: i64) -> Tensor {
        Tensor::cat(parts, dim)
    }

    fn narrow_channels(&mut self, x: &Tensor, start: i64, len: i64) -> Tensor {
        x.narrow(1, start, len)
    }

    fn mean_hw(&mut self, x: &Tensor) -> Tensor {
        if let Some(means) = region::mean(x) {
            return means.unsqueeze(-1);
        }
        x.mean_dim(&[2i64, 3][..], true, None::<tch::Kind>)
    }

    fn max_pool2d(&mut self, x: &Tensor, kernel: i64, stride: i64, padding: i64) -> Tensor {
        x.max_pool2d([kernel; 2], [stride; 2], [padding; 2], [1, 1], false)
    }

    fn avg_pool2d(&mut self, x: &Tensor, kernel: i64, stride: i64) -> Tensor {
        let size = x.size();
        let window = [size[2], size[3]].map(|side| kernel.min(side));
        x.avg_pool2d(window, [stride; 2], [0, 0], false, true, None::<i64>)
    }

    fn upsample_nearest(&mut self, x: &Tensor, like: &Tensor) -> Tensor {
        let size = like.size();
        x.upsample_nearest2d([size[2], size[3]], None::<f64>, None::<f64>)
    }

    fn flatten(&mut self, x: &Tensor) -> Tensor {
        x.flatten(1, -1)
    }

    fn flatten_positions(&mut self, x: &Tensor, k: i64) -> Tensor {
        // [N, A*k, H, W] -> [N, H, W, A*k] -> [N, H*W*A, k]
        let n = x.size()[0];
        x.permute([0, 2, 3, 1]).reshape([n, -1, k])
    }

    /// In training the padding is background like any other.
    fn flatten_logits(&mut self, x: &Tensor, k: i64) -> Tensor {
        match region::beyond(x).filter(|_| !self.train) {
            Some(lower) => self.flatten_positions(&(x + lower), k),
            None => self.flatten_positions(x, k),
        }
    }

    fn dropout(&mut self, x: &Tensor, p: f64) -> Tensor {
        if self.train && p > 0.0 {
            dropout(x, p)
        } else {
            x.shallow_clone()
        }
    }
}
