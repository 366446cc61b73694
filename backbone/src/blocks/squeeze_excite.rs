//! Squeeze-and-excitation: channels weighted by a gate computed from the whole image (Hu et al., 2018).

use crate::layers::{Conv2d, Conv2dConfig};
use crate::module::{Collector, Module, Named, Tree};
use crate::ops::{Activation, Ops};

/// Mean over the image → 1x1 → ReLU → 1x1 → gate → multiply.
#[derive(Debug)]
pub struct SqueezeExcite {
    reduce: Named<Conv2d>,
    expand: Named<Conv2d>,
    gate: Activation,
}

impl SqueezeExcite {
    /// A gate over `channels` with a bottleneck of `reduced`; `names` are those of the two convolutions in the family's state dict.
    pub fn new(channels: i64, reduced: i64, names: [&'static str; 2], gate: Activation) -> Self {
        let biased = Conv2dConfig::default().with_bias();
        let conv = |name, inputs, outputs| Named::new(name, Conv2d::new(inputs, outputs, biased));
        Self { reduce: conv(names[0], channels, reduced), expand: conv(names[1], reduced, channels), gate }
    }
}

impl Tree for SqueezeExcite {
    fn visit(&self, v: &mut Collector) {
        self.reduce.visit(v);
        self.expand.visit(v);
    }
}

impl Module for SqueezeExcite {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let pooled = ops.mean_hw(x);
        let reduced = self.reduce.forward(ops, &pooled);
        let reduced = ops.activation(&reduced, Activation::Relu);
        let gate = self.expand.forward(ops, &reduced);
        let gate = ops.activation(&gate, self.gate);
        ops.mul(x, &gate)
    }
}
