//! The inverted residual of MobileNetV2 (Sandler et al., 2018) and MobileNetV3 (Howard et al., 2019).
//!
//! ```text
//! [1x1 expand, act] → depthwise k x k, act → [squeeze-excite] → 1x1 project (linear) → [+ x]
//! ```

use super::SqueezeExcite;
use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn};
use crate::module::{Collector, FuseLevel, Module, Named, Tree};
use crate::ops::{Activation, Ops};

/// How torchvision names the steps of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvertedNames {
    /// MobileNetV2: `conv.0.0`, `conv.0.1`, …; the projection lies bare in the sequence (`conv.2`, `conv.3`).
    V2,
    /// MobileNetV3: `block.0.0`, `block.0.1`, …, each step a group of its own.
    V3,
}

/// Settings of an [`InvertedResidual`].
#[derive(Clone, Debug)]
pub struct InvertedResidualConfig {
    /// Input channels.
    pub inputs: i64,
    /// Channels of the depthwise convolution.
    pub expanded: i64,
    /// Output channels.
    pub outputs: i64,
    /// Kernel of the depthwise convolution.
    pub kernel: i64,
    /// 1 or 2.
    pub stride: i64,
    /// Width of the squeeze-excite bottleneck, where there is one.
    pub squeeze: Option<i64>,
    /// What follows the first two convolutions.
    pub activation: Activation,
    /// Constants of all batch norms.
    pub norm: BatchNormConfig,
    /// Names of the steps.
    pub names: InvertedNames,
}

/// The block.
#[derive(Debug)]
pub struct InvertedResidual {
    expand: Option<Named<ConvBn>>,
    depthwise: Named<ConvBn>,
    squeeze: Option<Named<SqueezeExcite>>,
    project: Named<ConvBn>,
    identity: bool,
}

impl InvertedResidual {
    /// A block by its settings. Where `expanded` equals `inputs` there is no expansion.
    pub fn new(c: &InvertedResidualConfig) -> Self {
        let mut step = 0;
        let mut path = || {
            step += 1;
            match c.names {
                InvertedNames::V2 => format!("conv.{}", step - 1),
                InvertedNames::V3 => format!("block.{}", step - 1),
            }
        };
        let conv = |conv, activation| ConvBn::new(["0", "1"], conv, c.norm, activation);
        let pointwise = |inputs, outputs| Conv2d::new(inputs, outputs, Conv2dConfig::default());
        let expands = c.expanded != c.inputs;
        let expand = expands.then(|| Named::new(path(), conv(pointwise(c.inputs, c.expanded), c.activation)));
        let depthwise = Named::new(path(), conv(Conv2d::depthwise(c.expanded, c.kernel, c.stride), c.activation));
        let gate = |reduced| SqueezeExcite::new(c.expanded, reduced, ["fc1", "fc2"], Activation::HardSigmoid);
        let squeeze = c.squeeze.map(|reduced| Named::new(path(), gate(reduced)));
        let linear = pointwise(c.expanded, c.outputs);
        let project = match (c.names, expands) {
            (InvertedNames::V3, _) => Named::new(path(), conv(linear, Activation::Identity)),
            (InvertedNames::V2, true) => Named::new("conv", ConvBn::new(["2", "3"], linear, c.norm, Activation::Identity)),
            (InvertedNames::V2, false) => Named::new("conv", ConvBn::new(["1", "2"], linear, c.norm, Activation::Identity)),
        };
        Self { expand, depthwise, squeeze, project, identity: c.stride == 1 && c.inputs == c.outputs }
    }
}

impl Tree for InvertedResidual {
    fn visit(&self, v: &mut Collector) {
        self.expand.visit(v);
        self.depthwise.visit(v);
        self.squeeze.visit(v);
        self.project.visit(v);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.expand.fuse(level);
        self.depthwise.fuse(level);
        self.project.fuse(level);
    }
}

impl Module for InvertedResidual {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let y = self.expand.forward(ops, x);
        let y = self.depthwise.forward(ops, &y);
        let y = self.squeeze.forward(ops, &y);
        let y = self.project.forward(ops, &y);
        if self.identity {
            ops.add(&y, x)
        } else {
            y
        }
    }
}
