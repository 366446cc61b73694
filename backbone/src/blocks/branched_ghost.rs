//! The Ghost module of GhostNetV3 (Liu et al., 2024): a Ghost module whose convolutions have parallel branches in training.
//!
//! ```text
//! x1  = act(Σ₃ BN(conv1x1(x)))
//! x2  = act(BN(x1) + Σ₃ BN(dw3x3(x1)) + BN(dw1x1(x1)))
//! out = concat(x1, x2)                                     the first `outputs` channels of it
//! ```

use super::BranchSum;
use crate::layers::{BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig, ConvBn};
use crate::module::{Collector, FuseLevel, Module, Named, Tree};
use crate::ops::{Activation, Ops};

/// Number of equal branches of each convolution.
const BRANCHES: usize = 3;
const CHEAP_KERNEL: i64 = 3;

/// A convolution with batch norm of such a sum.
fn branch(name: String, conv: Conv2d, norm: BatchNormConfig) -> Named<ConvBn> {
    Named::new(name, ConvBn::new(["conv", "bn1"], conv, norm, Activation::Identity))
}

/// Three depthwise `kernel x kernel` branches `NAME_conv.0` to `NAME_conv.2` and a 1x1 one, `NAME_scale`.
pub(super) fn depthwise_branches(
    name: &str,
    channels: i64,
    kernel: i64,
    stride: i64,
    norm: BatchNormConfig,
) -> Vec<Named<ConvBn>> {
    let conv = |kernel| Conv2d::depthwise(channels, kernel, stride);
    let mut branches: Vec<_> = (0..BRANCHES).map(|i| branch(format!("{name}_conv.{i}"), conv(kernel), norm)).collect();
    branches.push(branch(format!("{name}_scale"), conv(1), norm));
    branches
}

/// The module.
#[derive(Debug)]
pub struct BranchedGhost {
    primary: BranchSum,
    cheap: BranchSum,
    activation: Activation,
    /// Channels of each half.
    half: i64,
    outputs: i64,
}

impl BranchedGhost {
    /// A module from `inputs` to `outputs` channels.
    pub fn new(inputs: i64, outputs: i64, activation: Activation, norm: BatchNormConfig) -> Self {
        let half = (outputs + 1) / 2;
        let pointwise = || Conv2d::new(inputs, half, Conv2dConfig::default());
        let primary = (0..BRANCHES).map(|i| branch(format!("primary_rpr_conv.{i}"), pointwise(), norm)).collect();
        let skip = Named::new("cheap_rpr_skip", BatchNorm::new(half, norm));
        let cheap = depthwise_branches("cheap_rpr", half, CHEAP_KERNEL, 1, norm);
        Self {
            primary: BranchSum::new(None, primary, "primary_conv.0"),
            cheap: BranchSum::new(Some(skip), cheap, "cheap_operation.0"),
            activation,
            half,
            outputs,
        }
    }
}

impl Tree for BranchedGhost {
    fn visit(&self, v: &mut Collector) {
        self.primary.visit(v);
        self.cheap.visit(v);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.primary.fuse(level);
        self.cheap.fuse(level);
    }
}

impl Module for BranchedGhost {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let x1 = self.primary.forward(ops, x);
        let x1 = ops.activation(&x1, self.activation);
        let x2 = self.cheap.forward(ops, &x1);
        let x2 = ops.activation(&x2, self.activation);
        let both = ops.concat(&[x1, x2], 1);
        if 2 * self.half == self.outputs {
            both
        } else {
            ops.narrow_channels(&both, 0, self.outputs)
        }
    }
}
