//! Within the running network, in libtorch: a reader that times each operation of the one forward.
//!
//! On the CPU an operation is over when its call returns, so a clock around each call is all that is needed.

use std::collections::BTreeMap;
use std::time::Instant;

use repghost_backbone::layers::{BatchNorm, Conv2d, ConvTranspose2d, GroupNorm, Linear};
use repghost_backbone::ops::{Activation, Ops};
use repghost_backbone::{synthetic, Backbone, Eager};
use tch::Tensor;

use super::super::plan::Variant;
use super::super::stats::Stats;
use super::within::{shares, Within};
use crate::error::ExportError;
use crate::runtime::session::Runs;

/// Times operations.
struct Timed {
    eager: Eager,
    /// Milliseconds by kind of operation.
    sums: BTreeMap<&'static str, f64>,
    /// Milliseconds of the additions that stand beside concatenations.
    added_ms: f64,
    /// Which of the two comes first: the second finds its inputs in the cache.
    add_first: bool,
    path: Vec<String>,
    /// Path and shape of each half, in order.
    joins: Vec<(String, [i64; 4])>,
}

impl Timed {
    fn new(add_first: bool) -> Self {
        let (sums, path, joins) = (BTreeMap::new(), vec![], vec![]);
        Self { eager: Eager::eval(), sums, added_ms: 0.0, add_first, path, joins }
    }

    fn time<R>(&mut self, op: &'static str, f: impl FnOnce(&mut Eager) -> R) -> R {
        let start = Instant::now();
        let r = f(&mut self.eager);
        *self.sums.entry(op).or_default() += start.elapsed().as_secs_f64() * 1e3;
        r
    }

    fn addition(&mut self, parts: &[Tensor]) {
        if let [a, b] = parts {
            if a.size() == b.size() {
                if let Ok((n, c, h, w)) = a.size4() {
                    self.joins.push((self.path.join("."), [n, c, h, w]));
                }
                let start = Instant::now();
                drop(a + b);
                self.added_ms += start.elapsed().as_secs_f64() * 1e3;
            }
        }
    }
}

impl Ops for Timed {
    type Value = Tensor;

    fn share(x: &Tensor) -> Tensor {
        x.shallow_clone()
    }

    fn enter(&mut self, name: &str) {
        self.path.push(name.to_string());
    }

    fn leave(&mut self) {
        self.path.pop();
    }

    fn conv2d(&mut self, x: &Tensor, layer: &Conv2d) -> Tensor {
        let op = if layer.config.groups > 1 { "depthwise convolution" } else { "convolution" };
        self.time(op, |e| e.conv2d(x, layer))
    }

    fn conv_transpose2d(&mut self, x: &Tensor, layer: &ConvTranspose2d) -> Tensor {
        self.time("transposed convolution", |e| e.conv_transpose2d(x, layer))
    }

    fn linear(&mut self, x: &Tensor, layer: &Linear) -> Tensor {
        self.time("fully connected", |e| e.linear(x, layer))
    }

    fn batch_norm(&mut self, x: &Tensor, layer: &BatchNorm) -> Tensor {
        self.time("batch norm", |e| e.batch_norm(x, layer))
    }

    fn group_norm(&mut self, x: &Tensor, layer: &GroupNorm) -> Tensor {
        self.time("group norm", |e| e.group_norm(x, layer))
    }

    fn activation(&mut self, x: &Tensor, activation: Activation) -> Tensor {
        self.time("activation", |e| e.activation(x, activation))
    }

    fn add(&mut self, a: &Tensor, b: &Tensor) -> Tensor {
        self.time("add", |e| e.add(a, b))
    }

    fn mul(&mut self, a: &Tensor, b: &Tensor) -> Tensor {
        self.time("multiply", |e| e.mul(a, b))
    }

    fn concat(&mut self, parts: &[Tensor], dim: i64) -> Tensor {
        if self.add_first {
            self.addition(parts);
        }
        let joined = self.time("concat", |e| e.concat(parts, dim));
        if !self.add_first {
            self.addition(parts);
        }
        joined
    }

    fn narrow_channels(&mut self, x: &Tensor, start: i64, len: i64) -> Tensor {
        self.time("slice", |e| e.narrow_channels(x, start, len))
    }

    fn mean_hw(&mut self, x: &Tensor) -> Tensor {
        self.time("mean", |e| e.mean_hw(x))
    }

    fn max_pool2d(&mut self, x: &Tensor, kernel: i64, stride: i64, padding: i64) -> Tensor {
        self.time("max pool", |e| e.max_pool2d(x, kernel, stride, padding))
    }

    fn avg_pool2d(&mut self, x: &Tensor, kernel: i64, stride: i64) -> Tensor {
        self.time("average pool", |e| e.avg_pool2d(x, kernel, stride))
    }

    fn upsample_nearest(&mut self, x: &Tensor, like: &Tensor) -> Tensor {
        self.time("resize", |e| e.upsample_nearest(x, like))
    }

    fn flatten(&mut self, x: &Tensor) -> Tensor {
        self.time("reshape", |e| e.flatten(x))
    }

    fn flatten_positions(&mut self, x: &Tensor, k: i64) -> Tensor {
        self.time("reshape", |e| e.flatten_positions(x, k))
    }

    fn dropout(&mut self, x: &Tensor, p: f64) -> Tensor {
        self.time("dropout", |e| e.dropout(x, p))
    }
}

/// Where two tensors of one shape are concatenated: module path, shape of each.
pub fn joins(net: &Backbone, size: [i64; 2]) -> Vec<(String, [i64; 4])> {
    let _guard = tch::no_grad_guard();
    let mut ops = Timed::new(false);
    let _ = net.classify(&mut ops, &synthetic::input("bench", &[1, 3, size[0], size[1]]));
    ops.joins
}

/// Runs the network and times its parts.
///
/// # Errors
/// None on a CPU.
pub fn within(net: &Backbone, v: &Variant, size: [i64; 2], runs: Runs) -> Result<Within, ExportError> {
    tch::set_num_threads(v.threads as i32);
    let image = synthetic::input("bench", &[v.batch, 3, size[0], size[1]]);
    let (mut concat, mut add) = (vec![], vec![]);
    let mut sums: BTreeMap<&'static str, f64> = BTreeMap::new();
    for i in 0..runs.warm_up + runs.timed {
        let mut ops = Timed::new(i % 2 == 1);
        let _ = net.classify(&mut ops, &image);
        if i < runs.warm_up {
            continue;
        }
        concat.push(ops.sums.get("concat").copied().unwrap_or(0.0));
        add.push(ops.added_ms);
        for (op, ms) in ops.sums {
            *sums.entry(op).or_default() += ms;
        }
    }
    let median = |times: &[f64]| Stats::of(times).map_or(0.0, |s| s.median_ms);
    let named = sums.into_iter().map(|(op, ms)| (op.to_string(), ms));
    Ok(Within { concat_ms: median(&concat), add_ms: median(&add), shares: shares(named) })
}
