//! The block of RepVGG (Ding et al., 2021) and MobileOne (Vasu et al., 2023): parallel convolutions that fold into one.
//!
//! ```text
//! act(SE(Σ BN(conv k x k) + BN(conv 1x1) + BN(x)))
//! ```

use super::{BranchSum, SqueezeExcite};
use crate::layers::{BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig, ConvBn};
use crate::module::{Collector, FuseLevel, Module, Named, Tree};
use crate::ops::{Activation, Ops};

/// Name of the fused convolution, timm's.
const FUSED: &str = "reparam_conv";

/// How timm names the branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BranchNames {
    /// `conv_kxk`, `conv_1x1`.
    RepVgg,
    /// `conv_kxk.0`, `conv_kxk.1`, …, `conv_scale`.
    MobileOne,
}

/// Settings of a [`MultiBranch`] block.
#[derive(Clone, Debug)]
pub struct MultiBranchConfig {
    /// Input channels.
    pub inputs: i64,
    /// Output channels.
    pub outputs: i64,
    /// Kernel of the main branches; where it is 1 there is no 1x1 branch.
    pub kernel: i64,
    /// 1 or 2.
    pub stride: i64,
    /// Channel groups of all convolutions.
    pub groups: i64,
    /// Number of `k x k` branches.
    pub branches: usize,
    /// Width of the squeeze-excite bottleneck, where there is one.
    pub squeeze: Option<i64>,
    /// Constants of all batch norms.
    pub norm: BatchNormConfig,
    /// Names of the branches.
    pub names: BranchNames,
}

/// The block. There is an identity branch where input and output have one shape.
#[derive(Debug)]
pub struct MultiBranch {
    sum: BranchSum,
    squeeze: Option<Named<SqueezeExcite>>,
}

impl MultiBranch {
    /// A block by its settings.
    ///
    /// # Panics
    /// When there is no main branch: a family's definition is wrong then.
    pub fn new(c: &MultiBranchConfig) -> Self {
        let branch = |name, kernel| {
            let geometry = Conv2dConfig::same(kernel).stride(c.stride).groups(c.groups);
            let conv = Conv2d::new(c.inputs, c.outputs, geometry);
            Named::new(name, ConvBn::new(["conv", "bn"], conv, c.norm, Activation::Identity))
        };
        let (main, small): (fn(usize) -> String, &str) = match c.names {
            BranchNames::RepVgg => (|_| "conv_kxk".into(), "conv_1x1"),
            BranchNames::MobileOne => (|i| format!("conv_kxk.{i}"), "conv_scale"),
        };
        let mut convs: Vec<_> = (0..c.branches).map(|i| branch(main(i), c.kernel)).collect();
        if c.kernel > 1 {
            convs.push(branch(small.to_string(), 1));
        }
        let identity = || Named::new("identity", BatchNorm::new(c.outputs, c.norm));
        let identity = (c.inputs == c.outputs && c.stride == 1).then(identity);
        let gate = |reduced| SqueezeExcite::new(c.outputs, reduced, ["fc1", "fc2"], Activation::Sigmoid);
        let squeeze = c.squeeze.map(|reduced| Named::new("attn", gate(reduced)));
        Self { sum: BranchSum::new(identity, convs, FUSED), squeeze }
    }
}

impl Tree for MultiBranch {
    fn visit(&self, v: &mut Collector) {
        self.sum.visit(v);
        self.squeeze.visit(v);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.sum.fuse(level);
    }
}

impl Module for MultiBranch {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let y = self.sum.forward(ops, x);
        let y = self.squeeze.forward(ops, &y);
        ops.activation(&y, Activation::Relu)
    }
}
