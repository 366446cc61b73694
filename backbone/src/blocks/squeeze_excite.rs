//! Squeeze-and-excitation: channels weighted by a gate that looks at the whole image (Hu et al., 2018).

use crate::layers::{Conv2d, Conv2dConfig};
use crate::module::{Module, Tree, Visitor};
use crate::ops::{Activation, Ops};

/// Mean over the image → 1x1 → ReLU → 1x1 → gate → multiply.
#[derive(Debug)]
pub struct SqueezeExcite {
    reduce: Conv2d,
    expand: Conv2d,
    names: [&'static str; 2],
    gate: Activation,
}

impl SqueezeExcite {
    /// A gate over `channels` with a bottleneck of `reduced`; `names` are those of the two convolutions in the family's state dict.
    pub fn new(channels: i64, reduced: i64, names: [&'static str; 2], gate: Activation) -> Self {
        let biased = Conv2dConfig::default().with_bias();
        Self { reduce: Conv2d::new(channels, reduced, biased), expand: Conv2d::new(reduced, channels, biased), names, gate }
    }
}

impl Tree for SqueezeExcite {
    fn visit(&self, v: &mut Visitor) {
        v.child(self.names[0], &self.reduce);
        v.child(self.names[1], &self.expand);
    }
}

impl Module for SqueezeExcite {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let pooled = ops.mean_hw(x);
        let reduced = ops.scope(self.names[0], |ops| ops.conv2d(&pooled, &self.reduce));
        let reduced = ops.activation(&reduced, Activation::Relu);
        let gate = ops.scope(self.names[1], |ops| ops.conv2d(&reduced, &self.expand));
        let gate = ops.activation(&gate, self.gate);
        ops.mul(x, &gate)
    }
}
