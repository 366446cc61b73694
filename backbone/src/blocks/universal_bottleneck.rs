//! The universal inverted bottleneck of MobileNetV4 (Qin et al., 2024), and RepGhostNetV2's variant of it.
//!
//! ```text
//! [start dw, BN] → 1x1 expand, BN, ReLU → [middle dw, BN, ReLU] → 1x1 project, BN → [end dw, BN] → [+ x]
//! ```
//!
//! MobileNetV4 has a depthwise convolution at the start, in the middle, at both places or at none; RepGhostNetV2 moves the one at the start
//! of a block to the end of the block before, so that the sum comes behind it.

use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn};
use crate::module::{Collector, FuseLevel, Module, Named, Tree};
use crate::ops::{Activation, Ops};

/// Names of the five steps, and of the norm in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniversalNames {
    /// Start, expansion, middle, projection, end.
    pub steps: [&'static str; 5],
    /// The norm beside `conv`.
    pub norm: &'static str,
}

/// Settings of a [`UniversalBottleneck`]. A kernel of 0 means that there is no such depthwise convolution.
#[derive(Clone, Debug)]
pub struct UniversalBottleneckConfig {
    /// Input channels.
    pub inputs: i64,
    /// Channels between expansion and projection.
    pub expanded: i64,
    /// Output channels.
    pub outputs: i64,
    /// Kernels of the depthwise convolutions at the start, in the middle and at the end.
    pub kernels: [i64; 3],
    /// 1 or 2; it belongs to the middle convolution, or to the first one where there is none in the middle.
    pub stride: i64,
    /// Constants of all batch norms.
    pub norm: BatchNormConfig,
    /// Names of the steps.
    pub names: UniversalNames,
}

/// The block.
#[derive(Debug)]
pub struct UniversalBottleneck {
    steps: Vec<Named<ConvBn>>,
    identity: bool,
}

impl UniversalBottleneck {
    /// A block by its settings.
    pub fn new(c: &UniversalBottleneckConfig) -> Self {
        let [start, middle, end] = c.kernels;
        let [start_stride, middle_stride] = if middle > 0 { [1, c.stride] } else { [c.stride, 1] };
        let step = |index: usize, conv: Conv2d, activation| {
            Named::new(c.names.steps[index], ConvBn::new(["conv", c.names.norm], conv, c.norm, activation))
        };
        let depthwise = |index: usize, channels, kernel, stride, activation| {
            (kernel > 0).then(|| step(index, Conv2d::depthwise(channels, kernel, stride), activation))
        };
        let pointwise = |inputs, outputs| Conv2d::new(inputs, outputs, Conv2dConfig::default());
        let steps = [
            depthwise(0, c.inputs, start, start_stride, Activation::Identity),
            Some(step(1, pointwise(c.inputs, c.expanded), Activation::Relu)),
            depthwise(2, c.expanded, middle, middle_stride, Activation::Relu),
            Some(step(3, pointwise(c.expanded, c.outputs), Activation::Identity)),
            depthwise(4, c.outputs, end, 1, Activation::Identity),
        ];
        Self { steps: steps.into_iter().flatten().collect(), identity: c.stride == 1 && c.inputs == c.outputs }
    }
}

impl Tree for UniversalBottleneck {
    fn visit(&self, v: &mut Collector) {
        self.steps.visit(v);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.steps.fuse(level);
    }
}

impl Module for UniversalBottleneck {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let y = self.steps.forward(ops, x);
        if self.identity {
            ops.add(&y, x)
        } else {
            y
        }
    }
}
